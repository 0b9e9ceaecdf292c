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

TestSuite(subscriber, .init = setup, .fini = teardown);

static void expect_closed(struct tap *t, unsigned code)
{
    cr_assert(t->closed);
    cr_assert_eq(t->code, code, "%u %s", t->code, t->reason);
}

/* --- greeting and limits ------------------------------------------------------------------------
 */

Test(subscriber, hello_must_come_in_time)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    world_sleep(&w, STREAM_HELLO_MS - 1);
    cr_assert_not(t->closed);
    world_sleep(&w, 1);
    expect_closed(t, 4101);
    tap_free(t);
}

Test(subscriber, a_subscribe_implies_hello)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1}");
    (void)tap_expect_type(t, "welcome");
    (void)tap_expect_type(t, "subscribed");
    world_sleep(&w, STREAM_HELLO_MS);
    cr_assert_not(t->closed);
    tap_free(t);
}

Test(subscriber, a_second_hello_is_a_bad_message)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, "{\"type\":\"hello\"}");
    tap_say(t, "{\"type\":\"hello\"}");
    expect_closed(t, 4000);
    tap_free(t);
}

Test(subscriber, what_is_no_message_closes)
{
    static const char *const texts[] = {"", "x", "{\"type\":\"dance\"}"};
    for (size_t i = 0; i < 3; i++) {
        struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
        tap_say(t, texts[i]);
        cr_assert_str_eq(json_text_of(tap_expect_type(t, "error"), "code"), "bad_message");
        expect_closed(t, 4000);
        tap_free(t);
    }
}

Test(subscriber, a_wrong_request_leaves_the_rest_alone)
{
    static const char *const rows[][2] = {
        {"{\"type\":\"subscribe\",\"id\":1}", "sub_exists"},
        {"{\"type\":\"subscribe\",\"id\":2,\"topic\":\"servise\"}", "topic_unknown"},
        {"{\"type\":\"ack\",\"id\":1,\"index\":1}", "bad_request"},
        {"{\"type\":\"credit\",\"id\":9,\"events\":1}", "sub_unknown"},
    };
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    tap_say(t, "{\"type\":\"subscribe\",\"id\":1}");
    tap_skip(t);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tap_say(t, rows[i][0]);
        cr_assert_str_eq(json_text_of(tap_expect_type(t, "error"), "code"), rows[i][1]);
    }
    tap_say(t, "{\"type\":\"auth\",\"token\":\"t\"}");
    tap_expect_nothing(t);
    world_put(&w, "a", "1");
    (void)tap_expect_type(t, "events");
    tap_free(t);
}

Test(subscriber, subscriptions_are_limited)
{
    char message[64];
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    for (unsigned i = 0; i < STREAM_SUBSCRIPTIONS_MAX; i++) {
        (void)snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"id\":%u}", i);
        tap_say(t, message);
        world_sleep(&w, 1000);
    }
    tap_skip(t);
    tap_say(t, "{\"type\":\"subscribe\",\"id\":99999}");
    cr_assert_str_eq(json_text_of(tap_expect_type(t, "error"), "code"), "too_many_subs");
    tap_free(t);
}

Test(subscriber, messages_are_limited)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, NULL);
    for (unsigned i = 0; i < STREAM_MESSAGES_PER_S * 3; i++) {
        tap_say(t, "{\"type\":\"ping\",\"data\":\"\"}");
    }
    (void)tap_expect_type(t, "welcome");
    for (unsigned i = 0; i < STREAM_MESSAGES_PER_S; i++) {
        (void)tap_expect_type(t, "pong");
    }
    cr_assert_str_eq(json_text_of(tap_expect_type(t, "error"), "code"), "rate_limited");
    tap_expect_nothing(t);
    world_sleep(&w, 1000);
    tap_say(t, "{\"type\":\"ping\",\"data\":\"\"}");
    (void)tap_expect_type(t, "pong");
    tap_free(t);
}

