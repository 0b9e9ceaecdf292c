/* A front on a loop thread of its own, with routes of the test's own, and raw sockets to it.
 *
 * Handlers  /echo/ (method, path, body and arguments as text), /park (waits for POST /wake or the
 *           client's end), /wake, /stream (chunks until POST /more says so), /big, /ws, /token.
 * Threads   the test's; what the handlers count is atomic.
 */
#ifndef TESTS_UNIT_FRONT_LIB_H
#define TESTS_UNIT_FRONT_LIB_H

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/front/front.h"
#include "core/front/websocket.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Long enough for a slow machine under a sanitizer, short enough to see a test hang. */
#define FRONT_TEST_WAIT_MS 20000

struct parked {
    struct list link;
    struct request *request;
};

struct world {
    struct loop *loop;
    struct front *front;
    struct clients *clients;
    uint16_t port;
    /* of the loop's thread */
    struct list parked;
    struct list streams;
    struct list sockets;
    struct shared *big;
    /* for the test */
    atomic_int parked_count;
    atomic_int cancelled;
    atomic_int stream_count;
    atomic_int stream_pending_max;
    atomic_int writable;
    atomic_int ws_open;
    atomic_int ws_closed;
    atomic_int ws_messages;
    atomic_bool drained;
};

static struct world world;

#define BIG_LEN MIB(8)

/* --- handlers ----------------------------------------------------------------------------------
 */

static void test_echo(struct request *r)
{
    struct buf b;
    struct bytes value = {0};
    buf_init(&b, MIB(4));
    buf_put(&b, r->method_name);
    buf_put_str(&b, " rest=");
    buf_put(&b, r->rest);
    buf_put_str(&b, " body=");
    buf_put(&b, r->body);
    for (size_t i = 0; i < r->arg_count && i < 4; i++) {
        buf_put_str(&b, " ");
        buf_put(&b, r->args[i].name);
        buf_put_str(&b, "=");
        buf_put(&b, r->args[i].value);
    }
    if (r->arg_count > 4) {
        buf_put_str(&b, " args=");
        buf_put_u64(&b, r->arg_count);
    }
    if (r->token.len > 0) {
        buf_put_str(&b, " token=");
        buf_put(&b, r->token);
    }
    if (request_header(r, "x-ask", &value)) {
        buf_put_str(&b, " ask=");
        buf_put(&b, value);
    }
    reply_header(r, "X-Said", "%s", "yes\r\nX-Evil: 1");
    reply_bytes(r, 200, "text/plain", buf_view(&b));
    buf_close(&b);
}

static void test_park_cancelled(struct request *r)
{
    struct parked *p = r->ctx;
    list_remove(&p->link);
    atomic_fetch_sub(&world.parked_count, 1);
    atomic_fetch_add(&world.cancelled, 1);
}

static void test_park(struct request *r)
{
    struct parked *p = arena_alloc(r->arena, sizeof *p);
    *p = (struct parked){.request = r};
    r->ctx = p;
    r->cancelled = test_park_cancelled;
    list_append(&world.parked, &p->link);
    atomic_fetch_add(&world.parked_count, 1);
}

/* Everybody who is parked gets the request's body, or the big one. */
static void test_wake(struct request *r)
{
    struct bytes big = {0};
    struct shared *body =
        request_arg(r, "big", &big) ? shared_ref(world.big) : shared_copy(0, r->body);
    struct list all;
    list_init(&all);
    list_move_all(&all, &world.parked);
    while (!list_empty(&all)) {
        struct parked *p = LIST_OWNER(all.next, struct parked, link);
        list_remove(&p->link);
        atomic_fetch_sub(&world.parked_count, 1);
        reply_header(p->request, "X-Consul-Index", "%d", 7);
        reply_shared(p->request, 200, "application/json", body);
    }
    shared_unref(body);
    reply_text(r, 200, "woken");
}

static void test_stream_cancelled(struct request *r)
{
    struct parked *p = r->ctx;
    list_remove(&p->link);
    atomic_fetch_sub(&world.stream_count, 1);
    atomic_fetch_add(&world.cancelled, 1);
}

static void test_stream_writable(struct request *r)
{
    (void)r;
    atomic_fetch_add(&world.writable, 1);
}

static void test_stream(struct request *r)
{
    static const struct reply_stream_ops ops = {.writable = test_stream_writable};
    struct parked *p = arena_alloc(r->arena, sizeof *p);
    *p = (struct parked){.request = r};
    r->ctx = p;
    r->cancelled = test_stream_cancelled;
    list_append(&world.streams, &p->link);
    reply_stream_begin(r, 200, "application/x-ndjson", &ops);
    atomic_fetch_add(&world.stream_count, 1);
}

