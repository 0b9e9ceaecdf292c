/* Byte strings: a borrowed view (`struct bytes`) and an owned buffer that grows
 * up to a limit (`struct buf`).
 *
 * Units    all lengths are bytes.
 * Owner    a `struct buf` owns its memory from buf_init() to buf_close();
 *          a `struct bytes` owns nothing and dies with what it points into.
 * Limits   a buf never holds more than `max`: growth past it is ERR_TOO_BIG and
 *          leaves the contents unchanged.
 * Errors   OK, ERR_TOO_BIG.  Running out of memory ends the process.
 * Threads  none: one buf belongs to one thread at a time.
 */
#ifndef CORE_BASE_BUF_H
#define CORE_BASE_BUF_H

#include "core/base/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const char *ptr;
    size_t len;
};

/* For `%.*s`. */
#define BYTES_FORMAT(b) (int)(b).len, (b).ptr
/* View of a string literal. */
#define BYTES(literal)  ((struct bytes){.ptr = "" literal, .len = sizeof(literal) - 1})

struct bytes bytes_of(const char *s);
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_nocase(struct bytes a, struct bytes b);
/* True if `b` begins with `prefix`; the empty prefix begins everything. */
bool bytes_begins(struct bytes b, struct bytes prefix);
/* Order of memcmp, the shorter first: the order of keys. */
int bytes_compare(struct bytes a, struct bytes b);
/* Index of the first `c`, or `b.len`. */
size_t bytes_find(struct bytes b, char c);
struct bytes bytes_slice(struct bytes b, size_t from, size_t to);
/* Whole of `b` as decimal u64; ERR_INVALID for anything else, signs and overflow included. */
enum err bytes_to_u64(struct bytes b, uint64_t *ret_value) ERR_MUST_USE;
/* `value` in decimal, written into `scratch` and borrowed from there. */
#define U64_TEXT_MAX 20
struct bytes bytes_u64(uint64_t value, char scratch[U64_TEXT_MAX]);
/* Valid UTF-8 throughout (RFC 3629: no surrogates, no overlong forms). */
bool bytes_utf8_valid(struct bytes b);
uint64_t bytes_hash(struct bytes b);

struct buf {
    /* read-only */
    char *ptr;
    size_t len;
    size_t max;
    /* private */
    size_t cap;
};

void buf_init(struct buf *b, size_t max);
void buf_close(struct buf *b);
/* Forgets the contents, keeps the memory. */
void buf_clear(struct buf *b);
/* View of the contents: valid until the next call that takes a non-const `b`. */
struct bytes buf_view(const struct buf *b);
/* Moves the memory out (the caller frees it); `b` becomes empty. NULL for an empty buf. */
char *buf_take(struct buf *b, size_t *ret_len);

/* Room for `len` more bytes, so that the appends up to there cannot fail. */
enum err buf_reserve(struct buf *b, size_t len) ERR_MUST_USE;
enum err buf_append(struct buf *b, struct bytes tail) ERR_MUST_USE;
enum err buf_append_str(struct buf *b, const char *s) ERR_MUST_USE;
enum err buf_append_char(struct buf *b, char c) ERR_MUST_USE;
enum err buf_append_u64(struct buf *b, uint64_t value) ERR_MUST_USE;
enum err buf_printf(struct buf *b, const char *format, ...) ERR_MUST_USE
    __attribute__((format(printf, 2, 3)));
/* Drops the first `len` bytes. */
void buf_consume(struct buf *b, size_t len);
/* Cuts to `len` bytes, which is at most what it holds. */
void buf_truncate(struct buf *b, size_t len);

/* The same appends where the caller has made room or chosen the limit so that they cannot fail:
 * a failure is a bug. */
void buf_put(struct buf *b, struct bytes tail);
void buf_put_str(struct buf *b, const char *s);
void buf_put_char(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t value);

#endif
