/* The only one who knows libwebsockets (4.1.6) and libuv. What was learnt about them is in the
 * facts below; each is there because the library does not behave without it.
 *
 *  - One lws_context per front, on a libuv loop that is turned from inside the front's own: its
 *    descriptor is watched, its next timeout becomes a timer. Calls into lws from outside a turn
 *    are followed by one (host_kick), or what they asked for would wait.
 *  - The socket is adopted behind a minimal head that we wrote: lws accepts version 8, closes
 *    silently without a key and crashes on a strange `Upgrade:`, so it never sees a client's head.
 *  - lws cannot be told to refuse unmasked frames (RFC 6455 section 5.1). A client either masks or
 *    does not: the first frame is looked at, in the socket, before lws may read.
 *  - lws_write() beside a partial one that lws holds corrupts the stream: lws_partial_buffered() is
 *    asked before each.
 *  - A per-connection timeout of lws costs a walk of a list of them all: pings are ours.
 *  - A writable callback that returns -1 is closed twice on libuv ("uv repeat test"), so the reason
 *    that was given is never sent: close frames from there are written by us.
 *  - Its log goes through one static buffer, whatever the thread, and each adoption logs a line:
 *    it is switched off.
 *  - An empty pong is not reported: our pings carry a byte.
 */
#include "core/front/websocket.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/front/inside.h"

#include <errno.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

_Static_assert(WEBSOCKET_HEADROOM >= LWS_PRE, "lws writes its frame head there");

/* One lws_write() takes so much at once; more would be copied. */
#define TX_PACKET_MAX    KIB(256)
/* Written for one connection before the others get their turn. */
#define FLUSH_MAX        KIB(512)
/* Pings and overdue ends are looked for so often. */
#define SWEEP_MS         UINT64_C(1000)
/* A close that the client does not answer. */
#define CLOSE_MS         5000
/* Runs of the libuv loop in one turn, while it says that more is ready. */
#define PUMP_MAX         3
/* Runs of the libuv loop until all that lws closes is closed. */
#define TEARDOWN_MAX     10000
#define CLOSE_REASON_MAX 123

enum socket_state {
    SOCKET_OPENING, /* inside the adoption */
    SOCKET_OPEN,
    SOCKET_CLOSING, /* nothing more is sent but what is queued, and the close */
    SOCKET_CLOSED,
};

static const struct sm_state STATES[] = {
    [SOCKET_OPENING] = {"opening", SM_TO(SOCKET_OPEN) | SM_TO(SOCKET_CLOSED)},
    [SOCKET_OPEN] = {"open", SM_TO(SOCKET_CLOSING) | SM_TO(SOCKET_CLOSED)},
    [SOCKET_CLOSING] = {"closing", SM_TO(SOCKET_CLOSED)},
    [SOCKET_CLOSED] = {"closed", 0},
};

struct websocket_host {
    struct front *front;
    struct lws_context *context;
    struct lws_vhost *vhost;
    uv_loop_t uv;
    struct io io; /* the libuv loop's descriptor */
    struct timer pump_timer;
    struct timer sweep_timer;
    struct list sockets;
    struct list lost;         /* adoption failed: `closed` is called at the next turn */
    struct socket *adopting;  /* whose handshake runs just now */
    struct bytes subprotocol; /* of that one */
    bool pumping;
};

struct frame {
    struct frame *next;
    struct shared *text;
};

struct socket {
    struct websocket *ws;
    struct websocket_host *host;
    struct lws *wsi;
    struct list link;
    struct sm sm;
    struct io first; /* until the first frame is there */
    struct frame *queue;
    struct frame **queue_last;
    size_t queue_bytes;
    size_t partial_bytes; /* at most so much is with lws itself */
    struct buf message;
    uint64_t heard_ms; /* the client's last byte */
    uint64_t end_ms;   /* of a close that is not answered */
    unsigned pings;    /* since then */
    unsigned close_code;
    uint32_t client_slot;
    bool close_said;
    char close_reason[CLOSE_REASON_MAX + 1];
};

/* --- the libuv loop inside ours ----------------------------------------------------------------
 */

static void host_bury(struct websocket_host *host)
{
    while (!list_empty(&host->lost)) {
        struct socket *s = LIST_OWNER(host->lost.next, struct socket, link);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes this member for the one before */
        struct websocket *ws = s->ws;
        list_remove(&s->link);
        free(s);
        ws->impl = NULL;
        ws->ops->closed(ws);
    }
}

