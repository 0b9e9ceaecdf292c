/* What the tests of the agent's parts share: a world of virtual time, and a catalog that remembers
 * what it was told.
 *
 * Threads  none.
 */
#ifndef TESTS_UNIT_AGENT_WORLD_H
#define TESTS_UNIT_AGENT_WORLD_H

#include "core/agent/sync.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"

#include <criterion/criterion.h>
#include <string.h>

struct world {
    struct env env;
    uint64_t now_ms;
    uint64_t dice;
};

static inline struct world *world_of(struct env *env)
{
    return LIST_OWNER(env, struct world, env);
}

static inline uint64_t world_now(struct env *env)
{
    return world_of(env)->now_ms;
}

static inline void world_dice(struct env *env, void *ret_data, size_t len)
{
    struct world *w = world_of(env);
    for (size_t i = 0; i < len; i++) {
        w->dice = w->dice * 6364136223846793005ULL + 1442695040888963407ULL;
        ((unsigned char *)ret_data)[i] = (unsigned char)(w->dice >> 56);
    }
}

static const struct env_ops WORLD_OPS = {.now_ms = world_now,
                                         .wall_ms = world_now,
                                         .random = world_dice};

static inline void world_open(struct world *w)
{
    *w = (struct world){.env = {.ops = &WORLD_OPS}, .now_ms = 1000000, .dice = 7};
    timers_init(&w->env.timers);
}

/* Time goes by, and each timer fires at its own. */
static inline void world_pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    uint64_t next = 0;
    while (timers_next(&w->env.timers, &next) && next <= until) {
        w->now_ms = next > w->now_ms ? next : w->now_ms;
        timers_run(&w->env.timers, w->now_ms);
    }
    w->now_ms = until;
}

static inline struct service_definition service_of(struct arena *a, const char *json)
{
    struct service_definition s;
    struct reason why = {{0}};
    json_error_t error;
    json_t *object = json_loads(json, 0, &error);
    enum err e = definition_service(a, object, &s, &why);
    cr_assert_eq(e, OK, "%s: %s", json, why.text);
    json_decref(object);
    return s;
}

static inline struct check_definition check_of(struct arena *a, const char *json)
{
    struct check_definition c;
    struct reason why = {{0}};
    json_error_t error;
    json_t *object = json_loads(json, 0, &error);
    enum err e = definition_check(a, object, &c, &why);
    cr_assert_eq(e, OK, "%s: %s", json, why.text);
    json_decref(object);
    return c;
}

static inline void add_service(struct local *l, struct arena *a, const char *json)
{
    struct reason why = {{0}};
    struct service_definition s = service_of(a, json);
    enum err e = local_add_service(l, &s, LOCAL_API, &why);
    cr_assert_eq(e, OK, "%s", why.text);
}

static inline void
add_check(struct local *l, struct arena *a, const char *json, const char *service_id)
{
    struct reason why = {{0}};
    struct check_definition d = check_of(a, json);
    struct local_check_new n = {
        .definition = &d,
        .id = d.id,
        .name = d.id,
        .service_id = bytes_of(service_id),
        .kind = d.kind,
        .status = CHECK_CRITICAL,
    };
    enum err e = local_add_check(l, &n, &why);
    cr_assert_eq(e, OK, "%s", why.text);
}

#endif
