#include "core/base/buf.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct bytes bytes_of(const char *s)
{
    return (struct bytes){.ptr = s, .len = strlen(s)};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

bool bytes_begins(struct bytes b, struct bytes prefix)
{
    return b.len >= prefix.len && (prefix.len == 0 || memcmp(b.ptr, prefix.ptr, prefix.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.ptr, b.ptr, common);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

size_t bytes_find(struct bytes b, char c)
{
    const char *at = b.len == 0 ? NULL : memchr(b.ptr, c, b.len);
    return at == NULL ? b.len : (size_t)(at - b.ptr);
}

struct bytes bytes_slice(struct bytes b, size_t from, size_t to)
{
    CHECK(from <= to);
    CHECK(to <= b.len);
    return (struct bytes){.ptr = b.ptr == NULL ? NULL : b.ptr + from, .len = to - from};
}

enum err bytes_to_u64(struct bytes b, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (b.len == 0 || b.len > U64_TEXT_MAX) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < b.len; i++) {
        if (b.ptr[i] < '0' || b.ptr[i] > '9') {
            return ERR_INVALID;
        }
        if (__builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(b.ptr[i] - '0'), &value)) {
            return ERR_INVALID;
        }
    }
    *ret_value = value;
    return OK;
}

struct bytes bytes_u64(uint64_t value, char scratch[U64_TEXT_MAX])
{
    size_t at = U64_TEXT_MAX;
    do {
        scratch[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return (struct bytes){.ptr = scratch + at, .len = U64_TEXT_MAX - at};
}

/* Length of the well-formed sequence at `s` (RFC 3629 section 4), or 0. */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > left) {
        return 0;
    }
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (s[0] == 0xe0) {
        low = 0xa0;
    } else if (s[0] == 0xed) {
        high = 0x9f;
    } else if (s[0] == 0xf0) {
        low = 0x90;
    } else if (s[0] == 0xf4) {
        high = 0x8f;
    }
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf) {
            return 0;
        }
    }
    return len;
}

bool bytes_utf8_valid(struct bytes b)
{
    const unsigned char *s = (const unsigned char *)b.ptr;
    for (size_t i = 0; i < b.len;) {
        size_t len = utf8_sequence(s + i, b.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

/* FNV-1a with a final mix: short keys, never used where order or hostility matters. */
uint64_t bytes_hash(struct bytes b)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < b.len; i++) {
        h = (h ^ (unsigned char)b.ptr[i]) * 0x100000001b3ULL;
    }
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ULL;
    return h ^ (h >> 29);
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_close(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

struct bytes buf_view(const struct buf *b)
{
    return (struct bytes){.ptr = b->ptr, .len = b->len};
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    char *p = b->ptr;
    *ret_len = b->len;
    *b = (struct buf){.max = b->max};
    return p;
}

enum err buf_reserve(struct buf *b, size_t len)
{
    CHECK(b->len <= b->max);
    if (len > b->max - b->len) {
        return ERR_TOO_BIG;
    }
    size_t need = b->len + len;
    if (need <= b->cap) {
        return OK;
    }
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need) {
        cap = cap > b->max / 2 ? need : cap * 2;
    }
    b->ptr = mem_realloc(b->ptr, cap);
    b->cap = cap;
    return OK;
}

enum err buf_append(struct buf *b, struct bytes tail)
{
    enum err e = buf_reserve(b, tail.len);
    if (e == OK && tail.len > 0) {
        memcpy(b->ptr + b->len, tail.ptr, tail.len);
        b->len += tail.len;
    }
    return e;
}

enum err buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, bytes_of(s));
}

enum err buf_append_char(struct buf *b, char c)
{
    return buf_append(b, (struct bytes){.ptr = &c, .len = 1});
}

enum err buf_append_u64(struct buf *b, uint64_t value)
{
    char scratch[U64_TEXT_MAX];
    return buf_append(b, bytes_u64(value, scratch));
}

enum err buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(need >= 0);
    enum err e = buf_reserve(b, (size_t)need + 1);
    if (e != OK) {
        return e;
    }
    va_start(args, format);
    (void)vsnprintf(b->ptr + b->len, (size_t)need + 1, format, args);
    va_end(args);
    b->len += (size_t)need;
    return OK;
}

void buf_consume(struct buf *b, size_t len)
{
    CHECK(len <= b->len);
    b->len -= len;
    if (b->len > 0 && len > 0) {
        memmove(b->ptr, b->ptr + len, b->len);
    }
}

void buf_truncate(struct buf *b, size_t len)
{
    CHECK(len <= b->len);
    b->len = len;
}

void buf_put(struct buf *b, struct bytes tail)
{
    enum err e = buf_append(b, tail);
    CHECK(e == OK);
}

void buf_put_str(struct buf *b, const char *s)
{
    buf_put(b, bytes_of(s));
}

void buf_put_char(struct buf *b, char c)
{
    enum err e = buf_append_char(b, c);
    CHECK(e == OK);
}

void buf_put_u64(struct buf *b, uint64_t value)
{
    enum err e = buf_append_u64(b, value);
    CHECK(e == OK);
}