/* Sends the body to every stream; `?big` the big one, `?end` ends them. */
static void test_more(struct request *r)
{
    struct bytes ignored = {0};
    bool end = request_arg(r, "end", &ignored);
    struct shared *body =
        request_arg(r, "big", &ignored) ? shared_ref(world.big) : shared_copy(0, r->body);
    LIST_FOREACH (at, &world.streams) {
        struct parked *p = LIST_OWNER(at, struct parked, link);
        reply_stream_send(p->request, body);
        int pending = (int)reply_stream_pending(p->request);
        if (pending > atomic_load(&world.stream_pending_max)) {
            atomic_store(&world.stream_pending_max, pending);
        }
        if (end) {
            list_remove(&p->link);
            atomic_fetch_sub(&world.stream_count, 1);
            reply_stream_end(p->request);
        }
    }
    shared_unref(body);
    reply_text(r, 200, "sent");
}

static void test_big(struct request *r)
{
    reply_shared(r, 200, "text/plain", world.big);
}

struct socket_probe {
    struct websocket ws;
    struct list link;
};

static void test_socket_text(struct websocket *ws, struct bytes text)
{
    struct shared *out = shared_copy(32, text);
    websocket_send(ws, out);
    shared_unref(out);
}

/* Echoes; `close` closes, `big` is answered with the big message, `pending` with what is pending.
 */
static void test_socket_message(struct websocket *ws, struct bytes text)
{
    atomic_fetch_add(&world.ws_messages, 1);
    if (bytes_equal(text, BYTES("close"))) {
        websocket_close(ws, 4100, "as you wish");
    } else if (bytes_equal(text, BYTES("big"))) {
        for (int i = 0; i < 8; i++) {
            websocket_send(ws, world.big);
        }
    } else if (bytes_equal(text, BYTES("pending"))) {
        char number[32];
        (void)snprintf(number, sizeof number, "%d", websocket_pending(ws) > 0);
        test_socket_text(ws, bytes_of(number));
    } else {
        test_socket_text(ws, text);
    }
}

static void test_socket_writable(struct websocket *ws)
{
    (void)ws;
    atomic_fetch_add(&world.writable, 1);
}

static void test_socket_closed(struct websocket *ws)
{
    struct socket_probe *p = LIST_OWNER(ws, struct socket_probe, ws);
    list_remove(&p->link);
    atomic_fetch_sub(&world.ws_open, 1);
    atomic_fetch_add(&world.ws_closed, 1);
    free(p);
}

static void test_socket(struct request *r)
{
    static const struct websocket_ops ops = {
        .message = test_socket_message,
        .writable = test_socket_writable,
        .closed = test_socket_closed,
    };
    if (!websocket_wanted(r)) {
        reply_text(r, 200, "no upgrade wanted");
        return;
    }
    struct socket_probe *p = mem_zalloc(1, sizeof *p);
    list_append(&world.sockets, &p->link);
    atomic_fetch_add(&world.ws_open, 1);
    if (!websocket_accept(r, &p->ws, &ops, "herald.v1.json")) {
        list_remove(&p->link);
        atomic_fetch_sub(&world.ws_open, 1);
        free(p);
    }
}

/* Sends the body to every WebSocket. */
static void test_broadcast(struct request *r)
{
    struct shared *out = shared_copy(32, r->body);
    LIST_FOREACH (at, &world.sockets) {
        websocket_send(&LIST_OWNER(at, struct socket_probe, link)->ws, out);
    }
    shared_unref(out);
    reply_text(r, 200, "sent");
}

static const struct route TEST_ROUTES[] = {
    {"/echo/", ROUTE_PREFIX, METHOD_GET | METHOD_PUT | METHOD_DELETE, 0, 0, test_echo},
    {"/park", ROUTE_EXACT, METHOD_GET | METHOD_PUT, 0, 0, test_park},
    {"/wake", ROUTE_EXACT, METHOD_POST, 0, 0, test_wake},
    {"/stream", ROUTE_EXACT, METHOD_GET, 0, 0, test_stream},
    {"/more", ROUTE_EXACT, METHOD_POST, 0, 0, test_more},
    {"/big", ROUTE_EXACT, METHOD_GET | METHOD_HEAD, 0, 0, test_big},
    {"/ws", ROUTE_EXACT, METHOD_GET, 0, 0, test_socket},
    {"/broadcast", ROUTE_EXACT, METHOD_POST, 0, 0, test_broadcast},
};

/* --- the world ---------------------------------------------------------------------------------
 */

