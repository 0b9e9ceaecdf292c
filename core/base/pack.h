/* Little-endian numbers and length-prefixed byte strings, as all our own formats are written.
 *
 * Owner    what a reader gives out borrows from its input.
 * Errors   a writer's buffer has room (buf_put); a reader that runs past its end gives zeros and
 *          remembers: ask unpack_done() once, at the end.
 * Order    read field by field in statements: an initializer may call in any order.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_BASE_PACK_H
#define CORE_BASE_PACK_H

#include "core/base/buf.h"

#include <string.h>

static inline void pack_u8(struct buf *out, uint8_t value)
{
    buf_put_char(out, (char)value);
}

static inline void pack_u32(struct buf *out, uint32_t value)
{
    char le[4];
    for (unsigned i = 0; i < sizeof(le); i++) {
        le[i] = (char)(value >> (8 * i));
    }
    buf_put(out, (struct bytes){le, sizeof(le)});
}

static inline void pack_u64(struct buf *out, uint64_t value)
{
    char le[8];
    for (unsigned i = 0; i < sizeof(le); i++) {
        le[i] = (char)(value >> (8 * i));
    }
    buf_put(out, (struct bytes){le, sizeof(le)});
}

static inline void pack_bytes(struct buf *out, struct bytes data)
{
    pack_u32(out, (uint32_t)data.len);
    buf_put(out, data);
}

struct unpack {
    struct bytes rest;
    bool failed;
};

static inline struct bytes unpack_raw(struct unpack *in, size_t len)
{
    if (in->failed || in->rest.len < len) {
        in->failed = true;
        return (struct bytes){0};
    }
    struct bytes part = {in->rest.ptr, len};
    in->rest.ptr += len;
    in->rest.len -= len;
    return part;
}

static inline uint64_t unpack_number(struct unpack *in, size_t len)
{
    struct bytes le = unpack_raw(in, len);
    uint64_t value = 0;
    for (size_t i = le.len; i > 0; i--) {
        value = value << 8 | (unsigned char)le.ptr[i - 1];
    }
    return value;
}

static inline uint8_t unpack_u8(struct unpack *in)
{
    return (uint8_t)unpack_number(in, 1);
}

static inline uint32_t unpack_u32(struct unpack *in)
{
    return (uint32_t)unpack_number(in, 4);
}

static inline uint64_t unpack_u64(struct unpack *in)
{
    return unpack_number(in, 8);
}

/* Fails past `max` bytes. */
static inline struct bytes unpack_bytes(struct unpack *in, size_t max)
{
    uint32_t len = unpack_u32(in);
    if (len > max) {
        in->failed = true;
    }
    return unpack_raw(in, len);
}

/* True if everything was there and nothing is left. */
static inline bool unpack_done(const struct unpack *in)
{
    return !in->failed && in->rest.len == 0;
}

#endif
