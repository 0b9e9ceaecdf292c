#include "tests/unit/front_lib.h"

#include <zlib.h>

static void setup(void)
{
    world_open(NULL, NULL);
}

static void teardown(void)
{
    world_close();
}

TestSuite(front, .init = setup, .fini = teardown, .timeout = 120);

/* A request, the answer's first line, and something of the rest. */
struct exchange_case {
    const char *request;
    const char *status;
    const char *has;
};

static void expect_cases(const struct exchange_case *cases, size_t count, bool closes)
{
    for (size_t i = 0; i < count; i++) {
        int fd = dial();
        say(fd, cases[i].request);
        hear_answer(fd, answer, sizeof answer);
        cr_assert(begins(answer, cases[i].status), "%s answers %s", cases[i].request, answer);
        cr_assert(strstr(answer, cases[i].has) != NULL, "%s answers %s", cases[i].request, answer);
        if (closes) {
            cr_assert(strstr(answer, "\r\nConnection: close\r\n") != NULL, "%s", answer);
            cr_assert(hear_end(fd));
        } else {
            /* The connection is still good for another one. */
            say(fd, "GET /echo/again HTTP/1.1\r\nHost: h\r\n\r\n");
            hear_answer(fd, answer, sizeof answer);
            HAS("GET rest=again");
        }
        close(fd);
    }
}

#define EXPECT_CASES(cases, closes) expect_cases(cases, sizeof cases / sizeof cases[0], closes)

/* --- one request after the other ---------------------------------------------------------------
 */

Test(front, answers_a_get_with_the_headers_of_the_contract)
{
    (void)ask("GET /echo/a%2Fb//..?x=1&y HTTP/1.1\r\nHost: h\r\nX-Ask: why\r\n\r\n");
    cr_assert(begins(answer, "HTTP/1.1 200 OK\r\n"));
    HAS("Content-Type: text/plain\r\n");
    HAS("Vary: Accept-Encoding\r\n");
    HAS("X-Extra: always\r\n");
    HAS("\r\nDate: ");
    HAS("GET rest=a/b//.. body= x=1 y= ask=why");
    HAS_NOT("Connection:");
}

