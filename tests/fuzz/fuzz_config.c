/* Any bytes as a configuration file: refused with a reason, or read; nothing is left behind, and
 * reading it twice is the same as once. */
#include "core/base/check.h"
#include "core/config_key.h"

#include <stdlib.h>
#include <string.h>

static enum err read_once(struct bytes input, struct config **ret_config)
{
    struct reason why = {0};
    struct config *c = NULL;
    CHECK(config_load(0, NULL, &c, &why) == OK);
    enum err e = config_text_read(c, "fuzz", input, &why);
    CHECK(e == OK || (e == ERR_INVALID && why.text[0] != '\0'));
    *ret_config = c;
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {(const char *)data, size};
    struct config *a = NULL;
    struct config *b = NULL;
    CHECK(read_once(input, &a) == read_once(input, &b));
    CHECK(a->warning_count == b->warning_count && a->header_count == b->header_count);
    CHECK(strcmp(a->datacenter, b->datacenter) == 0);
    config_free(a);
    config_free(b);
    return 0;
}
