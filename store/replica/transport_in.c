/* What we accept: a hello in time, then frames, from servers that we know. Whoever is on the other
 * side may be broken or hostile: until the hello it gets HELLO_LEN bytes of memory, after it no
 * more than one frame. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "store/replica/transport_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- ending ------------------------------------------------------------------------------------
 */

/* The descriptor is somebody else's business. */
static void in_forget(struct in *in)
{
    struct transport *t = in->transport;
    CHECK(!in->closed);
    io_close(&in->io);
    timer_stop(&in->deadline);
    in->closed = true;
    list_remove(&in->link);
    list_append(&t->dead_incoming, &in->link);
    t->incoming_count--;
    transport_turn(t);
}

static void in_close(struct in *in)
{
    int fd = in->io.fd;
    in_forget(in);
    (void)close(fd);
}

/* True if the log has heard of this host within the minute, or of too many others. */
static bool in_quiet(struct transport *t, const char *host)
{
    uint64_t now_ms = env_now_ms(t->env);
    struct quiet *free_one = NULL;
    for (size_t i = 0; i < TRANSPORT_QUIET_ADDRESSES; i++) {
        struct quiet *q = &t->quiet[i];
        if (q->until_ms <= now_ms) {
            free_one = q;
        } else if (strcmp(q->host, host) == 0) {
            return true;
        }
    }
    if (free_one == NULL) {
        return true;
    }
    (void)snprintf(free_one->host, sizeof free_one->host, "%s", host);
    free_one->until_ms = now_ms + TRANSPORT_QUIET_MS;
    return false;
}

static void in_say_refused(struct transport *t, const struct wire_address *from, const char *reason)
{
    char host[WIRE_HOST_TEXT];
    wire_host_text(from, host);
    metric_add(METRIC_PEER_REFUSED, 1);
    if (!in_quiet(t, host)) {
        log_line(LOG_PEER_REFUSED, "from=%s reason=\"%s\"", host, reason);
    }
}

static void in_refuse(struct in *in, const char *reason)
{
    in_say_refused(in->transport, &in->from, reason);
    in_close(in);
}

static void in_free(struct in *in)
{
    list_remove(&in->link);
    free(in->data);
    free(in);
}

void in_reap(struct transport *t)
{
    LIST_FOREACH (at, &t->dead_incoming) {
        in_free(LIST_OWNER(at, struct in, link));
    }
}

void in_close_peer(struct transport *t, uint64_t id)
{
    LIST_FOREACH (at, &t->incoming) {
        struct in *in = LIST_OWNER(at, struct in, link);
        if (in->known && in->hello.sender == id) {
            in_close(in);
        }
    }
}

uint64_t transport_peer_cluster(struct transport *t, uint64_t id)
{
    LIST_FOREACH (at, &t->incoming) {
        const struct in *in = LIST_OWNER(at, struct in, link);
        if (in->known && in->hello.sender == id && in->hello.channel == TRANSPORT_CONTROL) {
            return in->hello.cluster;
        }
    }
    return 0;
}

static bool in_cluster_fits(const struct transport *t, const struct hello *h)
{
    return h->cluster == 0 || t->cluster == 0 || h->cluster == t->cluster;
}

void in_close_cluster(struct transport *t)
{
    LIST_FOREACH (at, &t->incoming) {
        struct in *in = LIST_OWNER(at, struct in, link);
        if (in->known && !in_cluster_fits(t, &in->hello)) {
            in_refuse(in, "another cluster");
        }
    }
}

/* --- hello -------------------------------------------------------------------------------------
 */

/* What is wrong with it, or NULL. */
static const char *in_hello_wrong(const struct transport *t, const struct hello *h)
{
    if (!in_cluster_fits(t, h)) {
        return "another cluster";
    }
    if (h->receiver != t->options.id) {
        return "meant for another server";
    }
    if (transport_peer(t, h->sender) == NULL) {
        return "not a server of ours";
    }
    return NULL;
}

/* The sender has given up what it dialled before. */
static void in_replace_older(struct in *newer)
{
    LIST_FOREACH (at, &newer->transport->incoming) {
        struct in *in = LIST_OWNER(at, struct in, link);
        if (in != newer && in->known && in->hello.sender == newer->hello.sender &&
            in->hello.channel == newer->hello.channel) {
            in_close(in);
        }
    }
}

static bool in_is_other(const struct in *in)
{
    return in->transport->options.other != NULL && in->len >= TRANSPORT_KIND_LEN &&
           !hello_begins((struct bytes){in->data, in->len});
}

/* To who knows what its first bytes begin, or away with it. */
static void in_give_away(struct in *in)
{
    struct transport *t = in->transport;
    char host[WIRE_HOST_TEXT];
    wire_host_text(&in->from, host);
    io_want(&in->io, 0);
    if (t->options.other(t->options.ctx, in->io.fd, (struct bytes){in->data, in->len}, host)) {
        in_forget(in);
    } else {
        in_refuse(in, "it does not speak our protocol");
    }
}

static void in_on_hello(struct in *in)
{
    struct transport *t = in->transport;
    const char *wrong = hello_decode((struct bytes){in->data, in->len}, &in->hello);
    if (wrong == NULL) {
        wrong = in_hello_wrong(t, &in->hello);
    }
    if (wrong != NULL) {
        in_refuse(in, wrong);
        return;
    }
    timer_stop(&in->deadline);
    in->known = true;
    in->len = 0;
    in_replace_older(in);
    struct peer *p = transport_peer(t, in->hello.sender);
    for (unsigned c = 0; c < CHANNELS; c++) {
        out_hurry(&p->out[c]);
    }
}