/* What a handler puts into a header cannot begin another one. */
Test(front, header_values_cannot_split_the_answer)
{
    (void)ask("GET /echo/ HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS("X-Said: yes  X-Evil: 1\r\n");
}

Test(front, good_requests)
{
    static const struct exchange_case cases[] = {
        {"GET http://h:1/echo/abs?q=1 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=abs"},
        {"GET /echo/a%252Fb HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=a%2Fb body"},
        {"GET /echo/%ff%fe HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=\xff\xfe body"},
        {"GET /echo/\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=\xc3\xa4 body"},
        {"GET /echo/a+b?c=d+e HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=a+b body= c=d e"},
        {"\r\n\r\nGET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "rest=x"},
        {"PUT /echo/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200",
         "PUT rest=k body=hello"},
        {"PUT /echo/k HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200",
         "PUT rest=k body="},
        {"PUT /echo/k HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "PUT rest=k body="},
        {"PUT /echo/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: dropped\r\n\r\n",
         "HTTP/1.1 200", "PUT rest=k body=abcde"},
        {"GET /echo/?token=t1 HTTP/1.1\r\nHost: h\r\nX-Consul-Token: t2\r\n\r\n", "HTTP/1.1 200",
         "token=t1"},
        {"GET /echo/ HTTP/1.1\r\nHost: h\r\nx-consul-token: t2\r\n\r\n", "HTTP/1.1 200",
         "token=t2"},
        {"GET /echo/ HTTP/1.1\r\nHost: h\r\nAuthorization: bearer t3\r\n\r\n", "HTTP/1.1 200",
         "token=t3"},
        {"OPTIONS /echo/x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200",
         "Allow: OPTIONS,GET,PUT,DELETE\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200", "Content-Length: 0\r\n"},
        {"POST /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nz",
         "HTTP/1.1 405 Method Not Allowed\r\n", "method POST not allowed"},
        {"GET /v1/nope HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404",
         "Invalid URL path: not a recognized HTTP API endpoint\n"},
        {"GET /foo HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404", "ensure the path starts with"},
        {"GET /echo?a=b HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 301", "Location: /echo/?a=b\r\n"},
        {"GET /echo/%00 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "non-printable"},
        {"GET /echo/%0a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "non-printable"},
        {"GET /echo/%c2%85 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "non-printable"},
        {"GET /echo/%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "malformed escape"},
        {"GET /echo/?a=%zz HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "malformed escape"},
    };
    EXPECT_CASES(cases, false);
}

/* Each is answered, and then the connection ends: what follows cannot be trusted. */
Test(front, requests_that_end_the_connection)
{
    static const struct exchange_case cases[] = {
        {"GET /echo/ HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "missing Host"},
        {"GET /echo/ HTTP/9.9\r\nHost: h\r\n\r\n", "HTTP/1.1 505", ""},
        {"GET /echo/ FTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", ""},
        {"GET /echo/ HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400", "CRLF"},
        {"GET  /echo/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", ""},
        {"GET /echo/#x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "target"},
        {"GET echo HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400", "target"},
        {"GET /echo/ HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "HTTP/1.1 400", "Host"},
        {"GET /echo/ HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", "HTTP/1.1 400", "header field"},
        {"GET /echo/ HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n", "HTTP/1.1 400",
         "header field"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5abc\r\n\r\nhello", "HTTP/1.1 400",
         "Content-Length"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400",
         "Content-Length"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 400", "Content-Length"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         "HTTP/1.1 400", "Transfer-Encoding"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501", ""},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400", "chunked"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n", "HTTP/1.1 413",
         "too large"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
         "HTTP/1.1 413", "too large"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
         "99999999\r\n\r\n",
         "HTTP/1.1 413", "too large"},
        {"PUT /echo/ HTTP/1.1\r\nHost: h\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\n",
         "HTTP/1.1 417", ""},
        {"POST /echo/ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
         "HTTP/1.1 405", ""},
        {"GET /echo/bye HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200",
         "rest=bye"},
        {"GET /echo/old HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "rest=old"},
    };
    EXPECT_CASES(cases, true);
}

Test(front, head_gets_no_body_but_its_length)
{
    int fd = dial();
    say(fd, "HEAD /echo/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)hear_until(fd, answer, sizeof answer, NULL);
    cr_assert(begins(answer, "HTTP/1.1 405 Method Not Allowed\r\n"));
    HAS("Allow: OPTIONS,GET,PUT,DELETE\r\n");
    HAS("Content-Length: 23\r\n");
    cr_assert(strcmp(strstr(answer, "\r\n\r\n"), "\r\n\r\n") == 0, "%s", answer);
    close(fd);
    fd = dial();
    say(fd, "HEAD /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)hear_until(fd, answer, sizeof answer, NULL);
    HAS("Content-Length: 8388608\r\n");
    cr_assert(strcmp(strstr(answer, "\r\n\r\n"), "\r\n\r\n") == 0, "%s", answer);
    close(fd);
}

Test(front, http_1_0_keeps_the_connection_when_asked)
{
    int fd = dial();
    for (int i = 0; i < 2; i++) {
        say(fd, "GET /echo/old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        hear_answer(fd, answer, sizeof answer);
        HAS("Connection: keep-alive\r\n");
    }
    close(fd);
}

Test(front, an_oversize_head_is_431)
{
    struct buf b;
    buf_init(&b, MIB(1));
    buf_put_str(&b, "GET /echo/ HTTP/1.1\r\nHost: h\r\nA: ");
    while (b.len < HTTP_HEAD_MAX) {
        buf_put_char(&b, 'a');
    }
    buf_put_str(&b, "\r\n\r\n");
    int fd = dial();
    say_bytes(fd, buf_view(&b));
    hear_answer(fd, answer, sizeof answer);
    cr_assert(begins(answer, "HTTP/1.1 431 "), "%s", answer);
    cr_assert(hear_end(fd));
    close(fd);
    buf_clear(&b);
    buf_put_str(&b, "GET /echo/ HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++) {
        buf_put_str(&b, "A: b\r\n");
    }
    buf_put_str(&b, "\r\n");
    fd = dial();
    say_bytes(fd, buf_view(&b));
    hear_answer(fd, answer, sizeof answer);
    cr_assert(begins(answer, "HTTP/1.1 431 "), "%s", answer);
    close(fd);
    buf_close(&b);
}

Test(front, many_query_arguments_are_fine_up_to_the_limit)
{
    for (int count = 120; count <= HTTP_QUERY_ARGS_MAX + 1;
         count += HTTP_QUERY_ARGS_MAX + 1 - 120) {
        struct buf b;
        buf_init(&b, MIB(1));
        buf_put_str(&b, "GET /echo/?");
        for (int i = 0; i < count; i++) {
            buf_put_str(&b, i == 0 ? "a=b" : "&a=b");
        }
        buf_put_str(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
        buf_put_char(&b, '\0');
        (void)ask(b.ptr);
        if (count == 120) {
            HAS("args=120");
        } else {
            cr_assert(begins(answer, "HTTP/1.1 400 "), "%s", answer);
        }
        buf_close(&b);
    }
}

/* Whatever the pieces are in which it comes. */
Test(front, a_request_byte_by_byte)
{
    static const char text[] = "PUT /echo/k?q=1 HTTP/1.1\r\nHost: h\r\nX-Ask: y\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                               "GET /echo/next HTTP/1.1\r\nHost: h\r\n\r\n";
    int fd = dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        say_bytes(fd, (struct bytes){.ptr = text + i, .len = 1});
        if (i % 8 == 0) {
            (void)poll(NULL, 0, 1);
        }
    }
    hear_answer(fd, answer, sizeof answer);
    HAS("PUT rest=k body=hello q=1 ask=y");
    hear_answer(fd, answer, sizeof answer);
    HAS("GET rest=next");
    close(fd);
}

Test(front, expect_continue_is_answered_before_the_body)
{
    int fd = dial();
    say(fd, "PUT /echo/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    (void)hear_until(fd, answer, sizeof answer, "\r\n\r\n");
    cr_assert_str_eq(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    hear_answer(fd, answer, sizeof answer);
    HAS("body=hello");
    close(fd);
}

Test(front, a_body_over_the_limit_is_413_also_when_chunked)
{
    struct buf b;
    buf_init(&b, MIB(4));
    buf_put_str(&b,
                "PUT /echo/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n200001\r\n");
    for (size_t i = 0; i < HTTP_BODY_MAX + 1; i++) {
        buf_put_char(&b, 'x');
    }
    int fd = dial();
    say_bytes(fd, buf_view(&b));
    hear_answer(fd, answer, sizeof answer);
    cr_assert(begins(answer, "HTTP/1.1 413 "), "%s", answer);
    close(fd);
    buf_close(&b);
}

Test(front, a_large_body_arrives_whole)
{
    struct buf b;
    buf_init(&b, MIB(4));
    enum err e =
        buf_printf(&b, "PUT /echo/k HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 524289);
    cr_assert_eq(e, OK);
    for (size_t i = 0; i < 524289; i++) {
        buf_put_char(&b, (char)('a' + i % 26));
    }
    int fd = dial();
    say_bytes(fd, buf_view(&b));
    char *whole = mem_alloc(MIB(1));
    hear_answer(fd, whole, MIB(1));
    const char *body = strstr(whole, "body=") + 5;
    for (size_t i = 0; i < 524289; i++) {
        cr_assert_eq(body[i], (char)('a' + i % 26));
    }
    close(fd);
    free(whole);
    buf_close(&b);
}

Test(front, a_tls_client_is_let_go)
{
    int fd = dial();
    say_bytes(fd, (struct bytes){.ptr = "\x16\x03\x01", .len = 3});
    char none[16];
    cr_assert_eq(hear_until(fd, none, sizeof none, NULL), 0);
    close(fd);
}

/* --- pipelining, parking -----------------------------------------------------------------------
 */

Test(front, pipelined_requests_are_answered_in_order)
{
    int fd = dial();
    char request[64];
    struct buf all;
    buf_init(&all, MIB(1));
    for (int i = 0; i < 500; i++) {
        (void)snprintf(request, sizeof request, "GET /echo/%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
        buf_put_str(&all, request);
    }
    say_bytes(fd, buf_view(&all));
    for (int i = 0; i < 500; i++) {
        hear_answer(fd, answer, sizeof answer);
        (void)snprintf(request, sizeof request, "rest=%d body", i);
        HAS(request);
    }
    buf_close(&all);
    close(fd);
}

/* What comes behind a parked request waits for it, up to a limit, and is not lost. */
Test(front, pipelined_behind_a_parked_one)
{
    int fd = dial();
    struct buf all;
    buf_init(&all, MIB(1));
    buf_put_str(&all, "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    int count = 0;
    while (all.len < HTTP_PIPELINE_MAX * 3) {
        enum err e = buf_printf(&all, "GET /echo/%d HTTP/1.1\r\nHost: h\r\n\r\n", count++);
        cr_assert_eq(e, OK);
    }
    say_bytes(fd, buf_view(&all));
    EVENTUALLY(atomic_load(&world.parked_count) == 1);
    (void)ask("POST /wake HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nup");
    hear_answer(fd, answer, sizeof answer);
    HAS("X-Consul-Index: 7\r\n");
    HAS("\r\n\r\nup");
    for (int i = 0; i < count; i++) {
        char want[32];
        hear_answer(fd, answer, sizeof answer);
        (void)snprintf(want, sizeof want, "rest=%d body", i);
        HAS(want);
    }
    buf_close(&all);
    close(fd);
}

/* The client goes away in each of the ways it can. */
Test(front, a_parked_request_is_cancelled_when_its_client_leaves)
{
    for (int way = 0; way < 3; way++) {
        int fd = dial();
        say(fd, "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
        EVENTUALLY(atomic_load(&world.parked_count) == 1);
        if (way == 0) {
            struct linger reset = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        } else if (way == 1) {
            shutdown(fd, SHUT_WR);
            EVENTUALLY(atomic_load(&world.cancelled) == 2);
        }
        close(fd);
        EVENTUALLY(atomic_load(&world.cancelled) == way + 1);
        cr_assert_eq(atomic_load(&world.parked_count), 0);
    }
    EVENTUALLY(front_connections(world.front) == 0);
}

Test(front, a_parked_body_stays_until_the_answer)
{
    int fd = dial();
    say(fd, "PUT /park HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    EVENTUALLY(atomic_load(&world.parked_count) == 1);
    (void)ask("POST /wake HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nup");
    hear_answer(fd, answer, sizeof answer);
    HAS("\r\n\r\nup");
    close(fd);
}

/* One body for many, larger than any socket's buffer: by reference, and whole for each. */
Test(front, one_large_answer_for_many_parked)
{
    enum {
        MANY = 20
    };
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], "GET /park HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    EVENTUALLY(atomic_load(&world.parked_count) == MANY);
    (void)ask("POST /wake?big HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    char *whole = mem_alloc(BIG_LEN + 4096);
    for (int i = 0; i < MANY; i++) {
        hear_answer(fds[i], whole, BIG_LEN + 4096);
        const char *body = strstr(whole, "\r\n\r\n") + 4;
        cr_assert_eq(strlen(body), BIG_LEN);
        cr_assert_eq(strspn(body, "b"), BIG_LEN);
        /* And it goes on. */
        say(fds[i], "GET /echo/on HTTP/1.1\r\nHost: h\r\n\r\n");
        hear_answer(fds[i], answer, sizeof answer);
        HAS("rest=on");
        close(fds[i]);
    }
    free(whole);
}

Test(front, silent_connections_do_not_disturb_others)
{
    enum {
        MANY = 150
    };
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
    }
    EVENTUALLY(front_connections(world.front) == MANY);
    (void)ask("GET /echo/x HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS("rest=x");
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
    EVENTUALLY(front_connections(world.front) == 0);
}

/* --- answers without an end --------------------------------------------------------------------
 */

Test(front, a_stream_is_chunked_until_its_end)
{
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear_until(fd, answer, sizeof answer, "\r\n\r\n");
    HAS("Transfer-Encoding: chunked\r\n");
    EVENTUALLY(atomic_load(&world.stream_count) == 1);
    (void)ask("POST /more HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\none\n");
    (void)hear_until(fd, answer, sizeof answer, "\r\none\n\r\n");
    cr_assert_str_eq(answer, "4\r\none\n\r\n");
    (void)ask("POST /more?end HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\ntwo\n");
    (void)hear_until(fd, answer, sizeof answer, "0\r\n\r\n");
    cr_assert_str_eq(answer, "4\r\ntwo\n\r\n0\r\n\r\n");
    say(fd, "GET /echo/after HTTP/1.1\r\nHost: h\r\n\r\n");
    hear_answer(fd, answer, sizeof answer);
    HAS("rest=after");
    close(fd);
}

Test(front, a_stream_for_http_1_0_ends_with_the_connection)
{
    int fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    EVENTUALLY(atomic_load(&world.stream_count) == 1);
    int other = dial();
    say(other, "POST /more?end HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\none\n");
    (void)hear_until(fd, answer, sizeof answer, NULL);
    HAS_NOT("chunked");
    HAS("\r\n\r\none\n");
    close(other);
    close(fd);
}

/* A reader that does not read: the others get theirs, `writable` comes when it does. */
Test(front, a_slow_stream_reader_blocks_nobody)
{
    int slow = dial();
    say(slow, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(atomic_load(&world.stream_count) == 1);
    for (int i = 0; i < 3; i++) {
        (void)ask("POST /more?big HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    }
    cr_assert_gt(atomic_load(&world.stream_pending_max), 0);
    cr_assert_eq(atomic_load(&world.writable), 0);
    (void)ask("POST /more?end HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nlast");
    size_t total = 0;
    char piece[65536];
    bool ended = false;
    while (!ended) {
        ssize_t got = recv(slow, piece, sizeof piece, 0);
        cr_assert_gt(got, 0);
        total += (size_t)got;
        ended = got >= 5 && memcmp(piece + got - 5, "0\r\n\r\n", 5) == 0;
    }
    cr_assert_gt(total, BIG_LEN * 3);
    close(slow);
}

Test(front, a_stream_says_when_it_can_take_more)
{
    int slow = dial();
    say(slow, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(atomic_load(&world.stream_count) == 1);
    (void)ask("POST /more?big HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    size_t total = 0;
    char piece[65536];
    while (total < BIG_LEN) {
        ssize_t got = recv(slow, piece, sizeof piece, 0);
        cr_assert_gt(got, 0);
        total += (size_t)got;
    }
    EVENTUALLY(atomic_load(&world.writable) > 0);
    close(slow);
    EVENTUALLY(atomic_load(&world.cancelled) == 1);
}

Test(front, large_answers_are_compressed_where_accepted)
{
    int fd = dial();
    say(fd, "GET /big HTTP/1.1\r\nHost: h\r\nAccept-Encoding: deflate, gzip;q=0.8\r\n\r\n");
    hear_answer(fd, answer, sizeof answer);
    HAS("Content-Encoding: gzip\r\n");
    size_t len = strtoul(strstr(answer, "Content-Length: ") + 16, NULL, 10);
    cr_assert_lt(len, BIG_LEN / 100);
    z_stream z = {.next_in = (Bytef *)strstr(answer, "\r\n\r\n") + 4, .avail_in = (uInt)len};
    cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
    char *plain = mem_alloc(BIG_LEN + 1);
    z.next_out = (Bytef *)plain;
    z.avail_out = BIG_LEN + 1;
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    cr_assert_eq(z.total_out, BIG_LEN);
    cr_assert_eq(memcmp(plain, world.big->data, BIG_LEN), 0);
    inflateEnd(&z);
    free(plain);
    say(fd, "GET /echo/small HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    hear_answer(fd, answer, sizeof answer);
    HAS_NOT("Content-Encoding");
    close(fd);
}
