#include "core/server.h"

#include "core/agent/acl_begin.h"
#include "core/agent/agent.h"
#include "core/agent/members.h"
#include "core/agent/sync_store.h"
#include "core/agent/tokens.h"
#include "core/api/api.h"
#include "core/api/rights.h"
#include "core/api/routes.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/dns/server.h"
#include "core/front/front.h"
#include "core/host.h"
#include "core/recovery.h"
#include "core/rpc/frame.h"
#include "core/rpc/server.h"
#include "store/fleet.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long reconnecting subscribers are spread at a shutdown. */
#define SERVER_BYE_RETRY_MS 2000

/* A client agent's connection on its way to a front thread. */
struct visitor {
    struct mail mail;
    struct front_thread *thread;
    int fd;
    size_t len;
    char begun[64];
    char from[64];
};

/* A front thread and all that lives on it. */
struct front_thread {
    struct server *server;
    struct loop *loop;
    struct front *front;
    struct dns *dns; /* NULL: none */
    struct stream *stream;
    struct rpc_server *rpc; /* what client agents forward */
    struct store_reader reader;
    struct api api;
    struct mail stop_mail;
    struct mail drained_mail; /* back to the main thread */
    struct mail reload_mail;
    const struct config *next_config;
    char epoch[STREAM_EPOCH_MAX + 1];
};

/* A subscription's question to the store. */
struct confirm {
    struct store_read read;
    struct stream_confirm *question;
};

/* The thread of what goes out: checks, and what is told to the catalog. */
struct outbound {
    struct loop *loop;
    struct store_reader reader;
    bool reading;
    struct sync_store catalog;
    struct agent *agent;
};

struct server {
    struct host host;
    struct outbound outbound;
    struct store *store;
    struct members *members;
    struct clients *clients;
    struct tokens *tokens;
    struct acl_begin *acl_begin;
    struct store_facts facts; /* as of the start */
    struct front_thread *threads;
    struct front_listen listen[CONFIG_LISTENERS_MAX];     /* the same for each; borrowed by them */
    struct front_listen dns_listen[CONFIG_LISTENERS_MAX]; /* the same of DNS */
    size_t dns_count;
    unsigned thread_count;
    unsigned drained;
    atomic_bool open; /* the fronts are there */
    atomic_uint visitors;
    char hint[MEMBERS_HINT_LEN]; /* where clients may go when this server ends; "" unknown */
};

static struct server *server_of(struct host *h)
{
    return LIST_OWNER(h, struct server, host);
}

static const struct config *server_config(const struct server *s)
{
    return host_config(&s->host);
}

/* --- one front thread ------------------------------------------------------------------------- */

static void front_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct front_thread *t = r->ctx;
    stream_publish(t->stream, b);
}

static struct view *front_view(void *ctx)
{
    struct front_thread *t = ctx;
    return store_reader_view(&t->reader);
}

static const char *front_epoch(void *ctx, const struct view *v)
{
    struct front_thread *t = ctx;
    uint64_t epoch = view_epoch(v);
    if (epoch == 0) {
        /* Of no cluster yet. */
        return "";
    }
    (void)snprintf(t->epoch, sizeof t->epoch, "%016llx", (unsigned long long)epoch);
    return t->epoch;
}

static void front_confirmed(struct store_read *read)
{
    struct confirm *c = read->ctx;
    c->question->done(c->question, read->status);
    free(c);
}

static void front_confirm(void *ctx, struct stream_confirm *question)
{
    struct front_thread *t = ctx;
    struct confirm *c = mem_zalloc(1, sizeof *c);
    c->question = question;
    c->read = (struct store_read){.done = front_confirmed, .ctx = c, .mode = READ_CONSISTENT};
    store_read(t->server->store, t->loop, &c->read);
}

static struct acl *front_rights(void *ctx, struct view *v, struct bytes token)
{
    struct acl *a = rights_of(v, rights_secret(token));
    (void)ctx;
    return a == NULL ? NULL : acl_ref(a);
}

static void front_drained_on_main(struct mail *m)
{
    struct front_thread *t = LIST_OWNER(m, struct front_thread, drained_mail);
    struct server *s = t->server;
    s->drained++;
    if (s->drained == s->thread_count) {
        host_drained(&s->host);
    }
}

