/* core/agent/shared_query: many watchers, one question. A world with its own clock, and a server
 * that says what the test lets it say. */
#include "core/agent/shared_query.h"
#include "core/base/limit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define WATCHERS_MAX 64U

struct told {
    struct shared_watcher watcher;
    unsigned times;
    enum err status;
    uint64_t index;
    bool stale;
};

static struct env env;
static uint64_t now_ms;
static struct shared_queries *queries;
static struct shared_query *upstream; /* the last question that is out */
static unsigned asked;                /* questions so far */
static unsigned open_questions;
static uint64_t asked_index;
static bool connected;
static struct told told[WATCHERS_MAX];

static uint64_t world_now_ms(struct env *e)
{
    (void)e;
    return now_ms;
}

static void world_random(struct env *e, void *ret_data, size_t len)
{
    (void)e;
    memset(ret_data, 0, len);
}

static const struct env_ops WORLD = {
    .now_ms = world_now_ms,
    .wall_ms = world_now_ms,
    .random = world_random,
};

static void world_ask(void *ctx, struct shared_query *q, struct bytes key, uint64_t index)
{
    (void)ctx;
    cr_assert_gt(key.len, 0);
    upstream = q;
    asked_index = index;
    asked++;
    open_questions++;
}

static void world_cancel(void *ctx, struct shared_query *q)
{
    (void)ctx;
    (void)q;
    open_questions--;
}

static bool world_connected(void *ctx)
{
    (void)ctx;
    return connected;
}

static void setup(void)
{
    const struct shared_host host = {
        .env = &env,
        .ask = world_ask,
        .cancel = world_cancel,
        .connected = world_connected,
    };
    env = (struct env){.ops = &WORLD};
    timers_init(&env.timers);
    now_ms = 1000;
    connected = true;
    queries = shared_queries_new(&host);
}

static void teardown(void)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        shared_cancel(&told[i].watcher);
    }
    shared_queries_free(queries);
    cr_assert_eq(open_questions, 0, "no question is left behind");
    timers_close(&env.timers);
}

static void pass(uint64_t ms)
{
    uint64_t until_ms = now_ms + ms;
    uint64_t next_ms = 0;
    while (timers_next(&env.timers, &next_ms) && next_ms <= until_ms) {
        now_ms = next_ms;
        timers_run(&env.timers, now_ms);
    }
    now_ms = until_ms;
}

static void on_told(struct shared_watcher *w, enum err e, struct shared_answer *a, bool stale)
{
    struct told *t = LIST_OWNER(w, struct told, watcher);
    t->times++;
    t->status = e;
    t->index = a == NULL ? 0 : a->index;
    t->stale = stale;
}

static enum shared_verdict watch(size_t i, const char *key, uint64_t index, uint64_t wait_ms)
{
    struct shared_answer *now = NULL;
    told[i] = (struct told){.watcher = {.done = on_told}};
    enum shared_verdict v =
        shared_watch(queries, &told[i].watcher, bytes_of(key), index, wait_ms, &now);
    if (v == SHARED_NOW) {
        on_told(&told[i].watcher, OK, now, false);
    }
    return v;
}

static struct shared_answer *answer(uint64_t index)
{
    const struct shared_answer a = {.status = 200, .index = index, .at_ms = now_ms};
    return shared_answer_new(&a);
}

static void say(uint64_t index)
{
    open_questions--;
    shared_query_answered(upstream, answer(index));
}

TestSuite(shared_query, .init = setup, .fini = teardown);

/* However many wait, one question is upstream; its answer is everybody's, and the next question is
 * there before they come again. */
Test(shared_query, many_watchers_are_one_question)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        cr_assert_eq(watch(i, "/v1/kv/a\n", 5, 60000), SHARED_WAITS);
    }
    cr_assert_eq(asked, 1);
    cr_assert_eq(asked_index, 5);
    pass(2000);
    say(6);
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        cr_assert(told[i].times == 1 && told[i].index == 6 && !told[i].stale);
    }
    cr_assert_eq(asked, 2);
    cr_assert_eq(asked_index, 6);
    for (size_t i = 0; i < WATCHERS_MAX; i++) {
        cr_assert_eq(watch(i, "/v1/kv/a\n", 6, 60000), SHARED_WAITS);
    }
    cr_assert_eq(asked, 2, "they join what is there");
}

Test(shared_query, other_keys_are_other_questions)
{
    cr_assert_eq(watch(0, "/v1/kv/a\ntoken", 5, 60000), SHARED_WAITS);
    cr_assert_eq(watch(1, "/v1/kv/a\nother", 5, 60000), SHARED_WAITS);
    cr_assert_eq(asked, 2);
}

