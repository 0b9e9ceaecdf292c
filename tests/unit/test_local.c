/* Definitions are read strictly, and the agent's own services and checks are kept as they say. */
#include "tests/unit/agent_world.h"

#include "core/agent/local_json.h"

static enum err read_service(const char *json, struct service_definition *s, struct reason *why)
{
    static struct arena arena;
    json_error_t error;
    arena_close(&arena);
    arena_init(&arena, DEFINITION_ARENA_MAX);
    json_t *object = json_loads(json, 0, &error);
    cr_assert_not_null(object, "%s", json);
    enum err e = definition_service(&arena, object, s, why);
    e = e == OK ? definition_service_valid(s, why) : e;
    json_decref(object);
    return e;
}

/* Members are known in any case and with underscores; what is not said has Consul's default. */
Test(definition, names_are_taken_as_users_write_them)
{
    struct service_definition s;
    struct reason why = {{0}};
    enum err e =
        read_service("{\"name\":\"web\",\"Tags\":[\"a\"],\"enable_tag_override\":true,"
                     "\"EnableTagOverride\":true,"
                     "\"tagged_addresses\":{\"lan\":{\"address\":\"10.0.0.1\",\"port\":5}},"
                     "\"Check\":{\"check_id\":\"c\",\"ttl\":\"10s\",\"deregister_critical_service_"
                     "after\":\"1h\"},"
                     "\"checks\":[{\"HTTP\":\"http://"
                     "x\",\"Interval\":1000000000,\"Header\":{\"A\":[\"1\",\"2\"]}}]}",
                     &s, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    cr_assert(s.enable_tag_override);
    cr_assert_eq(s.weight_passing, 1);
    cr_assert(bytes_equal(s.tagged.items[0].value, BYTES("5 10.0.0.1")));
    cr_assert_eq(s.check_count, 2);
    cr_assert_eq(s.checks[0].kind, CHECK_TTL);
    cr_assert_eq(s.checks[0].ttl_ms, 10000);
    cr_assert_eq(s.checks[0].deregister_ms, 3600000);
    cr_assert_eq(s.checks[1].kind, CHECK_HTTP);
    cr_assert_eq(s.checks[1].interval_ms, 1000);
    cr_assert_eq(s.checks[1].headers.count, 2);
}

/* Each wrong thing is named in a sentence. */
Test(definition, what_cannot_be_is_refused)
{
    static const struct {
        const char *json;
        const char *says;
    } cases[] = {
        {"{}", "Missing service name"},
        {"{\"Name\":\"x\",\"bogus\":1}", "json: unknown field \"bogus\""},
        {"{\"Name\":\"x\",\"Address\":\"0.0.0.0\"}", "Invalid service address"},
        {"{\"Name\":\"x\",\"Address\":\"::\"}", "Invalid service address"},
        {"{\"Name\":7}", "expected a text"},
        {"{\"Name\":\"x\",\"Port\":65536}", "a port from 0 to 65535"},
        {"{\"Name\":\"x\",\"Port\":-1}", "a number from 0"},
        {"{\"Name\":\"x\",\"Tags\":[1]}", "an array of texts"},
        {"{\"Name\":\"x\",\"Meta\":{\"a b\":\"\"}}", "Key contains invalid characters"},
        {"{\"Name\":\"x\",\"Meta\":{\"consul-x\":\"\"}}", "reserved"},
        {"{\"Name\":\"x\",\"Check\":{\"HTTP\":\"http://x\"}}",
         "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks"},
        {"{\"Name\":\"x\",\"Check\":{\"Name\":\"y\"}}", "TTL must be > 0 for TTL checks"},
        {"{\"Name\":\"x\",\"Check\":{\"TTL\":\"10s\",\"TCP\":\"a:1\",\"Interval\":\"1s\"}}",
         "Interval and TTL cannot both be specified"},
        {"{\"Name\":\"x\",\"Check\":{\"TTL\":\"3s\",\"Status\":\"bogus\"}}",
         "Status for checks must 'passing', 'warning', 'critical'"},
        {"{\"Name\":\"x\",\"Check\":{\"TTL\":\"soon\"}}", "invalid duration"},
        {"{\"Name\":\"x\",\"Weights\":{\"Passing\":0}}", "Invalid Weights"},
        {"{\"Name\":\"x\",\"Check\":{\"DockerContainerID\":\"a\",\"Interval\":\"1s\"}}",
         "not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct service_definition s;
        struct reason why = {{0}};
        cr_assert_neq(read_service(cases[i].json, &s, &why), OK, "%s", cases[i].json);
        cr_assert_not_null(strstr(why.text, cases[i].says), "%s: %s", cases[i].json, why.text);
    }
}

/* Meta beyond Consul's limits is refused, at them it is taken. */
Test(definition, meta_has_limits)
{
    struct buf json;
    struct service_definition s;
    struct reason why = {{0}};
    buf_init(&json, KIB(64));
    for (unsigned count = 64; count <= 65; count++) {
        buf_clear(&json);
        buf_put_str(&json, "{\"Name\":\"x\",\"Meta\":{");
        for (unsigned i = 0; i < count; i++) {
            cr_assert_eq(buf_printf(&json, "%s\"k%u\":\"v\"", i > 0 ? "," : "", i), OK);
        }
        buf_put(&json, BYTES("}}\0"));
        cr_assert_eq(read_service(json.ptr, &s, &why), count == 64 ? OK : ERR_INVALID);
    }
    buf_close(&json);
}

/* Ids compare without case, rows borrow nothing of what they were made from, and the same service
 * again stays in sync. */
Test(local, a_service_is_found_by_its_id)
{
    struct local l;
    struct arena a;
    local_init(&l);
    arena_init(&a, MIB(1));
    add_service(&l, &a, "{\"Name\":\"web\",\"ID\":\"Web1\",\"Address\":\"10.0.0.1\",\"Port\":80}");
    add_service(&l, &a, "{\"Name\":\"db\"}");
    arena_close(&a);
    struct local_service *s = local_service(&l, BYTES("wEB1"));
    cr_assert_not_null(s);
    struct bytes value;
    cr_assert(pairs_get(s->row.tagged, BYTES("lan_ipv4"), &value));
    cr_assert(bytes_equal(value, BYTES("80 10.0.0.1")));
    cr_assert_null(local_service(&l, BYTES("web")));
    s->item.in_sync = true;
    arena_init(&a, MIB(1));
    add_service(&l, &a, "{\"Name\":\"web\",\"ID\":\"Web1\",\"Address\":\"10.0.0.1\",\"Port\":80}");
    cr_assert(local_service(&l, BYTES("web1"))->item.in_sync);
    add_service(&l, &a, "{\"Name\":\"web\",\"ID\":\"Web1\",\"Address\":\"10.0.0.1\",\"Port\":81}");
    cr_assert_not(local_service(&l, BYTES("web1"))->item.in_sync);
    cr_assert_eq(l.services.count, 2);
    arena_close(&a);
    local_close(&l);
}

/* What is removed is kept until the catalog knows, and is not seen meanwhile. */
Test(local, what_is_removed_is_remembered_until_it_was_told)
{
    struct local l;
    struct arena a;
    local_init(&l);
    arena_init(&a, MIB(1));
    add_service(&l, &a, "{\"Name\":\"web\"}");
    uint64_t before = local_service(&l, BYTES("web"))->item.generation;
    cr_assert_eq(local_remove_service(&l, BYTES("web")), OK);
    cr_assert_eq(local_remove_service(&l, BYTES("web")), ERR_NOT_FOUND);
    cr_assert_null(local_service(&l, BYTES("web")));
    local_synced(&l, false, BYTES("web"), before);
    cr_assert_eq(l.services.count, 1);
    local_synced(&l, false, BYTES("web"), l.services.items[0]->generation);
    cr_assert_eq(l.services.count, 0);
    arena_close(&a);
    local_close(&l);
}

/* The worst of its checks and, where asked for, of the node's. */
Test(local, the_status_of_a_service_is_its_worst)
{
    struct local l;
    struct arena a;
    bool changed = false;
    local_init(&l);
    arena_init(&a, MIB(1));
    add_service(&l, &a, "{\"Name\":\"web\"}");
    add_check(&l, &a, "{\"ID\":\"c\",\"TTL\":\"5s\"}", "web");
    add_check(&l, &a, "{\"ID\":\"n\",\"TTL\":\"5s\"}", "");
    cr_assert(
        local_check_set(&l, local_check(&l, BYTES("c")), CHECK_WARNING, BYTES("x"), &changed));
    cr_assert(changed);
    cr_assert_not(
        local_check_set(&l, local_check(&l, BYTES("c")), CHECK_WARNING, BYTES("x"), &changed));
    cr_assert_eq(local_status(&l, BYTES("web"), false), CHECK_WARNING);
    cr_assert_eq(local_status(&l, BYTES("web"), true), CHECK_CRITICAL);
    arena_close(&a);
    local_close(&l);
}

/* Consul 1.8.7's own hashes of two services: clients compare them. */
Test(local, the_hash_is_consuls)
{
    struct local l;
    struct arena a;
    local_init(&l);
    arena_init(&a, MIB(1));
    add_service(&l, &a, "{\"Name\":\"foo\",\"Tags\":[\"bar\",\"baz\"],\"Port\":8000}");
    add_service(&l, &a,
                "{\"ID\":\"web1\",\"Name\":\"web\",\"Tags\":[\"v1\",\"primary\"],"
                "\"Address\":\"10.0.0.1\",\"Port\":8080,\"Meta\":{\"a\":\"b\"}}");
    cr_assert_eq(local_hash_service(&local_service(&l, BYTES("foo"))->row), 0x6b13684bfe179e67);
    cr_assert_eq(local_hash_service(&local_service(&l, BYTES("web1"))->row), 0xda48aeb3c528da04);
    arena_close(&a);
    local_close(&l);
}
