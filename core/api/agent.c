/* /v1/agent/: what this process is, its figures, and the orders that it takes. */
#include "core/api/agent_local.h"
#include "core/api/cluster.h"
#include "core/api/forward.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/metric.h"
#include "core/config.h"
#include "core/host.h"
#include "core/version.h"

#include <string.h>

void api_root(struct request *r)
{
    reply_text(r, 200, "Consul Agent (Herald " HERALD_VERSION ")");
}

/* Consul's statistics are strings throughout. */
static void agent_stat(json_t *block, const char *name, uint64_t value)
{
    (void)json_object_set_new(block, name, json_sprintf("%llu", (unsigned long long)value));
}

static json_t *agent_stats_raft(const struct world *w)
{
    const struct store_facts *f = &w->facts;
    json_t *raft = json_object();
    char scratch[20];
    struct buf list;
    buf_init(&list, KIB(16));
    agent_stat(raft, "applied_index", f->applied_index);
    agent_stat(raft, "commit_index", f->commit_index);
    agent_stat(raft, "last_contact", f->leader ? 0 : f->contact_ms);
    agent_stat(raft, "last_log_index", f->last_log_index);
    agent_stat(raft, "last_log_term", f->last_log_term);
    agent_stat(raft, "last_snapshot_index", f->snapshot_index);
    agent_stat(raft, "last_snapshot_term", f->snapshot_term);
    agent_stat(raft, "latest_configuration_index", w->servers->configuration_index);
    agent_stat(raft, "num_peers", w->servers->count > 0 ? w->servers->count - 1 : 0);
    agent_stat(raft, "protocol_version", 3);
    agent_stat(raft, "term", f->term);
    buf_put_char(&list, '[');
    for (size_t i = 0; i < w->servers->count; i++) {
        const struct store_server *s = &w->servers->servers[i];
        enum err e = buf_printf(&list, "%s{Suffrage:%s ID:%s Address:%s}", i > 0 ? " " : "",
                                s->role == STORE_VOTER ? "Voter" : "Nonvoter",
                                server_id_text(s, scratch), s->address);
        CHECK(e == OK);
    }
    buf_put_char(&list, ']');
    (void)json_object_set_new(raft, "latest_configuration", json_stringn(list.ptr, list.len));
    (void)json_object_set_new(raft, "state",
                              json_string(f->leader         ? "Leader"
                                          : f->known_leader ? "Follower"
                                                            : "Candidate"));
    buf_close(&list);
    return raft;
}

static json_t *agent_stats_gossip(struct api *api, const struct world *w)
{
    size_t counts[GOSSIP_FAILED + 1] = {0};
    json_t *serf = json_object();
    for (size_t i = 0; i < w->member_count; i++) {
        counts[w->members[i].status]++;
    }
    agent_stat(serf, "members", w->member_count);
    agent_stat(serf, "failed", counts[GOSSIP_FAILED]);
    agent_stat(serf, "left", counts[GOSSIP_LEFT]);
    (void)json_object_set_new(serf, "encrypted",
                              json_string(api->config->encrypt != NULL ? "true" : "false"));
    (void)json_object_set_new(serf, "gossips",
                              json_string(config_gossips(api->config) ? "true" : "false"));
    return serf;
}

static json_t *agent_stats_client(struct api *api, const struct world *w)
{
    json_t *forward = json_object();
    json_t *consul = json_object();
    agent_stat(consul, "known_servers", forward_known(api->forward));
    (void)json_object_set_new(consul, "server", json_string("false"));
    agent_stat(forward, "watchers", metric_value(METRIC_SHARED_WATCHERS));
    agent_stat(forward, "upstream", metric_value(METRIC_SHARED_UPSTREAM));
    return json_pack("{s:{s:s, s:s, s:s}, s:o, s:o, s:{s:s, s:s}, s:o}", "build", "prerelease", "",
                     "revision", "", "version", HERALD_VERSION, "consul", consul, "forward",
                     forward, "runtime", "arch", host_machine(api->host), "os", "linux", "serf_lan",
                     agent_stats_gossip(api, w));
}

static json_t *agent_stats_server(struct api *api, const struct world *w)
{
    const struct store_facts *f = &w->facts;
    const struct store_server *leader = world_leader(w);
    bool bootstrap = api->config->bootstrap || api->config->bootstrap_expect == 1;
    json_t *stream = json_object();
    agent_stat(stream, "history_bytes", f->history_bytes);
    agent_stat(stream, "history_oldest", view_history_oldest(store_reader_view(api->reader)));
    agent_stat(stream, "subscriptions", metric_value(METRIC_STREAM_SUBSCRIPTIONS));
    agent_stat(stream, "waiting_queries", metric_value(METRIC_QUERY_WAITING));
    (void)json_object_set_new(stream, "epoch", json_string(f->epoch));
    return json_pack(
        "{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:o, s:{s:s, s:s, s:s}, s:o, s:o}",
        "build", "prerelease", "", "revision", "", "version", HERALD_VERSION, "consul", "bootstrap",
        bootstrap ? "true" : "false", "known_datacenters", "1", "leader",
        f->leader ? "true" : "false", "leader_addr", leader == NULL ? "" : leader->address,
        "server", "true", "raft", agent_stats_raft(w), "runtime", "arch", host_machine(api->host),
        "os", "linux", "disk_full", f->disk_full ? "true" : "false", "serf_lan",
        agent_stats_gossip(api, w), "stream", stream);
}

