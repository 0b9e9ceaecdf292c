/* What a filter can select of the fleet's rows: one schema for each kind of answer.
 *
 * Threads  constants.
 */
#ifndef CORE_API_BEXPR_ROWS_H
#define CORE_API_BEXPR_ROWS_H

#include "core/api/bexpr.h"
#include "store/row.h"

/* The record of all of them; each schema says what it needs. */
struct bexpr_row {
    const struct node_row *node;
    const struct service_row *service;
    const struct check_row *check;
    struct bytes checks;   /* texts, each an encoded check */
    struct bytes services; /* texts, each an encoded service */
    struct bytes datacenter;
};

extern const struct bexpr_schema BEXPR_NODE;      /* node, datacenter */
extern const struct bexpr_schema BEXPR_SERVICE;   /* service: Service, Port, Meta.k */
extern const struct bexpr_schema BEXPR_CHECK;     /* check */
extern const struct bexpr_schema BEXPR_CATALOG;   /* node, service, datacenter: ServicePort */
extern const struct bexpr_schema BEXPR_INSTANCE;  /* node, service, checks: Service.Port */
extern const struct bexpr_schema BEXPR_NODE_DUMP; /* node, services, checks */

#endif
