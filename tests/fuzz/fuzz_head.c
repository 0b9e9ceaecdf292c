/* The head of a request: whatever the bytes, and wherever they are cut. */
#include "core/base/check.h"
#include "core/front/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes part, struct bytes whole)
{
    CHECK(part.len == 0 ||
          (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len) ||
          bytes_equal(part, BYTES("/")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct head whole;
    static struct head split;
    struct bytes input = {.ptr = (const char *)data, .len = size};
    size_t scanned = 0;
    enum parse p = head_parse(&whole, input, HTTP_HEAD_MAX, &scanned);
    if (p == PARSE_FAILED) {
        CHECK(whole.status >= 400 && whole.why != NULL);
    }
    if (p == PARSE_DONE) {
        CHECK(whole.len <= size && whole.field_count <= HTTP_HEADERS_MAX);
        inside(whole.path, input);
        inside(whole.query, input);
        for (size_t i = 0; i < whole.field_count; i++) {
            inside(whole.fields[i].name, input);
            inside(whole.fields[i].value, input);
        }
    }
    /* The first byte chooses where the rest is cut in two. */
    size_t cut = size == 0 ? 0 : data[0] % (size + 1);
    scanned = 0;
    enum parse q = head_parse(&split, bytes_slice(input, 0, cut), HTTP_HEAD_MAX, &scanned);
    if (q == PARSE_MORE) {
        q = head_parse(&split, input, HTTP_HEAD_MAX, &scanned);
    }
    /* What was whole before the cut is whole; what failed may have failed sooner. */
    CHECK(q == p);
    CHECK(p != PARSE_DONE || (split.len == whole.len && split.field_count == whole.field_count));
    return 0;
}
