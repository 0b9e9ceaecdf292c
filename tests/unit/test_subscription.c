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

TestSuite(subscription, .init = setup, .fini = teardown);

Test(subscription, a_change_reaches_who_is_at_the_tail)
{
    world_put(&w, "app/0", "x");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_expect_nothing(t);
    tap_say(t, "{\"type\":\"hello\"}");
    json_t *m = tap_expect_type(t, "welcome");
    cr_assert_str_eq(json_text_of(m, "epoch"), WORLD_EPOCH);
    cr_assert_eq(json_u64_of(m, "index"), 1);
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"kv\",\"prefix\":\"app/\"}");
    tap_expect(t, "{\"type\":\"subscribed\",\"id\":1,\"from\":1,\"index\":1,\"oldest\":0,"
                  "\"epoch\":\"c3f1\",\"mode\":\"live\"}");
    world_put(&w, "app/a", "1");
    tap_expect(t, "{\"type\":\"events\",\"id\":1,\"after\":1,\"through\":2,\"events\":["
                  "{\"index\":2,\"op\":\"set\",\"key\":\"app/a\",\"value\":\"MQ==\",\"flags\":0,"
                  "\"create_index\":2}]}");
    world_put(&w, "other", "1");
    tap_expect_nothing(t);
    world_delete(&w, "app/a");
    world_publish(&w);
    tap_expect(t, "{\"type\":\"events\",\"id\":1,\"after\":2,\"through\":4,\"events\":["
                  "{\"index\":4,\"op\":\"delete\",\"key\":\"app/a\"}]}");
    tap_free(t);
}

/* --- helpers -----------------------------------------------------------------------------------
 */

/* A greeted WebSocket whose welcome has been read. */
static struct tap *socket_open(void)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, "{\"type\":\"hello\"}");
    (void)tap_expect_type(t, "welcome");
    return t;
}

/* The next message is `events` with these bounds and this many of them. */
static json_t *expect_events(struct tap *t, uint64_t after, uint64_t through, size_t count)
{
    json_t *m = tap_expect_type(t, "events");
    cr_assert_eq(json_u64_of(m, "after"), after, "after %lu", json_u64_of(m, "after"));
    cr_assert_eq(json_u64_of(m, "through"), through, "through %lu", json_u64_of(m, "through"));
    cr_assert_eq(json_array_size(json_object_get(m, "events")), count);
    return m;
}

static void expect_live(struct tap *t, uint64_t through)
{
    json_t *m = tap_expect_type(t, "live");
    cr_assert_eq(json_u64_of(m, "through"), through);
}

static void expect_error(struct tap *t, const char *code)
{
    json_t *m = tap_expect_type(t, "error");
    cr_assert_str_eq(json_text_of(m, "code"), code);
}

/* Changes that share one index, as a transaction would make them; they are in no history. */
static void publish_together(size_t count, size_t value_len)
{
    char key[16];
    char *value = mem_zalloc(1, value_len);
    struct reason why;
    w.index++;
    for (uint32_t n = 0; n < count; n++) {
        (void)snprintf(key, sizeof key, "t%u", n);
        collect_change(&w.changes, &(struct change){
                                       .index = w.index,
                                       .n = n,
                                       .topic = CHANGE_KV,
                                       .op = CHANGE_SET,
                                       .key = bytes_of(key),
                                       .value = {.ptr = value, .len = value_len},
                                       .create_index = w.index,
                                   });
    }
    free(value);
    cr_assert_eq(state_skip(w.state, w.index, &why), OK);
    world_publish(&w);
}

/* --- what is delivered -------------------------------------------------------------------------
 */

