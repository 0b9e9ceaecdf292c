/* What the KV commands mean (contracts/consul.md, section 4).
 *
 * Errors   a failed read of the state; the outcome for the client is `a->status`: OK or
 *          ERR_CONFLICT.
 * Threads  the hub's.
 */
#ifndef STORE_KV_H
#define STORE_KV_H

#include "store/apply.h"
#include "store/command.h"

/* Keeps CreateIndex and Session, resets Flags to what is given and LockIndex to 0. A write that
 * would change nothing but the index does nothing. */
enum err kv_set(struct apply *a, const struct command_kv_set *cmd) ERR_MUST_USE;
/* A missing key is deleted well, whatever the condition. */
enum err kv_delete(struct apply *a, const struct command_kv_delete *cmd) ERR_MUST_USE;
/* One change for all, a tombstone for each, one batch: about 5 us and 200 bytes + 2 keys of memory
 * per key, and the hub does nothing else meanwhile (a million keys: some 5 s). */
enum err kv_delete_prefix(struct apply *a, const struct command_kv_delete_prefix *cmd) ERR_MUST_USE;
/* Forgets deletions through an index: kv_reaped becomes the newest that was there. */
enum err kv_reap(struct apply *a, const struct command_tombstone_reap *cmd) ERR_MUST_USE;
/* Whether there is anything to reap. */
enum err kv_reapable(struct rocks *db,
                     const struct schema_meta *meta,
                     uint64_t through,
                     bool *ret_reapable,
                     struct reason *why) ERR_MUST_USE;

#endif
