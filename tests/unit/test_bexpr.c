/* Filters: what Consul 1.8.7 answered to the same expressions, and its words for bad ones. */
#include "core/api/bexpr_rows.h"

#include <criterion/criterion.h>
#include <string.h>

static struct buf lists;
static struct node_row node;
static struct service_row service;
static struct bexpr_row row;

static struct bytes texts(const char *const *list)
{
    size_t from = lists.len;
    for (; *list != NULL; list++) {
        cr_assert_eq(texts_add(&lists, bytes_of(*list)), OK);
    }
    return bytes_slice(buf_view(&lists), from, lists.len);
}

#define TEXTS(...) texts((const char *const[]){__VA_ARGS__, NULL})

static struct bytes checks(void)
{
    static struct buf encoded;
    static struct buf one;
    static const enum check_status states[] = {CHECK_PASSING, CHECK_CRITICAL};
    buf_init(&encoded, 1 << 20);
    buf_init(&one, 1 << 20);
    for (size_t i = 0; i < 2; i++) {
        struct check_row c = {
            .node = BYTES("f1"), .id = BYTES("c"), .name = BYTES("c"), .status = states[i]};
        buf_clear(&one);
        cr_assert_eq(row_check_encode(&one, &c), OK);
        cr_assert_eq(texts_add(&encoded, buf_view(&one)), OK);
    }
    buf_close(&one);
    return buf_view(&encoded);
}

static void setup(void)
{
    buf_init(&lists, 1 << 20);
    cr_assert_eq(buf_reserve(&lists, 1 << 16), OK);
    node = (struct node_row){
        .name = BYTES("f1"),
        .address = BYTES("1.1.1.1"),
        .tagged = TEXTS("lan", "9.9.9.9"),
        .meta = TEXTS("a.b", "c", "k", "v"),
    };
    service = (struct service_row){
        .node = BYTES("f1"),
        .id = BYTES("fs"),
        .name = BYTES("fs"),
        .tags = TEXTS("a", "b c"),
        .tagged = TEXTS("lan", "7 q"),
        .meta = TEXTS("x", "y"),
        .port = 80,
        .weight_passing = 1,
    };
    row = (struct bexpr_row){
        .node = &node, .service = &service, .checks = checks(), .datacenter = BYTES("dc1")};
}

TestSuite(bexpr, .init = setup);

static bool holds(const struct bexpr_schema *schema, const char *text)
{
    struct bexpr *e = NULL;
    struct reason why;
    cr_assert_eq(bexpr_new(bytes_of(text), schema, &e, &why), OK, "%s: %s", text, why.text);
    bool result = bexpr_matches(e, &row);
    bexpr_free(e);
    return result;
}

static void refused(const struct bexpr_schema *schema, const char *text, const char *expected)
{
    struct bexpr *e = NULL;
    struct reason why;
    cr_assert_eq(bexpr_new(bytes_of(text), schema, &e, &why), ERR_INVALID, "%s", text);
    cr_assert_str_eq(why.text, expected, "%s: %s", text, why.text);
}

Test(bexpr, what_holds_of_a_node)
{
    static const char *const all[] = {
        "Node==f1",
        "Node == \"f1\"",
        "  ( Node == f1 )  ",
        "Node==f1 and ID==\"\"",
        "not Node==f2",
        "not (Node==f2 or Node==f3)",
        "Node==f2 or Node==f1 and Node!=f3",
        "Meta.k==v",
        "Meta[\"k\"]==v",
        "Meta[`k`]==v",
        "Meta[\"a.b\"]==c",
        "Meta.zz != v",
        "Meta.zz not matches x",
        "Meta is not empty",
        "k in Meta",
        "\"zz\" not in Meta",
        "Meta contains k",
        "Node contains f",
        "f in Node",
        "Node matches \"^f\"",
        "Node not matches \"^g\"",
        "TaggedAddresses.lan==\"9.9.9.9\"",
        "Datacenter==dc1 and Address matches `^1`",
        "\"v\" in Meta.k",
        "Node==f1 and not ID!=\"\"",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert(holds(&BEXPR_NODE, all[i]), "%s", all[i]);
    }
}

Test(bexpr, what_does_not_hold_of_a_node)
{
    static const char *const all[] = {
        "Node==f2",
        "Node==1",
        "Node==-1",
        "Node==1.5",
        "Node == f1.b",
        "Meta.zz == v",
        "Meta.zz matches x",
        "Meta is empty",
        "not Node==f1",
        "(Node==f1 or Node==f2) and Meta.k==w",
        "Node matches \"^$\"",
        "\"w\" in Meta.k",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert(!holds(&BEXPR_NODE, all[i]), "%s", all[i]);
    }
}

