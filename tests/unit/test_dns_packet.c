/* Packets: what is read, what is refused, and how much may be sent to whom. */
#include "core/dns/packet.h"
#include "core/dns/rate.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(dns_packet, .timeout = 30);

#define HEAD      "\0\x2a\1\0\0\1\0\0\0\0\0\0"
#define HEAD_OPT  "\0\x2a\1\0\0\1\0\0\0\0\0\1"
#define NAME      "\3www\7example\3com\0"
#define OPT(size) "\0\0\x29" size "\0\0\x80\0\0\0"

static struct dns_question q;
static enum dns_rcode rcode;

#define PARSE(literal) packet_parse(BYTES(literal), &q, &rcode)

/* Question, id, flags, EDNS. */
Test(dns_packet, a_question)
{
    cr_assert_eq(PARSE(HEAD NAME "\0\1\0\1"), PACKET_ANSWER);
    cr_assert(q.id == 42 && q.type == 1 && q.class == 1 && q.recurse && !q.edns);
    cr_assert_eq(q.udp_size, 512);
    cr_assert_eq(q.name.len, 17);
    cr_assert_eq(PARSE(HEAD_OPT NAME "\0\x21\0\1" OPT("\x10\0")), PACKET_ANSWER);
    cr_assert(q.edns && q.dnssec && q.udp_size == 4096 && q.type == 33);
    cr_assert_eq(PARSE(HEAD_OPT NAME "\0\x21\0\1" OPT("\0\x10")), PACKET_ANSWER);
    cr_assert_eq(q.udp_size, 512);
}

/* What is itself an answer, or no packet, is never replied to. */
Test(dns_packet, no_reply_to_answers)
{
    cr_assert_eq(PARSE(""), PACKET_DROP);
    cr_assert_eq(PARSE("\0\x2a\1\0\0\1\0\0\0\0\0"), PACKET_DROP);
    cr_assert_eq(PARSE("\0\x2a\x81\0\0\1\0\0\0\0\0\0" NAME "\0\1\0\1"), PACKET_DROP);
}

