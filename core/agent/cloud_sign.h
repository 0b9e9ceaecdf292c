/* AWS's signature, version 4 (documented by AWS as "Create a signed AWS API request"): a POST of a
 * form to the root of a service.
 *
 * Threads  any; nothing is shared.
 */
#ifndef CORE_AGENT_CLOUD_SIGN_H
#define CORE_AGENT_CLOUD_SIGN_H

#include "core/base/buf.h"

struct cloud_key {
    const char *id;
    const char *secret;
    const char *token; /* NULL: none */
};

struct cloud_post {
    const char *host;
    const char *region;
    const char *service;
    uint64_t wall_ms;
    struct bytes body;
};

/* The headers that sign it: whole lines with a NUL behind each, in the order X-Amz-Date,
 * X-Amz-Security-Token if there is one, Authorization. ERR_TOO_BIG. */
enum err
cloud_sign(const struct cloud_post *p, const struct cloud_key *key, struct buf *out) ERR_MUST_USE;

#endif
