#include "store/restore.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/pack.h"
#include "store/snapshot.h"
#include "store/view_private.h"

#include <stdlib.h>

/* --- rows in pieces -------------------------------------------------------------------------- */

/* The next row of a piece, as it would stand under its own index. */
static enum err restore_row(struct bytes *piece, struct kv_row *ret_row)
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

enum err backup_check(struct bytes piece)
{
    enum err e = piece.len > 0 && piece.len <= RESTORE_CHUNK_MAX ? OK : ERR_CORRUPT;
    while (e == OK && piece.len > 0) {
        struct kv_row row;
        e = restore_row(&piece, &row);
    }
    return e;
}

/* --- the commands ---------------------------------------------------------------------------- */

static void restore_drop(struct apply *a, const struct schema_key *from)
{
    struct schema_key to = *from;
    schema_key_end(&to);
    rocks_batch_delete_range(a->batch, schema_key_view(from), schema_key_view(&to));
}

/* All rows of keys of one of the two tables. */
static void restore_drop_kv(struct apply *a, uint64_t restores)
{
    struct schema_key from;
    schema_key_kv(&from, restores, (struct bytes){0});
    restore_drop(a, &from);
}

static void restore_drop_table(struct apply *a, char table)
{
    struct schema_key from;
    schema_key_table(&from, table);
    restore_drop(a, &from);
}

/* Whether this is the restore that is under way. */
static bool restore_is_current(struct apply *a, const struct command_restore *cmd)
{
    CHECK(cmd->id != 0);
    if (cmd->id != a->meta.restore_id) {
        a->status = ERR_CONFLICT;
        return false;
    }
    return true;
}

void restore_begin(struct apply *a, const struct command_restore *cmd)
{
    restore_drop_kv(a, a->meta.restores + 1);
    a->meta.restore_id = cmd->id;
    a->meta.restore_next = 1;
}

void restore_chunk(struct apply *a, const struct command_restore *cmd)
{
    if (!restore_is_current(a, cmd) || cmd->number < a->meta.restore_next) {
        return;
    }
    if (cmd->number > a->meta.restore_next) {
        a->status = ERR_CONFLICT;
        return;
    }
    if (backup_check(cmd->rows) != OK) {
        a->status = ERR_INVALID;
        return;
    }
    for (struct bytes rest = cmd->rows; rest.len > 0;) {
        struct kv_row row;
        struct schema_key k;
        CHECK(restore_row(&rest, &row) == OK);
        /* A backup may come from a cluster that was further: what is to come must be newer. */
        row.create_index = row.create_index < a->index ? row.create_index : a->index;
        row.modify_index = row.modify_index < a->index ? row.modify_index : a->index;
        schema_key_kv(&k, a->meta.restores + 1, row.key);
        schema_row_encode(&a->row, &row);
        rocks_batch_put(a->batch, schema_key_view(&k), buf_view(&a->row));
    }
    a->meta.restore_next++;
}

void restore_commit(struct apply *a, const struct command_restore *cmd)
{
    static const char history[] = SCHEMA_HISTORY_TABLES;
    if (!restore_is_current(a, cmd)) {
        return;
    }
    if (cmd->number != a->meta.restore_next - 1) {
        a->status = ERR_CONFLICT;
        return;
    }
    restore_drop_kv(a, a->meta.restores);
    restore_drop_table(a, SCHEMA_DEATH_TABLE);
    for (size_t i = 0; i + 1 < sizeof(history); i++) {
        restore_drop_table(a, history[i]);
    }
    a->meta.restores++;
    a->meta.restore_id = 0;
    a->meta.restore_next = 0;
    a->meta.kv_index = a->index;
    a->meta.kv_reaped = a->index;
    a->meta.history_oldest = a->index;
    a->meta.history_bytes = 0;
    a->replaced = true;
}

void restore_abort(struct apply *a, const struct command_restore *cmd)
{
    if (!restore_is_current(a, cmd)) {
        return;
    }
    restore_drop_kv(a, a->meta.restores + 1);
    a->meta.restore_id = 0;
    a->meta.restore_next = 0;
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