static void front_on_drained(struct front *f)
{
    struct api *api = front_ctx(f);
    struct front_thread *t = LIST_OWNER(api, struct front_thread, api);
    mailbox_post(loop_mailbox(t->server->host.loop), &t->drained_mail);
}

static void front_on_stop(struct mail *m)
{
    struct front_thread *t = LIST_OWNER(m, struct front_thread, stop_mail);
    front_stop_accepting(t->front);
    rpc_server_leave(t->rpc);
    const char *hint = t->server->hint;
    stream_shutdown(t->stream, SERVER_BYE_RETRY_MS, hint[0] == '\0' ? NULL : hint);
    front_drain(t->front, t->api.config->shutdown_ms, front_on_drained);
}

static void front_on_reload(struct mail *m)
{
    struct front_thread *t = LIST_OWNER(m, struct front_thread, reload_mail);
    t->api.config = t->next_config;
    dns_configure(t->dns, t->next_config);
}

static enum err front_thread_open(struct front_thread *t,
                                  struct server *s,
                                  unsigned number,
                                  const struct front_listen *listen,
                                  struct reason *why)
{
    const struct config *config = server_config(s);
    char name[24];
    (void)snprintf(name, sizeof name, "front/%u", number);
    *t = (struct front_thread){
        .server = s,
        .loop = loop_new(name),
        .reader = {.on_changes = front_on_changes, .ctx = t},
        .stop_mail = {.deliver = front_on_stop},
        .drained_mail = {.deliver = front_drained_on_main},
        .reload_mail = {.deliver = front_on_reload},
    };
    store_reader_open(&t->reader, s->store, t->loop);
    struct stream_host host = {
        .env = loop_env(t->loop),
        .ctx = t,
        .view = front_view,
        .epoch = front_epoch,
        .confirm = front_confirm,
        .rights = rights_enabled() ? front_rights : NULL,
        .node_name = config->node_name,
        .datacenter = config->datacenter,
        .heartbeat_ms = config->stream_heartbeat_ms,
    };
    t->stream = stream_new(&host);
    t->api = (struct api){
        .host = &s->host,
        .config = config,
        .store = s->store,
        .members = s->members,
        .tokens = s->tokens,
        .agent = s->outbound.agent,
        .reader = &t->reader,
        .stream = t->stream,
        .loop = t->loop,
    };
    struct front_options options = {
        .number = number,
        .loop = t->loop,
        .listen = listen,
        .listen_count = config->http_count,
        .limits = {.connections_per_client = (unsigned)config->http_max_conns_per_client},
        .headers = config->headers,
        .header_count = config->header_count,
        .routes = ROUTES,
        .route_count = ROUTE_COUNT,
        .clients = s->clients,
        .handle = api_handle,
        .ctx = &t->api,
    };
    enum err e = front_new(&options, &t->front, why);
    if (e == OK) {
        struct rpc_server_options rpc = {
            .loop = t->loop,
            .front = t->front,
            .node = config->node_name,
            .datacenter = config->datacenter,
        };
        t->rpc = rpc_server_new(&rpc);
    }
    return e;
}

/* The loop has stopped, or never ran. */
static void front_thread_close(struct front_thread *t)
{
    if (t->loop == NULL) {
        return;
    }
    dns_free(t->dns);
    rpc_server_free(t->rpc);
    t->rpc = NULL;
    front_free(t->front);
    stream_free(t->stream);
    store_reader_close(&t->reader);
}

/* --- client agents ------------------------------------------------------------------------------
 */

static void visitor_arrived(struct mail *m)
{
    struct visitor *v = LIST_OWNER(m, struct visitor, mail);
    if (v->thread->rpc == NULL) {
        (void)close(v->fd); /* the server ends */
    } else {
        rpc_server_take(v->thread->rpc, v->fd, (struct bytes){v->begun, v->len}, v->from);
    }
    free(v);
}

/* On the store's thread: a connection to the RPC port that is no server's. Each goes to one of the
 * fronts, in turns. */
