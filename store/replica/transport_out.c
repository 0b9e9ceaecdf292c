/* What we dial: one connection for each peer and channel, again and again.
 *
 *      WAITING --timer--> DIALLING --connected--> UP
 *         ^                  |                     |
 *         +---- failed ------+------- broke -------+
 *
 * Nothing is written from inside a call: what is queued goes out at the next turn, together. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/metric.h"
#include "store/replica/transport_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define OUT_PIECES 16

static const struct sm_state OUT_STATES[] = {
    [OUT_WAITING] = {"waiting", SM_TO(OUT_DIALLING)},
    [OUT_DIALLING] = {"dialling", SM_TO(OUT_UP) | SM_TO(OUT_WAITING)},
    [OUT_UP] = {"up", SM_TO(OUT_WAITING)},
};

static const char *out_channel_name(const struct out *o)
{
    return o->channel == TRANSPORT_BULK ? "bulk" : "control";
}

/* The state has changed: the user hears it at the next turn, and only about the control channel. */
static void out_news(struct out *o)
{
    struct peer *p = o->peer;
    if (o->channel == TRANSPORT_CONTROL) {
        list_remove(&p->news);
        list_append(&p->transport->news, &p->news);
        transport_turn(p->transport);
    }
}

static void out_mark_dirty(struct out *o)
{
    if (list_empty(&o->dirty)) {
        list_append(&o->peer->transport->dirty, &o->dirty);
        transport_turn(o->peer->transport);
    }
}

/* --- ending ------------------------------------------------------------------------------------
 */

/* A peer that refuses us at once, again and again, is one line a minute. */
static void out_log_lost(struct out *o, uint64_t now_ms, const char *reason)
{
    if (now_ms < o->quiet_until_ms) {
        return;
    }
    if (now_ms - o->up_ms < TRANSPORT_RETRY_MAX_MS) {
        o->quiet_until_ms = now_ms + TRANSPORT_QUIET_MS;
    }
    log_line(o->channel == TRANSPORT_CONTROL ? LOG_PEER_LOST : LOG_PEER_LOST_BULK,
             "server=%016" PRIx64 " address=%s channel=%s reason=\"%s\"", o->peer->id,
             o->peer->address, out_channel_name(o), reason);
}

/* From any state to WAITING, without a timer. No reason: that was our own wish. */
static void out_break(struct out *o, const char *reason)
{
    if (o->state.state == OUT_WAITING) {
        return;
    }
    struct transport *t = o->peer->transport;
    uint64_t now_ms = env_now_ms(t->env);
    int fd = o->io.fd;
    io_close(&o->io);
    (void)close(fd);
    timer_stop(&o->timer);
    list_remove(&o->dirty);
    metric_add(METRIC_PEER_DROPPED, (int64_t)o->queue.frames);
    send_queue_clear(&o->queue);
    if (o->state.state == OUT_UP) {
        /* Backoff starts anew only after a connection that was good for something. */
        if (now_ms - o->up_ms >= TRANSPORT_RETRY_MAX_MS) {
            o->backoff_ms = TRANSPORT_RETRY_MIN_MS;
        }
        o->peer->lost = o->peer->lost || o->channel == TRANSPORT_CONTROL;
        if (reason != NULL) {
            out_log_lost(o, now_ms, reason);
        }
        out_news(o);
    }
    sm_move(&o->state, OUT_WAITING);
}

static void out_fail(struct out *o, const char *reason)
{
    struct env *env = o->peer->transport->env;
    out_break(o, reason);
    uint64_t half_ms = o->backoff_ms / 2;
    env_timer_start(env, &o->timer, half_ms + env_random_below(env, half_ms + 1));
    o->backoff_ms *= 2;
    if (o->backoff_ms > TRANSPORT_RETRY_MAX_MS) {
        o->backoff_ms = TRANSPORT_RETRY_MAX_MS;
    }
}

void out_restart(struct out *o)
{
    /* Whatever can still go goes. */
    if (o->state.state == OUT_UP) {
        out_flush(o);
    }
    out_break(o, NULL);
    o->backoff_ms = TRANSPORT_RETRY_MIN_MS;
    o->quiet_until_ms = 0;
    env_timer_start(o->peer->transport->env, &o->timer, 0);
}

void out_hurry(struct out *o)
{
    if (o->state.state == OUT_WAITING && o->backoff_ms > TRANSPORT_RETRY_MIN_MS) {
        o->backoff_ms = TRANSPORT_RETRY_MIN_MS;
        env_timer_start(o->peer->transport->env, &o->timer, TRANSPORT_RETRY_MIN_MS);
    }
}

