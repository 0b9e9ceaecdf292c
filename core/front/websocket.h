/* One WebSocket connection (RFC 6455), from the upgrade of a request to its close. The only
 * door to libwebsockets.
 *
 * Owner    the memory is the caller's from websocket_accept() until `closed`.
 * Limits   a message of STREAM_MESSAGE_MAX bytes; past it the connection closes with 1009. Binary
 *          messages close with 1003, text that is not UTF-8 with 1007.
 * Order    `message`, `writable` and `closed` come from the loop, never from inside a call of this
 *          header.
 * Threads  the front's loop.
 */
#ifndef CORE_FRONT_WEBSOCKET_H
#define CORE_FRONT_WEBSOCKET_H

#include "core/base/shared.h"
#include "core/front/request.h"

/* What `text->headroom` of a sent message must be at least (OUTLET_HEADROOM is). */
#define WEBSOCKET_HEADROOM 16

struct websocket;

struct websocket_ops {
    /* A whole text message; borrowed for the call. */
    void (*message)(struct websocket *ws, struct bytes text);
    /* Pending output fell. */
    void (*writable)(struct websocket *ws);
    /* Gone, for whatever reason; nothing is called after it. */
    void (*closed)(struct websocket *ws);
};

struct websocket {
    const struct websocket_ops *ops;
    void *ctx; /* the caller's */
    /* private */
    void *impl;
};

/* Whether the request asks for an upgrade at all (any `Upgrade:` header). */
bool websocket_wanted(const struct request *r);
/* Checks the handshake and takes the connection over; the request is then answered and gone.
 * False: it was not one (the request has been answered with 400 or 426). `subprotocol` is echoed;
 * NULL for none. */
bool websocket_accept(struct request *r,
                      struct websocket *ws,
                      const struct websocket_ops *ops,
                      const char *subprotocol);
/* One text message, by reference; dropped when the connection is closing. Its headroom is written
 * to: one message is sent from one thread only. */
void websocket_send(struct websocket *ws, struct shared *text);
size_t websocket_pending(const struct websocket *ws);
/* What is pending goes first, as far as the client takes it. `reason` is cut at 123 bytes. `closed`
 * follows, later. */
void websocket_close(struct websocket *ws, unsigned code, const char *reason);

#endif
