#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/front/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* First byte of a TLS record that begins a handshake. */
#define TLS_HANDSHAKE   0x16
/* Pieces of one writev(). */
#define FLUSH_PIECES    48
/* Answers up to here are copied together before they are written. */
#define FLAT_MAX        2048
/* Bytes written for one connection before the others get their turn. */
#define FLUSH_MAX       MIB(1)
/* An end that was asked for while the server stops waits no longer for the client. */
#define DRAIN_LINGER_MS 200

/* Where it may be left waiting for the loop: HEAD, BODY, HANDLING (parked), WRITING, STREAMING,
 * LINGERING. */
static const struct sm_state STATES[] = {
    [CONNECTION_HEAD] = {"head", SM_TO(CONNECTION_BODY) | SM_TO(CONNECTION_HANDLING) |
                                     SM_TO(CONNECTION_WRITING) | SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_BODY] = {"body", SM_TO(CONNECTION_HANDLING) | SM_TO(CONNECTION_WRITING) |
                                     SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_HANDLING] = {"handling", SM_TO(CONNECTION_WRITING) | SM_TO(CONNECTION_STREAMING) |
                                             SM_TO(CONNECTION_UPGRADED) | SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_WRITING] = {"writing", SM_TO(CONNECTION_HEAD) | SM_TO(CONNECTION_LINGERING) |
                                           SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_STREAMING] = {"streaming", SM_TO(CONNECTION_WRITING) | SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_UPGRADED] = {"upgraded", SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_LINGERING] = {"lingering", SM_TO(CONNECTION_CLOSED)},
    [CONNECTION_CLOSED] = {"closed", 0},
};

/* --- the socket: all that TLS will have to replace ---------------------------------------------
 */

static ssize_t link_read(struct connection *c, char *to, size_t len)
{
    return recv(c->io.fd, to, len, 0);
}

static ssize_t link_write(struct connection *c, struct iovec *pieces, size_t count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    return sendmsg(c->io.fd, &message, MSG_NOSIGNAL);
}

/* The same for few bytes: the kernel takes one piece at less cost than three. */
static ssize_t link_write_flat(struct connection *c, const struct part *part)
{
    char flat[FLAT_MAX];
    const struct bytes pieces[3] = {part->head, part->body, part->tail};
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        if (pieces[i].len > 0) {
            memcpy(flat + len, pieces[i].ptr, pieces[i].len);
            len += pieces[i].len;
        }
    }
    return send(c->io.fd, flat, len, MSG_NOSIGNAL);
}

static void link_end(struct connection *c)
{
    (void)shutdown(c->io.fd, SHUT_WR);
}

/* --- life --------------------------------------------------------------------------------------
 */

/* Reading is paused while too much waits behind the request at hand; writing is waited for only
 * when the kernel was full. */
static void connection_want(struct connection *c)
{
    bool busy = c->sm.state == CONNECTION_HANDLING || c->sm.state == CONNECTION_WRITING;
    const struct front_limits *limits = &c->front->options.limits;
    /* No head is as long as what an idle reader may hold: there is a request in it, whose turn
     * comes, and reading goes on after that. */
    size_t most = busy ? limits->pipeline_max : limits->head_max + limits->pipeline_max;
    bool paused = c->in.len >= most;
    io_want(&c->io, (paused ? 0U : IO_READ) | (c->out != NULL ? IO_WRITE : 0U));
}

void connection_set_deadline(struct connection *c, uint64_t delay_ms)
{
    if (delay_ms == 0) {
        c->deadline_ms = 0;
        return;
    }
    c->deadline_ms = env_now_ms(c->front->env) + delay_ms;
    /* A timer that fires too early looks at the deadline again; so most requests move none. */
    if (!timer_armed(&c->timer) || c->armed_ms > c->deadline_ms) {
        c->armed_ms = c->deadline_ms;
        timer_start(&c->timer, c->deadline_ms);
    }
}

