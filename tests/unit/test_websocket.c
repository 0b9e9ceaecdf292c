#include "tests/unit/front_lib.h"

static void setup(void)
{
    world_open(NULL, NULL);
}

static void teardown(void)
{
    world_close();
}

TestSuite(websocket, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(websocket_ping, .timeout = 120);

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE                                                                                  \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"     \
    "Sec-WebSocket-Version: 13\r\n"

enum {
    TEXT = 1,
    BINARY = 2,
    CLOSE = 8,
    PING = 9,
    PONG = 10,
    FIN = 0x80
};

static void hear_exactly(int fd, void *to, size_t len)
{
    char *at = to;
    while (len > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert_gt(poll(&p, 1, FRONT_TEST_WAIT_MS), 0, "nothing came");
        ssize_t got = recv(fd, at, len, 0);
        cr_assert_gt(got, 0, "the connection ended");
        at += got;
        len -= (size_t)got;
    }
}

static int open_socket(void)
{
    int fd = dial();
    size_t len = 0;
    say(fd, HANDSHAKE "Sec-WebSocket-Key: " KEY "\r\n"
                      "Sec-WebSocket-Protocol: herald.bearer.abc, herald.v1.json\r\n\r\n");
    answer[0] = '\0';
    while (strstr(answer, "\r\n\r\n") == NULL) {
        hear_exactly(fd, answer + len, 1);
        answer[++len] = '\0';
    }
    cr_assert(strncmp(answer, "HTTP/1.1 101 ", 13) == 0, "%s", answer);
    return fd;
}

/* A frame as a client makes it (RFC 6455 section 5.2); the mask is fixed. */
static void frame_send(int fd, unsigned first, const char *data, size_t len)
{
    static const unsigned char mask[4] = {1, 2, 3, 4};
    unsigned char *frame = mem_alloc(len + 14);
    size_t at = 0;
    frame[at++] = (unsigned char)first;
    if (len < 126) {
        frame[at++] = (unsigned char)(0x80 | len);
    } else if (len < 65536) {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(len >> 8);
        frame[at++] = (unsigned char)len;
    } else {
        frame[at++] = 0x80 | 127;
        for (int i = 7; i >= 0; i--) {
            frame[at++] = (unsigned char)((uint64_t)len >> (i * 8));
        }
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++) {
        frame[at + i] = (unsigned char)data[i] ^ mask[i % 4];
    }
    say_bytes(fd, (struct bytes){.ptr = (char *)frame, .len = at + len});
    free(frame);
}

static void text_send(int fd, const char *text)
{
    frame_send(fd, FIN | TEXT, text, strlen(text));
}

/* The next frame; its data, NUL behind it, is the caller's to free. Returns the first byte. */
static unsigned frame_hear(int fd, char **ret_data, size_t *ret_len)
{
    unsigned char head[10];
    hear_exactly(fd, head, 2);
    cr_assert_eq(head[1] & 0x80, 0, "a server does not mask");
    size_t len = head[1] & 0x7f;
    if (len >= 126) {
        size_t more = len == 126 ? 2 : 8;
        hear_exactly(fd, head + 2, more);
        len = 0;
        for (size_t i = 0; i < more; i++) {
            len = len << 8 | head[2 + i];
        }
    }
    char *data = mem_alloc(len + 1);
    hear_exactly(fd, data, len);
    data[len] = '\0';
    *ret_data = data;
    *ret_len = len;
    return head[0];
}

static void expect_frame(int fd, unsigned first, const char *want)
{
    char *data = NULL;
    size_t len = 0;
    cr_assert_eq(frame_hear(fd, &data, &len), first);
    cr_assert_str_eq(data, want);
    free(data);
}

/* The server's close with that code, then the end. */
static void expect_close(int fd, unsigned code, const char *reason)
{
    char *data = NULL;
    size_t len = 0;
    cr_assert_eq(frame_hear(fd, &data, &len), FIN | CLOSE);
    cr_assert_geq(len, 2);
    cr_assert_eq((unsigned)((unsigned char)data[0] << 8 | (unsigned char)data[1]), code);
    cr_assert(reason == NULL || strcmp(data + 2, reason) == 0, "%s", data + 2);
    frame_send(fd, FIN | CLOSE, data, 2);
    free(data);
    cr_assert(hear_end(fd));
    close(fd);
    EVENTUALLY(atomic_load(&world.ws_open) == 0);
    EVENTUALLY(front_connections(world.front) == 0);
}

/* --- the handshake -----------------------------------------------------------------------------
 */

/* RFC 6455 section 1.3 has this key and its answer. Only the real subprotocol is echoed. */
Test(websocket, handshake_of_the_rfc)
{
    int fd = open_socket();
    HAS("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    HAS("Sec-WebSocket-Protocol: herald.v1.json\r\n");
    HAS("X-Extra: always\r\n");
    HAS_NOT("bearer");
    HAS_NOT("Extensions");
    close(fd);
    EVENTUALLY(atomic_load(&world.ws_closed) == 1);
    EVENTUALLY(front_connections(world.front) == 0);
}

Test(websocket, no_subprotocol_is_invented)
{
    int fd = dial();
    say(fd, HANDSHAKE "Sec-WebSocket-Key: " KEY "\r\n\r\n");
    (void)hear_until(fd, answer, sizeof answer, "\r\n\r\n");
    HAS("HTTP/1.1 101 ");
    HAS_NOT("Sec-WebSocket-Protocol");
    close(fd);
}

/* Each is answered in HTTP, and none of them reaches the library. */
Test(websocket, bad_handshakes)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {HANDSHAKE "\r\n", "HTTP/1.1 400 "},
        {HANDSHAKE "Sec-WebSocket-Key: short\r\n\r\n", "HTTP/1.1 400 "},
        {HANDSHAKE "Sec-WebSocket-Key: ************************\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " KEY "\r\n\r\n",
         "HTTP/1.1 426 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: " KEY "\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.0\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n",
         "HTTP/1.1 400 "},
        {HANDSHAKE "Sec-WebSocket-Key: " KEY "\r\n\r\n\x81\x80\x01\x02\x03\x04", "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = dial();
        say(fd, cases[i].request);
        hear_answer(fd, answer, sizeof answer);
        cr_assert(strncmp(answer, cases[i].status, 13) == 0, "%s answers %s", cases[i].request,
                  answer);
        close(fd);
    }
    cr_assert_eq(atomic_load(&world.ws_open), 0);
}

/* --- messages ----------------------------------------------------------------------------------
 */

Test(websocket, echoes_messages_of_many_lengths)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 511, 512, 513, 4096, 65535, 65536};
    int fd = open_socket();
    char *data = mem_alloc(65536);
    memset(data, 'm', 65536);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *back = NULL;
        size_t len = 0;
        frame_send(fd, FIN | TEXT, data, lengths[i]);
        cr_assert_eq(frame_hear(fd, &back, &len), FIN | TEXT);
        cr_assert_eq(len, lengths[i]);
        cr_assert_eq(memcmp(back, data, len), 0);
        free(back);
    }
    free(data);
    close(fd);
}

