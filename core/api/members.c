/* /v1/agent/members, join, leave, force-leave; /v1/operator/keyring. */
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/host.h"

#include <stdio.h>
#include <string.h>

/* The pool of the servers of all datacenters is meant. */
static bool members_wan(struct request *r)
{
    struct bytes value;
    return request_arg(r, "wan", &value) && bytes_equal(value, BYTES("1"));
}

/* --- members ------------------------------------------------------------------------------------
 */

static void members_answer_list(struct request *r, const struct members_order *o)
{
    json_t *list = json_array();
    for (size_t i = 0; i < o->count; i++) {
        const struct gossip_member *m = &o->members[i];
        if (rights_see(ACL_NODE, bytes_of(m->name))) {
            (void)json_array_append_new(list, member_json(m));
        }
    }
    api_reply_value(r, 200, list);
}

void api_agent_members(struct request *r)
{
    const struct members_order o = {.verb = MEMBERS_LIST, .wan = members_wan(r)};
    api_members_order(r, &o, members_answer_list);
}

/* False: too long, which has been answered. */
static bool members_text(struct request *r, struct members_order *o, struct bytes text)
{
    if (text.len >= sizeof o->text || memchr(text.ptr, '\0', text.len) != NULL) {
        reply_text(r, 400, "Too long: %zu bytes", text.len);
        return false;
    }
    (void)snprintf(o->text, sizeof o->text, "%.*s", BYTES_FORMAT(text));
    return true;
}

void api_agent_join(struct request *r)
{
    struct members_order o = {.verb = MEMBERS_JOIN, .wan = members_wan(r)};
    if (members_text(r, &o, r->rest)) {
        api_members_order(r, &o, NULL);
    }
}

void api_agent_force_leave(struct request *r)
{
    struct members_order o = {.verb = MEMBERS_FORCE_LEAVE, .wan = members_wan(r)};
    struct bytes value;
    o.prune = request_arg(r, "prune", &value);
    if (members_text(r, &o, r->rest)) {
        api_members_order(r, &o, NULL);
    }
}

static void leave_done(struct request *r, const struct members_order *o)
{
    struct host *host = api_of(r)->host;
    (void)o;
    /* The answer goes out first: stopping lets answers finish. */
    reply_shared(r, 200, NULL, NULL);
    host_stop(host);
}

void api_agent_leave(struct request *r)
{
    const struct members_order o = {.verb = MEMBERS_LEAVE};
    api_members_order(r, &o, leave_done);
}

/* --- keys ---------------------------------------------------------------------------------------
 */

static json_t *keyring_json(const struct request *r, bool wan, const struct gossip_key_result *ring)
{
    json_t *keys = json_object();
    json_t *primary = json_object();
    for (size_t i = 0; i < ring->key_count; i++) {
        const struct gossip_key_count *k = &ring->keys[i];
        (void)json_object_set_new(keys, k->key, json_integer(k->members));
        if (k->primary_members > 0) {
            (void)json_object_set_new(primary, k->key, json_integer(k->primary_members));
        }
    }
    return json_pack("{s:b, s:s, s:s, s:o, s:o, s:i}", "WAN", wan, "Datacenter",
                     api_of(r)->config->datacenter, "Segment", "", "Keys", keys, "PrimaryKeys",
                     primary, "NumNodes", (int)ring->members);
}

static void keyring_answer(struct request *r, const struct members_order *o)
{
    json_t *pools = json_array();
    if (o->wan_keys.members > 0) {
        (void)json_array_append_new(pools, keyring_json(r, true, &o->wan_keys));
    }
    (void)json_array_append_new(pools, keyring_json(r, false, &o->keys));
    api_reply_value(r, 200, pools);
}

/* The body's Key; false: there is none, which has been answered. */
static bool keyring_key(struct request *r, struct members_order *o)
{
    json_error_t error;
    json_t *body = r->body.len == 0 || r->body.len > KIB(64)
                       ? NULL
                       : json_loadb(r->body.ptr, r->body.len, 0, &error);
    const char *key = json_string_value(json_object_get(body, "Key"));
    struct buf raw;
    buf_init(&raw, KIB(64));
    bool fits = key != NULL && base64_decode(&raw, bytes_of(key)) == OK &&
                (raw.len == 16 || raw.len == 24 || raw.len == 32);
    buf_close(&raw);
    if (fits) {
        (void)snprintf(o->text, sizeof o->text, "%s", key);
    } else {
        reply_text(r, 400,
                   "Request decode failed: expected {\"Key\": \"...\"} with 16, 24 or 32 "
                   "bytes in base64");
    }
    json_decref(body);
    return fits;
}

void api_operator_keyring(struct request *r)
{
    struct members_order o = {.verb = MEMBERS_KEY, .key_order = GOSSIP_KEY_LIST};
    if (r->method == METHOD_GET) {
        api_members_order(r, &o, keyring_answer);
        return;
    }
    o.key_order = r->method == METHOD_POST  ? GOSSIP_KEY_INSTALL
                  : r->method == METHOD_PUT ? GOSSIP_KEY_USE
                                            : GOSSIP_KEY_REMOVE;
    if (keyring_key(r, &o)) {
        api_members_order(r, &o, NULL);
    }
}