static void connection_expired(struct connection *c)
{
    metric_add(METRIC_HTTP_DEADLINES, 1);
    bool begun = c->sm.state == CONNECTION_BODY ||
                 (c->sm.state == CONNECTION_HEAD && (c->head_begun || c->in.len > 0));
    if (begun) {
        reply_refuse(c, 408, "request took too long");
        return;
    }
    connection_gone(c);
}

static void connection_on_timer(struct timer *t)
{
    struct connection *c = LIST_OWNER(t, struct connection, timer);
    if (c->deadline_ms == 0) {
        return;
    }
    if (env_now_ms(c->front->env) < c->deadline_ms) {
        c->armed_ms = c->deadline_ms;
        timer_start(&c->timer, c->deadline_ms);
        return;
    }
    c->deadline_ms = 0;
    connection_expired(c);
}

static void connection_on_ready(struct io *io, unsigned ready);

struct connection *
connection_new(struct front *f, int fd, struct bytes client, uint32_t client_slot)
{
    struct connection *c = mem_zalloc(1, sizeof *c);
    c->front = f;
    c->client_slot = client_slot;
    c->client_len = (uint8_t)(client.len < CLIENT_TEXT_LEN ? client.len : CLIENT_TEXT_LEN);
    memcpy(c->client, client.ptr, c->client_len);
    c->out_last = &c->out;
    sm_init(&c->sm, STATES, CONNECTION_HEAD);
    /* A head that is not whole yet and one read behind it, or a read and what waits already. */
    buf_init(&c->in, f->options.limits.head_max + f->options.limits.pipeline_max + HTTP_READ_MAX);
    list_append(&f->connections, &c->link);
    list_init(&c->later);
    env_timer_init(f->env, &c->timer, connection_on_timer);
    io_open(&c->io, f->options.loop, fd, connection_on_ready);
    io_want(&c->io, IO_READ);
    connection_set_deadline(c, f->options.limits.idle_ms);
    front_count(f, 1);
    return c;
}

static void outgoing_free(struct connection *c)
{
    while (c->out != NULL) {
        struct outgoing *o = c->out;
        c->out = o->next;
        shared_unref(o->body);
        free(o);
    }
    c->out_last = &c->out;
    c->out_bytes = 0;
}

/* What both ends of a connection have in common. */
static void connection_forget(struct connection *c)
{
    struct front *f = c->front;
    CHECK(c->exchange == NULL);
    timer_stop(&c->timer);
    io_close(&c->io);
    outgoing_free(c);
    buf_close(&c->in);
    list_remove(&c->later);
    list_remove(&c->link);
    list_append(&f->dead, &c->link);
    sm_move(&c->sm, CONNECTION_CLOSED);
    front_later(f);
}

void connection_close(struct connection *c)
{
    int fd = c->io.fd;
    connection_forget(c);
    (void)close(fd);
    if (c->front->options.clients != NULL) {
        clients_leave(c->front->options.clients, c->client_slot);
    }
    front_count(c->front, -1);
}

