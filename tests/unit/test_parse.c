#include "core/front/parse.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct head h;

static enum parse parse(struct bytes text)
{
    size_t scanned = 0;
    return head_parse(&h, text, HTTP_HEAD_MAX, &scanned);
}

struct head_case {
    const char *text;
    int status; /* 0: good */
};

/* RFC 9112, section by section. */
static const struct head_case CASES[] = {
    /* 2.2 lines, 3 request line */
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"GET / HTTP/1.1\nHost: h\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
    {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET /\r\nHost: h\r\n\r\n", 400},
    {"GET\r\nHost: h\r\n\r\n", 400},
    {"GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"PROPFIND / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    /* 2.3 version */
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 0},
    {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"GET / HTTP/11\r\nHost: h\r\n\r\n", 400},
    {"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
    /* 3.2 target */
    {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"GET https://h:8500 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0},
    {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    {"GET /a\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    /* 3.2 Host */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1]:8500\r\n\r\n", 0},
    /* 5 fields */
    {"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: \xff\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: h\r\nA:\r\n\r\n", 0},
    /* 6 body */
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 0},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5abc\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n", 0},
    {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
    {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     400},
    {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
    {"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
};

#define CASE_COUNT (sizeof CASES / sizeof CASES[0])

Test(parse, heads_of_the_rfc)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        enum parse p = parse(bytes_of(CASES[i].text));
        cr_assert_eq(p, CASES[i].status == 0 ? PARSE_DONE : PARSE_FAILED, "%s", CASES[i].text);
        if (p == PARSE_FAILED) {
            cr_assert_eq(h.status, CASES[i].status, "%s: %d %s", CASES[i].text, h.status, h.why);
        }
    }
}

/* In memory of its exact length, so that a sanitizer sees a read behind its end. */
static enum parse parse_exact(const char *text, size_t len, size_t *scanned)
{
    char *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    enum parse p = head_parse(&h, (struct bytes){.ptr = copy, .len = len}, HTTP_HEAD_MAX, scanned);
    free(copy);
    return p;
}

/* Wherever the bytes were cut on their way, the outcome is the same. */
Test(parse, splits_at_every_byte_change_nothing)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        const char *text = CASES[i].text;
        size_t len = strlen(text);
        for (size_t cut = 0; cut <= len; cut++) {
            size_t scanned = 0;
            enum parse p = parse_exact(text, cut, &scanned);
            if (p == PARSE_MORE) {
                p = parse_exact(text, len, &scanned);
            }
            cr_assert_eq(p, CASES[i].status == 0 ? PARSE_DONE : PARSE_FAILED, "%s cut at %zu", text,
                         cut);
            if (p == PARSE_FAILED) {
                cr_assert_eq(h.status, CASES[i].status, "%s cut at %zu", text, cut);
            }
        }
    }
}

Test(parse, what_a_head_says)
{
    struct bytes value = {0};
    static const char text[] = "PUT http://u:1/a%2Fb?x=1?y HTTP/1.1\r\nHost: h\r\n"
                               "Connection: Keep-Alive , Upgrade\r\nExpect: 100-Continue\r\n"
                               "Content-Length: 12\r\nX-Thing: \t two words \t\r\n\r\nbody";
    cr_assert_eq(parse(bytes_of(text)), PARSE_DONE);
    cr_assert_eq(h.len, sizeof text - 1 - 4);
    cr_assert_eq(h.method, METHOD_PUT);
    cr_assert(bytes_equal(h.path, BYTES("/a%2Fb")));
    cr_assert(bytes_equal(h.query, BYTES("x=1?y")));
    cr_assert(h.keep_alive);
    cr_assert(h.upgrade);
    cr_assert(h.expects_continue);
    cr_assert_eq(h.length, 12);
    cr_assert(head_find(&h, BYTES("x-thing"), &value));
    cr_assert(bytes_equal(value, BYTES("two words")));
    cr_assert_not(head_find(&h, BYTES("x-thin"), &value));
}

Test(parse, which_connections_go_on)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(parse(bytes_of(cases[i].text)), PARSE_DONE);
        cr_assert_eq(h.keep_alive, cases[i].keep_alive, "%s", cases[i].text);
    }
}

Test(parse, limits)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t scanned = 0;
    struct bytes whole = bytes_of(text);
    cr_assert_eq(head_parse(&h, whole, whole.len, &scanned), PARSE_DONE);
    scanned = 0;
    cr_assert_eq(head_parse(&h, whole, whole.len - 1, &scanned), PARSE_FAILED);
    cr_assert_eq(h.status, 431);
    scanned = 0;
    cr_assert_eq(head_parse(&h, bytes_slice(whole, 0, 10), 10, &scanned), PARSE_FAILED);
    cr_assert_eq(h.status, 431);
    cr_assert_eq(parse(BYTES("PUT / HTTP/1.1\r\nHost: h\r\n"
                             "Content-Length: 99999999999999999999999999\r\n\r\n")),
                 PARSE_DONE);
    cr_assert_eq(h.length, UINT64_MAX);
}

Test(parse, lists)
{
    cr_assert(list_has(BYTES("a, gzip;q=0.5 ,b"), BYTES("GZIP")));
    cr_assert(list_has(BYTES("gzip"), BYTES("gzip")));
    cr_assert_not(list_has(BYTES("gzipx, xgzip"), BYTES("gzip")));
    cr_assert_not(list_has(BYTES(""), BYTES("gzip")));
    cr_assert_not(list_has(BYTES(",,"), BYTES("gzip")));
}
