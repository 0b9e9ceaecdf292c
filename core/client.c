#include "core/client.h"

#include "core/agent/agent.h"
#include "core/agent/members.h"
#include "core/agent/tokens.h"
#include "core/api/forward.h"
#include "core/api/routes.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/config.h"
#include "core/dns/server.h"
#include "core/front/front.h"
#include "core/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The servers that are alive, on their way to the front's thread. */
struct server_list {
    struct mail mail;
    struct client *client;
    size_t count;
    struct rpc_address servers[RPC_SERVERS_MAX];
};

struct client {
    struct host host;
    struct members *members;
    struct clients *clients;
    struct loop *loop; /* the front's */
    struct forward *forward;
    struct tokens *tokens;
    struct agent *agent; /* its own services and checks; on the front's loop */
    struct front *front;
    struct dns *dns; /* NULL: none */
    struct route *routes;
    struct api api;
    struct server_list *sent; /* what the front's thread was told last */
    struct mail drain_mail;
    struct mail drained_mail; /* back to the main thread */
    struct mail reload_mail;
    const struct config *next_config;
    bool started;
};

static struct client *client_of(struct host *h)
{
    return LIST_OWNER(h, struct client, host);
}

/* --- which servers there are --------------------------------------------------------------------
 */

/* On the front's thread. */
static void servers_told(struct mail *m)
{
    struct server_list *l = LIST_OWNER(m, struct server_list, mail);
    forward_servers(l->client->forward, l->servers, l->count);
    free(l);
}

static void client_on_members(void *ctx)
{
    struct client *c = client_of(ctx);
    struct gossip *gossip = c->members == NULL ? NULL : members_gossip(c->members);
    if (gossip == NULL) {
        return;
    }
    struct server_list *l = mem_zalloc(1, sizeof *l);
    for (size_t i = 0; i < gossip_count(gossip) && l->count < RPC_SERVERS_MAX; i++) {
        const struct gossip_member *g = gossip_at(gossip, i);
        if (g->status == GOSSIP_ALIVE && member_is_server(c->members, g)) {
            member_rpc_address(g, l->servers[l->count++].text);
        }
    }
    if (c->sent != NULL && c->sent->count == l->count &&
        memcmp(c->sent->servers, l->servers, sizeof l->servers) == 0) {
        free(l);
        return;
    }
    free(c->sent);
    c->sent = mem_alloc(sizeof *l);
    *c->sent = *l;
    l->client = c;
    l->mail = (struct mail){.deliver = servers_told};
    mailbox_post(loop_mailbox(c->loop), &l->mail);
}

/* --- the front ----------------------------------------------------------------------------------
 */

static void client_drained_on_main(struct mail *m)
{
    host_drained(&LIST_OWNER(m, struct client, drained_mail)->host);
}

static void client_on_drained(struct front *f)
{
    struct api *api = front_ctx(f);
    struct client *c = LIST_OWNER(api, struct client, api);
    mailbox_post(loop_mailbox(c->host.loop), &c->drained_mail);
}

static void client_on_drain(struct mail *m)
{
    struct client *c = LIST_OWNER(m, struct client, drain_mail);
    front_stop_accepting(c->front);
    forward_drain(c->forward);
    front_drain(c->front, c->api.config->shutdown_ms, client_on_drained);
}

static void client_on_reload(struct mail *m)
{
    struct client *c = LIST_OWNER(m, struct client, reload_mail);
    c->api.config = c->next_config;
    dns_configure(c->dns, c->next_config);
}

static enum err client_open_front(struct client *c, struct reason *why)
{
    const struct config *config = host_config(&c->host);
    struct forward_options forward = {
        .loop = c->loop,
        .node = config->node_name,
        .datacenter = config->datacenter,
        .tokens = c->tokens,
    };
    c->forward = forward_new(&forward);
    struct agent_options agent = {
        .loop = c->loop,
        .config = config,
        .node_id = c->host.node_id,
        .server = forward_sync(c->forward),
        .ctx = c,
    };
    enum err e = agent_open(&agent, &c->agent, why);
    if (e != OK) {
        return e;
    }
    c->routes = forward_routes(ROUTES, ROUTE_COUNT);
    c->clients = clients_new();
    c->api = (struct api){
        .host = &c->host,
        .config = config,
        .members = c->members,
        .tokens = c->tokens,
        .agent = c->agent,
        .loop = c->loop,
        .forward = c->forward,
    };
    struct front_options options = {
        .loop = c->loop,
        .listen = config->http,
        .listen_count = config->http_count,
        .limits = {.connections_per_client = (unsigned)config->http_max_conns_per_client},
        .headers = config->headers,
        .header_count = config->header_count,
        .routes = c->routes,
        .route_count = ROUTE_COUNT,
        .clients = c->clients,
        .ctx = &c->api,
    };
    return front_new(&options, &c->front, why);
}

/* Where nobody asked for the port, somebody else may have it, such as a server on this machine:
 * then there is no DNS, and we say so. */
