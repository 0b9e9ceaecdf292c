/* /v1/operator/autopilot: what it may do, and how it finds the servers. */
#include "core/api/cluster.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"

#include <stdio.h>
#include <string.h>

/* --- configuration ------------------------------------------------------------------------------
 */

/* As it was set, or as the configuration of this server begins. False: unreadable, answered. */
static bool autopilot_now(struct request *r, struct autopilot *ret_autopilot)
{
    const struct config *c = api_of(r)->config;
    enum err e = view_autopilot(store_reader_view(api_of(r)->reader), ret_autopilot);
    if (e == ERR_NOT_FOUND) {
        *ret_autopilot = (struct autopilot){
            .cleanup_dead_servers = c->autopilot_cleanup,
            .last_contact_threshold_ms = c->autopilot_contact_ms,
            .max_trailing_logs = c->autopilot_trailing,
            .server_stabilization_ms = c->autopilot_stable_ms,
            .min_quorum = c->autopilot_min_quorum,
        };
        return true;
    }
    if (e != OK) {
        reply_err(r, e);
    }
    return e == OK;
}

static void autopilot_show(struct request *r)
{
    struct autopilot a;
    char contact[DURATION_TEXT_LEN];
    char stable[DURATION_TEXT_LEN];
    if (!autopilot_now(r, &a)) {
        return;
    }
    duration_text(a.last_contact_threshold_ms, contact);
    duration_text(a.server_stabilization_ms, stable);
    api_reply_value(r, 200,
                    json_pack("{s:b, s:s, s:I, s:I, s:s, s:s, s:b, s:s, s:I, s:I}",
                              "CleanupDeadServers", a.cleanup_dead_servers, "LastContactThreshold",
                              contact, "MaxTrailingLogs", (json_int_t)a.max_trailing_logs,
                              "MinQuorum", (json_int_t)a.min_quorum, "ServerStabilizationTime",
                              stable, "RedundancyZoneTag", "", "DisableUpgradeMigration", 0,
                              "UpgradeVersionTag", "", "CreateIndex", (json_int_t)a.create_index,
                              "ModifyIndex", (json_int_t)a.modify_index));
}

/* Go sends indexes up to 2^64, more than an integer of jansson's holds: numbers are read as reals,
 * exact as far as any setting goes. */
static bool body_fits(const json_t *value)
{
    double number = json_number_value(value);
    return json_is_number(value) && number >= 0 && number <= 9007199254740992.0;
}

/* A duration: Go's text, or a number of nanoseconds, as Consul's clients send either. */
static bool body_duration(const json_t *body, const char *name, uint64_t *ret_ms)
{
    const json_t *value = json_object_get(body, name);
    if (json_is_string(value)) {
        return duration_parse(bytes_of(json_string_value(value)), ret_ms) == OK;
    }
    if (body_fits(value)) {
        *ret_ms = (uint64_t)json_number_value(value) / 1000000;
        return true;
    }
    return value == NULL || json_is_null(value); /* Go writes null for what is not set */
}

static bool body_number(const json_t *body, const char *name, uint64_t *ret_number)
{
    const json_t *value = json_object_get(body, name);
    if (body_fits(value)) {
        *ret_number = (uint64_t)json_number_value(value);
        return true;
    }
    return value == NULL || json_is_null(value); /* Go writes null for what is not set */
}

/* What the body does not say stays as it is. */
static bool body_autopilot(struct request *r, struct autopilot *a)
{
    json_error_t error;
    json_t *body = r->body.len == 0 || r->body.len > KIB(64)
                       ? NULL
                       : json_loadb(r->body.ptr, r->body.len, JSON_DECODE_INT_AS_REAL, &error);
    const json_t *cleanup = json_object_get(body, "CleanupDeadServers");
    if (json_is_boolean(cleanup)) {
        a->cleanup_dead_servers = json_is_true(cleanup);
    }
    bool fits = json_is_object(body) && (cleanup == NULL || json_is_boolean(cleanup)) &&
                body_duration(body, "LastContactThreshold", &a->last_contact_threshold_ms) &&
                body_number(body, "MaxTrailingLogs", &a->max_trailing_logs) &&
                body_number(body, "MinQuorum", &a->min_quorum) &&
                body_duration(body, "ServerStabilizationTime", &a->server_stabilization_ms);
    json_decref(body);
    if (!fits) {
        reply_text(r, 400,
                   "Error parsing autopilot config: expected an object as GET shows it, durations "
                   "such as \"200ms\"");
    }
    return fits;
}

