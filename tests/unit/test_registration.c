/* Requests to the catalog as JSON: what Consul takes, and its words for what it does not. */
#include "core/registration.h"

#include "core/base/limit.h"
#include "core/json_why.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;
static struct reason why;

static void setup(void)
{
    arena_init(&arena, REGISTRATION_ARENA_MAX);
}

static void teardown(void)
{
    arena_close(&arena);
}

TestSuite(registration, .init = setup, .fini = teardown);

static void is(struct bytes got, const char *expected)
{
    cr_assert(bytes_equal(got, bytes_of(expected)), "%.*s, not %s", BYTES_FORMAT(got), expected);
}

static enum err decode(const char *text, struct registration *ret)
{
    json_t *json = NULL;
    enum err e = decode_json(bytes_of(text), &json, &why);
    e = e == OK ? registration_decode(&arena, json, ret, &why) : e;
    json_decref(json);
    return e;
}

/* `text` is refused with `expected`. */
static void refused(const char *text, const char *expected)
{
    struct registration r;
    cr_assert_neq(decode(text, &r), OK, "%s", text);
    cr_assert_str_eq(why.text, expected, "%s: %s", text, why.text);
}

Test(registration, a_whole_one_is_taken_apart)
{
    struct registration r;
    struct bytes value;
    cr_assert_eq(
        decode("{\"ID\":\"i\",\"Node\":\"ext1\",\"Address\":\"192.168.10.10\",\"TaggedAddresses\":"
               "{\"wan\":\"w\",\"lan\":\"l\"},\"NodeMeta\":{\"k\":\"v\"},\"Datacenter\":\"dc1\","
               "\"SkipNodeUpdate\":true,\"Service\":{\"ID\":\"r1\",\"Service\":\"redis\","
               "\"Tags\":[\"primary\",\"v1\"],\"Address\":\"a\",\"Port\":8000,\"Meta\":{\"m\":"
               "\"n\"},\"TaggedAddresses\":{\"lan\":{\"Address\":\"b\",\"Port\":9}},\"Weights\":{"
               "\"Passing\":3},\"EnableTagOverride\":true,\"Kind\":\"typical\",\"Proxy\":{"
               "\"Config\":{\"a\":1}},\"Connect\":{\"Native\":true},\"SocketPath\":\"/s\"},"
               "\"Check\":{\"Name\":\"last\"},\"Checks\":[{\"CheckID\":\"first\",\"Status\":"
               "\"warning\"},null]}",
               &r),
        OK, "%s", why.text);
    is(r.node.row.id, "i");
    is(r.node.row.name, "ext1");
    is(r.node.row.address, "192.168.10.10");
    is(r.node.datacenter, "dc1");
    cr_assert(pairs_get(r.node.row.tagged, BYTES("wan"), &value));
    is(value, "w");
    cr_assert(pairs_get(r.node.row.meta, BYTES("k"), &value));
    cr_assert(r.skip_node_update);
    cr_assert(r.has_service);
    is(r.service.id, "r1");
    is(r.service.name, "redis");
    cr_assert(texts_have(r.service.tags, BYTES("v1")));
    is(r.service.address, "a");
    cr_assert_eq(r.service.port, 8000);
    cr_assert(pairs_get(r.service.tagged, BYTES("lan"), &value));
    is(value, "9 b");
    cr_assert_eq(r.service.weight_passing, 3);
    cr_assert_eq(r.service.weight_warning, 0);
    cr_assert(r.service.enable_tag_override);
    is(r.service.kind, "typical");
    is(r.service.socket_path, "/s");
    is(r.service.extra, "{\"Proxy\":{\"Config\":{\"a\":1},\"MeshGateway\":{},\"Expose\":{}},"
                        "\"Connect\":{\"Native\":true}}");
    cr_assert_eq(r.check_count, 2);
    is(r.checks[0].id, "first");
    cr_assert_eq(r.checks[0].status, CHECK_WARNING);
    is(r.checks[1].name, "last");
    cr_assert_eq(r.checks[1].status, 0);
}

