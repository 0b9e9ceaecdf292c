/* The state of a push/pull exchange from somebody who holds the key: taken whole or not at all;
 * what was taken can be said again, and changes nothing when it comes back. */
#include "core/base/check.h"
#include "gossip_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_world w;
    struct buf state;
    fuzz_open(&w);
    size_t before = swim_count(w.swim);
    enum err e = swim_merge(w.swim, (struct bytes){(const char *)data, size});
    CHECK(e == OK || e == ERR_INVALID);
    CHECK(e == OK || swim_count(w.swim) == before);
    buf_init(&state, GOSSIP_STATE_MAX);
    swim_state(w.swim, &state);
    before = swim_count(w.swim);
    e = swim_merge(w.swim, buf_view(&state));
    CHECK(e == OK && swim_count(w.swim) == before);
    buf_close(&state);
    fuzz_run(&w, 60000);
    fuzz_close(&w);
    return 0;
}
