#include "store/autopilot.h"

/* A row that is not there is one of index 0. */
static enum err autopilot_read(struct apply *a, struct autopilot *ret_row)
{
    struct schema_key k;
    schema_key_autopilot(&k);
    *ret_row = (struct autopilot){0};
    enum err e = rocks_get(a->db, NULL, schema_key_view(&k), &a->slice, a->why);
    if (e == ERR_NOT_FOUND) {
        return OK;
    }
    e = e == OK ? schema_autopilot_decode(a->slice.value, ret_row) : e;
    if (e == ERR_CORRUPT && a->why != NULL) {
        reason_set(a->why, "autopilot's row of the state database is not of our format");
    }
    return e;
}

enum err autopilot_set(struct apply *a, const struct command_autopilot_set *cmd)
{
    struct autopilot row;
    enum err e = autopilot_read(a, &row);
    if (e != OK) {
        return e;
    }
    if (cmd->check && row.modify_index != cmd->index) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    uint64_t created = row.create_index > 0 ? row.create_index : a->index;
    row = cmd->autopilot;
    row.create_index = created;
    row.modify_index = a->index;
    struct schema_key k;
    schema_key_autopilot(&k);
    schema_autopilot_encode(&a->row, &row);
    rocks_batch_put(a->batch, schema_key_view(&k), buf_view(&a->row));
    return OK;
}
