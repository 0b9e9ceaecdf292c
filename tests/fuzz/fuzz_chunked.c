/* A chunked body: whatever the bytes, and in whatever pieces they come. */
#include "core/base/check.h"
#include "core/front/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 4096

static enum parse decode(struct bytes input, size_t piece, struct buf *out, size_t *ret_used)
{
    struct chunked c;
    size_t at = 0;
    enum parse p = PARSE_MORE;
    chunked_init(&c);
    while (at < input.len && p == PARSE_MORE) {
        size_t used = 0;
        size_t end = input.len - at < piece ? input.len : at + piece;
        p = chunked_decode(&c, bytes_slice(input, at, end), out, &used);
        CHECK(p == PARSE_FAILED || used <= end - at);
        CHECK(p != PARSE_MORE || used == end - at);
        at += used;
    }
    CHECK(p != PARSE_FAILED || c.status == 400 || c.status == 413);
    *ret_used = at;
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {.ptr = (const char *)data, .len = size};
    struct buf whole;
    struct buf split;
    size_t whole_used = 0;
    size_t split_used = 0;
    buf_init(&whole, BODY_MAX);
    buf_init(&split, BODY_MAX);
    enum parse p = decode(input, SIZE_MAX, &whole, &whole_used);
    enum parse q = decode(input, size == 0 ? 1 : 1U + data[0] % 7U, &split, &split_used);
    CHECK(p == q);
    CHECK(p != PARSE_DONE || whole_used == split_used);
    CHECK(p == PARSE_FAILED || bytes_equal(buf_view(&whole), buf_view(&split)));
    buf_close(&whole);
    buf_close(&split);
    return 0;
}
