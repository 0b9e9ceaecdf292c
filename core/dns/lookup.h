/* What the fleet has under a name, in the form answers are made of: a service's instances that are
 * not critical, a node, who has an address. Reads a view through store/fleet.h and keeps what it
 * made up for as long as the index of that name stands still.
 *
 * Owner    what is returned is borrowed until the next call.
 * Limits   DNS_CACHE_*: past them everything kept is dropped.
 * Errors   ERR_NOT_FOUND; ERR_IO and ERR_CORRUPT when the disk lies.
 * Threads  a lookup belongs to one thread.
 */
#ifndef CORE_DNS_LOOKUP_H
#define CORE_DNS_LOOKUP_H

#include "core/dns/name.h"
#include "store/fleet.h"

struct dns_instance {
    struct bytes node;
    struct bytes address; /* the service's, or else the node's */
    struct bytes tags;    /* texts */
    struct bytes meta;    /* of the node; pairs */
    struct dns_ip ip;     /* of `address`; none: it is a name */
    bool own_address;     /* of the service itself */
    bool warning;
    uint32_t port;
    uint32_t weight; /* as its state makes it */
};

struct dns_service {
    const struct dns_instance *instances;
    size_t count;
    bool exists; /* it has instances, be they all critical */
};

struct lookup;

struct lookup *lookup_new(void);
void lookup_free(struct lookup *l);

/* `name` in lower case. */
enum err lookup_service(struct lookup *l,
                        struct view *v,
                        struct bytes name,
                        struct dns_service *ret_service) ERR_MUST_USE;
/* `ret_node` borrows from `pin`. */
enum err lookup_node(struct lookup *l,
                     struct view *v,
                     struct bytes name,
                     struct view_pin *pin,
                     struct node_row *ret_node) ERR_MUST_USE;
/* A node with that address, or else a service; `ret_service` says which of the two `ret_name` is.
 */
enum err lookup_address(struct lookup *l,
                        struct view *v,
                        const struct dns_ip *ip,
                        struct bytes *ret_name,
                        bool *ret_service) ERR_MUST_USE;

#endif
