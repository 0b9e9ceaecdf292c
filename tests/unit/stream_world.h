/* A world for the tests of stream/: virtual time, a real state in memory, a stream on it, and
 * outlets that keep what they are sent and take as much of it as the test says. */
#ifndef TESTS_UNIT_STREAM_WORLD_H
#define TESTS_UNIT_STREAM_WORLD_H

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "store/collect.h"
#include "store/command.h"
#include "store/state.h"
#include "stream/stream.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_EPOCH "c3f1"

struct world {
    struct env env;
    uint64_t now_ms;
    uint64_t dice;
    struct state *state;
    struct collect changes;
    uint64_t index;     /* of the last command */
    uint64_t published; /* of the last batch */
    struct view *view;
    struct stream *stream;
    const char *epoch;
    struct stream_confirm *confirm;                 /* a question that waits for its answer */
    void (*on_batch)(const struct change_batch *b); /* sees each batch before the stream does */
};

static inline struct world *world_of(struct env *env)
{
    return LIST_OWNER(env, struct world, env);
}

static inline uint64_t world_now_ms(struct env *env)
{
    return world_of(env)->now_ms;
}

static inline uint64_t world_wall_ms(struct env *env)
{
    return 1700000000000ULL + world_of(env)->now_ms;
}

static inline uint64_t dice_next(uint64_t *dice)
{
    *dice = *dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return *dice >> 33;
}

static inline void world_random(struct env *env, void *ret_data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ((char *)ret_data)[i] = (char)dice_next(&world_of(env)->dice);
    }
}

static const struct env_ops WORLD_ENV = {
    .now_ms = world_now_ms,
    .wall_ms = world_wall_ms,
    .random = world_random,
};

static inline struct view *world_view(void *ctx)
{
    return ((struct world *)ctx)->view;
}

static inline const char *world_epoch(void *ctx, const struct view *v)
{
    (void)v;
    const struct world *w = ctx;
    return w->epoch;
}

static inline void world_confirm(void *ctx, struct stream_confirm *c)
{
    struct world *w = ctx;
    cr_assert_null(w->confirm);
    w->confirm = c;
}

static inline void world_open(struct world *w, uint64_t seed)
{
    *w = (struct world){
        .env = {.ops = &WORLD_ENV}, .now_ms = 1000, .dice = seed, .epoch = WORLD_EPOCH};
    struct reason why = {{0}};
    log_set_level(LOG_ERROR);
    timers_init(&w->env.timers);
    cr_assert_eq(state_open(NULL, &w->state, &why), OK, "%s", why.text);
    collect_init(&w->changes);
    w->view = state_view(w->state);
    struct stream_host host = {
        .env = &w->env,
        .ctx = w,
        .view = world_view,
        .epoch = world_epoch,
        .confirm = world_confirm,
        .node_name = "n1",
        .datacenter = "dc1",
    };
    w->stream = stream_new(&host);
}

static inline void world_close(struct world *w)
{
    stream_free(w->stream);
    view_unref(w->view);
    collect_close(&w->changes);
    state_close(w->state);
    timers_close(&w->env.timers);
}

/* Time passes; the timers that are due fire, each at its own time. */
static inline void world_sleep(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_ms + ms;
    uint64_t at = 0;
    while (timers_next(&w->env.timers, &at) && at <= end) {
        w->now_ms = at > w->now_ms ? at : w->now_ms;
        timers_run(&w->env.timers, w->now_ms);
    }
    w->now_ms = end;
}

/* What is due now, such as the next turn of a subscriber. */
static inline void world_turn(struct world *w)
{
    world_sleep(w, 0);
}

static inline void world_apply(struct world *w, struct command *c)
{
    struct buf bytes;
    struct apply_reply reply;
    struct reason why = {{0}};
    c->time_ms = world_wall_ms(&w->env);
    buf_init(&bytes, COMMAND_MAX);
    cr_assert_eq(command_encode(&bytes, c), OK);
    cr_assert_eq(state_apply(w->state, ++w->index, buf_view(&bytes), &w->changes, &reply, &why),
                 OK);
    buf_close(&bytes);
}

