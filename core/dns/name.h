/* Names of DNS: what a question asks of us, read from its name alone, and names put together.
 *
 * Form     wire form throughout: labels behind their lengths, the root last (RFC 1035, 3.1).
 * Units    lengths are bytes and count the root.
 * Owner    a `struct dns_name` is a value; what name_parse() finds borrows from `ret_ask->text`.
 * Limits   DNS_NAME_MAX, DNS_LABEL_MAX: ERR_INVALID past them.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_DNS_NAME_H
#define CORE_DNS_NAME_H

#include "core/base/limit.h"

#include "core/base/buf.h"

struct dns_name {
    uint8_t len;
    uint8_t wire[DNS_NAME_MAX];
};

/* Where we are asked: names end in `domain` or `alt_domain` (of length 1: there is none). */
struct dns_zone {
    struct dns_name domain; /* both in lower case */
    struct dns_name alt_domain;
    struct bytes datacenter; /* in lower case */
};

/* An address; `len` is 4, 16, or 0: none. */
struct dns_ip {
    uint8_t len;
    uint8_t raw[16];
};

enum dns_kind {
    DNS_OUTSIDE, /* none of our names */
    DNS_NONE,    /* of our domain, but there never is such a name */
    DNS_SERVICE,
    DNS_NODE,
    DNS_ADDR,
    DNS_QUERY,
    DNS_PTR, /* of arpa., with an address that can be read */
};

struct dns_ask {
    enum dns_kind kind;
    const struct dns_name *domain; /* the one that was named; of the zone */
    struct bytes name;             /* service, node or query, in lower case */
    struct bytes tag;              /* empty: any */
    struct dns_ip ip;              /* ADDR, PTR */
    /* private */
    char text[DNS_NAME_MAX];
};

/* `srv`: the question is for SRV, where `service` may be left out behind `_name._tag`. */
void name_parse(const struct dns_zone *zone,
                const struct dns_name *name,
                bool srv,
                struct dns_ask *ret_ask);

/* From dotted text, with or without a dot at the end; no escapes. */
enum err name_from_text(struct dns_name *ret_name, struct bytes text) ERR_MUST_USE;
/* The same in front of `behind`. */
enum err name_prepend(struct dns_name *ret_name,
                      struct bytes text,
                      const struct dns_name *behind) ERR_MUST_USE;
void name_lower(struct dns_name *name);
bool name_equal_nocase(const struct dns_name *a, const struct dns_name *b);
bool name_under(const struct dns_name *name, const struct dns_name *domain);

/* A literal address; `len` 0 if it is none. */
struct dns_ip dns_ip_of(struct bytes text);
/* As eight or 32 hexadecimal digits. */
#define DNS_IP_HEX_MAX 32
struct bytes dns_ip_hex(const struct dns_ip *ip, char scratch[DNS_IP_HEX_MAX]);

#endif
