/* One HTTP request at a route's handler, and the ways to answer it.
 *
 * Life     the front parses, routes, calls the handler once with the whole body; the handler
 *          answers exactly once, now or later. Between the two the request is *parked*: if the
 *          client goes away meanwhile, `cancelled` is called (then nothing may be answered).
 * Owner    the request and all it points to live until it is answered (for a stream: ended) or
 *          until `cancelled` returns; `r` is gone after that.
 * Limits   core/base/limit.h, HTTP_*.
 * Order    `cancelled` and `writable` come from the loop, never from inside a reply_* call; nor
 *          does a reply_* call run the client's next request.
 * Threads  the front's loop.
 */
#ifndef CORE_FRONT_REQUEST_H
#define CORE_FRONT_REQUEST_H

#include "core/base/arena.h"
#include "core/base/shared.h"

struct connection;
struct front;
struct route;

enum method {
    METHOD_GET = 1,
    METHOD_PUT = 2,
    METHOD_POST = 4,
    METHOD_DELETE = 8,
    METHOD_HEAD = 16,
    METHOD_OPTIONS = 32,
    METHOD_OTHER = 64,
};

/* One `name=value` of the query string, decoded. `value` is empty for `?name`. */
struct query_arg {
    struct bytes name;
    struct bytes value;
};

struct request {
    /* read-only for handlers */
    struct front *front;
    enum method method;
    struct bytes method_name;
    struct bytes path;  /* decoded once; may hold any byte but NUL */
    struct bytes rest;  /* what follows the route's path, e.g. the key behind /v1/kv/ */
    struct bytes query; /* raw */
    const struct query_arg *args;
    size_t arg_count;
    struct bytes body;
    struct bytes token;  /* ?token=, X-Consul-Token, Authorization: Bearer */
    struct bytes client; /* its address */
    struct bytes agent;  /* the node of the agent that forwarded it; empty: nobody did */
    const struct route *route;
    struct arena *arena;
    bool late;   /* its head is gone: request_header() finds nothing */
    bool judged; /* core/api/rights.c's: somebody has asked whether it may write */
    /* the handler's, while it is parked */
    void (*cancelled)(struct request *r);
    void *ctx;
    /* private */
    struct connection *connection;
};

/* How an agent says which node it is. */
#define REQUEST_AGENT_HEADER "X-Herald-Agent"

/* First argument of that name. */
bool request_arg(const struct request *r, const char *name, struct bytes *ret_value);
/* Header by name, any case; false if there is none. Only until the handler has returned. */
bool request_header(const struct request *r, const char *name, struct bytes *ret_value);

/* Header number `i` as it came; false past the last. Only until the handler has returned. */
bool request_field(const struct request *r,
                   size_t i,
                   struct bytes *ret_name,
                   struct bytes *ret_value);

/* Takes the client's socket over, from inside the handler: the request is then gone, unanswered.
 * `ret_early` is what the client has sent behind it; only until the handler has returned. The
 * connection counts as open until front_ticket_return(). */
struct front_ticket {
    struct front *front;
    uint32_t slot;
};
int request_take(struct request *r, struct front_ticket *ret_ticket, struct bytes *ret_early);
void front_ticket_return(const struct front_ticket *t);

/* Whether this status can be answered with. */
bool reply_knows(int status);

/* Adds a header to the answer, before the answer. */
void reply_header(struct request *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for whole lines (`Name: value\r\n`) that were made once for many answers; copied. */
void reply_header_lines(struct request *r, struct bytes lines);

/* The answer. `content_type` NULL: none. `body` is copied by reply_bytes, referenced by
 * reply_shared (NULL: empty). */
void reply_bytes(struct request *r, int status, const char *content_type, struct bytes body);
void reply_shared(struct request *r, int status, const char *content_type, struct shared *body);
/* text/plain, as Consul words its errors. */
void reply_text(struct request *r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* err_http_status() and err_text(). */
void reply_err(struct request *r, enum err e);

/* An answer without an end (SSE, NDJSON, monitor): chunked, until reply_stream_end() or the client
 * goes away (`cancelled`). */
struct reply_stream_ops {
    /* Pending output fell below half of what it was when it was last full. */
    void (*writable)(struct request *r);
};
void reply_stream_begin(struct request *r,
                        int status,
                        const char *content_type,
                        const struct reply_stream_ops *ops);
void reply_stream_send(struct request *r, struct shared *data);
/* Bytes not yet with the kernel. */
size_t reply_stream_pending(const struct request *r);
void reply_stream_end(struct request *r);
/* Ends it as a failure: the client sees that it is not whole. `cancelled` follows. */
void reply_stream_break(struct request *r);

#endif