static enum err client_open_dns(struct client *c, struct reason *why)
{
    const struct config *config = host_config(&c->host);
    struct dns_options options = {
        .loop = c->loop,
        .config = config,
        .way = forward_dns(c->forward),
        .listen = config->dns.listen,
        .listen_count = config->dns.listen_count,
    };
    enum err e = dns_new(&options, &c->dns, why);
    if (e == ERR_IN_USE && !config->dns.port_said) {
        log_line(LOG_DNS_OFF, "%s", why->text);
        return OK;
    }
    return e;
}

/* --- what the host asks for ---------------------------------------------------------------------
 */

static enum err client_open(struct host *h, struct reason *why)
{
    struct client *c = client_of(h);
    c->drain_mail = (struct mail){.deliver = client_on_drain};
    c->drained_mail = (struct mail){.deliver = client_drained_on_main};
    c->reload_mail = (struct mail){.deliver = client_on_reload};
    c->loop = loop_new("front/0");
    struct members_options options = {
        .loop = h->loop,
        .config = host_config(h),
        .node_id = h->node_id,
        .ctx = h,
        .failed = host_failed,
        .changed = client_on_members,
    };
    c->tokens = tokens_new(host_config(h));
    if (host_config(h)->acl_enabled) {
        log_line(LOG_CONFIG_WARNING,
                 "acl.enabled: the servers judge what is forwarded; who may use "
                 "this agent's own endpoints is not judged here: keep "
                 "client_addr on loopback");
    }
    enum err e = host_keep_id(h, why);
    e = e == OK ? members_open(&options, &c->members, why) : e;
    e = e == OK ? client_open_front(c, why) : e;
    e = e == OK ? client_open_dns(c, why) : e;
    if (e == OK) {
        client_on_members(h); /* whom the members' file knows */
    }
    return e;
}

static void client_banner(const struct client *c)
{
    const struct config *config = host_config(&c->host);
    (void)printf("==> Starting Herald agent...\n"
                 "           Version: '%s'\n"
                 "           Node ID: '%s'\n"
                 "         Node name: '%s'\n"
                 "        Datacenter: '%s'\n"
                 "            Server: false\n"
                 "      Cluster addr: %s:%u\n"
                 "          Data dir: '%s'\n",
                 HERALD_VERSION, c->host.node_id, config->node_name, config->datacenter,
                 config->advertise_addr, gossip_port(members_gossip(c->members)),
                 config->data_dir == NULL ? "(none)" : config->data_dir);
    for (size_t i = 0; i < config->http_count; i++) {
        uint16_t port = front_port(c->front, i);
        (void)printf(port == 0 ? "              HTTP: %s\n" : "              HTTP: %s:%u\n",
                     config->http[i].address, port);
    }
    (void)printf("\n==> Log data will now stream in as it occurs:\n\n");
    (void)fflush(stdout);
}

static void client_start(struct host *h)
{
    struct client *c = client_of(h);
    const struct config *config = host_config(h);
    loop_start(c->loop);
    c->started = true;
    client_banner(c);
    log_line(LOG_AGENT_READY, "node=%s http_port=%u server=false", config->node_name,
             config->http_count > 0 ? front_port(c->front, 0) : 0);
}

static void client_leave(struct host *h)
{
    members_leave(client_of(h)->members, host_left, h);
}

static void client_drain(struct host *h)
{
    struct client *c = client_of(h);
    mailbox_post(loop_mailbox(c->loop), &c->drain_mail);
}

static void client_reload(struct host *h, const struct config *config)
{
    struct client *c = client_of(h);
    c->next_config = config;
    agent_reload(c->agent, config);
    mailbox_post(loop_mailbox(c->loop), &c->reload_mail);
}

static void client_join(struct host *h)
{
    struct client *c = client_of(h);
    loop_stop(c->loop);
    loop_join(c->loop);
}

static void client_close(struct host *h)
{
    struct client *c = client_of(h);
    members_stop(c->members);
    agent_stop(c->agent);
    dns_free(c->dns);
    front_free(c->front);
    if (c->forward != NULL) {
        loop_drain(c->loop); /* lists of servers, and orders to the agent, on their way */
        forward_drop(c->forward);
        loop_drain(c->loop);
    }
    agent_close(c->agent);
    forward_free(c->forward);
    loop_drain(h->loop);
    members_close(c->members);
    if (c->loop != NULL) {
        loop_drain(c->loop);
        loop_free(c->loop);
    }
    if (c->clients != NULL) {
        clients_free(c->clients);
    }
    if (c->tokens != NULL) {
        tokens_free(c->tokens);
    }
    free(c->routes);
    free(c->sent);
}

int client_main(struct config *config)
{
    static const struct host_ops ops = {
        .open = client_open,
        .start = client_start,
        .leave = client_leave,
        .drain = client_drain,
        .reload = client_reload,
        .join = client_join,
        .close = client_close,
    };
    struct client c = {0};
    return host_main(&c.host, &ops, config);
}