Test(subscription, gets_exactly_what_concerns_it)
{
    static const struct {
        const char *subscribe;
        const char *change; /* + set, - delete, * delete-prefix */
        bool gets;
    } rows[] = {
        {"", "+other", true},
        {"", "*app/", true},
        {",\"key\":\"app/a\"", "+app/a", true},
        {",\"key\":\"app/a\"", "-app/a", true},
        {",\"key\":\"app/a\"", "+app/ab", false},
        {",\"key\":\"app/a\"", "*app", true},
        {",\"key\":\"app/a\"", "*app/a", true},
        {",\"key\":\"app/a\"", "*app/ab", false},
        {",\"prefix\":\"app/\"", "+app/b", true},
        {",\"prefix\":\"app/\"", "+app", false},
        {",\"prefix\":\"app/\"", "*ap", true},
        {",\"prefix\":\"app/\"", "*app/a", true},
        {",\"prefix\":\"app/\"", "*other", false},
        {",\"filter\":\"op == delete\"", "+app/b", false},
        {",\"filter\":\"op == delete\"", "-app/a", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char message[256];
        world_put(&w, "app/a", "1");
        world_put(&w, "app/ab", "1");
        world_put(&w, "other", "1");
        struct tap *t = socket_open();
        (void)snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":1%s}",
                       rows[i].subscribe);
        tap_say(t, message);
        (void)tap_expect_type(t, "subscribed");
        const char *key = rows[i].change + 1;
        if (rows[i].change[0] == '+') {
            world_put(&w, key, "2");
        } else if (rows[i].change[0] == '-') {
            world_delete(&w, key);
        } else {
            world_delete_prefix(&w, key);
        }
        world_publish(&w);
        cr_assert_eq(t->read < t->count, rows[i].gets, "row %zu", i);
        if (rows[i].gets) {
            (void)expect_events(t, w.index - 1, w.index, 1);
        }
        tap_free(t);
        world_delete_prefix(&w, "");
        world_publish(&w);
    }
}

Test(subscription, shows_values_and_keys_of_any_bytes)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    tap_skip(t);
    world_set(&w, "\xff<", BYTES(""), 7);
    world_publish(&w);
    tap_expect(t,
               "{\"type\":\"events\",\"id\":0,\"after\":0,\"through\":1,\"events\":[{\"index\":1,"
               "\"op\":\"set\",\"key\":\"\\ufffd\\u003c\",\"key_base64\":\"/zw=\",\"value\":null,"
               "\"flags\":7,\"create_index\":1}]}");
    world_delete_prefix(&w, "\xff");
    world_publish(&w);
    json_t *m = expect_events(t, 1, 2, 1);
    json_t *e = json_array_get(json_object_get(m, "events"), 0);
    cr_assert_str_eq(json_text_of(e, "op"), "delete-prefix");
    tap_free(t);
}

Test(subscription, many_at_the_tail_share_one_frame)
{
    static struct tap *taps[50];
    for (size_t i = 0; i < 50; i++) {
        taps[i] = tap_open(&w, OUTLET_WEBSOCKET, "prefix=app/");
        tap_skip(taps[i]);
    }
    world_put(&w, "app/a", "1");
    world_put(&w, "app/b", "1");
    for (size_t i = 0; i < 50; i++) {
        cr_assert_eq(taps[i]->frames[taps[i]->count - 1], taps[0]->frames[taps[0]->count - 1]);
        (void)expect_events(taps[i], 0, 1, 1);
        (void)expect_events(taps[i], 1, 2, 1);
    }
    for (size_t i = 0; i < 50; i++) {
        tap_free(taps[i]);
    }
}

/* --- where it begins ---------------------------------------------------------------------------
 */

Test(subscription, replays_from_an_index_and_joins_the_tail)
{
    for (unsigned i = 0; i < 5; i++) {
        world_put(&w, "a", "x");
        world_put(&w, "a", "y");
    }
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":4,\"from\":{\"index\":3,\"epoch\":\"c3f1\"}}");
    json_t *m = tap_expect_type(t, "subscribed");
    cr_assert_str_eq(json_text_of(m, "mode"), "replay");
    cr_assert_eq(json_u64_of(m, "from"), 3);
    (void)expect_events(t, 3, 10, 7);
    expect_live(t, 10);
    world_put(&w, "a", "z");
    (void)expect_events(t, 10, 11, 1);
    tap_free(t);
}

