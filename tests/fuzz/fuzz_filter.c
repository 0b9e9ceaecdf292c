/* Filters: any text compiles or is refused with a column, and what compiles can be evaluated. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "stream/filter.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct change changes[] = {
        {.index = 1, .op = CHANGE_SET, .key = {"app/a", 5}, .value = {"x", 1}, .flags = 7},
        {.index = 2, .op = CHANGE_DELETE_PREFIX, .key = {NULL, 0}},
    };
    struct filter *f = NULL;
    struct reason why = {{0}};
    if (filter_new((struct bytes){.ptr = (const char *)data, .len = size}, &f, &why) != OK) {
        CHECK(strncmp(why.text, "column ", 7) == 0);
        return 0;
    }
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        (void)filter_matches(f, &changes[i]);
    }
    filter_free(f);
    return 0;
}