/* --- readers that do not read -------------------------------------------------------------------
 */

Test(subscriber, a_reader_that_takes_nothing_is_closed)
{
    static char value[20000];
    memset(value, 'v', sizeof value - 1);
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    t->slow = true;
    for (unsigned i = 0; i < 100; i++) {
        value[0] = (char)('a' + i % 26);
        world_put(&w, "a", value);
    }
    world_sleep(&w, STREAM_STALL_MS - 1);
    cr_assert_not(t->closed);
    world_sleep(&w, 1);
    expect_closed(t, 4100);
    tap_free(t);
}

/* A little now and then is enough. */
Test(subscriber, a_reader_that_is_only_slow_stays)
{
    static char value[20000];
    memset(value, 'v', sizeof value - 1);
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    t->slow = true;
    for (unsigned i = 0; i < 100; i++) {
        value[0] = (char)('a' + i % 26);
        world_put(&w, "a", value);
    }
    for (unsigned i = 0; i < 20; i++) {
        world_sleep(&w, STREAM_STALL_MS - 1000);
        cr_assert_not(t->closed);
        t->pending -= 10;
        outlet_writable(&t->outlet);
    }
    tap_free(t);
}

Test(subscriber, who_asks_without_reading_is_closed)
{
    struct tap *t = tap_open(&w, OUTLET_WEBSOCKET, "");
    t->slow = true;
    for (unsigned i = 0; i < 100000 && !t->closed && t->count < TAP_MAX - 1; i++) {
        tap_say(t,
                "{\"type\":\"ping\",\"data\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}");
        world_sleep(&w, 10);
    }
    expect_closed(t, 4100);
    cr_assert_lt(t->pending_most, STREAM_OUTBOUND_MAX * 3);
    tap_free(t);
}

Test(subscriber, a_connection_may_break_inside_a_send)
{
    struct tap *live = tap_open(&w, OUTLET_WEBSOCKET, "");
    struct tap *ahead = tap_open(&w, OUTLET_WEBSOCKET, "index=99");
    struct tap *fresh = tap_new(&w);
    struct tap *other = tap_open(&w, OUTLET_WEBSOCKET, "");
    struct reason why;
    live->dies_at_send = true;
    ahead->dies_at_send = true;
    fresh->dies_at_send = true;
    cr_assert_eq(tap_try(fresh, OUTLET_NDJSON, "", "", &why), OK);
    world_turn(&w);
    tap_skip(other);
    world_put(&w, "a", "1");
    (void)tap_expect_type(other, "events");
    world_sleep(&w, STREAM_AHEAD_WAIT_MS);
    cr_assert(live->closed && ahead->closed && fresh->closed);
    tap_free(live);
    tap_free(ahead);
    tap_free(fresh);
    tap_free(other);
}

Test(subscriber, shutdown_says_bye_to_everybody)
{
    struct tap *ws = tap_open(&w, OUTLET_WEBSOCKET, "");
    struct tap *sse = tap_open(&w, OUTLET_SSE, "");
    tap_skip(ws);
    tap_skip(sse);
    stream_shutdown(w.stream, 500, NULL);
    json_t *m = tap_expect_type(ws, "bye");
    cr_assert_eq(json_u64_of(m, "code"), 1001);
    cr_assert_leq(json_u64_of(m, "retry_ms"), 500);
    expect_closed(ws, 1001);
    struct shared *frame = tap_frame(sse);
    cr_assert(strncmp(frame->data, "event: bye\nretry: ", 18) == 0);
    expect_closed(sse, 1001);
    struct tap *late = tap_new(&w);
    struct reason why;
    cr_assert_eq(tap_try(late, OUTLET_SSE, "", "", &why), ERR_CLOSED);
    tap_free(ws);
    tap_free(sse);
    tap_free(late);
}

/* --- SSE -----------------------------------------------------------------------------------------
 */

