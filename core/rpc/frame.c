#include "core/rpc/frame.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/pack.h"
#include "core/base/text.h"

#include <string.h>

#define RPC_VERSION 1

const char RPC_HELLO[RPC_HELLO_LEN] = {'H', 'R', 'P', 'C', RPC_VERSION, 0, 0, 0};

/* Type and stream. */
#define PAYLOAD_HEAD_LEN 5U

_Static_assert(RPC_DATA_MAX + PAYLOAD_HEAD_LEN <= RPC_FRAME_MAX, "data fits a frame");
_Static_assert(PAYLOAD_HEAD_LEN + 2 * (4 + RPC_NAME_MAX) <= RPC_FRAME_MAX, "a hello fits too");

static void frame_put_u32(char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (char)(value >> (8 * i));
    }
}

static void frame_put_payload(struct buf *out, const struct rpc_frame *f)
{
    pack_u8(out, (uint8_t)f->type);
    pack_u32(out, f->stream);
    switch (f->type) {
    case RPC_FRAME_HELLO:
        CHECK(f->node.len <= RPC_NAME_MAX && f->datacenter.len <= RPC_NAME_MAX);
        pack_bytes(out, f->node);
        pack_bytes(out, f->datacenter);
        break;
    case RPC_FRAME_DATA:
        CHECK(f->data.len > 0 && f->data.len <= RPC_DATA_MAX);
        buf_put(out, f->data);
        break;
    case RPC_FRAME_WINDOW:
        pack_u32(out, f->number);
        break;
    case RPC_FRAME_CLOSE:
        pack_u8(out, (uint8_t)f->number);
        break;
    case RPC_FRAME_PING:
    case RPC_FRAME_PONG:
        pack_u64(out, f->token);
        break;
    case RPC_FRAME_OPEN:
    case RPC_FRAME_LEAVE:
        break;
    }
}

enum err rpc_frame_encode(struct buf *out, const struct rpc_frame *f)
{
    static const char nothing[RPC_FRAME_HEAD_LEN] = {0};
    size_t begin = out->len;
    /* The longest that is not data is a hello. */
    size_t most = RPC_FRAME_HEAD_LEN + PAYLOAD_HEAD_LEN + 2 * (4 + RPC_NAME_MAX) + f->data.len;
    enum err e = buf_reserve(out, most);
    if (e != OK) {
        return e;
    }
    buf_put(out, (struct bytes){nothing, sizeof nothing});
    frame_put_payload(out, f);
    char *head = out->ptr + begin;
    struct bytes payload = {head + RPC_FRAME_HEAD_LEN, out->len - begin - RPC_FRAME_HEAD_LEN};
    frame_put_u32(head, (uint32_t)payload.len);
    uint32_t sum = checksum_more(checksum((struct bytes){head, 4}), payload);
    frame_put_u32(head + 4, sum);
    return OK;
}

/* Whether the payload is one of its type, whole. */
static bool frame_read(struct bytes payload, struct rpc_frame *ret_frame)
{
    struct unpack in = {.rest = payload};
    struct rpc_frame f = {.type = (enum rpc_type)unpack_u8(&in)};
    f.stream = unpack_u32(&in);
    bool whole_connection = true;
    switch (f.type) {
    case RPC_FRAME_HELLO:
        f.node = unpack_bytes(&in, RPC_NAME_MAX);
        f.datacenter = unpack_bytes(&in, RPC_NAME_MAX);
        break;
    case RPC_FRAME_PING:
    case RPC_FRAME_PONG:
        f.token = unpack_u64(&in);
        break;
    case RPC_FRAME_LEAVE:
        break;
    case RPC_FRAME_DATA:
        whole_connection = false;
        f.data = unpack_raw(&in, in.rest.len);
        in.failed = in.failed || f.data.len == 0 || f.data.len > RPC_DATA_MAX;
        break;
    case RPC_FRAME_WINDOW:
        whole_connection = false;
        f.number = unpack_u32(&in);
        break;
    case RPC_FRAME_CLOSE:
        whole_connection = false;
        f.number = unpack_u8(&in);
        break;
    case RPC_FRAME_OPEN:
        whole_connection = false;
        break;
    default:
        return false;
    }
    if (!unpack_done(&in) || (f.stream == 0) != whole_connection) {
        return false;
    }
    *ret_frame = f;
    return true;
}

enum rpc_found rpc_frame_find(struct bytes data, struct rpc_frame *ret_frame, size_t *ret_len)
{
    struct unpack in = {.rest = data};
    uint32_t len = unpack_u32(&in);
    uint32_t sum = unpack_u32(&in);
    if (in.failed) {
        *ret_len = RPC_FRAME_HEAD_LEN;
        return RPC_FOUND_PART;
    }
    if (len < PAYLOAD_HEAD_LEN || len > RPC_FRAME_MAX) {
        return RPC_FOUND_BAD;
    }
    *ret_len = RPC_FRAME_HEAD_LEN + len;
    struct bytes payload = unpack_raw(&in, len);
    if (in.failed) {
        return RPC_FOUND_PART;
    }
    uint32_t own = checksum_more(checksum((struct bytes){data.ptr, 4}), payload);
    return own == sum && frame_read(payload, ret_frame) ? RPC_FOUND_WHOLE : RPC_FOUND_BAD;
}
