#include "core/front/front.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/front/inside.h"

#include <stdlib.h>
#include <string.h>

/* Exchanges kept for reuse: one is at work at a time, the others come back in bursts. */
#define POOL_MAX 64

static void front_on_later(struct timer *t);
static void front_on_drain_timeout(struct timer *t);

static void front_limits_resolve(struct front_limits *l)
{
    l->head_max = l->head_max != 0 ? l->head_max : HTTP_HEAD_MAX;
    l->body_max = l->body_max != 0 ? l->body_max : HTTP_BODY_MAX;
    l->pipeline_max = l->pipeline_max != 0 ? l->pipeline_max : HTTP_PIPELINE_MAX;
    l->head_ms = l->head_ms != 0 ? l->head_ms : HTTP_HEAD_DEADLINE_MS;
    l->body_ms = l->body_ms != 0 ? l->body_ms : HTTP_BODY_DEADLINE_MS;
    l->idle_ms = l->idle_ms != 0 ? l->idle_ms : HTTP_IDLE_DEADLINE_MS;
    l->write_stall_ms = l->write_stall_ms != 0 ? l->write_stall_ms : HTTP_WRITE_STALL_MS;
    l->ping_ms = l->ping_ms != 0 ? l->ping_ms : STREAM_PING_MS;
    l->connections_per_client =
        l->connections_per_client != 0 ? l->connections_per_client : HTTP_CONNECTIONS_PER_CLIENT;
}

enum err
front_new(const struct front_options *options, struct front **ret_front, struct reason *why)
{
    struct front *f = mem_zalloc(1, sizeof *f);
    f->options = *options;
    front_limits_resolve(&f->options.limits);
    f->env = loop_env(options->loop);
    list_init(&f->connections);
    list_init(&f->dead);
    list_init(&f->later);
    env_timer_init(f->env, &f->later_timer, front_on_later);
    env_timer_init(f->env, &f->drain_timer, front_on_drain_timeout);
    buf_init(&f->answer_head, HTTP_REQUEST_ARENA_MAX * 2);
    buf_init(&f->extra, HTTP_REQUEST_ARENA_MAX);
    for (size_t i = 0; i < options->header_count; i++) {
        enum err e = buf_printf(&f->extra, "%s: %s\r\n", options->headers[i].name,
                                options->headers[i].value);
        if (e != OK) {
            reason_set(why, "response headers are too long");
            front_free(f);
            return e;
        }
    }
    f->scratch = mem_alloc(HTTP_READ_MAX);
    enum err e = acceptor_open(f, why);
    if (e != OK) {
        front_free(f);
        return e;
    }
    *ret_front = f;
    return OK;
}

static void front_bury(struct front *f)
{
    LIST_FOREACH (at, &f->dead) {
        list_remove(at);
        free(LIST_OWNER(at, struct connection, link));
    }
}

static void front_close_all(struct front *f)
{
    /* Not LIST_FOREACH: a handler's `cancelled` could close a neighbour. */
    while (!list_empty(&f->connections)) {
        connection_gone(LIST_OWNER(f->connections.next, struct connection, link));
    }
    websocket_host_close_all(f);
}

void front_free(struct front *f)
{
    if (f == NULL) {
        return;
    }
    acceptor_close(f);
    front_close_all(f);
    websocket_host_free(f);
    front_bury(f);
    timer_stop(&f->later_timer);
    timer_stop(&f->drain_timer);
    while (f->pool != NULL) {
        struct exchange *x = f->pool;
        f->pool = x->next_free;
        free(x);
    }
    gzip_free(f);
    buf_close(&f->answer_head);
    buf_close(&f->extra);
    free(f->scratch);
    free(f);
}

void *front_ctx(const struct front *f)
{
    return f->options.ctx;
}

struct loop *front_loop(const struct front *f)
{
    return f->options.loop;
}

unsigned front_number(const struct front *f)
{
    return f->options.number;
}

uint16_t front_port(const struct front *f, size_t i)
{
    return acceptor_port(f, i);
}

size_t front_connections(const struct front *f)
{
    return atomic_load(&f->count);
}

void front_count(struct front *f, int delta)
{
    if (delta > 0) {
        (void)atomic_fetch_add(&f->count, 1);
    } else {
        (void)atomic_fetch_sub(&f->count, 1);
        front_later(f);
    }
    metric_add(METRIC_HTTP_CONNECTIONS, delta);
}

void front_later(struct front *f)
{
    if (!timer_armed(&f->later_timer)) {
        env_timer_start(f->env, &f->later_timer, 0);
    }
}

static void front_drain_check(struct front *f)
{
    if (f->drained == NULL || front_connections(f) > 0) {
        return;
    }
    void (*drained)(struct front *) = f->drained;
    f->drained = NULL;
    timer_stop(&f->drain_timer);
    drained(f);
}

static void front_on_later(struct timer *t)
{
    struct front *f = LIST_OWNER(t, struct front, later_timer);
    struct list now;
    list_init(&now);
    list_move_all(&now, &f->later);
    while (!list_empty(&now)) {
        struct connection *c = LIST_OWNER(now.next, struct connection, later);
        list_remove(&c->later);
        connection_turn(c);
    }
    gzip_forget(f);
    front_bury(f);
    front_drain_check(f);
}

struct exchange *exchange_new(struct connection *c)
{
    struct front *f = c->front;
    struct exchange *x = f->pool;
    if (x != NULL) {
        f->pool = x->next_free;
        f->pooled--;
    } else {
        x = mem_alloc(sizeof *x);
    }
    memset(x, 0, offsetof(struct exchange, memory));
    x->request.front = f;
    x->request.connection = c;
    x->request.arena = &x->arena;
    x->request.client = (struct bytes){.ptr = c->client, .len = c->client_len};
    arena_init(&x->arena, HTTP_REQUEST_ARENA_MAX);
    arena_lend(&x->arena, x->memory, sizeof x->memory);
    buf_init(&x->body, f->options.limits.body_max);
    return x;
}

void exchange_free(struct front *f, struct exchange *x)
{
    arena_close(&x->arena);
    buf_close(&x->body);
    if (f->pooled == POOL_MAX) {
        free(x);
        return;
    }
    x->next_free = f->pool;
    f->pool = x;
    f->pooled++;
}

void front_adopt(struct front *f, int fd, struct bytes client)
{
    connection_new(f, fd, client, CLIENTS_NONE)->forwarded = true;
}

void front_stop_accepting(struct front *f)
{
    acceptor_finish(f);
}

static void front_on_drain_timeout(struct timer *t)
{
    struct front *f = LIST_OWNER(t, struct front, drain_timer);
    front_close_all(f);
    front_later(f);
}

void front_drain(struct front *f, uint64_t timeout_ms, void (*drained)(struct front *f))
{
    CHECK(drained != NULL);
    f->draining = true;
    f->drained = drained;
    LIST_FOREACH (at, &f->connections) {
        struct connection *c = LIST_OWNER(at, struct connection, link);
        if (c->sm.state == CONNECTION_HEAD && c->in.len == 0) {
            connection_close(c);
        }
    }
    env_timer_start(f->env, &f->drain_timer, timeout_ms);
    front_later(f);
}
