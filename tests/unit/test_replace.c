/* What becomes of those who wait when the state is replaced: a leader's snapshot (the same indexes,
 * further on) or a restored backup (other indexes, another epoch); and of subscriptions that want
 * the state to be confirmed first. */
#include "tests/unit/stream_world.h"

static struct world w;

static void setup(void)
{
    world_open(&w, 1);
}

static void teardown(void)
{
    world_close(&w);
}

TestSuite(replace, .init = setup, .fini = teardown);

/* A state of its own after `count` writes: number i sets the key k<i> at index i. */
static struct state *state_of(uint64_t count)
{
    struct world other;
    char key[16];
    world_open(&other, 2);
    for (uint64_t i = 1; i <= count; i++) {
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        world_set(&other, key, BYTES("v"), 0);
    }
    struct state *s = other.state;
    stream_free(other.stream);
    view_unref(other.view);
    collect_close(&other.changes);
    timers_close(&other.env.timers);
    return s;
}

static void replace(struct state *s)
{
    world_replace(&w, s, state_applied(s));
}

/* The world's own state, by the same writes. */
static void write_through(uint64_t count)
{
    char key[16];
    while (w.index < count) {
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)(w.index + 1));
        (void)world_put(&w, key, "v");
    }
}

/* --- queries --------------------------------------------------------------------------------- */

struct client {
    struct watch watch;
    unsigned answers;
    uint64_t index;
};

static enum err
evaluate(struct view *v, struct bytes target, struct bytes variant, struct watch_answer *ret)
{
    (void)variant;
    struct view_pin pin = {0};
    struct kv_row row = {0};
    bool found = view_kv_get(v, target, &pin, &row) == OK;
    view_pin_close(&pin);
    *ret = (struct watch_answer){
        .status = found ? 200 : 404,
        .index = found ? row.modify_index : view_kv_index(v),
        .wake_index = found ? row.modify_index : 0,
    };
    return OK;
}

static void client_done(struct watch *watch, enum err status, const struct watch_answer *answer)
{
    struct client *c = LIST_OWNER(watch, struct client, watch);
    cr_assert_eq(status, OK);
    c->answers++;
    c->index = answer->index;
}

static void client_wait(struct client *c, const char *key, uint64_t index)
{
    struct watch_query q = {.kind = WATCH_KV_KEY, .target = bytes_of(key), .evaluate = evaluate};
    *c = (struct client){.watch = {.done = client_done}};
    watch_wait(w.stream, &c->watch, &q, index, 60000);
}

/* What a snapshot brought is news to those whose answer it changed, and to nobody else. */
Test(replace, a_snapshot_wakes_those_whose_answer_it_changed)
{
    struct client changed;
    struct client unchanged;
    write_through(3);
    client_wait(&changed, "k9", 3);
    client_wait(&unchanged, "k3", 3);
    replace(state_of(9));
    cr_assert_eq(changed.answers, 1);
    cr_assert_eq(changed.index, 9);
    cr_assert_eq(unchanged.answers, 0);
    watch_cancel(&unchanged.watch);
}

/* After a restore no index that a client holds means anything: everybody is told at once. */
Test(replace, a_restore_wakes_everybody)
{
    struct client a;
    struct client b;
    write_through(9);
    client_wait(&a, "k9", 9);
    client_wait(&b, "k2", 9);
    w.epoch = "beef";
    replace(state_of(2));
    cr_assert_eq(a.answers, 1);
    cr_assert_eq(a.index, 2);
    cr_assert_eq(b.answers, 1);
    cr_assert_eq(b.index, 2);
}

/* An answer that waiters shared is of the state before, also where the index is the same. */
Test(replace, a_shared_answer_does_not_outlive_its_state)
{
    struct client a;
    struct client b;
    (void)world_put(&w, "x", "1");
    client_wait(&a, "k1", 1);
    client_wait(&b, "k1", 1);
    w.epoch = "beef";
    replace(state_of(1));
    cr_assert_eq(a.answers, 1);
    struct client c;
    client_wait(&c, "k1", 0);
    cr_assert_eq(c.answers, 1);
    cr_assert_eq(c.index, 1);
}

/* --- subscriptions --------------------------------------------------------------------------- */

static struct tap *subscribed(const char *message)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, message);
    (void)tap_expect_type(t, "welcome");
    return t;
}

