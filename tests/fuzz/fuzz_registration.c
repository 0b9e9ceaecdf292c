/* Requests to the catalog: any text is refused with a sentence, or becomes rows that can be encoded
 * once they have names; what is no JSON to jansson and to us is no JSON to both. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/json_why.h"
#include "core/registration.h"

static void rows_fit(const struct registration *r)
{
    struct buf out;
    buf_init(&out, MIB(8));
    struct node_row node = r->node.row;
    enum err e = row_node_encode(&out, &node);
    CHECK(e == OK || e == ERR_INVALID);
    if (r->has_service) {
        struct service_row service = r->service;
        service.node = BYTES("n");
        registration_service_defaults(&service);
        e = row_service_encode(&out, &service);
        CHECK(e == OK || e == ERR_INVALID);
    }
    for (size_t i = 0; i < r->check_count; i++) {
        struct check_row check = r->checks[i];
        check.node = BYTES("n");
        registration_check_defaults(&check);
        e = row_check_encode(&out, &check);
        CHECK(e == OK || e == ERR_INVALID);
    }
    buf_close(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {.ptr = (const char *)data, .len = size};
    struct reason why = {{0}};
    struct arena arena;
    json_t *json = NULL;
    if (decode_json(text, &json, &why) != OK) {
        CHECK(why.text[0] != '\0');
        return 0;
    }
    arena_init(&arena, REGISTRATION_ARENA_MAX);
    struct registration r;
    if (registration_decode(&arena, json, &r, &why) == OK) {
        rows_fit(&r);
    } else {
        CHECK(why.text[0] != '\0');
    }
    struct deregistration d;
    (void)deregistration_decode(&arena, json, &d, &why);
    json_decref(json);
    arena_close(&arena);
    return 0;
}
