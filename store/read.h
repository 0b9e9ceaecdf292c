/* How new a view must be for a read (store.h): the leader confirms that it still leads, by one
 * fresh round of messages for all questions that came before the round began (Ongaro's thesis,
 * section 6.4); other servers ask the leader up to where they must have applied. No clock decides
 * what READ_CONSISTENT answers.
 *
 * Threads  the hub's.
 */
#ifndef STORE_READ_H
#define STORE_READ_H

#include "store/replica/rpc.h"
#include "store/store.h"

/* A question how new a read must be, of a client here or of another server. */
struct read_ask {
    struct read_ask *next;
    struct store_read *read; /* NULL: `peer` asks */
    uint64_t peer;
    uint64_t id;
    uint64_t need; /* once known: applied up to here is enough */
    bool confirm;  /* a round must confirm that we lead */
};

struct read_queue {
    struct read_ask *first;
    struct read_ask **last;
};

/* Reads. A round's questions all came before it began (thesis, section 6.4). */
struct reads {
    struct read_queue fresh;   /* wait for a round, or for a leader */
    struct read_queue asked;   /* the round that is under way answers them */
    struct read_queue waiting; /* know their index and wait until it is applied */
    bool round_open;
    uint64_t round;
    uint64_t round_index; /* the commit index as it began */
    uint64_t round_began_ms;
    uint64_t round_sent_ms;
    unsigned round_voters; /* that confirmed it */
    uint64_t round_confirmed[STORE_SERVERS_MAX];
    /* As a follower: one question to the leader at a time. */
    bool question_open;
    uint64_t question; /* id */
    uint64_t question_sent_ms;
    uint64_t questions;
    struct timer tick;
};

void reads_open(struct store *s);
/* Starts its timer, when nothing can fail any more. */
void reads_start(struct store *s);
void reads_close(struct store *s, enum err status);
void reads_on_applied(struct store *s);
void reads_on_leader(struct store *s);
void reads_on_commit(struct store *s);
void reads_on_message(struct store *s, uint64_t from, const struct rpc_message *m);

#endif
