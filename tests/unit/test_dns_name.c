/* What names ask for, and how names are put together. */
#include "core/dns/name.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct dns_zone zone;

static struct dns_name name_of(const char *text)
{
    struct dns_name n;
    cr_assert_eq(name_from_text(&n, bytes_of(text)), OK, "%s", text);
    return n;
}

static void setup(void)
{
    zone = (struct dns_zone){
        .domain = name_of("consul."),
        .alt_domain = name_of("herald.test"),
        .datacenter = BYTES("dc1"),
    };
}

TestSuite(dns_name, .init = setup, .timeout = 30);

/* `kind name/tag`, or the address. */
static const char *parsed(const char *text, bool srv)
{
    static const char *const kinds[] = {"outside", "none",  "service", "node",
                                        "addr",    "query", "ptr"};
    static char out[600];
    char hex[DNS_IP_HEX_MAX];
    struct dns_ask ask;
    struct dns_name name = name_of(text);
    name_parse(&zone, &name, srv, &ask);
    struct bytes ip = dns_ip_hex(&ask.ip, hex);
    switch (ask.kind) {
    case DNS_SERVICE:
    case DNS_NODE:
    case DNS_QUERY:
        snprintf(out, sizeof out, "%s %.*s%s%.*s", kinds[ask.kind], BYTES_FORMAT(ask.name),
                 ask.tag.len > 0 ? "/" : "", BYTES_FORMAT(ask.tag));
        break;
    case DNS_ADDR:
    case DNS_PTR:
        snprintf(out, sizeof out, "%s %.*s", kinds[ask.kind], BYTES_FORMAT(ip));
        break;
    case DNS_OUTSIDE:
    case DNS_NONE:
        snprintf(out, sizeof out, "%s", kinds[ask.kind]);
        break;
    }
    return out;
}

/* The names of contracts/agent.md, section 4, one after the other. */
Test(dns_name, the_kinds_of_names)
{
    static const struct {
        const char *name;
        const char *want;
        bool srv;
    } rows[] = {
        {"api.service.consul", "service api", false},
        {"API.Service.CONSUL.", "service api", false},
        {"prod.api.service.consul", "service api/prod", false},
        {"a.b.api.service.consul", "service api/a.b", false},
        {"api.service.dc1.consul", "service api", false},
        {"api.service.DC1.consul", "service api", false},
        {"api.service.dc9.consul", "none", false},
        {"api.service.dc1.x.consul", "none", false},
        {"_api._prod.service.consul", "service api/prod", true},
        {"_api._tcp.service.consul", "service api", true},
        {"_api._udp.service.consul", "service api", false},
        {"_api._tcp.consul", "service api", true},
        {"_api._tcp.dc1.consul", "service api", true},
        {"_api._tcp.consul", "none", false},
        {"_.x.service.consul", "service x/_", false},
        {"_._tcp.service.consul", "none", true},
        {"service.consul", "none", false},
        {"consul", "none", false},
        {"foo.consul", "none", false},
        {"web.node.consul", "node web", false},
        {"web.example.node.dc1.consul", "node web.example", false},
        {"node.consul", "none", false},
        {"0a090909.addr.consul", "addr 0a090909", false},
        {"0A090909.addr.dc1.consul", "addr 0a090909", false},
        {"fd000000000000000000000000000001.addr.consul", "addr fd000000000000000000000000000001",
         false},
        {"0a09.addr.consul", "none", false},
        {"0a09090g.addr.consul", "none", false},
        {"x.0a090909.addr.consul", "none", false},
        {"geo.query.consul", "query geo", false},
        {"api.connect.consul", "none", false},
        {"api.service.herald.test", "service api", false},
        {"api.service.test", "outside", false},
        {"notconsul", "outside", false},
        {"api.service.notconsul", "outside", false},
        {"example.com", "outside", false},
        {"1.1.1.10.in-addr.arpa", "ptr 0a010101", false},
        {"256.1.1.10.in-addr.arpa", "outside", false},
        {"1.1.10.in-addr.arpa", "outside", false},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
         "ptr fd000000000000000000000000000001", false},
        {"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "outside",
         false},
        {"arpa", "outside", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_str_eq(parsed(rows[i].name, rows[i].srv), rows[i].want, "%s: %s", rows[i].name,
                         parsed(rows[i].name, rows[i].srv));
    }
}

/* The end of a name must begin where a label does: a label that only ends in `consul` does not. */
Test(dns_name, domains_are_whole_labels)
{
    struct dns_name inner = {.len = 13,
                             .wire = "\x0b"
                                     "x\6consul.abc"};
    struct dns_ask ask;
    inner.wire[12] = 0;
    name_parse(&zone, &inner, false, &ask);
    cr_assert_eq(ask.kind, DNS_OUTSIDE);
}

/* 63 bytes fit a label and 255 a name; one more is refused. */
Test(dns_name, lengths)
{
    char text[400];
    struct dns_name n;
    memset(text, 'a', sizeof text);
    cr_assert_eq(name_from_text(&n, (struct bytes){text, 63}), OK);
    cr_assert_eq(n.len, 65);
    cr_assert_eq(name_from_text(&n, (struct bytes){text, 64}), ERR_INVALID);
    for (size_t i = 49; i < sizeof text; i += 50) {
        text[i] = '.';
    }
    cr_assert_eq(name_from_text(&n, (struct bytes){text, 253}), OK);
    cr_assert_eq(n.len, 255);
    cr_assert_eq(name_from_text(&n, (struct bytes){text, 254}), ERR_INVALID);
    cr_assert_eq(name_from_text(&n, BYTES("")), ERR_INVALID);
    cr_assert_eq(name_from_text(&n, BYTES("a..b")), ERR_INVALID);
    cr_assert_eq(name_from_text(&n, BYTES(".a")), ERR_INVALID);
    cr_assert_eq(name_from_text(&n, BYTES(".")), OK);
    cr_assert_eq(n.len, 1);
}

/* Addresses as text, and what only looks like one. */
Test(dns_name, addresses)
{
    cr_assert_eq(dns_ip_of(BYTES("10.0.0.1")).len, 4);
    cr_assert_eq(dns_ip_of(BYTES("fd00::1")).len, 16);
    cr_assert_eq(dns_ip_of(BYTES("::ffff:10.0.0.1")).len, 4);
    cr_assert_eq(dns_ip_of(BYTES("10.0.0")).len, 0);
    cr_assert_eq(dns_ip_of(BYTES("www.example.com")).len, 0);
    cr_assert_eq(dns_ip_of(BYTES("10.0.0.1\0")).len, 0);
    cr_assert_eq(dns_ip_of(BYTES("")).len, 0);
}
