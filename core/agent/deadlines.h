/* When what expires is due, by the monotonic clock alone: a table of names, each with one timer.
 * The wall clock is never asked, so that it may jump as it likes.
 *
 * Order    each name is due once, a full `after_ms` and EXPIRE_SLACK_MS behind the moment at which
 *          deadlines_set() heard of its newest `set_index`.
 * Owner    names are copied.
 * Threads  that of `env`.
 */
#ifndef CORE_AGENT_DEADLINES_H
#define CORE_AGENT_DEADLINES_H

#include "core/base/env.h"
#include "store/fleet.h"

struct deadline;

struct deadlines {
    size_t count; /* read-only */
    /* private */
    struct env *env;
    void (*due)(void *ctx, const struct expiry *x);
    void *ctx;
    struct deadline **slots;
    size_t slot_count; /* a power of two; 0 before the first */
};

/* `due` may set and forget; `x` is borrowed for the call. What was due stays known, and is due no
 * more until it is set anew or deadlines_again() is called. */
void deadlines_init(struct deadlines *d,
                    struct env *env,
                    void (*due)(void *ctx, const struct expiry *x),
                    void *ctx);
void deadlines_close(struct deadlines *d);
/* All of them. */
void deadlines_clear(struct deadlines *d);
/* The full time begins now, unless this `set_index` is known already. */
void deadlines_set(struct deadlines *d, const struct expiry *x);
void deadlines_forget(struct deadlines *d, enum expiry_kind kind, struct bytes name);
/* What was due is due again in `delay_ms`, if it is still known with this `set_index`. */
void deadlines_again(struct deadlines *d, const struct expiry *x, uint64_t delay_ms);

#endif
