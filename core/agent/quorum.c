/* A cluster without a leader says so: how many of the voters can be reached, and what to do. Once
 * after a while, and again while it lasts; an operator who looks at any server's log finds it. */
#include "core/agent/members_priv.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static bool quorum_reachable(const struct members *m, const struct store_server *server)
{
    for (size_t i = 0; !server->self && i < gossip_count(m->lan.gossip); i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        if (member_is_server(m, g) && g->status == GOSSIP_ALIVE &&
            store_server_id(gossip_tag(g, "id")) == server->id) {
            return true;
        }
    }
    return server->self;
}

static void quorum_say(struct members *m, const struct store_servers *servers)
{
    const char *data_dir = m->options.config->data_dir;
    uint64_t now_ms = env_now_ms(members_env(m));
    unsigned voters = 0;
    unsigned reachable = 0;
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        voters += server->role == STORE_VOTER;
        reachable += server->role == STORE_VOTER && quorum_reachable(m, server);
    }
    unsigned needed = voters / 2 + 1;
    atomic_store(&m->quorum, voters << 16 | reachable);
    unsigned long long for_s = (now_ms - m->leaderless_ms) / 1000;
    if (reachable >= needed) {
        log_line(LOG_QUORUM_NO_LEADER,
                 "for=%llus voters=%u reachable=%u needed=%u do=\"they gossip, but elect nobody: "
                 "see that their RPC ports (%s here) reach each other over TCP\"",
                 for_s, voters, reachable, needed, m->rpc_address);
    } else {
        log_line(LOG_QUORUM_NO_LEADER,
                 "for=%llus voters=%u reachable=%u needed=%u do=\"start the others again; if they "
                 "are lost for good, stop all that are left and see %s/raft/peers.info\"",
                 for_s, voters, reachable, needed, data_dir != NULL ? data_dir : "<data_dir>");
    }
}

static void quorum_rest(struct members *m)
{
    if (!m->closing) {
        env_timer_start(members_env(m), &m->quorum_timer, QUORUM_LOOK_MS);
    }
}

static void quorum_on_servers(struct store_order *o)
{
    struct members *m = o->ctx;
    m->counting = false;
    if (!m->closing && m->lan.gossip != NULL && o->status == OK) {
        quorum_say(m, &o->servers);
    }
    quorum_rest(m);
}

static void quorum_on_timer(struct timer *t)
{
    struct members *m = LIST_OWNER(t, struct members, quorum_timer);
    uint64_t now_ms = env_now_ms(members_env(m));
    struct store_facts facts;
    store_facts_get(m->options.store, &facts);
    if (!facts.bootstrapped || facts.known_leader || m->leave != LEAVE_STAYING) {
        atomic_store(&m->quorum, 0);
        m->leaderless_ms = 0;
        m->said_ms = 0;
        quorum_rest(m);
        return;
    }
    m->leaderless_ms = m->leaderless_ms == 0 ? now_ms : m->leaderless_ms;
    bool due = m->said_ms == 0 ? now_ms - m->leaderless_ms >= QUORUM_PATIENCE_MS
                               : now_ms - m->said_ms >= QUORUM_AGAIN_MS;
    if (!due || m->lan.gossip == NULL) {
        quorum_rest(m);
        return;
    }
    m->said_ms = now_ms;
    m->counting = true;
    m->count = (struct store_order){
        .done = quorum_on_servers,
        .ctx = m,
        .change = STORE_LIST,
    };
    store_order(m->options.store, m->options.loop, &m->count);
}

bool members_leaderless(const struct members *m, unsigned *ret_voters, unsigned *ret_reachable)
{
    uint32_t quorum = atomic_load(&m->quorum);
    *ret_voters = quorum >> 16;
    *ret_reachable = quorum & 0xffff;
    return quorum != 0;
}

void quorum_open(struct members *m)
{
    env_timer_init(members_env(m), &m->quorum_timer, quorum_on_timer);
    quorum_rest(m);
}

void quorum_close(struct members *m)
{
    timer_stop(&m->quorum_timer);
}
