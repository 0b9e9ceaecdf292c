/* Client messages of herald.v1: any bytes parse or are refused, and what parses keeps its limits.
 */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "stream/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {.ptr = (const char *)data, .len = size};
    struct client_message m;
    struct buf out;
    if (protocol_parse(text, &m) == OK && m.problem == NULL) {
        CHECK(m.subscribe.target.len <= KV_KEY_MAX);
        CHECK(m.data.len <= STREAM_PING_DATA_MAX);
        CHECK(!m.subscribe.snapshot || !m.subscribe.has_from);
    }
    client_message_close(&m);
    buf_init(&out, MIB(1));
    if (protocol_compact_json(&out, text) == OK) {
        CHECK(out.len > 0);
        CHECK(bytes_find(buf_view(&out), '\n') == out.len);
    }
    buf_close(&out);
    return 0;
}