Test(bexpr, what_holds_of_an_instance)
{
    static const char *const all[] = {
        "Service.Port==80",
        "Service.Port!=81",
        "Service.Tags contains a",
        "\"b c\" in Service.Tags",
        "Service.Tags is not empty",
        "Node.Meta.k==v and Node.Node==f1",
        "Checks is not empty",
        "Checks.Status==passing",
        "Checks.Status!=passing",
        "Service.Meta.x==y",
        "Service.EnableTagOverride==false",
        "Service.Weights.Passing==1",
        "Service.TaggedAddresses.lan.Address==q",
        "Service.TaggedAddresses[\"lan\"].Port==7",
        "Service.Proxy.Upstreams is empty",
        "Service.Connect.Native==false",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_assert(holds(&BEXPR_INSTANCE, all[i]), "%s", all[i]);
    }
    cr_assert(!holds(&BEXPR_INSTANCE, "Service.TaggedAddresses.zz.Port==7"));
    cr_assert(!holds(&BEXPR_INSTANCE, "Checks.Status==warning"));
    cr_assert(holds(&BEXPR_CATALOG, "ServicePort==80 and NodeMeta.k==v and ServiceMeta.x==y"));
    cr_assert(holds(&BEXPR_SERVICE, "Service==fs and Port==80 and a in Tags"));
}

Test(bexpr, bad_ones_are_refused_in_consuls_words)
{
    const struct bexpr_schema *n = &BEXPR_NODE;
    refused(n, "Nope==v", "Selector \"Nope\" is not valid");
    refused(n, "Node in f1", "Selector \"f1\" is not valid");
    refused(n, "Meta.k.z==v", "Selector \"Meta.k.z\" is not valid");
    refused(n, "Node.x==v", "Selector \"Node.x\" is not valid");
    refused(n, "node==f1", "Selector \"node\" is not valid");
    refused(n, "Meta==v", "Invalid match operator \"Equal\" for selector \"Meta\"");
    refused(n, "Meta.zz is empty", "Invalid match operator \"Is Empty\" for selector \"Meta.zz\"");
    refused(n, "Node is not empty",
            "Invalid match operator \"Is Not Empty\" for selector \"Node\"");
    refused(n, "Node matches \"(\"",
            "Failed to compile regular expression \"(\": error parsing regexp: missing closing ): "
            "`(`");
    refused(n, " ",
            "1:2 (1): no match found, expected: \"(\", \"-\", \"0\", \"\\\"\", \"`\", \"not\", "
            "[ \\t\\r\\n], [1-9] or [a-zA-Z]");
    refused(n, "Node",
            "1:5 (4): no match found, expected: \"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] or "
            "[a-zA-Z0-9_]");
    refused(n, "Node > 3",
            "1:6 (5): no match found, expected: \"!=\", \"==\", \"contains\", \"in\", \"is\", "
            "\"matches\", \"not\" or [ \\t\\r\\n]");
    refused(n, "Node==",
            "1:7 (6): no match found, expected: \"-\", \"0\", \"\\\"\", \"`\", [ \\t\\r\\n], "
            "[1-9] or [a-zA-Z]");
    refused(n, "(Node==f1", "1:10 (9): rule \"grouping\": Unmatched parentheses");
    refused(n, "Node==f1)",
            "1:9 (8): no match found, expected: \".\", \"[\", [ \\t\\r\\n], [a-zA-Z0-9_] or EOF");
    refused(n, "Node==f1 Node==n1",
            "1:10 (9): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF");
    refused(n, "Node==\"a", "1:9 (8): rule \"string\": Unterminated string literal");
    refused(&BEXPR_INSTANCE, "Service.Port==x",
            "Failed to coerce value \"x\" for selector \"Service.Port\": strconv.ParseInt: parsing "
            "\"x\": invalid syntax");
    refused(&BEXPR_INSTANCE, "Service.EnableTagOverride==zz",
            "Failed to coerce value \"zz\" for selector \"Service.EnableTagOverride\": "
            "strconv.ParseBool: parsing \"zz\": invalid syntax");
    refused(&BEXPR_INSTANCE, "Service.Proxy.Mode==x",
            "Selector \"Service.Proxy.Mode\" is not valid");
    refused(&BEXPR_INSTANCE, "Service==x",
            "Invalid match operator \"Equal\" for selector \"Service\"");
}

/* However deep, long or many: an error, and no more. */
Test(bexpr, too_large_ones_are_refused)
{
    struct bexpr *e = NULL;
    struct reason why;
    char text[9000];
    memset(text, '(', sizeof text);
    cr_assert_eq(bexpr_new((struct bytes){text, 5000}, &BEXPR_NODE, &e, &why), ERR_INVALID);
    cr_assert_eq(bexpr_new((struct bytes){text, sizeof text}, &BEXPR_NODE, &e, &why), ERR_INVALID);
    text[0] = '\0';
    for (size_t i = 0; i < 100; i++) {
        strcat(text, i == 0 ? "Node==a" : " or Node==a");
    }
    cr_assert_eq(bexpr_new(bytes_of(text), &BEXPR_NODE, &e, &why), ERR_INVALID);
    text[0] = '\0';
    for (size_t i = 0; i < 500; i++) {
        strcat(text, "not ");
    }
    strcat(text, "Node==a");
    cr_assert_eq(bexpr_new(bytes_of(text), &BEXPR_NODE, &e, &why), ERR_INVALID);
}
