/* A server whose log or state is damaged gets both anew from the others, by itself. What it had
 * acknowledged and voted for it no longer knows, so until it is whole it takes no part:
 *
 *     damage is found (at the start, or while it runs, which ends the process)
 *        |  log and state are set aside (<data_dir>/damaged), and never read again
 *        v
 *     APART   hears who leads; acknowledges nothing, votes for nobody, confirms no round
 *        |  orders that leader to take its vote away (an entry of the others' log);
 *        |  asks it for a consistent index: `floor_index`, in the term `floor_term`
 *        v
 *     BACK    is a follower without a vote, of leaders of `floor_term` or newer; asks for its vote
 *        |  back when it has caught up
 *        v
 *     whole: it has applied `floor_index` and more, and the newest committed configuration lets it
 *            vote
 *
 * Why      entries that it had acknowledged are in the log of whoever can still be elected, since
 *          that one led after the damage with a majority that this server was not counted in. A
 *          vote that it had given, and forgot, cannot elect anybody: the majority that took its
 *          vote away meets every majority that its vote was part of (Ongaro's thesis, section 4.1:
 *          one server at a time), and the term of who gave it would have refused.
 * Kept     the phase is a file of the data directory, durable before each step: a crash in between
 *          changes nothing.
 * Limits   only for a server that has others (store_options.repair): who is alone refuses to start,
 *          as before, and says what is damaged.
 * Threads  the hub's; repair_begin() the one that opens.
 */
#ifndef STORE_REPAIR_H
#define STORE_REPAIR_H

#include "store/datadir.h"
#include "store/replica/rpc.h"

struct store;

struct repair {
    struct datadir_repair kept; /* the phase, as the disk has it */
    uint64_t leader;            /* who seems to lead; 0: nobody was heard */
    uint64_t leader_term;
    uint64_t number;  /* of what was asked last */
    uint64_t sent_ms; /* when */
    bool demoted;     /* it has taken our vote away: the index comes next */
};

/* Sets aside what cannot be read, for `why`, and begins anew; `why` says so on failure. */
enum err
repair_begin(struct store *s, const struct reason *damage, struct reason *why) ERR_MUST_USE;
/* Damage was found while the server runs: ends the process, so that the next start repairs it. */
void repair_doom(struct store *s, const struct reason *damage);

/* Whether this server may take in, or say, this. */
bool repair_hears(struct store *s, uint64_t from, const struct rpc_message *m);
bool repair_says(const struct store *s, const struct rpc_message *m);
/* True: it was an answer to us. */
bool repair_on_change_reply(struct store *s, uint64_t from, const struct rpc_change_reply *m);
bool repair_on_read_reply(struct store *s, uint64_t from, const struct rpc_read_reply *m);
void repair_tick(struct store *s);

#endif