static bool server_on_visitor(void *ctx, int fd, struct bytes begun, const char *from)
{
    struct server *s = ctx;
    if (!atomic_load(&s->open) || begun.len > sizeof((struct visitor *)0)->begun ||
        !bytes_begins(begun, (struct bytes){RPC_HELLO, 4})) {
        return false;
    }
    struct visitor *v = mem_zalloc(1, sizeof *v);
    unsigned turn = atomic_fetch_add(&s->visitors, 1);
    v->thread = &s->threads[turn % s->thread_count];
    v->fd = fd;
    v->len = begun.len;
    memcpy(v->begun, begun.ptr, begun.len);
    (void)snprintf(v->from, sizeof v->from, "%s", from);
    v->mail = (struct mail){.deliver = visitor_arrived};
    mailbox_post(loop_mailbox(v->thread->loop), &v->mail);
    return true;
}

/* --- start --------------------------------------------------------------------------------------
 */

/* DNS has no tokens of its askers: it has one of its own, or the agent's. */
static bool front_dns_rights(struct view *v, void *ctx, struct acl **ret_acl)
{
    const struct server *s = ctx;
    struct bytes secret = tokens_get(s->tokens, TOKEN_DNS);
    if (!rights_enabled()) {
        return false;
    }
    struct acl *acl = rights_of(v, secret.len > 0 ? secret : tokens_get(s->tokens, TOKEN_DEFAULT));
    *ret_acl = acl == NULL ? NULL : acl_ref(acl);
    return true;
}

/* Where nobody asked for the port, somebody else may have it: then there is no DNS, and we say so.
 */
static enum err front_thread_open_dns(struct front_thread *t, unsigned number, struct reason *why)
{
    struct server *s = t->server;
    const struct config *config = server_config(s);
    struct dns_options options = {
        .number = number,
        .loop = t->loop,
        .config = config,
        .store = s->store,
        .reader = &t->reader,
        .rights = front_dns_rights,
        .ctx = s,
        .listen = s->dns_listen,
        .listen_count = s->dns_count,
    };
    enum err e = dns_new(&options, &t->dns, why);
    if (e == ERR_IN_USE && !config->dns.port_said) {
        log_line(LOG_DNS_OFF, "%s", why->text);
        s->dns_count = 0;
        options.listen_count = 0; /* client agents ask nevertheless */
        e = dns_new(&options, &t->dns, why);
    }
    t->api.dns = t->dns;
    for (size_t i = 0; e == OK && i < s->dns_count; i++) {
        s->dns_listen[i].port = dns_port(t->dns, i);
    }
    return e;
}

/* All fronts listen on the same ports: what was any free one for the first is given to the rest. */
static enum err server_open_fronts(struct server *s, struct reason *why)
{
    const struct config *config = server_config(s);
    CHECK(config->http_count <= CONFIG_LISTENERS_MAX);
    memcpy(s->listen, config->http, sizeof s->listen);
    memcpy(s->dns_listen, config->dns.listen, sizeof s->dns_listen);
    s->dns_count = config->dns.listen_count;
    s->threads = mem_zalloc(s->thread_count, sizeof *s->threads);
    for (unsigned i = 0; i < s->thread_count; i++) {
        enum err e = front_thread_open(&s->threads[i], s, i, s->listen, why);
        e = e == OK ? front_thread_open_dns(&s->threads[i], i, why) : e;
        if (e != OK) {
            return e;
        }
        for (size_t j = 0; i == 0 && j < config->http_count; j++) {
            s->listen[j].port = front_port(s->threads[0].front, j);
        }
    }
    atomic_store(&s->open, true);
    return OK;
}