void connection_endless(const struct connection *c)
{
    int bytes = STREAM_KERNEL_MAX;
    (void)setsockopt(c->io.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void connection_hand_over(struct connection *c)
{
    CHECK(c->sm.state == CONNECTION_UPGRADED);
    connection_forget(c);
}

void connection_gone(struct connection *c)
{
    struct exchange *x = c->exchange;
    bool at_work = c->sm.state == CONNECTION_HANDLING || c->sm.state == CONNECTION_STREAMING;
    if (x != NULL && at_work) {
        /* Who parks a request must be able to let go of it. */
        CHECK(x->request.cancelled != NULL);
        x->request.cancelled(&x->request);
    }
    if (x != NULL) {
        c->exchange = NULL;
        exchange_free(c->front, x);
    }
    connection_close(c);
}

void connection_later(struct connection *c)
{
    list_remove(&c->later);
    list_append(&c->front->later, &c->later);
    front_later(c->front);
}

/* --- writing -----------------------------------------------------------------------------------
 */

static size_t outgoing_len(const struct outgoing *o)
{
    return o->head_len + (o->body == NULL ? 0 : o->body->len) + o->tail_len;
}

/* The pieces of an item behind what was sent already: head, body, tail lie one behind another. */
static size_t outgoing_pieces(const struct outgoing *o, struct iovec pieces[3])
{
    static char crlf[] = "\r\n";
    struct iovec all[3] = {
        {.iov_base = (char *)(uintptr_t)o->head, .iov_len = o->head_len},
        {.iov_base = o->body == NULL ? NULL : o->body->data,
         .iov_len = o->body == NULL ? 0 : o->body->len},
        {.iov_base = crlf, .iov_len = o->tail_len},
    };
    size_t skip = o->sent;
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t cut = skip < all[i].iov_len ? skip : all[i].iov_len;
        skip -= cut;
        if (all[i].iov_len > cut) {
            pieces[count++] = (struct iovec){
                .iov_base = (char *)all[i].iov_base + cut,
                .iov_len = all[i].iov_len - cut,
            };
        }
    }
    return count;
}

/* Drops `len` bytes off the front of the queue. */
static void outgoing_take(struct connection *c, size_t len)
{
    c->out_bytes -= len;
    while (len > 0) {
        struct outgoing *o = c->out;
        CHECK(o != NULL); /* the kernel takes no more than it was given */
        size_t left = outgoing_len(o) - o->sent;
        if (len < left) {
            o->sent += len;
            return;
        }
        len -= left;
        c->out = o->next;
        if (c->out == NULL) {
            c->out_last = &c->out;
        }
        shared_unref(o->body);
        free(o);
    }
}

static void outgoing_queue(struct connection *c, const struct part *part, size_t sent)
{
    /* A body without an owner is copied behind the head. */
    size_t copied = part->owner == NULL ? part->body.len : 0;
    struct outgoing *o = mem_alloc(sizeof *o + part->head.len + copied);
    *o = (struct outgoing){
        .body = part->owner == NULL ? NULL : shared_ref(part->owner),
        .sent = sent,
        .head_len = (uint32_t)(part->head.len + copied),
        .tail_len = (uint32_t)part->tail.len,
    };
    if (part->head.len > 0) {
        memcpy(o->head, part->head.ptr, part->head.len);
    }
    if (copied > 0) {
        memcpy(o->head + part->head.len, part->body.ptr, copied);
    }
    *c->out_last = o;
    c->out_last = &o->next;
    c->out_bytes += outgoing_len(o) - sent;
    if (c->out_bytes > c->out_full) {
        c->out_full = c->out_bytes;
    }
}

void connection_break(struct connection *c)
{
    c->broken = true;
    connection_later(c);
}

void connection_send(struct connection *c, const struct part *part)
{
    size_t total = part->head.len + part->body.len + part->tail.len;
    size_t sent = 0;
    if (c->broken || total == 0) {
        return;
    }
    if (c->out == NULL) {
        struct iovec pieces[3] = {
            {.iov_base = (char *)(uintptr_t)part->head.ptr, .iov_len = part->head.len},
            {.iov_base = (char *)(uintptr_t)part->body.ptr, .iov_len = part->body.len},
            {.iov_base = (char *)(uintptr_t)part->tail.ptr, .iov_len = part->tail.len},
        };
        ssize_t put = total <= FLAT_MAX ? link_write_flat(c, part) : link_write(c, pieces, 3);
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            connection_break(c);
            return;
        }
        sent = put < 0 ? 0 : (size_t)put;
    }
    if (sent == total) {
        return;
    }
    bool first = c->out == NULL;
    outgoing_queue(c, part, sent);
    if (first) {
        connection_set_deadline(c, c->front->options.limits.write_stall_ms);
        connection_want(c);
    }
}

