/* The checker from the inside: one key's operations and the model, shared by linear.c (splits,
 * learns, judges), linear_order.c, linear_search.c and linear_say.c.
 *
 * Owner    a `struct linear_key` borrows the history; its operations are linear.c's.
 * Threads  none.
 */
#ifndef TESTS_SIM_LINEAR_PRIV_H
#define TESTS_SIM_LINEAR_PRIV_H

#include "tests/sim/linear.h"

/* One operation that is judged. */
struct linear_op {
    uint64_t start;
    uint64_t end; /* HISTORY_NEVER for all whose outcome is unknown */
    uint64_t cas;
    uint64_t index; /* told or learned; 0: not known */
    uint32_t value;
    uint32_t read;
    uint32_t number; /* in the history */
    enum history_kind kind;
    enum history_outcome outcome;
    bool maybe; /* unknown, and no index says that it happened */
};

struct linear_key {
    const struct history *history;
    uint32_t key;
    size_t count;
    struct linear_op *ops; /* by start */
    size_t maybe;          /* how many may not have happened at all */
    bool values_unique;    /* no value has two writers: no write can change nothing */
};

/* What the store holds for the key; `value` 0: nothing, then `index` is 0 too. `floor` is the
 * last raft index that is used up. */
struct linear_state {
    uint64_t index;
    uint64_t floor;
    uint32_t value;
};

/* It would change `s`, its condition included. */
bool linear_effective(const struct linear_op *op, const struct linear_state *s);
/* Makes of `s` what `op` makes of it. False, and `s` untouched, if it cannot have been answered
 * so there. `index` is for a write that changes something and whose own is not known. */
bool linear_apply(const struct linear_op *op, struct linear_state *s, uint64_t index);

/* What changes the key for certain has an index, and each read value too. */
bool linear_order_applies(const struct linear_key *k);
/* Whether it is linearizable if what may not have happened did not: LINEAR_OK is final,
 * LINEAR_VIOLATION only where nothing is `maybe`. Appends the reason to `out`. */
enum linear_verdict linear_order(const struct linear_key *k, struct buf *out);
enum linear_verdict
linear_search(const struct linear_key *k, uint64_t steps_max, struct buf *out, uint64_t *ret_steps);

/* For a person. What does not fit `out` any more is left out. */
void linear_say(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The operation on a line of its own, as in the file, behind `mark`. */
void linear_say_op(struct buf *out,
                   const struct history *h,
                   const struct linear_op *op,
                   const char *mark);
void linear_say_state(struct buf *out, const struct history *h, const struct linear_state *s);
/* The operations of the key that overlap `op` in time, and the last ones before it. */
void linear_say_around(struct buf *out, const struct linear_key *k, const struct linear_op *op);

#endif
