/* Real agents on loopback, several on one loop, for the tests of gossip.
 *
 * Threads  the loop has its own; the test's asks it to do things and waits until they are so.
 */
#ifndef TESTS_UNIT_GOSSIP_LIB_H
#define TESTS_UNIT_GOSSIP_LIB_H

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/gossip/gossip.h"
#include "scratch.h"

#include <semaphore.h>
#include <string.h>

#define AGENTS 6

/* Far above what anything here takes; a test that reaches it has failed. */
#define PATIENCE_MS 60000

struct agent {
    struct gossip *gossip;
    unsigned changes;
    unsigned reaps;
    char address[64]; /* with the port */
};

struct yard {
    struct loop *loop;
    struct agent agents[AGENTS];
    struct timer poll;
    uint64_t until_ms;
    bool (*wanted)(struct yard *y);
    bool late;
    sem_t there;
    /* what is to be done */
    size_t who;
    size_t whom;
    struct gossip_options options;
    const char *text;
    bool flag;
    enum gossip_key_order order;
    enum gossip_status status;
    /* what came of it */
    enum err e;
    struct reason why;
    unsigned done;
    size_t joined;
    struct gossip_key_result keys;
    /* what agent_see() saw */
    size_t count;
    uint16_t port;
    bool encrypted;
    bool ascending;
    unsigned changes;
    unsigned reaps;
    struct gossip_member member;
};

static inline void agent_changed(void *ctx, const struct gossip_member *m)
{
    struct agent *a = ctx;
    a->changes += m->name[0] != '\0';
}

static inline void agent_reaped(void *ctx, const struct gossip_member *m)
{
    struct agent *a = ctx;
    a->reaps += m->name[0] != '\0';
}

/* --- waiting --- */

static inline void yard_poll(struct timer *t)
{
    struct yard *y = LIST_OWNER(t, struct yard, poll);
    y->late = env_now_ms(loop_env(y->loop)) >= y->until_ms;
    if (y->wanted(y) || y->late) {
        (void)sem_post(&y->there);
        return;
    }
    env_timer_start(loop_env(y->loop), t, 2);
}

static inline void yard_wait_begin(void *arg)
{
    struct yard *y = arg;
    y->until_ms = env_now_ms(loop_env(y->loop)) + PATIENCE_MS;
    env_timer_start(loop_env(y->loop), &y->poll, 0);
}

static inline void yard_wait(struct yard *y, bool (*wanted)(struct yard *y))
{
    y->wanted = wanted;
    loop_call(y->loop, yard_wait_begin, y);
    while (sem_wait(&y->there) != 0) {
    }
    cr_assert_not(y->late, "waited in vain; the last word was: %s", y->why.text);
}

/* --- life --- */

static inline void yard_open(struct yard *y)
{
    *y = (struct yard){.loop = loop_new("yard")};
    env_timer_init(loop_env(y->loop), &y->poll, yard_poll);
    cr_assert_eq(sem_init(&y->there, 0, 0), 0);
    log_set_level(LOG_ERROR);
    loop_start(y->loop);
}

static inline void yard_close_all(void *arg)
{
    struct yard *y = arg;
    for (size_t i = 0; i < AGENTS; i++) {
        gossip_close(y->agents[i].gossip);
    }
}

static inline void yard_close(struct yard *y)
{
    loop_call(y->loop, yard_close_all, y);
    loop_stop(y->loop);
    loop_join(y->loop);
    loop_free(y->loop);
    (void)sem_destroy(&y->there);
}

/* --- what agents do --- */

static inline void agent_open_now(void *arg)
{
    struct yard *y = arg;
    struct agent *a = &y->agents[y->who];
    y->why = (struct reason){{0}};
    y->e = gossip_open(&y->options, &a->gossip, &y->why);
    if (y->e == OK) {
        (void)snprintf(a->address, sizeof a->address, "%s:%u", y->options.bind_address,
                       gossip_port(a->gossip));
    }
}

static inline struct gossip_options agent_options(struct yard *y, const char *name)
{
    return (struct gossip_options){
        .loop = y->loop,
        .name = name,
        .bind_address = "127.0.0.1",
        .reconnect_ms = 72ULL * 3600 * 1000,
    };
}