static void autopilot_change(struct request *r)
{
    struct command c = {.type = COMMAND_AUTOPILOT_SET};
    struct bytes cas;
    if (!autopilot_now(r, &c.autopilot_set.autopilot) ||
        !body_autopilot(r, &c.autopilot_set.autopilot)) {
        return;
    }
    c.autopilot_set.check = request_arg(r, "cas", &cas);
    if (c.autopilot_set.check && bytes_to_u64(cas, &c.autopilot_set.index) != OK) {
        reply_text(r, 400, "Error parsing cas value: expected a number");
        return;
    }
    c.autopilot_set.autopilot.create_index = 0;
    c.autopilot_set.autopilot.modify_index = 0;
    api_propose(r, &c);
}

void api_operator_autopilot_configuration(struct request *r)
{
    struct read_options options;
    if (api_read_options(r, &options)) {
        api_read_ready(r, &options, r->method == METHOD_PUT ? autopilot_change : autopilot_show);
    }
}

/* --- health -------------------------------------------------------------------------------------
 */

struct health {
    char id[40];
    const char *name;
    const char *address;
    const char *status; /* in gossip */
    const char *version;
    bool leader;
    bool voter;
    bool healthy;
    uint64_t contact_ms;
    uint64_t last_index;
    char stable_since[TIME_TEXT_LEN];
};

struct cluster_health {
    struct health servers[STORE_SERVERS_MAX];
    size_t count;
    bool healthy;
    size_t voters;
    size_t healthy_voters;
};

/* How the leader finds one server (contracts: Consul's rules). */
static void
health_of(struct request *r, const struct world *w, const struct store_server *s, struct health *h)
{
    struct autopilot a = {0};
    const struct gossip_member *m = world_member(w, s);
    struct env *env = loop_env(api_of(r)->loop);
    char scratch[20];
    if (view_autopilot(store_reader_view(api_of(r)->reader), &a) != OK) {
        a.last_contact_threshold_ms = api_of(r)->config->autopilot_contact_ms;
        a.max_trailing_logs = api_of(r)->config->autopilot_trailing;
    }
    *h = (struct health){
        .name = world_name(w, s),
        .address = s->address,
        .status = m == NULL ? "none" : member_status_text(m->status),
        .version = m == NULL || gossip_tag(m, "build") == NULL ? "" : gossip_tag(m, "build"),
        .leader = s->id == w->facts.leader_id,
        .voter = s->role == STORE_VOTER,
        .contact_ms = s->self ? 0 : s->last_contact_ms,
        .last_index = s->self ? w->facts.last_log_index : s->match_index,
    };
    (void)snprintf(h->id, sizeof h->id, "%s", server_id_text(s, scratch));
    bool near = h->last_index + a.max_trailing_logs >= w->facts.last_log_index;
    h->healthy = m != NULL && m->status == GOSSIP_ALIVE && near &&
                 h->contact_ms <= a.last_contact_threshold_ms;
    uint64_t now = env_now_ms(env);
    uint64_t since = m == NULL || m->since_ms > now ? now : m->since_ms;
    time_text(env_wall_ms(env) - (now - since), h->stable_since);
}

static void health_gather(struct request *r, const struct world *w, struct cluster_health *ret_all)
{
    *ret_all = (struct cluster_health){.healthy = true};
    for (size_t i = 0; i < w->servers->count; i++) {
        struct health *h = &ret_all->servers[ret_all->count++];
        health_of(r, w, &w->servers->servers[i], h);
        ret_all->healthy = ret_all->healthy && h->healthy;
        ret_all->voters += h->voter;
        ret_all->healthy_voters += h->voter && h->healthy;
    }
}

