/* Rows as JSON: byte for byte what Consul 1.8.7 answered for the same rows. */
#include "store/row_json.h"
#include "store_lib.h"

static struct buf lists;
static struct buf out;

static void setup(void)
{
    buf_init(&lists, MIB(1));
    cr_assert_eq(buf_reserve(&lists, KIB(64)), OK); /* what is handed out stays where it is */
    buf_init(&out, MIB(1));
}

static void teardown(void)
{
    buf_close(&lists);
    buf_close(&out);
}

TestSuite(row_json, .init = setup, .fini = teardown);

static struct bytes texts(const char *const *list, size_t count)
{
    size_t from = lists.len;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(texts_add(&lists, bytes_of(list[i])), OK);
    }
    return bytes_slice(buf_view(&lists), from, lists.len);
}

#define TEXTS(...)                                                                                 \
    texts((const char *const[]){__VA_ARGS__},                                                      \
          sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

static void says(const char *expected)
{
    cr_assert_eq(buf_append_char(&out, '\0'), OK);
    cr_assert_str_eq(out.ptr, expected);
    buf_clear(&out);
}

static struct node_row golden_node(void)
{
    return (struct node_row){
        .id = BYTES("b8e4c606-4470-205d-3ad7-d703a3bf3dc2"),
        .name = BYTES("n1"),
        .address = BYTES("127.0.0.1"),
        .tagged = TEXTS("lan", "127.0.0.1", "lan_ipv4", "127.0.0.1", "wan", "127.0.0.1", "wan_ipv4",
                        "127.0.0.1"),
        .meta = TEXTS("consul-network-segment", ""),
        .create_index = 5,
        .modify_index = 7,
    };
}

static struct service_row golden_service(void)
{
    return (struct service_row){
        .node = BYTES("n1"),
        .id = BYTES("web1"),
        .name = BYTES("web"),
        .tags = TEXTS("v1", "primary"),
        .address = BYTES("10.0.0.1"),
        .tagged = TEXTS("lan_ipv4", "8080 10.0.0.1", "wan_ipv4", "8080 10.0.0.1"),
        .meta = TEXTS("a", "b"),
        .port = 8080,
        .weight_passing = 1,
        .weight_warning = 1,
        .create_index = 29,
        .modify_index = 29,
    };
}

static struct check_row golden_check(void)
{
    return (struct check_row){
        .node = BYTES("ext1"),
        .id = BYTES("service:r1"),
        .name = BYTES("Redis health"),
        .status = CHECK_PASSING,
        .service_id = BYTES("r1"),
        .service_name = BYTES("redis"),
        .service_tags = TEXTS("primary"),
        .type = BYTES("tcp"),
        .definition = BYTES("{\"Interval\":\"5s\",\"Timeout\":\"1s\","
                            "\"DeregisterCriticalServiceAfter\":\"30s\","
                            "\"TCP\":\"localhost:8888\"}"),
        .create_index = 46,
        .modify_index = 46,
    };
}

#define NODE_JSON                                                                                  \
    "{\"ID\":\"b8e4c606-4470-205d-3ad7-d703a3bf3dc2\",\"Node\":\"n1\",\"Address\":\"127.0.0.1\","  \
    "\"Datacenter\":\"dc1\",\"TaggedAddresses\":{\"lan\":\"127.0.0.1\",\"lan_ipv4\":"              \
    "\"127.0.0.1\",\"wan\":\"127.0.0.1\",\"wan_ipv4\":\"127.0.0.1\"},\"Meta\":{"                   \
    "\"consul-network-segment\":\"\"},\"CreateIndex\":5,\"ModifyIndex\":7}"
#define SERVICE_JSON                                                                               \
    "{\"ID\":\"web1\",\"Service\":\"web\",\"Tags\":[\"v1\",\"primary\"],\"Address\":"              \
    "\"10.0.0.1\",\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"10.0.0.1\",\"Port\":8080},"     \
    "\"wan_ipv4\":{\"Address\":\"10.0.0.1\",\"Port\":8080}},\"Meta\":{\"a\":\"b\"},"               \
    "\"Port\":8080,\"Weights\":{\"Passing\":1,\"Warning\":1},\"EnableTagOverride\":false,"         \
    "\"Proxy\":{\"MeshGateway\":{},\"Expose\":{}},\"Connect\":{},\"CreateIndex\":29,"              \
    "\"ModifyIndex\":29}"
#define CHECK_JSON                                                                                 \
    "{\"Node\":\"ext1\",\"CheckID\":\"service:r1\",\"Name\":\"Redis health\",\"Status\":"          \
    "\"passing\",\"Notes\":\"\",\"Output\":\"\",\"ServiceID\":\"r1\",\"ServiceName\":\"redis\","   \
    "\"ServiceTags\":[\"primary\"],\"Type\":\"tcp\",\"Definition\":{\"Interval\":\"5s\","          \
    "\"Timeout\":\"1s\",\"DeregisterCriticalServiceAfter\":\"30s\",\"TCP\":\"localhost:8888\"},"   \
    "\"CreateIndex\":46,\"ModifyIndex\":46}"

Test(row_json, a_node_is_shown_as_consul_shows_it)
{
    struct node_row r = golden_node();
    cr_assert_eq(row_json_node(&out, &r, BYTES("dc1")), OK);
    says(NODE_JSON);
}

/* A map that nobody gave is null, as in Go. */
Test(row_json, a_bare_node_has_null_for_its_maps)
{
    struct node_row r = {.name = BYTES("e1"), .address = BYTES("1.1.1.1")};
    cr_assert_eq(row_json_node(&out, &r, BYTES("dc1")), OK);
    says("{\"ID\":\"\",\"Node\":\"e1\",\"Address\":\"1.1.1.1\",\"Datacenter\":\"dc1\","
         "\"TaggedAddresses\":null,\"Meta\":null,\"CreateIndex\":0,\"ModifyIndex\":0}");
}

Test(row_json, a_service_is_shown_as_consul_shows_it)
{
    struct service_row r = golden_service();
    cr_assert_eq(row_json_service(&out, &r), OK);
    says(SERVICE_JSON);
}

Test(row_json, a_service_shows_what_is_kept_unread)
{
    struct service_row r = {
        .id = BYTES("w2"),
        .name = BYTES("w2"),
        .kind = BYTES("typical"),
        .extra = BYTES("{\"Locality\":{\"Region\":\"a,}\\\"b\"},\"Proxy\":{\"Config\":{\"a\":[1,"
                       "2]},\"MeshGateway\":{},\"Expose\":{}},\"Connect\":{\"Native\":true}}"),
        .weight_passing = 3,
        .enable_tag_override = true,
    };
    cr_assert_eq(row_json_service(&out, &r), OK);
    says("{\"Kind\":\"typical\",\"ID\":\"w2\",\"Service\":\"w2\",\"Tags\":[],\"Address\":\"\","
         "\"Meta\":null,\"Port\":0,\"Weights\":{\"Passing\":3,\"Warning\":0},"
         "\"EnableTagOverride\":true,\"Proxy\":{\"Config\":{\"a\":[1,2]},\"MeshGateway\":{},"
         "\"Expose\":{}},\"Connect\":{\"Native\":true},\"Locality\":{\"Region\":\"a,}\\\"b\"},"
         "\"CreateIndex\":0,\"ModifyIndex\":0}");
}

/* What is no object at all leaves the defaults. */
Test(row_json, broken_extras_show_nothing)
{
    static const char *const broken[] = {"{", "{}", "\"", "{\"a\\", "}}}", "{\"Proxy\"", ",,,,"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct service_row r = golden_service();
        r.extra = bytes_of(broken[i]);
        cr_assert_eq(row_json_service(&out, &r), OK);
        says(SERVICE_JSON);
    }
}

Test(row_json, a_row_of_the_catalog_joins_node_and_service)
{
    struct node_row node = golden_node();
    struct service_row service = golden_service();
    cr_assert_eq(row_json_catalog(&out, &node, &service, BYTES("dc1")), OK);
    says("{\"ID\":\"b8e4c606-4470-205d-3ad7-d703a3bf3dc2\",\"Node\":\"n1\",\"Address\":"
         "\"127.0.0.1\",\"Datacenter\":\"dc1\",\"TaggedAddresses\":{\"lan\":\"127.0.0.1\","
         "\"lan_ipv4\":\"127.0.0.1\",\"wan\":\"127.0.0.1\",\"wan_ipv4\":\"127.0.0.1\"},"
         "\"NodeMeta\":{\"consul-network-segment\":\"\"},\"ServiceKind\":\"\",\"ServiceID\":"
         "\"web1\",\"ServiceName\":\"web\",\"ServiceTags\":[\"v1\",\"primary\"],"
         "\"ServiceAddress\":\"10.0.0.1\",\"ServiceTaggedAddresses\":{\"lan_ipv4\":{\"Address\":"
         "\"10.0.0.1\",\"Port\":8080},\"wan_ipv4\":{\"Address\":\"10.0.0.1\",\"Port\":8080}},"
         "\"ServiceWeights\":{\"Passing\":1,\"Warning\":1},\"ServiceMeta\":{\"a\":\"b\"},"
         "\"ServicePort\":8080,\"ServiceEnableTagOverride\":false,\"ServiceProxy\":{"
         "\"MeshGateway\":{},\"Expose\":{}},\"ServiceConnect\":{},\"CreateIndex\":29,"
         "\"ModifyIndex\":29}");
}

Test(row_json, a_check_is_shown_as_consul_shows_it)
{
    struct check_row r = golden_check();
    cr_assert_eq(row_json_check(&out, &r), OK);
    says(CHECK_JSON);
}

Test(row_json, a_check_of_a_node_has_empty_tags_and_definition)
{
    struct check_row r = {
        .node = BYTES("n1"),
        .id = BYTES("serfHealth"),
        .name = BYTES("Serf Health Status"),
        .status = CHECK_PASSING,
        .output = BYTES("Agent alive and reachable"),
        .create_index = 5,
        .modify_index = 5,
    };
    cr_assert_eq(row_json_check(&out, &r), OK);
    says("{\"Node\":\"n1\",\"CheckID\":\"serfHealth\",\"Name\":\"Serf Health Status\",\"Status\":"
         "\"passing\",\"Notes\":\"\",\"Output\":\"Agent alive and reachable\",\"ServiceID\":\"\","
         "\"ServiceName\":\"\",\"ServiceTags\":[],\"Type\":\"\",\"Definition\":{},"
         "\"CreateIndex\":5,\"ModifyIndex\":5}");
}

Test(row_json, an_instance_brings_its_node_and_all_its_checks)
{
    struct node_row node = golden_node();
    struct service_row service = golden_service();
    struct check_row check = golden_check();
    struct buf row;
    struct buf checks;
    buf_init(&row, MIB(1));
    buf_init(&checks, MIB(1));
    cr_assert_eq(row_check_encode(&row, &check), OK);
    cr_assert_eq(texts_add(&checks, buf_view(&row)), OK);
    cr_assert_eq(texts_add(&checks, buf_view(&row)), OK);
    cr_assert_eq(row_json_instance(&out, &node, &service, buf_view(&checks), BYTES("dc1")), OK);
    says("{\"Node\":" NODE_JSON ",\"Service\":" SERVICE_JSON ",\"Checks\":[" CHECK_JSON
         "," CHECK_JSON "]}");
    cr_assert_eq(row_json_instance(&out, &node, &service, (struct bytes){0}, BYTES("dc1")), OK);
    says("{\"Node\":" NODE_JSON ",\"Service\":" SERVICE_JSON ",\"Checks\":[]}");
    cr_assert_eq(row_json_instance(&out, &node, &service, TEXTS("junk"), BYTES("dc1")),
                 ERR_CORRUPT);
    cr_assert_eq(out.len, 0);
    buf_close(&row);
    buf_close(&checks);
}

Test(row_json, a_session_shows_its_delay_in_nanoseconds)
{
    struct session_row r = {
        .id = BYTES("730da278-9871-5518-9af3-655cb4499083"),
        .name = BYTES("s"),
        .node = BYTES("n1"),
        .behavior = SESSION_DELETE,
        .lock_delay_ms = 15000,
        .ttl = BYTES("20s"),
        .node_checks = TEXTS("serfHealth"),
        .create_index = 54,
        .modify_index = 54,
    };
    cr_assert_eq(row_json_session(&out, &r), OK);
    says("{\"ID\":\"730da278-9871-5518-9af3-655cb4499083\",\"Name\":\"s\",\"Node\":\"n1\","
         "\"LockDelay\":15000000000,\"Behavior\":\"delete\",\"TTL\":\"20s\",\"NodeChecks\":["
         "\"serfHealth\"],\"ServiceChecks\":null,\"CreateIndex\":54,\"ModifyIndex\":54}");
    r.node_checks = (struct bytes){0};
    r.service_checks = TEXTS("a", "b");
    r.behavior = SESSION_RELEASE;
    cr_assert_eq(row_json_session(&out, &r), OK);
    says("{\"ID\":\"730da278-9871-5518-9af3-655cb4499083\",\"Name\":\"s\",\"Node\":\"n1\","
         "\"LockDelay\":15000000000,\"Behavior\":\"release\",\"TTL\":\"20s\",\"NodeChecks\":[],"
         "\"ServiceChecks\":[{\"ID\":\"a\",\"Namespace\":\"\"},{\"ID\":\"b\",\"Namespace\":\"\"}],"
         "\"CreateIndex\":54,\"ModifyIndex\":54}");
}

Test(row_json, an_event_shows_its_payload_in_base64)
{
    struct event_row r = {
        .id = BYTES("2598f721-cb44-d85d-92d1-fdfb309a8cad"),
        .name = BYTES("deploy"),
        .payload = BYTES("payload"),
        .index = 2,
    };
    cr_assert_eq(row_json_event(&out, &r), OK);
    says("{\"ID\":\"2598f721-cb44-d85d-92d1-fdfb309a8cad\",\"Name\":\"deploy\",\"Payload\":"
         "\"cGF5bG9hZA==\",\"NodeFilter\":\"\",\"ServiceFilter\":\"\",\"TagFilter\":\"\","
         "\"Version\":1,\"LTime\":2}");
    r.payload = (struct bytes){0};
    cr_assert_eq(row_json_event(&out, &r), OK);
    says("{\"ID\":\"2598f721-cb44-d85d-92d1-fdfb309a8cad\",\"Name\":\"deploy\",\"Payload\":null,"
         "\"NodeFilter\":\"\",\"ServiceFilter\":\"\",\"TagFilter\":\"\",\"Version\":1,"
         "\"LTime\":2}");
}

Test(row_json, a_coordinate_is_shown_as_it_came)
{
    struct coordinate_row r = {
        .node = BYTES("n1"),
        .coordinate = BYTES("{\"Vec\":[0,0],\"Error\":1.5,\"Adjustment\":0,\"Height\":0.00001}"),
    };
    cr_assert_eq(row_json_coordinate(&out, &r), OK);
    says("{\"Node\":\"n1\",\"Segment\":\"\",\"Coord\":{\"Vec\":[0,0],\"Error\":1.5,"
         "\"Adjustment\":0,\"Height\":0.00001}}");
}

/* Nothing of a row is left where it does not fit. */
Test(row_json, a_row_that_does_not_fit_leaves_nothing)
{
    struct service_row r = golden_service();
    struct buf small;
    buf_init(&small, 100);
    cr_assert_eq(buf_append_str(&small, "["), OK);
    cr_assert_eq(row_json_service(&small, &r), ERR_TOO_BIG);
    cr_assert_eq(small.len, 1);
    buf_close(&small);
}

Test(row_json, the_parts_stand_alone)
{
    cr_assert_eq(row_json_texts(&out, TEXTS("a", "b\"")), OK);
    says("[\"a\",\"b\\\"\"]");
    cr_assert_eq(row_json_texts(&out, (struct bytes){0}), OK);
    says("[]");
    cr_assert_eq(row_json_pairs(&out, TEXTS("a", "b", "c", "")), OK);
    says("{\"a\":\"b\",\"c\":\"\"}");
    cr_assert_eq(row_json_pairs(&out, (struct bytes){0}), OK);
    says("{}");
}
