/* Rows of access control as JSON, and what is common to their handlers. */
#include "core/api/acl.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "store/fleet.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static json_t *text_json(struct bytes text)
{
    json_t *json = json_stringn(text.ptr == NULL ? "" : text.ptr, text.len);
    /* What is not UTF-8 cannot be shown. */
    return json == NULL ? json_string("") : json;
}

static void put(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static void put_time(json_t *object, const char *name, uint64_t wall_ms)
{
    char text[TIME_TEXT_LEN];
    time_text(wall_ms, text);
    put(object, name, json_string(text));
}

static unsigned hex_value(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* A digest of what it says; not of its indexes. */
static json_t *hash_json(const struct bytes *parts, size_t count)
{
    struct buf all;
    struct buf text;
    char hex[ACL_HASH_LEN];
    char raw[ACL_HASH_LEN / 2];
    buf_init(&all, MIB(1));
    buf_init(&text, KIB(1));
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        e = texts_add(&all, parts[i]);
    }
    acl_hash(buf_view(&all), hex);
    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    }
    e = e == OK ? base64_encode(&text, (struct bytes){.ptr = raw, .len = sizeof raw}) : e;
    json_t *json = text_json(e == OK ? buf_view(&text) : BYTES(""));
    buf_close(&all);
    buf_close(&text);
    return json;
}

/* --- links ------------------------------------------------------------------------------------ */

static void link_append(json_t *list, struct bytes id, struct bytes name)
{
    json_t *link = json_object();
    put(link, "ID", text_json(id));
    put(link, "Name", text_json(name));
    (void)json_array_append_new(list, link);
}

static json_t *policies_json(struct view *v, struct bytes ids)
{
    json_t *list = json_array();
    struct bytes id;
    while (texts_next(&ids, &id)) {
        struct view_pin pin = {0};
        struct acl_policy policy;
        if (view_acl_policy(v, id, &pin, &policy) == OK) {
            link_append(list, policy.id, policy.name);
        }
        view_pin_close(&pin);
    }
    return list;
}

static json_t *roles_json(struct view *v, struct bytes ids)
{
    json_t *list = json_array();
    struct bytes id;
    while (texts_next(&ids, &id)) {
        struct view_pin pin = {0};
        struct acl_role role;
        if (view_acl_role(v, id, &pin, &role) == OK) {
            link_append(list, role.id, role.name);
        }
        view_pin_close(&pin);
    }
    return list;
}

static json_t *texts_json(struct bytes texts)
{
    json_t *list = json_array();
    struct bytes text;
    while (texts_next(&texts, &text)) {
        (void)json_array_append_new(list, text_json(text));
    }
    return list;
}

static json_t *services_json(struct bytes services)
{
    json_t *list = json_array();
    struct bytes service;
    while (texts_next(&services, &service)) {
        struct bytes name = {0};
        json_t *row = json_object();
        (void)texts_next(&service, &name);
        put(row, "ServiceName", text_json(name));
        if (service.len > 0) {
            put(row, "Datacenters", texts_json(service));
        }
        (void)json_array_append_new(list, row);
    }
    return list;
}

static json_t *nodes_json(struct bytes nodes)
{
    json_t *list = json_array();
    struct bytes name;
    struct bytes datacenter;
    while (texts_next(&nodes, &name) && texts_next(&nodes, &datacenter)) {
        json_t *row = json_object();
        put(row, "NodeName", text_json(name));
        put(row, "Datacenter", text_json(datacenter));
        (void)json_array_append_new(list, row);
    }
    return list;
}

/* Empty lists are left out, as Go does it. */
static void put_list(json_t *object, const char *name, json_t *list)
{
    if (json_array_size(list) > 0) {
        put(object, name, list);
    } else {
        json_decref(list);
    }
}

static void put_links(json_t *object, struct view *v, const struct acl_links *l, bool of_token)
{
    put_list(object, "Policies", policies_json(v, l->policies));
    if (of_token) {
        put_list(object, "Roles", roles_json(v, l->roles));
    }
    put_list(object, "ServiceIdentities", services_json(l->services));
    put_list(object, "NodeIdentities", nodes_json(l->nodes));
}

static void put_indexes(json_t *object, uint64_t created, uint64_t modified)
{
    put(object, "CreateIndex", json_integer((json_int_t)created));
    put(object, "ModifyIndex", json_integer((json_int_t)modified));
}

/* --- rows ------------------------------------------------------------------------------------- */

json_t *acl_token_json(struct view *v, const struct acl_token *t, bool listed)
{
    const struct bytes parts[] = {t->description,    t->links.policies, t->links.roles,
                                  t->links.services, t->links.nodes,    t->rules};
    json_t *o = json_object();
    put(o, "AccessorID", text_json(t->accessor));
    if (!listed) {
        put(o, "SecretID", text_json(t->secret));
    }
    put(o, "Description", text_json(t->description));
    put_links(o, v, &t->links, true);
    put(o, "Local", json_boolean(t->local));
    if (t->expires_ms > 0) {
        put_time(o, "ExpirationTime", t->expires_ms);
    }
    put_time(o, "CreateTime", t->create_ms);
    put(o, "Hash", hash_json(parts, sizeof parts / sizeof parts[0]));
    if (t->type.len > 0 && listed) {
        put(o, "Legacy", json_true());
    } else if (t->rules.len > 0) {
        put(o, "Rules", text_json(t->rules));
    }
    put_indexes(o, t->create_index, t->modify_index);
    return o;
}

