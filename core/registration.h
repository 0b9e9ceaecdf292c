/* Rows of the catalog as requests to the servers write them: PUT /v1/catalog/register, deregister,
 * and the operations of PUT /v1/txn.
 *
 * Names    of members as core/decode.h has them.
 * Checks   what is decoded has the right types and fits a row (store/row.h, limit_fleet.h); whether
 *          it makes sense (a name, an address) is the caller's to judge. What was not given is
 *          empty or 0, but for a service's weights, which are 1 and 1.
 * Owner    everything lives in the arena; the json_t may go at once.
 * Errors   ERR_INVALID, ERR_TOO_BIG; `why` stands behind `Request decode failed: `.
 * Threads  none; one thread at a time.
 */
#ifndef CORE_REGISTRATION_H
#define CORE_REGISTRATION_H

#include "core/decode.h"
#include "store/row.h"

/* What one request may take: its largest body, taken apart. */
#define REGISTRATION_ARENA_MAX (4 * HTTP_BODY_MAX)

/* A node; its datacenter too, which no row keeps. */
struct registration_node {
    struct node_row row;
    struct bytes datacenter;
};

struct registration {
    struct registration_node node;
    bool skip_node_update;
    bool has_service;
    struct service_row service;
    struct check_row *checks; /* Checks, then Check */
    size_t check_count;
};

struct deregistration {
    struct bytes node;
    struct bytes service_id;
    struct bytes check_id;
    struct bytes datacenter;
};

enum err registration_decode(struct arena *a,
                             json_t *json,
                             struct registration *ret_registration,
                             struct reason *why) ERR_MUST_USE;
enum err deregistration_decode(struct arena *a,
                               json_t *json,
                               struct deregistration *ret_deregistration,
                               struct reason *why) ERR_MUST_USE;

/* The parts, as a transaction's operations name them; `modify_index` is what they said. A check's
 * Definition is kept as JSON in Consul's order, its `type` is made from it where none was given,
 * its `status` is 0 where none was. */
enum err registration_node(struct arena *a,
                           json_t *json,
                           struct registration_node *ret_node,
                           struct reason *why) ERR_MUST_USE;
enum err registration_service(struct arena *a,
                              json_t *json,
                              struct service_row *ret_service,
                              struct reason *why) ERR_MUST_USE;
enum err registration_check(struct arena *a,
                            json_t *json,
                            struct check_row *ret_check,
                            struct reason *why) ERR_MUST_USE;

/* What stands where nothing was given: an id is the name; a check is critical. */
void registration_service_defaults(struct service_row *s);
void registration_check_defaults(struct check_row *c);

#endif
