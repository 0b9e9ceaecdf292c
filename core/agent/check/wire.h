/* What checks say on the wire beyond HTTP/1.1: the health question of gRPC (the health checking
 * protocol, package grpc.health.v1) and the PING of HTTP/2 (RFC 9113, 6.7). Pure.
 *
 * Threads  any; nothing is shared.
 */
#ifndef CORE_AGENT_CHECK_WIRE_H
#define CORE_AGENT_CHECK_WIRE_H

#include "core/base/buf.h"

/* The message about `service` (may be empty) behind gRPC's length prefix. At most 127 bytes of a
 * service's name: ERR_TOO_BIG. */
#define GRPC_QUESTION_MAX 160
enum err grpc_question(struct buf *out, struct bytes service) ERR_MUST_USE;
/* Whether the answer's body says SERVING; `why` says what else it says. */
bool grpc_serving(struct bytes body, struct reason *why);

/* Preface, SETTINGS and a PING with these eight bytes. */
#define H2_PING_LEN 8
enum err h2_ping(struct buf *out, const char data[H2_PING_LEN]) ERR_MUST_USE;
/* Looks in all that was received so far: OK the PING came back; ERR_NOT_FOUND not yet;
 * ERR_INVALID it will not (this is no HTTP/2, or the connection is over). */
enum err h2_pinged(struct bytes received, const char data[H2_PING_LEN]) ERR_MUST_USE;

#endif
