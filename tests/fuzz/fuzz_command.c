/* Any bytes as a command: either refused, or of the one form that encodes to the same bytes. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {(const char *)data, size};
    struct command c;
    enum err e = command_decode(input, &c);
    CHECK(e == OK || e == ERR_INVALID);
    if (e == OK) {
        struct buf again;
        buf_init(&again, COMMAND_MAX);
        CHECK(command_encode(&again, &c) == OK);
        CHECK(bytes_equal(buf_view(&again), input));
        buf_close(&again);
    }
    return 0;
}
