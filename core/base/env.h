/* The world as a table: clocks, dice and timers come from here and from nowhere else, so that
 * a simulator can be the world.
 *
 * Units    now_ms: monotonic milliseconds of an arbitrary start; wall_ms: Unix time.
 * Threads  an env belongs to one thread (the loop's); it is borrowed while the loop lives.
 */
#ifndef CORE_BASE_ENV_H
#define CORE_BASE_ENV_H

#include "core/base/timer.h"

#include <stddef.h>
#include <stdint.h>

struct env;

struct env_ops {
    uint64_t (*now_ms)(struct env *env);
    uint64_t (*wall_ms)(struct env *env);
    void (*random)(struct env *env, void *ret_data, size_t len);
};

struct env {
    const struct env_ops *ops;
    struct timers timers;
};

uint64_t env_now_ms(struct env *env);
uint64_t env_wall_ms(struct env *env);
void env_random(struct env *env, void *ret_data, size_t len);
/* Uniform in [0, limit); 0 for limit 0. */
uint64_t env_random_below(struct env *env, uint64_t limit);

/* A timer of this world, to fire `delay_ms` from now. */
void env_timer_init(struct env *env, struct timer *t, timer_fn fire);
void env_timer_start(struct env *env, struct timer *t, uint64_t delay_ms);

/* The real world's clock and dice, for threads without a loop. */
uint64_t env_real_now_ms(void);
uint64_t env_real_now_us(void);
uint64_t env_real_wall_ms(void);
void env_real_random(void *ret_data, size_t len);

#endif
