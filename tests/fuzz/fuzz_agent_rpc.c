/* Any bytes as frames between an agent and a server: what is found is what would have been written.
 * And as an answer: its body never holds more than came. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/rpc/answer.h"
#include "core/rpc/frame.h"

#include <string.h>

static void fuzz_frames(struct bytes rest)
{
    struct rpc_frame f = {0};
    struct buf again;
    size_t len = 0;
    buf_init(&again, MIB(1));
    while (rpc_frame_find(rest, &f, &len) == RPC_FOUND_WHOLE) {
        buf_clear(&again);
        CHECK(len <= rest.len);
        CHECK(rpc_frame_encode(&again, &f) == OK);
        CHECK(again.len == len && memcmp(again.ptr, rest.ptr, len) == 0);
        rest = bytes_slice(rest, len, rest.len);
    }
    CHECK(len <= RPC_FRAME_HEAD_LEN + RPC_FRAME_MAX);
    buf_close(&again);
}

static void fuzz_answer(struct bytes data)
{
    struct answer_head h;
    struct answer_body b;
    struct buf out;
    if (answer_head_parse(&h, data) != PARSE_DONE) {
        return;
    }
    CHECK(h.len <= data.len && h.field_count <= RPC_ANSWER_FIELDS_MAX);
    buf_init(&out, MIB(1));
    answer_body_init(&b, &h, false);
    (void)answer_body_read(&b, bytes_slice(data, h.len, data.len), &out);
    CHECK(out.len <= data.len - h.len);
    buf_close(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = {(const char *)data, size};
    fuzz_frames(all);
    fuzz_answer(all);
    return 0;
}
