#include "core/dns/rate.h"

#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NETWORK_V4    3U /* bytes of a /24 */
#define NETWORK_V6    7U /* of a /56 */
#define FREE_FACTOR   3U
#define MS_PER_SECOND 1000U

/* A bucket of at most one second's tokens. */
struct slot {
    uint64_t network;
    uint64_t filled_ms;
    uint64_t millitokens;
    uint32_t refused;
};

struct rate {
    uint64_t seed;
    struct slot slots[DNS_RATE_SLOTS];
};

struct rate *rate_new(uint64_t seed)
{
    struct rate *r = mem_zalloc(1, sizeof *r);
    r->seed = seed;
    return r;
}

void rate_free(struct rate *r)
{
    free(r);
}

static bool ip_is_loopback(const struct dns_ip *ip)
{
    static const uint8_t six[16] = {[15] = 1};
    return ip->len == 4 ? ip->raw[0] == 127 : memcmp(ip->raw, six, sizeof six) == 0;
}

/* Which networks share a slot is not to be known outside. */
static uint64_t network_of(const struct rate *r, const struct dns_ip *ip)
{
    char key[sizeof r->seed + NETWORK_V6 + 1];
    size_t len = ip->len == 4 ? NETWORK_V4 : NETWORK_V6;
    memcpy(key, &r->seed, sizeof r->seed);
    key[sizeof r->seed] = (char)ip->len;
    memcpy(key + sizeof r->seed + 1, ip->raw, len);
    uint64_t hash = bytes_hash((struct bytes){key, sizeof r->seed + 1 + len});
    return hash == 0 ? 1 : hash;
}

static void slot_fill(struct slot *s, uint64_t network, uint64_t per_s, uint64_t now_ms)
{
    uint64_t full = per_s * MS_PER_SECOND;
    if (s->network != network) {
        *s = (struct slot){.network = network, .filled_ms = now_ms, .millitokens = full};
    }
    uint64_t passed = now_ms - s->filled_ms;
    uint64_t more = passed >= MS_PER_SECOND ? full : passed * per_s;
    s->millitokens = s->millitokens + more > full ? full : s->millitokens + more;
    s->filled_ms = now_ms;
}

enum rate_verdict rate_take(struct rate *r,
                            const struct dns_ip *from,
                            uint64_t per_s,
                            uint64_t now_ms,
                            size_t question_len,
                            size_t answer_len)
{
    if (per_s == 0 || ip_is_loopback(from)) {
        return RATE_SEND;
    }
    uint64_t network = network_of(r, from);
    struct slot *s = &r->slots[network % DNS_RATE_SLOTS];
    slot_fill(s, network, per_s, now_ms);
    size_t unit = FREE_FACTOR * (question_len == 0 ? 1 : question_len);
    uint64_t cost = (answer_len + unit - 1) / unit;
    cost = (cost == 0 ? 1 : cost) * MS_PER_SECOND;
    /* The largest answer can be had at any rate, once the bucket is full. */
    if (s->millitokens >= cost || s->millitokens == per_s * MS_PER_SECOND) {
        s->millitokens -= cost < s->millitokens ? cost : s->millitokens;
        return RATE_SEND;
    }
    s->refused++;
    return s->refused % DNS_RATE_SLIP == 0 ? RATE_SLIP : RATE_DROP;
}
