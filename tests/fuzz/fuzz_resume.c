/* What a URL may ask of /v1/stream, and the resume token in Last-Event-ID. The input is the query,
 * a newline, the header. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "stream/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {.ptr = (const char *)data, .len = size};
    size_t line = bytes_find(text, '\n');
    struct bytes query = bytes_slice(text, 0, line);
    struct bytes id = bytes_slice(text, line < size ? line + 1 : line, size);
    struct bytes epoch = {0};
    uint64_t index = 0;
    struct stream_url url;
    struct reason why = {{0}};
    if (resume_token_parse(id, &epoch, &index) == OK) {
        CHECK(epoch.len < id.len);
    }
    if (stream_url_parse(query, id, &url, &why) == OK) {
        CHECK(url.count >= 1 && url.count <= STREAM_URL_SUBSCRIBES);
        for (size_t i = 0; i < url.count; i++) {
            CHECK(url.subscribes[i].target.len <= KV_KEY_MAX);
            CHECK(!url.subscribes[i].snapshot || !url.subscribes[i].has_from);
        }
        stream_url_close(&url);
    } else {
        CHECK(why.text[0] != '\0');
    }
    return 0;
}