/* The last answer is with the kernel: says so, and reads away what the client still sends. */
static void connection_linger(struct connection *c)
{
    uint64_t delay_ms = c->front->draining ? DRAIN_LINGER_MS : HTTP_LINGER_MS;
    link_end(c);
    sm_move(&c->sm, CONNECTION_LINGERING);
    buf_close(&c->in);
    connection_set_deadline(c, delay_ms);
    connection_want(c);
}

/* An answer is with the kernel. What the client sent behind the request is not looked at here, for
 * this may be inside somebody's reply_* call. */
static void connection_next(struct connection *c)
{
    if (!c->keep_alive || c->front->draining) {
        connection_linger(c);
        return;
    }
    sm_move(&c->sm, CONNECTION_HEAD);
    c->out_full = 0;
    connection_set_deadline(c, c->front->options.limits.idle_ms);
    connection_want(c);
    if (c->in.len > 0 && !c->running) {
        connection_later(c);
    }
}

void connection_answered(struct connection *c, bool keep_alive)
{
    struct exchange *x = c->exchange;
    if (x != NULL) {
        c->exchange = NULL;
        exchange_free(c->front, x);
    }
    c->keep_alive = keep_alive;
    sm_move(&c->sm, CONNECTION_WRITING);
    if (c->out == NULL && !c->broken) {
        connection_next(c);
    }
}