Test(registration, names_are_taken_in_any_case_and_null_is_nothing)
{
    struct registration r;
    cr_assert_eq(decode("{\"node\":\"x\",\"ADDRESS\":\"1.1.1.1\",\"service\":{\"service\":\"low\","
                        "\"enabletagoverride\":true,\"Proxy\":null,\"Proxy\":{},\"connect\":{}},"
                        "\"check\":null,\"checks\":null,\"nodemeta\":null}",
                        &r),
                 OK, "%s", why.text);
    is(r.node.row.name, "x");
    is(r.service.name, "low");
    cr_assert_eq(r.service.weight_passing, 1);
    cr_assert_eq(r.service.weight_warning, 1);
    cr_assert_eq(r.service.extra.len, 0);
    cr_assert_eq(r.check_count, 0);
}

Test(registration, what_follows_the_first_value_is_not_read)
{
    struct registration r;
    cr_assert_eq(decode("{\"Node\":\"x\"} trailing", &r), OK);
    cr_assert_eq(decode("null", &r), OK);
    cr_assert_eq(r.node.row.name.len, 0);
}

/* In Consul's order, whatever order it came in; the type is made of it. */
Test(registration, a_definition_is_kept_as_consul_writes_it)
{
    struct registration r;
    cr_assert_eq(
        decode("{\"Check\":{\"Definition\":{\"TCP\":\"localhost:8888\",\"Interval\":\"5s\","
               "\"Timeout\":1000000000,\"DeregisterCriticalServiceAfter\":\"30m\"}}}",
               &r),
        OK, "%s", why.text);
    is(r.checks[0].type, "tcp");
    is(r.checks[0].definition, "{\"Interval\":\"5s\",\"Timeout\":\"1s\","
                               "\"DeregisterCriticalServiceAfter\":\"30m0s\","
                               "\"TCP\":\"localhost:8888\"}");
    cr_assert_eq(decode("{\"Check\":{\"Definition\":{\"HTTP\":\"x<y\",\"TLSSkipVerify\":true,"
                        "\"Header\":{\"b\":[\"1\"],\"a\":[\"2\"]},\"Interval\":5000000000,"
                        "\"Method\":\"GET\",\"body\":\"b\"}}}",
                        &r),
                 OK, "%s", why.text);
    is(r.checks[0].type, "http");
    is(r.checks[0].definition,
       "{\"Interval\":\"5s\",\"HTTP\":\"x\\u003cy\",\"TLSSkipVerify\":true,\"Header\":{\"a\":["
       "\"2\"],\"b\":[\"1\"]},\"Method\":\"GET\",\"Body\":\"b\"}");
    cr_assert_eq(
        decode("{\"Check\":{\"Definition\":{\"IntervalDuration\":\"5s\",\"TTL\":\"5s\"}}}", &r),
        OK);
    is(r.checks[0].type, "ttl");
    is(r.checks[0].definition, "{\"Interval\":\"5s\",\"TTL\":5000000000}");
    cr_assert_eq(decode("{\"Check\":{\"Definition\":{}}}", &r), OK);
    cr_assert_eq(r.checks[0].definition.len, 0);
}