/* A message in fragments, a ping between them (RFC 6455 section 5.4). */
Test(websocket, fragments_with_a_ping_between)
{
    int fd = open_socket();
    frame_send(fd, TEXT, "one ", 4);
    frame_send(fd, FIN | PING, "p", 1);
    frame_send(fd, 0, "two ", 4);
    expect_frame(fd, FIN | PONG, "p");
    frame_send(fd, FIN, "three", 5);
    expect_frame(fd, FIN | TEXT, "one two three");
    close(fd);
}

Test(websocket, a_client_closes)
{
    int fd = open_socket();
    frame_send(fd, FIN | CLOSE, "\x03\xe8", 2);
    expect_close(fd, 1000, NULL);
    cr_assert_eq(atomic_load(&world.ws_closed), 1);
}

Test(websocket, the_handler_closes_with_code_and_reason)
{
    int fd = open_socket();
    text_send(fd, "close");
    expect_close(fd, 4100, "as you wish");
    cr_assert_eq(atomic_load(&world.ws_closed), 1);
}

Test(websocket, binary_is_1003)
{
    int fd = open_socket();
    frame_send(fd, FIN | BINARY, "x", 1);
    expect_close(fd, 1003, NULL);
}

Test(websocket, text_that_is_not_utf8_is_1007)
{
    int fd = open_socket();
    frame_send(fd, FIN | TEXT, "\xc3\x28", 2);
    expect_close(fd, 1007, NULL);
}

