/* The wire between servers: whole messages to and from peers that are known by id, over TCP. Each
 * server dials each other one and speaks on what it dialled; what it accepted it only reads.
 *
 *      us --- control ---> peer      small and urgent: votes, entries, rounds
 *         --- bulk ------> peer      snapshots: never in front of a heartbeat
 *         <-- (the peer's two) ---
 *
 * Format   a connection begins with a hello, then come frames (frame.h). Little-endian.
 * Refused  and closed, with a log line (at most one per address and minute): another magic or
 *          version, another cluster than ours when both are set, a receiver that is not us, a
 *          sender that transport_set_peer() never named, a frame that is too long or whose checksum
 *          is wrong, no hello in time, too many connections (those without a hello go first).
 * Promise  messages of one channel arrive in order, each once, or not at all: what was queued when
 *          a connection broke is lost, and `linked` says so.
 * Limits   TRANSPORT_*, RPC_MESSAGE_MAX (core/base/limit.h).
 * Owner    messages are copied on sending and borrowed on receiving.
 * Threads  the loop's, for every call and callback. Any call but transport_close() may come from
 *          inside a callback; none calls back from inside.
 */
#ifndef STORE_REPLICA_TRANSPORT_H
#define STORE_REPLICA_TRANSPORT_H

#include "core/base/buf.h"
#include "core/base/loop.h"

struct transport;

/* So many bytes say what kind of connection it is. */
#define TRANSPORT_KIND_LEN 4U

enum transport_channel {
    TRANSPORT_CONTROL = 0,
    TRANSPORT_BULK = 1,
};

struct transport_options {
    struct loop *loop;
    uint64_t id;
    const char *listen_address; /* a literal IP address */
    uint16_t listen_port;       /* 0: any free one */
    void *ctx;
    void (*receive)(void *ctx, uint64_t from, struct bytes message);
    /* What we send on the control channel goes out from now on (`up`), or did not all arrive. In
     * turns: up, down, up. Not called for a peer that was dropped. */
    void (*linked)(void *ctx, uint64_t peer, bool up);
    /* A connection that does not begin as ours do, after TRANSPORT_KIND_LEN bytes: true takes the
     * descriptor over, with the bytes read so far (borrowed for the call) and the text of where it
     * comes from. False, or NULL: it is refused. */
    bool (*other)(void *ctx, int fd, struct bytes begun, const char *from);
};

/* Binds and listens. ERR_IN_USE (the address is taken), ERR_INVALID, ERR_IO, with `why`. May be
 * called before the loop runs. */
enum err transport_open(const struct transport_options *options,
                        struct transport **ret_transport,
                        struct reason *why) ERR_MUST_USE;
/* Calls nothing back. NULL is allowed. */
void transport_close(struct transport *t);
uint16_t transport_port(const struct transport *t);

/* 0: not known yet, any cluster is accepted. A change closes what does not fit; also what we
 * dialled, which is dialled anew at once, so that the others learn it. */
void transport_set_cluster(struct transport *t, uint64_t cluster);

/* The cluster that a peer named when it last spoke to us; 0: none, or it is not connected. */
uint64_t transport_peer_cluster(struct transport *t, uint64_t id);

/* From now on `id` may speak to us, and is dialled at `address` ("10.0.0.1:8300", "[::1]:8300";
 * copied), again and again with backoff. Another address than before closes the old connections. An
 * address that cannot be parsed, and an id that is 0 or our own, are ERR_INVALID and change
 * nothing. */
enum err transport_set_peer(struct transport *t, uint64_t id, const char *address) ERR_MUST_USE;
void transport_drop_peer(struct transport *t, uint64_t id);

/* OK: on its way. ERR_NOT_FOUND: no such peer; ERR_BUSY: not connected, or its queue is full: the
 * message is lost. 1 to RPC_MESSAGE_MAX bytes. */
enum err transport_send(struct transport *t,
                        uint64_t id,
                        enum transport_channel channel,
                        struct bytes message) ERR_MUST_USE;
/* Bytes queued to `id` on that channel. */
size_t transport_pending(const struct transport *t, uint64_t id, enum transport_channel channel);

/* Bytes since the start, frames and hellos included. */
struct transport_counts {
    uint64_t sent_bytes;
    uint64_t received_bytes;
};
struct transport_counts transport_counts(const struct transport *t);

#endif
