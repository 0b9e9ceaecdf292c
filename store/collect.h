/* A change batch under construction: what one round of applying did.
 *
 * Owner    collect_change() copies; collect_finish() moves everything into the counted batch.
 * Order    changes come in the order of (index, n).
 * Threads  the hub's.
 */
#ifndef STORE_COLLECT_H
#define STORE_COLLECT_H

#include "store/change.h"

struct collect {
    /* read-only */
    size_t count;
    size_t bytes; /* of keys and values: end a round before it grows large */
    bool replaced;
    /* private */
    size_t cap;
    struct change *changes;
    struct buf data;
    struct buf moved; /* texts */
};

void collect_init(struct collect *c);
/* Drops what was collected. */
void collect_close(struct collect *c);
void collect_change(struct collect *c, const struct change *change);
/* The index of that name moved. */
void collect_moved(struct collect *c, struct bytes name);
/* The state became another one: what changed is not known, and what this round collects is not
 * either. */
void collect_replaced(struct collect *c);
/* Forgets changes behind the first `count`. What they moved stays told: it wakes nobody who is not
 * to be woken. */
void collect_truncate(struct collect *c, size_t count);
/* The immutable batch over (after, view_index(view)], with one reference, the caller's. Takes a
 * reference of `view` of its own. `c` is empty again. Only if the state was replaced may it be
 * behind `after`. */
struct change_batch *collect_finish(struct collect *c, uint64_t after, struct view *view);

#endif
