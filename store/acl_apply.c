#include "store/acl_apply.h"

#include "core/base/limit.h"
#include "store/acl_keys.h"
#include "store/fleet.h"
#include "store/pack.h"

/* A row of any kind, by what the kinds share. */
struct acl_any {
    enum acl_kind kind;
    struct acl_token token;
    struct acl_policy policy;
    struct acl_role role;
};

static enum err any_decode(enum acl_kind kind, struct bytes data, struct acl_any *ret_row)
{
    ret_row->kind = kind;
    switch (kind) {
    case ACL_TOKEN:
        return acl_token_decode(data, &ret_row->token);
    case ACL_POLICY:
        return acl_policy_decode(data, &ret_row->policy);
    case ACL_ROLE:
        return acl_role_decode(data, &ret_row->role);
    }
    return ERR_CORRUPT;
}

static struct bytes any_id(const struct acl_any *r)
{
    return r->kind == ACL_TOKEN    ? r->token.accessor
           : r->kind == ACL_POLICY ? r->policy.id
                                   : r->role.id;
}

/* Of policies and roles. */
static struct bytes any_name(const struct acl_any *r)
{
    return r->kind == ACL_POLICY ? r->policy.name : r->role.name;
}

static uint64_t any_created(const struct acl_any *r)
{
    return r->kind == ACL_TOKEN    ? r->token.create_index
           : r->kind == ACL_POLICY ? r->policy.create_index
                                   : r->role.create_index;
}

static const char *any_word(const struct acl_any *r)
{
    return r->kind == ACL_TOKEN ? "Token" : r->kind == ACL_POLICY ? "Policy" : "Role";
}

/* The key by which it is found besides its id. */
static void any_other_key(struct apply *a, const struct acl_any *r, struct schema_key *k)
{
    if (r->kind == ACL_TOKEN) {
        acl_key_secret(k, a->meta.restores, r->token.secret);
    } else {
        (void)acl_key_name(k, a->meta.restores, r->kind, any_name(r));
    }
}

static void any_put(struct apply *a, struct acl_any *r, uint64_t created)
{
    struct schema_key k;
    enum err e = OK;
    buf_clear(&a->row);
    if (r->kind == ACL_TOKEN) {
        r->token.create_index = created;
        r->token.modify_index = a->index;
        e = acl_token_encode(&a->row, &r->token);
    } else if (r->kind == ACL_POLICY) {
        r->policy.create_index = created;
        r->policy.modify_index = a->index;
        e = acl_policy_encode(&a->row, &r->policy);
    } else {
        r->role.create_index = created;
        r->role.modify_index = a->index;
        e = acl_role_encode(&a->row, &r->role);
    }
    if (e != OK) {
        a->status = e;
        return;
    }
    (void)acl_key_row(&k, a->meta.restores, r->kind, any_id(r));
    apply_put(a, schema_key_view(&k), buf_view(&a->row));
    any_other_key(a, r, &k);
    apply_put(a, schema_key_view(&k), any_id(r));
    apply_moved(a, BYTES(FLEET_INDEX_ACL));
}

/* Whether its name or secret is another row's. */
static enum err any_is_taken(struct apply *a, const struct acl_any *r, bool *ret_taken)
{
    struct schema_key k;
    any_other_key(a, r, &k);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    *ret_taken = e == OK && !bytes_equal_nocase(a->slice.value, any_id(r));
    return e == ERR_NOT_FOUND ? OK : e;
}

/* The row at hand before; `created` 0: there is none. Its bytes stay in `a->slice`. */
static enum err any_before(struct apply *a,
                           enum acl_kind kind,
                           struct bytes id,
                           struct acl_any *ret_row,
                           bool *ret_there)
{
    struct schema_key k;
    *ret_there = false;
    if (!acl_key_row(&k, a->meta.restores, kind, id)) {
        return OK;
    }
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    if (e == OK) {
        *ret_there = true;
        return any_decode(kind, a->slice.value, ret_row);
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

/* False: refused. Forgets the name that the row had before. */
static bool any_may_follow(struct apply *a, const struct acl_any *before, const struct acl_any *r)
{
    struct schema_key k;
    if (r->kind == ACL_TOKEN) {
        if (!bytes_equal(before->token.secret, r->token.secret)) {
            apply_refuse(a, "Changing a tokens SecretID is not permitted");
            return false;
        }
    } else if (!bytes_equal_nocase(any_name(before), any_name(r))) {
        any_other_key(a, before, &k);
        apply_delete(a, schema_key_view(&k));
    }
    return true;
}

enum err acl_set(struct apply *a, const struct command_acl *cmd)
{
    struct acl_any row = {0};
    struct acl_any before = {0};
    bool taken = false;
    bool there = false;
    if (any_decode((enum acl_kind)cmd->kind, cmd->row, &row) != OK) {
        a->status = ERR_INVALID;
        return OK;
    }
    enum err e = any_is_taken(a, &row, &taken);
    if (e != OK) {
        return e;
    }
    if (taken && row.kind == ACL_TOKEN) {
        apply_refuse(a, "SecretID is not unique");
        return OK;
    }
    if (taken) {
        apply_refuse(a, "Invalid %s: A %s with Name \"%.*s\" already exists", any_word(&row),
                     any_word(&row), BYTES_FORMAT(any_name(&row)));
        return OK;
    }
    e = any_before(a, row.kind, any_id(&row), &before, &there);
    if (e != OK) {
        return e;
    }
    if (there == cmd->create) {
        apply_refuse(a, there ? "%s %.*s already exists" : "%s %.*s does not exist", any_word(&row),
                     BYTES_FORMAT(any_id(&row)));
        return OK;
    }
    if (!there || any_may_follow(a, &before, &row)) {
        any_put(a, &row, there ? any_created(&before) : a->index);
    }
    return OK;
}

enum err acl_delete(struct apply *a, const struct command_acl *cmd)
{
    struct acl_any before = {0};
    struct schema_key k;
    bool there = false;
    enum err e = any_before(a, (enum acl_kind)cmd->kind, cmd->id, &before, &there);
    if (e != OK || !there) {
        return e;
    }
    any_other_key(a, &before, &k);
    apply_delete(a, schema_key_view(&k));
    (void)acl_key_row(&k, a->meta.restores, before.kind, cmd->id);
    apply_delete(a, schema_key_view(&k));
    apply_moved(a, BYTES(FLEET_INDEX_ACL));
    return OK;
}

enum err acl_bootstrap(struct apply *a, const struct command_acl *cmd)
{
    struct schema_key k;
    uint64_t last = 0;
    acl_key_begin(&k, a->meta.restores, ACL_SORT_BOOTSTRAP);
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    if (e == OK) {
        struct unpack in = {.rest = a->slice.value};
        last = unpack_u64(&in);
    } else if (e != ERR_NOT_FOUND) {
        return e;
    }
    if (last != 0 && cmd->index != last) {
        apply_refuse(a, "Permission denied: ACL bootstrap no longer allowed (reset index: %llu)",
                     (unsigned long long)last);
        return OK;
    }
    struct command_acl set = {.kind = ACL_TOKEN, .create = true, .row = cmd->row};
    e = acl_set(a, &set);
    if (e == OK && a->status == OK) {
        char number[8];
        for (unsigned i = 0; i < sizeof number; i++) {
            number[i] = (char)(a->index >> (8 * i));
        }
        apply_put(a, schema_key_view(&k), (struct bytes){.ptr = number, .len = sizeof number});
    }
    return e;
}
