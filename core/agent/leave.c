/* The good-bye: first out of the voters, so that the quorum follows, then out of the gossip, then a
 * while for those who still ask this server. */
#include "core/agent/members_priv.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdlib.h>

static void leave_move(struct members *m, enum leave_state to)
{
    CHECK(to > m->leave);
    m->leave = to;
}

static void leave_answer(struct members *m)
{
    while (!list_empty(&m->leavers)) {
        struct leave_waiter *w = LIST_OWNER(m->leavers.next, struct leave_waiter, link);
        list_remove(&w->link);
        w->done(w->ctx);
        free(w);
    }
}

static void leave_end(struct members *m)
{
    leave_move(m, LEAVE_LEFT);
    log_line(LOG_MEMBERS_LEFT, "voters_changed=%s", m->removed ? "true" : "false");
    leave_answer(m);
}

static void leave_drain(void *ctx)
{
    struct members *m = ctx;
    leave_move(m, LEAVE_DRAINING);
    /* Alone there is nobody else to ask. */
    uint64_t drain_ms = m->removed ? m->options.config->leave_drain_ms : 0;
    env_timer_start(members_env(m), &m->leave_timer, drain_ms);
}

/* The WAN pool second: who is away from the LAN is not invited to it again (wan_look()). */
static void leave_wan(void *ctx)
{
    struct members *m = ctx;
    if (m->wan.gossip == NULL) {
        leave_drain(m);
    } else {
        gossip_leave(m->wan.gossip, leave_drain, m);
    }
}

void leave_part(struct members *m)
{
    timer_stop(&m->leave_timer);
    leave_move(m, LEAVE_PARTING);
    if (m->lan.gossip == NULL) {
        leave_wan(m);
    } else {
        gossip_leave(m->lan.gossip, leave_wan, m);
    }
}

static void leave_remove(struct members *m)
{
    m->removing = true;
    store_order(m->options.store, m->options.loop, &m->remove);
}

static void leave_on_removed(struct store_order *o)
{
    struct members *m = o->ctx;
    m->removing = false;
    if (m->closing || m->leave != LEAVE_REMOVING) {
        return;
    }
    m->removed = o->status == OK;
    /* Several may leave at once: one at a time gets its turn. The timer asks again. */
    if (o->status == OK || o->status == ERR_CONFLICT || o->status == ERR_NOT_FOUND) {
        leave_part(m);
    }
}

/* Whether it makes sense to go on trying. Without a leader there is no quorum to agree on it. */
static bool leave_may_try(struct members *m)
{
    struct store_facts facts;
    uint64_t now = env_now_ms(members_env(m));
    store_facts_get(m->options.store, &facts);
    if (facts.known_leader) {
        m->leader_seen_ms = now;
    }
    const char *why = now >= m->leader_seen_ms + LEAVE_LEADERLESS_MS ? "no leader"
                      : now >= m->leave_until_ms                     ? "no answer in time"
                                                                     : NULL;
    if (why != NULL) {
        log_line(LOG_MEMBERS_NOT_REMOVED, "why=\"%s\"", why);
    }
    return why == NULL;
}

static void leave_on_timer(struct timer *t)
{
    struct members *m = LIST_OWNER(t, struct members, leave_timer);
    if (m->leave == LEAVE_DRAINING) {
        leave_end(m);
    } else if (m->leave == LEAVE_REMOVING && !leave_may_try(m)) {
        leave_part(m);
    } else if (m->leave == LEAVE_REMOVING) {
        env_timer_start(members_env(m), &m->leave_timer, LEAVE_AGAIN_MS);
        if (!m->removing) {
            leave_remove(m);
        }
    }
}

void members_leave(struct members *m, void (*done)(void *ctx), void *ctx)
{
    struct leave_waiter *w = mem_alloc(sizeof *w);
    *w = (struct leave_waiter){.done = done, .ctx = ctx};
    list_init(&w->link);
    list_append(&m->leavers, &w->link);
    if (m->leave == LEAVE_LEFT) {
        leave_answer(m);
        return;
    }
    if (m->leave != LEAVE_STAYING) {
        return;
    }
    log_line(LOG_MEMBERS_LEAVING, "%s", "");
    timer_stop(&m->lan.retry);
    timer_stop(&m->wan.retry);
    timer_stop(&m->flood);
    m->role->leave(m);
}

void leave_voters(struct members *m)
{
    struct store_facts facts;
    m->leader_seen_ms = env_now_ms(members_env(m));
    m->leave_until_ms = m->leader_seen_ms + LEAVE_TRY_MS;
    store_facts_get(m->options.store, &facts);
    leave_move(m, LEAVE_REMOVING);
    if (!facts.bootstrapped || (facts.leader && facts.voters <= 1)) {
        leave_part(m); /* there is nobody to be removed by */
        return;
    }
    env_timer_start(members_env(m), &m->leave_timer, LEAVE_AGAIN_MS);
    leave_remove(m);
}

void leave_open(struct members *m)
{
    env_timer_init(members_env(m), &m->leave_timer, leave_on_timer);
    m->remove = (struct store_order){
        .done = leave_on_removed,
        .ctx = m,
        .change = STORE_REMOVE,
        .id = store_server_id(m->options.node_id),
    };
}

void leave_close(struct members *m)
{
    while (!list_empty(&m->leavers)) {
        struct leave_waiter *w = LIST_OWNER(m->leavers.next, struct leave_waiter, link);
        list_remove(&w->link);
        free(w);
    }
}
