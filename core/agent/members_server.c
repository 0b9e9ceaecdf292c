/* A server among the others: what gossip tells of other servers is the store's, and it looks after
 * the cluster. */
#include "core/agent/members_priv.h"
#include "core/agent/wan.h"
#include "core/base/log.h"

#include <stdio.h>
#include <string.h>

/* Where the others' clients may go instead of here: a tag of Herald's own. */
static void members_tag_http(struct members *m)
{
    const struct config *c = m->options.config;
    for (size_t i = 0; i < c->http_count; i++) {
        const struct front_listen *listen = &c->http[i];
        bool any = strcmp(listen->address, "0.0.0.0") == 0 || strcmp(listen->address, "::") == 0;
        const char *host = any ? c->advertise_addr : listen->address;
        /* On one's own loopback address it is of use only to who gossips there too. */
        bool near = strcmp(listen->address, c->advertise_addr) == 0;
        bool loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
        if (listen->port > 0 && (near || !loopback)) {
            members_tag(m, "http", strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                        listen->port);
            return;
        }
    }
}

static void server_tag(struct members *m)
{
    const struct config *c = m->options.config;
    (void)snprintf(m->rpc_address, sizeof m->rpc_address, "%s", store_address(m->options.store));
    const char *colon = strrchr(m->rpc_address, ':');
    members_tag(m, "role", "consul");
    members_tag(m, "port", "%s", colon == NULL ? "" : colon + 1);
    members_tag(m, "raft_vsn", "3");
    members_tag_http(m);
    if (config_gossips_wan(c)) {
        members_tag(m, "wan_join_port", "%lld", (long long)c->serf_wan_port);
    }
    if (c->bootstrap || c->bootstrap_expect == 1) {
        members_tag(m, "bootstrap", "1");
    }
}

static void server_begin(struct members *m)
{
    m->lead = lead_open(m);
    m->expire = expire_open(m->options.store, m->options.loop);
    m->reconcile = reconcile_open(m);
    quorum_open(m);
    founding_look(m);
}

static void server_changed(struct members *m, const struct gossip_member *g)
{
    if (!member_is_server(m, g) || g->self) {
        return;
    }
    const char *id = gossip_tag(g, "id");
    if (g->status == GOSSIP_LEFT) {
        store_server_gone(m->options.store, id);
    } else {
        char address[STORE_ADDRESS_MAX];
        member_rpc_address(g, address);
        store_server_seen(m->options.store, id, address);
    }
}

static void server_reaped(struct members *m, const struct gossip_member *g)
{
    if (member_is_server(m, g) && !g->self) {
        store_server_gone(m->options.store, gossip_tag(g, "id"));
    }
    reconcile_look(m->reconcile);
}

static void server_look(struct members *m)
{
    founding_look(m);
    lead_look(m->lead);
    reconcile_look(m->reconcile);
    wan_look(m);
}

static void server_end(struct members *m)
{
    lead_close(m->lead);
    expire_close(m->expire);
    reconcile_close(m->reconcile);
    founding_close(m);
    quorum_close(m);
}

const struct members_role MEMBERS_SERVER = {
    .tag = server_tag,
    .open = founding_open,
    .begin = server_begin,
    .changed = server_changed,
    .reaped = server_reaped,
    .look = server_look,
    .leave = leave_voters,
    .end = server_end,
};
