/* Immutable bytes that many threads may hold: an encoded answer, a frame.
 *
 * Owner    counted: shared_new() gives one reference, the last shared_unref() frees.
 *          The creator may write `data` until it hands out the second reference.
 * Limits   headroom + len fits 32 bits.
 * Threads  any, for ref and unref. The headroom is scratch space in front of `data` (the
 *          WebSocket library writes its frame header there): only one thread may use it.
 */
#ifndef CORE_BASE_SHARED_H
#define CORE_BASE_SHARED_H

#include "core/base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

struct shared {
    /* read-only */
    char *data;
    uint32_t len;
    uint32_t headroom;
    /* private */
    atomic_uint refs;
    char memory[];
};

struct shared *shared_new(size_t headroom, size_t len);
struct shared *shared_copy(size_t headroom, struct bytes data);
struct shared *shared_ref(struct shared *s);
/* NULL is allowed. */
void shared_unref(struct shared *s);
struct bytes shared_view(const struct shared *s);

#endif
