/* Many streams of bytes over one connection, the same code on both of its ends. The agent's end
 * opens streams, the server's end is told of them; either may close one.
 *
 *      agent --- OPEN, DATA, WINDOW, CLOSE ---> server
 *            <-------- DATA, WINDOW, CLOSE ----
 *
 * Flow     each end may send RPC_WINDOW bytes on a stream before the other has said mux_consumed():
 *          a slow reader holds up itself alone.
 * Life     mux_new() takes a connected (or connecting) descriptor -> `ready` when the other side's
 *          hello has come -> streams -> `lost` once, after each stream's `closed` -> mux_free().
 *          The latter may come at any time, then nothing is called back any more.
 * Owner    a stream's memory is its user's, from mux_open() or mux_accept() until `closed` or
 *          mux_stream_close(). Data is borrowed for the call.
 * Limits   RPC_* (core/base/limit_agent.h)
 * Errors   whatever the other side sends that it may not ends the connection, with a reason.
 * Threads  the loop's. All calls may come from inside callbacks.
 */
#ifndef CORE_RPC_MUX_H
#define CORE_RPC_MUX_H

#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/rpc/frame.h"

struct mux;
struct mux_stream;

enum mux_ended {
    MUX_DONE, /* the other side is through */
    MUX_BUSY, /* the other side had no room for it: nothing was done */
    MUX_LOST, /* with the connection, or cancelled */
};

struct mux_stream_ops {
    void (*data)(struct mux_stream *s, struct bytes data);
    /* mux_send() may take more now. */
    void (*writable)(struct mux_stream *s);
    void (*closed)(struct mux_stream *s, enum mux_ended how);
};

struct mux_stream {
    /* private */
    const struct mux_stream_ops *ops;
    struct mux *mux;
    uint32_t id;
    uint32_t credit;   /* may be sent */
    uint32_t window;   /* may still come */
    uint32_t consumed; /* came, was used, and the other side does not know yet */
    struct list full;  /* in mux.full: waits for the socket */
};

struct mux_ops {
    void (*ready)(struct mux *m, const struct rpc_frame *hello);
    /* The server's end: a stream was opened. Calls mux_accept(), or it is refused as busy. */
    void (*opened)(struct mux *m, uint32_t id);
    /* The agent's end: the server ends soon. */
    void (*leave)(struct mux *m);
    void (*lost)(struct mux *m, const char *why);
};

struct mux_options {
    struct loop *loop;
    const struct mux_ops *ops;
    void *ctx;
    bool agent; /* this end opens */
    const char *node;
    const char *datacenter;
};

/* Takes `fd`; `begun` was read from it before (copied). */
struct mux *mux_new(const struct mux_options *options, int fd, struct bytes begun);
void mux_free(struct mux *m);
void *mux_ctx(const struct mux *m);
bool mux_is_ready(const struct mux *m);
size_t mux_streams(const struct mux *m);

/* ERR_LIMIT: too many. */
enum err
mux_open(struct mux *m, struct mux_stream *s, const struct mux_stream_ops *ops) ERR_MUST_USE;
void mux_accept(struct mux *m, uint32_t id, struct mux_stream *s, const struct mux_stream_ops *ops);
/* How many bytes were taken; if not all, `writable` follows. */
size_t mux_send(struct mux_stream *s, struct bytes data);
/* How many bytes mux_send() would take now; 0 is followed by `writable`. */
size_t mux_room(struct mux_stream *s);
/* So many bytes of the data that came are used. */
void mux_consumed(struct mux_stream *s, size_t len);
/* Nothing is called back any more. */
void mux_stream_close(struct mux_stream *s, enum rpc_close why);
/* The server's end: says LEAVE. */
void mux_leave(struct mux *m);

#endif