static void host_pump(struct websocket_host *host)
{
    if (host->pumping) {
        return;
    }
    host->pumping = true;
    for (int i = 0; i < PUMP_MAX; i++) {
        (void)uv_run(&host->uv, UV_RUN_NOWAIT);
        if (uv_backend_timeout(&host->uv) != 0) {
            break;
        }
    }
    host_bury(host);
    host->pumping = false;
    int delay_ms = uv_backend_timeout(&host->uv);
    if (delay_ms >= 0) {
        env_timer_start(host->front->env, &host->pump_timer, (uint64_t)delay_ms);
    } else {
        timer_stop(&host->pump_timer);
    }
}

/* Something was asked of lws outside its loop: the loop must hear of it, once for all of this turn.
 */
static void host_kick(struct websocket_host *host)
{
    if (!host->pumping) {
        env_timer_start(host->front->env, &host->pump_timer, 0);
    }
}

static void host_on_ready(struct io *io, unsigned ready)
{
    (void)ready;
    host_pump(LIST_OWNER(io, struct websocket_host, io));
}

static void host_on_pump_timer(struct timer *t)
{
    host_pump(LIST_OWNER(t, struct websocket_host, pump_timer));
}

/* --- one connection ----------------------------------------------------------------------------
 */

static void socket_kill(struct socket *s)
{
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    /* On libuv a timeout set outside its callbacks is not looked at before something happens. */
    lws_cancel_service(s->host->context);
    host_kick(s->host);
}

static void socket_queue_clear(struct socket *s)
{
    while (s->queue != NULL) {
        struct frame *frame = s->queue;
        s->queue = frame->next;
        shared_unref(frame->text);
        free(frame);
    }
    s->queue_last = &s->queue;
    s->queue_bytes = 0;
}

/* False when the connection cannot be written any more. */
static bool socket_write(struct socket *s, struct shared *text)
{
    int put = lws_write(s->wsi, (unsigned char *)text->data, text->len, LWS_WRITE_TEXT);
    if (put < 0) {
        return false;
    }
    s->partial_bytes = 0;
    if (lws_partial_buffered(s->wsi) != 0) {
        s->partial_bytes = text->len;
        (void)lws_callback_on_writable(s->wsi);
        host_kick(s->host);
    }
    return true;
}

static void socket_pop(struct socket *s)
{
    struct frame *frame = s->queue;
    s->queue = frame->next;
    if (s->queue == NULL) {
        s->queue_last = &s->queue;
    }
    s->queue_bytes -= frame->text->len;
    shared_unref(frame->text);
    free(frame);
}

/* The close frame (RFC 6455 section 5.5.1), past lws, which has nothing pending; the client's own
 * ends the connection. The kernel has just said that it takes more. */
static int socket_say_close(struct socket *s)
{
    char frame[4 + CLOSE_REASON_MAX];
    size_t len = strlen(s->close_reason);
    frame[0] = (char)0x88;
    frame[1] = (char)(len + 2);
    frame[2] = (char)(s->close_code >> 8);
    frame[3] = (char)s->close_code;
    memcpy(frame + 4, s->close_reason, len);
    s->close_code = 0;
    s->close_said = true;
    ssize_t put = send(lws_get_socket_fd(s->wsi), frame, len + 4, MSG_NOSIGNAL);
    return put == (ssize_t)(len + 4) ? 0 : -1;
}

/* The kernel takes more. Non-zero ends the connection. */
static int socket_on_writable(struct socket *s)
{
    size_t written = 0;
    size_t before = websocket_pending(s->ws);
    s->partial_bytes = lws_partial_buffered(s->wsi) != 0 ? s->partial_bytes : 0;
    while (s->queue != NULL && lws_partial_buffered(s->wsi) == 0 && written < FLUSH_MAX) {
        written += s->queue->text->len;
        if (!socket_write(s, s->queue->text)) {
            return -1;
        }
        socket_pop(s);
    }
    if (s->queue != NULL || s->partial_bytes > 0) {
        (void)lws_callback_on_writable(s->wsi);
    } else if (s->sm.state == SOCKET_CLOSING && s->close_code != 0) {
        return socket_say_close(s);
    }
    if (s->sm.state == SOCKET_OPEN && websocket_pending(s->ws) < before &&
        s->ws->ops->writable != NULL) {
        s->ws->ops->writable(s->ws);
    }
    return 0;
}