/* Every event from `index` on, each once, up to `through`. */
static void expect_all(struct tap *t, uint64_t index, uint64_t through)
{
    while (index < through) {
        json_t *m = tap_json(t);
        cr_assert_not_null(m, "nothing more behind %lu", index);
        if (strcmp(json_text_of(m, "type"), "events") != 0) {
            continue;
        }
        cr_assert_eq(json_u64_of(m, "after"), index);
        json_t *events = json_object_get(m, "events");
        for (size_t i = 0; i < json_array_size(events); i++) {
            cr_assert_eq(json_u64_of(json_array_get(events, i), "index"), ++index);
        }
        cr_assert_eq(json_u64_of(m, "through"), index);
    }
}

/* The changes that the snapshot skipped come from its history: no gap, nothing twice. */
Test(replace, a_subscription_goes_on_from_the_history)
{
    write_through(3);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "subscribed");
    write_through(5);
    expect_all(t, 3, 5);
    replace(state_of(9));
    expect_all(t, 5, 9);
    write_through(12);
    expect_all(t, 9, 12);
    tap_free(t);
}

/* The same for one that is behind when it happens, in the middle of its replay. */
Test(replace, a_slow_subscription_goes_on_too)
{
    write_through(3);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"credit\":2,"
                               "\"from\":{\"index\":0}}");
    expect_all(t, 0, 2);
    replace(state_of(9));
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":100}");
    expect_all(t, 2, 9);
    tap_free(t);
}

Test(replace, a_history_that_does_not_reach_back_is_compacted)
{
    write_through(3);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "subscribed");
    struct state *s = state_of(9);
    bool more = true;
    struct reason why = {{0}};
    while (more) {
        cr_assert_eq(state_trim(s, &(struct history_limits){.bytes_max = 1}, &more, &why), OK);
    }
    replace(s);
    json_t *m = tap_expect_type(t, "compacted");
    cr_assert_eq(json_u64_of(m, "asked"), 3);
    cr_assert_eq(json_u64_of(m, "index"), 9);
    cr_assert_str_eq(json_text_of(m, "why"), "");
    tap_free(t);
}

/* Another epoch: the cursor is of another log, whatever its number. */
Test(replace, another_epoch_is_said)
{
    write_through(5);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "subscribed");
    w.epoch = "beef";
    replace(state_of(9));
    tap_expect(t, "{\"type\":\"compacted\",\"id\":1,\"asked\":5,\"oldest\":0,\"index\":9,"
                  "\"do\":\"snapshot\",\"why\":\"epoch\"}");
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"from\":{\"index\":5,\"epoch\":\"c3f1\"}}");
    json_t *m = tap_expect_type(t, "compacted");
    cr_assert_str_eq(json_text_of(m, "why"), "epoch");
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"from\":{\"index\":5,\"epoch\":\"beef\"}}");
    m = tap_expect_type(t, "subscribed");
    cr_assert_str_eq(json_text_of(m, "epoch"), "beef");
    expect_all(t, 5, 9);
    tap_free(t);
}

/* Who asked for it gets the new state instead of an end, at the tail and paused. */
Test(replace, on_compacted_snapshot_goes_on_in_the_new_epoch)
{
    static const char *const credits[] = {"", ",\"credit\":1"};
    for (size_t i = 0; i < 2; i++) {
        char message[160];
        write_through(5);
        (void)snprintf(message, sizeof message,
                       "{\"type\":\"subscribe\",\"id\":1,\"on_compacted\":\"snapshot\","
                       "\"from\":{\"index\":4}%s}",
                       credits[i]);
        struct tap *t = subscribed(message);
        tap_skip(t);
        w.epoch = i == 0 ? "beef" : "cafe";
        replace(state_of(2));
        (void)tap_expect_type(t, "compacted");
        (void)tap_expect_type(t, "subscribed");
        tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":100}");
        json_t *m = tap_expect_type(t, "snapshot");
        cr_assert_eq(json_u64_of(m, "index"), 2);
        cr_assert_eq(json_array_size(json_object_get(m, "items")), 2);
        tap_free(t);
    }
}