/* Pointers that loop, labels and names that are too long, counts that lie: FORMERR. */
Test(dns_packet, what_cannot_be_read)
{
    cr_assert_eq(PARSE(HEAD "\xc0\x0c\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE(HEAD "\3www\xc0\x0c\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE(HEAD "\x40" NAME), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE(HEAD NAME), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE(HEAD NAME "\0\1\0\1trailing"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE("\0\x2a\1\0\0\2\0\0\0\0\0\0" NAME "\0\1\0\1" NAME "\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE("\0\x2a\1\0\0\1\xff\xff\0\0\0\0" NAME "\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    cr_assert_eq(PARSE(HEAD_OPT NAME "\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
    char name[400] = HEAD;
    memset(name + 12, 63, 256);
    struct bytes whole = {name, 12 + 256 + 5};
    cr_assert_eq(packet_parse(whole, &q, &rcode), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_FORMERR);
}

Test(dns_packet, what_is_not_done)
{
    cr_assert_eq(PARSE("\0\x2a\x29\0\0\1\0\0\0\0\0\0" NAME "\0\1\0\1"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_NOTIMP);
    cr_assert_eq(PARSE(HEAD NAME "\0\1\0\3"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_REFUSED);
    cr_assert_eq(PARSE(HEAD_OPT NAME "\0\1\0\1\0\0\x29\x10\0\0\1\0\0\0\0"), PACKET_REPLY);
    cr_assert_eq(rcode, DNS_BADVERS);
    cr_assert_eq(q.name.len, 17);
}

/* An answer of others is believed only if id and question are ours, letter by letter. */
Test(dns_packet, answers_of_others)
{
    uint8_t ask[512];
    bool truncated = false;
    cr_assert_eq(PARSE(HEAD NAME "\0\1\0\1"), PACKET_ANSWER);
    size_t len = packet_ask(&q, ask);
    cr_assert_eq(len, 12 + 17 + 4);
    struct bytes packet = {(const char *)ask, len};
    cr_assert_not(packet_answers(packet, &q, &rcode, &truncated));
    ask[2] |= 0x80;
    cr_assert(packet_answers(packet, &q, &rcode, &truncated));
    ask[13] = 'W';
    cr_assert_not(packet_answers(packet, &q, &rcode, &truncated));
    ask[13] = 'w';
    ask[1]++;
    cr_assert_not(packet_answers(packet, &q, &rcode, &truncated));
    cr_assert_not(packet_answers((struct bytes){(const char *)ask, 12}, &q, &rcode, &truncated));
}

/* A compressed record is given in full; a pointer to itself is an error. */
Test(dns_packet, records_of_others)
{
    struct arena memory;
    struct dns_section s;
    arena_init(&memory, MIB(1));
    struct bytes good = BYTES("\0\x2a\x81\0\0\1\0\1\0\0\0\0" NAME "\0\5\0\1"
                              "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\6\3cdn\xc0\x10");
    cr_assert_eq(packet_records(good, &memory, &s), OK);
    cr_assert_eq(s.count, 1);
    cr_assert(s.records[0].type == DNS_TYPE_CNAME && s.records[0].ttl == 60);
    cr_assert(bytes_equal(s.records[0].data, BYTES("\3cdn\7example\3com\0")));
    struct bytes loop = BYTES("\0\x2a\x81\0\0\1\0\1\0\0\0\0" NAME "\0\5\0\1"
                              "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x2d");
    cr_assert_neq(packet_records(loop, &memory, &s), OK);
    arena_close(&memory);
}

/* --- the rate limit ---------------------------------------------------------------------------
 */

static unsigned sent(struct rate *r, const char *from, unsigned tries, size_t len, uint64_t now)
{
    struct dns_ip ip = dns_ip_of(bytes_of(from));
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++) {
        count += rate_take(r, &ip, 100, now, 40, len) == RATE_SEND;
    }
    return count;
}

/* One network gets what the rate allows, whatever host of it asks; another, and loopback, are not
 * touched by it; a second later it is full again. */
Test(dns_packet, networks_are_limited)
{
    struct rate *r = rate_new(1);
    cr_assert_eq(sent(r, "192.0.2.1", 90, 100, 1000), 90);
    cr_assert_eq(sent(r, "192.0.2.200", 90, 100, 1000), 10);
    cr_assert_eq(sent(r, "192.0.3.1", 90, 100, 1000), 90);
    cr_assert_eq(sent(r, "127.0.0.1", 1000, 100, 1000), 1000);
    cr_assert_eq(sent(r, "2001:db8::1", 90, 100, 1000), 90);
    cr_assert_eq(sent(r, "2001:db8:0:ff::1", 90, 100, 1000), 10);
    cr_assert_eq(sent(r, "192.0.2.1", 90, 100, 1500), 50);
    cr_assert_eq(sent(r, "192.0.2.1", 200, 100, 9000), 100);
    rate_free(r);
}

/* An answer that is long for its question costs more, so that what goes out is never more than
 * thrice what the rate of questions could bring in. */
Test(dns_packet, long_answers_cost_more)
{
    struct rate *r = rate_new(1);
    cr_assert_eq(sent(r, "192.0.2.1", 1000, 1200, 1000), 10);
    struct dns_ip ip = dns_ip_of(BYTES("192.0.2.1"));
    cr_assert_eq(rate_take(r, &ip, 0, 1000, 40, 4000), RATE_SEND);
    enum rate_verdict a = rate_take(r, &ip, 100, 1000, 40, 4000);
    enum rate_verdict b = rate_take(r, &ip, 100, 1000, 40, 4000);
    cr_assert((a == RATE_SLIP) != (b == RATE_SLIP));
    cr_assert(a != RATE_SEND && b != RATE_SEND);
    rate_free(r);
}
