#include "store/acl_rows.h"

#include "core/base/limit.h"
#include "store/acl_keys.h"
#include "store/pack.h"

#define ACL_ROW_VERSION 1
#define ACL_ROW_FRAME   128U

/* --- what a row may hold --------------------------------------------------------------------- */

static bool name_fits(struct bytes name, size_t max)
{
    return name.len > 0 && name.len <= max && bytes_find(name, '\0') == name.len;
}

static bool links_fit(const struct acl_links *l)
{
    const struct bytes lists[] = {l->policies, l->roles, l->services, l->nodes};
    struct bytes services = l->services;
    struct bytes service;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].len > ACL_LINKS_MAX || !texts_valid(lists[i])) {
            return false;
        }
    }
    while (texts_next(&services, &service)) {
        if (service.len == 0 || !texts_valid(service)) {
            return false;
        }
    }
    return texts_count(l->nodes) % 2 == 0;
}

static bool token_fits(const struct acl_token *r)
{
    return name_fits(r->accessor, SESSION_ID_MAX) && name_fits(r->secret, ACL_SECRET_MAX) &&
           r->description.len <= ROW_TEXT_MAX && r->type.len <= ACL_NAME_MAX &&
           r->rules.len <= ACL_RULES_LEN_MAX && links_fit(&r->links);
}

static bool policy_fits(const struct acl_policy *r)
{
    return name_fits(r->id, SESSION_ID_MAX) && name_fits(r->name, ACL_NAME_MAX) &&
           r->description.len <= ROW_TEXT_MAX && r->rules.len <= ACL_RULES_LEN_MAX &&
           r->datacenters.len <= ACL_LINKS_MAX && texts_valid(r->datacenters);
}

static bool role_fits(const struct acl_role *r)
{
    return name_fits(r->id, SESSION_ID_MAX) && name_fits(r->name, ACL_NAME_MAX) &&
           r->description.len <= ROW_TEXT_MAX && links_fit(&r->links);
}

/* --- as bytes -------------------------------------------------------------------------------- */

static void links_pack(struct buf *out, const struct acl_links *l)
{
    pack_bytes(out, l->policies);
    pack_bytes(out, l->roles);
    pack_bytes(out, l->services);
    pack_bytes(out, l->nodes);
}

static size_t links_len(const struct acl_links *l)
{
    return l->policies.len + l->roles.len + l->services.len + l->nodes.len;
}

static void links_unpack(struct unpack *in, struct acl_links *ret_links)
{
    ret_links->policies = unpack_bytes(in, ACL_LINKS_MAX);
    ret_links->roles = unpack_bytes(in, ACL_LINKS_MAX);
    ret_links->services = unpack_bytes(in, ACL_LINKS_MAX);
    ret_links->nodes = unpack_bytes(in, ACL_LINKS_MAX);
}

enum err acl_token_encode(struct buf *out, const struct acl_token *r)
{
    if (!token_fits(r)) {
        return ERR_TOO_BIG;
    }
    enum err e =
        buf_reserve(out, ACL_ROW_FRAME + r->accessor.len + r->secret.len + r->description.len +
                             r->type.len + r->rules.len + links_len(&r->links));
    if (e != OK) {
        return e;
    }
    pack_u8(out, ACL_ROW_VERSION);
    pack_u8(out, r->local);
    pack_u64(out, r->create_ms);
    pack_u64(out, r->expires_ms);
    pack_u64(out, r->create_index);
    pack_u64(out, r->modify_index);
    pack_bytes(out, r->accessor);
    pack_bytes(out, r->secret);
    pack_bytes(out, r->description);
    pack_bytes(out, r->type);
    pack_bytes(out, r->rules);
    links_pack(out, &r->links);
    return OK;
}

enum err acl_token_decode(struct bytes data, struct acl_token *ret_row)
{
    struct unpack in = {.rest = data};
    struct acl_token r = {0};
    uint8_t version = unpack_u8(&in);
    uint8_t local = unpack_u8(&in);
    r.local = local == 1;
    r.create_ms = unpack_u64(&in);
    r.expires_ms = unpack_u64(&in);
    r.create_index = unpack_u64(&in);
    r.modify_index = unpack_u64(&in);
    r.accessor = unpack_bytes(&in, SESSION_ID_MAX);
    r.secret = unpack_bytes(&in, ACL_SECRET_MAX);
    r.description = unpack_bytes(&in, ROW_TEXT_MAX);
    r.type = unpack_bytes(&in, ACL_NAME_MAX);
    r.rules = unpack_bytes(&in, ACL_RULES_LEN_MAX);
    links_unpack(&in, &r.links);
    if (!unpack_done(&in) || version != ACL_ROW_VERSION || local > 1 || !token_fits(&r)) {
        return ERR_CORRUPT;
    }
    *ret_row = r;
    return OK;
}