static inline void world_set(struct world *w, const char *key, struct bytes value, uint64_t flags)
{
    world_apply(w, &(struct command){
                       .type = COMMAND_KV_SET,
                       .kv_set = {.key = bytes_of(key), .value = value, .flags = flags},
                   });
}

static inline void world_delete(struct world *w, const char *key)
{
    world_apply(w,
                &(struct command){.type = COMMAND_KV_DELETE, .kv_delete = {.key = bytes_of(key)}});
}

static inline void world_delete_prefix(struct world *w, const char *prefix)
{
    world_apply(w, &(struct command){
                       .type = COMMAND_KV_DELETE_PREFIX,
                       .kv_delete_prefix = {.prefix = bytes_of(prefix)},
                   });
}

/* The state is another one from now on: `s` at `index`, as a restored backup or the snapshot of a
 * leader makes it. Takes `s`. */
static inline void world_replace(struct world *w, struct state *s, uint64_t index)
{
    struct view *old = w->view;
    struct state *was = w->state;
    collect_close(&w->changes);
    collect_init(&w->changes);
    w->state = s;
    w->index = index;
    w->view = state_view(s);
    struct change_batch *b = collect_finish(&w->changes, view_index(w->view), w->view);
    b->after = w->published;
    b->replaced = true;
    w->published = b->through;
    stream_publish(w->stream, b);
    change_batch_unref(b);
    view_unref(old);
    world_turn(w);
    state_close(was);
}

/* One batch of what was written since the last. */
static inline void world_publish(struct world *w)
{
    struct view *old = w->view;
    w->view = state_view(w->state);
    struct change_batch *b = collect_finish(&w->changes, w->published, w->view);
    w->published = b->through;
    if (w->on_batch != NULL) {
        w->on_batch(b);
    }
    stream_publish(w->stream, b);
    change_batch_unref(b);
    view_unref(old);
    world_turn(w);
}

static inline uint64_t world_put(struct world *w, const char *key, const char *value)
{
    world_set(w, key, bytes_of(value), 0);
    world_publish(w);
    return w->index;
}

/* Forgets the history through about `index`, and publishes the view that knows it. */
static inline void world_trim(struct world *w, uint64_t bytes_max)
{
    bool more = true;
    struct reason why = {{0}};
    while (more) {
        cr_assert_eq(
            state_trim(w->state, &(struct history_limits){.bytes_max = bytes_max}, &more, &why),
            OK);
    }
}

/* --- a transport ------------------------------------------------------------------------------ */

#define TAP_MAX 65536U

struct tap {
    struct outlet outlet;
    struct world *world;
    struct shared *frames[TAP_MAX];
    size_t count;
    size_t read; /* frames the test has looked at */
    size_t pending;
    size_t pending_most; /* the most that ever was pending */
    bool slow;           /* keeps what it is sent until tap_take() */
    bool closed;
    bool dies_at_send; /* the connection breaks inside the next send */
    unsigned code;
    char reason[128];
    json_t *parsed;
};

static inline void tap_send(struct outlet *o, struct shared *frame)
{
    struct tap *t = o->ctx;
    cr_assert(frame->headroom >= OUTLET_HEADROOM);
    cr_assert(t->count < TAP_MAX);
    if (t->dies_at_send) {
        t->closed = true;
        outlet_closed(o);
        return;
    }
    t->frames[t->count++] = shared_ref(frame);
    if (t->slow) {
        t->pending += frame->len;
        t->pending_most = t->pending > t->pending_most ? t->pending : t->pending_most;
    }
}

static inline size_t tap_pending(struct outlet *o)
{
    return ((struct tap *)o->ctx)->pending;
}