/* oldest, oldest minus 1, current, future, 0. */
Test(subscription, keeps_the_compaction_edges)
{
    char message[128];
    static char value[1000];
    memset(value, 'x', sizeof value - 1);
    for (unsigned i = 0; i < 20; i++) {
        value[0] = (char)('a' + i);
        world_put(&w, "a", value);
    }
    world_trim(&w, 5000);
    world_put(&w, "a", "end");
    uint64_t oldest = view_history_oldest(w.view);
    cr_assert(oldest > 1 && oldest < 20);
    struct tap *t = socket_open();
    const struct {
        uint64_t from;
        const char *mode; /* NULL: compacted */
        uint64_t events;
    } rows[] = {
        {oldest, "replay", 21 - oldest}, {oldest - 1, NULL, 0}, {21, "live", 0},
        {0, "replay", 21 - oldest},      {1, NULL, 0},          {oldest + 1, "replay", 20 - oldest},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(message, sizeof message,
                       "{\"type\":\"subscribe\",\"id\":%zu,\"from\":{\"index\":%lu}}", i,
                       rows[i].from);
        tap_say(t, message);
        if (rows[i].mode == NULL) {
            json_t *m = tap_expect_type(t, "compacted");
            cr_assert_eq(json_u64_of(m, "asked"), rows[i].from);
            cr_assert_eq(json_u64_of(m, "oldest"), oldest);
            cr_assert_eq(json_u64_of(m, "index"), 21);
            cr_assert_str_eq(json_text_of(m, "do"), "snapshot");
            continue;
        }
        cr_assert_str_eq(json_text_of(tap_expect_type(t, "subscribed"), "mode"), rows[i].mode);
        if (rows[i].events > 0) {
            (void)expect_events(t, 21 - rows[i].events, 21, rows[i].events);
            expect_live(t, 21);
        }
    }
    tap_free(t);
}

/* A server that was never part of a cluster is empty: nobody may take that for the state. */
Test(subscription, without_an_epoch_nothing_is_told)
{
    static const char *const ASKS[] = {"index=1&epoch=beef", "index=0", "snapshot", "index=7"};
    w.epoch = "";
    for (size_t i = 0; i < sizeof ASKS / sizeof ASKS[0]; i++) {
        for (int format = OUTLET_WEBSOCKET; format <= OUTLET_NDJSON; format++) {
            struct tap *t = tap_open(&w, (enum outlet_format)format, ASKS[i]);
            if (format == OUTLET_WEBSOCKET) {
                json_t *welcome = tap_expect_type(t, "welcome");
                cr_assert_null(json_object_get(welcome, "epoch"));
            }
            if (format != OUTLET_SSE) {
                json_t *m = tap_expect_type(t, "error");
                cr_assert_str_eq(json_text_of(m, "code"), "not_ready");
                cr_assert(json_is_true(json_object_get(m, "retry")));
            }
            tap_free(t);
        }
    }
}

Test(subscription, another_epoch_is_compacted)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "index=1&epoch=beef");
    (void)tap_expect_type(t, "welcome");
    cr_assert_str_eq(json_text_of(tap_expect_type(t, "compacted"), "why"), "epoch");
    tap_free(t);
}

Test(subscription, an_index_of_the_future_is_waited_for)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "index=3");
    (void)tap_expect_type(t, "welcome");
    world_put(&w, "a", "2");
    world_sleep(&w, 4000);
    tap_expect_nothing(t);
    world_put(&w, "a", "3");
    cr_assert_eq(json_u64_of(tap_expect_type(t, "subscribed"), "from"), 3);
    world_put(&w, "a", "4");
    (void)expect_events(t, 3, 4, 1);
    tap_free(t);
}

Test(subscription, an_index_that_does_not_come_is_an_error)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "index=3");
    (void)tap_expect_type(t, "welcome");
    world_sleep(&w, STREAM_AHEAD_WAIT_MS);
    json_t *m = tap_expect_type(t, "error");
    cr_assert_str_eq(json_text_of(m, "code"), "index_ahead");
    cr_assert(json_is_true(json_object_get(m, "retry")));
    world_put(&w, "a", "2");
    world_put(&w, "a", "3");
    world_put(&w, "a", "4");
    tap_expect_nothing(t);
    tap_free(t);
}

/* --- snapshots ---------------------------------------------------------------------------------
 */

