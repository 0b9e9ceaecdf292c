#include "store/expire.h"

#include "core/base/check.h"
#include "store/kv.h"
#include "store/pack.h"
#include "store/schema_fleet.h"
#include "store/session.h"

/* The name that tells of it: a prefix, a digit, a key. */
#define EXPIRY_NAME_MAX (sizeof FLEET_INDEX_EXPIRY + 1 + KV_KEY_MAX)

static void expiry_tell(struct apply *a, enum expiry_kind kind, struct bytes name)
{
    struct buf text;
    buf_init(&text, EXPIRY_NAME_MAX);
    buf_put_str(&text, FLEET_INDEX_EXPIRY);
    buf_put_char(&text, (char)('0' + kind));
    buf_put(&text, name);
    collect_moved(a->out, buf_view(&text));
    buf_close(&text);
}

void expiry_set(struct apply *a, enum expiry_kind kind, struct bytes name, uint64_t after_ms)
{
    struct schema_key k;
    struct buf row;
    buf_init(&row, 16);
    pack_u64(&row, after_ms);
    pack_u64(&row, a->index);
    schema_fleet_expiry(&k, a->meta.restores, (uint8_t)kind, name);
    apply_put(a, schema_key_view(&k), buf_view(&row));
    buf_close(&row);
    expiry_tell(a, kind, name);
}

void expiry_forget(struct apply *a, enum expiry_kind kind, struct bytes name)
{
    struct schema_key k;
    schema_fleet_expiry(&k, a->meta.restores, (uint8_t)kind, name);
    apply_delete(a, schema_key_view(&k));
    expiry_tell(a, kind, name);
}

enum err
expiry_get(struct apply *a, enum expiry_kind kind, struct bytes name, struct expiry *ret_expiry)
{
    struct schema_key k;
    schema_fleet_expiry(&k, a->meta.restores, (uint8_t)kind, name);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    if (e != OK) {
        return e;
    }
    struct unpack in = {.rest = a->slice.value};
    struct expiry x = {.kind = kind, .name = name};
    x.after_ms = unpack_u64(&in);
    x.set_index = unpack_u64(&in);
    if (!unpack_done(&in)) {
        return ERR_CORRUPT;
    }
    *ret_expiry = x;
    return OK;
}

enum err expire(struct apply *a, const struct command_expire *cmd)
{
    struct expiry x;
    if (cmd->kind > EXPIRY_LOCK_DELAY ||
        (cmd->kind == EXPIRY_SESSION && cmd->name.len > SESSION_ID_MAX)) {
        a->status = ERR_INVALID;
        return OK;
    }
    enum expiry_kind kind = (enum expiry_kind)cmd->kind;
    enum err e = expiry_get(a, kind, cmd->name, &x);
    if (e == ERR_NOT_FOUND || (e == OK && x.set_index != cmd->set_index)) {
        a->status = ERR_CONFLICT;
        return OK;
    }
    if (e != OK) {
        return e;
    }
    switch (kind) {
    case EXPIRY_SESSION:
        return session_end(a, cmd->name);
    case EXPIRY_KEY:
        return kv_delete(a, &(struct command_kv_delete){.key = cmd->name});
    case EXPIRY_LOCK_DELAY:
        expiry_forget(a, kind, cmd->name);
        break;
    }
    return OK;
}
