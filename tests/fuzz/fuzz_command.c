/* Any bytes as a command: either refused, or of the one form that encodes to the same bytes. The
 * first version, which has no sender, encodes as the second. */
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
        struct bytes encoded = buf_view(&again);
        if (data[0] == 1) {
            /* The version, and behind it proposer and number. */
            CHECK(c.proposer == 0 && c.number == 0);
            encoded = bytes_slice(encoded, 1 + 2 * sizeof(uint64_t), encoded.len);
            input = bytes_slice(input, 1, input.len);
        }
        CHECK(bytes_equal(encoded, input));
        buf_close(&again);
    }
    return 0;
}
