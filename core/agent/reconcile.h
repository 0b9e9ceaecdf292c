/* What only the leader does about the catalog: it makes what gossip says of the nodes the rows of
 * the catalog. Who lives is registered, with its id, its address and the check `serfHealth`, and as
 * service `consul` when it is a server; who fails is critical; who left or was reaped goes. What a
 * node says of itself beyond that (agents' anti-entropy) is left as it is, and so are nodes without
 * `serfHealth`: those are others' registrations. An agent that does not gossip is its only member.
 *
 * Life     reconcile_open() -> reconcile_look() whenever gossip or the store has changed ->
 *          reconcile_close() while the store still runs -> the store is closed and what it had for
 *          the loop is taken -> reconcile_free().
 * Threads  the main loop's.
 */
#ifndef CORE_AGENT_RECONCILE_H
#define CORE_AGENT_RECONCILE_H

#include "core/gossip/gossip.h"
#include "store/store.h"

struct members;
struct reconcile;

struct reconcile *reconcile_open(struct members *m);
/* NULL is allowed, as below. */
void reconcile_close(struct reconcile *r);
void reconcile_free(struct reconcile *r);
void reconcile_look(struct reconcile *r);

/* --- pure parts, for reconcile.c and its tests ------------------------------------------------ */

/* The command, encoded, that brings the catalog in line with this member; ERR_NOT_FOUND: it is.
 * `out` is cleared first. Whoever is itself does not go. */
enum err reconcile_member(struct view *v,
                          const struct gossip_member *g,
                          uint64_t time_ms,
                          struct buf *out) ERR_MUST_USE;
/* The same for the first node that has `serfHealth` and is no member (`is_member` says so). */
enum err reconcile_reaped(struct view *v,
                          bool (*is_member)(void *ctx, struct bytes name),
                          void *ctx,
                          uint64_t time_ms,
                          struct buf *out) ERR_MUST_USE;

#endif
