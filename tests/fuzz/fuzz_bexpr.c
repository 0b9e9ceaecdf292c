/* Filters: any text is refused with a sentence or becomes an expression that can be evaluated. */
#include "core/api/bexpr_rows.h"
#include "core/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct bexpr_schema *const schemas[] = {&BEXPR_NODE,     &BEXPR_SERVICE,
                                                         &BEXPR_CHECK,    &BEXPR_CATALOG,
                                                         &BEXPR_INSTANCE, &BEXPR_NODE_DUMP};
    static const struct node_row node = {.name = {"n1", 2}, .meta = {"\1\0\0\0k\1\0\0\0v", 10}};
    static const struct service_row service = {
        .name = {"web", 3}, .port = 80, .tags = {"\2\0\0\0v1", 6}};
    static const struct check_row check = {.name = {"c", 1}, .status = CHECK_PASSING};
    const struct bexpr_row row = {.node = &node, .service = &service, .check = &check};
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        struct bexpr *e = NULL;
        struct reason why = {{0}};
        struct bytes text = {.ptr = (const char *)data, .len = size};
        if (bexpr_new(text, schemas[i], &e, &why) == OK) {
            (void)bexpr_matches(e, &row);
            bexpr_free(e);
        } else {
            CHECK(why.text[0] != '\0');
        }
    }
    return 0;
}
