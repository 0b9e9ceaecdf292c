/* The end of the log in memory: what is on its way to the disk, what is not applied yet, and some
 * that followers may still ask for. What is older is in the journal.
 *
 * Owner    payloads are the tail's. One that was cut while the disk still writes it stays until
 *          tail_settled().
 * Order    indexes without a gap, from tail_first() to tail_last().
 * Threads  the hub's; the disk reads payloads that it was given.
 */
#ifndef STORE_REPLICA_TAIL_H
#define STORE_REPLICA_TAIL_H

#include "store/replica/journal.h"

struct tail_entry {
    struct journal_entry entry; /* its data points into `memory` */
    char *memory;               /* NULL: no data */
};

struct tail {
    /* private */
    struct tail_entry *entries; /* a circle; the capacity is a power of two */
    size_t cap;
    uint64_t first;
    uint64_t last; /* first - 1: empty */
    size_t bytes;
    char **cut; /* payloads that the disk may still read */
    size_t cut_count;
    size_t cut_cap;
};

/* Empty, behind `last`. */
void tail_init(struct tail *t, uint64_t last);
void tail_close(struct tail *t);

uint64_t tail_first(const struct tail *t);
uint64_t tail_last(const struct tail *t);
size_t tail_bytes(const struct tail *t);

/* Behind the last. With `memory` it takes that (entry->data lies in it), else it copies. */
void tail_append(struct tail *t, const struct journal_entry *entry, char *memory);
/* NULL: not here. Borrowed until it is cut or trimmed. */
const struct journal_entry *tail_get(const struct tail *t, uint64_t index);
/* The entries from `from` on are gone; `busy`: the disk may be reading them. */
void tail_cut(struct tail *t, uint64_t from, bool busy);
/* The disk reads nothing any more. */
void tail_settled(struct tail *t);
/* Forgets from the front, up to `through`, while there are more than `keep_bytes`. */
void tail_trim(struct tail *t, uint64_t through, size_t keep_bytes);
/* Everything is gone; the next is last + 1. */
void tail_reset(struct tail *t, uint64_t last, bool busy);

#endif
