/* Any bytes as a message between servers: refused, or of the one form that encodes to the same
 * bytes. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/replica/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {(const char *)data, size};
    struct rpc_room room = {0};
    struct rpc_message m;
    enum err e = rpc_decode(input, &room, &m);
    CHECK(e == OK || e == ERR_INVALID);
    if (e == OK) {
        struct buf again;
        buf_init(&again, RPC_MESSAGE_MAX);
        CHECK(rpc_encode(&again, &m) == OK);
        CHECK(bytes_equal(buf_view(&again), input));
        buf_close(&again);
    }
    rpc_room_close(&room);
    return 0;
}
