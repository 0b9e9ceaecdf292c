/* The newest published change batches, so that who is at the tail, or nearly, never reads the
 * disk; each change's JSON element is made here, once for all subscribers of the front.
 *
 * Owner    refs the batches.
 * Limits   STREAM_RING_BATCHES, STREAM_RING_BYTES (the changes and their elements; the newest batch
 *          stays whatever its size), STREAM_RING_AGE_MS by ring_trim().
 * Order    the batches join without a hole: a batch that does not join drops all before it.
 * Threads  none.
 */
#ifndef STREAM_RING_H
#define STREAM_RING_H

#include "store/change.h"

struct ring_entry {
    struct change_batch *batch;
    uint64_t published_ms;
    size_t bytes;
    /* The changes as JSON (of the fleet: behind their op, frame.h), each followed by one byte of
     * room for a separator; NULL until asked. */
    char *elements;
    struct ring_end *ends; /* of each element */
};

struct ring_end {
    uint32_t brief; /* where it ends for `removed` */
    uint32_t end;
};

struct ring {
    /* private */
    const char *datacenter;
    struct ring_entry *entries; /* a circle of STREAM_RING_BATCHES */
    size_t first;
    size_t count;
    size_t bytes;
};

/* `datacenter` is borrowed, for elements of the fleet. */
void ring_init(struct ring *r, const char *datacenter);
void ring_close(struct ring *r);
void ring_push(struct ring *r, struct change_batch *b, uint64_t now_ms);
/* Drops what is too old. */
void ring_trim(struct ring *r, uint64_t now_ms);
void ring_clear(struct ring *r);
/* True if every change after `index` up to the newest published one is here. */
bool ring_reaches(const struct ring *r, uint64_t index);

/* A place in the ring; good until the next push, trim or clear. */
struct ring_place {
    size_t entry;
    size_t change;
};

/* In front of the first change with a greater index. */
struct ring_place ring_find(const struct ring *r, uint64_t index);
/* The change at the place; NULL at the end. */
const struct change *ring_peek(const struct ring *r, struct ring_place *place);
/* Its JSON element, made for the whole batch when the first one is asked for; of the fleet only
 * what follows the op, and with `brief` without the row and the closing brace. Behind a
 * ring_peek() that was not NULL. */
struct bytes ring_element(struct ring *r, const struct ring_place *place, bool brief);
void ring_step(struct ring_place *place);

#endif
