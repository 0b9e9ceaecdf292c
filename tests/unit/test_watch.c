#include "core/base/metric.h"
#include "tests/unit/stream_world.h"

static struct world w;
static unsigned evaluations;

static void setup(void)
{
    world_open(&w, 1);
    evaluations = 0;
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(watch, .init = setup, .fini = teardown);

/* --- the query of the tests: a key's or prefix's newest index ----------------------------------
 */

static enum err
evaluate_key(struct view *v, struct bytes target, struct bytes variant, struct watch_answer *ret)
{
    struct view_pin pin = {0};
    struct kv_row row;
    (void)variant;
    evaluations++;
    enum err e = view_kv_get(v, target, &pin, &row);
    bool found = e == OK && !row.dead;
    uint64_t modified = e == OK ? row.modify_index : 0;
    *ret = (struct watch_answer){
        .status = found ? 200 : 404,
        .index = found ? modified : view_kv_index(v),
        .wake_index = modified,
        .body = shared_copy(0, found ? row.value : BYTES("none")),
    };
    view_pin_close(&pin);
    return OK;
}

static enum err
evaluate_prefix(struct view *v, struct bytes target, struct bytes variant, struct watch_answer *ret)
{
    (void)variant;
    evaluations++;
    struct kv_scan *scan = kv_scan_open(v, target);
    struct kv_row row;
    uint64_t newest = 0;
    while (kv_scan_next(scan, &row) == OK) {
        newest = row.modify_index > newest ? row.modify_index : newest;
    }
    kv_scan_close(scan);
    *ret = (struct watch_answer){
        .status = 200,
        .index = newest > 0 ? newest : view_kv_index(v),
        .wake_index = newest,
        .body = shared_copy(0, target),
    };
    return OK;
}

static enum err evaluate_failure(struct view *v,
                                 struct bytes target,
                                 struct bytes variant,
                                 struct watch_answer *ret)
{
    (void)v;
    (void)target;
    (void)variant;
    (void)ret;
    return ERR_IO;
}

struct client {
    struct watch watch;
    unsigned answers;
    enum err status;
    int http;
    uint64_t index;
    struct shared *body;
    struct client *cancels; /* goes away when this one is answered */
    bool asks_again;
};

static struct watch_query query_of(enum watch_kind kind, const char *target)
{
    return (struct watch_query){
        .kind = kind,
        .target = bytes_of(target),
        .evaluate = kind == WATCH_KV_KEY ? evaluate_key : evaluate_prefix,
    };
}

static void client_done(struct watch *watch, enum err status, const struct watch_answer *answer)
{
    struct client *c = LIST_OWNER(watch, struct client, watch);
    c->answers++;
    c->status = status;
    if (answer != NULL) {
        c->http = answer->status;
        c->index = answer->index;
        shared_unref(c->body);
        c->body = shared_ref(answer->body);
    }
    if (c->cancels != NULL) {
        watch_cancel(&c->cancels->watch);
    }
    if (c->asks_again) {
        c->asks_again = false;
        struct watch_query q = query_of(WATCH_KV_KEY, "a");
        watch_wait(w.stream, &c->watch, &q, c->index, 60000);
    }
}

static void
client_wait(struct client *c, enum watch_kind kind, const char *target, uint64_t index, uint64_t ms)
{
    struct watch_query q = query_of(kind, target);
    c->watch.done = client_done;
    watch_wait(w.stream, &c->watch, &q, index, ms);
}

static void client_close(struct client *c)
{
    watch_cancel(&c->watch);
    shared_unref(c->body);
    c->body = NULL;
}

/* --- the wake-up matrix ------------------------------------------------------------------------
 */

static void write_sibling(void)
{
    world_set(&w, "app/b", BYTES("2"), 0);
}

static void write_same_key(void)
{
    world_set(&w, "app/a", BYTES("2"), 0);
}

static void write_same_value(void)
{
    world_set(&w, "app/a", BYTES("1"), 0);
}

static void write_elsewhere(void)
{
    world_set(&w, "zoo", BYTES("2"), 0);
}

static void write_missing(void)
{
    world_set(&w, "app/missing", BYTES("2"), 0);
}

static void write_prefix_itself(void)
{
    world_set(&w, "app", BYTES("2"), 0);
}

static void delete_key(void)
{
    world_delete(&w, "app/a");
}

static void delete_nothing(void)
{
    world_delete(&w, "app/nothing");
}

static void delete_above(void)
{
    world_delete_prefix(&w, "ap");
}

static void delete_below(void)
{
    world_delete_prefix(&w, "app/a");
}

static void delete_beside(void)
{
    world_delete_prefix(&w, "zo");
}

Test(watch, each_change_wakes_exactly_those_it_concerns)
{
    static const struct {
        enum watch_kind kind;
        const char *target;
        void (*change)(void);
        bool wakes;
    } rows[] = {
        {WATCH_KV_KEY, "app/a", write_sibling, false},
        {WATCH_KV_KEY, "app/a", write_same_key, true},
        {WATCH_KV_KEY, "app/a", write_same_value, false},
        {WATCH_KV_KEY, "app/a", delete_key, true},
        {WATCH_KV_KEY, "app/a", delete_above, true},
        {WATCH_KV_KEY, "app/a", delete_beside, false},
        {WATCH_KV_KEY, "app/missing", write_sibling, false},
        {WATCH_KV_KEY, "app/missing", write_elsewhere, false},
        {WATCH_KV_KEY, "app/missing", write_missing, true},
        {WATCH_KV_KEY, "app/missing", delete_above, false},
        {WATCH_KV_PREFIX, "app/", write_elsewhere, false},
        {WATCH_KV_PREFIX, "app/", write_prefix_itself, false},
        {WATCH_KV_PREFIX, "app/", write_missing, true},
        {WATCH_KV_PREFIX, "app/", write_same_key, true},
        {WATCH_KV_PREFIX, "app/", delete_key, true},
        {WATCH_KV_PREFIX, "app/", delete_nothing, false},
        {WATCH_KV_PREFIX, "app/", delete_above, true},
        {WATCH_KV_PREFIX, "app/", delete_below, true},
        {WATCH_KV_PREFIX, "app/", delete_beside, false},
        {WATCH_KV_PREFIX, "empty/", write_elsewhere, false},
        {WATCH_KV_PREFIX, "", write_elsewhere, true},
        {WATCH_KV_PREFIX, "", delete_nothing, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c = {0};
        world_put(&w, "app/a", "0");
        world_put(&w, "app/a", "1");
        world_put(&w, "zoo", "1");
        client_wait(&c, rows[i].kind, rows[i].target, w.index, 60000);
        cr_assert_eq(c.answers, 0, "row %zu answers at once", i);
        rows[i].change();
        world_publish(&w);
        cr_assert_eq(c.answers, rows[i].wakes, "row %zu", i);
        client_close(&c);
        world_delete_prefix(&w, "");
        world_publish(&w);
    }
}

Test(watch, a_change_that_is_already_there_answers_at_once)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    world_put(&w, "a", "2");
    client_wait(&c, WATCH_KV_KEY, "a", 1, 60000);
    cr_assert_eq(c.answers, 1);
    cr_assert_eq(c.index, 2);
    client_close(&c);
}

Test(watch, a_deleted_key_answers_404_with_the_index_of_its_deletion)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    client_wait(&c, WATCH_KV_KEY, "a", 1, 60000);
    world_delete(&w, "a");
    world_publish(&w);
    cr_assert_eq(c.http, 404);
    cr_assert_eq(c.index, 2);
    client_close(&c);
}

