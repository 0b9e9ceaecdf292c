#include "core/base/shared.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct shared *shared_new(size_t headroom, size_t len)
{
    CHECK(headroom <= UINT32_MAX / 2);
    CHECK(len <= UINT32_MAX / 2);
    struct shared *s = mem_alloc(sizeof *s + headroom + len);
    *s = (struct shared){
        .data = s->memory + headroom,
        .len = (uint32_t)len,
        .headroom = (uint32_t)headroom,
    };
    atomic_init(&s->refs, 1);
    return s;
}

struct shared *shared_copy(size_t headroom, struct bytes data)
{
    struct shared *s = shared_new(headroom, data.len);
    if (data.len > 0) {
        memcpy(s->data, data.ptr, data.len);
    }
    return s;
}

struct shared *shared_ref(struct shared *s)
{
    unsigned before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return s;
}

void shared_unref(struct shared *s)
{
    if (s == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        free(s);
    }
}

struct bytes shared_view(const struct shared *s)
{
    return (struct bytes){.ptr = s->data, .len = s->len};
}
