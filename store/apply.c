#include "store/apply.h"

#include "store/autopilot.h"
#include "store/command.h"
#include "store/history.h"
#include "store/kv.h"
#include "store/restore.h"

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
    a->proposer = 0;
    a->number = 0;
    a->status = command_decode(command, &c);
    if (a->status != OK) {
        return OK;
    }
    a->proposer = c.proposer;
    a->number = c.number;
    if (c.proposer != 0) {
        a->status = once_check(a->once, c.proposer, c.number);
        if (a->status != OK) {
            a->status = a->status == ERR_CONFLICT ? ERR_IN_USE : a->status;
            return OK;
        }
        once_take(a->once, a->batch, c.proposer, c.number, a->index);
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
    case COMMAND_RESTORE_BEGIN:
        restore_begin(a, &c.restore);
        return OK;
    case COMMAND_RESTORE_CHUNK:
        restore_chunk(a, &c.restore);
        return OK;
    case COMMAND_RESTORE_COMMIT:
        restore_commit(a, &c.restore);
        return OK;
    case COMMAND_RESTORE_ABORT:
        restore_abort(a, &c.restore);
        return OK;
    case COMMAND_AUTOPILOT_SET:
        return autopilot_set(a, &c.autopilot_set);
    case COMMAND_KV_LOCK:
    case COMMAND_KV_SET_TTL:
    case COMMAND_REGISTER:
    case COMMAND_DEREGISTER:
    case COMMAND_SESSION_CREATE:
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
    case COMMAND_EXPIRE:
    case COMMAND_TXN:
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
        break;
    }
    a->status = ERR_INVALID;
    return OK;
}
