/* Memory that goes all at once: one arena per request.
 *
 * Owner    what is allocated lives until arena_close() or arena_reset(); nothing is freed alone.
 * Limits   at most `max` bytes altogether: past it arena_alloc() returns NULL, and the request
 *          that asked is answered with ERR_TOO_BIG.
 * Threads  none.
 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include "core/base/buf.h"

struct arena_block;

struct arena {
    /* private */
    struct arena_block *blocks;
    struct arena_block *lent;
    size_t used;
    size_t max;
};

void arena_init(struct arena *a, size_t max);
/* Uses `memory` (aligned for any type) before the heap; it stays the caller's, and must live as
 * long as the arena. The arena is empty. */
void arena_lend(struct arena *a, void *memory, size_t len);
void arena_close(struct arena *a);
/* Frees what was allocated; the arena can be used again. */
void arena_reset(struct arena *a);
/* Aligned for any type; NULL past the limit. */
void *arena_alloc(struct arena *a, size_t len);
/* Copy with a NUL behind it, which `len` does not count; `.ptr` is NULL past the limit. */
struct bytes arena_copy(struct arena *a, struct bytes data);

#endif
