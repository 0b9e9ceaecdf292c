/* /v1/agent/: what this process is, its figures, and the orders that it takes. */
#include "core/api/api.h"
#include "core/base/limit.h"
#include "core/base/metric.h"
#include "core/config.h"
#include "core/server.h"
#include "core/version.h"

#include <jansson.h>
#include <stdlib.h>

void api_root(struct request *r)
{
    reply_text(r, 200, "Consul Agent (Herald " HERALD_VERSION ")");
}

static void agent_reply(struct request *r, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL) {
        reply_err(r, ERR_INVALID);
        return;
    }
    api_reply_json(r, bytes_of(text));
    free(text);
}

/* Where gossip will be; nothing listens there yet. */
#define SERF_LAN_PORT 8301

/* The gossip member that this server will be; its shape is what clients of Consul read. */
static json_t *agent_member(struct api *api)
{
    return json_pack("{s:s, s:s, s:i, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}, s:i, s:i, "
                     "s:i, s:i, s:i, s:i, s:i}",
                     "Name", api->config->node_name, "Addr", api->config->bind_addr, "Port",
                     SERF_LAN_PORT, "Tags", "role", "consul", "dc", api->config->datacenter, "id",
                     server_node_id(api->server), "build", CONSUL_API_VERSION ":", "bootstrap", "1",
                     "segment", "", "vsn", "2", "vsn_min", "2", "vsn_max", "3", "Status", 1,
                     "ProtocolMin", 1, "ProtocolMax", 5, "ProtocolCur", 2, "DelegateMin", 2,
                     "DelegateMax", 5, "DelegateCur", 4);
}

/* Consul's statistics are strings throughout. */
static void agent_stat(json_t *block, const char *name, uint64_t value)
{
    (void)json_object_set_new(block, name, json_sprintf("%llu", (unsigned long long)value));
}

static json_t *agent_stats(struct api *api)
{
    struct store_facts facts;
    store_facts_get(api->store, &facts);
    json_t *raft = json_object();
    agent_stat(raft, "applied_index", facts.applied_index);
    agent_stat(raft, "commit_index", facts.commit_index);
    agent_stat(raft, "last_log_index", facts.last_log_index);
    agent_stat(raft, "last_log_term", facts.last_log_term);
    agent_stat(raft, "last_snapshot_index", facts.snapshot_index);
    agent_stat(raft, "last_snapshot_term", facts.snapshot_term);
    agent_stat(raft, "num_peers", 0);
    agent_stat(raft, "term", facts.term);
    (void)json_object_set_new(raft, "state", json_string(facts.leader ? "Leader" : "Follower"));
    json_t *stream = json_object();
    agent_stat(stream, "history_bytes", facts.history_bytes);
    agent_stat(stream, "history_oldest", view_history_oldest(store_reader_view(api->reader)));
    agent_stat(stream, "subscriptions", metric_value(METRIC_STREAM_SUBSCRIPTIONS));
    agent_stat(stream, "waiting_queries", metric_value(METRIC_QUERY_WAITING));
    (void)json_object_set_new(stream, "epoch", json_string(facts.epoch));
    return json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s}, s:o, s:{s:s, s:s, s:s}, s:o}",
                     "build", "prerelease", "", "revision", "", "version", HERALD_VERSION, "consul",
                     "bootstrap", "true", "leader", facts.leader ? "true" : "false", "leader_addr",
                     server_address(api->server), "server", "true", "raft", raft, "runtime", "arch",
                     server_machine(api->server), "os", "linux", "disk_full",
                     facts.disk_full ? "true" : "false", "stream", stream);
}

void api_agent_self(struct request *r)
{
    struct api *api = api_of(r);
    struct read_options options;
    if (!api_read_options(r, &options)) {
        return;
    }
    json_t *self = json_pack(
        "{s:{s:s, s:s, s:s, s:s, s:b, s:s}, s:{s:s, s:i, s:i, s:I, s:I}}", "Config", "Datacenter",
        api->config->datacenter, "NodeName", api->config->node_name, "NodeID",
        server_node_id(api->server), "Revision", "", "Server", 1, "Version", CONSUL_API_VERSION,
        "DebugConfig", "BindAddr", api->config->bind_addr, "ServerPort",
        (int)api->config->server_port, "KVMaxValueSize", (int)api->config->kv_max_value_size,
        "DefaultQueryTimeMs", (json_int_t)api->config->default_query_time_ms, "MaxQueryTimeMs",
        (json_int_t)api->config->max_query_time_ms);
    (void)json_object_set_new(self, "Member", agent_member(api));
    (void)json_object_set_new(self, "Stats", agent_stats(api));
    (void)json_object_set_new(self, "Coord", json_null());
    (void)json_object_set_new(self, "Meta", json_object());
    agent_reply(r, self);
}

void api_agent_members(struct request *r)
{
    agent_reply(r, json_pack("[o]", agent_member(api_of(r))));
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

void api_agent_reload(struct request *r)
{
    server_reload(api_of(r)->server);
    reply_shared(r, 200, NULL, NULL);
}

void api_agent_leave(struct request *r)
{
    /* The answer goes out first: stopping lets answers finish. */
    reply_shared(r, 200, NULL, NULL);
    server_stop(api_of(r)->server);
}
