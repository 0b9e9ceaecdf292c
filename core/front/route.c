#include "core/front/route.h"

#include "core/base/check.h"

#include <string.h>

const struct route *
route_find(const struct route *routes, size_t count, struct bytes path, struct bytes *ret_rest)
{
    const struct route *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < count; i++) {
        struct bytes own = bytes_of(routes[i].path);
        bool fits =
            routes[i].match == ROUTE_PREFIX ? bytes_begins(path, own) : bytes_equal(path, own);
        if (fits && own.len >= best_len) {
            best = &routes[i];
            best_len = own.len;
        }
    }
    if (best != NULL) {
        *ret_rest = bytes_slice(path, best_len, path.len);
    }
    return best;
}

bool route_lacks_slash(const struct route *routes, size_t count, struct bytes path)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes own = bytes_of(routes[i].path);
        if (routes[i].match == ROUTE_PREFIX && own.len == path.len + 1 && bytes_begins(own, path)) {
            return true;
        }
    }
    return false;
}

void route_allow(unsigned methods, char ret_text[ROUTE_ALLOW_LEN])
{
    static const struct {
        unsigned method;
        const char *name;
    } order[] = {
        {METHOD_GET, ",GET"},       {METHOD_PUT, ",PUT"},   {METHOD_POST, ",POST"},
        {METHOD_DELETE, ",DELETE"}, {METHOD_HEAD, ",HEAD"},
    };
    size_t len = 0;
    struct bytes piece = BYTES("OPTIONS");
    memcpy(ret_text, piece.ptr, piece.len);
    len = piece.len;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if ((methods & order[i].method) != 0) {
            piece = bytes_of(order[i].name);
            CHECK(len + piece.len < ROUTE_ALLOW_LEN);
            memcpy(ret_text + len, piece.ptr, piece.len);
            len += piece.len;
        }
    }
    ret_text[len] = '\0';
}