/* Pages under credit while writes go on: the pages are of one moment, the tail follows it. */
Test(subscription, snapshot_then_tail_has_no_gap)
{
    char key[32];
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof key, "app/%u", i);
        world_put(&w, key, "1");
    }
    world_put(&w, "other", "1");
    world_delete(&w, "app/3");
    world_publish(&w);
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"prefix\":\"app/\",\"snapshot\":true,"
               "\"credit\":4}");
    cr_assert_str_eq(json_text_of(tap_expect_type(t, "subscribed"), "mode"), "snapshot");
    json_t *m = tap_expect_type(t, "snapshot");
    cr_assert_eq(json_array_size(json_object_get(m, "items")), 4);
    cr_assert(json_is_true(json_object_get(m, "more")));
    tap_expect_nothing(t);
    world_put(&w, "app/9", "2");
    world_put(&w, "app/new", "2");
    tap_expect_nothing(t);
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":100}");
    m = tap_expect_type(t, "snapshot");
    cr_assert_eq(json_u64_of(m, "index"), 12);
    json_t *items = json_object_get(m, "items");
    cr_assert_eq(json_array_size(items), 5);
    cr_assert_str_eq(json_text_of(json_array_get(items, 4), "value"), "MQ==");
    cr_assert(json_is_false(json_object_get(m, "more")));
    (void)expect_events(t, 12, 14, 2);
    expect_live(t, 14);
    tap_free(t);
}

Test(subscription, snapshot_of_one_key)
{
    world_put(&w, "app/a", "1");
    world_put(&w, "app/ab", "1");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "key=app/a&snapshot=1");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    tap_expect(t, "{\"type\":\"snapshot\",\"id\":0,\"index\":2,\"items\":[{\"key\":\"app/a\","
                  "\"value\":\"MQ==\",\"flags\":0,\"create_index\":1,\"modify_index\":1}],"
                  "\"more\":false}");
    expect_live(t, 2);
    tap_free(t);
}

Test(subscription, a_snapshot_nobody_takes_ends)
{
    world_put(&w, "a", "1");
    world_put(&w, "b", "1");
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"snapshot\":true,\"credit\":1}");
    (void)tap_expect_type(t, "subscribed");
    (void)tap_expect_type(t, "snapshot");
    world_sleep(&w, STREAM_SNAPSHOT_PIN_MS);
    json_t *m = tap_json(t);
    while (strcmp(json_text_of(m, "type"), "heartbeat") == 0) {
        m = tap_json(t);
    }
    cr_assert_str_eq(json_text_of(m, "type"), "compacted");
    cr_assert_str_eq(json_text_of(m, "why"), "snapshot");
    tap_free(t);
}

/* --- flow control ------------------------------------------------------------------------------
 */

Test(subscription, credit_is_never_exceeded)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"credit\":2}");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "a", "1");
    world_put(&w, "a", "2");
    world_put(&w, "a", "3");
    world_put(&w, "a", "4");
    (void)expect_events(t, 0, 1, 1);
    (void)expect_events(t, 1, 2, 1);
    json_t *m = tap_expect_type(t, "pause");
    cr_assert_str_eq(json_text_of(m, "why"), "credit");
    cr_assert_eq(json_u64_of(m, "through"), 2);
    tap_expect_nothing(t);
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":1}");
    (void)expect_events(t, 2, 3, 1);
    (void)tap_expect_type(t, "pause");
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":10}");
    (void)expect_events(t, 3, 4, 1);
    expect_live(t, 4);
    tap_free(t);
}

Test(subscription, credit_counts_bytes_too)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1}");
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"bytes\":10}");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "a", "1");
    (void)expect_events(t, 0, 1, 1);
    world_put(&w, "a", "2");
    (void)tap_expect_type(t, "pause");
    tap_free(t);
}

/* One index is one batch, whatever the credit. */
Test(subscription, an_index_is_not_divided_by_credit_or_batch)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"credit\":1,\"batch\":{\"max\":1}}");
    (void)tap_expect_type(t, "subscribed");
    publish_together(3, 1);
    (void)expect_events(t, 0, 1, 3);
    tap_free(t);
}