/* Who missed a change gets it from here, without a question. */
Test(shared_query, older_index_is_answered_from_what_is_current)
{
    (void)watch(0, "k\n", 5, 60000);
    pass(2000);
    say(9);
    cr_assert_eq(watch(1, "k\n", 7, 60000), SHARED_NOW);
    cr_assert_eq(told[1].index, 9);
    cr_assert_eq(watch(2, "k\n", 12, 60000), SHARED_ALONE, "it knows more than we do");
    cr_assert_eq(asked, 2);
}

/* Nothing is known yet, and somebody has an older index: the question becomes theirs. */
Test(shared_query, lowest_index_is_asked_with)
{
    (void)watch(0, "k\n", 7, 60000);
    (void)watch(1, "k\n", 5, 60000);
    cr_assert_eq(asked, 2);
    cr_assert_eq(open_questions, 1);
    cr_assert_eq(asked_index, 5);
    say(7);
    cr_assert_eq(told[0].times, 0, "it has that one already");
    cr_assert_eq(told[1].index, 7);
    cr_assert_eq(asked_index, 7);
    pass(2000);
    say(3); /* a backup was restored */
    cr_assert_eq(told[0].index, 3);
}

/* Each waits as long as it asked for; what is current answers. */
Test(shared_query, each_has_its_own_deadline)
{
    (void)watch(0, "k\n", 5, 60000);
    pass(2000);
    say(6);
    (void)watch(1, "k\n", 6, 1000);
    (void)watch(2, "k\n", 6, 3000);
    pass(1500);
    cr_assert(told[1].times == 1 && told[1].index == 6 && !told[1].stale);
    cr_assert_eq(told[2].times, 0);
    pass(2000);
    cr_assert_eq(told[2].times, 1);
}

/* The answer is not known, only that it has not changed: the asker asks plainly. */
Test(shared_query, deadline_without_an_answer_says_so)
{
    (void)watch(0, "k\n", 5, 1000);
    pass(1500);
    cr_assert_eq(told[0].status, ERR_TIMEOUT);
}

Test(shared_query, question_goes_when_nobody_waits)
{
    (void)watch(0, "k\n", 5, 60000);
    shared_cancel(&told[0].watcher);
    cr_assert_eq(open_questions, 1, "somebody may come again at once");
    pass(SHARED_LINGER_MS + 1);
    cr_assert_eq(open_questions, 0);
}

/* Servers are lost: who has an older index gets what is known, as stale; who has the newest waits,
 * for the servers or for its deadline. */
Test(shared_query, lost_servers_leave_what_is_known)
{
    (void)watch(0, "k\n", 5, 60000);
    pass(2000);
    say(6);
    (void)watch(1, "k\n", 6, 10000);
    connected = false;
    open_questions--;
    shared_query_failed(upstream, ERR_NOT_FOUND);
    cr_assert_eq(told[1].times, 0);
    cr_assert_eq(watch(2, "k\n", 4, 10000), SHARED_WAITS);
    unsigned before = asked;
    pass(SHARED_RETRY_MS + 1);
    cr_assert_eq(asked, before + 1, "it is tried again");
    open_questions--;
    shared_query_failed(upstream, ERR_NOT_FOUND);
    cr_assert(told[2].times == 1 && told[2].index == 6 && told[2].stale);
    pass(SHARED_RETRY_MS + 1);
    connected = true;
    say(8);
    cr_assert(told[1].times == 1 && told[1].index == 8 && !told[1].stale);
}

Test(shared_query, stale_at_the_deadline)
{
    struct shared_answer *a = answer(6);
    shared_remember(queries, BYTES("k\n"), a);
    shared_answer_unref(a);
    connected = false;
    (void)watch(0, "k\n", 6, 1000);
    pass(1500);
    cr_assert(told[0].times == 1 && told[0].index == 6 && told[0].stale);
}

/* Without an index there is nothing to wait for: an error is everybody's, and ends the question. */
Test(shared_query, error_is_everybodys)
{
    (void)watch(0, "k\n", 5, 60000);
    (void)watch(1, "k\n", 5, 60000);
    say(0);
    cr_assert(told[0].times == 1 && told[1].times == 1);
    cr_assert_eq(open_questions, 0);
    cr_assert_null(shared_last(queries, BYTES("k\n")));
}

/* A server that answers at once, again and again, with the same index is not asked as fast. */
Test(shared_query, hasty_answers_are_slowed)
{
    (void)watch(0, "k\n", 5, 60000);
    say(5);
    cr_assert_eq(asked, 1);
    pass(SHARED_RETRY_MS + 1);
    cr_assert_eq(asked, 2);
}
