/* Locks: keys that a session holds. */
#include "core/base/check.h"
#include "store/expire.h"
#include "store/kv_priv.h"
#include "store/session.h"

#include <string.h>

_Static_assert(SESSION_ID_MAX <= SCHEMA_SESSION_MAX, "a session fits a key's row");

/* Whether this session may take this key at all; `id`: as the session itself writes it. */
static enum err
kv_lock_may(struct apply *a, const struct command_kv_lock *cmd, char *id, size_t *ret_len)
{
    struct session_row session;
    struct expiry delay;
    enum err e = session_read(a, cmd->session, &session);
    if (e == ERR_NOT_FOUND) {
        apply_refuse(a, "invalid session \"%.*s\"", BYTES_FORMAT(cmd->session));
        return OK;
    }
    if (e != OK) {
        return e;
    }
    CHECK(session.id.len <= SESSION_ID_MAX);
    memcpy(id, session.id.ptr, session.id.len);
    *ret_len = session.id.len;
    e = expiry_get(a, EXPIRY_LOCK_DELAY, cmd->key, &delay);
    if (e == OK) {
        apply_refuse(a, "%s", KV_LOCK_DELAYED);
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err kv_lock(struct apply *a, const struct command_kv_lock *cmd)
{
    char id[SESSION_ID_MAX];
    struct bytes session = {.ptr = id};
    struct kv_row old;
    enum err e = cmd->acquire ? kv_lock_may(a, cmd, id, &session.len) : OK;
    if (e == OK && a->status == OK) {
        e = kv_read(a, cmd->key, &old);
    }
    if (e != OK || a->status != OK) {
        return e;
    }
    bool held = !old.dead && bytes_equal_nocase(old.session, cmd->session);
    if (!held && (!cmd->acquire || old.session.len > 0)) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    struct kv_row row = {
        .key = cmd->key,
        .value = cmd->value,
        .flags = cmd->flags,
        .lock_index = old.lock_index + (cmd->acquire && !held),
        .session = cmd->acquire ? session : (struct bytes){0},
    };
    (void)kv_replace(a, &old, &row);
    return OK;
}

enum err kv_let_go(struct apply *a, struct bytes key, const struct session_row *session)
{
    struct kv_row old;
    enum err e = kv_read(a, key, &old);
    if (e != OK || old.dead || !bytes_equal_nocase(old.session, session->id)) {
        return e;
    }
    if (session->behavior == SESSION_DELETE) {
        kv_bury(a, &old);
        return OK;
    }
    struct kv_row row = old;
    row.session = (struct bytes){0};
    (void)kv_replace(a, &old, &row);
    return OK;
}