Test(subscriber, sse_speaks_as_the_contract_shows)
{
    world_put(&w, "app/0", "1");
    struct tap *t = tap_open(&w, OUTLET_SSE, "topic=kv&prefix=app/&index=0");
    tap_expect(t, "retry: 1000\n\n");
    tap_expect(
        t, "event: events\nid: c3f1:1\ndata: {\"after\":0,\"through\":1,\"events\":[{\"index\":1,"
           "\"op\":\"set\",\"key\":\"app/0\",\"value\":\"MQ==\",\"flags\":0,\"create_index\":1}]}"
           "\n\n");
    world_put(&w, "other", "1");
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    tap_expect(t, "event: mark\nid: c3f1:2\ndata: {\"through\":2}\n\n");
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    tap_expect(t, ": heartbeat 2\n\n");
    tap_free(t);
}

Test(subscriber, sse_resumes_by_its_last_event_id)
{
    world_put(&w, "a", "1");
    world_put(&w, "a", "2");
    struct tap *t = tap_new(&w);
    struct reason why;
    cr_assert_eq(tap_try(t, OUTLET_SSE, "index=0", "c3f1:1", &why), OK);
    world_turn(&w);
    tap_expect(t, "retry: 1000\n\n");
    struct shared *frame = tap_frame(t);
    cr_assert(strstr(frame->data, "data: {\"after\":1,\"through\":2,") != NULL);
    tap_free(t);
}

/* EventSource must see it on a 200, and then the end. */
Test(subscriber, sse_is_told_compacted_and_ends)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_new(&w);
    struct reason why;
    cr_assert_eq(tap_try(t, OUTLET_SSE, "", "beef:1", &why), OK);
    world_turn(&w);
    tap_expect(t, "retry: 1000\n\n");
    tap_expect(t,
               "event: compacted\ndata: {\"asked\":1,\"oldest\":0,\"index\":1,\"do\":\"snapshot\","
               "\"why\":\"epoch\"}\n\n");
    expect_closed(t, 1000);
    tap_free(t);
}

/* Several subscriptions: an id is complete for all of them. */
Test(subscriber, sse_multiplexes)
{
    struct tap *t = tap_open(&w, OUTLET_SSE, "subscribe=prefix:a/&subscribe=prefix:b/");
    tap_expect(t, "retry: 1000\n\n");
    world_put(&w, "a/1", "1");
    struct shared *frame = tap_frame(t);
    cr_assert(strstr(frame->data, "id: c3f1:0\ndata: {\"id\":0,\"after\":0,\"through\":1,") != NULL,
              "%.*s", (int)frame->len, frame->data);
    world_put(&w, "b/1", "1");
    frame = tap_frame(t);
    cr_assert(strstr(frame->data, "id: c3f1:2\ndata: {\"id\":1,\"after\":0,\"through\":2,") != NULL,
              "%.*s", (int)frame->len, frame->data);
    tap_free(t);
}

Test(subscriber, sse_that_is_over_for_good_says_so)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_new(&w);
    struct reason why;
    cr_assert_eq(tap_try(t, OUTLET_SSE, "until=1", "c3f1:1", &why), ERR_NOT_FOUND);
    cr_assert_eq(tap_try(t, OUTLET_SSE, "filter=op", "", &why), ERR_INVALID);
    tap_free(t);
}

/* --- NDJSON --------------------------------------------------------------------------------------
 */

