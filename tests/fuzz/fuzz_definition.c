/* Any bytes as a definition of a service or a check: refused with a reason, or read; what is read
 * can be kept as a row. */
#include "core/agent/local.h"
#include "core/base/check.h"
#include "core/base/limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t error;
    json_t *object = json_loadb((const char *)data, size, 0, &error);
    struct reason why = {{0}};
    struct arena arena;
    struct local l;
    local_init(&l);
    arena_init(&arena, DEFINITION_ARENA_MAX);
    struct service_definition s;
    struct check_definition c;
    if (json_is_object(object)) {
        enum err e = definition_service(&arena, object, &s, &why);
        CHECK(e == OK || why.text[0] != '\0');
        if (e == OK && definition_service_valid(&s, &why) == OK) {
            e = local_add_service(&l, &s, LOCAL_API, &why);
            CHECK(e == OK || why.text[0] != '\0');
        }
        e = definition_check(&arena, object, &c, &why);
        if (e == OK && definition_check_valid(&c, &why) == OK) {
            struct local_check_new n = {.definition = &c,
                                        .id = c.id,
                                        .name = c.name,
                                        .kind = c.kind,
                                        .status = CHECK_CRITICAL};
            e = local_add_check(&l, &n, &why);
            CHECK(e == OK || why.text[0] != '\0');
        }
    }
    json_decref(object);
    local_close(&l);
    arena_close(&arena);
    return 0;
}