/* Alone, or with peers: then at the address that the configuration binds to. */
static enum err server_open_store(struct server *s, struct reason *why)
{
    const struct config *config = server_config(s);
    char address[STORE_ADDRESS_MAX];
    (void)snprintf(address, sizeof address,
                   strchr(config->advertise_addr, ':') != NULL ? "[%s]:%lld" : "%s:%lld",
                   config->advertise_addr, (long long)config->server_port);
    bool alone = config->dev || config->bootstrap || config->bootstrap_expect == 1;
    bool peers = config_gossips(config) && !config->dev;
    struct store_options options = {
        .data_dir = config->data_dir,
        .node_id = s->host.node_id,
        .address = address,
        .start = alone ? STORE_ALONE : STORE_WAIT,
        .listen_address = peers ? config->bind_addr : NULL,
        .listen_port = (uint16_t)config->server_port,
        .other = server_on_visitor,
        .other_ctx = s,
        .election_ms = (unsigned)(RAFT_ELECTION_MS * config->raft_multiplier),
        .hold_ms = config->rpc_hold_ms,
        .history_age_ms = config->history_age_ms,
        .history_bytes = config->history_bytes,
        .log_trailing = config->raft_trailing_logs,
        .repair = peers && !alone,
    };
    struct store_recovery recovery = {0};
    enum err e = OK;
    if (config->data_dir != NULL) {
        e = recovery_read(config->data_dir, &recovery, why);
        options.recovery = recovery.servers.count > 0 ? &recovery : NULL;
    }
    if (e != OK) {
        return e;
    }
    e = store_open(&options, &s->store, why);
    if (e == ERR_INVALID && options.recovery != NULL) {
        recovery_explain(config->data_dir, why);
    }
    if (e == OK && config->data_dir != NULL) {
        e = host_keep_id(&s->host, why);
        e = e == OK ? recovery_keep_info(config->data_dir, why) : e;
    }
    return e;
}

/* --- the agent ----------------------------------------------------------------------------------
 */

static void outbound_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct outbound *o = r->ctx;
    if (b->replaced && o->agent != NULL) {
        agent_compare_soon(o->agent);
    }
}

static size_t outbound_nodes(void *ctx)
{
    struct outbound *o = ctx;
    struct fleet_scan *scan = fleet_nodes(store_reader_view(&o->reader));
    struct node_row row;
    size_t count = 0;
    while (fleet_next_node(scan, &row) == OK) {
        count++;
    }
    fleet_scan_close(scan);
    return count;
}

/* Its loop has stopped, or never ran. */
static void outbound_stop(struct outbound *o)
{
    agent_stop(o->agent);
    if (o->reading) {
        store_reader_close(&o->reader);
    }
}

/* The store has answered what was under way. */
static void outbound_close(struct outbound *o)
{
    if (o->loop != NULL) {
        loop_drain(o->loop);
        agent_close(o->agent);
        loop_free(o->loop);
    }
}

static enum err server_open_agent(struct server *s, struct reason *why)
{
    struct outbound *o = &s->outbound;
    o->loop = loop_new("outbound");
    o->reader = (struct store_reader){.on_changes = outbound_on_changes, .ctx = o};
    store_reader_open(&o->reader, s->store, o->loop);
    o->reading = true;
    o->catalog = (struct sync_store){.store = s->store, .reader = &o->reader, .loop = o->loop};
    struct agent_options options = {
        .loop = o->loop,
        .config = server_config(s),
        .node_id = s->host.node_id,
        .server = {.ctx = &o->catalog, .ask = sync_store_ask, .write = sync_store_write},
        .nodes = outbound_nodes,
        .ctx = o,
    };
    return agent_open(&options, &o->agent, why);
}

static enum err server_open(struct host *h, struct reason *why)
{
    struct server *s = server_of(h);
    const struct config *config = server_config(s);
    enum err e = server_open_store(s, why);
    if (e != OK) {
        return e;
    }
    store_facts_get(s->store, &s->facts);
    if (s->facts.leader) {
        log_line(LOG_RAFT_LEADER, "term=%llu", (unsigned long long)s->facts.term);
    }
    struct members_options options = {
        .loop = h->loop,
        .config = config,
        .store = s->store,
        .node_id = s->host.node_id,
        .ctx = h,
        .failed = host_failed,
    };
    e = members_open(&options, &s->members, why);
    if (e != OK) {
        return e;
    }
    s->clients = clients_new();
    s->tokens = tokens_new(config);
    rights_open(config, s->tokens);
    s->acl_begin = acl_begin_open(config, s->store, h->loop);
    e = server_open_agent(s, why);
    if (e != OK) {
        return e;
    }
    s->thread_count = (unsigned)config->front_threads;
    return server_open_fronts(s, why);
}

/* --- what the host asks for ---------------------------------------------------------------------
 */

