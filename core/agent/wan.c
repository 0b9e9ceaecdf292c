#include "core/agent/wan.h"

#include "core/agent/members_priv.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LAN and WAN never mix, whatever port somebody joins by mistake. */
#define WAN_LABEL       "wan"
#define WAN_ADDRESS_LEN (GOSSIP_ADDRESS_LEN + 16)

/* The name of a node of this datacenter in the pool; false: it is too long, and was cut. */
static bool wan_name(const struct members *m, const char *node, char ret_name[GOSSIP_NAME_MAX + 1])
{
    int len = snprintf(ret_name, GOSSIP_NAME_MAX + 1, "%s.%s", node, m->options.config->datacenter);
    return len >= 0 && len <= GOSSIP_NAME_MAX;
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* What is of use beyond the datacenter. */
static size_t wan_tags(const struct members *m, struct gossip_tag ret_tags[GOSSIP_TAGS_MAX])
{
    static const char *const names[] = {"role", "dc",      "id",      "build", "herald",  "acls",
                                        "vsn",  "vsn_min", "vsn_max", "port",  "raft_vsn"};
    size_t count = 0;
    for (size_t i = 0; i < m->tag_count; i++) {
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            if (strcmp(m->tags[i].name, names[n]) == 0) {
                ret_tags[count++] = m->tags[i];
            }
        }
    }
    return count;
}

enum err wan_open(struct members *m, struct reason *why)
{
    const struct config *c = m->options.config;
    struct gossip_tag tags[GOSSIP_TAGS_MAX];
    char name[GOSSIP_NAME_MAX + 1];
    char *keyring = members_path(c, "gossip-keyring-wan");
    char *known = members_path(c, "gossip-members-wan");
    const char *keys[1] = {c->encrypt};
    const struct gossip_options options = {
        .loop = m->options.loop,
        .name = name,
        .bind_address = c->bind_addr,
        .bind_port = m->wan.port,
        .advertise_address = c->advertise_addr,
        .tags = tags,
        .tag_count = wan_tags(m, tags),
        .keys = keys,
        .key_count = c->encrypt != NULL ? 1 : 0,
        .allow_clear = c->gossip_allow_clear,
        .keyring_path = keyring,
        .label = WAN_LABEL,
        .members_path = known,
        .rejoin_after_leave = c->rejoin_after_leave,
        .reconnect_ms = c->reconnect_wan_ms,
        .wan = true,
    };
    enum err e = ERR_INVALID;
    if (wan_name(m, c->node_name, name)) {
        e = gossip_open(&options, &m->wan.gossip, why);
    } else {
        reason_set(why, "node_name and datacenter together have more than %d bytes",
                   GOSSIP_NAME_MAX - 1);
    }
    if (e == OK) {
        env_timer_start(members_env(m), &m->flood, WAN_FLOOD_MS);
    } else {
        const struct reason said = *why;
        reason_set(why, "the WAN pool (ports.serf_wan): %s", said.text);
    }
    free(keyring);
    free(known);
    return e;
}

static void wan_on_flood(struct timer *t)
{
    struct members *m = LIST_OWNER(t, struct members, flood);
    env_timer_start(members_env(m), &m->flood, WAN_FLOOD_MS);
    wan_look(m);
}

void wan_init(struct members *m)
{
    env_timer_init(members_env(m), &m->flood, wan_on_flood);
}

void wan_close(struct members *m)
{
    timer_stop(&m->flood);
    gossip_close(m->wan.gossip);
    m->wan.gossip = NULL;
}

/* --- questions ----------------------------------------------------------------------------------
 */

void wan_list(const struct members *m, struct members_order *o)
{
    const struct gossip *g = m->wan.gossip;
    o->count = g != NULL ? gossip_count(g) : m->options.store != NULL ? 1 : 0;
    o->members = o->count == 0 ? NULL : mem_zalloc(o->count, sizeof *o->members);
    for (size_t i = 0; g != NULL && i < o->count; i++) {
        o->members[i] = *gossip_at(g, i);
    }
    if (g == NULL && o->count == 1) {
        members_self(m, &o->members[0]);
        (void)wan_name(m, m->options.config->node_name, o->members[0].name);
    }
}

const char *wan_missing(const struct members *m)
{
    if (m->options.store == NULL) {
        return "this agent has no WAN pool: only servers are in it";
    }
    return m->wan.port == 0 ? "this server has no WAN pool: set ports.serf_wan"
                            : "this server has no WAN pool: it was started without encrypt and "
                              "without herald.gossip_allow_clear";
}

/* --- the others of this datacenter --------------------------------------------------------------
 */

static bool wan_lacks(const struct members *m, const struct gossip_member *g)
{
    char name[GOSSIP_NAME_MAX + 1];
    if (!wan_name(m, g->name, name)) {
        return false; /* no server starts with such a name */
    }
    const struct gossip_member *there = gossip_find(m->wan.gossip, name);
    return there == NULL || there->status == GOSSIP_LEFT;
}

static void wan_on_joined(void *ctx, size_t joined, const char *why)
{
    struct members *m = ctx;
    m->flooding = false;
    if (joined == 0) {
        log_line(LOG_MEMBERS_WAN_MISSING, "why=\"%s\"", why);
    }
}

void wan_look(struct members *m)
{
    char texts[JOIN_ADDRESSES_MAX][WAN_ADDRESS_LEN];
    const char *addresses[JOIN_ADDRESSES_MAX];
    size_t count = 0;
    if (m->wan.gossip == NULL || m->lan.gossip == NULL || m->flooding ||
        m->leave != LEAVE_STAYING) {
        return;
    }
    for (size_t i = 0; i < gossip_count(m->lan.gossip) && count < JOIN_ADDRESSES_MAX; i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        const char *port = gossip_tag(g, "wan_join_port");
        if (port != NULL && !g->self && g->status == GOSSIP_ALIVE && member_is_server(m, g) &&
            wan_lacks(m, g)) {
            (void)snprintf(texts[count], WAN_ADDRESS_LEN,
                           strchr(g->address, ':') != NULL ? "[%s]:%.6s" : "%s:%.6s", g->address,
                           port);
            addresses[count] = texts[count];
            count++;
        }
    }
    if (count > 0) {
        m->flooding = true;
        gossip_join(m->wan.gossip, addresses, count, wan_on_joined, m);
    }
}
