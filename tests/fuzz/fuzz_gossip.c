/* Packets, as somebody who holds the key could send them, to a live node in a small world: nothing
 * may crash it, put it out of its own list or make it send what it would not read itself. The input
 * is a row of steps: a byte, which is a time to pass (odd) or a length (even), and that many bytes
 * of a packet. */
#include "core/base/check.h"
#include "core/base/env.h"
#include "core/gossip/swim.h"
#include "gossip_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_world w;
    fuzz_open(&w);
    while (size > 0) {
        size_t len = (size_t)(data[0] >> 1) * 4;
        bool wait = (data[0] & 1) != 0;
        data++;
        size--;
        if (wait) {
            fuzz_run(&w, len * 64);
            continue;
        }
        len = len < size ? len : size;
        struct bytes packet = {(const char *)data, len};
        struct packet_address from = fuzz_address(2);
        enum err e = swim_receive(w.swim, &from, packet);
        CHECK(e == OK || e == ERR_INVALID);
        data += len;
        size -= len;
    }
    fuzz_run(&w, 3000);
    fuzz_close(&w);
    return 0;
}
