/* What the files of forwarding share: forward.c (requests and their answers), forward_relay.c (a
 * request made and an answer gathered), forward_tunnel.c (bytes to and fro).
 *
 * Threads  the front's loop.
 */
#ifndef CORE_API_FORWARD_PRIVATE_H
#define CORE_API_FORWARD_PRIVATE_H

#include "core/agent/shared_query.h"
#include "core/api/forward.h"
#include "core/rpc/call.h"

/* The routes of core/api/sync_serve.c. */
#define SYNC_ROWS_PATH    "/v1/internal/agent/rows/"
#define SYNC_COMMAND_PATH "/v1/internal/agent/command"
/* The route of core/api/dns_serve.c. */
#define FORWARD_DNS_PATH  "/v1/internal/agent/dns"

struct forward {
    struct forward_options options;
    struct env *env;
    struct rpc_client *rpc;
    struct shared_queries *queries;
    struct list relays;  /* struct relay.link */
    struct list tunnels; /* struct tunnel.link */
    struct list outward; /* struct outward.link */
};

/* One answer on its way from a server, held until it is whole. */
struct relay {
    struct call call;
    struct list link;
    struct forward *forward;
    /* of the head */
    int status;
    uint64_t index;
    bool has_length;
    uint64_t length;
    char *content_type;
    struct buf lines;
    struct buf meta;
    struct buf body;
};

/* A request in one piece. `target` has path and query. */
struct relay_request {
    struct bytes method;
    struct bytes target;
    struct bytes token;
    struct bytes body;
    const char *headers; /* whole lines */
};

void relay_init(struct relay *x, struct forward *f, const struct call_ops *ops);
/* ERR_TOO_BIG */
enum err relay_start(struct relay *x, const struct relay_request *q) ERR_MUST_USE;
void relay_head(struct relay *x, const struct answer_head *h);
/* ERR_TOO_BIG: it is more than is held. */
enum err relay_data(struct relay *x, struct bytes data) ERR_MUST_USE;
/* The whole of it; one reference. */
struct shared_answer *relay_answer(struct relay *x);
void relay_close(struct relay *x);

/* A token that can stand in a header. */
bool token_is_plain(struct bytes token);
/* Path and query of `r` as they go on. */
enum err target_make(const struct request *r, struct buf *out) ERR_MUST_USE;

void api_tunnel(struct request *r);
void tunnels_close(struct forward *f);
void forward_sync_close(struct forward *f);

#endif
