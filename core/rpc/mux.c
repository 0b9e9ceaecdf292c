#include "core/rpc/mux.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A stream's id: its slot below, a number that changes with each use above. */
#define SLOT_BITS   16U
#define SLOT_OF(id) ((size_t)((id)&0xffffU))
_Static_assert(RPC_STREAMS_MAX <= 1U << SLOT_BITS, "each stream has a slot");

struct slot {
    struct mux_stream *stream; /* NULL: free */
    uint32_t uses;
};

struct mux {
    struct mux_options options;
    struct env *env;
    struct io io;
    struct timer turn; /* due at once: there is something to write */
    struct timer pulse;
    uint64_t heard_ms; /* when the last byte came */
    struct buf in;
    struct buf out;
    size_t sent; /* of `out` */
    struct slot *slots;
    size_t slot_count; /* how many are allocated */
    size_t next_slot;
    size_t streams;
    struct list full; /* streams that wait for the socket */
    uint32_t opening; /* the id that `opened` is being told of; 0: none */
    bool greeted;     /* the other side's first 8 bytes were right */
    bool ready;       /* its hello came */
    bool over;
    bool freed;
    unsigned busy; /* callbacks on the stack */
};

static void mux_destroy(struct mux *m)
{
    buf_close(&m->in);
    buf_close(&m->out);
    free(m->slots);
    free(m);
}

static void mux_enter(struct mux *m)
{
    m->busy++;
}

