#include "stream/filter.h"

#include "core/base/limit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct change CHANGE = {
    .index = 48214,
    .topic = CHANGE_KV,
    .op = CHANGE_SET,
    .key = {.ptr = "app/web/1", .len = 9},
    .value = {.ptr = "hello", .len = 5},
    .flags = 42,
    .create_index = 7,
};

Test(filter, says_what_it_means)
{
    static const struct {
        const char *text;
        bool holds;
    } rows[] = {
        {"op == \"set\"", true},
        {"op==set", true},
        {"op != set", false},
        {"op == delete or op == set", true},
        {"op in [delete, `delete-prefix`]", false},
        {"op in [\"delete\", \"set\"]", true},
        {"op not in [delete]", true},
        {"op in []", false},
        {"op not in []", true},
        {"key contains \"/web/\"", true},
        {"key not contains \"/web/\"", false},
        {"key prefix app/", true},
        {"key suffix /1", true},
        {"key not suffix /2", true},
        {"\"web\" in key", true},
        {"\"db\" not in key", true},
        {"value == hello", true},
        {"value is empty", false},
        {"session is empty and value is not empty", true},
        {"flags == 42", true},
        {"flags in [1, 42]", true},
        {"flags < 42", false},
        {"flags <= 42", true},
        {"flags > 41 and flags >= 42", true},
        {"size == 5 and index == 48214 and create_index == 7 and lock_index == 0", true},
        {"not op == set", false},
        {"not not op == set", true},
        {"op == delete and flags == 1 or flags == 42", true},
        {"op == delete and (flags == 1 or flags == 42)", false},
        {"not (op == delete) and not (flags == 1)", true},
        {"((((op == set))))", true},
        {"flags == 42 or flags == 1 and flags == 1", true},
        {"key == \"a\\\"b\" or key == \"app/web/1\"", true},
        {"key contains \"\"", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        struct stream_event e;
        cr_assert_eq(event_read(&e, &CHANGE), OK);
        cr_assert_eq(filter_new(CHANGE_KV, bytes_of(rows[i].text), &f, &why), OK, "%s: %s",
                     rows[i].text, why.text);
        cr_assert_eq(filter_matches(f, &e), rows[i].holds, "%s", rows[i].text);
        filter_free(f);
    }
}

Test(filter, says_where_it_is_wrong)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"", "column 1: "},
        {"op", "column 3: "},
        {"op = set", "column 4: "},
        {"name == x", "column 1: "},
        {"op == set and", "column 14: "},
        {"(op == set", "column 11: "},
        {"op == set)", "column 10: "},
        {"op == \"set", "column 7: "},
        {"flags == x", "column 10: "},
        {"flags contains 1", "column 7: "},
        {"key < a", "column 5: "},
        {"key matches a", "column 5: "},
        {"op in (set)", "column 7: "},
        {"op in [set", "column 11: "},
        {"op == set set", "column 11: "},
        {"\"x\" in flags", "column 8: "},
        {"op == set \x01", "column 11: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        cr_assert_eq(filter_new(CHANGE_KV, bytes_of(rows[i].text), &f, &why), ERR_INVALID, "%s",
                     rows[i].text);
        cr_assert(strncmp(why.text, rows[i].why, strlen(rows[i].why)) == 0, "%s: %s", rows[i].text,
                  why.text);
    }
}

Test(filter, has_limits)
{
    static char text[STREAM_FILTER_MAX + 100];
    struct filter *f = NULL;
    struct reason why = {{0}};
    memset(text, '(', 1000);
    cr_assert_eq(filter_new(CHANGE_KV, bytes_of(text), &f, &why), ERR_INVALID);
    memset(text, ' ', STREAM_FILTER_MAX + 1);
    cr_assert_eq(filter_new(CHANGE_KV, bytes_of(text), &f, &why), ERR_INVALID);
    size_t len = 0;
    for (size_t i = 0; i < 300; i++) {
        len += (size_t)sprintf(text + len, "size<9%s", i < 299 ? " or " : "");
    }
    cr_assert_lt(len, STREAM_FILTER_MAX);
    cr_assert_eq(filter_new(CHANGE_KV, bytes_of(text), &f, &why), ERR_INVALID);
}

/* --- the fleet ------------------------------------------------------------------------------- */

static struct bytes texts_of(struct buf *out, const char *const *texts, size_t count)
{
    buf_init(out, UINT32_MAX);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(texts_add(out, bytes_of(texts[i])), OK);
    }
    return buf_view(out);
}

struct filter_row {
    const char *text;
    bool holds;
};

static void expect(enum change_topic topic,
                   const struct stream_event *e,
                   const struct filter_row *rows,
                   size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        cr_assert_eq(filter_new(topic, bytes_of(rows[i].text), &f, &why), OK, "%s: %s",
                     rows[i].text, why.text);
        cr_assert_eq(filter_matches(f, e), rows[i].holds, "%s", rows[i].text);
        filter_free(f);
    }
}