/* --- frames ------------------------------------------------------------------------------------
 */

static void in_grow(struct in *in, size_t cap)
{
    if (in->cap < cap) {
        in->data = mem_realloc(in->data, cap);
        in->cap = cap;
    }
}

/* What is left begins the buffer again; a large buffer is not kept for nothing. */
static void in_settle(struct in *in, size_t used, size_t frame_len)
{
    in->len -= used;
    if (in->len > 0) {
        if (used > 0) {
            memmove(in->data, in->data + used, in->len);
        }
        in_grow(in, frame_len);
    } else if (in->cap > 4 * TRANSPORT_BUFFER_BYTES) {
        free(in->data);
        in->data = NULL;
        in->cap = 0;
    }
}

/* `in` may be closed when it returns. */
static void in_on_frames(struct in *in)
{
    struct transport *t = in->transport;
    size_t used = 0;
    size_t frame_len = 0;
    for (;;) {
        struct bytes payload = {0};
        enum frame_found found =
            frame_find((struct bytes){in->data + used, in->len - used}, &payload, &frame_len);
        if (found == FRAME_PART) {
            break;
        }
        if (found != FRAME_WHOLE) {
            in_refuse(in, found == FRAME_LENGTH_BAD ? "a frame of a length that cannot be"
                                                    : "the checksum of a frame is wrong");
            return;
        }
        used += frame_len;
        metric_add(METRIC_PEER_FRAMES_IN, 1);
        t->options.receive(t->options.ctx, in->hello.sender, payload);
        if (in->closed) {
            return;
        }
    }
    in_settle(in, used, frame_len);
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void in_on_io(struct io *io, unsigned ready)
{
    struct in *in = LIST_OWNER(io, struct in, io);
    struct transport *t = in->transport;
    (void)ready;
    if (in->known) {
        in_grow(in, TRANSPORT_BUFFER_BYTES);
    }
    size_t room = in->cap - in->len;
    CHECK(room > 0);
    ssize_t n = wire_read(io->fd, in->data + in->len,
                          room < TRANSPORT_TURN_BYTES ? room : TRANSPORT_TURN_BYTES);
    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        in_close(in);
        return;
    }
    in->len += (size_t)n;
    t->counts.received_bytes += (uint64_t)n;
    metric_add(METRIC_PEER_BYTES_IN, n);
    if (in->known) {
        in_on_frames(in);
    } else if (in_is_other(in)) {
        in_give_away(in);
    } else if (in->len == HELLO_LEN) {
        in_on_hello(in);
    }
}

static void in_on_deadline(struct timer *timer)
{
    in_refuse(LIST_OWNER(timer, struct in, deadline), "no hello in time");
}

/* --- accepting ---------------------------------------------------------------------------------
 */

/* Full: the oldest that has not said who it is goes, so that idle strangers keep nobody out. */
static bool in_make_room(struct transport *t)
{
    if (t->incoming_count < TRANSPORT_CONNECTIONS_MAX) {
        return true;
    }
    LIST_FOREACH (at, &t->incoming) {
        struct in *in = LIST_OWNER(at, struct in, link);
        if (!in->known) {
            in_refuse(in, "too many connections, and no hello on this one");
            return true;
        }
    }
    return false;
}

static void in_new(struct transport *t, int fd, const struct wire_address *from)
{
    if (!in_make_room(t)) {
        in_say_refused(t, from, "too many connections");
        (void)close(fd);
        return;
    }
    struct in *in = mem_zalloc(1, sizeof *in);
    in->transport = t;
    in->from = *from;
    in->data = mem_alloc(HELLO_LEN);
    in->cap = HELLO_LEN;
    list_append(&t->incoming, &in->link);
    t->incoming_count++;
    env_timer_init(t->env, &in->deadline, in_on_deadline);
    env_timer_start(t->env, &in->deadline, TRANSPORT_HELLO_MS);
    io_open(&in->io, t->options.loop, fd, in_on_io);
    io_want(&in->io, IO_READ);
}

static void in_on_listener(struct io *io, unsigned ready)
{
    struct transport *t = LIST_OWNER(io, struct transport, listener);
    (void)ready;
    for (unsigned i = 0; i < TRANSPORT_ACCEPT_MAX; i++) {
        struct wire_address from;
        int fd = wire_accept(io->fd, &from);
        if (fd >= 0) {
            in_new(t, fd, &from);
        } else if (fd == -EAGAIN) {
            return;
        } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
            metric_add(METRIC_PEER_REFUSED, 1);
            if (!in_quiet(t, "-")) {
                log_line(LOG_PEER_REFUSED, "reason=\"%s\"", strerror(-fd));
            }
            io_want(io, 0);
            env_timer_start(t->env, &t->rest, TRANSPORT_REST_MS);
            return;
        }
        /* Else that one is gone already, or its network is (accept(2)). */
    }
}

static void in_on_rest(struct timer *timer)
{
    struct transport *t = LIST_OWNER(timer, struct transport, rest);
    io_want(&t->listener, IO_READ);
}

void in_listen(struct transport *t, int fd)
{
    env_timer_init(t->env, &t->rest, in_on_rest);
    io_open(&t->listener, t->options.loop, fd, in_on_listener);
    io_want(&t->listener, IO_READ);
}

void in_close_all(struct transport *t)
{
    int fd = t->listener.fd;
    timer_stop(&t->rest);
    io_close(&t->listener);
    (void)close(fd);
    LIST_FOREACH (at, &t->incoming) {
        in_close(LIST_OWNER(at, struct in, link));
    }
    CHECK(t->incoming_count == 0);
    in_reap(t);
}
