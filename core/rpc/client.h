/* An agent's way to the servers: one connection to one of them, chosen at random, another when it
 * is lost, when it says that it ends, or after a while so that the agents stay spread.
 *
 *     IDLE --a server is known, somebody asks--> DIALLING --hello--> UP --lost--> DIALLING
 *      ^------------- all were tried: a rest -------'
 *
 * Life     rpc_client_new() -> rpc_client_servers() whenever gossip has changed ->
 *          rpc_client_free(): streams and waiters are gone before.
 * Owner    a waiter's memory is its user's until `done` or rpc_wait_cancel().
 * Order    what a connection carries stays on it: one that was replaced lives until its last
 *          stream is closed.
 * Threads  the loop's.
 */
#ifndef CORE_RPC_CLIENT_H
#define CORE_RPC_CLIENT_H

#include "core/rpc/mux.h"

struct rpc_client;

struct rpc_client_options {
    struct loop *loop;
    const char *node;
    const char *datacenter;
    void *ctx;
    /* The server in use says that it ends: what only waits there can be asked of another. */
    void (*leaving)(void *ctx);
};

struct rpc_address {
    char text[128]; /* "10.0.0.1:8300", "[::1]:8300" */
};

struct rpc_client *rpc_client_new(const struct rpc_client_options *options);
/* NULL is allowed. */
void rpc_client_free(struct rpc_client *c);
/* Those that are alive; copied. Past RPC_SERVERS_MAX they are left out. */
void rpc_client_servers(struct rpc_client *c, const struct rpc_address *servers, size_t count);

struct rpc_waiter {
    /* OK: there is a connection now. ERR_NOT_FOUND: no server is known, or none could be reached in
     * time. Never from inside rpc_wait(). */
    void (*done)(struct rpc_waiter *w, enum err e);
    /* private */
    struct list link;
    struct timer timer;
    struct rpc_client *client;
};

void rpc_wait(struct rpc_client *c, struct rpc_waiter *w, uint64_t most_ms);
/* Also of one that waits no more, or never did if it is zeroed. */
void rpc_wait_cancel(struct rpc_waiter *w);

struct env *rpc_client_env(const struct rpc_client *c);
bool rpc_client_up(const struct rpc_client *c);
/* A stream to the server in use. ERR_NOT_FOUND: there is none, wait for it; ERR_LIMIT. */
enum err rpc_client_open(struct rpc_client *c,
                         struct mux_stream *s,
                         const struct mux_stream_ops *ops) ERR_MUST_USE;
/* When the last connection to a server was lost; 0: there is one, or there was none. */
uint64_t rpc_client_lost_ms(const struct rpc_client *c);
/* How many servers are known. */
size_t rpc_client_known(const struct rpc_client *c);

#endif
