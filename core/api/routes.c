#include "core/api/routes.h"

const struct route ROUTES[] = {
#define X(path, match, methods, acl, consistency, handler)                                         \
    {path, match, methods, acl, consistency, handler},
#include "core/front/route.tbl.h"
#undef X
};

const size_t ROUTE_COUNT = sizeof ROUTES / sizeof ROUTES[0];
