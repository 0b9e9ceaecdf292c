/* The replicated state on its disk: applies commands one by one, makes views, trims the history.
 *
 * Life     state_open() -> state_apply() in the order of the log, state_view() after a round ->
 *          state_close() when no view is left, or state_retire() at any time.
 * Promise  each apply is one write batch that holds the state, the changes and the applied index:
 *          after a crash the state is exactly that of some earlier applied index, and applying the
 *          log from there gives the same bytes again.
 * Errors   as rocks.h; on any error nothing happened and the applied index stands still.
 * Threads  the hub's; the views it makes are for all.
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "core/base/mailbox.h"
#include "store/collect.h"
#include "store/view.h"

struct state;

/* `path` NULL: in memory. ERR_VERSION and the errors of rocks.h. */
enum err state_open(const char *path, struct state **ret_state, struct reason *why) ERR_MUST_USE;
/* Makes everything durable first. NULL is allowed. */
void state_close(struct state *s);

/* What is left of a state that was replaced, once its last view is gone. */
struct state_remains {
    struct mail mail; /* for whoever sends it to another thread */
};
/* Closes the database and deletes its directory: slow. */
void state_remains_free(struct state_remains *r);
typedef void state_bury_fn(struct state_remains *r, void *ctx);
/* For a state that another one replaced: frees it at once; the views that are out keep reading, and
 * with the last of them the database goes: to `bury`, on the thread that let go (which may be this
 * one, at once), who is to call state_remains_free() where it may be slow. No state_flush() may be
 * under way. */
void state_retire(struct state *s, state_bury_fn *bury, void *ctx);

/* Tells the state of which cluster it is, at each start: written with the next batch. ERR_CORRUPT
 * if it is another cluster's. */
enum err state_set_cluster(struct state *s, uint64_t cluster, struct reason *why) ERR_MUST_USE;

/* The Raft index the state is at; 0 for a new one. */
uint64_t state_applied(const struct state *s);

struct apply_reply {
    /* OK, ERR_CONFLICT; ERR_INVALID for bytes that are no command; ERR_IN_USE for one that was
     * applied before, ERR_AHEAD for one that came too early (once.h): nothing changed */
    enum err status;
    uint64_t index;
    uint64_t proposer;
    uint64_t number;
    struct bytes detail; /* borrowed until the next apply (struct proposal) */
};

/* Applies the log entry `index`, which is greater than state_applied() (skipped indexes held no
 * command). `command` may be any bytes: what cannot be decoded is answered ERR_INVALID and changes
 * nothing but the applied index. Appends to `out` what changed. */
enum err state_apply(struct state *s,
                     uint64_t index,
                     struct bytes command,
                     struct collect *out,
                     struct apply_reply *ret_reply,
                     struct reason *why) ERR_MUST_USE;
/* Newest number of this proposer that was applied; 0: none, or it was forgotten. */
uint64_t state_proposed(const struct state *s, uint64_t proposer);
/* An entry that is no command (a barrier, a membership): only the applied index moves. */
enum err state_skip(struct state *s, uint64_t index, struct reason *why) ERR_MUST_USE;

/* The state as it is now; one reference, the caller's. */
struct view *state_view(struct state *s);

/* --- durability ------------------------------------------------------------------------------ */

/* The applied index that a crash now would leave: the log is needed only behind it. Cheap; rises by
 * itself as the database writes its buffers out. */
enum err state_durable(struct state *s, uint64_t *ret_index, struct reason *why) ERR_MUST_USE;
/* Makes all that is applied durable; waits for the disk. May run on another thread (disk). */
enum err state_flush(struct state *s, struct reason *why) ERR_MUST_USE;

/* --- history --------------------------------------------------------------------------------- */

uint64_t state_history_bytes(const struct state *s);
uint64_t state_history_oldest(const struct state *s);

struct history_limits {
    uint64_t before_ms; /* changes of commands stamped before this go (0: none by age) */
    uint64_t bytes_max; /* the oldest go while there is more than this */
};

/* One bounded step: trims at most about HISTORY_TRIM_STEP changes, an index whole or not at all.
 * `ret_more`: call again soon. Readers who are behind get ERR_COMPACTED from the next view on. */
enum err state_trim(struct state *s,
                    const struct history_limits *limits,
                    bool *ret_more,
                    struct reason *why) ERR_MUST_USE;

/* --- deletions ------------------------------------------------------------------------------- */

/* Whether a COMMAND_TOMBSTONE_REAP through `through` would forget anything: if not, the leader need
 * not write one. */
enum err state_reapable(struct state *s, uint64_t through, bool *ret_reapable, struct reason *why)
    ERR_MUST_USE;

#endif