/* False if the socket is gone. */
static bool connection_flush_some(struct connection *c)
{
    size_t written = 0;
    while (c->out != NULL && written < FLUSH_MAX) {
        struct iovec pieces[FLUSH_PIECES];
        size_t count = 0;
        for (struct outgoing *o = c->out; o != NULL && count + 3 <= FLUSH_PIECES; o = o->next) {
            count += outgoing_pieces(o, &pieces[count]);
        }
        ssize_t put = link_write(c, pieces, count);
        if (put < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        outgoing_take(c, (size_t)put);
        written += (size_t)put;
        if (c->sm.state == CONNECTION_WRITING || c->sm.state == CONNECTION_STREAMING) {
            connection_set_deadline(c,
                                    c->out == NULL ? 0 : c->front->options.limits.write_stall_ms);
        }
    }
    return true;
}

static void connection_flush(struct connection *c)
{
    if (c->broken || !connection_flush_some(c)) {
        connection_gone(c);
        return;
    }
    connection_want(c);
    if (c->sm.state == CONNECTION_WRITING && c->out == NULL) {
        connection_next(c);
        return;
    }
    struct exchange *x = c->exchange;
    if (c->sm.state == CONNECTION_STREAMING && c->out_bytes <= c->out_full / 2) {
        c->out_full = c->out_bytes;
        if (x->stream != NULL && x->stream->writable != NULL) {
            x->stream->writable(&x->request);
        }
    }
}

/* --- reading -----------------------------------------------------------------------------------
 */

static void connection_dispatch(struct connection *c)
{
    struct exchange *x = c->exchange;
    connection_set_deadline(c, 0);
    sm_move(&c->sm, CONNECTION_HANDLING);
    request_dispatch(x);
}

/* The body is not here as a whole: notes what is needed until it is. */
static void connection_await_body(struct connection *c, struct bytes raw_head, bool nothing_yet)
{
    struct front *f = c->front;
    struct exchange *x = c->exchange;
    if (f->head.expects_continue && nothing_yet && f->head.minor >= 1) {
        if (request_is_hopeless(f, &f->head)) {
            x->keep_alive = false;
            connection_dispatch(c);
            return;
        }
        static const struct part go_on = {.head = {"HTTP/1.1 100 Continue\r\n\r\n", 25}};
        connection_send(c, &go_on);
    }
    x->raw_head = arena_copy(&x->arena, raw_head);
    if (x->raw_head.ptr == NULL) {
        reply_refuse(c, 431, "request head too large");
        return;
    }
    sm_move(&c->sm, CONNECTION_BODY);
    connection_set_deadline(c, f->options.limits.body_ms);
}

/* Only who keeps the servers has more to say than fits the usual limit: a backup. */
static size_t connection_body_max(const struct front *f, const struct head *h)
{
    struct bytes rest = {0};
    const struct route *route =
        route_find(f->options.routes, f->options.route_count, h->path, &rest);
    size_t max = f->options.limits.body_max;
    bool large = route != NULL && route->acl == ROUTE_ACL_ALL && h->method == METHOD_PUT;
    return large && max < HTTP_OPERATOR_BODY_MAX ? HTTP_OPERATOR_BODY_MAX : max;
}

/* front->head is whole. Returns how many bytes of `rest` (behind it) were its body. */
static size_t connection_request(struct connection *c, struct bytes raw_head, struct bytes rest)
{
    struct front *f = c->front;
    const struct head *h = &f->head;
    if (h->expects && !h->expects_continue) {
        reply_refuse(c, 417, "unknown expectation");
        return 0;
    }
    size_t body_max = connection_body_max(f, h);
    if (h->has_length && h->length > body_max) {
        reply_refuse(c, 413, "request body too large");
        return 0;
    }
    struct exchange *x = exchange_new(c);
    c->exchange = x;
    buf_init(&x->body, body_max);
    x->minor = h->minor;
    x->keep_alive = h->keep_alive;
    x->left = h->has_length ? h->length : 0;
    x->body_chunked = h->chunked;
    if (h->chunked) {
        chunked_init(&x->chunked);
    }
    if (!h->chunked && x->left <= rest.len) {
        buf_put(&x->body, bytes_slice(rest, 0, (size_t)x->left));
        size_t used = (size_t)x->left;
        f->early = bytes_slice(rest, used, rest.len);
        connection_dispatch(c);
        return used;
    }
    connection_await_body(c, raw_head, rest.len == 0);
    return 0;
}

/* Each returns how many bytes it used; 0 when it needs more. */
static size_t connection_head(struct connection *c, struct bytes data)
{
    struct front *f = c->front;
    enum parse p = head_parse(&f->head, data, f->options.limits.head_max, &c->scanned);
    if (p == PARSE_MORE) {
        if (!c->head_begun) {
            c->head_begun = true;
            connection_set_deadline(c, f->options.limits.head_ms);
        }
        return 0;
    }
    c->scanned = 0;
    c->head_begun = false;
    if (p == PARSE_FAILED) {
        reply_refuse(c, f->head.status, f->head.why);
        return data.len;
    }
    size_t len = f->head.len;
    return len + connection_request(c, bytes_slice(data, 0, len), bytes_slice(data, len, data.len));
}

static void connection_body_done(struct connection *c, struct bytes rest)
{
    struct front *f = c->front;
    struct exchange *x = c->exchange;
    size_t scanned = 0;
    enum parse p = head_parse(&f->head, x->raw_head, SIZE_MAX, &scanned);
    CHECK(p == PARSE_DONE);
    f->early = rest;
    connection_dispatch(c);
}

static size_t connection_body(struct connection *c, struct bytes data)
{
    struct exchange *x = c->exchange;
    size_t used = 0;
    bool done = false;
    if (x->body_chunked) {
        enum parse p = chunked_decode(&x->chunked, data, &x->body, &used);
        if (p == PARSE_FAILED) {
            int status = x->chunked.status;
            reply_refuse(c, status,
                         status == 413 ? "request body too large" : "malformed chunked body");
            return data.len;
        }
        done = p == PARSE_DONE;
    } else {
        used = data.len < x->left ? data.len : (size_t)x->left;
        buf_put(&x->body, bytes_slice(data, 0, used));
        x->left -= used;
        done = x->left == 0;
    }
    if (done) {
        connection_body_done(c, bytes_slice(data, used, data.len));
    }
    return used;
}

/* As many requests as `fresh`, behind what is kept already, holds and as are answered at once. */
static void connection_run(struct connection *c, struct bytes fresh)
{
    bool kept = c->in.len > 0;
    if (kept) {
        buf_put(&c->in, fresh);
    }
    struct bytes data = kept ? buf_view(&c->in) : fresh;
    size_t total = data.len;
    c->running = true;
    while (data.len > 0) {
        size_t used = 0;
        if (c->sm.state == CONNECTION_HEAD) {
            used = connection_head(c, data);
        } else if (c->sm.state == CONNECTION_BODY) {
            used = connection_body(c, data);
        }
        if (used == 0) {
            break;
        }
        data = bytes_slice(data, used, data.len);
    }
    c->running = false;
    c->front->early = (struct bytes){0};
    if (c->sm.state == CONNECTION_CLOSED || c->sm.state == CONNECTION_LINGERING) {
        return;
    }
    if (kept) {
        buf_consume(&c->in, total - data.len);
    } else {
        buf_put(&c->in, data);
    }
    if (c->in.len == 0) {
        buf_close(&c->in);
    }
    connection_want(c);
}

void connection_turn(struct connection *c)
{
    if (c->broken) {
        connection_gone(c);
        return;
    }
    if (c->sm.state == CONNECTION_HEAD && c->in.len > 0) {
        connection_run(c, (struct bytes){0});
    }
}

/* How much to read: no more than may be kept if the request at hand is not answered at once. */
static size_t connection_read_len(const struct connection *c)
{
    size_t most = c->front->options.limits.pipeline_max;
    if (c->sm.state == CONNECTION_HANDLING || c->sm.state == CONNECTION_WRITING) {
        most = c->in.len < most ? most - c->in.len : 1;
    } else if (c->sm.state != CONNECTION_HEAD) {
        most = HTTP_READ_MAX;
    }
    if (c->sm.state != CONNECTION_BODY && most > c->in.max - c->in.len) {
        most = c->in.max - c->in.len;
    }
    return most < HTTP_READ_MAX ? most : HTTP_READ_MAX;
}

/* The first byte of all: a TLS client is not answered, it could not read it. */
static bool connection_is_tls(struct connection *c, char first)
{
    if (c->seen) {
        return false;
    }
    c->seen = true;
    if (first != TLS_HANDSHAKE) {
        return false;
    }
    log_line(LOG_HTTP_BAD_REQUEST, "from=%.*s error=\"TLS on the plain port\"", (int)c->client_len,
             c->client);
    metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
    return true;
}

static void connection_read(struct connection *c)
{
    struct front *f = c->front;
    ssize_t got = link_read(c, f->scratch, connection_read_len(c));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0 || connection_is_tls(c, f->scratch[0])) {
        connection_gone(c);
        return;
    }
    struct bytes fresh = {.ptr = f->scratch, .len = (size_t)got};
    switch ((enum connection_state)c->sm.state) {
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        connection_run(c, fresh);
        break;
    case CONNECTION_HANDLING:
    case CONNECTION_WRITING:
        buf_put(&c->in, fresh);
        connection_want(c);
        break;
    case CONNECTION_STREAMING:
    case CONNECTION_LINGERING:
        /* Nothing can be answered behind an answer without an end, or behind the last one. */
        break;
    case CONNECTION_UPGRADED:
    case CONNECTION_CLOSED:
        CHECK(false);
        break;
    }
}

static void connection_on_ready(struct io *io, unsigned ready)
{
    struct connection *c = LIST_OWNER(io, struct connection, io);
    if ((ready & IO_WRITE) != 0) {
        connection_flush(c);
    }
    if ((ready & IO_READ) != 0 && c->sm.state != CONNECTION_CLOSED) {
        connection_read(c);
    }
}
