/* Messages of servers <-> messages of the library.
 *
 * Owner    borrows.
 * Threads  any.
 */
#ifndef STORE_REPLICA_ENGINE_MESSAGE_H
#define STORE_REPLICA_ENGINE_MESSAGE_H

#include "store/replica/rpc.h"

struct raft_entry;
struct raft_message;

/* `entries` has room for those of an RPC_APPEND. False: nothing for the library. Every byte that
 * the library may read is set. */
bool engine_message_in(const struct rpc_message *in,
                       uint64_t from,
                       struct raft_entry *entries,
                       struct raft_message *ret_message);
/* An RPC_INSTALL still lacks its configuration. */
void engine_message_out(const struct raft_message *m, struct rpc_message *ret_out);

#endif
