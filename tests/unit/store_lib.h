/* What the store's tests share: a state with its round, commands in one line each.
 *
 * Owner    bench_open() to bench_close(); a view given out is the test's to unref.
 * Threads  one.
 */
#ifndef TESTS_UNIT_STORE_LIB_H
#define TESTS_UNIT_STORE_LIB_H

#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/command.h"
#include "store/rocks.h"
#include "store/state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S(literal) ((struct bytes){.ptr = "" literal, .len = sizeof(literal) - 1})

#define cr_assert_bytes(have, want)                                                                \
    cr_assert(bytes_equal(have, want), "have '%.*s', want '%.*s'", BYTES_FORMAT(have),             \
              BYTES_FORMAT(want))

struct bench {
    struct state *state;
    struct collect collect;
    uint64_t index;
    uint64_t time_ms;
    const char *path;
};

static inline void bench_open(struct bench *b, const char *path)
{
    struct reason why = {0};
    *b = (struct bench){.path = path, .time_ms = 1000};
    cr_assert_eq(state_open(path, &b->state, &why), OK, "%s", why.text);
    b->index = state_applied(b->state);
    collect_init(&b->collect);
}

static inline void bench_close(struct bench *b)
{
    collect_close(&b->collect);
    state_close(b->state);
}

/* Applies bytes at the next index. */
static inline enum err bench_raw(struct bench *b, struct bytes data)
{
    struct apply_reply reply;
    struct reason why = {0};
    enum err e = state_apply(b->state, ++b->index, data, &b->collect, &reply, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    cr_assert_eq(reply.index, b->index);
    cr_assert_eq(state_applied(b->state), b->index);
    return reply.status;
}

static inline enum err bench_do(struct bench *b, struct command c)
{
    struct buf data;
    buf_init(&data, MIB(2));
    c.time_ms = b->time_ms;
    cr_assert_eq(command_encode(&data, &c), OK);
    enum err e = bench_raw(b, buf_view(&data));
    buf_close(&data);
    return e;
}

static inline enum err
bench_set_flags(struct bench *b, struct bytes key, struct bytes value, uint64_t flags)
{
    return bench_do(b, (struct command){.type = COMMAND_KV_SET,
                                        .kv_set = {.key = key, .value = value, .flags = flags}});
}

static inline enum err bench_set(struct bench *b, struct bytes key, struct bytes value)
{
    return bench_set_flags(b, key, value, 0);
}

static inline enum err
bench_cas(struct bench *b, struct bytes key, struct bytes value, uint64_t index)
{
    return bench_do(
        b, (struct command){.type = COMMAND_KV_SET,
                            .kv_set = {.key = key, .value = value, .check = true, .index = index}});
}

static inline enum err bench_delete(struct bench *b, struct bytes key)
{
    return bench_do(b, (struct command){.type = COMMAND_KV_DELETE, .kv_delete = {.key = key}});
}

static inline enum err bench_delete_cas(struct bench *b, struct bytes key, uint64_t index)
{
    return bench_do(b, (struct command){.type = COMMAND_KV_DELETE,
                                        .kv_delete = {.key = key, .check = true, .index = index}});
}

static inline enum err bench_delete_prefix(struct bench *b, struct bytes prefix)
{
    return bench_do(b, (struct command){.type = COMMAND_KV_DELETE_PREFIX,
                                        .kv_delete_prefix = {.prefix = prefix}});
}

static inline enum err bench_reap(struct bench *b, uint64_t through)
{
    return bench_do(b, (struct command){.type = COMMAND_TOMBSTONE_REAP,
                                        .tombstone_reap = {.through = through}});
}

static inline struct view *bench_view(struct bench *b)
{
    return state_view(b->state);
}

/* Ends the round. */
static inline struct change_batch *bench_finish(struct bench *b, uint64_t after)
{
    struct view *v = state_view(b->state);
    struct change_batch *batch = collect_finish(&b->collect, after, v);
    view_unref(v);
    return batch;
}

static inline void bench_trim(struct bench *b, struct history_limits limits)
{
    bool more = true;
    struct reason why = {0};
    while (more) {
        cr_assert_eq(state_trim(b->state, &limits, &more, &why), OK, "%s", why.text);
    }
}

/* An empty directory of its own; remove with bench_dir_free(). */
static inline char *bench_dir(void)
{
    char *path = mem_strdup("/tmp/herald-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    return path;
}

static inline void bench_shell(const char *format, const char *a, const char *b)
{
    char line[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof(line), format, a, b);
#pragma GCC diagnostic pop
    cr_assert_eq(system(line), 0, "%s", line);
}

static inline void bench_dir_free(char *path)
{
    bench_shell("rm -rf '%s'%s", path, "");
    free(path);
}

#endif
