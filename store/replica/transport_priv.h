/* What the transport's files share: transport.c (peers, calls), transport_out.c (what we dialled),
 * transport_in.c (what we accepted), transport_wire.c (sockets).
 *
 * Owner    a peer and an accepted connection that end are unlinked and closed at once, and freed at
 *          the start of a later turn: whoever is further up the stack may still look at them.
 * Threads  the loop's.
 */
#ifndef STORE_REPLICA_TRANSPORT_PRIV_H
#define STORE_REPLICA_TRANSPORT_PRIV_H

#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/sm.h"
#include "store/replica/frame.h"
#include "store/replica/send_queue.h"
#include "store/replica/transport.h"
#include "store/replica/transport_wire.h"

#define CHANNELS 2U
_Static_assert(HELLO_CHANNEL_MAX == CHANNELS - 1, "each channel can be named in a hello");

enum out_state {
    OUT_WAITING,
    OUT_DIALLING,
    OUT_UP,
};

/* What we dial: one channel of a peer. */
struct out {
    struct peer *peer;
    enum transport_channel channel;
    struct sm state;
    struct io io;       /* closed while waiting */
    struct timer timer; /* waiting: when to dial; dialling: until when */
    struct send_queue queue;
    struct list dirty; /* in transport.dirty: something may be written */
    uint64_t cluster;  /* that our hello has named */
    uint64_t up_ms;    /* since when it is up */
    uint64_t backoff_ms;
    uint64_t quiet_until_ms;
};

struct peer {
    struct list link; /* in transport.peers, or transport.dead_peers */
    struct transport *transport;
    uint64_t id;
    char *address;
    struct wire_address to;
    struct out out[CHANNELS];
    struct list news; /* in transport.news: the user may have to be told */
    bool told_up;     /* what the user was told last */
    bool lost;        /* a connection broke since */
    bool dropped;
};

/* What was accepted. */
struct in {
    struct list link; /* in transport.incoming, or transport.dead_incoming; the oldest first */
    struct transport *transport;
    struct io io;
    struct timer deadline; /* of the hello */
    struct wire_address from;
    bool known; /* the hello came and was good */
    bool closed;
    struct hello hello;
    char *data; /* before the hello HELLO_LEN bytes, then what frames need */
    size_t len;
    size_t cap;
};

/* Whose refusal was in the log, and until when that is enough. */
struct quiet {
    char host[WIRE_HOST_TEXT];
    uint64_t until_ms;
};

struct transport {
    struct transport_options options;
    struct env *env;
    uint64_t cluster;
    struct io listener;
    struct timer rest; /* of the listener */
    uint16_t port;
    struct list peers;
    struct list dead_peers;
    struct list incoming;
    struct list dead_incoming;
    size_t incoming_count;
    struct list dirty;
    struct list news;
    struct timer turn; /* due at once when there is something to write, to tell or to free */
    struct transport_counts counts;
    struct quiet quiet[TRANSPORT_QUIET_ADDRESSES];
};

struct peer *transport_peer(const struct transport *t, uint64_t id);
void transport_turn(struct transport *t);

void out_init(struct out *o, struct peer *p, enum transport_channel channel);
/* Breaks what there is and dials at once. */
void out_restart(struct out *o);
/* The peer has shown that it is there: do not wait long. */
void out_hurry(struct out *o);
void out_put(struct out *o, struct bytes message);
void out_flush(struct out *o);
/* Ends it for good. */
void out_close(struct out *o);

void in_listen(struct transport *t, int fd);
/* Closes what came from that peer, or from another cluster than ours. */
void in_close_peer(struct transport *t, uint64_t id);
void in_close_cluster(struct transport *t);
/* Frees what is closed. */
void in_reap(struct transport *t);
/* Ends all of it, the listener too. */
void in_close_all(struct transport *t);

#endif
