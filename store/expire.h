/* What expires: a session with a TTL, a key with a TTL, a lock delay. The state says how long each
 * lives and which index set or renewed it last; the leader's clocks (core/agent/expire.h) say when
 * that time is over, and propose COMMAND_EXPIRE, which does nothing if it was renewed meanwhile.
 * So no command ever looks at a clock, and a jumping one ends nothing early.
 *
 * Wakes    each row that comes, is renewed or goes is told among the `moved` names of the batch
 *          (change.h): FLEET_INDEX_EXPIRY, the kind as a digit, the name.
 * Errors   a failed read of the state; the outcome for the client is `a->status`.
 * Threads  the hub's.
 */
#ifndef STORE_EXPIRE_H
#define STORE_EXPIRE_H

#include "store/apply.h"
#include "store/fleet.h"

/* From now on `name` ends `after_ms` after this command unless it is set anew. */
void expiry_set(struct apply *a, enum expiry_kind kind, struct bytes name, uint64_t after_ms);
/* It does not end by itself any more. */
void expiry_forget(struct apply *a, enum expiry_kind kind, struct bytes name);
/* ERR_NOT_FOUND. `ret_expiry` borrows `name`. */
enum err expiry_get(struct apply *a,
                    enum expiry_kind kind,
                    struct bytes name,
                    struct expiry *ret_expiry) ERR_MUST_USE;

/* ERR_CONFLICT: it is gone, or was renewed. */
enum err expire(struct apply *a, const struct command_expire *cmd) ERR_MUST_USE;

#endif