Test(websocket, a_message_over_the_limit_is_1009)
{
    int fd = open_socket();
    char *data = mem_zalloc(1, STREAM_MESSAGE_MAX + 1);
    memset(data, 'm', STREAM_MESSAGE_MAX + 1);
    frame_send(fd, FIN | TEXT, data, STREAM_MESSAGE_MAX + 1);
    free(data);
    expect_close(fd, 1009, NULL);
}

/* Clients must mask (RFC 6455 section 5.1). */
Test(websocket, an_unmasked_frame_is_1002)
{
    int fd = open_socket();
    say_bytes(fd, (struct bytes){.ptr = "\x81\x02hi", .len = 4});
    expect_close(fd, 1002, NULL);
    cr_assert_eq(atomic_load(&world.ws_messages), 0);
}

/* The first frame's two bytes one after the other. */
Test(websocket, a_frame_byte_by_byte)
{
    static const char frame[] = "\x81\x82\x01\x02\x03\x04ik";
    int fd = open_socket();
    for (size_t i = 0; i < sizeof frame - 1; i++) {
        say_bytes(fd, (struct bytes){.ptr = frame + i, .len = 1});
        (void)poll(NULL, 0, 5);
    }
    expect_frame(fd, FIN | TEXT, "hi");
    close(fd);
}

