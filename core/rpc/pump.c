#include "core/rpc/pump.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void pump_free(struct pump *p)
{
    int fd = p->io.fd;
    if (p->started) {
        io_close(&p->io);
        timer_stop(&p->linger);
    }
    (void)close(fd);
    buf_close(&p->to_fd);
    buf_close(&p->to_stream);
    list_remove(&p->link);
    free(p);
}

/* The descriptor's side is through, or broken. */
static void pump_end(struct pump *p, enum rpc_close why)
{
    mux_stream_close(&p->stream, why);
    p->ended(p);
    pump_free(p);
}

void pump_close(struct pump *p, enum rpc_close why)
{
    mux_stream_close(&p->stream, why);
    pump_free(p);
}

static void pump_want(struct pump *p)
{
    bool reads = !p->last && p->to_stream.len == 0;
    io_want(&p->io, (reads ? IO_READ : 0U) | (p->to_fd.len > 0 ? IO_WRITE : 0U));
}

/* --- out of the stream --------------------------------------------------------------------------
 */

/* False: it is broken. `ret_taken` of `data` are with the kernel. */
static bool pump_put(const struct pump *p, struct bytes data, size_t *ret_taken)
{
    ssize_t put = data.len == 0 ? 0 : send(p->io.fd, data.ptr, data.len, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
    }
    *ret_taken = put < 0 ? 0 : (size_t)put;
    return true;
}

static void pump_on_data(struct mux_stream *s, struct bytes data)
{
    struct pump *p = LIST_OWNER(s, struct pump, stream);
    size_t taken = 0;
    if (p->to_fd.len == 0 && !pump_put(p, data, &taken)) {
        pump_end(p, RPC_CLOSE_CANCEL);
        return;
    }
    mux_consumed(s, taken);
    /* The window is its limit. */
    buf_put(&p->to_fd, bytes_slice(data, taken, data.len));
    pump_want(p);
}

static void pump_on_closed(struct mux_stream *s, enum mux_ended how)
{
    struct pump *p = LIST_OWNER(s, struct pump, stream);
    if (how == MUX_LOST || p->to_fd.len == 0) {
        p->ended(p);
        pump_free(p);
        return;
    }
    p->last = true;
    env_timer_start(loop_env(p->io.loop), &p->linger, HTTP_LINGER_MS);
    pump_want(p);
}

static void pump_on_linger(struct timer *t)
{
    struct pump *p = LIST_OWNER(t, struct pump, linger);
    p->ended(p);
    pump_free(p);
}

static void pump_write(struct pump *p)
{
    size_t taken = 0;
    if (!pump_put(p, buf_view(&p->to_fd), &taken)) {
        pump_end(p, RPC_CLOSE_CANCEL);
        return;
    }
    buf_consume(&p->to_fd, taken);
    if (!p->last) {
        mux_consumed(&p->stream, taken);
    } else if (p->to_fd.len == 0) {
        p->ended(p);
        pump_free(p);
        return;
    }
    pump_want(p);
}

/* --- into it ------------------------------------------------------------------------------------
 */

static void pump_on_writable(struct mux_stream *s)
{
    struct pump *p = LIST_OWNER(s, struct pump, stream);
    if (p->to_stream.len > 0) {
        buf_consume(&p->to_stream, mux_send(s, buf_view(&p->to_stream)));
    }
    pump_want(p);
}

static void pump_read(struct pump *p)
{
    char data[RPC_DATA_MAX];
    size_t room = mux_room(&p->stream);
    if (room == 0) {
        io_want(&p->io, p->io.want & ~(unsigned)IO_READ);
        return;
    }
    ssize_t got = recv(p->io.fd, data, room < sizeof data ? room : sizeof data, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        pump_end(p, RPC_CLOSE_DONE);
        return;
    }
    size_t sent = mux_send(&p->stream, (struct bytes){data, (size_t)got});
    CHECK(sent == (size_t)got); /* there was room */
}

static void pump_on_io(struct io *io, unsigned ready)
{
    struct pump *p = LIST_OWNER(io, struct pump, io);
    /* Reading may end it; what is to be written then has nobody to read it. */
    if ((ready & IO_WRITE) != 0) {
        pump_write(p);
    } else if ((ready & IO_READ) != 0) {
        pump_read(p);
    }
}

const struct mux_stream_ops PUMP_STREAM = {
    .data = pump_on_data,
    .writable = pump_on_writable,
    .closed = pump_on_closed,
};

struct pump *pump_new(int fd, void (*ended)(struct pump *p), void *ctx)
{
    struct pump *p = mem_zalloc(1, sizeof *p);
    p->io.fd = fd;
    p->ended = ended;
    p->ctx = ctx;
    list_init(&p->link);
    buf_init(&p->to_fd, RPC_WINDOW);
    buf_init(&p->to_stream, 4 * RPC_ANSWER_HEAD_MAX);
    return p;
}

void pump_start(struct pump *p, struct loop *loop, struct bytes first)
{
    p->started = true;
    io_open(&p->io, loop, p->io.fd, pump_on_io);
    env_timer_init(loop_env(loop), &p->linger, pump_on_linger);
    size_t sent = first.len > 0 ? mux_send(&p->stream, first) : 0;
    buf_put(&p->to_stream, bytes_slice(first, sent, first.len));
    pump_want(p);
}
