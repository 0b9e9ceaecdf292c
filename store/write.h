/* Writes on their way: from proposals to log entries, here when this server leads, else at the
 * leader; and back to the answer.
 *
 *     pending ---- we lead ----> submitted (at an index, in a term) ---- applied ----> answered
 *        ^  |                        | another leader's entry stands there: it never happened
 *        |  |                        v
 *        |  '-- another leads --> forwarded (numbered, kept until it shows in our own log)
 *        |                           | leader changed, connection broke: all again, in order
 *        '---------------------------'  (the state applies each number once: once.h)
 *
 * Promise  a command whose fate is not known is answered ERR_TIMEOUT, never as failed; one that
 *          never went out is ERR_NOT_LEADER.
 * Limits   PROPOSALS_MAX, PROPOSAL_BYTES_MAX, RPC_HOLD_MS.
 * Threads  the hub's; write_on_proposal() is the mail's.
 */
#ifndef STORE_WRITE_H
#define STORE_WRITE_H

#include "core/base/timer.h"
#include "store/replica/rpc.h"
#include "store/state.h"

struct store;
struct proposal;

struct write {
    struct write *next;
    struct proposal *proposal; /* NULL: another server's, or it was answered already */
    char *command;             /* NULL: the tail has it */
    size_t len;
    uint64_t index;  /* submitted */
    uint64_t term;   /* submitted */
    uint64_t number; /* forwarded, from 1 */
    uint64_t deadline_ms;
};

struct write_queue {
    struct write *first;
    struct write **last;
    size_t count;
    size_t bytes;
};

struct writes {
    struct write_queue pending;
    struct write_queue submitted; /* ascending index */
    struct write_queue forwarded; /* ascending number */
    /* Done and not told yet: chained by their mail. */
    struct mail *answered;
    struct mail **answered_last;
    size_t answered_count;
    uint64_t numbers; /* the last one given */
    bool resend;      /* all that was forwarded must go again */
    bool refused;     /* the leader refused: again at the next tick */
    enum err refusal; /* why; OK: it takes writes */
    uint64_t refused_ms;
    bool submitting;               /* the entries at hand are ours: the tail takes their memory */
    struct journal_entry *entries; /* room for a group */
    size_t entries_cap;
    struct timer tick;
};

void writes_open(struct store *s);
/* Starts its timer, when nothing can fail any more. */
void writes_start(struct store *s);
/* Answers all of them; the fate of what went out is unknown. */
void writes_close(struct store *s);
void writes_free(struct store *s);

void write_on_proposal(struct mail *m);
/* Moves what waits into the log, or to the leader. */
void writes_submit(struct store *s);
void writes_post_submit(struct store *s);
/* Another server's commands, for us to put into the log. */
void writes_on_forward(struct store *s, uint64_t from, const struct rpc_forward *m);
void writes_on_forward_reply(struct store *s, uint64_t from, const struct rpc_forward_reply *m);
/* Who leads has changed, or the way there broke: what is in doubt goes again. */
void writes_on_leader(struct store *s);
/* We led and do no more. */
void writes_on_deposed(struct store *s);
/* This server hears of no entry any more: clients may ask another at once. */
void writes_on_removed(struct store *s);
/* The log's entries from `from` on are about to go. */
void writes_on_cut(struct store *s, uint64_t from);
/* The entry at `index` was applied. */
void writes_on_applied(struct store *s,
                       uint64_t index,
                       uint64_t term,
                       const struct apply_reply *reply);
/* The log was replaced through `index` by a snapshot: what it did is not known. */
void writes_on_installed(struct store *s, uint64_t index);
/* After publish(): whoever is told finds its write in every view. */
void writes_answer(struct store *s);
/* Nothing is on its way. */
bool writes_idle(const struct store *s);
/* Bytes that wait for the log. */
size_t writes_pending_bytes(const struct store *s);

#endif