Test(websocket, control_frames_have_rules)
{
    static const struct bytes bad[] = {
        {"\x09\x80\x01\x02\x03\x04", 6},         /* a ping in fragments */
        {"\x83\x80\x01\x02\x03\x04", 6},         /* a reserved opcode */
        {"\xc1\x80\x01\x02\x03\x04", 6},         /* a reserved bit */
        {"\x80\x80\x01\x02\x03\x04", 6},         /* a continuation of nothing */
        {"\x89\xfe\x00\x7e\x01\x02\x03\x04", 8}, /* a ping of 126 bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = open_socket();
        say_bytes(fd, bad[i]);
        if (i + 1 < sizeof bad / sizeof bad[0]) {
            expect_close(fd, 1002, NULL);
        } else {
            cr_assert(hear_end(fd));
            close(fd);
        }
    }
    EVENTUALLY(atomic_load(&world.ws_open) == 0);
}

/* Eight times the big message at once: queued by reference, written as the client reads. */
Test(websocket, a_slow_reader_gets_everything_in_order)
{
    int fd = open_socket();
    int other = open_socket();
    text_send(fd, "big");
    text_send(fd, "pending");
    /* Nobody waits for the slow one. */
    text_send(other, "hello");
    expect_frame(other, FIN | TEXT, "hello");
    for (int i = 0; i < 8; i++) {
        char *back = NULL;
        size_t len = 0;
        cr_assert_eq(frame_hear(fd, &back, &len), FIN | TEXT);
        cr_assert_eq(len, BIG_LEN);
        cr_assert_eq(strspn(back, "b"), BIG_LEN);
        free(back);
    }
    expect_frame(fd, FIN | TEXT, "1");
    cr_assert_gt(atomic_load(&world.writable), 0);
    close(fd);
    close(other);
}

/* The end of a client that never read: nothing is left. */
Test(websocket, a_reader_leaves_in_the_middle)
{
    int fd = open_socket();
    text_send(fd, "big");
    EVENTUALLY(atomic_load(&world.ws_messages) == 1);
    close(fd);
    EVENTUALLY(atomic_load(&world.ws_open) == 0);
    EVENTUALLY(front_connections(world.front) == 0);
}

Test(websocket, one_message_for_many)
{
    enum {
        MANY = 100
    };
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = open_socket();
    }
    for (int round = 0; round < 3; round++) {
        int fd = dial();
        say(fd, "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        hear_answer(fd, answer, sizeof answer);
        HAS("sent");
        close(fd);
        for (int i = 0; i < MANY; i++) {
            expect_frame(fds[i], FIN | TEXT, "hello");
        }
    }
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    EVENTUALLY(atomic_load(&world.ws_open) == 0);
}

/* Open ones when the front goes: `closed` comes for each. */
Test(websocket_ping, freeing_with_open_sockets)
{
    world_open(NULL, NULL);
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = open_socket();
    }
    text_send(fds[0], "big");
    EVENTUALLY(atomic_load(&world.ws_messages) == 1);
    world_close();
    cr_assert_eq(atomic_load(&world.ws_closed), 4);
    for (int i = 0; i < 4; i++) {
        close(fds[i]);
    }
}

/* Who answers pings stays; who does not is let go after two. */
Test(websocket_ping, silence_is_asked_and_then_ended)
{
    struct front_limits limits = {.ping_ms = 200};
    world_open(&limits, NULL);
    int live = open_socket();
    int dead = open_socket();
    for (int i = 0; i < 6; i++) {
        expect_frame(live, FIN | PING, "h");
        frame_send(live, FIN | PONG, "h", 1);
    }
    EVENTUALLY(atomic_load(&world.ws_closed) == 1);
    cr_assert(hear_end(dead));
    text_send(live, "still here");
    char *data = NULL;
    size_t len = 0;
    while (frame_hear(live, &data, &len) == (FIN | PING)) {
        free(data);
    }
    cr_assert_str_eq(data, "still here");
    free(data);
    close(live);
    close(dead);
    world_close();
}

/* --- two fronts ---------------------------------------------------------------------------- */

static void pair_message(struct websocket *ws, struct bytes text)
{
    test_socket_text(ws, text);
}

static void pair_closed(struct websocket *ws)
{
    atomic_fetch_add(&world.ws_closed, 1);
    free(ws);
}

/* Nothing in it belongs to one of the threads. */
static void pair_socket(struct request *r)
{
    static const struct websocket_ops ops = {.message = pair_message, .closed = pair_closed};
    struct websocket *ws = mem_zalloc(1, sizeof *ws);
    if (!websocket_accept(r, ws, &ops, NULL)) {
        free(ws);
    }
}

static const struct route PAIR_ROUTES[] = {
    {"/ws", ROUTE_EXACT, METHOD_GET, 0, 0, pair_socket},
};

/* One port, one limit per client, a library context for each, made when both need one. */
Test(websocket_ping, two_fronts_share_a_port_and_the_limit)
{
    enum {
        FRONTS = 2,
        MANY = 40
    };
    struct loop *loops[FRONTS];
    struct front *fronts[FRONTS];
    int fds[MANY];
    struct reason why = {{0}};
    struct front_listen at = {.address = "127.0.0.1"};
    struct front_options options = {
        .listen = &at,
        .listen_count = 1,
        .routes = PAIR_ROUTES,
        .route_count = 1,
        .clients = clients_new(),
        .limits.connections_per_client = MANY,
    };
    for (unsigned i = 0; i < FRONTS; i++) {
        loops[i] = loop_new(i == 0 ? "front/0" : "front/1");
        options.number = i;
        options.loop = loops[i];
        cr_assert_eq(front_new(&options, &fronts[i], &why), OK, "%s", why.text);
        at.port = front_port(fronts[0], 0);
    }
    world.port = at.port;
    loop_start(loops[0]);
    loop_start(loops[1]);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], HANDSHAKE "Sec-WebSocket-Key: " KEY "\r\n\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        size_t len = 0;
        answer[0] = '\0';
        while (strstr(answer, "\r\n\r\n") == NULL) {
            hear_exactly(fds[i], answer + len, 1);
            answer[++len] = '\0';
        }
        text_send(fds[i], "hello");
        expect_frame(fds[i], FIN | TEXT, "hello");
    }
    cr_assert_eq(front_connections(fronts[0]) + front_connections(fronts[1]), MANY);
    cr_assert_gt(front_connections(fronts[0]), 0);
    cr_assert_gt(front_connections(fronts[1]), 0);
    int fd = dial();
    (void)hear_until(fd, answer, sizeof answer, NULL);
    HAS("HTTP/1.1 429 ");
    close(fd);
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    EVENTUALLY(atomic_load(&world.ws_closed) == MANY);
    for (unsigned i = 0; i < FRONTS; i++) {
        loop_stop(loops[i]);
        loop_join(loops[i]);
        front_free(fronts[i]);
        loop_free(loops[i]);
    }
    clients_free(options.clients);
}
