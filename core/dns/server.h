/* The door for DNS: UDP and TCP on the same ports, on each front thread (SO_REUSEPORT), answered
 * from the view at hand; on a client agent by a server (relay.h).
 *
 * Owner    dns_new() gives, dns_free() ends; memory of questions that still wait for the store goes
 *          when the loop is drained behind that.
 * Limits   core/base/limit_dns.h.
 * Errors   ERR_IN_USE, ERR_IO, ERR_INVALID with a reason.
 * Threads  the loop's, or before it runs and after it ended.
 */
#ifndef CORE_DNS_SERVER_H
#define CORE_DNS_SERVER_H

#include "core/dns/relay.h"
#include "core/front/front.h"
#include "store/store.h"

struct acl;
struct config;
struct dns;

struct dns_options {
    unsigned number; /* of the front thread, from 0 */
    struct loop *loop;
    const struct config *config;
    struct store *store; /* NULL: this is a client agent, and `way` leads to who answers */
    struct store_reader *reader;
    struct dns_way way;
    /* Whose rights answers are given by: false: access control is off; else a counted acl, or NULL:
     * nobody's. */
    bool (*rights)(struct view *v, void *ctx, struct acl **ret_acl);
    void *ctx;
    const struct front_listen *listen; /* copied; port 0: any free one, see dns_port() */
    size_t listen_count;
};

enum err
dns_new(const struct dns_options *options, struct dns **ret_dns, struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void dns_free(struct dns *d);
uint16_t dns_port(const struct dns *d, size_t i);
/* Another configuration; one that cannot be is logged, and the one before stays. */
void dns_configure(struct dns *d, const struct config *config);

#endif
