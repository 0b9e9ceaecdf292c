/* The front door of one thread: its listeners, its connections, its routes.
 *
 * Life     front_new() -> loop runs -> front_stop_accepting() -> front_drain() -> loop stopped ->
 *          front_free().
 * Owner    the front owns its connections; the loop, the routes, the clients, the options' strings
 *          and `ctx` are borrowed until front_free().
 * Limits   core/base/limit.h, HTTP_*, unless the options say otherwise.
 * Errors   front_new: ERR_INVALID (an address that cannot be read), ERR_IN_USE (taken by another
 *          process), ERR_IO.
 * Threads  one front belongs to one loop. front_new() and front_free() while the loop does not run
 *          or from its thread; front_connections() and front_port() from any; the rest from the
 *          loop's thread.
 */
#ifndef CORE_FRONT_FRONT_H
#define CORE_FRONT_FRONT_H

#include "core/base/loop.h"
#include "core/front/clients.h"
#include "core/front/route.h"

struct front;

/* Where to listen. Each front of a process is given the same list, so that each accepts by itself
 * (SO_REUSEPORT); a unix socket is opened by front 0 only. */
struct front_listen {
    /* An IP address, a host name, or `unix://` and a path. */
    const char *address;
    /* 0: any free one. front_port() of front 0 then says which, and the other fronts are given
     * that. */
    uint16_t port;
    /* Of a unix socket; 0: what the process's umask leaves. */
    unsigned mode;
};

/* 0 means the default of core/base/limit.h. */
struct front_limits {
    size_t head_max;
    size_t body_max;
    size_t pipeline_max;
    uint64_t head_ms;
    uint64_t body_ms;
    uint64_t idle_ms;
    uint64_t write_stall_ms;
    uint64_t ping_ms; /* WebSocket: silence before a ping; dead after two without an answer */
    unsigned connections_per_client;
};

/* A header for every answer (`http_config.response_headers`). */
struct front_header {
    const char *name;
    const char *value;
};

struct front_options {
    unsigned number; /* from 0 */
    struct loop *loop;
    const struct front_listen *listen;
    size_t listen_count;
    struct front_limits limits;
    const struct front_header *headers;
    size_t header_count;
    const struct route *routes;
    size_t route_count;
    void (*handle)(struct request *r); /* in front of each handler; NULL: calls it */
    struct clients *clients; /* shared by all fronts of the process; NULL: no limit per client */
    void *ctx;               /* the handlers' */
};

enum err front_new(const struct front_options *options,
                   struct front **ret_front,
                   struct reason *why) ERR_MUST_USE;
/* Closes what is still open: requests are cancelled, WebSockets closed. NULL is allowed. */
void front_free(struct front *f);

void *front_ctx(const struct front *f);
struct loop *front_loop(const struct front *f);
unsigned front_number(const struct front *f);
/* The port that `listen[i]` got; 0 for a unix socket. */
uint16_t front_port(const struct front *f, size_t i);
/* Open connections, WebSockets included. */
size_t front_connections(const struct front *f);

/* Takes an open socket as an HTTP connection of `client` (copied): a request that another agent
 * forwarded. What is about this agent itself is refused there (403). */
void front_adopt(struct front *f, int fd, struct bytes client);

/* Accepts what already waits in the kernel, then closes the listeners. */
void front_stop_accepting(struct front *f);
/* Idle connections are closed now, the others with their answer. `drained` is called once, from the
 * loop: when none is left, or after `timeout_ms`; then what is left has been closed. Ending the
 * streams and WebSockets before is the caller's part (stream_shutdown). */
void front_drain(struct front *f, uint64_t timeout_ms, void (*drained)(struct front *f));

#endif