Test(subscription, an_index_that_is_too_large_comes_in_parts)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "before", "1");
    (void)expect_events(t, 0, 1, 1);
    publish_together(10, 30000);
    size_t got = 0;
    for (;;) {
        json_t *m = tap_expect_type(t, "events");
        size_t count = json_array_size(json_object_get(m, "events"));
        cr_assert_gt(count, 0);
        got += count;
        cr_assert_eq(json_u64_of(m, "after"), 1);
        if (!json_is_true(json_object_get(m, "part"))) {
            cr_assert_eq(json_u64_of(m, "through"), 2);
            break;
        }
        cr_assert_eq(json_u64_of(m, "through"), 1);
    }
    cr_assert_eq(got, 10);
    world_put(&w, "after", "1");
    (void)expect_events(t, 2, 3, 1);
    for (size_t i = 0; i < t->count; i++) {
        cr_assert_leq(t->frames[i]->len, STREAM_BATCH_MAX + 256);
    }
    tap_free(t);
}

/* What the frame held before a large index goes first, alone. */
Test(subscription, a_large_index_does_not_tear_those_before_it)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"credit\":1}");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "a", "1");
    (void)expect_events(t, 0, 1, 1);
    world_put(&w, "a", "2");
    (void)tap_expect_type(t, "pause");
    publish_together(4, 30000);
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":100}");
    (void)expect_events(t, 1, 2, 1);
    (void)tap_expect_type(t, "events");
    (void)tap_expect_type(t, "events");
    expect_live(t, 3);
    tap_free(t);
}

Test(subscription, one_large_value_is_one_frame)
{
    char *value = mem_zalloc(1, KV_VALUE_MAX);
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    tap_skip(t);
    world_set(&w, "a", (struct bytes){.ptr = value, .len = KV_VALUE_MAX}, 0);
    world_set(&w, "b", BYTES("1"), 0);
    world_publish(&w);
    (void)expect_events(t, 0, 1, 1);
    (void)expect_events(t, 1, 2, 1);
    free(value);
    tap_free(t);
}

/* Nothing is queued beyond the limit; what was passed over comes from history, in order. */
Test(subscription, a_slow_reader_pauses_and_loses_nothing)
{
    static char value[8000];
    memset(value, 'v', sizeof value - 1);
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    t->slow = true;
    for (unsigned i = 0; i < 1000; i++) {
        value[0] = (char)('a' + i % 26);
        world_put(&w, "a", value);
    }
    cr_assert_leq(t->pending_most, STREAM_OUTBOUND_MAX);
    uint64_t last = 0;
    unsigned pauses = 0;
    while (last < 1000) {
        json_t *m = tap_json(t);
        if (m == NULL) {
            cr_assert(t->pending > 0, "stuck at %lu", last);
            tap_take(t);
            continue;
        }
        pauses += strcmp(json_text_of(m, "type"), "pause") == 0;
        if (strcmp(json_text_of(m, "type"), "events") == 0) {
            cr_assert_eq(json_u64_of(m, "after"), last);
            json_t *events = json_object_get(m, "events");
            for (size_t i = 0; i < json_array_size(events); i++) {
                cr_assert_eq(json_u64_of(json_array_get(events, i), "index"), ++last);
            }
            cr_assert_eq(json_u64_of(m, "through"), last);
        }
    }
    cr_assert_eq(pauses, 1);
    expect_live(t, 1000);
    cr_assert_leq(t->pending_most, STREAM_OUTBOUND_MAX);
    tap_free(t);
}

Test(subscription, a_pause_that_lasts_too_long_is_compacted)
{
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"credit\":1}");
    (void)tap_expect_type(t, "subscribed");
    for (unsigned i = 0; i < 50; i++) {
        value[0] = (char)('a' + i % 26);
        world_put(&w, "a", value);
    }
    world_sleep(&w, STREAM_RING_AGE_MS * 2);
    world_trim(&w, 1000);
    world_put(&w, "a", "end");
    (void)expect_events(t, 0, 1, 1);
    (void)tap_expect_type(t, "pause");
    tap_skip(t);
    tap_say(t, "{\"type\":\"credit\",\"id\":1,\"events\":100}");
    json_t *m = tap_expect_type(t, "compacted");
    cr_assert_eq(json_u64_of(m, "asked"), 1);
    tap_free(t);
}

