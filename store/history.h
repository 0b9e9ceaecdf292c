/* The kept changes: written in the batch of the state they describe, found by index and by key,
 * trimmed by age and by bytes.
 *
 * Units    history bytes are those of keys and rows as stored, before compression.
 * Errors   as rocks.h.
 * Threads  the hub's.
 */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "store/rocks.h"
#include "store/schema.h"
#include "store/state.h"

/* Puts the change, and the way to it from its key, into the batch. `scratch` is overwritten. */
void history_record(struct rocks_batch *batch,
                    struct schema_meta *meta,
                    struct buf *scratch,
                    const struct change *c);

/* The keys that one CHANGE_DELETE_PREFIX takes: each finds the change, too. */
#define HISTORY_CHUNK 2048U /* hashes per row: 16 KiB */

struct history_cascade {
    /* private */
    struct rocks_batch *batch;
    struct schema_meta *meta;
    uint64_t index;
    uint32_t n;
    uint32_t chunk;
    size_t count;
    char hashes[HISTORY_CHUNK * sizeof(uint64_t)];
};

void history_cascade_init(struct history_cascade *h,
                          struct rocks_batch *batch,
                          struct schema_meta *meta,
                          uint64_t index,
                          uint32_t n);
void history_cascade_add(struct history_cascade *h, struct bytes key);
void history_cascade_finish(struct history_cascade *h);

/* One step of state_trim(): fills the batch and moves `meta`; writes nothing. */
enum err history_trim(struct rocks *db,
                      struct rocks_batch *batch,
                      struct schema_meta *meta,
                      const struct history_limits *limits,
                      bool *ret_more,
                      struct reason *why) ERR_MUST_USE;

#endif