/* What webhooks ask: an instance that was not critical and is now. */
Test(filter, knows_instances_now_and_before)
{
    static const char *const tags[] = {"prod", "v2"};
    static const char *const before[] = {"prod"};
    struct buf now_buf;
    struct buf before_buf;
    struct change c = {.index = 9, .topic = CHANGE_SERVICE, .key = BYTES("api")};
    struct stream_event e = {.change = &c, .op = EVENT_CHANGED, .has_row = true};
    e.row.instance = (struct instance_row){
        .is = true,
        .was = true,
        .node = {.name = BYTES("n1"), .address = BYTES("10.0.0.1")},
        .service = {.node = BYTES("n1"),
                    .id = BYTES("api-1"),
                    .name = BYTES("api"),
                    .port = 80,
                    .tags = texts_of(&now_buf, tags, 2)},
        .status = CHECK_CRITICAL,
        .before = CHECK_PASSING,
        .tags_before = texts_of(&before_buf, before, 1),
        .address_before = BYTES("10.9.9.9"),
        .port_before = 81,
    };
    static const struct filter_row now[] = {
        {"status == critical and before != critical", true},
        {"status == passing", false},
        {"before in [passing, warning]", true},
        {"service == api and node == n1 and id == \"api-1\" and name == api", true},
        {"tags contains V2", true},
        {"tags contains v", false},
        {"tag == v2", true},
        {"tag != v2", false},
        {"tag prefix v", true},
        {"\"prod\" in tags and \"dev\" not in tags", true},
        {"tags is empty", false},
        {"tag in [dev, v2]", true},
        {"address == \"10.0.0.1\" and port == 80 and index == 9", true},
        {"op == changed and key == api", true},
    };
    expect(CHANGE_SERVICE, &e, now, sizeof now / sizeof now[0]);
    static const struct filter_row left[] = {
        {"op == removed and tags contains prod and not tags contains v2", true},
        {"address == \"10.9.9.9\" and port == 81", true},
        {"status == critical", true},
    };
    e.op = EVENT_REMOVED;
    expect(CHANGE_SERVICE, &e, left, sizeof left / sizeof left[0]);
    static const struct filter_row gone[] = {
        {"status is empty and before == passing", true},
        {"status != critical", true},
    };
    e.row.instance.is = false;
    expect(CHANGE_SERVICE, &e, gone, sizeof gone / sizeof gone[0]);
    static const struct filter_row fresh[] = {
        {"before is empty", true},
        {"status == critical and before != critical", true},
    };
    e.op = EVENT_ADDED;
    e.row.instance.is = true;
    e.row.instance.was = false;
    expect(CHANGE_SERVICE, &e, fresh, sizeof fresh / sizeof fresh[0]);
    buf_close(&now_buf);
    buf_close(&before_buf);
}

/* A check that is gone has a key only, and its node and id are in it. */
Test(filter, knows_the_other_rows)
{
    struct change c = {.index = 9, .topic = CHANGE_CHECK, .key = BYTES("n1/web:1")};
    struct stream_event e = {.change = &c, .op = EVENT_DELETE};
    static const struct filter_row gone[] = {
        {"node == n1 and check == \"web:1\" and id suffix \"1\"", true},
        {"status is empty and tags is empty and service is empty", true},
    };
    expect(CHANGE_CHECK, &e, gone, 2);
    e.op = EVENT_SET;
    e.has_row = true;
    e.row.check = (struct check_row){.node = BYTES("n1"),
                                     .id = BYTES("c"),
                                     .name = BYTES("alive"),
                                     .status = CHECK_WARNING,
                                     .service_name = BYTES("api")};
    static const struct filter_row check[] = {
        {"status == warning and service == api and name == alive and check == c", true},
    };
    expect(CHANGE_CHECK, &e, check, 1);
    c = (struct change){.index = 9, .topic = CHANGE_NODE, .key = BYTES("n1")};
    e.row.node = (struct node_row){.name = BYTES("n1"), .address = BYTES("10.0.0.1")};
    static const struct filter_row node[] = {
        {"node == n1 and name == n1 and address prefix \"10.\" and id is empty", true},
    };
    expect(CHANGE_NODE, &e, node, 1);
    c = (struct change){.index = 9, .topic = CHANGE_EVENT, .key = BYTES("deploy")};
    e.row.event = (struct event_row){.id = BYTES("u"), .name = BYTES("deploy")};
    static const struct filter_row event[] = {{"name == deploy and id == u", true}};
    expect(CHANGE_EVENT, &e, event, 1);
    c = (struct change){.index = 9, .topic = CHANGE_SESSION, .key = BYTES("s")};
    e.row.session = (struct session_row){.id = BYTES("s"), .node = BYTES("n1")};
    static const struct filter_row session[] = {{"id == s and node == n1 and name is empty", true}};
    expect(CHANGE_SESSION, &e, session, 1);
}

/* Each topic has its own fields, and says which when it is asked for another's. */
Test(filter, refuses_the_fields_of_other_topics)
{
    static const struct {
        enum change_topic topic;
        const char *text;
        const char *why;
    } rows[] = {
        {CHANGE_KV, "status == passing", "column 1: a field is expected (op, key, value, session"},
        {CHANGE_SERVICE, "id == x and flags == 1", "column 13: a field is expected (op, key, serv"},
        {CHANGE_CHECK, "before == passing", "column 1: "},
        {CHANGE_NODE, "port == 1", "column 1: "},
        {CHANGE_EVENT, "node == n", "column 1: "},
        {CHANGE_SESSION, "tags contains x", "column 1: "},
        {CHANGE_SERVICE, "port == http", "column 9: "},
        {CHANGE_SERVICE, "tags < x", "column 6: "},
        {CHANGE_SERVICE, "\"x\" in port", "column 8: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        cr_assert_eq(filter_new(rows[i].topic, bytes_of(rows[i].text), &f, &why), ERR_INVALID, "%s",
                     rows[i].text);
        cr_assert(strncmp(why.text, rows[i].why, strlen(rows[i].why)) == 0, "%s: %s", rows[i].text,
                  why.text);
    }
}
