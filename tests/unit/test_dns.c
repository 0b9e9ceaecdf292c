/* Whole answers: registrations in a real state in memory, questions, and the packets that come. */
#include "dns_lib.h"

static struct bench b;
static struct answer a;
static struct lookup *lookup;
static struct dns_settings settings;
static struct answer_world world;
static uint64_t dice;
static uint8_t packet[DNS_TCP_MAX];
static size_t packet_len;

static uint64_t fixed_dice(void *ctx, uint64_t limit)
{
    (void)ctx;
    return limit == 0 ? 0 : dice % limit;
}

static struct dns_name name_of(const char *text)
{
    struct dns_name n;
    cr_assert_eq(name_from_text(&n, bytes_of(text)), OK, "%s", text);
    return n;
}

static void setup(void)
{
    bench_open(&b, NULL);
    answer_init(&a);
    lookup = lookup_new();
    dice = 0;
    settings = (struct dns_settings){
        .zone = {.domain = name_of("consul"),
                 .alt_domain = name_of("herald.test"),
                 .datacenter = BYTES("dc1")},
        .soa_refresh = 3600,
        .soa_retry = 600,
        .soa_expire = 86400,
        .allow_stale = true,
        .node_meta_txt = true,
        .udp_answer_limit = 3,
    };
    world = (struct answer_world){
        .lookup = lookup,
        .settings = &settings,
        .wall_ms = 1700000000123,
        .dice = fixed_dice,
        .udp = true,
    };
}

static void teardown(void)
{
    lookup_free(lookup);
    answer_close(&a);
    bench_close(&b);
}

TestSuite(dns, .init = setup, .fini = teardown, .timeout = 60);

static struct dns_question question(const char *name, uint16_t type)
{
    return (struct dns_question){
        .name = name_of(name), .id = 7, .type = type, .class = 1, .udp_size = 512, .len = 40};
}

static const char *answered(struct dns_question q)
{
    struct view *v = bench_view(&b);
    world.view = v;
    (void)answer_make(&a, &world, &q);
    struct packet_options options = answer_options(&settings, &q, world.udp);
    packet_len = packet_write(&q, &a.message, &options, packet);
    view_unref(v);
    cr_assert_leq(packet_len, options.limit);
    return said_packet(packet, packet_len);
}

static const char *asked(const char *name, uint16_t type)
{
    return answered(question(name, type));
}

#define assert_said(name, type, want)                                                              \
    do {                                                                                           \
        const char *have_ = asked(name, type);                                                     \
        cr_assert_str_eq(have_, want, "%s %d\nhave:\n%s", name, type, have_);                      \
    } while (0)

#define SOA "^ consul. 0 SOA ns.consul. hostmaster.consul. 1700000000 3600 600 86400 0\n"

static void enrol_apis(void)
{
    enrol(&b, (struct enrol){.node = "db1",
                             .address = "10.1.1.1",
                             .meta = {"rack", "r1"},
                             .service = "api",
                             .id = "api1",
                             .tags = {"prod", "a.b"},
                             .port = 8080,
                             .passing = 7,
                             .warning = 2,
                             .status = CHECK_PASSING});
    enrol(&b, (struct enrol){.node = "db2",
                             .address = "10.1.1.2",
                             .service = "api",
                             .id = "api2",
                             .tags = {"Prod"},
                             .service_address = "10.9.9.9",
                             .port = 8081,
                             .passing = 7,
                             .warning = 2,
                             .status = CHECK_WARNING});
}