void out_close(struct out *o)
{
    out_break(o, NULL);
    timer_stop(&o->timer);
    CHECK(o->queue.bytes == 0 && list_empty(&o->dirty));
}

/* --- writing -----------------------------------------------------------------------------------
 */

void out_put(struct out *o, struct bytes message)
{
    CHECK(o->state.state == OUT_UP);
    char head[FRAME_HEAD_LEN];
    frame_head(message, head);
    send_queue_put(&o->queue, (struct bytes){head, sizeof head}, message);
    metric_add(METRIC_PEER_FRAMES_OUT, 1);
    if ((o->io.want & IO_WRITE) == 0) {
        out_mark_dirty(o);
    }
}

/* One turn's worth; then others come first. */
void out_flush(struct out *o)
{
    struct transport *t = o->peer->transport;
    size_t left = TRANSPORT_TURN_BYTES;
    while (o->queue.bytes > 0 && left > 0) {
        struct iovec pieces[OUT_PIECES];
        int count = send_queue_peek(&o->queue, pieces, OUT_PIECES, left);
        ssize_t n = wire_write(o->io.fd, pieces, count);
        if (n == -EAGAIN) {
            break;
        }
        if (n < 0) {
            out_fail(o, strerror((int)-n));
            return;
        }
        send_queue_sent(&o->queue, (size_t)n);
        t->counts.sent_bytes += (uint64_t)n;
        metric_add(METRIC_PEER_BYTES_OUT, n);
        left -= (size_t)n;
    }
    io_want(&o->io, o->queue.bytes > 0 ? IO_READ | IO_WRITE : IO_READ);
}

/* --- dialling ----------------------------------------------------------------------------------
 */

static void out_up(struct out *o)
{
    struct transport *t = o->peer->transport;
    char hello[HELLO_LEN];
    hello_encode(&(struct hello){.channel = o->channel,
                                 .cluster = t->cluster,
                                 .sender = t->options.id,
                                 .receiver = o->peer->id},
                 hello);
    timer_stop(&o->timer);
    sm_move(&o->state, OUT_UP);
    o->cluster = t->cluster;
    o->up_ms = env_now_ms(t->env);
    send_queue_put(&o->queue, (struct bytes){hello, sizeof hello}, (struct bytes){0});
    io_want(&o->io, IO_READ);
    out_mark_dirty(o);
    out_news(o);
    if (o->up_ms >= o->quiet_until_ms) {
        log_line(o->channel == TRANSPORT_CONTROL ? LOG_PEER_CONNECTED : LOG_PEER_CONNECTED_BULK,
                 "server=%016" PRIx64 " address=%s channel=%s", o->peer->id, o->peer->address,
                 out_channel_name(o));
    }
}

/* Nobody speaks on what we dialled: what can be read is its end. */
static bool out_ended(struct out *o)
{
    char byte;
    ssize_t n = wire_read(o->io.fd, &byte, sizeof byte);
    if (n == -EAGAIN) {
        return false;
    }
    out_fail(o, n > 0 ? "it speaks where it should listen" : n == 0 ? "closed" : strerror((int)-n));
    return true;
}

static void out_on_io(struct io *io, unsigned ready)
{
    struct out *o = LIST_OWNER(io, struct out, io);
    if (o->state.state == OUT_DIALLING) {
        int error = wire_dialled(io->fd);
        if (error != 0) {
            out_fail(o, strerror(error));
        } else {
            out_up(o);
        }
        return;
    }
    if ((ready & IO_READ) != 0 && out_ended(o)) {
        return;
    }
    if ((ready & IO_WRITE) != 0) {
        out_flush(o);
    }
}

static void out_on_timer(struct timer *timer)
{
    struct out *o = LIST_OWNER(timer, struct out, timer);
    struct transport *t = o->peer->transport;
    if (o->state.state == OUT_DIALLING) {
        out_fail(o, "timed out");
        return;
    }
    int fd = wire_dial(&o->peer->to);
    if (fd < 0) {
        out_fail(o, strerror(-fd));
        return;
    }
    sm_move(&o->state, OUT_DIALLING);
    io_open(&o->io, t->options.loop, fd, out_on_io);
    io_want(&o->io, IO_WRITE);
    env_timer_start(t->env, &o->timer, TRANSPORT_CONNECT_MS);
}

void out_init(struct out *o, struct peer *p, enum transport_channel channel)
{
    *o = (struct out){.peer = p, .channel = channel, .backoff_ms = TRANSPORT_RETRY_MIN_MS};
    sm_init(&o->state, OUT_STATES, OUT_WAITING);
    env_timer_init(p->transport->env, &o->timer, out_on_timer);
    send_queue_init(&o->queue);
    list_init(&o->dirty);
    env_timer_start(p->transport->env, &o->timer, 0);
}
