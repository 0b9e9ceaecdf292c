/* The membership protocol, pure: packets, states and time in; packets, wishes and events out.
 * SWIM (DSN 2002, sections 3 and 4) with Lifeguard (arXiv 1707.00788, section IV).
 *
 *             alive (newer incarnation)
 *        +------------------------------------+---------------+
 *        v                                    |               |
 *      ALIVE --(no answer, or told)--> SUSPECT --(time)--> DEAD --(time)--> forgotten
 *        |                                                    |
 *        +--(says so itself)---------> LEFT <--(force-leave)--+
 *
 * Who is spoken of wrongly refutes: it says `alive` with an incarnation above the rumour's.
 *
 * Time     clocks, dice and timers of `env` and nothing else.
 * Owner    members are borrowed until the next call that is not a question, or the next timer.
 * Calls    `ops` are called from inside; they may ask, and may call swim_set_tags(),
 *          swim_leave() and swim_force_leave(), but not swim_close().
 * Limits   GOSSIP_* (core/base/limit.h)
 * Threads  the env's.
 */
#ifndef CORE_GOSSIP_SWIM_H
#define CORE_GOSSIP_SWIM_H

#include "core/base/env.h"
#include "core/gossip/gossip.h"
#include "core/gossip/packet.h"

/* What a person should read of. */
enum swim_note {
    SWIM_SUSPECTED,  /* `name` is */
    SWIM_REFUTED,    /* what was said of this node */
    SWIM_CONFLICT,   /* somebody else claims `name` */
    SWIM_JUMP,       /* an incarnation of `name` that cannot be */
    SWIM_FULL,       /* GOSSIP_MEMBERS_MAX: `name` was not taken in */
    SWIM_ONLY_STREAM /* `name` answers on a stream, not in packets */
};

struct swim_ops {
    /* One datagram, borrowed for the call. */
    void (*send)(void *ctx, const struct packet_address *to, struct bytes packet);
    /* Exchange states with the node there: swim_state() to it, its answer to swim_merge(). */
    void (*exchange)(void *ctx, const struct packet_address *to);
    /* Ping over a stream; if it is answered, swim_stream_ack(seq). */
    void (*ping)(void *ctx, const struct packet_address *to, const char *name, uint32_t seq);
    void (*changed)(void *ctx, const struct gossip_member *m);
    void (*reaped)(void *ctx, const struct gossip_member *m);
    void (*note)(void *ctx, enum swim_note note, const char *name);
    /* PACKET_ORDER and PACKET_ORDER_REPLY, which are no business of the protocol. */
    void (*order)(void *ctx, const struct packet_address *from, const struct packet_message *m);
};

struct swim_options {
    struct env *env;
    const char *name;
    struct packet_address address; /* as told to the others */
    const struct gossip_tag *tags;
    size_t tag_count;
    uint64_t reconnect_ms;
    bool wan;   /* the others are far away: slower, and more patient */
    bool plain; /* without Lifeguard: for comparison */
    void *ctx;
    const struct swim_ops *ops;
};

struct swim;

/* ERR_INVALID, ERR_TOO_BIG: the name or the tags, with `why`. */
enum err swim_open(const struct swim_options *options,
                   struct swim **ret_swim,
                   struct reason *why) ERR_MUST_USE;
void swim_close(struct swim *s);

/* A packet's messages, unsealed. ERR_INVALID: nothing of it was obeyed. */
enum err
swim_receive(struct swim *s, const struct packet_address *from, struct bytes packet) ERR_MUST_USE;
void swim_stream_ack(struct swim *s, uint32_t seq);

/* All that this node knows, for a state exchange; appended to `out`. */
void swim_state(struct swim *s, struct buf *out);
/* ERR_INVALID: nothing of it was obeyed. */
enum err swim_merge(struct swim *s, struct bytes state) ERR_MUST_USE;

size_t swim_count(const struct swim *s);
const struct gossip_member *swim_at(const struct swim *s, size_t i);
const struct gossip_member *swim_find(const struct swim *s, struct bytes name);
const struct gossip_member *swim_self(const struct swim *s);
/* 0 .. GOSSIP_HEALTH_MAX - 1; 0 is healthy. */
unsigned swim_health(const struct swim *s);

enum err swim_set_tags(struct swim *s,
                       const struct gossip_tag *tags,
                       size_t count,
                       struct reason *why) ERR_MUST_USE;
/* `done` comes once, when the good-bye has spread or its time is over; never from inside. */
void swim_leave(struct swim *s, void (*done)(void *ctx), void *ctx);
/* ERR_NOT_FOUND. A member that is not failed yet becomes left when it fails, unless it refutes. */
enum err swim_force_leave(struct swim *s, struct bytes name, bool prune) ERR_MUST_USE;
/* The order of the operator to `to`, or an answer to one. */
void swim_send_order(struct swim *s,
                     const struct packet_address *to,
                     const struct packet_message *m);

#endif