static int socket_refuse(struct socket *s, enum lws_close_status code, const char *why)
{
    char text[CLOSE_REASON_MAX + 1];
    int len = snprintf(text, sizeof text, "%s", why);
    CHECK(len >= 0);
    lws_close_reason(s->wsi, code, (unsigned char *)text, (size_t)len);
    socket_queue_clear(s);
    if (s->sm.state == SOCKET_OPEN) {
        sm_move(&s->sm, SOCKET_CLOSING);
        s->end_ms = env_now_ms(s->host->front->env) + CLOSE_MS;
    }
    return -1;
}

static void socket_heard(struct socket *s)
{
    s->heard_ms = env_now_ms(s->host->front->env);
    s->pings = 0;
}

/* A piece of a message. */
static int socket_on_receive(struct socket *s, const char *data, size_t len)
{
    struct bytes piece = {.ptr = data, .len = len};
    bool first = lws_is_first_fragment(s->wsi) != 0;
    bool last = lws_is_final_fragment(s->wsi) != 0 && lws_remaining_packet_payload(s->wsi) == 0;
    socket_heard(s);
    if (s->sm.state != SOCKET_OPEN) {
        return 0;
    }
    if (lws_frame_is_binary(s->wsi) != 0) {
        return socket_refuse(s, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "text messages only");
    }
    if (first && last) {
        if (len > STREAM_MESSAGE_MAX) {
            return socket_refuse(s, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too large");
        }
        s->ws->ops->message(s->ws, piece);
        return 0;
    }
    if (buf_append(&s->message, piece) != OK) {
        return socket_refuse(s, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too large");
    }
    if (last) {
        struct buf whole = s->message;
        buf_init(&s->message, STREAM_MESSAGE_MAX);
        s->ws->ops->message(s->ws, buf_view(&whole));
        buf_close(&whole);
    }
    return 0;
}

/* lws has closed the descriptor. */
static void socket_on_closed(struct socket *s)
{
    struct front *f = s->host->front;
    struct websocket *ws = s->ws;
    io_close(&s->first);
    socket_queue_clear(s);
    buf_close(&s->message);
    list_remove(&s->link);
    sm_move(&s->sm, SOCKET_CLOSED);
    if (f->options.clients != NULL) {
        clients_leave(f->options.clients, s->client_slot);
    }
    free(s);
    front_count(f, -1);
    ws->impl = NULL;
    ws->ops->closed(ws);
}

/* --- what lws calls ----------------------------------------------------------------------------
 */

/* Headers of the 101 that lws does not write by itself. */
static int host_add_headers(const struct websocket_host *host, struct lws_process_html_args *args)
{
    struct bytes sub = host->subprotocol;
    struct bytes extra = buf_view(&host->front->extra);
    static const char name[] = "Sec-WebSocket-Protocol: ";
    size_t need = sizeof name + sub.len + 2 + extra.len;
    if (args->max_len < 0 || need > (size_t)args->max_len) {
        return -1;
    }
    char *to = args->p;
    if (sub.len > 0) {
        memcpy(to, name, sizeof name - 1);
        to += sizeof name - 1;
        memcpy(to, sub.ptr, sub.len);
        to += sub.len;
        memcpy(to, "\r\n", 2);
        to += 2;
    }
    if (extra.len > 0) {
        memcpy(to, extra.ptr, extra.len);
        to += extra.len;
    }
    args->p = to;
    return 0;
}

static int
host_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct socket **slot = user;
    struct websocket_host *host = lws_context_user(lws_get_context(wsi));
    int what = (int)reason;
    /* Dozens of reasons of other roles come here too. */
    if (what == LWS_CALLBACK_ADD_HEADERS) {
        return host_add_headers(host, in);
    }
    if (what == LWS_CALLBACK_ESTABLISHED) {
        *slot = host->adopting;
        (*slot)->wsi = wsi;
        sm_move(&(*slot)->sm, SOCKET_OPEN);
        return 0;
    }
    if (slot == NULL || *slot == NULL) {
        return 0;
    }
    struct socket *s = *slot;
    switch (what) {
    case LWS_CALLBACK_RECEIVE:
        return socket_on_receive(s, in, len);
    case LWS_CALLBACK_RECEIVE_PONG:
        socket_heard(s);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return socket_on_writable(s);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        /* lws answers it, unless it is the answer to ours; what we still had to say cannot be said
         * any more. */
        if (s->sm.state == SOCKET_OPEN) {
            sm_move(&s->sm, SOCKET_CLOSING);
            s->end_ms = env_now_ms(host->front->env) + CLOSE_MS;
        }
        s->close_code = 0;
        socket_queue_clear(s);
        return s->close_said ? -1 : 0;
    case LWS_CALLBACK_CLOSED:
        *slot = NULL;
        socket_on_closed(s);
        return 0;
    default:
        return 0;
    }
}

/* --- pings -------------------------------------------------------------------------------------
 */

static void socket_ping(struct socket *s)
{
    unsigned char frame[LWS_PRE + 1] = {0};
    s->pings++;
    frame[LWS_PRE] = 'h';
    if (lws_partial_buffered(s->wsi) == 0) {
        (void)lws_write(s->wsi, &frame[LWS_PRE], 1, LWS_WRITE_PING);
    }
}

static void host_on_sweep(struct timer *t)
{
    struct websocket_host *host = LIST_OWNER(t, struct websocket_host, sweep_timer);
    uint64_t now_ms = env_now_ms(host->front->env);
    uint64_t ping_ms = host->front->options.limits.ping_ms;
    LIST_FOREACH (at, &host->sockets) {
        struct socket *s = LIST_OWNER(at, struct socket, link);
        uint64_t silent_ms = now_ms - s->heard_ms;
        if (s->end_ms != 0 ? now_ms >= s->end_ms : silent_ms >= ping_ms * 3) {
            socket_kill(s);
        } else if (s->sm.state == SOCKET_OPEN && s->pings < 2 &&
                   silent_ms >= ping_ms * (s->pings + 1U)) {
            socket_ping(s);
        }
    }
    env_timer_start(host->front->env, t, ping_ms < SWEEP_MS * 2 ? ping_ms / 2 + 1 : SWEEP_MS);
}

/* --- the host ----------------------------------------------------------------------------------
 */

static const struct lws_protocols PROTOCOLS[] = {
    {
        .name = "herald",
        .callback = host_callback,
        .per_session_data_size = sizeof(struct socket *),
        .rx_buffer_size = 512,
        .tx_packet_size = TX_PACKET_MAX,
    },
    {0},
};

/* Contexts are made one after another: lws keeps some of its setting up in globals. This lock is
 * held at no other time. */
static pthread_mutex_t host_creation = PTHREAD_MUTEX_INITIALIZER;

static void host_create(struct websocket_host *host)
{
    static const lws_retry_bo_t never = {0};
    void *loops[1] = {&host->uv};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = PROTOCOLS,
        .foreign_loops = loops,
        .user = host,
        .retry_and_idle_policy = &never,
        .max_http_header_pool = 16,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
    };
    (void)pthread_mutex_lock(&host_creation);
    lws_set_log_level(0, NULL);
    host->context = lws_create_context(&info);
    if (host->context != NULL) {
        host->vhost = lws_create_vhost(host->context, &info);
    }
    (void)pthread_mutex_unlock(&host_creation);
}

