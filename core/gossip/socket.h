/* The sockets of gossip: datagrams, and streams for what is large, on one port.
 *
 * A stream is one request and its answer. Both sides first say who they are:
 *
 *     "HG", version (1), form (1: sealed or clear), checksum of the label (4), 16 random bytes
 *
 * then the caller sends its request and the called one its answer, each in pieces: length (4), the
 * piece, sealed; its first byte says whether it is the last one. A piece is bound to both random
 * texts, its direction and its number, so that nothing of a stream can be used again elsewhere.
 *
 * Owner    a `struct socket_call` is its caller's until `done`.
 * Limits   GOSSIP_STREAMS_MAX streams, GOSSIP_STREAM_MS each, GOSSIP_CHUNK_MAX bytes of a piece,
 *          GOSSIP_STATE_MAX of a message: memory is taken as bytes come, never as they promise.
 * Errors   as said at each function; `why` is for a person.
 * Threads  the loop's.
 */
#ifndef CORE_GOSSIP_SOCKET_H
#define CORE_GOSSIP_SOCKET_H

#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/gossip/packet.h"
#include "core/gossip/seal.h"

struct socket;

struct socket_options {
    struct loop *loop;
    struct seal *seal; /* borrowed */
    struct packet_address bind;
    void *ctx;
    /* A packet that may be believed, borrowed for the call. */
    void (*packet)(void *ctx, const struct packet_address *from, struct bytes packet);
    /* Somebody's request: append the answer. Anything but OK closes the stream. */
    enum err (*request)(void *ctx, struct bytes request, struct buf *answer);
};

/* ERR_IN_USE, ERR_IO, with `why`. */
enum err socket_open(const struct socket_options *options,
                     struct socket **ret_socket,
                     struct reason *why) ERR_MUST_USE;
/* Calls that are under way are done with ERR_CLOSED. Not from inside a callback of it. */
void socket_close(struct socket *s);
uint16_t socket_port(const struct socket *s);

/* A datagram, sealed; a full kernel buffer loses it, as the network might. */
void socket_send(struct socket *s, const struct packet_address *to, struct bytes packet);

struct stream;
struct socket_call {
    void *ctx; /* the caller's */
    /* `answer` is borrowed for the call; else `why` says what went wrong. */
    void (*done)(struct socket_call *call, enum err e, struct bytes answer, const char *why);
    struct packet_address to;
};
/* Sends `request` (copied) over a stream and waits for the answer, for `timeout_ms` altogether.
 * Never done from inside. */
void socket_call(struct socket *s,
                 struct socket_call *call,
                 struct bytes request,
                 uint64_t timeout_ms);

#endif
