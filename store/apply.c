#include "store/apply.h"

#include "store/autopilot.h"
#include "store/command.h"
#include "store/history.h"
#include "store/kv.h"

void apply_change(struct apply *a, struct change *c)
{
    c->index = a->index;
    c->time_ms = a->time_ms;
    history_record(a->batch, &a->meta, &a->row, c);
    collect_change(a->out, c);
}

enum err apply_command(struct apply *a, struct bytes command)
{
    struct command c;
    a->status = command_decode(command, &c);
    if (a->status != OK) {
        return OK;
    }
    a->time_ms = c.time_ms;
    switch (c.type) {
    case COMMAND_KV_SET:
        return kv_set(a, &c.kv_set);
    case COMMAND_KV_DELETE:
        return kv_delete(a, &c.kv_delete);
    case COMMAND_KV_DELETE_PREFIX:
        return kv_delete_prefix(a, &c.kv_delete_prefix);
    case COMMAND_TOMBSTONE_REAP:
        return kv_reap(a, &c.tombstone_reap);
    case COMMAND_AUTOPILOT_SET:
        return autopilot_set(a, &c.autopilot_set);
    }
    a->status = ERR_INVALID;
    return OK;
}