Test(subscription, on_compacted_snapshot_goes_on)
{
    static char value[1000];
    memset(value, 'v', sizeof value - 1);
    for (unsigned i = 0; i < 10; i++) {
        value[0] = (char)('a' + i);
        world_put(&w, "a", value);
    }
    world_trim(&w, 1000);
    world_put(&w, "b", "end");
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "index=1&on_compacted=snapshot");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "compacted");
    (void)tap_expect_type(t, "subscribed");
    json_t *m = tap_expect_type(t, "snapshot");
    cr_assert_eq(json_array_size(json_object_get(m, "items")), 2);
    expect_live(t, 11);
    world_put(&w, "a", "2");
    (void)expect_events(t, 11, 12, 1);
    tap_free(t);
}

Test(subscription, a_batch_waits_for_more)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"batch\":{\"max\":4,\"wait_ms\":5}}");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "a", "1");
    world_sleep(&w, 4);
    world_put(&w, "a", "2");
    tap_expect_nothing(t);
    world_sleep(&w, 1);
    (void)expect_events(t, 0, 2, 2);
    for (unsigned i = 0; i < 4; i++) {
        tap_expect_nothing(t);
        world_put(&w, "b", i % 2 == 0 ? "x" : "y");
    }
    (void)expect_events(t, 2, 6, 4);
    tap_free(t);
}

/* --- marks and heartbeats ----------------------------------------------------------------------
 */

Test(subscription, marks_and_heartbeats_come_at_their_interval)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "prefix=app/");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    world_put(&w, "other", "1");
    world_put(&w, "other", "2");
    world_sleep(&w, STREAM_HEARTBEAT_MS - 1);
    tap_expect_nothing(t);
    world_sleep(&w, 1);
    tap_expect(t, "{\"type\":\"mark\",\"id\":0,\"through\":2}");
    tap_expect_nothing(t);
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    json_t *m = tap_expect_type(t, "heartbeat");
    cr_assert_eq(json_u64_of(m, "index"), 2);
    tap_expect_nothing(t);
    world_put(&w, "app/a", "1");
    (void)expect_events(t, 2, 3, 1);
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    (void)tap_expect_type(t, "heartbeat");
    tap_free(t);
}

Test(subscription, a_ping_asks_for_marks_at_once)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "prefix=app/");
    tap_skip(t);
    world_put(&w, "other", "1");
    tap_say(t, "{\"type\":\"ping\",\"data\":\"x\",\"mark\":true}");
    tap_expect(t, "{\"type\":\"mark\",\"id\":0,\"through\":1}");
    tap_expect(t, "{\"type\":\"pong\",\"data\":\"x\"}");
    world_put(&w, "app/a", "1");
    (void)expect_events(t, 1, 2, 1);
    tap_free(t);
}

/* A replay that matches nothing still moves the client's cursor. */
Test(subscription, a_filtered_replay_ends_with_a_mark)
{
    for (unsigned i = 0; i < 100; i++) {
        world_put(&w, "other", i % 2 == 0 ? "x" : "y");
    }
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "prefix=app/&index=0");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    cr_assert_eq(json_u64_of(tap_expect_type(t, "mark"), "through"), 100);
    expect_live(t, 100);
    tap_free(t);
}

Test(subscription, unsubscribe_ends_it)
{
    struct tap *t = socket_open();
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "subscribed");
    tap_say(t, "{\"type\":\"unsubscribe\",\"id\":1}");
    tap_expect(t, "{\"type\":\"end\",\"id\":1,\"why\":\"unsubscribed\"}");
    world_put(&w, "a", "1");
    tap_expect_nothing(t);
    tap_say(t, "{\"type\":\"unsubscribe\",\"id\":1}");
    expect_error(t, "sub_unknown");
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1,\"filter\":\"op ==\"}");
    expect_error(t, "filter_invalid");
    tap_free(t);
}
