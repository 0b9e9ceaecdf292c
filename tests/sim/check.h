/* What must hold, whatever happens. The truth is the log: what any server has applied at an index
 * is what all of them do, for ever. From it a model of the KV store follows, which says what every
 * view, change, answer and read must have been.
 *
 *     what servers apply --> the truth, index by index --> model --> states, changes, reads,
 * answers
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "store/store.h"

struct server;

void check_open(void);
void check_close(void);
void check_opened(struct server *s);
/* A reader was given a batch. */
void check_published(struct server *s, const struct change_batch *b);
/* Compares what servers have published with what is known by now. */
void check_progress(void);
/* At the end: judges the whole history. */
void check_history(void);
/* The same by another way (linear.h): from what the clients saw, all but deletions by prefix. */
void check_linear(void);
/* The highest index of the truth. */
uint64_t check_last(void);
/* Reads that were compared, states that were compared. */
struct check_counts {
    uint64_t entries;
    uint64_t states;
    uint64_t reads;
    uint64_t writes;
    uint64_t stale; /* reads in another mode than READ_CONSISTENT that were behind what was known */
};
extern struct check_counts check_counts;

#endif
