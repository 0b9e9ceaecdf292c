/* Response rate limit: how many answers go to one network (a /24, a /56), so that nobody can make
 * us flood it with answers to questions it never asked. Who is over the limit gets nothing, and now
 * and then an empty answer that sends him to TCP, where no address can be forged.
 *
 * Units    tokens: an answer costs one for each threefold of its question that it is long.
 * Limits   DNS_RATE_SLOTS networks at one time; two may share a slot, and then the limit.
 * Threads  a limiter belongs to one thread.
 */
#ifndef CORE_DNS_RATE_H
#define CORE_DNS_RATE_H

#include "core/dns/name.h"

struct rate;

enum rate_verdict {
    RATE_SEND,
    RATE_SLIP, /* send it empty, with TC */
    RATE_DROP,
};

struct rate *rate_new(uint64_t seed);
void rate_free(struct rate *r);
/* `per_s` 0 and loopback addresses are never limited. */
enum rate_verdict rate_take(struct rate *r,
                            const struct dns_ip *from,
                            uint64_t per_s,
                            uint64_t now_ms,
                            size_t question_len,
                            size_t answer_len);

#endif
