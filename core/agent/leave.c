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

static void leave_part(struct members *m)
{
    leave_move(m, LEAVE_PARTING);
    if (m->gossip == NULL) {
        leave_drain(m);
    } else {
        gossip_leave(m->gossip, leave_drain, m);
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
    if (m->closing) {
        return;
    }
    m->removed = o->status == OK;
    bool again = o->status == ERR_BUSY || o->status == ERR_NOT_LEADER || o->status == ERR_TIMEOUT;
    if (again && env_now_ms(members_env(m)) < m->leave_until_ms) {
        /* Several may leave at once: one at a time gets its turn. */
        env_timer_start(members_env(m), &m->leave_timer, LEAVE_AGAIN_MS);
        return;
    }
    if (o->status != OK && o->status != ERR_CONFLICT && o->status != ERR_NOT_FOUND) {
        log_line(LOG_MEMBERS_NOT_REMOVED, "why=\"%s\"", err_text(o->status));
    }
    leave_part(m);
}

static void leave_on_timer(struct timer *t)
{
    struct members *m = LIST_OWNER(t, struct members, leave_timer);
    if (m->leave == LEAVE_REMOVING) {
        leave_remove(m);
    } else {
        leave_end(m);
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
    timer_stop(&m->retry);
    m->leave_until_ms = env_now_ms(members_env(m)) + LEAVE_TRY_MS;
    leave_move(m, LEAVE_REMOVING);
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