/* An EventSource gets the event, and then the end of the answer. */
Test(replace, sse_ends_with_compacted)
{
    write_through(5);
    struct tap *t = tap_open(&w, OUTLET_SSE, "prefix=k");
    tap_skip(t);
    w.epoch = "beef";
    replace(state_of(9));
    tap_expect(t, "event: compacted\ndata: {\"asked\":5,\"oldest\":0,\"index\":9,"
                  "\"do\":\"snapshot\",\"why\":\"epoch\"}\n\n");
    cr_assert(t->closed);
    tap_free(t);
}

/* --- a server that is behind ------------------------------------------------------------------ */

/* A cursor from another server, ahead of this one: waited for, and reached. */
Test(replace, a_cursor_ahead_of_a_lagging_server_is_waited_for)
{
    write_through(3);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"from\":{\"index\":6}}");
    tap_expect_nothing(t);
    world_sleep(&w, STREAM_AHEAD_WAIT_MS - 1);
    tap_expect_nothing(t);
    replace(state_of(8));
    json_t *m = tap_expect_type(t, "subscribed");
    cr_assert_eq(json_u64_of(m, "from"), 6);
    expect_all(t, 6, 8);
    tap_free(t);
}

/* --- consistent ------------------------------------------------------------------------------- */

static void answer(enum err status)
{
    struct stream_confirm *c = w.confirm;
    cr_assert_not_null(c);
    w.confirm = NULL;
    c->done(c, status);
    world_turn(&w);
}

/* Nothing is said before a majority has confirmed, and then it begins at what was confirmed. */
Test(replace, a_consistent_subscription_begins_when_it_is_confirmed)
{
    write_through(3);
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true}");
    tap_expect_nothing(t);
    write_through(5);
    tap_expect_nothing(t);
    answer(OK);
    json_t *m = tap_expect_type(t, "subscribed");
    cr_assert_eq(json_u64_of(m, "index"), 5);
    cr_assert_str_eq(json_text_of(m, "mode"), "live");
    write_through(6);
    expect_all(t, 5, 6);
    tap_free(t);
}

Test(replace, a_consistent_subscription_resumes_where_it_was)
{
    write_through(5);
    struct tap *t = tap_open(&w, OUTLET_NDJSON, "consistent&index=2&epoch=c3f1&batch=1");
    tap_expect_nothing(t);
    answer(OK);
    (void)tap_expect_type(t, "subscribed");
    json_t *m = tap_json(t);
    cr_assert_eq(json_u64_of(m, "after"), 2);
    cr_assert_eq(json_u64_of(m, "through"), 5);
    tap_free(t);
    t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true,"
                   "\"from\":{\"index\":2,\"epoch\":\"aaaabbbbccccddddeeee\"}}");
    answer(OK);
    m = tap_expect_type(t, "compacted");
    cr_assert_str_eq(json_text_of(m, "why"), "epoch");
    tap_free(t);
}

Test(replace, what_nobody_confirms_is_not_ready)
{
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true}");
    answer(ERR_NOT_LEADER);
    json_t *m = tap_expect_type(t, "error");
    cr_assert_str_eq(json_text_of(m, "code"), "not_ready");
    cr_assert(json_is_true(json_object_get(m, "retry")));
    tap_free(t);
}

/* The answer comes to nobody. */
Test(replace, who_goes_away_unconfirmed_is_not_missed)
{
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true}");
    tap_free(t);
    answer(OK);
    t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true}");
    tap_say(t, "{\"type\":\"unsubscribe\",\"id\":1}");
    (void)tap_expect_type(t, "end");
    answer(OK);
    tap_expect_nothing(t);
    tap_free(t);
}

/* The answer comes when even the stream is gone. */
Test(replace, a_stream_that_ends_is_not_missed)
{
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1,\"consistent\":true}");
    struct stream_confirm *c = w.confirm;
    tap_free(t);
    stream_free(w.stream);
    c->done(c, ERR_CLOSED);
    w.stream = NULL;
}

/* `bye` names another server, if one is known. */
Test(replace, bye_hints_at_another_server)
{
    struct tap *t = subscribed("{\"type\":\"subscribe\",\"id\":1}");
    tap_skip(t);
    stream_shutdown(w.stream, 0, "10.0.0.3:8500");
    json_t *m = tap_expect_type(t, "bye");
    cr_assert_str_eq(json_text_of(m, "hint"), "10.0.0.3:8500");
    tap_free(t);
}
