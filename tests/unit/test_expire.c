/* The leader's clocks, in virtual time: what is due when, and that a jumping wall clock moves
 * nothing. */
#include "store_lib.h"

#include "core/agent/deadlines.h"
#include "core/base/list.h"

/* A world whose time the test turns. */
static struct world {
    struct env env;
    uint64_t now_ms;
    uint64_t wall_ms;
    struct deadlines deadlines;
    char due[1024]; /* "name@time;" each */
} w;

static uint64_t world_now(struct env *env)
{
    (void)env;
    return w.now_ms;
}

static uint64_t world_wall(struct env *env)
{
    (void)env;
    return w.wall_ms;
}

static const struct env_ops WORLD = {.now_ms = world_now, .wall_ms = world_wall};

static void on_due(void *ctx, const struct expiry *x)
{
    cr_assert_eq(ctx, &w);
    size_t len = strlen(w.due);
    snprintf(w.due + len, sizeof w.due - len, "%.*s@%llu;", BYTES_FORMAT(x->name),
             (unsigned long long)w.now_ms);
}

static void setup(void)
{
    memset(&w, 0, sizeof w);
    w.now_ms = 1000;
    w.wall_ms = 1000000000;
    w.env.ops = &WORLD;
    timers_init(&w.env.timers);
    deadlines_init(&w.deadlines, &w.env, on_due, &w);
}

static void teardown(void)
{
    deadlines_close(&w.deadlines);
    timers_close(&w.env.timers);
}

TestSuite(expire, .init = setup, .fini = teardown, .timeout = 20);

static void set(const char *name, uint64_t after_ms, uint64_t set_index)
{
    deadlines_set(&w.deadlines, &(struct expiry){.kind = EXPIRY_SESSION,
                                                 .name = bytes_of(name),
                                                 .after_ms = after_ms,
                                                 .set_index = set_index});
}

/* Millisecond by millisecond, with a wall clock that is somewhere else each time. */
static void pass(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        w.now_ms++;
        w.wall_ms += i % 2 == 0 ? 3600000 : -3600000;
        timers_run(&w.env.timers, w.now_ms);
    }
}

#define assert_due(want) cr_assert_str_eq(w.due, want, "have %s", w.due)

/* A full time and the slack behind it; neither before nor twice. */
Test(expire, due_once_and_never_early)
{
    set("a", 5000, 7);
    pass(5000 + EXPIRE_SLACK_MS - 1);
    assert_due("");
    pass(1);
    assert_due("a@6050;");
    pass(20000);
    assert_due("a@6050;");
    cr_assert_eq(w.deadlines.count, 1);
}

/* A renewal begins anew; the same word again does not. */
Test(expire, a_renewal_begins_anew)
{
    set("a", 5000, 7);
    pass(4000);
    set("a", 5000, 7);
    pass(1000);
    set("a", 5000, 9);
    pass(4000);
    set("a", 5000, 9);
    pass(1000 + EXPIRE_SLACK_MS - 1);
    assert_due("");
    pass(1);
    assert_due("a@11050;");
}

Test(expire, what_is_forgotten_is_never_due)
{
    set("a", 100, 1);
    set("b", 100, 2);
    deadlines_forget(&w.deadlines, EXPIRY_SESSION, S("a"));
    deadlines_forget(&w.deadlines, EXPIRY_KEY, S("b"));
    deadlines_forget(&w.deadlines, EXPIRY_SESSION, S("c"));
    pass(1000);
    assert_due("b@1150;");
    deadlines_clear(&w.deadlines);
    cr_assert_eq(w.deadlines.count, 0);
}

/* A new leader hears of everything at once, and counts the full time for each. */
Test(expire, a_new_leader_counts_the_full_time)
{
    set("a", 5000, 7);
    pass(4999);
    deadlines_clear(&w.deadlines);
    set("a", 5000, 7);
    pass(5000 + EXPIRE_SLACK_MS - 1);
    assert_due("");
    pass(1);
    assert_due("a@11049;");
}

/* What could not be ended is tried again, unless it was renewed. */
Test(expire, another_try_is_for_the_same_word)
{
    set("a", 100, 1);
    pass(150);
    assert_due("a@1150;");
    struct expiry x = {.kind = EXPIRY_SESSION, .name = S("a"), .after_ms = 100, .set_index = 1};
    deadlines_again(&w.deadlines, &x, 500);
    pass(500);
    assert_due("a@1150;a@1650;");
    set("a", 100, 2);
    deadlines_again(&w.deadlines, &x, 10);
    pass(149);
    assert_due("a@1150;a@1650;");
    pass(1);
    assert_due("a@1150;a@1650;a@1800;");
}

/* One of each kind may have one name; thousands have places of their own. */
Test(expire, kinds_and_thousands)
{
    const struct expiry key = {.kind = EXPIRY_KEY, .name = S("a"), .after_ms = 300, .set_index = 1};
    set("a", 100, 1);
    deadlines_set(&w.deadlines, &key);
    for (unsigned i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        set(name, 100000 + i, i + 1);
    }
    cr_assert_eq(w.deadlines.count, 5002);
    pass(400);
    assert_due("a@1150;a@1350;");
    for (unsigned i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        deadlines_forget(&w.deadlines, EXPIRY_SESSION, bytes_of(name));
    }
    cr_assert_eq(w.deadlines.count, 2);
}