/* Whoever freed it inside a callback could not yet. */
static void mux_leave_call(struct mux *m)
{
    /* Whoever is inside counts: it is not freed before.
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    CHECK(m->busy > 0);
    m->busy--;
    if (m->busy == 0 && m->freed) {
        mux_destroy(m);
    }
}

static void mux_shut(struct mux *m)
{
    int fd = m->io.fd;
    m->over = true;
    io_close(&m->io);
    (void)close(fd);
    timer_stop(&m->turn);
    timer_stop(&m->pulse);
}

static void stream_forget(struct mux_stream *s)
{
    struct mux *m = s->mux;
    struct slot *slot = &m->slots[SLOT_OF(s->id)];
    CHECK(slot->stream == s);
    slot->stream = NULL;
    m->streams--;
    metric_add(METRIC_RPC_STREAMS, -1);
    list_remove(&s->full);
    s->mux = NULL;
}

/* The connection is no more. Its streams hear it first, then its user. */
static void mux_lose(struct mux *m, const char *why)
{
    if (m->over) {
        return;
    }
    mux_shut(m);
    mux_enter(m);
    for (size_t i = 0; i < m->slot_count && !m->freed; i++) {
        struct mux_stream *s = m->slots[i].stream;
        if (s != NULL) {
            stream_forget(s);
            s->ops->closed(s, MUX_LOST);
        }
    }
    if (!m->freed) {
        m->options.ops->lost(m, why);
    }
    mux_leave_call(m);
}

/* --- sending -----------------------------------------------------------------------------------
 */

static void mux_later(struct mux *m)
{
    if (!timer_armed(&m->turn)) {
        env_timer_start(m->env, &m->turn, 0);
    }
}

static void mux_put(struct mux *m, const struct rpc_frame *f)
{
    /* No room: the other side has read nothing for long. The pulse ends it, nobody here has to. */
    if (!m->over && rpc_frame_encode(&m->out, f) == OK) {
        mux_later(m);
    } else {
        m->heard_ms = 0;
    }
}

static bool mux_is_full(const struct mux *m)
{
    return m->out.len - m->sent >= RPC_OUT_FULL;
}

/* Those that waited for the socket. */
static void mux_tell_writable(struct mux *m)
{
    struct list now;
    list_init(&now);
    list_move_all(&now, &m->full);
    while (!list_empty(&now)) {
        struct mux_stream *s = LIST_OWNER(now.next, struct mux_stream, full);
        list_remove(&s->full);
        if (m->over || mux_is_full(m)) {
            list_append(&m->full, &s->full);
        } else {
            s->ops->writable(s);
        }
    }
}

static void mux_want(struct mux *m)
{
    io_want(&m->io, IO_READ | (m->out.len > m->sent ? IO_WRITE : 0U));
}

static void mux_flush(struct mux *m)
{
    while (m->out.len > m->sent) {
        ssize_t put = send(m->io.fd, m->out.ptr + m->sent, m->out.len - m->sent, MSG_NOSIGNAL);
        if (put < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) {
            break;
        }
        if (put < 0) {
            mux_lose(m, strerror(errno));
            return;
        }
        m->sent += (size_t)put;
    }
    if (m->sent == m->out.len) {
        m->sent = 0;
        buf_clear(&m->out);
    } else if (m->sent >= RPC_OUT_FULL) {
        buf_consume(&m->out, m->sent);
        m->sent = 0;
    }
    mux_want(m);
    if (!list_empty(&m->full) && m->out.len - m->sent <= RPC_OUT_FULL / 2) {
        mux_tell_writable(m);
    }
}

size_t mux_room(struct mux_stream *s)
{
    if (s->credit > 0 && mux_is_full(s->mux) && list_empty(&s->full)) {
        list_append(&s->mux->full, &s->full);
    }
    return mux_is_full(s->mux) ? 0 : s->credit;
}

size_t mux_send(struct mux_stream *s, struct bytes data)
{
    size_t taken = 0;
    while (taken < data.len) {
        size_t room = mux_room(s);
        size_t len = data.len - taken < room ? data.len - taken : room;
        len = len < RPC_DATA_MAX ? len : RPC_DATA_MAX;
        if (len == 0) {
            break;
        }
        mux_put(s->mux, &(struct rpc_frame){.type = RPC_FRAME_DATA,
                                            .stream = s->id,
                                            .data = bytes_slice(data, taken, taken + len)});
        s->credit -= (uint32_t)len;
        taken += len;
    }
    return taken;
}

void mux_consumed(struct mux_stream *s, size_t len)
{
    CHECK(len <= RPC_WINDOW - s->window - s->consumed);
    s->consumed += (uint32_t)len;
    if (s->consumed >= RPC_WINDOW / 2) {
        mux_put(s->mux, &(struct rpc_frame){
                            .type = RPC_FRAME_WINDOW, .stream = s->id, .number = s->consumed});
        s->window += s->consumed;
        s->consumed = 0;
    }
}

/* --- streams ------------------------------------------------------------------------------------
 */

static void mux_grow(struct mux *m, size_t need)
{
    size_t count = m->slot_count == 0 ? 16 : m->slot_count;
    while (count < need) {
        count *= 2;
    }
    if (count > m->slot_count) {
        m->slots = mem_realloc(m->slots, count * sizeof *m->slots);
        memset(&m->slots[m->slot_count], 0, (count - m->slot_count) * sizeof *m->slots);
        m->slot_count = count;
    }
}

static void
stream_begin(struct mux *m, struct mux_stream *s, uint32_t id, const struct mux_stream_ops *ops)
{
    *s = (struct mux_stream){
        .ops = ops,
        .mux = m,
        .id = id,
        .credit = RPC_WINDOW,
        .window = RPC_WINDOW,
    };
    list_init(&s->full);
    m->slots[SLOT_OF(id)].stream = s;
    m->streams++;
    metric_add(METRIC_RPC_STREAMS, 1);
}

/* Slot 0 is no stream's. */
enum err mux_open(struct mux *m, struct mux_stream *s, const struct mux_stream_ops *ops)
{
    CHECK(m->options.agent && !m->over);
    if (m->streams + 1 >= RPC_STREAMS_MAX) {
        return ERR_LIMIT;
    }
    mux_grow(m, m->streams + 2);
    size_t slot = m->next_slot;
    do {
        slot = slot + 1 < m->slot_count ? slot + 1 : 1;
    } while (m->slots[slot].stream != NULL);
    m->next_slot = slot;
    uint32_t uses = m->slots[slot].uses++;
    stream_begin(m, s, uses << SLOT_BITS | (uint32_t)slot, ops);
    mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_OPEN, .stream = s->id});
    return OK;
}

void mux_accept(struct mux *m, uint32_t id, struct mux_stream *s, const struct mux_stream_ops *ops)
{
    CHECK(m->opening == id);
    m->opening = 0;
    stream_begin(m, s, id, ops);
}

void mux_stream_close(struct mux_stream *s, enum rpc_close why)
{
    struct mux *m = s->mux;
    if (m == NULL) {
        return;
    }
    mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_CLOSE, .stream = s->id, .number = why});
    stream_forget(s);
}