Test(subscriber, ndjson_is_a_line_per_event)
{
    world_put(&w, "app/a", "{\"x\":1}");
    world_set(&w, "app/b", BYTES("plain"), 3);
    world_delete(&w, "app/a");
    world_publish(&w);
    struct tap *t = tap_open(&w, OUTLET_NDJSON, "prefix=app/&index=0");
    tap_expect(t, "{\"type\":\"subscribed\",\"from\":0,\"index\":3,\"oldest\":0,\"epoch\":\"c3f1\","
                  "\"mode\":\"replay\"}\n");
    tap_expect(
        t, "{\"index\":1,\"op\":\"set\",\"key\":\"app/a\",\"value\":\"eyJ4IjoxfQ==\",\"flags\":0,"
           "\"create_index\":1}\n"
           "{\"index\":2,\"op\":\"set\",\"key\":\"app/b\",\"value\":\"cGxhaW4=\",\"flags\":3,"
           "\"create_index\":2}\n"
           "{\"index\":3,\"op\":\"delete\",\"key\":\"app/a\"}\n");
    world_put(&w, "other", "1");
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    tap_expect(t, "{\"type\":\"mark\",\"through\":4}\n");
    tap_free(t);
}

Test(subscriber, ndjson_raw_shows_json_as_json)
{
    world_put(&w, "a", "{\"x\": 1}");
    world_put(&w, "b", "plain");
    struct tap *t = tap_open(&w, OUTLET_NDJSON, "index=0&raw=1&until=2");
    (void)tap_frame(t);
    tap_expect(
        t, "{\"index\":1,\"op\":\"set\",\"key\":\"a\",\"value\":{\"x\":1},\"flags\":0,"
           "\"create_index\":1}\n"
           "{\"index\":2,\"op\":\"set\",\"key\":\"b\",\"value_base64\":\"cGxhaW4=\",\"flags\":0,"
           "\"create_index\":2}\n");
    tap_expect(t, "{\"type\":\"mark\",\"through\":2}\n");
    expect_closed(t, 1000);
    tap_free(t);
}

Test(subscriber, ndjson_ends_at_limit_until_and_timeout)
{
    world_put(&w, "a", "1");
    world_put(&w, "a", "2");
    world_put(&w, "a", "3");
    struct tap *t = tap_open(&w, OUTLET_NDJSON, "index=0&limit=2&batch=1");
    (void)tap_frame(t);
    struct shared *frame = tap_frame(t);
    cr_assert(strncmp(frame->data, "{\"type\":\"events\",\"after\":0,\"through\":2,", 39) == 0);
    tap_expect(t, "{\"type\":\"mark\",\"through\":2}\n");
    expect_closed(t, 1000);
    tap_free(t);
    t = tap_open(&w, OUTLET_NDJSON, "index=2&until=5&batch=1");
    tap_skip(t);
    world_set(&w, "a", BYTES("4"), 0);
    world_set(&w, "a", BYTES("5"), 0);
    world_set(&w, "a", BYTES("6"), 0);
    world_publish(&w);
    frame = tap_frame(t);
    cr_assert(strncmp(frame->data, "{\"type\":\"events\",\"after\":3,\"through\":5,", 39) == 0);
    tap_expect(t, "{\"type\":\"mark\",\"through\":5}\n");
    expect_closed(t, 1000);
    tap_free(t);
    t = tap_open(&w, OUTLET_NDJSON, "timeout=10s&heartbeat=newline");
    tap_skip(t);
    world_sleep(&w, 10000);
    tap_expect(t, "{\"type\":\"mark\",\"through\":6}\n");
    expect_closed(t, 1000);
    tap_free(t);
}

Test(subscriber, ndjson_heartbeat_may_be_a_newline)
{
    struct tap *t = tap_open(&w, OUTLET_NDJSON, "heartbeat=newline");
    tap_skip(t);
    world_sleep(&w, STREAM_HEARTBEAT_MS);
    tap_expect(t, "\n");
    tap_free(t);
}

Test(subscriber, ndjson_compacted_at_the_start_is_plain_http)
{
    world_put(&w, "a", "1");
    struct tap *t = tap_new(&w);
    struct reason why;
    cr_assert_eq(tap_try(t, OUTLET_NDJSON, "index=1&epoch=beef", "", &why), ERR_COMPACTED);
    cr_assert_str_eq(why.text, "{\"error\":\"compacted\",\"oldest\":0,\"index\":1}");
    tap_free(t);
}
