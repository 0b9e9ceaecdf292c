/* Packets of DNS: questions read, answers written. The only file that knows libknot.
 *
 * Promise  any bytes as a packet are parsed or refused; no pointer is followed twice, no name is
 *          longer than DNS_NAME_MAX.
 * Owner    a question is a value; a message borrows everything its records point to.
 * Limits   an answer is never longer than the caller's limit: answers at the end are left out, with
 *          what belongs to them in the additional section.
 * Errors   ERR_INVALID.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_DNS_PACKET_H
#define CORE_DNS_PACKET_H

#include "core/base/arena.h"
#include "core/dns/name.h"

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* RFC 6891, 6.1.3 */
};

struct dns_question {
    struct dns_name name; /* as it was written */
    uint16_t id;
    uint16_t type;
    uint16_t class;
    uint16_t udp_size; /* of its EDNS, at least DNS_UDP_PLAIN_MAX; that much without EDNS */
    uint16_t len;      /* of its packet */
    bool recurse;      /* RD */
    bool edns;
    bool dnssec; /* DO */
};

/* What is to be done with a packet that came to our port. */
enum packet_verdict {
    PACKET_DROP,   /* shorter than a header, or itself an answer: any reply could loop */
    PACKET_REPLY,  /* only the code: what cannot be read, or is no query */
    PACKET_ANSWER, /* `ret_question` is whole */
};

/* `ret_question->id` is set for REPLY too, its name only if it could be read (else its length is
 * 0). */
enum packet_verdict
packet_parse(struct bytes packet, struct dns_question *ret_question, enum dns_rcode *ret_rcode);

struct dns_record {
    const struct dns_name *owner; /* NULL: the question's name */
    uint16_t type;
    uint16_t of; /* additional: the answer that it belongs to; left out with it */
    uint32_t ttl;
    struct bytes data; /* names in it in full; at most UINT16_MAX bytes */
    uint16_t at;       /* private: where the name in it was written, or 0 */
};

struct dns_section {
    struct dns_record *records;
    size_t count;
};

struct dns_message {
    enum dns_rcode rcode;
    bool authoritative;
    bool recursion; /* RA */
    bool truncated; /* TC whether or not anything is left out */
    struct dns_section answer;
    struct dns_section authority;
    struct dns_section additional;
};

struct packet_options {
    size_t limit; /* of the packet, at least DNS_UDP_PLAIN_MAX */
    bool plain;   /* names are not compressed */
    bool mark;    /* TC if answers are left out */
};

/* The answer into `out`, which has room for `options->limit` bytes; its length. */
size_t packet_write(const struct dns_question *q,
                    struct dns_message *m,
                    const struct packet_options *options,
                    uint8_t *out);

/* A question to somebody else; its length, at most DNS_UDP_PLAIN_MAX. */
size_t packet_ask(const struct dns_question *q, uint8_t *out);
/* Whether `packet` answers `q`: its id and its question. `ret_truncated`: TC. */
bool packet_answers(struct bytes packet,
                    const struct dns_question *q,
                    enum dns_rcode *ret_rcode,
                    bool *ret_truncated);
/* The records of its answer section, into the arena. */
enum err packet_records(struct bytes packet,
                        struct arena *memory,
                        struct dns_section *ret_section) ERR_MUST_USE;
/* The same packet under another id. */
void packet_set_id(uint8_t *packet, uint16_t id);
/* The same packet with RA or without. */
void packet_set_recursion(uint8_t *packet, bool available);

#endif