/* Everything lws opened in the loop closes in turns of it. */
static void host_destroy(struct websocket_host *host)
{
    host->pumping = true;
    for (int round = 0; round < 2 && host->context != NULL; round++) {
        lws_context_destroy(host->context);
        for (int i = 0; i < TEARDOWN_MAX && uv_run(&host->uv, UV_RUN_NOWAIT) != 0; i++) {
        }
    }
    int rc = uv_loop_close(&host->uv);
    if (rc != 0) {
        log_line(LOG_WEBSOCKET, "error=\"the loop did not close: %s\"", uv_strerror(rc));
    }
    host_bury(host);
}

static void host_free(struct websocket_host *host)
{
    io_close(&host->io);
    timer_stop(&host->pump_timer);
    timer_stop(&host->sweep_timer);
    host_destroy(host);
    timer_stop(&host->pump_timer);
    free(host);
}

/* NULL if the library or its libuv plugin does not work. */
static struct websocket_host *host_new(struct front *f)
{
    struct websocket_host *host = mem_zalloc(1, sizeof *host);
    host->front = f;
    list_init(&host->sockets);
    list_init(&host->lost);
    int rc = uv_loop_init(&host->uv);
    CHECK(rc == 0);
    env_timer_init(f->env, &host->pump_timer, host_on_pump_timer);
    env_timer_init(f->env, &host->sweep_timer, host_on_sweep);
    io_open(&host->io, f->options.loop, uv_backend_fd(&host->uv), host_on_ready);
    host_create(host);
    if (host->vhost == NULL) {
        host_free(host);
        return NULL;
    }
    io_want(&host->io, IO_READ);
    host_kick(host);
    env_timer_start(f->env, &host->sweep_timer, SWEEP_MS / 4);
    return host;
}

