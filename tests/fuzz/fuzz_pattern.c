/* Patterns: the first line is one, the rest a text; neither may run away. */
#include "core/base/check.h"
#include "core/base/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = {.ptr = (const char *)data, .len = size};
    size_t end = bytes_find(all, '\n');
    struct pattern *p = NULL;
    struct reason why = {{0}};
    if (pattern_new(bytes_slice(all, 0, end), &p, &why) != OK) {
        CHECK(why.text[0] != '\0');
        return 0;
    }
    struct bytes text = bytes_slice(all, end < size ? end + 1 : size, size);
    bool found = pattern_finds(p, text);
    CHECK(found == pattern_finds(p, text));
    pattern_free(p);
    return 0;
}
