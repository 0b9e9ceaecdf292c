/* A command that comes twice is applied once. A server that sends the commands of its clients to
 * the leader numbers them from 1, and sends them again when it does not know what became of them;
 * the state remembers for each such sender the newest number it applied.
 *
 * Rule     number == newest + 1 is applied; up to newest it was already; above, something before it
 *          is missing and it must come again behind that.
 * Limits   PROPOSERS_MAX senders; whose newest command is the oldest is forgotten first, and must
 *          then begin anew under another name.
 * Errors   those of rocks.h.
 * Threads  the hub's.
 */
#ifndef STORE_ONCE_H
#define STORE_ONCE_H

#include "core/base/limit.h"
#include "store/rocks.h"

struct once_sender {
    uint64_t proposer; /* 0: this place is free */
    uint64_t number;   /* newest that was applied */
    uint64_t index;    /* where */
};

struct once {
    struct once_sender senders[PROPOSERS_MAX];
    /* What the batch under construction changes. */
    struct once_sender staged;
    size_t staged_at; /* PROPOSERS_MAX: nothing */
};

/* Reads what the state holds. */
enum err once_load(struct once *o, struct rocks *db, struct reason *why) ERR_MUST_USE;
/* OK: to be applied; ERR_CONFLICT: was; ERR_AHEAD: others are missing before it. */
enum err once_check(const struct once *o, uint64_t proposer, uint64_t number) ERR_MUST_USE;
/* 0: unknown. */
uint64_t once_newest(const struct once *o, uint64_t proposer);
/* The command of the batch is this one. */
void once_take(struct once *o,
               struct rocks_batch *batch,
               uint64_t proposer,
               uint64_t number,
               uint64_t index);
/* The batch was written, or was not. */
void once_settle(struct once *o, bool written);

#endif
