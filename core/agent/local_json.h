/* The agent's services and checks for others: as /v1/agent shows them, and as rows.
 *
 * Errors   ERR_TOO_BIG when `out` is full.
 * Threads  none.
 */
#ifndef CORE_AGENT_LOCAL_JSON_H
#define CORE_AGENT_LOCAL_JSON_H

#include "core/agent/local.h"

enum err local_json_service(struct buf *out,
                            const struct service_row *r,
                            struct bytes datacenter) ERR_MUST_USE;
/* Of what the service is: Consul's ContentHash. */
uint64_t local_hash_service(const struct service_row *r);
/* As rows: texts, each encoded, with the node's name and what a check has of its service. */
enum err local_rows_services(struct buf *out,
                             const struct local *l,
                             const struct node_row *node) ERR_MUST_USE;
enum err
local_rows_checks(struct buf *out, const struct local *l, const struct node_row *node) ERR_MUST_USE;
/* The node's checks and those of one service: [check] */
enum err local_json_health_checks(struct buf *out,
                                  const struct local *l,
                                  const struct node_row *node,
                                  struct bytes service_id) ERR_MUST_USE;

#endif
