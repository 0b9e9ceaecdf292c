#include "store/restore.h"

#include "core/base/check.h"
#include "store/backup.h"
#include "store/restore_fleet.h"

/* --- the commands ---------------------------------------------------------------------------- */

void restore_drop(struct apply *a, const struct schema_key *from)
{
    struct schema_key to = *from;
    schema_key_end(&to);
    rocks_batch_delete_range(a->batch, schema_key_view(from), schema_key_view(&to));
}

/* All rows of keys, and all of the fleet, of one of the two halves. */
static void restore_drop_half(struct apply *a, uint64_t restores)
{
    struct schema_key from;
    schema_key_kv(&from, restores, (struct bytes){0});
    restore_drop(a, &from);
    restore_fleet_drop(a, restores);
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
    restore_drop_half(a, a->meta.restores + 1);
    a->meta.restore_id = cmd->id;
    a->meta.restore_next = 1;
}

static void restore_kv_row(struct apply *a, struct kv_row *row)
{
    struct schema_key k;
    /* A backup may come from a cluster that was further: what is to come must be newer. */
    row->create_index = row->create_index < a->index ? row->create_index : a->index;
    row->modify_index = row->modify_index < a->index ? row->modify_index : a->index;
    schema_key_kv(&k, a->meta.restores + 1, row->key);
    schema_row_encode(&a->row, row);
    rocks_batch_put(a->batch, schema_key_view(&k), buf_view(&a->row));
    restore_fleet_lock(a, row);
}

enum err restore_chunk(struct apply *a, const struct command_restore *cmd)
{
    if (!restore_is_current(a, cmd) || cmd->number < a->meta.restore_next) {
        return OK;
    }
    if (cmd->number > a->meta.restore_next) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    uint64_t rows = 0;
    if (backup_check(cmd->rows, &rows) != OK) {
        a->status = ERR_INVALID;
        return OK;
    }
    enum err e = OK;
    for (struct bytes rest = cmd->rows; e == OK && rest.len > 0;) {
        struct backup_row row;
        CHECK(backup_row_next(&rest, &row) == OK);
        if (row.kv.key.len > 0) {
            restore_kv_row(a, &row.kv);
        } else {
            e = restore_fleet_row(a, &row);
        }
    }
    a->meta.restore_next++;
    return e;
}

void restore_forget_history(struct apply *a)
{
    static const char history[] = SCHEMA_HISTORY_TABLES;
    for (size_t i = 0; i + 1 < sizeof(history); i++) {
        restore_drop_table(a, history[i]);
    }
    a->meta.history_oldest = a->index;
    a->meta.history_bytes = 0;
}

void restore_commit(struct apply *a, const struct command_restore *cmd)
{
    if (!restore_is_current(a, cmd)) {
        return;
    }
    if (cmd->number != a->meta.restore_next - 1) {
        a->status = ERR_CONFLICT;
        return;
    }
    restore_drop_half(a, a->meta.restores);
    restore_drop_table(a, SCHEMA_DEATH_TABLE);
    restore_forget_history(a);
    a->meta.restores++;
    a->meta.restored = a->index;
    a->meta.restore_id = 0;
    a->meta.restore_next = 0;
    a->meta.kv_index = a->index;
    a->meta.kv_reaped = a->index;
    a->replaced = true;
}

void restore_abort(struct apply *a, const struct command_restore *cmd)
{
    if (!restore_is_current(a, cmd)) {
        return;
    }
    restore_drop_half(a, a->meta.restores + 1);
    a->meta.restore_id = 0;
    a->meta.restore_next = 0;
}