void websocket_host_close_all(struct front *f)
{
    if (f->websocket_host == NULL) {
        return;
    }
    LIST_FOREACH (at, &f->websocket_host->sockets) {
        socket_kill(LIST_OWNER(at, struct socket, link));
    }
}

void websocket_host_free(struct front *f)
{
    if (f->websocket_host != NULL) {
        host_free(f->websocket_host);
        f->websocket_host = NULL;
    }
}

/* --- the upgrade -------------------------------------------------------------------------------
 */

bool websocket_wanted(const struct request *r)
{
    struct bytes ignored = {0};
    return request_header(r, "Upgrade", &ignored);
}

/* 16 bytes in base64 (RFC 6455 section 4.1). */
static bool key_valid(struct bytes key)
{
    struct buf raw;
    bool valid = false;
    buf_init(&raw, 64);
    if (key.len == 24 && base64_decode(&raw, key) == OK) {
        valid = raw.len == 16;
    }
    buf_close(&raw);
    return valid;
}

/* False: it was answered. The head is looked at as a whole, for lws will not see it. */
static bool handshake_valid(struct request *r, struct bytes *ret_key)
{
    const struct head *h = &r->front->head;
    struct bytes value = {0};
    if (r->method != METHOD_GET || h->minor == 0 || !h->upgrade ||
        !request_header(r, "Upgrade", &value) || !list_has(value, BYTES("websocket"))) {
        reply_text(r, 400, "not a WebSocket handshake");
        return false;
    }
    if (!request_header(r, "Sec-WebSocket-Version", &value) || !bytes_equal(value, BYTES("13"))) {
        reply_header(r, "Sec-WebSocket-Version", "13");
        reply_header(r, "Upgrade", "websocket");
        reply_text(r, 426, "WebSocket version 13 is spoken here");
        return false;
    }
    if (!request_header(r, "Sec-WebSocket-Key", &value) || !key_valid(value)) {
        reply_text(r, 400, "malformed Sec-WebSocket-Key");
        return false;
    }
    if (r->front->early.len > 0) {
        reply_text(r, 400, "frames before the handshake was answered");
        return false;
    }
    *ret_key = value;
    return true;
}

/* Echoing what was not offered would make the client fail. */
static bool handshake_offers(const struct request *r, struct bytes subprotocol)
{
    const struct head *h = &r->front->head;
    for (size_t i = 0; i < h->field_count; i++) {
        if (bytes_equal_nocase(h->fields[i].name, BYTES("Sec-WebSocket-Protocol")) &&
            list_has(h->fields[i].value, subprotocol)) {
            return true;
        }
    }
    return false;
}

