#include "stream/protocol.h"

#include "core/base/limit.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct client_message m;

static enum err parse(const char *text)
{
    return protocol_parse(bytes_of(text), &m);
}

Test(protocol, the_contracts_messages)
{
    cr_assert_eq(
        parse("{\"type\":\"hello\",\"token\":\"t\",\"client\":\"c\",\"max_frame\":262144}"), OK);
    cr_assert_eq(m.type, CLIENT_HELLO);
    cr_assert_eq(m.max_frame, 262144);
    client_message_close(&m);
    cr_assert_eq(
        parse("{\"type\":\"subscribe\",\"id\":1,\"topic\":\"kv\",\"prefix\":\"app/\","
              "\"from\":{\"index\":48213,\"epoch\":\"c3f1\"},\"filter\":\"op == \\\"set\\\"\","
              "\"credit\":1000,\"batch\":{\"max\":128,\"wait_ms\":5}}"),
        OK);
    cr_assert_null(m.problem);
    cr_assert_eq(m.subscribe.id, 1);
    cr_assert_eq(m.subscribe.kind, TARGET_PREFIX);
    cr_assert_eq(m.subscribe.from_index, 48213);
    cr_assert(bytes_equal(m.subscribe.from_epoch, BYTES("c3f1")));
    cr_assert(bytes_equal(m.subscribe.filter, BYTES("op == \"set\"")));
    cr_assert_eq(m.subscribe.credit_events, 1000);
    cr_assert_eq(m.subscribe.credit_bytes, CREDIT_UNLIMITED);
    cr_assert_eq(m.subscribe.batch_max, 128);
    cr_assert_eq(m.subscribe.wait_ms, 5);
    client_message_close(&m);
    cr_assert_eq(parse("{\"type\":\"credit\",\"id\":1,\"events\":500,\"bytes\":1048576}"), OK);
    cr_assert_eq(m.subscribe.credit_bytes, 1048576);
    client_message_close(&m);
    cr_assert_eq(parse("{\"type\":\"ping\",\"data\":\"x\",\"mark\":true}"), OK);
    cr_assert(m.mark);
    cr_assert(bytes_equal(m.data, BYTES("x")));
    client_message_close(&m);
    cr_assert_eq(parse("{\"type\":\"auth\",\"token\":\"t\"}"), OK);
    cr_assert_null(m.problem);
    client_message_close(&m);
}

/* Wrong in a way that says the other end does not speak this protocol: 4000. */
Test(protocol, refuses_what_is_no_message)
{
    static const char *const texts[] = {
        "",
        "x",
        "[]",
        "1",
        "null",
        "{}",
        "{\"type\":1}",
        "{\"type\":\"dance\"}",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"} x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_assert_eq(parse(texts[i]), ERR_INVALID, "%s", texts[i]);
        client_message_close(&m);
    }
}

/* Wrong in a way that can be told, with the connection left as it is. */
Test(protocol, names_what_is_wrong_in_a_message)
{
    static const char *const rows[][2] = {
        {"{\"type\":\"subscribe\"}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":-1}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1.5}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"topic\":\"servise\"}", "topic_unknown"},
        {"{\"type\":\"subscribe\",\"id\":1,\"key\":\"a\",\"prefix\":\"b\"}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"key\":\"\"}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"from\":7}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"from\":{}}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"from\":{\"index\":1},\"snapshot\":true}",
         "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"snapshot\":1}", "bad_request"},
        {"{\"type\":\"subscribe\",\"id\":1,\"cursor\":\"billing\"}", "bad_request"},
        {"{\"type\":\"ack\",\"id\":1,\"index\":2}", "bad_request"},
        {"{\"type\":\"unsubscribe\"}", "bad_request"},
        {"{\"type\":\"credit\",\"id\":1,\"events\":-1}", "bad_request"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(parse(rows[i][0]), OK, "%s", rows[i][0]);
        cr_assert_str_eq(m.problem, rows[i][1], "%s", rows[i][0]);
        cr_assert_neq(m.why.text[0], '\0');
        client_message_close(&m);
    }
}

Test(protocol, a_deep_message_is_refused_before_it_is_parsed)
{
    size_t depth = 10000;
    char *text = malloc(depth * 2 + 32);
    strcpy(text, "{\"type\":");
    memset(text + 8, '[', depth);
    strcpy(text + 8 + depth, "}");
    cr_assert_eq(parse(text), ERR_INVALID);
    client_message_close(&m);
    free(text);
}

Test(protocol, json_values_are_written_compactly)
{
    struct buf out;
    buf_init(&out, 1000);
    cr_assert_eq(protocol_compact_json(&out, BYTES(" { \"a\" :\n[1, 2.5, null] } ")), OK);
    cr_assert(bytes_equal(buf_view(&out), BYTES("{\"a\":[1,2.5,null]}")));
    cr_assert_eq(protocol_compact_json(&out, BYTES("plain text")), ERR_INVALID);
    cr_assert_eq(protocol_compact_json(&out, BYTES("")), ERR_INVALID);
    buf_close(&out);
}
