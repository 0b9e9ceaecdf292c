#include "store/apply.h"

#include "store/acl_apply.h"
#include "store/autopilot.h"
#include "store/catalog.h"
#include "store/command.h"
#include "store/event.h"
#include "store/expire.h"
#include "store/history.h"
#include "store/kv.h"
#include "store/restore.h"
#include "store/session.h"
#include "store/txn_priv.h"

#include <stdarg.h>
#include <stdio.h>

/* Two names and an address, in a sentence. */
#define APPLY_REASON_MAX 2048

void apply_change(struct apply *a, struct change *c)
{
    c->index = a->index;
    c->n = a->changes++;
    c->time_ms = a->time_ms;
    a->change_bytes += c->key.len + c->value.len;
    if (a->change_bytes > APPLY_CHANGES_MAX) {
        return;
    }
    history_record(a->batch, &a->meta, &a->row, c);
    collect_change(a->out, c);
}

/* Whether the command writes rows that it may read again. */
static bool apply_is_overlaid(enum command_type type)
{
    switch (type) {
    case COMMAND_KV_SET:
    case COMMAND_KV_DELETE:
    case COMMAND_KV_DELETE_PREFIX:
    case COMMAND_TOMBSTONE_REAP:
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_COMMIT:
    case COMMAND_RESTORE_ABORT:
    case COMMAND_AUTOPILOT_SET:
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
    case COMMAND_ACL_SET:
    case COMMAND_ACL_DELETE:
    case COMMAND_ACL_BOOTSTRAP:
        return false;
    case COMMAND_RESTORE_CHUNK:
    case COMMAND_KV_LOCK:
    case COMMAND_KV_SET_TTL:
    case COMMAND_REGISTER:
    case COMMAND_DEREGISTER:
    case COMMAND_SESSION_CREATE:
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
    case COMMAND_EXPIRE:
    case COMMAND_TXN:
        break;
    }
    return true;
}

static void apply_begin(struct apply *a)
{
    a->changes = 0;
    a->change_bytes = 0;
    a->collected = a->out->count;
    a->begun = a->meta;
    overlay_clear(&a->written);
    overlay_clear(&a->touched);
}

void apply_undo(struct apply *a)
{
    rocks_batch_clear(a->batch);
    overlay_clear(&a->written);
    overlay_clear(&a->touched);
    a->meta = a->begun;
    a->changes = 0;
    a->change_bytes = 0;
    collect_truncate(a->out, a->collected);
    if (a->proposer != 0) {
        /* Its row went with the batch, and comes again: what is refused was applied, too. */
        once_settle(a->once, false);
        once_take(a->once, a->batch, a->proposer, a->number, a->index);
    }
}

void apply_refuse(struct apply *a, const char *format, ...)
{
    char text[APPLY_REASON_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    a->status = ERR_CONFLICT;
    buf_clear(&a->detail);
    if (len > 0) {
        size_t room = sizeof text - 1;
        buf_put(&a->detail, (struct bytes){text, (size_t)len < room ? (size_t)len : room});
    }
}

static enum err apply_one(struct apply *a, const struct command *c)
{
    switch (c->type) {
    case COMMAND_KV_SET:
        return kv_set(a, &c->kv_set);
    case COMMAND_KV_DELETE:
        return kv_delete(a, &c->kv_delete);
    case COMMAND_KV_DELETE_PREFIX:
        return kv_delete_prefix(a, &c->kv_delete_prefix);
    case COMMAND_TOMBSTONE_REAP:
        return kv_reap(a, &c->tombstone_reap);
    case COMMAND_RESTORE_BEGIN:
        restore_begin(a, &c->restore);
        return OK;
    case COMMAND_RESTORE_CHUNK:
        return restore_chunk(a, &c->restore);
    case COMMAND_RESTORE_COMMIT:
        restore_commit(a, &c->restore);
        return OK;
    case COMMAND_RESTORE_ABORT:
        restore_abort(a, &c->restore);
        return OK;
    case COMMAND_AUTOPILOT_SET:
        return autopilot_set(a, &c->autopilot_set);
    case COMMAND_REGISTER:
        return catalog_register(a, &c->registration);
    case COMMAND_DEREGISTER:
        return catalog_deregister(a, &c->deregistration);
    case COMMAND_ACL_SET:
        return acl_set(a, &c->acl);
    case COMMAND_ACL_DELETE:
        return acl_delete(a, &c->acl);
    case COMMAND_ACL_BOOTSTRAP:
        return acl_bootstrap(a, &c->acl);
    case COMMAND_KV_LOCK:
        return kv_lock(a, &c->kv_lock);
    case COMMAND_KV_SET_TTL:
        return kv_set_ttl(a, &c->kv_set_ttl);
    case COMMAND_SESSION_CREATE:
        return session_create(a, &c->session);
    case COMMAND_SESSION_DESTROY:
        return session_destroy(a, &c->session);
    case COMMAND_SESSION_RENEW:
        return session_renew(a, &c->session);
    case COMMAND_EXPIRE:
        return expire(a, &c->expire);
    case COMMAND_TXN:
        return txn_apply(a, &c->txn);
    case COMMAND_EVENT:
        return event_fire(a, &c->rows);
    case COMMAND_COORDINATES:
        return coordinates_set(a, &c->rows);
    }
    a->status = ERR_INVALID;
    return OK;
}

enum err apply_command(struct apply *a, struct bytes command)
{
    struct command c;
    a->proposer = 0;
    a->number = 0;
    apply_begin(a);
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
    a->overlaid = apply_is_overlaid(c.type);
    enum err e = apply_one(a, &c);
    if (e == OK && a->touched.count > 0) {
        e = catalog_settle(a);
    }
    if (e == OK && a->change_bytes > APPLY_CHANGES_MAX) {
        restore_forget_history(a);
        a->replaced = true;
    }
    return e;
}
