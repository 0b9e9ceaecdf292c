/* The agent's services and checks as /v1/agent shows them.
 *
 * Errors   ERR_TOO_BIG when `out` is full.
 * Threads  none.
 */
#ifndef CORE_AGENT_LOCAL_JSON_H
#define CORE_AGENT_LOCAL_JSON_H

#include "core/agent/local.h"

enum err local_json_service(struct buf *out,
                            const struct local_service *s,
                            struct bytes datacenter) ERR_MUST_USE;
/* {"id": service} and {"id": check} */
enum err
local_json_services(struct buf *out, const struct local *l, struct bytes datacenter) ERR_MUST_USE;
enum err
local_json_checks(struct buf *out, const struct local *l, const struct node_row *node) ERR_MUST_USE;
/* The node's checks and those of one service: [check] */
enum err local_json_health_checks(struct buf *out,
                                  const struct local *l,
                                  const struct node_row *node,
                                  struct bytes service_id) ERR_MUST_USE;

#endif
