/* What a client agent does with requests that are not about itself: passes them on to a server. A
 * blocking query is asked once for all watchers of it; what can be no plain answer (a change
 * stream, a WebSocket) goes as bytes to and fro.
 *
 * Stale    when no server can be asked, a GET whose answer is known gets that, with
 *          X-Consul-Knownleader: false, X-Consul-Lastcontact, X-Cache: STALE and Age; not with
 *          ?consistent. Else it is 500 `No known Consul servers`.
 * Twice    a GET goes to another server when its own is lost before it answered; a write whose fate
 *          is not known is answered 504.
 * Life     forward_new() -> the front runs, with a table of forward_routes() -> forward_drain() ->
 *          front_free() -> forward_free().
 * Threads  the front's loop.
 */
#ifndef CORE_API_FORWARD_H
#define CORE_API_FORWARD_H

#include "core/agent/sync.h"
#include "core/api/api.h"
#include "core/dns/relay.h"
#include "core/rpc/client.h"

struct forward;

struct forward_options {
    struct loop *loop;
    const char *node;
    const char *datacenter;
    const struct tokens *tokens; /* the agent's own */
};

struct forward *forward_new(const struct forward_options *options);
/* NULL is allowed. */
void forward_free(struct forward *f);
/* The servers that are alive, from now on; copied. */
void forward_servers(struct forward *f, const struct rpc_address *servers, size_t count);
/* The servers' catalog for this agent's own services and checks (core/agent/sync.h). What is under
 * way at forward_drop() or forward_free() gets ERR_CLOSED. */
struct sync_server forward_sync(struct forward *f);
void forward_drop(struct forward *f);
/* The servers, for DNS questions to this agent; what is under way is cancelled before
 * forward_free(). No server known, or none reached within DNS_RELAY_HOLD_MS: no answer. */
struct dns_way forward_dns(struct forward *f);
/* Ends what has no end by itself: subscribers go elsewhere. */
void forward_drain(struct forward *f);
size_t forward_known(const struct forward *f);

/* The server's routes as a client agent has them: what is about the agent is its own, the rest is
 * forwarded. The caller's, to be freed. */
struct route *forward_routes(const struct route *routes, size_t count);
void api_forward(struct request *r);

#endif