static void server_drain(struct host *h)
{
    struct server *s = server_of(h);
    (void)members_hint(s->members, s->hint);
    for (unsigned i = 0; i < s->thread_count; i++) {
        mailbox_post(loop_mailbox(s->threads[i].loop), &s->threads[i].stop_mail);
    }
}

static void server_leave(struct host *h)
{
    members_leave(server_of(h)->members, host_left, h);
}

static void server_reload(struct host *h, const struct config *config)
{
    struct server *s = server_of(h);
    store_set_history(s->store, config->history_age_ms, config->history_bytes);
    agent_reload(s->outbound.agent, config);
    for (unsigned i = 0; i < s->thread_count; i++) {
        s->threads[i].next_config = config;
        mailbox_post(loop_mailbox(s->threads[i].loop), &s->threads[i].reload_mail);
    }
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static void server_banner(const struct server *s)
{
    const struct config *config = server_config(s);
    (void)printf("==> Starting Herald agent...\n"
                 "           Version: '%s'\n"
                 "           Node ID: '%s'\n"
                 "         Node name: '%s'\n"
                 "        Datacenter: '%s'\n"
                 "            Server: true (bootstrap: %s)\n"
                 "      Cluster addr: %s%s\n"
                 "          Data dir: '%s'\n",
                 HERALD_VERSION, s->host.node_id, config->node_name, config->datacenter,
                 config->bootstrap_expect > 1 ? "false" : "true", store_address(s->store),
                 config_gossips(config) && !config->dev ? "" : " (no other server can join)",
                 config->data_dir == NULL ? "(in memory: gone at the end)" : config->data_dir);
    for (size_t i = 0; i < config->http_count; i++) {
        uint16_t port = front_port(s->threads[0].front, i);
        if (port == 0) {
            (void)printf("              HTTP: %s\n", config->http[i].address);
        } else {
            (void)printf("              HTTP: %s:%u\n", config->http[i].address, port);
        }
    }
    (void)printf("\n==> Log data will now stream in as it occurs:\n\n");
    (void)fflush(stdout);
}

static void server_start(struct host *h)
{
    struct server *s = server_of(h);
    loop_start(s->outbound.loop);
    for (unsigned i = 0; i < s->thread_count; i++) {
        loop_start(s->threads[i].loop);
    }
    server_banner(s);
    log_line(LOG_AGENT_READY, "node=%s http_port=%u index=%llu", server_config(s)->node_name,
             server_config(s)->http_count > 0 ? front_port(s->threads[0].front, 0) : 0,
             (unsigned long long)s->facts.applied_index);
}

static void server_join(struct host *h)
{
    struct server *s = server_of(h);
    for (unsigned i = 0; i < s->thread_count; i++) {
        loop_stop(s->threads[i].loop);
        loop_join(s->threads[i].loop);
    }
    loop_stop(s->outbound.loop);
    loop_join(s->outbound.loop);
}

static void server_close(struct host *h)
{
    struct server *s = server_of(h);
    for (unsigned i = 0; s->threads != NULL && i < s->thread_count; i++) {
        front_thread_close(&s->threads[i]);
    }
    outbound_stop(&s->outbound);
    members_stop(s->members);
    acl_begin_close(s->acl_begin);
    if (s->store != NULL) {
        store_close(s->store);
    }
    /* What the store and the fronts still had for the main loop. */
    loop_drain(h->loop);
    members_close(s->members);
    acl_begin_free(s->acl_begin);
    outbound_close(&s->outbound);
    for (unsigned i = 0; s->threads != NULL && i < s->thread_count; i++) {
        if (s->threads[i].loop != NULL) {
            /* The answers to writes whose clients were closed. */
            loop_drain(s->threads[i].loop);
            loop_free(s->threads[i].loop);
        }
    }
    free(s->threads);
    rights_close();
    tokens_free(s->tokens);
    if (s->clients != NULL) {
        clients_free(s->clients);
    }
}

int server_main(struct config *config)
{
    static const struct host_ops ops = {
        .open = server_open,
        .start = server_start,
        .leave = server_leave,
        .drain = server_drain,
        .reload = server_reload,
        .join = server_join,
        .close = server_close,
    };
    struct server s = {0};
    return host_main(&s.host, &ops, config);
}
