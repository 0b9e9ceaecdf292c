/* The server's end of what client agents ask: each stream of an agent's connection becomes an HTTP
 * connection of this thread's front, over a pair of sockets. So a forwarded request is parsed,
 * limited, routed and answered by the very code that serves everybody else, whatever it is: a
 * blocking query, an answer without an end, a WebSocket. What that costs, two descriptors and a
 * copy for each request, is paid for requests that were shared by the agent before.
 *
 * Life     rpc_server_new() -> rpc_server_take() for each connection -> rpc_server_leave() when
 *          the front is about to drain -> rpc_server_free(), the loop having stopped, before the
 *          front's.
 * Limits   RPC_CONNECTIONS_MAX, RPC_STREAMS_MAX
 * Threads  the front's loop.
 */
#ifndef CORE_RPC_SERVER_H
#define CORE_RPC_SERVER_H

#include "core/front/front.h"

struct rpc_server;

struct rpc_server_options {
    struct loop *loop;
    struct front *front;
    const char *node;
    const char *datacenter;
};

struct rpc_server *rpc_server_new(const struct rpc_server_options *options);
/* NULL is allowed. */
void rpc_server_free(struct rpc_server *s);
/* Takes `fd`, of which `begun` was read; `from` is the agent's address. */
void rpc_server_take(struct rpc_server *s, int fd, struct bytes begun, const char *from);
/* Tells all agents to go elsewhere. */
void rpc_server_leave(struct rpc_server *s);

#endif