static struct mux_stream *mux_find(const struct mux *m, uint32_t id)
{
    size_t slot = SLOT_OF(id);
    struct mux_stream *s = slot < m->slot_count ? m->slots[slot].stream : NULL;
    return s != NULL && s->id == id ? s : NULL;
}

/* --- receiving ---------------------------------------------------------------------------------
 */

static const char *mux_on_open(struct mux *m, uint32_t id)
{
    if (m->options.agent) {
        return "a server may not open streams";
    }
    size_t slot = SLOT_OF(id);
    if (slot == 0 || slot >= RPC_STREAMS_MAX) {
        return "a stream that cannot be";
    }
    mux_grow(m, slot + 1);
    if (m->slots[slot].stream != NULL) {
        return "a stream was opened twice";
    }
    m->opening = id;
    m->options.ops->opened(m, id);
    if (m->opening == id && !m->over) {
        m->opening = 0;
        mux_put(m, &(struct rpc_frame){
                       .type = RPC_FRAME_CLOSE, .stream = id, .number = RPC_CLOSE_BUSY});
    }
    return NULL;
}

static const char *mux_on_data(struct mux_stream *s, struct bytes data)
{
    if (data.len > s->window) {
        return "more data than there is room for";
    }
    s->window -= (uint32_t)data.len;
    s->ops->data(s, data);
    return NULL;
}

static const char *mux_on_window(struct mux_stream *s, uint32_t more)
{
    if (more > RPC_WINDOW - s->credit) {
        return "a window that is too large";
    }
    bool stopped = s->credit == 0;
    s->credit += more;
    if (stopped && more > 0) {
        s->ops->writable(s);
    }
    return NULL;
}

static void mux_on_close(struct mux_stream *s, uint32_t why)
{
    stream_forget(s);
    s->ops->closed(s, why == RPC_CLOSE_DONE   ? MUX_DONE
                      : why == RPC_CLOSE_BUSY ? MUX_BUSY
                                              : MUX_LOST);
}

static const char *mux_on_stream(struct mux *m, const struct rpc_frame *f)
{
    struct mux_stream *s = mux_find(m, f->stream);
    if (s == NULL) {
        return NULL; /* it was closed here, which the other side did not know yet */
    }
    if (f->type == RPC_FRAME_DATA) {
        return mux_on_data(s, f->data);
    }
    if (f->type == RPC_FRAME_WINDOW) {
        return mux_on_window(s, f->number);
    }
    mux_on_close(s, f->number);
    return NULL;
}

/* What is wrong with it, or NULL. */
static const char *mux_on_frame(struct mux *m, const struct rpc_frame *f)
{
    if (m->ready == (f->type == RPC_FRAME_HELLO)) {
        return m->ready ? "a second hello" : "no hello";
    }
    switch (f->type) {
    case RPC_FRAME_HELLO:
        if (!bytes_equal(f->datacenter, bytes_of(m->options.datacenter))) {
            return "another datacenter";
        }
        m->ready = true;
        m->options.ops->ready(m, f);
        return NULL;
    case RPC_FRAME_OPEN:
        return mux_on_open(m, f->stream);
    case RPC_FRAME_PING:
        mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_PONG, .token = f->token});
        return NULL;
    case RPC_FRAME_PONG:
        return NULL;
    case RPC_FRAME_LEAVE:
        if (m->options.ops->leave != NULL) {
            m->options.ops->leave(m);
        }
        return NULL;
    case RPC_FRAME_DATA:
    case RPC_FRAME_WINDOW:
    case RPC_FRAME_CLOSE:
        return mux_on_stream(m, f);
    }
    return "an unknown frame";
}

static void mux_on_bytes(struct mux *m)
{
    size_t used = 0;
    const char *wrong = NULL;
    if (!m->greeted) {
        if (m->in.len < RPC_HELLO_LEN) {
            return;
        }
        m->greeted = memcmp(m->in.ptr, RPC_HELLO, RPC_HELLO_LEN) == 0;
        wrong = m->greeted ? NULL : "it does not speak our protocol, or another version of it";
        used = RPC_HELLO_LEN;
    }
    while (wrong == NULL && !m->over) {
        struct rpc_frame f = {0};
        size_t len = 0;
        enum rpc_found found =
            rpc_frame_find(bytes_slice(buf_view(&m->in), used, m->in.len), &f, &len);
        if (found == RPC_FOUND_PART) {
            break;
        }
        wrong = found == RPC_FOUND_BAD ? "a frame that cannot be" : mux_on_frame(m, &f);
        used += len;
    }
    if (wrong != NULL) {
        mux_lose(m, wrong);
    } else {
        buf_consume(&m->in, used);
    }
}

