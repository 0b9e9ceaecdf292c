/* Timers as a heap over a clock that somebody else reads: the loop drives it with the
 * monotonic clock, a simulator with its own.
 *
 * Units    milliseconds of one monotonic clock.
 * Owner    the timer's memory is its user's, from timer_init() until it is neither armed nor
 *          firing; timer_stop() may be called at any time, also from a firing timer.
 * Order    timers that are due fire by time, then by the order of arming.
 * Threads  none: a heap belongs to one thread.
 */
#ifndef CORE_BASE_TIMER_H
#define CORE_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
    /* private */
    struct timers *heap;
    timer_fn fire;
    uint64_t at_ms;
    uint64_t order;
    size_t position; /* in the heap, from 1; 0 when not armed */
};

struct timers {
    /* private */
    struct timer **items; /* items[1..count] */
    size_t count;
    size_t cap;
    uint64_t armed; /* how many were ever armed: the order */
};

void timers_init(struct timers *heap);
/* All timers must be stopped. */
void timers_close(struct timers *heap);
/* When the first one is due; false if none is armed. */
bool timers_next(const struct timers *heap, uint64_t *ret_at_ms);
/* Fires what is due at `now_ms`, also what becomes due meanwhile. */
void timers_run(struct timers *heap, uint64_t now_ms);

void timer_init(struct timer *t, struct timers *heap, timer_fn fire);
/* Arms or re-arms. */
void timer_start(struct timer *t, uint64_t at_ms);
void timer_stop(struct timer *t);
bool timer_armed(const struct timer *t);

#endif
