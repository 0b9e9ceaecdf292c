/* Who is in the cluster: founding it, what gossip would say, and orders that change the set of
 * servers while it is under fire.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

struct server;

struct cluster {
    unsigned founders; /* servers 1..founders */
    unsigned spares;   /* servers behind them that may be added */
    bool changes;      /* orders are given at all */
    uint64_t gap_us;   /* between two orders, about */
    bool calm;         /* nothing else happens: a hand-over must be quick */
    uint64_t carried_out;
};

extern struct cluster cluster;

void cluster_open(unsigned founders, unsigned spares, bool changes, uint64_t gap_us);
/* No further orders. */
void cluster_stop(void);
/* Who belongs to it, as the leader says: orders whose end is not known are carried out, or not. */
void cluster_learn(void);
/* The server serves again: gossip tells it of all others, and all others of it. */
void cluster_on_serving(struct server *s);

#endif
