#include "core/base/env.h"

uint64_t env_now_ms(struct env *env)
{
    return env->ops->now_ms(env);
}

uint64_t env_wall_ms(struct env *env)
{
    return env->ops->wall_ms(env);
}

void env_random(struct env *env, void *ret_data, size_t len)
{
    env->ops->random(env, ret_data, len);
}

uint64_t env_random_below(struct env *env, uint64_t limit)
{
    uint64_t dice = 0;
    if (limit == 0) {
        return 0;
    }
    env_random(env, &dice, sizeof dice);
    return dice % limit;
}

void env_timer_init(struct env *env, struct timer *t, timer_fn fire)
{
    timer_init(t, &env->timers, fire);
}

void env_timer_start(struct env *env, struct timer *t, uint64_t delay_ms)
{
    timer_start(t, env_now_ms(env) + delay_ms);
}
