/* How the streams between a client agent and a server lie in the bytes of one connection. Pure: no
 * socket, no clock.
 *
 * Format   each side begins with "HRPC", version (1 byte), three zeros; then frames: length (4),
 *          CRC-32 of length and payload (4), payload: type (1), stream (4), what the type says:
 *
 *              HELLO   node's name, datacenter (each with its length); stream 0, first
 *              OPEN    nothing: the agent begins a stream
 *              DATA    bytes of the stream
 *              WINDOW  how many bytes more the other side may send (4)
 *              CLOSE   why (1): the stream is over, both ways
 *              PING    8 bytes of anything; stream 0
 *              PONG    the same ones
 *              LEAVE   nothing; stream 0: the server ends soon, go elsewhere
 *
 *          Little-endian. A stream carries one HTTP/1.1 request and its answer, or what a request
 *          was upgraded to.
 * Limits   RPC_FRAME_MAX
 * Owner    a body is borrowed from the bytes it was found in.
 * Threads  any.
 */
#ifndef CORE_RPC_FRAME_H
#define CORE_RPC_FRAME_H

#include "core/base/buf.h"

#define RPC_HELLO_LEN      8U
#define RPC_FRAME_HEAD_LEN 8U
#define RPC_NAME_MAX       255U

extern const char RPC_HELLO[RPC_HELLO_LEN];

enum rpc_type {
    RPC_FRAME_HELLO = 1,
    RPC_FRAME_OPEN = 2,
    RPC_FRAME_DATA = 3,
    RPC_FRAME_WINDOW = 4,
    RPC_FRAME_CLOSE = 5,
    RPC_FRAME_PING = 6,
    RPC_FRAME_PONG = 7,
    RPC_FRAME_LEAVE = 8,
};

enum rpc_close {
    RPC_CLOSE_DONE = 0,
    RPC_CLOSE_CANCEL = 1, /* the agent wants no answer any more */
    RPC_CLOSE_BUSY = 2,   /* too many streams: nothing was done */
};

struct rpc_frame {
    enum rpc_type type;
    uint32_t stream;
    uint32_t number;         /* WINDOW: bytes; CLOSE: enum rpc_close */
    uint64_t token;          /* PING, PONG */
    struct bytes data;       /* DATA */
    struct bytes node;       /* HELLO */
    struct bytes datacenter; /* HELLO */
};

/* ERR_TOO_BIG: `out` has no room, and is as it was. */
enum err rpc_frame_encode(struct buf *out, const struct rpc_frame *f) ERR_MUST_USE;

enum rpc_found {
    RPC_FOUND_WHOLE,
    RPC_FOUND_PART, /* more bytes are needed */
    RPC_FOUND_BAD,  /* a length, a checksum or a payload that cannot be */
};

/* Looks at the beginning of `data`. WHOLE and PART: `ret_len` is how long the frame is, as far as
 * that is known. */
enum rpc_found
rpc_frame_find(struct bytes data, struct rpc_frame *ret_frame, size_t *ret_len) ERR_MUST_USE;

#endif