static void world_open(const struct front_limits *limits, const char *unix_address)
{
    static const struct front_header header = {"X-Extra", "always"};
    static struct front_listen listen_at[2];
    struct reason why = {{0}};
    list_init(&world.parked);
    list_init(&world.streams);
    list_init(&world.sockets);
    world.big = shared_new(32, BIG_LEN);
    memset(world.big->data, 'b', BIG_LEN);
    world.loop = loop_new("front/0");
    world.clients = clients_new();
    listen_at[0] = (struct front_listen){.address = "127.0.0.1"};
    listen_at[1] = (struct front_listen){.address = unix_address, .mode = 0600};
    struct front_options options = {
        .loop = world.loop,
        .listen = listen_at,
        .listen_count = unix_address == NULL ? 1 : 2,
        .headers = &header,
        .header_count = 1,
        .routes = TEST_ROUTES,
        .route_count = sizeof TEST_ROUTES / sizeof TEST_ROUTES[0],
        .clients = world.clients,
        .ctx = &world,
    };
    if (limits != NULL) {
        options.limits = *limits;
    }
    enum err e = front_new(&options, &world.front, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    world.port = front_port(world.front, 0);
    loop_start(world.loop);
}

static void world_close(void)
{
    loop_stop(world.loop);
    loop_join(world.loop);
    front_free(world.front);
    loop_free(world.loop);
    clients_free(world.clients);
    shared_unref(world.big);
}

/* --- raw sockets -------------------------------------------------------------------------------
 */

__attribute__((unused)) static int dial(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(world.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

static void say_bytes(int fd, struct bytes text)
{
    while (text.len > 0) {
        ssize_t put = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
        if (put <= 0) {
            return; /* the front has closed: the answer will tell */
        }
        text = bytes_slice(text, (size_t)put, text.len);
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, bytes_of(text));
}

/* Up to `max` bytes of what comes, until `enough` is in it or the end; a NUL follows. Returns the
 * length. */
__attribute__((unused)) static size_t hear_until(int fd, char *to, size_t max, const char *enough)
{
    size_t len = 0;
    to[0] = '\0';
    while (len + 1 < max && (enough == NULL || strstr(to, enough) == NULL)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, FRONT_TEST_WAIT_MS) <= 0) {
            cr_assert(false, "nothing came for %d ms; so far: %s", FRONT_TEST_WAIT_MS, to);
        }
        ssize_t got = recv(fd, to + len, max - len - 1, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        to[len] = '\0';
    }
    return len;
}

/* One answer with Content-Length, head and body, no byte of the next one. */
static void hear_answer(int fd, char *to, size_t max)
{
    size_t len = 0;
    to[0] = '\0';
    while (strstr(to, "\r\n\r\n") == NULL) {
        cr_assert_lt(len + 1, max);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert_gt(poll(&p, 1, FRONT_TEST_WAIT_MS), 0, "no answer; so far: %s", to);
        ssize_t got = recv(fd, to + len, 1, 0);
        if (got <= 0) {
            return;
        }
        to[++len] = '\0';
    }
    const char *at = strcasestr(to, "\r\nContent-Length: ");
    size_t left = at == NULL ? 0 : strtoul(at + 18, NULL, 10);
    cr_assert_lt(len + left + 1, max);
    while (left > 0) {
        ssize_t got = recv(fd, to + len, left, 0);
        cr_assert_gt(got, 0);
        len += (size_t)got;
        left -= (size_t)got;
        to[len] = '\0';
    }
}

/* True when the other side has closed, whatever it said before. */
__attribute__((unused)) static bool hear_end(int fd)
{
    char rest[4096];
    ssize_t got = 1;
    while (got > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, FRONT_TEST_WAIT_MS) <= 0) {
            return false;
        }
        got = recv(fd, rest, sizeof rest, 0);
    }
    return true;
}

/* The last answer. */
static char answer[1 << 16];

/* Says `text` on a connection of its own and returns the first answer. */
__attribute__((unused)) static const char *ask(const char *text)
{
    int fd = dial();
    say(fd, text);
    hear_answer(fd, answer, sizeof answer);
    close(fd);
    return answer;
}

__attribute__((unused)) static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

#define HAS(text)     cr_assert(strstr(answer, text) != NULL, "no \"%s\" in: %s", text, answer)
#define HAS_NOT(text) cr_assert(strstr(answer, text) == NULL, "\"%s\" in: %s", text, answer)

/* Waits for what another thread will do. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        for (int wait_ms = 0; !(condition) && wait_ms < FRONT_TEST_WAIT_MS; wait_ms++) {           \
            (void)poll(NULL, 0, 1);                                                                \
        }                                                                                          \
        cr_assert(condition, "did not come true: %s", #condition);                                 \
    } while (0)

#endif
