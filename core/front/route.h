/* Routes: which path, which methods, which right, which consistency, which handler. The table of
 * Herald is route.tbl.h; the front is given it (or a test's own) by its options.
 *
 * Threads  constants.
 */
#ifndef CORE_FRONT_ROUTE_H
#define CORE_FRONT_ROUTE_H

#include "core/front/request.h"

enum route_match {
    ROUTE_EXACT,
    ROUTE_PREFIX, /* request.rest is what follows; the path without its last `/` is redirected */
};

/* The right that a request needs (store/acl.h); GET needs to read, other methods to write. */
enum route_acl {
    ROUTE_ACL_NONE,
    ROUTE_ACL_FILTER, /* the handler leaves out what the token may not see */
    ROUTE_ACL_KEY,    /* on the key in request.rest */
    ROUTE_ACL_EVENT,  /* on the event in request.rest */
    ROUTE_ACL_AGENT,  /* on this node's agent */
    ROUTE_ACL_OPERATOR,
    ROUTE_ACL_KEYRING,
    ROUTE_ACL_ACL,
    ROUTE_ACL_ALL,  /* acl:write, whatever the method: it reads or replaces everything */
    ROUTE_ACL_SELF, /* the handler asks, by what the request says (core/api/rights.h) */
};

enum route_consistency {
    ROUTE_LOCAL,      /* about this server alone */
    ROUTE_REPLICATED, /* of the replicated state: ?stale and ?consistent apply */
};

struct route {
    const char *path;
    enum route_match match;
    unsigned methods; /* METHOD_* */
    enum route_acl acl;
    enum route_consistency consistency;
    void (*handler)(struct request *r);
};

/* The handlers of the table; they live in core/api. */
#define X(path, match, methods, acl, consistency, handler) void handler(struct request *r);
#include "core/front/route.tbl.h"
#undef X

/* The longest route that fits a decoded path, and what of the path follows it. NULL: none. */
const struct route *
route_find(const struct route *routes, size_t count, struct bytes path, struct bytes *ret_rest);
/* Whether `path` and a `/` would be a prefix route: a client that forgot it is redirected. */
bool route_lacks_slash(const struct route *routes, size_t count, struct bytes path);
/* `OPTIONS,GET,PUT`; fits ROUTE_ALLOW_LEN. */
#define ROUTE_ALLOW_LEN 48
void route_allow(unsigned methods, char ret_text[ROUTE_ALLOW_LEN]);

#endif
