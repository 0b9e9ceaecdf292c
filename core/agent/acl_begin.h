/* What access control begins with: the management policy, the management token that the
 * configuration names, the anonymous token. The leader writes what of these is not there.
 *
 * Life     acl_begin_open() -> acl_begin_close() while the store still runs -> the loop drained ->
 *          acl_begin_free().
 * Threads  the main loop's.
 */
#ifndef CORE_AGENT_ACL_BEGIN_H
#define CORE_AGENT_ACL_BEGIN_H

#include "store/store.h"

struct acl_begin;
struct config;

/* NULL where access control is off. */
struct acl_begin *acl_begin_open(const struct config *c, struct store *s, struct loop *loop);
/* NULL is allowed, here and below. */
void acl_begin_close(struct acl_begin *a);
void acl_begin_free(struct acl_begin *a);

#endif