static int health_tolerance(const struct cluster_health *all)
{
    size_t quorum = all->voters / 2 + 1;
    return all->healthy_voters > quorum ? (int)(all->healthy_voters - quorum) : 0;
}

/* Only the leader hears from all the others. True: this server is another one, and has said so. */
static bool health_elsewhere(struct request *r, const struct world *w)
{
    if (w->facts.leader) {
        return false;
    }
    const struct store_server *leader = world_leader(w);
    const struct gossip_member *m = leader == NULL ? NULL : world_member(w, leader);
    const char *http = m == NULL ? NULL : gossip_tag(m, "http");
    if (leader == NULL) {
        reply_err(r, ERR_NOT_LEADER);
    } else {
        reply_text(r, 500, "only the leader knows how the servers are: ask %s%s%s",
                   world_name(w, leader), http == NULL ? "" : " at ", http == NULL ? "" : http);
    }
    return true;
}

static json_t *health_json(const struct world *w, const struct health *h)
{
    char contact[DURATION_TEXT_LEN];
    duration_text(h->contact_ms == UINT64_MAX ? 0 : h->contact_ms, contact);
    return json_pack("{s:s, s:s, s:s, s:s, s:s#, s:b, s:s, s:I, s:I, s:b, s:b, s:s}", "ID", h->id,
                     "Name", h->name, "Address", h->address, "SerfStatus", h->status, "Version",
                     h->version, (int)strcspn(h->version, ":"), "Leader", h->leader, "LastContact",
                     h->contact_ms == UINT64_MAX ? "never" : contact, "LastTerm",
                     (json_int_t)w->facts.term, "LastIndex", (json_int_t)h->last_index, "Healthy",
                     h->healthy, "Voter", h->voter, "StableSince", h->stable_since);
}

static void autopilot_health(struct request *r, const struct world *w)
{
    struct cluster_health all;
    if (health_elsewhere(r, w)) {
        return;
    }
    health_gather(r, w, &all);
    json_t *servers = json_array();
    for (size_t i = 0; i < all.count; i++) {
        (void)json_array_append_new(servers, health_json(w, &all.servers[i]));
    }
    api_reply_value(r, all.healthy ? 200 : 429,
                    json_pack("{s:b, s:i, s:o}", "Healthy", all.healthy, "FailureTolerance",
                              health_tolerance(&all), "Servers", servers));
}

void api_operator_autopilot_health(struct request *r)
{
    api_world(r, autopilot_health);
}

static void autopilot_state(struct request *r, const struct world *w)
{
    struct cluster_health all;
    if (health_elsewhere(r, w)) {
        return;
    }
    health_gather(r, w, &all);
    json_t *servers = json_object();
    json_t *voters = json_array();
    const char *leader = "";
    for (size_t i = 0; i < all.count; i++) {
        const struct health *h = &all.servers[i];
        json_t *row = health_json(w, h);
        (void)json_object_del(row, "SerfStatus");
        (void)json_object_del(row, "Leader");
        (void)json_object_del(row, "Voter");
        (void)json_object_set_new(row, "NodeStatus", json_string(h->status));
        (void)json_object_set_new(row, "Status",
                                  json_string(h->leader  ? "leader"
                                              : h->voter ? "voter"
                                                         : "non-voter"));
        (void)json_object_set_new(row, "NodeType", json_string("voter"));
        (void)json_object_set_new(servers, h->id, row);
        if (h->voter) {
            (void)json_array_append_new(voters, json_string(h->id));
        }
        leader = h->leader ? h->id : leader;
    }
    api_reply_value(r, 200,
                    json_pack("{s:b, s:i, s:i, s:o, s:s, s:o}", "Healthy", all.healthy,
                              "FailureTolerance", health_tolerance(&all),
                              "OptimisticFailureTolerance", health_tolerance(&all), "Servers",
                              servers, "Leader", leader, "Voters", voters));
}

void api_operator_autopilot_state(struct request *r)
{
    api_world(r, autopilot_state);
}
