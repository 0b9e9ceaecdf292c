/* What the KV commands mean (contracts/consul.md, section 4).
 *
 * Fencing  whoever was given a lock and slept may believe in it long after another holds it. A
 *          store that is written under a lock is safe if it takes writes only with a token that is
 *          not below the highest it has seen. The token is the Raft index at which the lock was
 *          taken (`X-Herald-Fence` of the answer): every later holder's is greater, whatever
 *          happens to the row in between. A client that knows only Consul's API reads the key once
 *          it has the lock, finds its own session there, and takes ModifyIndex: that keeps the same
 *          order. LockIndex alone does not: a plain write sets it to 0, a deletion forgets it.
 *          What is written to Herald itself needs no token: a transaction with check-session in
 *          front of its writes does nothing once the lock is lost.
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
/* The same, and the key is deleted `ttl_ms` after this write (expire.h) unless it is written again:
 * with a TTL for longer, without one for ever. Written anew as it is, it lives anew and that is no
 * change. */
enum err kv_set_ttl(struct apply *a, const struct command_kv_set_ttl *cmd) ERR_MUST_USE;
/* Takes the lock for a session, or gives it back; either writes value and flags, and takes a TTL
 * away. LockIndex counts how often the lock was taken: the holder may take it again, which counts
 * for nothing. ERR_CONFLICT: another holds it (or, of a release, not this session does), no
 * detail; or with KV_LOCK_DELAYED; or with a sentence: there is no such session. */
enum err kv_lock(struct apply *a, const struct command_kv_lock *cmd) ERR_MUST_USE;
#define KV_LOCK_DELAYED "lock delay"
/* The session that held the key is over: released or deleted, as it says. */
struct session_row;
enum err
kv_let_go(struct apply *a, struct bytes key, const struct session_row *session) ERR_MUST_USE;
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