static void mux_read(struct mux *m)
{
    if (buf_reserve(&m->in, RPC_FRAME_MAX) != OK) {
        mux_lose(m, "a frame that does not end");
        return;
    }
    ssize_t got = recv(m->io.fd, m->in.ptr + m->in.len, RPC_FRAME_MAX, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        mux_lose(m, got == 0 ? "closed by the other side" : strerror(errno));
        return;
    }
    m->heard_ms = env_now_ms(m->env);
    m->in.len += (size_t)got;
    mux_on_bytes(m);
}

static void mux_on_turn(struct timer *t)
{
    struct mux *m = LIST_OWNER(t, struct mux, turn);
    mux_enter(m);
    if (!m->ready && m->in.len > 0) {
        mux_on_bytes(m); /* what was read before it was ours */
    }
    if (!m->over) {
        mux_flush(m);
    }
    mux_leave_call(m);
}

static void mux_on_io(struct io *io, unsigned ready)
{
    struct mux *m = LIST_OWNER(io, struct mux, io);
    mux_enter(m);
    if ((ready & IO_READ) != 0) {
        mux_read(m);
    }
    if ((ready & IO_WRITE) != 0 && !m->over) {
        mux_flush(m);
    }
    mux_leave_call(m);
}

static void mux_on_pulse(struct timer *t)
{
    struct mux *m = LIST_OWNER(t, struct mux, pulse);
    uint64_t silent_ms = env_now_ms(m->env) - m->heard_ms;
    mux_enter(m);
    if (!m->ready || silent_ms >= RPC_DEAD_MS) {
        mux_lose(m, m->ready ? "no sign of life" : "no hello in time");
    } else {
        if (silent_ms >= RPC_PING_MS) {
            mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_PING, .token = m->heard_ms});
        }
        env_timer_start(m->env, &m->pulse, RPC_PING_MS);
    }
    mux_leave_call(m);
}

/* --- life --------------------------------------------------------------------------------------
 */

struct mux *mux_new(const struct mux_options *options, int fd, struct bytes begun)
{
    struct mux *m = mem_zalloc(1, sizeof *m);
    m->options = *options;
    m->env = loop_env(options->loop);
    m->heard_ms = env_now_ms(m->env);
    buf_init(&m->in, 2 * RPC_FRAME_MAX + RPC_FRAME_HEAD_LEN);
    buf_init(&m->out, RPC_OUT_MAX);
    list_init(&m->full);
    env_timer_init(m->env, &m->turn, mux_on_turn);
    env_timer_init(m->env, &m->pulse, mux_on_pulse);
    env_timer_start(m->env, &m->pulse, RPC_HELLO_MS);
    io_open(&m->io, options->loop, fd, mux_on_io);
    buf_put(&m->in, begun);
    buf_put(&m->out, (struct bytes){RPC_HELLO, RPC_HELLO_LEN});
    mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_HELLO,
                                   .node = bytes_of(options->node),
                                   .datacenter = bytes_of(options->datacenter)});
    mux_want(m);
    metric_add(METRIC_RPC_CONNECTIONS, 1);
    return m;
}

void mux_free(struct mux *m)
{
    if (m == NULL) {
        return;
    }
    CHECK(!m->freed);
    if (!m->over) {
        /* The last frames, as far as the socket takes them. */
        ssize_t put = send(m->io.fd, m->out.ptr + m->sent, m->out.len - m->sent, MSG_NOSIGNAL);
        (void)put;
        mux_shut(m);
    }
    for (size_t i = 0; i < m->slot_count; i++) {
        if (m->slots[i].stream != NULL) {
            stream_forget(m->slots[i].stream);
        }
    }
    metric_add(METRIC_RPC_CONNECTIONS, -1);
    m->freed = true;
    if (m->busy == 0) {
        mux_destroy(m);
    }
}

void *mux_ctx(const struct mux *m)
{
    return m->options.ctx;
}

bool mux_is_ready(const struct mux *m)
{
    return m->ready && !m->over;
}

size_t mux_streams(const struct mux *m)
{
    return m->streams;
}

void mux_leave(struct mux *m)
{
    mux_put(m, &(struct rpc_frame){.type = RPC_FRAME_LEAVE});
}
