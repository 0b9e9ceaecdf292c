/* What only the leader does about the servers (Consul's name for it is autopilot): a server that
 * gossips and is not part of the cluster is added, first without a vote; one that has kept up for a
 * while votes; one whose address changed is given the new one; one that left goes at once, and one
 * that died goes when as many live as the cluster is meant to have. One change at a time.
 *
 * Life     lead_open() -> lead_look() whenever something changed -> lead_close() while the store
 *          still runs.
 * Threads  the main loop's.
 */
#ifndef CORE_AGENT_LEAD_H
#define CORE_AGENT_LEAD_H

#include "store/store.h"

struct members;
struct lead;

struct lead *lead_open(struct members *m);
/* The store's answer to an order may still come: it is taken as long as the loop is drained before
 * lead_free(). */
void lead_close(struct lead *l);
/* NULL is allowed. */
void lead_free(struct lead *l);
/* Gossip or the store has changed. NULL is allowed. */
void lead_look(struct lead *l);

#endif