static inline enum err agent_open(struct yard *y, size_t who, const struct gossip_options *options)
{
    y->who = who;
    y->options = *options;
    y->options.ctx = &y->agents[who];
    y->options.changed = agent_changed;
    y->options.reaped = agent_reaped;
    loop_call(y->loop, agent_open_now, y);
    return y->e;
}

static inline void agent_close_now(void *arg)
{
    struct yard *y = arg;
    gossip_close(y->agents[y->who].gossip);
    y->agents[y->who].gossip = NULL;
}

static inline void agent_close(struct yard *y, size_t who)
{
    y->who = who;
    loop_call(y->loop, agent_close_now, y);
}

static inline void agent_joined(void *ctx, size_t joined, const char *why)
{
    struct yard *y = ctx;
    y->joined = joined;
    reason_set(&y->why, "%s", why);
    y->done++;
}

static inline void agent_join_now(void *arg)
{
    struct yard *y = arg;
    gossip_join(y->agents[y->who].gossip, &y->text, 1, agent_joined, y);
}

static inline bool yard_is_done(struct yard *y)
{
    return y->done > 0;
}

static inline size_t agent_join(struct yard *y, size_t who, const char *address)
{
    y->who = who;
    y->text = address;
    y->done = 0;
    loop_call(y->loop, agent_join_now, y);
    yard_wait(y, yard_is_done);
    cr_assert_eq(y->done, 1);
    return y->joined;
}

static inline void agent_left(void *ctx)
{
    struct yard *y = ctx;
    y->done++;
}

static inline void agent_leave_now(void *arg)
{
    struct yard *y = arg;
    gossip_leave(y->agents[y->who].gossip, agent_left, y);
}

static inline void agent_leave(struct yard *y, size_t who)
{
    y->who = who;
    y->done = 0;
    loop_call(y->loop, agent_leave_now, y);
    yard_wait(y, yard_is_done);
    agent_close(y, who);
}

static inline void agent_ordered(void *ctx, const struct gossip_key_result *result)
{
    struct yard *y = ctx;
    y->keys = *result;
    y->done++;
}

static inline void agent_order_now(void *arg)
{
    struct yard *y = arg;
    gossip_key(y->agents[y->who].gossip, y->order, y->text, agent_ordered, y);
}

static inline void
agent_order(struct yard *y, size_t who, enum gossip_key_order order, const char *key)
{
    y->who = who;
    y->order = order;
    y->text = key;
    y->done = 0;
    loop_call(y->loop, agent_order_now, y);
    yard_wait(y, yard_is_done);
}

/* Copies what an agent knows: the loop goes on, and its members with it. */
static inline void agent_see_now(void *arg)
{
    struct yard *y = arg;
    const struct agent *a = &y->agents[y->who];
    const struct gossip_member *m = gossip_find(a->gossip, y->text);
    y->count = gossip_count(a->gossip);
    y->port = gossip_port(a->gossip);
    y->encrypted = gossip_encrypted(a->gossip);
    y->changes = a->changes;
    y->reaps = a->reaps;
    y->member = m == NULL ? (struct gossip_member){0} : *m;
    y->ascending = true;
    for (size_t i = 1; i < y->count; i++) {
        y->ascending = y->ascending &&
                       strcmp(gossip_at(a->gossip, i - 1)->name, gossip_at(a->gossip, i)->name) < 0;
    }
}

static inline void agent_see(struct yard *y, size_t who, const char *name)
{
    y->who = who;
    y->text = name;
    loop_call(y->loop, agent_see_now, y);
}

/* All open agents know `text` as `status`. */
static inline bool yard_agrees(struct yard *y)
{
    for (size_t i = 0; i < AGENTS; i++) {
        const struct gossip_member *m =
            y->agents[i].gossip == NULL ? NULL : gossip_find(y->agents[i].gossip, y->text);
        if (y->agents[i].gossip != NULL && (m == NULL || m->status != y->status)) {
            return false;
        }
    }
    return true;
}

static inline void yard_wait_status(struct yard *y, const char *name, enum gossip_status status)
{
    y->text = name;
    y->status = status;
    yard_wait(y, yard_agrees);
}

#endif