enum err acl_policy_encode(struct buf *out, const struct acl_policy *r)
{
    if (!policy_fits(r)) {
        return ERR_TOO_BIG;
    }
    enum err e = buf_reserve(out, ACL_ROW_FRAME + r->id.len + r->name.len + r->description.len +
                                      r->rules.len + r->datacenters.len);
    if (e != OK) {
        return e;
    }
    pack_u8(out, ACL_ROW_VERSION);
    pack_u64(out, r->create_index);
    pack_u64(out, r->modify_index);
    pack_bytes(out, r->id);
    pack_bytes(out, r->name);
    pack_bytes(out, r->description);
    pack_bytes(out, r->rules);
    pack_bytes(out, r->datacenters);
    return OK;
}

enum err acl_policy_decode(struct bytes data, struct acl_policy *ret_row)
{
    struct unpack in = {.rest = data};
    struct acl_policy r = {0};
    uint8_t version = unpack_u8(&in);
    r.create_index = unpack_u64(&in);
    r.modify_index = unpack_u64(&in);
    r.id = unpack_bytes(&in, SESSION_ID_MAX);
    r.name = unpack_bytes(&in, ACL_NAME_MAX);
    r.description = unpack_bytes(&in, ROW_TEXT_MAX);
    r.rules = unpack_bytes(&in, ACL_RULES_LEN_MAX);
    r.datacenters = unpack_bytes(&in, ACL_LINKS_MAX);
    if (!unpack_done(&in) || version != ACL_ROW_VERSION || !policy_fits(&r)) {
        return ERR_CORRUPT;
    }
    *ret_row = r;
    return OK;
}

enum err acl_role_encode(struct buf *out, const struct acl_role *r)
{
    if (!role_fits(r)) {
        return ERR_TOO_BIG;
    }
    enum err e = buf_reserve(out, ACL_ROW_FRAME + r->id.len + r->name.len + r->description.len +
                                      links_len(&r->links));
    if (e != OK) {
        return e;
    }
    pack_u8(out, ACL_ROW_VERSION);
    pack_u64(out, r->create_index);
    pack_u64(out, r->modify_index);
    pack_bytes(out, r->id);
    pack_bytes(out, r->name);
    pack_bytes(out, r->description);
    links_pack(out, &r->links);
    return OK;
}

enum err acl_role_decode(struct bytes data, struct acl_role *ret_row)
{
    struct unpack in = {.rest = data};
    struct acl_role r = {0};
    uint8_t version = unpack_u8(&in);
    r.create_index = unpack_u64(&in);
    r.modify_index = unpack_u64(&in);
    r.id = unpack_bytes(&in, SESSION_ID_MAX);
    r.name = unpack_bytes(&in, ACL_NAME_MAX);
    r.description = unpack_bytes(&in, ROW_TEXT_MAX);
    links_unpack(&in, &r.links);
    if (!unpack_done(&in) || version != ACL_ROW_VERSION || !role_fits(&r)) {
        return ERR_CORRUPT;
    }
    *ret_row = r;
    return OK;
}

/* --- keys ------------------------------------------------------------------------------------ */

void acl_key_begin(struct schema_key *k, uint64_t restores, char sort)
{
    schema_fleet_begin(k, restores, FLEET_ACL);
    schema_fleet_exact(k, (struct bytes){.ptr = &sort, .len = 1});
}

bool acl_key_row(struct schema_key *k, uint64_t restores, enum acl_kind kind, struct bytes id)
{
    if (id.len == 0 || id.len > SESSION_ID_MAX) {
        return false;
    }
    acl_key_begin(k, restores, (char)kind);
    schema_fleet_part(k, id, false);
    return true;
}

bool acl_key_name(struct schema_key *k, uint64_t restores, enum acl_kind kind, struct bytes name)
{
    if (name.len == 0 || name.len > ACL_NAME_MAX) {
        return false;
    }
    acl_key_begin(k, restores, kind == ACL_ROLE ? ACL_SORT_ROLE_NAME : ACL_SORT_POLICY_NAME);
    schema_fleet_part(k, name, false);
    return true;
}

void acl_key_secret(struct schema_key *k, uint64_t restores, struct bytes secret)
{
    char hex[ACL_HASH_LEN];
    acl_hash(secret, hex);
    acl_key_begin(k, restores, ACL_SORT_SECRET);
    schema_fleet_exact(k, (struct bytes){.ptr = hex, .len = sizeof hex});
}

enum err acl_row_check(struct bytes rest, struct bytes value)
{
    if (rest.len == 0) {
        return ERR_CORRUPT;
    }
    switch (rest.ptr[0]) {
    case ACL_TOKEN:
        return acl_token_decode(value, &(struct acl_token){0});
    case ACL_POLICY:
        return acl_policy_decode(value, &(struct acl_policy){0});
    case ACL_ROLE:
        return acl_role_decode(value, &(struct acl_role){0});
    case ACL_SORT_SECRET:
    case ACL_SORT_POLICY_NAME:
    case ACL_SORT_ROLE_NAME:
        return value.len > 0 && value.len <= SESSION_ID_MAX ? OK : ERR_CORRUPT;
    case ACL_SORT_BOOTSTRAP:
        return value.len == 8 ? OK : ERR_CORRUPT;
    default:
        return ERR_CORRUPT;
    }
}
