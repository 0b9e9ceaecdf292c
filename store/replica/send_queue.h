/* Bytes on their way to one connection: frames are copied in, small ones side by side in one block,
 * and leave in order as far as the socket takes them.
 *
 * Owner    all memory is the queue's, from send_queue_init() to send_queue_clear().
 * Limits   the user's: it looks at `bytes` before it puts.
 * Threads  none.
 */
#ifndef STORE_REPLICA_SEND_QUEUE_H
#define STORE_REPLICA_SEND_QUEUE_H

#include "core/base/buf.h"
#include "core/base/list.h"

#include <sys/uio.h>

struct send_queue {
    /* read-only */
    size_t bytes;    /* that were not sent */
    uint64_t frames; /* put since the queue was last empty */
    /* private */
    struct list blocks;
};

void send_queue_init(struct send_queue *q);
/* Forgets everything and gives the memory back. */
void send_queue_clear(struct send_queue *q);
/* The head and the payload together are one frame. */
void send_queue_put(struct send_queue *q, struct bytes head, struct bytes payload);
/* The first bytes, at most `max` in at most `count` pieces; how many pieces there are. */
int send_queue_peek(const struct send_queue *q, struct iovec *ret_pieces, int count, size_t max);
/* The first `len` bytes are sent. */
void send_queue_sent(struct send_queue *q, size_t len);

#endif
