/* Any bytes as the answer to a gRPC health question or to an HTTP/2 PING: judged, never a crash;
 * and what is not yet an answer can only become one by more bytes. */
#include "core/agent/check/wire.h"
#include "core/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char ping[H2_PING_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct bytes input = {(const char *)data, size};
    struct reason why = {{0}};
    (void)grpc_serving(input, &why);
    CHECK(why.text[0] != '\0');
    enum err whole = h2_pinged(input, ping);
    for (size_t len = 0; len < size && len < 64; len++) {
        enum err part = h2_pinged(bytes_slice(input, 0, len), ping);
        CHECK(part == ERR_NOT_FOUND || part == whole);
    }
    return 0;
}
