/* Bytes to and fro between a descriptor and a stream: on a server between the stream and an HTTP
 * connection of a front, on an agent between the client's own connection and the stream. It holds
 * no more than the stream's window of them.
 *
 * Life     pump_open() -> either side ends -> `ended`, once -> gone. pump_close() ends it before,
 *          and calls nothing.
 * Owner    the pump is heap memory of its own; it takes `fd`.
 * Threads  the loop's.
 */
#ifndef CORE_RPC_PUMP_H
#define CORE_RPC_PUMP_H

#include "core/rpc/mux.h"

struct pump {
    /* read-only */
    struct list link; /* its user's, to know its pumps by */
    struct mux_stream stream;
    /* private */
    struct io io;
    struct buf to_fd;     /* came from the stream, and the descriptor has not taken it */
    struct buf to_stream; /* what is to go before the descriptor's own bytes */
    bool last;            /* the stream is over: what is in `to_fd` is the last */
    bool started;
    struct timer linger; /* for so long */
    void (*ended)(struct pump *p);
    void *ctx;
};

extern const struct mux_stream_ops PUMP_STREAM;

/* Its stream is to be opened or accepted next with PUMP_STREAM, then pump_start(). `ended` is
 * told just before the pump goes. */
struct pump *pump_new(int fd, void (*ended)(struct pump *p), void *ctx);
/* `first` goes into the stream before what is read (copied). */
void pump_start(struct pump *p, struct loop *loop, struct bytes first);
void pump_close(struct pump *p, enum rpc_close why);

#endif