/* As the real Consul 1.8.7 answers the same registrations. */
Test(dns, services)
{
    enrol_apis();
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.1.1.1\n= api.service.consul. 0 A "
                "10.9.9.9\n");
    assert_said("prod.api.service.dc1.consul", DNS_TYPE_SRV,
                "NOERROR aa\n"
                "= prod.api.service.dc1.consul. 0 SRV 1 7 8080 db1.node.dc1.consul.\n"
                "= prod.api.service.dc1.consul. 0 SRV 1 2 8081 0a090909.addr.dc1.consul.\n"
                "+ db1.node.dc1.consul. 0 A 10.1.1.1\n"
                "+ db1.node.dc1.consul. 0 TXT \"rack=r1\"\n"
                "+ 0a090909.addr.dc1.consul. 0 A 10.9.9.9\n");
    assert_said("_api._a.consul", DNS_TYPE_SRV, "NXDOMAIN aa\n" SOA);
    assert_said("_api._tcp.consul", DNS_TYPE_SRV,
                "NOERROR aa\n"
                "= _api._tcp.consul. 0 SRV 1 7 8080 db1.node.dc1.consul.\n"
                "= _api._tcp.consul. 0 SRV 1 2 8081 0a090909.addr.dc1.consul.\n"
                "+ db1.node.dc1.consul. 0 A 10.1.1.1\n"
                "+ db1.node.dc1.consul. 0 TXT \"rack=r1\"\n"
                "+ 0a090909.addr.dc1.consul. 0 A 10.9.9.9\n");
    assert_said("a.b.api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= a.b.api.service.consul. 0 A 10.1.1.1\n");
    assert_said("api.service.consul", DNS_TYPE_AAAA, "NOERROR aa\n" SOA);
    assert_said("API.Service.Consul", DNS_TYPE_A,
                "NOERROR aa\n= API.Service.Consul. 0 A 10.1.1.1\n= API.Service.Consul. 0 A "
                "10.9.9.9\n");
    assert_said("nope.service.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("zz.api.service.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("api.service.dc9.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("foo.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("x.query.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("api.service.consul", DNS_TYPE_AXFR, "NOTIMPL aa\n");
    assert_said("example.com", DNS_TYPE_A, "REFUSED\n");
}

/* Who asks by the other domain is answered with names of that. */
Test(dns, the_other_domain)
{
    enrol_apis();
    assert_said("_api._tcp.herald.test", DNS_TYPE_SRV,
                "NOERROR aa\n"
                "= _api._tcp.herald.test. 0 SRV 1 7 8080 db1.node.dc1.herald.test.\n"
                "= _api._tcp.herald.test. 0 SRV 1 2 8081 0a090909.addr.dc1.herald.test.\n"
                "+ db1.node.dc1.herald.test. 0 A 10.1.1.1\n"
                "+ db1.node.dc1.herald.test. 0 TXT \"rack=r1\"\n"
                "+ 0a090909.addr.dc1.herald.test. 0 A 10.9.9.9\n");
}

/* Critical instances are left out, warning ones if so configured; a node that fails takes all its
 * services with it, and the kept list follows. */
Test(dns, health)
{
    enrol_apis();
    settings.only_passing = true;
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.1.1.1\n");
    settings.only_passing = false;
    enrol(&b, (struct enrol){.node = "db2",
                             .address = "10.1.1.2",
                             .service = "api",
                             .id = "api2",
                             .service_address = "10.9.9.9",
                             .status = CHECK_CRITICAL});
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.1.1.1\n");
    enrol(&b, (struct enrol){.node = "db1", .address = "10.1.1.1", .node_status = CHECK_CRITICAL});
    assert_said("api.service.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    enrol(&b, (struct enrol){.node = "db1", .address = "10.1.1.1", .node_status = CHECK_PASSING});
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.1.1.1\n");
    cr_assert_eq(bench_do(&b, (struct command){.type = COMMAND_DEREGISTER,
                                               .deregistration = {.node = S("db1")}}),
                 OK);
    assert_said("api.service.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    assert_said("db1.node.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
}

Test(dns, nodes)
{
    enrol(&b, (struct enrol){.node = "Db1",
                             .address = "10.1.1.1",
                             .meta = {"a=b`", "x", "rfc1035-y", "only this"}});
    enrol(&b, (struct enrol){.node = "v6", .address = "fd00::1"});
    enrol(&b, (struct enrol){.node = "far", .address = "some.host.example"});
    assert_said("db1.node.consul", DNS_TYPE_A,
                "NOERROR aa\n= db1.node.consul. 0 A 10.1.1.1\n"
                "+ db1.node.consul. 0 TXT \"a`=b``=x\"\n+ db1.node.consul. 0 TXT \"only this\"\n");
    assert_said("DB1.node.dc1.consul", DNS_TYPE_TXT,
                "NOERROR aa\n= DB1.node.dc1.consul. 0 TXT \"a`=b``=x\"\n"
                "= DB1.node.dc1.consul. 0 TXT \"only this\"\n");
    assert_said("v6.node.consul", DNS_TYPE_AAAA, "NOERROR aa\n= v6.node.consul. 0 AAAA fd00::1\n");
    assert_said("v6.node.consul", DNS_TYPE_A, "NOERROR aa\n" SOA);
    assert_said("v6.node.consul", DNS_TYPE_ANY, "NOERROR aa\n= v6.node.consul. 0 AAAA fd00::1\n");
    assert_said("far.node.consul", DNS_TYPE_A,
                "NOERROR aa\n= far.node.consul. 0 CNAME some.host.example.\n");
    cr_assert_eq(a.wanted.len, sizeof "some.host.example" + 1);
    assert_said("nope.node.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
    settings.node_meta_txt = false;
    settings.node_ttl = 9;
    assert_said("db1.node.consul", DNS_TYPE_A, "NOERROR aa\n= db1.node.consul. 9 A 10.1.1.1\n");
}

Test(dns, addresses_as_names)
{
    assert_said("0a090909.addr.consul", DNS_TYPE_A,
                "NOERROR aa\n= 0a090909.addr.consul. 0 A 10.9.9.9\n");
    assert_said("0a090909.addr.dc1.consul", DNS_TYPE_ANY,
                "NOERROR aa\n= 0a090909.addr.dc1.consul. 0 A 10.9.9.9\n");
    assert_said("0a090909.addr.consul", DNS_TYPE_AAAA, "NOERROR aa\n" SOA);
    assert_said("fd000000000000000000000000000001.addr.consul", DNS_TYPE_AAAA,
                "NOERROR aa\n= fd000000000000000000000000000001.addr.consul. 0 AAAA fd00::1\n");
    assert_said("zz.addr.consul", DNS_TYPE_A, "NXDOMAIN aa\n" SOA);
}

/* Nodes come before services; who has an address is known again after each change. */
Test(dns, pointers)
{
    assert_said("1.1.1.10.in-addr.arpa", DNS_TYPE_PTR, "REFUSED\n");
    enrol_apis();
    enrol(&b, (struct enrol){.node = "v6", .address = "fd00::1"});
    assert_said("1.1.1.10.in-addr.arpa", DNS_TYPE_PTR,
                "NOERROR aa\n= 1.1.1.10.in-addr.arpa. 0 PTR db1.node.dc1.consul.\n");
    assert_said("9.9.9.10.in-addr.arpa", DNS_TYPE_PTR,
                "NOERROR aa\n= 9.9.9.10.in-addr.arpa. 0 PTR api.service.dc1.consul.\n");
    assert_said("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                DNS_TYPE_PTR,
                "NOERROR aa\n"
                "= 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 0 "
                "PTR v6.node.dc1.consul.\n");
    assert_said("7.7.7.10.in-addr.arpa", DNS_TYPE_PTR, "REFUSED\n");
    enrol(&b, (struct enrol){.node = "db1", .address = "10.1.1.7"});
    assert_said("1.1.1.10.in-addr.arpa", DNS_TYPE_PTR, "REFUSED\n");
    assert_said("7.1.1.10.in-addr.arpa", DNS_TYPE_PTR,
                "NOERROR aa\n= 7.1.1.10.in-addr.arpa. 0 PTR db1.node.dc1.consul.\n");
}

Test(dns, servers)
{
    enrol(&b,
          (struct enrol){.node = "s1", .address = "10.0.0.1", .service = "consul", .port = 8300});
    assert_said("consul", DNS_TYPE_NS,
                "NOERROR aa\n= consul. 0 NS s1.node.dc1.consul.\n"
                "+ s1.node.dc1.consul. 0 A 10.0.0.1\n");
    assert_said("api.service.consul", DNS_TYPE_SOA,
                "NOERROR aa\n= consul. 0 SOA ns.consul. hostmaster.consul. 1700000000 3600 600 "
                "86400 0\n^ consul. 0 NS s1.node.dc1.consul.\n"
                "+ s1.node.dc1.consul. 0 A 10.0.0.1\n");
}

/* Addresses that are names: CNAME; what recursors know goes behind it; our own names are followed
 * here, and a circle ends. */
Test(dns, names_for_addresses)
{
    enrol(&b, (struct enrol){.node = "db1",
                             .address = "10.1.1.1",
                             .service = "ext",
                             .service_address = "www.example.com",
                             .port = 443});
    assert_said("ext.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= ext.service.consul. 0 CNAME www.example.com.\n");
    assert_said("ext.service.consul", DNS_TYPE_SRV,
                "NOERROR aa\n= ext.service.consul. 0 SRV 1 1 443 www.example.com.\n");
    struct dns_name target = name_of("www.example.com");
    struct dns_record known = {
        .owner = &target, .type = DNS_TYPE_A, .ttl = 60, .data = {"\x01\x02\x03\x04", 4}};
    struct dns_section section = {&known, 1};
    world.resolved = &section;
    world.resolved_name = &target;
    assert_said("ext.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= ext.service.consul. 0 CNAME www.example.com.\n"
                "= www.example.com. 60 A 1.2.3.4\n");
    enrol(&b, (struct enrol){.node = "db2",
                             .address = "10.1.1.2",
                             .service = "alias",
                             .service_address = "ext2.service.consul"});
    enrol(&b, (struct enrol){.node = "db2", .address = "10.1.1.2", .service = "ext2"});
    assert_said("alias.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= alias.service.consul. 0 CNAME ext2.service.consul.\n"
                "= ext2.service.consul. 0 A 10.1.1.2\n");
    enrol(&b, (struct enrol){.node = "x", .address = "y.node.consul"});
    enrol(&b, (struct enrol){.node = "y", .address = "x.node.consul"});
    assert_said("x.node.consul", DNS_TYPE_A,
                "NOERROR aa\n= x.node.consul. 0 CNAME y.node.consul.\n"
                "= y.node.consul. 0 CNAME x.node.consul.\n"
                "= x.node.consul. 0 CNAME y.node.consul.\n"
                "= y.node.consul. 0 CNAME x.node.consul.\n");
    enrol(&b, (struct enrol){.node = "z", .address = "z.node.consul"});
    assert_said("z.node.consul", DNS_TYPE_A, "NOERROR aa\n" SOA);
}

/* --- sizes ------------------------------------------------------------------------------------
 */

static void enrol_many(unsigned count)
{
    char node[32];
    char address[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(node, sizeof node, "node-%04u", i);
        snprintf(address, sizeof address, "10.2.%u.%u", i / 250, i % 250 + 1);
        enrol(&b, (struct enrol){.node = node,
                                 .address = address,
                                 .meta = {"zone", "eu-1"},
                                 .service = "many",
                                 .port = 80});
    }
}

static unsigned counted(const char *text, char sign)
{
    unsigned count = 0;
    for (const char *p = text; p != NULL; p = strchr(p + 1, '\n')) {
        count += p[0] == '\n' && p[1] == sign;
    }
    return count;
}

/* Without EDNS three answers; with it what it says, but no more than 4096; by TCP 64 KiB. TC only
 * where it is configured. What belongs to an answer that is left out is left out. */
Test(dns, answers_are_cut_to_size)
{
    enrol_many(60);
    const char *said = asked("many.service.consul", DNS_TYPE_A);
    cr_assert_eq(counted(said, '='), 3);
    cr_assert(knot_wire_get_tc(packet) == 0);
    settings.enable_truncate = true;
    (void)asked("many.service.consul", DNS_TYPE_A);
    cr_assert(knot_wire_get_tc(packet) != 0);
    settings.udp_answer_limit = 100;
    said = asked("many.service.consul", DNS_TYPE_SRV);
    unsigned answers = counted(said, '=');
    cr_assert_eq(counted(said, '+'), 2 * answers, "%s", said);
    cr_assert(answers > 3 && answers < 10, "%s", said);
    cr_assert(packet_len > 420);
    struct dns_question q = question("many.service.consul", DNS_TYPE_SRV);
    q.edns = true;
    q.udp_size = 1232;
    said = answered(q);
    cr_assert_eq(counted(said, '+'), 2 * counted(said, '=') + 1);
    cr_assert(packet_len <= 1232 && packet_len > 1100);
    q.udp_size = 65535;
    said = answered(q);
    cr_assert(packet_len <= DNS_UDP_MAX && packet_len > 3900, "%zu", packet_len);
    world.udp = false;
    said = answered(q);
    cr_assert_eq(counted(said, '='), 60);
    cr_assert(knot_wire_get_tc(packet) == 0);
}

/* More than 64 KiB of records: TCP gets what fits, whole. */
Test(dns, tcp_answers_end_at_64_kib)
{
    enrol_many(1200);
    world.udp = false;
    const char *said = asked("many.service.consul", DNS_TYPE_SRV);
    cr_assert(packet_len > 60000, "%zu", packet_len);
    cr_assert_eq(counted(said, '+'), 2 * counted(said, '='));
}

Test(dns, compression_can_be_off)
{
    enrol_apis();
    char with[2048];
    snprintf(with, sizeof with, "%s", asked("api.service.consul", DNS_TYPE_SRV));
    size_t short_len = packet_len;
    settings.disable_compression = true;
    cr_assert_str_eq(asked("api.service.consul", DNS_TYPE_SRV), with);
    cr_assert(packet_len > short_len + 60);
}

/* The dice choose who comes first; each instance comes once. */
Test(dns, the_order_is_by_dice)
{
    enrol_apis();
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.1.1.1\n= api.service.consul. 0 A "
                "10.9.9.9\n");
    dice = 1;
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.9.9.9\n= api.service.consul. 0 A "
                "10.1.1.1\n");
    settings.a_record_limit = 1;
    assert_said("api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= api.service.consul. 0 A 10.9.9.9\n");
}

/* An exact name, then the longest beginning. */
Test(dns, ttls)
{
    enrol_apis();
    char rules[3][8] = {"", "ap", "apis"};
    settings.ttl_rules[0] = (struct dns_ttl_rule){.name = rules[0], .prefix = true, .ttl = 5};
    settings.ttl_rules[1] = (struct dns_ttl_rule){.name = rules[1], .prefix = true, .ttl = 6};
    settings.ttl_rules[2] = (struct dns_ttl_rule){.name = rules[2], .prefix = false, .ttl = 7};
    settings.ttl_rule_count = 3;
    cr_assert_eq(settings_service_ttl(&settings, S("web")), 5);
    cr_assert_eq(settings_service_ttl(&settings, S("api")), 6);
    cr_assert_eq(settings_service_ttl(&settings, S("apis")), 7);
    assert_said("a.b.api.service.consul", DNS_TYPE_A,
                "NOERROR aa\n= a.b.api.service.consul. 6 A 10.1.1.1\n");
}

/* Node names that are no labels have no name to be found under, and harm nobody. */
Test(dns, names_that_are_no_labels)
{
    char longest[100];
    memset(longest, 'n', sizeof longest);
    longest[99] = '\0';
    enrol(&b, (struct enrol){.node = longest, .address = "10.3.0.1", .service = "odd", .port = 1});
    enrol(&b, (struct enrol){.node = "a..b", .address = "10.3.0.2", .service = "odd", .port = 2});
    enrol(&b, (struct enrol){.node = "sp ace", .address = "10.3.0.3", .service = "odd", .port = 3});
    const char *said = asked("odd.service.consul", DNS_TYPE_SRV);
    cr_assert_eq(counted(said, '='), 1, "%s", said);
    cr_assert(strstr(said, "sp\\032ace.node.dc1.consul.") != NULL, "%s", said);
    settings.udp_answer_limit = 9;
    cr_assert_eq(counted(asked("odd.service.consul", DNS_TYPE_A), '='), 3);
}
