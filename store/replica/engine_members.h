/* The set of servers <-> the bytes of a configuration entry, in the library's encoding. The address
 * there is "host:port/node-id"; one without a node id is of a server that never said it.
 *
 * Errors   ERR_CORRUPT for bytes that are no configuration, or one with more than STORE_SERVERS_MAX
 *          servers, an id twice, or no voter.
 * Threads  any.
 */
#ifndef STORE_REPLICA_ENGINE_MEMBERS_H
#define STORE_REPLICA_ENGINE_MEMBERS_H

#include "core/base/buf.h"
#include "store/store.h"

/* Ids, node ids, addresses and roles; appends. ERR_INVALID: an id twice, or an address and node id.
 */
enum err members_encode(const struct store_servers *servers, struct buf *out) ERR_MUST_USE;
enum err members_decode(struct bytes data, struct store_servers *ret_servers) ERR_MUST_USE;

/* The same as the library's own; the caller closes it. */
struct raft_configuration;
enum err members_configuration(struct bytes data,
                               struct raft_configuration *ret_configuration) ERR_MUST_USE;

/* NULL if there is no such server. */
struct store_server *members_find(struct store_servers *servers, uint64_t id);
unsigned members_voters(const struct store_servers *servers);

#endif
