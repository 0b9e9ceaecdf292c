/* The WAN pool: a second gossip, between the servers of all datacenters, each by its name
 * `<node>.<datacenter>`. A server is in it if ports.serf_wan is set. It tells who is there and
 * nothing else: no request goes from one datacenter to another.
 *
 * One server that joins brings the others of its datacenter along: each tells its port of the pool
 * on the LAN (tag wan_join_port), and who is missing in the pool is asked to take part.
 *
 * Life     wan_init(), wan_open() perhaps, wan_close(); members.c calls them.
 * Threads  the main loop's.
 */
#ifndef CORE_AGENT_WAN_H
#define CORE_AGENT_WAN_H

#include "core/agent/members.h"

void wan_init(struct members *m);
/* As gossip_open(). */
enum err wan_open(struct members *m, struct reason *why) ERR_MUST_USE;
void wan_close(struct members *m);

/* The pool's members into the order; without a pool a server has itself, and a client nobody. */
void wan_list(const struct members *m, struct members_order *o);
/* Why there is no pool, and what to do. */
const char *wan_missing(const struct members *m);
/* The LAN has changed: whoever of it is missing in the pool is asked. */
void wan_look(struct members *m);

#endif
