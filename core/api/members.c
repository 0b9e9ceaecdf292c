/* /v1/agent/members, join, leave, force-leave; /v1/operator/keyring. */
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/host.h"

#include <stdio.h>
#include <string.h>

/* --- members ------------------------------------------------------------------------------------
 */

/* With `?wan` the servers alone, by the names that a pool of several datacenters would give them.
 */
static void members_answer_list(struct request *r, const struct members_order *o)
{
    struct bytes value;
    bool wan = request_arg(r, "wan", &value) && bytes_equal(value, BYTES("1"));
    json_t *list = json_array();
    for (size_t i = 0; i < o->count; i++) {
        const struct gossip_member *m = &o->members[i];
        const char *role = gossip_tag(m, "role");
        if (!rights_see(ACL_NODE, bytes_of(m->name))) {
            continue;
        }
        json_t *row = member_json(m);
        if (wan) {
            (void)json_object_set_new(
                row, "Name", json_sprintf("%s.%s", m->name, api_of(r)->config->datacenter));
        }
        if (wan && (role == NULL || strcmp(role, "consul") != 0)) {
            json_decref(row);
        } else {
            (void)json_array_append_new(list, row);
        }
    }
    api_reply_value(r, 200, list);
}

void api_agent_members(struct request *r)
{
    const struct members_order o = {.verb = MEMBERS_LIST};
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
    struct members_order o = {.verb = MEMBERS_JOIN};
    struct bytes value;
    if (request_arg(r, "wan", &value) && bytes_equal(value, BYTES("1"))) {
        reply_text(r, 500, "joining another datacenter (?wan) is not available in this build yet");
    } else if (members_text(r, &o, r->rest)) {
        api_members_order(r, &o, NULL);
    }
}

void api_agent_force_leave(struct request *r)
{
    struct members_order o = {.verb = MEMBERS_FORCE_LEAVE};
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

static void keyring_answer(struct request *r, const struct members_order *o)
{
    json_t *keys = json_object();
    json_t *primary = json_object();
    for (size_t i = 0; i < o->keys.key_count; i++) {
        const struct gossip_key_count *k = &o->keys.keys[i];
        (void)json_object_set_new(keys, k->key, json_integer(k->members));
        if (k->primary_members > 0) {
            (void)json_object_set_new(primary, k->key, json_integer(k->primary_members));
        }
    }
    api_reply_value(r, 200,
                    json_pack("[{s:b, s:s, s:s, s:o, s:o, s:i}]", "WAN", 0, "Datacenter",
                              api_of(r)->config->datacenter, "Segment", "", "Keys", keys,
                              "PrimaryKeys", primary, "NumNodes", (int)o->keys.members));
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
