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

/* Of the keys that one CHANGE_DELETE_PREFIX takes: each finds the change, too. Sorts `hashes`:
 * the database takes what comes in order several times faster. */
void history_record_cascade(struct rocks_batch *batch,
                            struct schema_meta *meta,
                            const struct change *c,
                            uint64_t *hashes,
                            size_t count);

/* One step of state_trim(): fills the batch and moves `meta`; writes nothing. */
enum err history_trim(struct rocks *db,
                      struct rocks_batch *batch,
                      struct schema_meta *meta,
                      const struct history_limits *limits,
                      bool *ret_more,
                      struct reason *why) ERR_MUST_USE;

#endif
