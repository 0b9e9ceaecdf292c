/* One subscription: a cursor into the change stream, and what it may send.
 *
 *               index of the future        the present state first
 *      open ---------> AHEAD      open ---------> SNAPSHOT
 *        |               |                           |
 *        |               v     caught up             v
 *        +----------> BEHIND ------------> LIVE <--- (BEHIND)
 *        |               ^                   |
 *        |               | room, credit      | no room, no credit
 *        |               +----- PAUSED <-----+
 *        v
 *      any of them -> ENDED
 *
 * A `consistent` one rests in CONFIRMING before all of this, until a majority has confirmed the
 * state.
 *
 * LIVE is at the tail and fed by every publish; BEHIND reads ring and history, one frame per step;
 * PAUSED holds nothing but its place. It can rest in every state but ENDED.
 *
 * Promise  `at` only rises; what is behind it has been sent or does not concern this subscription.
 *          `told` is the `through` the client knows: events say `after` == told.
 * Threads  the stream's.
 */
#ifndef STREAM_SUBSCRIPTION_H
#define STREAM_SUBSCRIPTION_H

#include "core/base/sm.h"
#include "stream/history.h"
#include "stream/selection.h"
#include "stream/snapshot.h"

struct subscriber;

enum subscription_state {
    SUB_OPENING,
    SUB_CONFIRMING,
    SUB_AHEAD,
    SUB_SNAPSHOT,
    SUB_BEHIND,
    SUB_LIVE,
    SUB_PAUSED,
    SUB_ENDED,
};

struct subscription {
    /* read-only for the subscriber */
    struct list link;
    struct subscriber *owner;
    struct selection *sel;
    struct sm sm;
    struct place at;
    uint64_t told;
    /* private */
    uint64_t credit_events;
    uint64_t credit_bytes;
    uint64_t batch_max;
    uint64_t wait_ms;
    uint64_t marked_ms; /* when the last mark was sent; 0: never */
    uint64_t gathered;  /* changes since `timer` was armed for a batch */
    bool compacted_snapshot;
    bool holding;       /* LIVE: waits for more to make a batch */
    struct timer timer; /* AHEAD, SNAPSHOT: patience; LIVE: the batch's wait */
    struct history history;
    struct snapshot snapshot;
    struct sub_confirm *confirm; /* CONFIRMING; outlives a subscription that ends meanwhile */
};

enum subscription_step {
    STEP_IDLE,  /* nothing to do until something happens */
    STEP_AGAIN, /* did something, there may be more */
    STEP_ROOM,  /* waits for room in the outlet */
    STEP_ENDED, /* the subscription is gone */
};

/* Opens and says `subscribed` (or that it is too late). The subscription may be gone when this
 * returns. ERR_INVALID: the filter. */
enum err subscription_open(struct subscriber *owner,
                           const struct subscribe *ask,
                           const struct frame_style *style,
                           struct reason *why) ERR_MUST_USE;
/* From here on it is judged by other rights. */
void subscription_judge_by(struct subscription *sub, struct rights *rights);
/* Frees without a word. */
void subscription_close(struct subscription *sub);
/* The stream ends: what the host still answers is answered to nobody. */
void subscription_drop_questions(struct stream *s);
/* Says `end` (and a last mark) and frees. */
void subscription_finish(struct subscription *sub, const char *why);

/* At most one frame; `ret_cost` is what it took of the subscriber's turn (STREAM_TURN_BYTES). */
enum subscription_step subscription_step(struct subscription *sub, size_t *ret_cost);
/* The state was replaced. Goes on behind its place if the history still can; `anew`: says that it
 * cannot. The subscription may be gone when this returns. */
void subscription_replace(struct subscription *sub, bool anew);
/* `count` more changes were published: may hold back to make a batch. */
void subscription_gather(struct subscription *sub, size_t count);
void subscription_credit(struct subscription *sub, uint64_t events, uint64_t bytes);
/* Tells how far it is; only if that is news, unless `always`. */
void subscription_mark(struct subscription *sub, bool always);
/* Gives back what a reader that takes nothing should not hold: its place in history. */
void subscription_rest(struct subscription *sub);

#endif
