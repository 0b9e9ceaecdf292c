/* What the handlers of one front thread work with, and the helpers that all of them share.
 *
 * Owner    one `struct api` per front thread, made and freed by core/server.c; a handler gets it
 *          by api_of().
 * Threads  the front's loop.
 */
#ifndef CORE_API_API_H
#define CORE_API_API_H

#include "core/front/route.h"
#include "store/store.h"
#include "stream/stream.h"

struct agent;
struct config;
struct dns;
struct forward;
struct host;
struct members;
struct tokens;

struct api {
    struct host *host;
    const struct config *config; /* immutable while the server runs */
    struct store *store;
    struct members *members;
    struct tokens *tokens;
    struct agent *agent;
    struct store_reader *reader;
    struct stream *stream;
    struct loop *loop;
    struct dns *dns;         /* answers what client agents are asked; a client agent's: NULL */
    struct forward *forward; /* a client agent's, which has no store, reader, stream; else NULL */
};

struct api *api_of(const struct request *r);
/* The node that a request means by its own: of the agent that forwarded it, or this one. */
struct bytes api_node(const struct request *r);

/* What a read may ask for in its query string (contracts/consul.md sections 1 to 3). */
struct read_options {
    enum read_mode mode;
    bool blocking; /* `index` was given and is not 0 */
    uint64_t index;
    uint64_t wait_ms; /* default, cap and jitter included */
    bool pretty;
    bool catalog; /* the answer says how consistent it is (X-Consul-Effective-Consistency) */
    bool cached;  /* ?cached where Consul has a cache: X-Cache, Age */
};

/* False: something was malformed, and the request has been answered. */
bool api_read_options(struct request *r, struct read_options *ret_options);

/* `?datacenter=` or `?dc=` names this one, or nothing does. False: another; it is answered. */
bool api_datacenter(struct request *r);

/* Calls `ready` once the view at hand is as new as `options` ask: at once if it is, later if the
 * leader must be asked; or answers why it cannot be. */
void api_read_ready(struct request *r,
                    const struct read_options *options,
                    void (*ready)(struct request *r));

/* As reply_err(), and of a missing leader with what is known about it. */
void api_reply_err(struct request *r, enum err e);

/* X-Consul-Index (never 0), X-Consul-Knownleader, X-Consul-Lastcontact. */
void api_meta_headers(struct request *r, uint64_t index);

/* Answers with `asked` evaluated now, or, if `options` ask for it, when its answer changes. The
 * index of the answer is below the client's only where there is no such index: on a server that has
 * not reached it and can ask nobody, that is 503. Target and variant live as long as `r`. */
void api_answer_query(struct request *r,
                      const struct watch_query *asked,
                      const struct read_options *options);

/* The query string sorted by name and escaped anew, as Go's url.Values prints it. */
enum err api_args_encode(const struct request *r, struct buf *out) ERR_MUST_USE;

/* Answers 200 with JSON, indented if the request says `?pretty`. */
void api_reply_json(struct request *r, struct bytes json);

/* `json` (compact) with four blanks of indentation and a newline behind it, as Consul does it. */
enum err json_pretty(struct buf *out, struct bytes json) ERR_MUST_USE;

#endif