Test(registration, wrong_types_are_refused_in_gos_words)
{
    refused("{\"Node\":1}",
            "json: cannot unmarshal number into Go struct field RegisterRequest.Node of type "
            "string");
    refused("{\"Service\":{\"Port\":\"80\"}}",
            "json: cannot unmarshal string into Go struct field NodeService.Service.Port of type "
            "int");
    refused("{\"Service\":{\"Port\":1.5}}",
            "json: cannot unmarshal number 1.5 into Go struct field NodeService.Service.Port of "
            "type int");
    refused("[]", "json: cannot unmarshal array into Go value of type structs.RegisterRequest");
    refused("{\"NodeMeta\":{\"a\":1}}",
            "json: cannot unmarshal number into Go struct field RegisterRequest.NodeMeta of type "
            "string");
    refused("{\"Bogus\":1}", "json: unknown field \"Bogus\"");
    refused("{\"node_meta\":{}}", "json: unknown field \"node_meta\"");
    refused("{\"Check\":{\"Definition\":{\"Interval\":\"zz\"}}}", "time: invalid duration \"zz\"");
    refused("{\"Service\":{\"Port\":99999}}",
            "Service.Port is 99999, and must be between 0 and 65535");
    refused("{\"Check\":{\"Status\":\"zz\"}}",
            "Status for checks must 'passing', 'warning', 'critical'");
}

Test(registration, what_no_row_can_hold_is_refused_with_the_limit)
{
    struct registration r;
    char text[2048];
    char name[ROW_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(text, sizeof text, "{\"Service\":{\"ID\":\"%s\"}}", name);
    cr_assert_eq(decode(text, &r), ERR_TOO_BIG);
    cr_assert_str_eq(why.text, "Service.ID is 513 bytes long, at most 512 are taken");
}

Test(registration, a_deregistration_names_a_node_and_a_part_of_it)
{
    struct deregistration d = {0};
    json_t *json = NULL;
    cr_assert_eq(decode_json(BYTES("{\"Node\":\"n\",\"serviceid\":\"s\"}"), &json, &why), OK);
    cr_assert_eq(deregistration_decode(&arena, json, &d, &why), OK);
    is(d.node, "n");
    is(d.service_id, "s");
    cr_assert_eq(d.check_id.len, 0);
    json_decref(json);
}

Test(registration, defaults_are_the_names)
{
    struct service_row s = {.name = BYTES("web")};
    struct check_row c = {.name = BYTES("alive")};
    registration_service_defaults(&s);
    registration_check_defaults(&c);
    is(s.id, "web");
    is(c.id, "alive");
    cr_assert_eq(c.status, CHECK_CRITICAL);
}

/* Each text with what Go 1.15's decoder says of it. */
Test(registration, broken_json_is_described_in_gos_words)
{
    static const char *const broken[][2] = {
        {"", "EOF"},
        {"  ", "EOF"},
        {"{", "unexpected EOF"},
        {"{\"Node\":\"x\"", "unexpected EOF"},
        {"{bad", "invalid character 'b' looking for beginning of object key string"},
        {"bad", "invalid character 'b' looking for beginning of value"},
        {"{\"a\" 1}", "invalid character '1' after object key"},
        {"{\"a\":1 2}", "invalid character '2' after object key:value pair"},
        {"[1 2]", "invalid character '2' after array element"},
        {"[1,]", "invalid character ']' looking for beginning of value"},
        {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
        {"{\"a\":tru3}", "invalid character '3' in literal true (expecting 'e')"},
        {"{\"a\":\"\\q\"}", "invalid character 'q' in string escape code"},
        {"{\"a\":\"\\u12g4\"}", "invalid character 'g' in \\u hexadecimal character escape"},
        {"[\"\n\"]", "invalid character '\\n' in string literal"},
        {"[-x]", "invalid character 'x' in numeric literal"},
        {"[1.x]", "invalid character 'x' after decimal point in numeric literal"},
        {"[1ex]", "invalid character 'x' in exponent of numeric literal"},
        {"'", "invalid character '\\'' looking for beginning of value"},
        {"\xc3\xa4", "invalid character '\xc3\x83' looking for beginning of value"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        json_t *json = NULL;
        cr_assert_eq(decode_json(bytes_of(broken[i][0]), &json, &why), ERR_INVALID, "%s",
                     broken[i][0]);
        cr_assert_str_eq(why.text, broken[i][1], "%s: %s", broken[i][0], why.text);
    }
}
