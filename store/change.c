#include "store/change.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/pack.h"
#include "store/view.h"

#include <stdlib.h>

/* u8 version, u8 topic, u8 op, u64 time_ms, bytes key; for SET of a key also u64 flags, u64
 * create_index, u64 lock_index, bytes session, bytes value; for other topics bytes value. */
#define CHANGE_VERSION     1
#define CHANGE_FRAME_MAX   64U
#define CHANGE_SESSION_MAX 64U /* a UUID has 36 */

enum err change_encode(struct buf *out, const struct change *c)
{
    CHECK(c->key.len <= KV_KEY_MAX && c->value.len <= KV_VALUE_MAX);
    CHECK(c->session.len <= CHANGE_SESSION_MAX);
    enum err e = buf_reserve(out, CHANGE_FRAME_MAX + c->key.len + c->value.len + c->session.len);
    if (e != OK) {
        return e;
    }
    pack_u8(out, CHANGE_VERSION);
    pack_u8(out, (uint8_t)c->topic);
    pack_u8(out, (uint8_t)c->op);
    pack_u64(out, c->time_ms);
    pack_bytes(out, c->key);
    if (c->topic != CHANGE_KV) {
        pack_bytes(out, c->value);
    } else if (c->op == CHANGE_SET) {
        pack_u64(out, c->flags);
        pack_u64(out, c->create_index);
        pack_u64(out, c->lock_index);
        pack_bytes(out, c->session);
        pack_bytes(out, c->value);
    }
    return OK;
}

enum err change_decode(struct bytes data, struct change *ret_change)
{
    struct unpack in = {.rest = data};
    uint8_t version = unpack_u8(&in);
    struct change c = {0};
    c.topic = (enum change_topic)unpack_u8(&in);
    c.op = (enum change_op)unpack_u8(&in);
    c.time_ms = unpack_u64(&in);
    c.key = unpack_bytes(&in, KV_KEY_MAX);
    enum change_op last = c.topic == CHANGE_KV ? CHANGE_DELETE_PREFIX : CHANGE_DELETE;
    if (version != CHANGE_VERSION || c.topic < CHANGE_KV || c.topic >= CHANGE_TOPICS ||
        c.op < CHANGE_SET || c.op > last) {
        return ERR_CORRUPT;
    }
    if (c.topic != CHANGE_KV) {
        c.value = unpack_bytes(&in, KV_VALUE_MAX);
    } else if (c.op == CHANGE_SET) {
        c.flags = unpack_u64(&in);
        c.create_index = unpack_u64(&in);
        c.lock_index = unpack_u64(&in);
        c.session = unpack_bytes(&in, CHANGE_SESSION_MAX);
        c.value = unpack_bytes(&in, KV_VALUE_MAX);
    }
    if (!unpack_done(&in)) {
        return ERR_CORRUPT;
    }
    *ret_change = c;
    return OK;
}

struct change_batch *change_batch_ref(struct change_batch *b)
{
    CHECK(atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed) > 0);
    return b;
}

void change_batch_unref(struct change_batch *b)
{
    if (b == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1) {
        return;
    }
    view_unref(b->view);
    buf_close(&b->memory);
    free((void *)(uintptr_t)b->moved.ptr);
    free(b);
}
