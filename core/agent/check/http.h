/* The checks that speak over TCP (HTTP, TCP, gRPC, H2PING), through libcurl's multi interface on
 * the agent's loop: names are resolved beside it, and nothing blocks. No redirect is followed and
 * no link-local address is connected to: what answers there (a cloud's metadata) is never what a
 * check is about (contracts/reliability.md, section 4).
 *
 * Owner    all probes have ended before check_http_close().
 * Threads  the agent's loop.
 */
#ifndef CORE_AGENT_CHECK_HTTP_H
#define CORE_AGENT_CHECK_HTTP_H

#include "core/base/loop.h"

struct check_http;

struct check_http *check_http_open(struct loop *loop);
/* NULL is allowed. */
void check_http_close(struct check_http *h);

#endif
