#include "core/api/long_numbers.h"

#include <string.h>

/* 2^63 has so many. */
#define LONG_NUMBER_DIGITS 19U

static size_t digits_at(struct bytes text, size_t at)
{
    size_t count = 0;
    while (at + count < text.len && text.ptr[at + count] >= '0' && text.ptr[at + count] <= '9') {
        count++;
    }
    return count;
}

/* Whether it is a number of its own: not a fraction's, an exponent's or a negative one's part. */
static bool digits_whole(struct bytes text, size_t at, size_t count)
{
    bool begins =
        at == 0 || (text.ptr[at - 1] != '\0' && strchr(" \t\r\n:,[", text.ptr[at - 1]) != NULL);
    size_t end = at + count;
    bool ends =
        end == text.len || (text.ptr[end] != '\0' && strchr(" \t\r\n,]}", text.ptr[end]) != NULL);
    return begins && ends;
}

static enum err quote_number(struct bytes text, size_t at, size_t count, struct buf *out)
{
    bool quoted = count >= LONG_NUMBER_DIGITS && digits_whole(text, at, count);
    enum err e = quoted ? buf_append_char(out, '"') : OK;
    e = e == OK ? buf_append(out, bytes_slice(text, at, at + count)) : e;
    return e == OK && quoted ? buf_append_char(out, '"') : e;
}

enum err long_numbers_quote(struct bytes json, struct buf *out)
{
    bool inside = false; /* a text */
    enum err e = buf_reserve(out, json.len);
    size_t at = 0;
    while (e == OK && at < json.len) {
        size_t count = inside ? 0 : digits_at(json, at);
        if (count > 0) {
            e = quote_number(json, at, count, out);
            at += count;
            continue;
        }
        char c = json.ptr[at];
        /* What is escaped ends no text. */
        count = inside && c == '\\' && at + 1 < json.len ? 2 : 1;
        inside = c == '"' ? !inside : inside;
        e = buf_append(out, bytes_slice(json, at, at + count));
        at += count;
    }
    return e;
}