/* Where its gossip is, as clients that join by it look for it. */
static void agent_self_gossip(json_t *debug, const struct gossip_member *m)
{
    bool v6 = strchr(m->address, ':') != NULL;
    json_t *at = json_sprintf("tcp://%s%s%s:%u", v6 ? "[" : "", m->address, v6 ? "]" : "",
                              (unsigned)m->port);
    (void)json_object_set(debug, "SerfAdvertiseAddrLAN", at);
    (void)json_object_set_new(debug, "SerfBindAddrLAN", at);
}

static json_t *agent_meta(const struct config *c)
{
    json_t *meta = json_pack("{s:s}", "consul-network-segment", "");
    for (size_t i = 0; i < c->node_meta.count; i++) {
        (void)json_object_set_new(meta, c->node_meta.names[i], json_string(c->node_meta.values[i]));
    }
    return meta;
}

static void agent_self(struct request *r, const struct world *w)
{
    struct api *api = api_of(r);
    const struct config *c = api->config;
    json_t *self = json_pack(
        "{s:{s:s, s:s, s:s, s:s, s:b, s:s}, s:{s:s, s:s, s:b, s:I, s:i, s:i, s:i, s:i, s:I, s:I}}",
        "Config", "Datacenter", c->datacenter, "NodeName", c->node_name, "NodeID",
        host_node_id(api->host), "Revision", "", "Server", (int)c->server, "Version",
        CONSUL_API_VERSION, "DebugConfig", "BindAddr", c->bind_addr, "AdvertiseAddrLAN",
        c->advertise_addr, "Bootstrap", c->bootstrap, "BootstrapExpect",
        (json_int_t)c->bootstrap_expect, "SerfPortLAN", (int)c->serf_lan_port, "SerfPortWAN",
        (int)c->serf_wan_port, "ServerPort", (int)c->server_port, "KVMaxValueSize",
        (int)c->kv_max_value_size, "DefaultQueryTimeMs", (json_int_t)c->default_query_time_ms,
        "MaxQueryTimeMs", (json_int_t)c->max_query_time_ms);
    char ttl_min[DURATION_TEXT_LEN];
    duration_text(c->session_ttl_min_ms, ttl_min);
    (void)json_object_set_new(json_object_get(self, "DebugConfig"), "SessionTTLMin",
                              json_string(ttl_min));
    json_t *member = NULL;
    for (size_t i = 0; i < w->member_count; i++) {
        if (w->members[i].self) {
            member = member_json(&w->members[i]);
            agent_self_gossip(json_object_get(self, "DebugConfig"), &w->members[i]);
        }
    }
    (void)json_object_set_new(self, "Member", member == NULL ? json_null() : member);
    (void)json_object_set_new(self, "Stats",
                              c->server ? agent_stats_server(api, w) : agent_stats_client(api, w));
    (void)json_object_set_new(self, "Coord", json_null());
    (void)json_object_set_new(self, "Meta", agent_meta(c));
    api_reply_value(r, 200, self);
}

void api_agent_self(struct request *r)
{
    struct read_options options;
    if (api_read_options(r, &options)) {
        api_world(r, agent_self);
    }
}

void api_agent_metrics(struct request *r)
{
    struct api *api = api_of(r);
    struct bytes format = {0};
    struct buf out;
    bool prometheus = request_arg(r, "format", &format) && bytes_equal(format, BYTES("prometheus"));
    if (prometheus && api->config->prometheus_retention_ms == 0) {
        reply_text(r, 415, "Prometheus is not enabled since its retention time is not positive");
        return;
    }
    metrics_refresh();
    buf_init(&out, MIB(1));
    enum err e = prometheus ? metrics_prometheus(&out)
                            : metrics_json(&out, env_wall_ms(loop_env(api->loop)));
    if (e != OK) {
        reply_err(r, e);
    } else if (prometheus) {
        reply_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&out));
    } else {
        api_reply_json(r, buf_view(&out));
    }
    buf_close(&out);
}

/* The main thread has read the configuration before it answers the question behind it, and the
 * agent has taken it before its own answer: then it is in force. */
static void reload_known(struct request *r, const struct members_order *o)
{
    (void)o;
    struct local_asked *k = local_new(r, AGENT_NOTHING, BYTES(""), BYTES(""));
    if (k != NULL) {
        local_send(k, NULL);
    }
}

void api_agent_reload(struct request *r)
{
    const struct members_order order = {.verb = MEMBERS_LIST};
    host_reload(api_of(r)->host);
    api_members_order(r, &order, reload_known);
}