/* The first frame is there, or the end. Its second byte has the mask bit. */
static void socket_on_first(struct io *io, unsigned ready)
{
    struct socket *s = LIST_OWNER(io, struct socket, first);
    unsigned char head[2] = {0};
    int one = 1;
    (void)ready;
    ssize_t got = recv(io->fd, head, sizeof head, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    (void)setsockopt(io->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    io_close(io);
    if (got == 2 && (head[1] & 0x80) == 0) {
        websocket_close(s->ws, LWS_CLOSE_STATUS_PROTOCOL_ERR, "frames of a client are masked");
    }
    /* Also to a closing one: its own close frame is to be seen. */
    (void)lws_rx_flow_control(s->wsi, 1);
    host_kick(s->host);
}

static void socket_await_first(struct socket *s)
{
    int fd = lws_get_socket_fd(s->wsi);
    int two = 2;
    (void)lws_rx_flow_control(s->wsi, 0);
    /* Readable when both bytes are there, so that one byte does not wake us again and again. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &two, sizeof two);
    io_open(&s->first, s->host->front->options.loop, fd, socket_on_first);
    io_want(&s->first, IO_READ);
}

/* Gives the socket to lws, behind a head that says only what was checked. */
static void socket_adopt(struct socket *s, int fd, struct bytes key, struct bytes subprotocol)
{
    struct websocket_host *host = s->host;
    char head[256];
    int len = snprintf(head, sizeof head,
                       "GET / HTTP/1.1\r\nHost: herald\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: %.*s\r\n\r\n",
                       BYTES_FORMAT(key));
    CHECK(len > 0);
    CHECK((size_t)len < sizeof head);
    host->adopting = s;
    host->subprotocol = subprotocol;
    struct lws *wsi = lws_adopt_socket_vhost_readbuf(host->vhost, fd, head, (size_t)len);
    host->adopting = NULL;
    host->subprotocol = (struct bytes){0};
    if (wsi != NULL && s->sm.state == SOCKET_OPEN) {
        list_append(&host->sockets, &s->link);
        socket_await_first(s);
    } else if (s->sm.state == SOCKET_OPENING) {
        /* The client is gone already; lws has closed the descriptor. */
        sm_move(&s->sm, SOCKET_CLOSED);
        if (host->front->options.clients != NULL) {
            clients_leave(host->front->options.clients, s->client_slot);
        }
        front_count(host->front, -1);
        list_append(&host->lost, &s->link);
    }
    host_kick(host);
}

bool websocket_accept(struct request *r,
                      struct websocket *ws,
                      const struct websocket_ops *ops,
                      const char *subprotocol)
{
    struct front *f = r->front;
    struct connection *c = r->connection;
    struct bytes key = {0};
    char key_text[24];
    CHECK(f->current == r);
    if (!handshake_valid(r, &key)) {
        return false;
    }
    if (f->websocket_host == NULL) {
        f->websocket_host = host_new(f);
    }
    if (f->websocket_host == NULL) {
        reply_text(r, 503, "WebSocket needs the package libwebsockets-evlib-uv");
        return false;
    }
    struct bytes sub = subprotocol == NULL ? (struct bytes){0} : bytes_of(subprotocol);
    if (sub.len > 0 && !handshake_offers(r, sub)) {
        sub = (struct bytes){0};
    }
    memcpy(key_text, key.ptr, sizeof key_text);
    struct socket *s = mem_zalloc(1, sizeof *s);
    s->ws = ws;
    s->host = f->websocket_host;
    s->queue_last = &s->queue;
    s->client_slot = c->client_slot;
    s->heard_ms = env_now_ms(f->env);
    s->first.fd = -1;
    list_init(&s->link);
    sm_init(&s->sm, STATES, SOCKET_OPENING);
    buf_init(&s->message, STREAM_MESSAGE_MAX);
    ws->ops = ops;
    ws->impl = s;
    int fd = c->io.fd;
    struct exchange *x = c->exchange;
    c->exchange = NULL;
    exchange_free(f, x);
    sm_move(&c->sm, CONNECTION_UPGRADED);
    connection_endless(c);
    connection_hand_over(c);
    socket_adopt(s, fd, (struct bytes){.ptr = key_text, .len = sizeof key_text}, sub);
    return true;
}

/* --- sending -----------------------------------------------------------------------------------
 */

void websocket_send(struct websocket *ws, struct shared *text)
{
    struct socket *s = ws->impl;
    CHECK(text->headroom >= LWS_PRE);
    if (s->sm.state != SOCKET_OPEN) {
        return;
    }
    if (s->queue == NULL && lws_partial_buffered(s->wsi) == 0) {
        if (!socket_write(s, text)) {
            sm_move(&s->sm, SOCKET_CLOSING);
            socket_kill(s);
        }
        return;
    }
    struct frame *frame = mem_alloc(sizeof *frame);
    *frame = (struct frame){.text = shared_ref(text)};
    *s->queue_last = frame;
    s->queue_last = &frame->next;
    s->queue_bytes += text->len;
    (void)lws_callback_on_writable(s->wsi);
    host_kick(s->host);
}

size_t websocket_pending(const struct websocket *ws)
{
    const struct socket *s = ws->impl;
    return s->queue_bytes + s->partial_bytes;
}

void websocket_close(struct websocket *ws, unsigned code, const char *reason)
{
    struct socket *s = ws->impl;
    if (s->sm.state != SOCKET_OPEN) {
        return;
    }
    sm_move(&s->sm, SOCKET_CLOSING);
    s->close_code = code;
    (void)snprintf(s->close_reason, sizeof s->close_reason, "%s", reason);
    s->end_ms = env_now_ms(s->host->front->env) + CLOSE_MS;
    (void)lws_callback_on_writable(s->wsi);
    host_kick(s->host);
}
