/* The guards: what keeps libraft 0.22.1's known faults away from us. Each is a pure function on a
 * message or a number; engine.c calls them around raft_step(). Each names the fault it masks.
 *
 * The switches exist for the simulator alone, which must convict the engine with each guard off.
 *
 * Threads  any.
 */
#ifndef STORE_REPLICA_GUARD_H
#define STORE_REPLICA_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct raft_append_entries;
struct raft_append_entries_result;
struct raft_request_vote_result;

struct guards {
    bool compacted; /* G1 */
    bool change;    /* G2 */
    bool rejection; /* G3 */
    bool old_term;  /* G4 */
    bool sole;      /* G5 */
    bool pre_vote;  /* G6 */
    bool deadline;  /* G7 */
    bool handover;  /* G8 */
};

/* All on, except the one that the simulator has switched off (store/seeded.h). */
struct guards guards_on(void);

/* G1. An AppendEntries with prev_log_index 0 skips the library's match check: a follower that has
 * compacted entry 1 would re-append old entries at its tail, over applied ones. Drops from the
 * message what the local snapshot covers; if nothing is left, it asks for the snapshot's own index
 * and term. Returns how many entries were dropped; if that is all of them, their payload is the
 * caller's to free. */
unsigned guard_compacted(const struct guards *on,
                         struct raft_append_entries *m,
                         uint64_t snapshot_index,
                         uint64_t snapshot_term);

/* G2. The library records an uncommitted configuration at the first index of its batch, so that it
 * is neither confirmed nor rolled back. Splits a received batch: returns how many entries from
 * `from` on make one step, such that each configuration entry begins a step of its own. */
unsigned guard_change(const struct guards *on, const struct raft_append_entries *m, unsigned from);

/* G3. A rejection that was delayed on its way, of an index that the follower has since
 * acknowledged, drives next_index below match, the in-flight count underflows and the follower is
 * stuck. Makes it harmless. `match` is what the follower has acknowledged. */
void guard_rejection(const struct guards *on, struct raft_append_entries_result *m, uint64_t match);

/* G4. A reply to a message of an older term carries an uninitialised last_log_index, which a newer
 * leader may count: a false commit. `received_term` is that of the message that is answered. */
void guard_old_term(const struct guards *on,
                    struct raft_append_entries_result *reply,
                    uint64_t received_term,
                    uint64_t current_term);

/* G5. A sole voter never raises its term, so after a crash there may be two histories at one index
 * and term. It starts at this term instead, having voted for itself. */
uint64_t guard_sole_term(const struct guards *on, uint64_t persisted_term);
/* ... and a cluster never shrinks from two voters to one. */
bool guard_sole_allowed(const struct guards *on, unsigned voters_before, unsigned voters_after);

/* G6. A denied pre-vote hides a newer term: two of three connected servers may never elect a
 * leader. */
void guard_pre_vote(const struct guards *on,
                    struct raft_request_vote_result *reply,
                    uint64_t current_term);

/* G7. After catching up a spare server the library's deadline stays in the past: a busy loop.
 * Returns when to call it next. */
uint64_t guard_deadline(const struct guards *on, uint64_t deadline_ms, uint64_t now_ms);

/* G8. On a hand-over the library tells the follower to stand for election at its first answer,
 * whether or not that acknowledged the log's end; a follower that lacks some, or has not synced it,
 * ignores the word, and nobody takes over until the attempt times out. True: the word may go now.
 */
bool guard_handover(const struct guards *on, uint64_t match, uint64_t last);

#endif
