/* One HTTP request to a cloud's interface, whole, with a deadline and a limit; redirects are not
 * followed, and the metadata service is never asked through a proxy.
 *
 * Errors   ERR_IO with a sentence; another status than 200 is one.
 * Threads  any that may wait.
 */
#ifndef CORE_AGENT_CLOUD_HTTP_H
#define CORE_AGENT_CLOUD_HTTP_H

#include "core/base/buf.h"

#include <stdatomic.h>

struct cloud_http {
    const char *method; /* GET, PUT, POST */
    const char *url;
    const char *const *headers; /* whole lines, without their ends */
    size_t header_count;
    struct bytes body;
    const atomic_bool *stop;
};

enum err cloud_http(const struct cloud_http *q, struct buf *out, struct reason *why) ERR_MUST_USE;

#endif