static inline void tap_close(struct outlet *o, unsigned code, const char *reason)
{
    struct tap *t = o->ctx;
    t->closed = true;
    t->code = code;
    (void)snprintf(t->reason, sizeof t->reason, "%s", reason);
    outlet_closed(o);
}

static const struct outlet_ops TAP = {.send = tap_send, .pending = tap_pending, .close = tap_close};

static inline struct tap *tap_new(struct world *w)
{
    struct tap *t = mem_zalloc(1, sizeof *t);
    t->world = w;
    t->outlet.ctx = t;
    return t;
}

static inline void tap_free(struct tap *t)
{
    outlet_closed(&t->outlet);
    for (size_t i = 0; i < t->count; i++) {
        shared_unref(t->frames[i]);
    }
    json_decref(t->parsed);
    free(t);
}

static inline enum err tap_try(struct tap *t,
                               enum outlet_format format,
                               const char *query,
                               const char *last_event_id,
                               struct reason *why)
{
    struct outlet_options options = {
        .format = format,
        .auto_subscribe = query != NULL,
        .query = bytes_of(query == NULL ? "" : query),
        .last_event_id = bytes_of(last_event_id),
    };
    return outlet_open(t->world->stream, &t->outlet, &TAP, &options, why);
}

static inline struct tap *tap_open(struct world *w, enum outlet_format format, const char *query)
{
    struct tap *t = tap_new(w);
    struct reason why = {{0}};
    cr_assert_eq(tap_try(t, format, query, "", &why), OK, "%s", why.text);
    world_turn(w);
    return t;
}

/* The reader takes what is pending. */
static inline void tap_take(struct tap *t)
{
    t->pending = 0;
    outlet_writable(&t->outlet);
    world_turn(t->world);
}

static inline void tap_say(struct tap *t, const char *message)
{
    outlet_message(&t->outlet, bytes_of(message));
    world_turn(t->world);
}

/* The next frame, or NULL. */
static inline struct shared *tap_next(struct tap *t)
{
    return t->read < t->count ? t->frames[t->read++] : NULL;
}

/* The next frame, which is there. */
static inline struct shared *tap_frame(struct tap *t)
{
    struct shared *frame = tap_next(t);
    CHECK(frame != NULL);
    return frame;
}

/* The next frame as JSON; borrowed until the next call. NULL if there is none. */
static inline json_t *tap_json(struct tap *t)
{
    struct shared *frame = tap_next(t);
    json_decref(t->parsed);
    t->parsed = frame == NULL ? NULL : json_loadb(frame->data, frame->len, JSON_ALLOW_NUL, NULL);
    cr_assert(frame == NULL || t->parsed != NULL, "not JSON: %.*s", (int)frame->len, frame->data);
    return t->parsed;
}

static inline void tap_skip(struct tap *t)
{
    t->read = t->count;
}

/* The next frame is exactly this text. */
static inline void tap_expect(struct tap *t, const char *want)
{
    cr_assert(t->read < t->count, "nothing was sent, want %s", want);
    struct shared *frame = tap_frame(t);
    cr_assert(bytes_equal(shared_view(frame), bytes_of(want)), "got  %.*s\nwant %s",
              (int)frame->len, frame->data, want);
}

static inline void tap_expect_nothing(struct tap *t)
{
    cr_assert(t->read == t->count, "sent: %.*s", (int)t->frames[t->read]->len,
              t->frames[t->read]->data);
}

static inline const char *json_text_of(json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    return text == NULL ? "" : text;
}

static inline uint64_t json_u64_of(json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* The next message has this type. */
static inline json_t *tap_expect_type(struct tap *t, const char *type)
{
    json_t *m = tap_json(t);
    cr_assert(m != NULL, "nothing was sent, want %s", type);
    cr_assert_str_eq(json_text_of(m, "type"), type);
    return m;
}

#endif
