/* How messages between servers lie in a stream of bytes. Pure: no socket, no clock.
 *
 * Format   a hello, once: magic "HRLD", version (1 byte), channel (1), cluster id (8), sender (8),
 *          receiver (8), CRC-32 of all that (4). Then frames: length (4), CRC-32 of length and
 *          payload (4), payload of 1 to RPC_MESSAGE_MAX bytes. Little-endian.
 * Owner    a payload is borrowed from the bytes it was found in.
 * Threads  any.
 */
#ifndef STORE_REPLICA_FRAME_H
#define STORE_REPLICA_FRAME_H

#include "core/base/buf.h"

#define HELLO_LEN         34U
#define HELLO_VERSION     1U
#define HELLO_CHANNEL_MAX 1U
#define FRAME_HEAD_LEN    8U

struct hello {
    unsigned channel; /* enum transport_channel */
    uint64_t cluster; /* 0: the sender does not know yet */
    uint64_t sender;
    uint64_t receiver;
};

/* Whether these bytes, at least as many as the magic has, begin a hello. */
bool hello_begins(struct bytes data);
void hello_encode(const struct hello *h, char ret_data[HELLO_LEN]);
/* `data` is HELLO_LEN bytes. NULL when it is a hello, else what is wrong with it, in words. */
const char *hello_decode(struct bytes data, struct hello *ret_hello) ERR_MUST_USE;

enum frame_found {
    FRAME_WHOLE,
    FRAME_PART, /* more bytes are needed */
    FRAME_LENGTH_BAD,
    FRAME_CHECKSUM_BAD,
};

void frame_head(struct bytes payload, char ret_head[FRAME_HEAD_LEN]);
/* Looks at the beginning of `data`. FRAME_WHOLE: `ret_payload` is the frame's; FRAME_PART and
 * FRAME_WHOLE: `ret_len` is how long the frame is with its head, as far as that is known. */
enum frame_found
frame_find(struct bytes data, struct bytes *ret_payload, size_t *ret_len) ERR_MUST_USE;

#endif
