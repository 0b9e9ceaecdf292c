/* A target's path (with a key in it) and query string, decoded. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/front/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encoded again and decoded again it is the same. */
static void round_trip(struct arena *arena, struct bytes path)
{
    struct buf encoded;
    struct bytes again = {0};
    const char *why = NULL;
    buf_init(&encoded, path.len * 3 + 1);
    CHECK(url_encode(&encoded, path, true) == OK);
    CHECK(target_path(arena, buf_view(&encoded), &again, &why) == OK);
    CHECK(bytes_equal(path, again));
    buf_close(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = {.ptr = (const char *)data, .len = size};
    struct arena arena;
    size_t mark = bytes_find(input, '?');
    struct bytes path = {0};
    const struct query_arg *args = NULL;
    size_t count = 0;
    const char *why = NULL;
    arena_init(&arena, HTTP_REQUEST_ARENA_MAX);
    if (target_path(&arena, bytes_slice(input, 0, mark), &path, &why) == OK) {
        CHECK(path.len <= mark);
        CHECK(path.len == 0 || memchr(path.ptr, '\0', path.len) == NULL);
        round_trip(&arena, path);
    } else {
        CHECK(why != NULL);
    }
    struct bytes query = bytes_slice(input, mark < size ? mark + 1 : size, size);
    if (target_query(&arena, query, &args, &count, &why) == OK) {
        size_t total = 0;
        CHECK(count <= HTTP_QUERY_ARGS_MAX);
        for (size_t i = 0; i < count; i++) {
            total += args[i].name.len + args[i].value.len;
        }
        CHECK(total <= query.len);
    }
    arena_close(&arena);
    return 0;
}
