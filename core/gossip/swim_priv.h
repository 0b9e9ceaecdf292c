/* The inside of the membership protocol: what its files share.
 *
 * swim.c         life, gossip, exchange, leaving
 * swim_member.c  who is there, and which rumour wins
 * swim_probe.c   probing, directly and through others; local health
 * swim_queue.c   rumours that are still to be spread
 *
 * Owner    `struct swim` owns its members; one that was erased while its last rumour spreads
 *          belongs to the queue.
 * Threads  the env's.
 */
#ifndef CORE_GOSSIP_SWIM_PRIV_H
#define CORE_GOSSIP_SWIM_PRIV_H

#include "core/base/list.h"
#include "core/gossip/swim.h"

enum swim_state {
    SWIM_ALIVE,
    SWIM_SUSPECT,
    SWIM_DEAD,
    SWIM_LEFT,
};

/* Who accused, so that each counts once: the first, and the confirmations that shorten the time. */
#define SWIM_ACCUSERS (GOSSIP_WAN_SUSPICION_MULT - 1)
_Static_assert(GOSSIP_WAN_SUSPICION_MULT >= GOSSIP_SUSPICION_MULT, "room for every accuser");

/* How often, how long, how many: on a LAN or between datacenters. */
struct swim_profile {
    uint64_t probe_ms;
    uint64_t probe_timeout_ms;
    unsigned suspicion_mult;
    uint64_t tick_ms;
    size_t fanout; /* up to GOSSIP_WAN_FANOUT */
    uint64_t dead_ms;
    uint64_t push_pull_ms;
};

struct swim_suspicion {
    struct timer timer;
    uint64_t start_ms;
    uint64_t min_ms;
    uint64_t max_ms;
    unsigned wanted; /* confirmations that shorten it to min_ms */
    unsigned accusers;
    char who[SWIM_ACCUSERS][GOSSIP_NAME_MAX + 1];
};

struct swim_member {
    struct swim *swim;
    struct packet_address address;
    enum swim_state state;
    bool leaving;
    bool forced; /* an operator's force-leave waits for its failure */
    bool prune;  /* to be erased by the next reaping */
    bool erased; /* not a member any more; here for its rumour only */
    uint64_t state_ms;
    char *tags;
    size_t tags_len;
    struct swim_suspicion suspicion;
    /* the rumour about it that is being spread, if `link` is in a tier of the queue */
    struct list link;
    bool queued;
    enum packet_type rumour; /* ALIVE, SUSPECT, DEAD or REMOVE */
    unsigned transmits;
    char from[GOSSIP_NAME_MAX + 1];
    struct gossip_member shown; /* last: it is large, and its tags are rarely touched */
};

struct swim_queue {
    struct list tiers[GOSSIP_RETRANSMIT_MAX + 1]; /* by the number of transmissions so far */
    size_t count;
};

struct swim_probe {
    struct timer tick;    /* the next protocol period */
    struct timer timeout; /* no answer so far: ask others */
    struct swim_member *target;
    uint32_t seq;
    bool running;
    bool stream; /* it answered there */
    unsigned nacks_wanted;
    unsigned nacks;
};

/* A probe for somebody else. */
struct swim_relay {
    struct list link;
    struct swim *swim;
    struct timer timer;
    struct packet_address to;
    uint32_t seq;
    uint32_t their_seq;
    bool nack;
};

enum swim_leave {
    SWIM_STAYING,
    SWIM_INTENT, /* the others hear that it is about to leave */
    SWIM_LEAVING,
    SWIM_GONE,
};

struct swim {
    struct env *env;
    const struct swim_ops *ops;
    void *ctx;
    const struct swim_profile *profile;
    uint64_t reconnect_ms;
    bool wan;
    bool plain;
    bool fresh; /* nothing was heard yet: the past of this name is unknown */
    struct swim_member *self;
    struct swim_member **members; /* by name */
    size_t count;
    size_t cap;
    struct swim_member **order; /* of probing; `count` entries, shuffled in each round */
    size_t next;
    size_t others; /* members that are alive or suspected, without this node */
    unsigned health;
    uint32_t seq;
    struct swim_queue queue;
    struct swim_probe probe;
    struct list relays;
    size_t relay_count;
    struct timer gossip;
    struct timer exchange;
    struct timer reconnect;
    struct timer reap;
    enum swim_leave leave;
    uint64_t leave_until_ms;
    void (*left)(void *ctx);
    void *left_ctx;
    struct buf out;
};

/* swim_member.c */
struct swim_member *swim_lookup(const struct swim *s, struct bytes name);
struct swim_member *swim_add(struct swim *s, struct bytes name);
void swim_erase(struct swim *s, struct swim_member *m);
void swim_free_member(struct swim_member *m);
bool swim_there(const struct swim_member *m); /* alive or suspected */
void swim_on_alive(struct swim *s, const struct packet_message *m);
void swim_on_suspect(struct swim *s, uint64_t incarnation, struct bytes name, struct bytes from);
void swim_on_dead(struct swim *s, uint64_t incarnation, struct bytes name, struct bytes from);
void swim_on_remove(struct swim *s, const struct packet_message *m);
void swim_set_state(struct swim_member *m, enum swim_state state);
/* Calls ops->changed(). */
void swim_show(struct swim_member *m);
/* What `m` says of itself. */
struct packet_message swim_alive_of(const struct swim_member *m);
struct bytes swim_name(const struct swim_member *m);
/* Replaces the tags, which are valid; false if they are the same. */
bool swim_take_tags(struct swim_member *m, struct bytes wire);
/* Fills `picked` with up to `want` different members for which `fits` says so; how many. */
typedef bool (*swim_fits_fn)(const struct swim *s, const struct swim_member *m);
size_t swim_pick(struct swim *s, swim_fits_fn fits, struct swim_member **picked, size_t want);

/* swim_queue.c */
void swim_queue_init(struct swim_queue *q);
/* Spread this of `m`, instead of what is still queued of it. */
void swim_queue_add(struct swim *s,
                    struct swim_member *m,
                    enum packet_type rumour,
                    struct bytes from);
/* Appends what has been sent least, as much as fits. */
void swim_queue_fill(struct swim *s, struct buf *out);
void swim_queue_close(struct swim *s);
struct packet_message swim_rumour_of(const struct swim_member *m);

/* swim_probe.c */
void swim_probe_init(struct swim *s);
void swim_probe_close(struct swim *s);
void swim_on_ping(struct swim *s,
                  const struct packet_address *from,
                  const struct packet_message *m);
void swim_on_ping_req(struct swim *s,
                      const struct packet_address *from,
                      const struct packet_message *m);
void swim_on_ack(struct swim *s, uint32_t seq);
void swim_on_nack(struct swim *s, uint32_t seq);
void swim_health_add(struct swim *s, int delta);

/* swim.c: a packet is begun, filled and sent. */
void swim_begin(struct swim *s);
void swim_say(struct swim *s, const struct packet_message *m);
void swim_send(struct swim *s, const struct packet_address *to);

#endif
