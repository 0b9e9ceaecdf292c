/* Any bytes as a hello and frames behind it: what is found is what would have been written. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/replica/frame.h"

#include <string.h>

static void fuzz_hello(struct bytes data)
{
    struct hello h;
    char again[HELLO_LEN];
    if (hello_decode(data, &h) == NULL) {
        hello_encode(&h, again);
        CHECK(memcmp(again, data.ptr, HELLO_LEN) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {(const char *)data, size};
    if (rest.len >= HELLO_LEN) {
        fuzz_hello(bytes_slice(rest, 0, HELLO_LEN));
        rest = bytes_slice(rest, HELLO_LEN, rest.len);
    }
    struct bytes payload = {0};
    size_t len = 0;
    while (frame_find(rest, &payload, &len) == FRAME_WHOLE) {
        char head[FRAME_HEAD_LEN];
        frame_head(payload, head);
        CHECK(memcmp(head, rest.ptr, FRAME_HEAD_LEN) == 0);
        CHECK(len == FRAME_HEAD_LEN + payload.len && len <= rest.len);
        rest = bytes_slice(rest, len, rest.len);
    }
    CHECK(len <= FRAME_HEAD_LEN + RPC_MESSAGE_MAX);
    return 0;
}