/* Contract, consul.md section 3: the full wait, then the current, lower index. */
Test(watch, an_index_of_the_future_waits_out_and_gets_the_lower_one)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    client_wait(&c, WATCH_KV_KEY, "a", 1000000000, 3000);
    world_put(&w, "a", "2");
    cr_assert_eq(c.answers, 0);
    world_sleep(&w, 2999);
    cr_assert_eq(c.answers, 0);
    world_sleep(&w, 1);
    cr_assert_eq(c.answers, 1);
    cr_assert_eq(c.index, 2);
    client_close(&c);
}

/* A missing key is not woken by others, but its answer at the end says the newest index. */
Test(watch, a_timeout_answers_with_what_is_true_then)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    client_wait(&c, WATCH_KV_KEY, "missing", 1, 3000);
    world_put(&w, "b", "1");
    world_put(&w, "b", "2");
    world_sleep(&w, 3000);
    cr_assert_eq(c.http, 404);
    cr_assert_eq(c.index, 3);
    client_close(&c);
}

Test(watch, identical_queries_share_one_evaluation_and_one_body)
{
    static struct client clients[500];
    world_put(&w, "a", "1");
    for (size_t i = 0; i < 500; i++) {
        client_wait(&clients[i], WATCH_KV_KEY, "a", 1, 60000);
    }
    cr_assert_leq(evaluations, 2);
    evaluations = 0;
    world_put(&w, "b", "1");
    cr_assert_eq(evaluations, 0);
    world_set(&w, "a", BYTES("2"), 0);
    world_set(&w, "a", BYTES("3"), 0);
    world_publish(&w);
    cr_assert_eq(evaluations, 1);
    for (size_t i = 0; i < 500; i++) {
        cr_assert_eq(clients[i].answers, 1);
        cr_assert_eq(clients[i].index, 4);
        cr_assert_eq(clients[i].body, clients[0].body);
    }
    for (size_t i = 0; i < 500; i++) {
        client_close(&clients[i]);
    }
    cr_assert_eq(metric_value(METRIC_QUERY_WAITING), 0);
    cr_assert_eq(metric_value(METRIC_QUERY_GROUPS), 0);
}

