/* Rows of the fleet as JSON, with the names and the order of members that Consul's answers have
 * (contracts/consul.md, sections 6 to 10 and 13); used by the HTTP answers, the change stream and
 * webhooks alike.
 *
 * Form     compact; what is empty is "", [] or {}, or null for the maps of which Consul says null
 *          when nobody gave them (a node's two, a service's Meta), and left out where it does.
 * Errors   ERR_TOO_BIG when `out` is full, ERR_CORRUPT for a check that is none; `out` is then as
 *          it was.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_ROW_JSON_H
#define STORE_ROW_JSON_H

#include "store/row.h"

/* {"ID","Node","Address","Datacenter","TaggedAddresses","Meta","CreateIndex","ModifyIndex"} */
enum err
row_json_node(struct buf *out, const struct node_row *r, struct bytes datacenter) ERR_MUST_USE;
/* As "Service" of /v1/health/service and the members of /v1/catalog/node. */
enum err row_json_service(struct buf *out, const struct service_row *r) ERR_MUST_USE;
enum err row_json_check(struct buf *out, const struct check_row *r) ERR_MUST_USE;
/* As a row of /v1/catalog/service: the node's and the service's members in one. */
enum err row_json_catalog(struct buf *out,
                          const struct node_row *node,
                          const struct service_row *service,
                          struct bytes datacenter) ERR_MUST_USE;
/* {"Node":{},"Service":{},"Checks":[]}; `checks` are texts, each an encoded check. */
enum err row_json_instance(struct buf *out,
                           const struct node_row *node,
                           const struct service_row *service,
                           struct bytes checks,
                           struct bytes datacenter) ERR_MUST_USE;
enum err row_json_session(struct buf *out, const struct session_row *r) ERR_MUST_USE;
enum err row_json_event(struct buf *out, const struct event_row *r) ERR_MUST_USE;
/* {"Node","Segment","Coord":{}} */
enum err row_json_coordinate(struct buf *out, const struct coordinate_row *r) ERR_MUST_USE;

/* The parts: ["a","b"] and {"a":"b"}. */
enum err row_json_texts(struct buf *out, struct bytes texts) ERR_MUST_USE;
enum err row_json_pairs(struct buf *out, struct bytes pairs) ERR_MUST_USE;

#endif
