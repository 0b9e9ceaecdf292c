/* What a server's answer is worth to the client agent that handed it a question. */
#include "core/dns/packet.h"
#include "core/dns/relay.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(dns_relay, .timeout = 30);

#define QUESTION "\3api\7service\6consul\0\0\1\0\1"
#define ASKED    "\0\x2a\1\0\0\1\0\0\0\0\0\0" QUESTION

static struct dns_question q;
static uint8_t packet[DNS_TCP_MAX];

/* The question answered with a code alone. */
static struct bytes answered(enum dns_rcode rcode)
{
    struct dns_message m = {.rcode = rcode};
    struct packet_options options = {.limit = DNS_UDP_PLAIN_MAX};
    enum dns_rcode parsed = DNS_NOERROR;
    cr_assert_eq(packet_parse(BYTES(ASKED), &q, &parsed), PACKET_ANSWER);
    return (struct bytes){(const char *)packet, packet_write(&q, &m, &options, packet)};
}

/* The code says who has the last word; what does not exist is an answer too. */
Test(dns_relay, answers)
{
    bool nxdomain = true;
    cr_assert_eq(relay_judge(answered(DNS_NOERROR), &q, 512, &nxdomain), RELAY_GOOD);
    cr_assert_not(nxdomain);
    cr_assert_eq(relay_judge(answered(DNS_NXDOMAIN), &q, 512, &nxdomain), RELAY_GOOD);
    cr_assert(nxdomain);
    cr_assert_eq(relay_judge(answered(DNS_SERVFAIL), &q, 512, &nxdomain), RELAY_GOOD);
    cr_assert_eq(relay_judge(answered(DNS_REFUSED), &q, 512, &nxdomain), RELAY_REFUSED);
}

/* Nothing, pieces, the question itself, another's answer, more than may be sent on. */
Test(dns_relay, what_is_no_answer)
{
    bool nxdomain = false;
    struct bytes a = answered(DNS_NOERROR);
    for (size_t len = 0; len < a.len; len++) {
        cr_assert_eq(relay_judge((struct bytes){a.ptr, len}, &q, 512, &nxdomain), RELAY_BAD);
    }
    cr_assert_eq(relay_judge(a, &q, a.len, &nxdomain), RELAY_GOOD);
    cr_assert_eq(relay_judge(a, &q, a.len - 1, &nxdomain), RELAY_BAD);
    cr_assert_eq(relay_judge(BYTES(ASKED), &q, 512, &nxdomain), RELAY_BAD);
    packet_set_id(packet, 43);
    cr_assert_eq(relay_judge(a, &q, 512, &nxdomain), RELAY_BAD);
    packet_set_id(packet, 42);
    packet[13] ^= 1;
    cr_assert_eq(relay_judge(a, &q, 512, &nxdomain), RELAY_BAD);
}

/* RA is about the recursors of the agent that was asked; nothing else changes. */
Test(dns_relay, recursion_is_the_agents)
{
    struct bytes a = answered(DNS_NXDOMAIN);
    uint8_t before[DNS_UDP_PLAIN_MAX];
    memcpy(before, packet, a.len);
    cr_assert_eq(packet[3] & 0x80, 0);
    packet_set_recursion(packet, true);
    cr_assert_eq(packet[3] & 0x80, 0x80);
    packet_set_recursion(packet, true);
    packet_set_recursion(packet, false);
    cr_assert_arr_eq(packet, before, a.len);
}
