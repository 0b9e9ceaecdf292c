#include "store/backup.h"

#include "core/base/mem.h"
#include "store/pack.h"
#include "store/snapshot.h"
#include "store/view_private.h"

#include <stdlib.h>

/* --- rows in pieces -------------------------------------------------------------------------- */

enum err backup_row_next(struct bytes *piece, struct kv_row *ret_row)
{
    struct bytes raw;
    struct bytes value;
    struct schema_key table;
    struct kv_row row = {0};
    schema_key_kv(&table, 0, (struct bytes){0});
    enum err e = snapshot_row_next(piece, &raw, &value);
    if (e == OK && !bytes_begins(raw, schema_key_view(&table))) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        e = schema_parse_kv(raw, &row.key);
    }
    if (e == OK) {
        e = schema_row_decode(value, &row);
    }
    if (e == OK && (row.dead || row.create_index == 0 || row.modify_index < row.create_index)) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        *ret_row = row;
    }
    return e;
}

enum err backup_check(struct bytes piece, uint64_t *ret_rows)
{
    enum err e = piece.len > 0 && piece.len <= RESTORE_CHUNK_MAX ? OK : ERR_CORRUPT;
    uint64_t rows = 0;
    for (; e == OK && piece.len > 0; rows++) {
        struct kv_row row;
        e = backup_row_next(&piece, &row);
    }
    if (e == OK) {
        *ret_rows = rows;
    }
    return e;
}

/* --- a backup -------------------------------------------------------------------------------- */

struct backup {
    struct view *view;
    struct kv_scan *scan;
    struct buf row;
    struct kv_row next; /* did not fit the piece before */
    bool waiting;       /* `next` holds one */
};

struct backup *backup_open(struct view *v)
{
    struct backup *b = mem_zalloc(1, sizeof(*b));
    b->view = view_ref(v);
    b->scan = kv_scan_open(v, (struct bytes){0});
    buf_init(&b->row, SCHEMA_ROW_MAX);
    return b;
}

void backup_close(struct backup *b)
{
    if (b == NULL) {
        return;
    }
    kv_scan_close(b->scan);
    view_unref(b->view);
    buf_close(&b->row);
    free(b);
}

static enum err backup_row(struct backup *b)
{
    while (!b->waiting) {
        enum err e = kv_scan_next(b->scan, &b->next);
        if (e != OK) {
            return e;
        }
        b->waiting = !b->next.dead;
    }
    return OK;
}

enum err backup_next(struct backup *b, struct buf *out, struct reason *why)
{
    enum err e = OK;
    buf_clear(out);
    for (;;) {
        struct schema_key k;
        e = backup_row(b);
        if (e != OK) {
            break;
        }
        schema_key_kv(&k, 0, b->next.key);
        schema_row_encode(&b->row, &b->next);
        size_t len = 8 + k.len + b->row.len;
        if (out->len > 0 && out->len + len > SNAPSHOT_CHUNK_BYTES) {
            return OK;
        }
        e = snapshot_row_put(out, schema_key_view(&k), buf_view(&b->row));
        if (e != OK) {
            return e;
        }
        b->waiting = false;
    }
    if (e != ERR_NOT_FOUND) {
        reason_set(why, "the state database cannot be read: %s", err_name(e));
        return e;
    }
    return out->len > 0 ? OK : ERR_NOT_FOUND;
}
