#include "core/front/chunked.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define BODY_MAX 64

struct chunked_case {
    const char *text;
    int status; /* 0: good */
    const char *body;
    size_t rest; /* bytes behind it */
};

static const struct chunked_case CASES[] = {
    {"0\r\n\r\n", 0, "", 0},
    {"5\r\nhello\r\n0\r\n\r\n", 0, "hello", 0},
    {"5\r\nhello\r\n0\r\n\r\nGET /", 0, "hello", 5},
    {"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0, "abcde", 0},
    {"A\r\n0123456789\r\n0\r\n\r\n", 0, "0123456789", 0},
    {"a\r\n0123456789\r\n0\r\n\r\n", 0, "0123456789", 0},
    {"0005\r\nhello\r\n000\r\n\r\n", 0, "hello", 0},
    {"5;name=\"v\"\r\nhello\r\n0;last\r\n\r\n", 0, "hello", 0},
    {"5 ;x\r\nhello\r\n0\r\n\r\n", 0, "hello", 0},
    {"1\r\n\n\r\n0\r\n\r\n", 0, "\n", 0},
    {"0\r\nTrailer: x\r\nOther: y\r\n\r\n", 0, "", 0},
    {"5\nhello\r\n0\r\n\r\n", 400, NULL, 0},
    {"5\r\nhello0\r\n\r\n", 400, NULL, 0},
    {"5\r\nhello\n0\r\n\r\n", 400, NULL, 0},
    {"\r\n", 400, NULL, 0},
    {"-1\r\n", 400, NULL, 0},
    {"0x5\r\nhello\r\n", 400, NULL, 0},
    {";x\r\n", 400, NULL, 0},
    {"5;\x01\r\n", 400, NULL, 0},
    {"5\rhello", 400, NULL, 0},
    {"0\r\nTrailer\x7f\r\n\r\n", 400, NULL, 0},
    {"0\r\n\rx", 400, NULL, 0},
    {"ffffffffffffffffff\r\n", 413, NULL, 0},
    {"41\r\n0123456789012345678901234567890123456789012345678901234567890123456789", 413, NULL, 0},
};

#define CASE_COUNT (sizeof CASES / sizeof CASES[0])

/* Decodes what comes in two pieces; how much of all was used. */
static enum parse
decode(struct chunked *c, struct buf *out, const char *text, size_t cut, size_t *ret_used)
{
    struct bytes all = bytes_of(text);
    size_t used = 0;
    size_t more = 0;
    chunked_init(c);
    enum parse p = chunked_decode(c, bytes_slice(all, 0, cut), out, &used);
    if (p == PARSE_MORE) {
        cr_assert_eq(used, cut, "%s", text);
        p = chunked_decode(c, bytes_slice(all, cut, all.len), out, &more);
    }
    *ret_used = used + more;
    return p;
}

/* At every cut: the same. */
Test(chunked, bodies_of_the_rfc_split_anywhere)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        const struct chunked_case *k = &CASES[i];
        for (size_t cut = 0; cut <= strlen(k->text); cut++) {
            struct chunked c;
            struct buf out;
            size_t used = 0;
            buf_init(&out, BODY_MAX);
            enum parse p = decode(&c, &out, k->text, cut, &used);
            cr_assert_eq(p, k->status == 0 ? PARSE_DONE : PARSE_FAILED, "%s cut at %zu", k->text,
                         cut);
            if (p == PARSE_FAILED) {
                cr_assert_eq(c.status, k->status, "%s", k->text);
            } else {
                cr_assert(bytes_equal(buf_view(&out), bytes_of(k->body)), "%s", k->text);
                cr_assert_eq(used, strlen(k->text) - k->rest, "%s cut at %zu", k->text, cut);
            }
            buf_close(&out);
        }
    }
}

/* Extensions and trailers cost the sender, not us. */
Test(chunked, what_is_dropped_has_a_limit)
{
    struct chunked c;
    struct buf out;
    size_t used = 0;
    enum parse p = PARSE_MORE;
    buf_init(&out, BODY_MAX);
    chunked_init(&c);
    for (size_t i = 0; i <= HTTP_CHUNK_EXTRA_MAX && p == PARSE_MORE; i++) {
        p = chunked_decode(&c, i == 0 ? BYTES("1;xxxx") : BYTES("yyyyyyyy"), &out, &used);
    }
    cr_assert_eq(p, PARSE_FAILED);
    cr_assert_eq(c.status, 413);
    buf_close(&out);
}