json_t *acl_policy_json(const struct acl_policy *p, bool listed)
{
    const struct bytes parts[] = {p->name, p->description, p->rules, p->datacenters};
    json_t *o = json_object();
    put(o, "ID", text_json(p->id));
    put(o, "Name", text_json(p->name));
    put(o, "Description", text_json(p->description));
    if (!listed) {
        put(o, "Rules", text_json(p->rules));
    }
    if (p->datacenters.len > 0) {
        put(o, "Datacenters", texts_json(p->datacenters));
    } else if (listed) {
        put(o, "Datacenters", json_null());
    }
    put(o, "Hash", hash_json(parts, sizeof parts / sizeof parts[0]));
    put_indexes(o, p->create_index, p->modify_index);
    return o;
}

json_t *acl_role_json(struct view *v, const struct acl_role *role)
{
    const struct bytes parts[] = {role->name, role->description, role->links.policies,
                                  role->links.services, role->links.nodes};
    json_t *o = json_object();
    put(o, "ID", text_json(role->id));
    put(o, "Name", text_json(role->name));
    put(o, "Description", text_json(role->description));
    put_links(o, v, &role->links, false);
    put(o, "Hash", hash_json(parts, sizeof parts / sizeof parts[0]));
    put_indexes(o, role->create_index, role->modify_index);
    return o;
}

bool acl_is_management(const struct acl_token *t)
{
    return bytes_equal(t->type, BYTES("management")) ||
           texts_have(t->links.policies, BYTES(ACL_MANAGEMENT_POLICY));
}

const json_t *acl_member(const json_t *object, const char *name)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_t *o = (json_t *)(uintptr_t)object;
    json_object_foreach(o, key, value)
    {
        if (strcasecmp(key, name) == 0) {
            return json_is_null(value) ? NULL : value;
        }
    }
    return NULL;
}

struct bytes acl_member_text(const json_t *object, const char *name)
{
    const json_t *value = acl_member(object, name);
    return json_is_string(value)
               ? (struct bytes){.ptr = json_string_value(value), .len = json_string_length(value)}
               : (struct bytes){0};
}

/* --- reading ---------------------------------------------------------------------------------- */

bool acl_is_on(struct request *r)
{
    if (!rights_enabled()) {
        reply_text(r, 401, "ACL support disabled");
    }
    return rights_enabled();
}

/* The variant: u8 pretty, the function, the id. */
static enum err acl_evaluate(struct view *v,
                             struct bytes target,
                             struct bytes variant,
                             struct watch_answer *ret_answer)
{
    acl_show_fn *show = NULL;
    struct watch_answer answer = {
        .status = 403,
        .index = view_fleet_index(v, target),
        .content_type = "text/plain; charset=utf-8",
    };
    memcpy((void *)&show, variant.ptr + 1, sizeof show);
    json_t *json = show(v, bytes_slice(variant, 1 + sizeof show, variant.len));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    answer.wake_index = answer.index;
    if (text == NULL) {
        answer.body = shared_copy(0, BYTES("ACL not found"));
        *ret_answer = answer;
        return OK;
    }
    struct buf pretty;
    buf_init(&pretty, KV_ANSWER_MAX);
    enum err e = variant.ptr[0] != 0 ? json_pretty(&pretty, bytes_of(text)) : OK;
    if (e == OK) {
        answer.status = 200;
        answer.content_type = "application/json";
        answer.body = shared_copy(0, variant.ptr[0] != 0 ? buf_view(&pretty) : bytes_of(text));
        *ret_answer = answer;
    }
    buf_close(&pretty);
    free(text);
    return e;
}

void acl_answer(struct request *r, acl_show_fn *show, struct bytes id)
{
    struct read_options options;
    if (!api_read_options(r, &options)) {
        return;
    }
    size_t len = 1 + sizeof show + id.len;
    char *variant = arena_alloc(r->arena, len);
    if (variant == NULL) {
        reply_err(r, ERR_TOO_BIG);
        return;
    }
    variant[0] = (char)options.pretty;
    memcpy(variant + 1, (const void *)&show, sizeof show);
    if (id.len > 0) {
        memcpy(variant + 1 + sizeof show, id.ptr, id.len);
    }
    struct watch_query q = {
        .kind = WATCH_INDEX,
        .target = BYTES(FLEET_INDEX_ACL),
        .variant = {.ptr = variant, .len = len},
        .evaluate = acl_evaluate,
    };
    api_answer_query(r, &q, &options);
}

json_t *acl_body(struct request *r)
{
    json_error_t error;
    json_t *body = r->body.len == 0 || r->body.len > MIB(1)
                       ? NULL
                       : json_loadb(r->body.ptr, r->body.len, 0, &error);
    if (!json_is_object(body)) {
        json_decref(body);
        reply_text(r, 400, "Failed to decode request body: %s",
                   r->body.len == 0 ? "EOF" : "expected an object");
        return NULL;
    }
    return body;
}

bool acl_id_fits(struct request *r, const char *what, struct bytes id)
{
    if (id.len == UUID_TEXT_LEN - 1) {
        return true;
    }
    api_meta_headers(r, 1);
    reply_text(r, 500, "failed acl %s lookup: index error: UUID must be 36 characters", what);
    return false;
}
