#include "store/backup.h"

#include "core/base/mem.h"
#include "store/pack.h"
#include "store/snapshot.h"
#include "store/view_private.h"

#include <stdlib.h>

/* --- rows in pieces -------------------------------------------------------------------------- */

static enum err backup_kv_row(struct bytes raw, struct bytes value, struct kv_row *ret_row)
{
    struct kv_row row = {0};
    enum err e = schema_parse_kv(raw, &row.key);
    e = e == OK ? schema_row_decode(value, &row) : e;
    if (e == OK && (row.key.len == 0 || row.dead || row.create_index == 0 ||
                    row.modify_index < row.create_index)) {
        e = ERR_CORRUPT;
    }
    if (e == OK) {
        *ret_row = row;
    }
    return e;
}

/* Links and indexes of names follow from the other rows. */
bool backup_has(enum fleet_table table)
{
    switch (table) {
    case FLEET_NODE:
    case FLEET_SERVICE:
    case FLEET_CHECK:
    case FLEET_SESSION:
    case FLEET_EXPIRY:
    case FLEET_EVENT:
    case FLEET_COORDINATE:
    case FLEET_ACL:
        return true;
    case FLEET_NODE_ID:
    case FLEET_INSTANCE:
    case FLEET_CHECK_OF:
    case FLEET_NODE_SESSION:
    case FLEET_HELD:
    case FLEET_MOVED:
    case FLEET_GONE:
        break;
    }
    return false;
}

enum err backup_row_next(struct bytes *piece, struct backup_row *ret_row)
{
    struct bytes raw;
    struct bytes value;
    struct schema_key table;
    struct backup_row row = {0};
    schema_key_kv(&table, 0, (struct bytes){0});
    enum err e = snapshot_row_next(piece, &raw, &value);
    if (e != OK) {
        return e;
    }
    if (bytes_begins(raw, schema_key_view(&table))) {
        e = backup_kv_row(raw, value, &row.kv);
    } else if (raw.ptr[0] == schema_fleet_half(0)) {
        e = schema_fleet_check(raw, value);
        e = e == OK ? schema_fleet_parse(raw, &row.table, &row.rest) : e;
        row.value = value;
        e = e == OK && !backup_has(row.table) ? ERR_CORRUPT : e;
    } else {
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
        struct backup_row row;
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
    struct rocks_iter *fleet; /* stands on the next row; NULL: not begun */
    struct schema_key key;    /* the row that comes next, unless it is empty: */
    struct buf row;
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
    rocks_iter_free(b->fleet);
    view_unref(b->view);
    buf_close(&b->row);
    free(b);
}

/* The next live key. ERR_NOT_FOUND behind the last. */
static enum err backup_fill_kv(struct backup *b)
{
    struct kv_row row;
    enum err e = kv_scan_next(b->scan, &row);
    while (e == OK && row.dead) {
        e = kv_scan_next(b->scan, &row);
    }
    if (e == OK) {
        schema_key_kv(&b->key, 0, row.key);
        schema_row_encode(&b->row, &row);
    }
    return e;
}

/* The next row of the fleet. ERR_NOT_FOUND behind the last. */
static enum err backup_fill_fleet(struct backup *b)
{
    if (b->fleet == NULL) {
        struct schema_key half = {.len = 1};
        half.data[0] = schema_fleet_half(view_meta(b->view)->restores);
        b->fleet = view_rows_of(b->view, &half);
        rocks_iter_first(b->fleet);
    }
    for (; rocks_iter_valid(b->fleet); rocks_iter_next(b->fleet)) {
        enum fleet_table table;
        struct bytes rest;
        enum err e = schema_fleet_parse(rocks_iter_key(b->fleet), &table, &rest);
        if (e != OK) {
            return e;
        }
        if (backup_has(table)) {
            schema_fleet_begin(&b->key, 0, table);
            schema_fleet_exact(&b->key, rest);
            buf_clear(&b->row);
            e = buf_append(&b->row, rocks_iter_value(b->fleet));
            rocks_iter_next(b->fleet);
            return e;
        }
    }
    enum err e = rocks_iter_error(b->fleet, NULL);
    return e == OK ? ERR_NOT_FOUND : e;
}

static enum err backup_fill(struct backup *b)
{
    if (b->key.len > 0) {
        return OK;
    }
    enum err e = b->fleet == NULL ? backup_fill_kv(b) : ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND ? backup_fill_fleet(b) : e;
}

enum err backup_next(struct backup *b, struct buf *out, struct reason *why)
{
    enum err e = OK;
    buf_clear(out);
    for (;;) {
        e = backup_fill(b);
        if (e != OK) {
            break;
        }
        size_t len = 8 + b->key.len + b->row.len;
        if (out->len > 0 && out->len + len > SNAPSHOT_CHUNK_BYTES) {
            return OK;
        }
        e = snapshot_row_put(out, schema_key_view(&b->key), buf_view(&b->row));
        if (e != OK) {
            return e;
        }
        b->key.len = 0;
    }
    if (e != ERR_NOT_FOUND) {
        reason_set(why, "the state database cannot be read: %s", err_name(e));
        return e;
    }
    return out->len > 0 ? OK : ERR_NOT_FOUND;
}
