/* From a secret to what it may: its token's policies, roles and identities, joined.
 *
 * Owner    the acl is the caller's: one reference.
 * Time     the reader's wall clock decides whether a token has expired; apply never looks.
 * Errors   ERR_NOT_FOUND: no token has this secret, or it has expired. ERR_IO and ERR_CORRUPT
 *          when the disk lies. A policy that cannot be read any more grants nothing.
 * Threads  any.
 */
#ifndef STORE_ACL_RESOLVE_H
#define STORE_ACL_RESOLVE_H

#include "store/acl.h"
#include "store/view.h"

struct acl_setting {
    enum acl_access fallback; /* where no rule says anything: ACL_DENY or ACL_WRITE */
    struct bytes datacenter;  /* policies for others only do not count */
    uint64_t now_ms;
};

enum err acl_of_secret(struct view *v,
                       struct bytes secret,
                       const struct acl_setting *s,
                       struct acl **ret_acl,
                       uint64_t *ret_expires_ms) ERR_MUST_USE;

#endif
