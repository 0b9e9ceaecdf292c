#include "core/api/rights.h"

#include "store/fleet.h"

bool rights_service_id(struct view *v, struct bytes node, struct bytes id, enum acl_access access)
{
    struct view_pin pin = {0};
    struct service_row row;
    bool may = !rights_enabled() || view_service(v, node, id, &pin, &row) != OK ||
               rights_may(ACL_SERVICE, row.name, access);
    view_pin_close(&pin);
    return may;
}

/* A check is its service's, or else its node's. */
bool rights_check_id(struct view *v, struct bytes node, struct bytes id, enum acl_access access)
{
    struct view_pin pin = {0};
    struct check_row row;
    bool may = true;
    if (rights_enabled() && view_check(v, node, id, &pin, &row) == OK) {
        may = row.service_name.len > 0 ? rights_may(ACL_SERVICE, row.service_name, access)
                                       : rights_may(ACL_NODE, row.node, access);
    }
    view_pin_close(&pin);
    return may;
}

bool rights_node_id(struct view *v, struct bytes id, enum acl_access access)
{
    struct view_pin pin = {0};
    struct node_row row;
    bool may = !rights_enabled() || view_node_by_id(v, id, &pin, &row) != OK ||
               rights_may(ACL_NODE, row.name, access);
    view_pin_close(&pin);
    return may;
}
