/* Who may what, of requests (contracts/consul.md section 12).
 *
 * Where    api_handle() stands in front of every handler and carries out the ACL class of its
 *          route (core/front/route.h). What a class cannot know, the handler asks: api_may() before
 *          it changes anything (ROUTE_ACL_SELF), rights_see() for each row that it shows
 *          (ROUTE_ACL_FILTER).
 * Ambient  rights_see() and rights_may() judge by the rights of the request at hand: they are in
 *          force while its handler runs, while a query of its is evaluated, and while `ready` of
 *          api_read_ready() runs. Elsewhere nothing is allowed. While access control is off
 *          everything is.
 * Owner    an acl that is returned is borrowed until the next call here on this thread.
 * Threads  rights_open() before the threads start; the rest any, each with a memory of its own.
 */
#ifndef CORE_API_RIGHTS_H
#define CORE_API_RIGHTS_H

#include "core/front/request.h"
#include "store/acl.h"
#include "store/view.h"
#include "stream/stream.h"

struct config;
struct tokens;
struct api;

/* Borrowed while the process runs. */
void rights_open(const struct config *c, const struct tokens *t);
/* All other threads have ended. */
void rights_close(void);
bool rights_enabled(void);

/* Calls the handler of the route, if the route's class allows it; else answers 403. */
void api_handle(struct request *r);
/* A request goes on from the loop: puts its rights in force until rights_leave(). False: its token
 * is gone meanwhile; it has been answered. */
bool api_resume(struct request *r, const struct acl **ret_before);
/* The net below all writes: somebody has asked whether this request may write. False: nobody has,
 * and it has been answered. */
bool api_is_judged(struct request *r);
/* The rights of a request: everything while access control is off; NULL: its token is unknown. */
const struct acl *api_rights(struct request *r);
/* The secret it is judged by: its own, the agent's default one, or the anonymous one. */
struct bytes api_secret(struct request *r);
struct bytes rights_secret(struct bytes token);
/* False: it has been answered with 403. */
bool api_may(struct request *r,
             enum acl_resource resource,
             struct bytes name,
             enum acl_access access);

/* Changes with whatever may change rights; 0 while access control is off. */
uint64_t rights_index(struct view *v);

/* The row of that name may be read. */
bool rights_see(enum acl_resource resource, struct bytes name);
bool rights_may(enum acl_resource resource, struct bytes name, enum acl_access access);
/* An instance of a service, or a check (of its node alone: `service` empty). */
bool rights_see_instance(struct bytes node, struct bytes service);

/* Whether what has this id now, whatever the request calls it, may be accessed: else one's own name
 * over another's id would be a way around. True where there is nothing. */
bool rights_service_id(struct view *v, struct bytes node, struct bytes id, enum acl_access access);
bool rights_check_id(struct view *v, struct bytes node, struct bytes id, enum acl_access access);
bool rights_node_id(struct view *v, struct bytes id, enum acl_access access);

/* The rights of a secret in a view (empty: the anonymous one); NULL: unknown or expired. */
struct acl *rights_of(struct view *v, struct bytes secret);

/* Puts the rights of `secret`, as they are in the view, in force until rights_leave(): NULL and
 * nothing is allowed. What was in force before is returned, for that. */
const struct acl *rights_enter(const struct acl *a);
void rights_leave(const struct acl *before);

/* `q` as it is for the rights of this request: its answer depends on them. False: too long. */
bool rights_query(struct request *r, const struct watch_query *q, struct watch_query *ret_query);

#endif
