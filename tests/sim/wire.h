/* The simulated network under store/replica/transport.h: connections that delay, stall and break,
 * links that are cut in one direction or both.
 *
 *     send --> queue of the connection --> (delay, cut?) --> the receiver's loop
 *
 * Ordered    as the transport promises: in order, or the connection breaks and what was under way
 *            is lost.
 * Unordered  each message by itself: lost, twice, late, overtaken. More than the promise allows:
 *            the core of Raft must survive it.
 * Threads    none.
 */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "tests/sim/world.h"

struct wire {
    bool unordered;
    uint64_t delay_min_us;
    uint64_t delay_max_us;
    uint64_t loss_ppm;   /* unordered: of messages; ordered: connections that break at one */
    uint64_t repeat_ppm; /* unordered only */
    bool cut[PROCESS_MAX][PROCESS_MAX];         /* [from][to] */
    uint64_t slow_us[PROCESS_MAX][PROCESS_MAX]; /* besides the delay, at most */
    uint64_t sent;
    uint64_t lost;
};

extern struct wire wire;

void wire_open(void);
void wire_close(void);
void wire_heal(void);
/* The process is no more: whoever spoke to it hears of it, unless the way is cut. */
void wire_on_death(struct process *p);
/* Breaks every connection between the two. */
void wire_reset(unsigned a, unsigned b);

#endif