Test(watch, a_group_answers_only_those_whose_index_is_passed)
{
    struct client early = {0};
    struct client late = {0};
    world_put(&w, "a", "1");
    client_wait(&early, WATCH_KV_KEY, "a", 1, 60000);
    client_wait(&late, WATCH_KV_KEY, "a", 5, 60000);
    world_put(&w, "a", "2");
    cr_assert_eq(early.answers, 1);
    cr_assert_eq(late.answers, 0);
    world_put(&w, "b", "x");
    world_put(&w, "b", "y");
    world_put(&w, "b", "z");
    world_put(&w, "a", "3");
    cr_assert_eq(late.answers, 1);
    cr_assert_eq(late.index, 6);
    client_close(&early);
    client_close(&late);
}

Test(watch, different_renderings_are_different_groups)
{
    static struct client c[2];
    world_put(&w, "a", "1");
    for (size_t i = 0; i < 2; i++) {
        struct watch_query q = query_of(WATCH_KV_KEY, "a");
        q.variant = bytes_of(i == 0 ? "raw" : "");
        c[i].watch.done = client_done;
        watch_wait(w.stream, &c[i].watch, &q, 1, 60000);
    }
    cr_assert_eq(metric_value(METRIC_QUERY_GROUPS), 2);
    client_close(&c[0]);
    client_close(&c[1]);
    cr_assert_eq(metric_value(METRIC_QUERY_GROUPS), 0);
}

Test(watch, who_goes_away_is_not_answered)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    client_wait(&c, WATCH_KV_KEY, "a", 1, 1000);
    watch_cancel(&c.watch);
    watch_cancel(&c.watch);
    world_put(&w, "a", "2");
    world_sleep(&w, 5000);
    cr_assert_eq(c.answers, 0);
    client_close(&c);
}

/* What an answer sets off: another waiter goes away, the same one asks again. */
Test(watch, an_answer_may_cancel_and_wait_again)
{
    struct client first = {0};
    struct client second = {0};
    world_put(&w, "a", "1");
    client_wait(&first, WATCH_KV_KEY, "a", 1, 60000);
    client_wait(&second, WATCH_KV_KEY, "a", 1, 60000);
    first.cancels = &second;
    first.asks_again = true;
    world_put(&w, "a", "2");
    cr_assert_eq(first.answers, 1);
    cr_assert_eq(second.answers, 0);
    first.cancels = NULL;
    world_put(&w, "a", "3");
    cr_assert_eq(first.answers, 2);
    client_close(&first);
    client_close(&second);
}

Test(watch, a_failed_evaluation_is_told)
{
    struct client c = {0};
    struct watch_query q = query_of(WATCH_KV_KEY, "a");
    q.evaluate = evaluate_failure;
    c.watch.done = client_done;
    watch_wait(w.stream, &c.watch, &q, 1, 60000);
    cr_assert_eq(c.answers, 1);
    cr_assert_eq(c.status, ERR_IO);
}

Test(watch, shutdown_answers_everybody_with_what_is_known)
{
    struct client c = {0};
    world_put(&w, "a", "1");
    client_wait(&c, WATCH_KV_KEY, "a", 1, 60000);
    stream_shutdown(w.stream, 0, NULL);
    cr_assert_eq(c.answers, 1);
    cr_assert_eq(c.status, OK);
    cr_assert_eq(c.index, 1);
    client_wait(&c, WATCH_KV_KEY, "a", 1, 60000);
    cr_assert_eq(c.answers, 2);
    client_close(&c);
}

/* 15,000 keys and prefixes of many lengths wait; a write elsewhere evaluates nothing, and the right
 * one of them wakes alone. */
Test(watch, many_groups_do_not_disturb_each_other)
{
    static struct client clients[15000];
    static char names[15000][64];
    world_put(&w, "x", "1");
    for (size_t i = 0; i < 15000; i++) {
        (void)snprintf(names[i], 64, "%*s/%zu", (int)(i % 40), "", i);
        client_wait(&clients[i], i % 3 == 0 ? WATCH_KV_PREFIX : WATCH_KV_KEY, names[i], 1, 60000);
    }
    evaluations = 0;
    world_put(&w, "elsewhere", "1");
    cr_assert_eq(evaluations, 0);
    world_put(&w, names[7003], "1");
    cr_assert_eq(evaluations, 1);
    cr_assert_eq(clients[7003].answers, 1);
    world_delete_prefix(&w, names[7003]);
    world_publish(&w);
    for (size_t i = 0; i < 15000; i++) {
        cr_assert(clients[i].answers == (i == 7003), "%zu", i);
        client_close(&clients[i]);
    }
}
