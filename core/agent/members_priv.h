/* What the files of core/agent share: members.c has the gossip and the orders,
 * members_server.c and members_client.c what a server and a client do besides, join.c names and
 * joins, founding.c founds the cluster, lead.c is the leader's care for it, leave.c says
 * good-bye, quorum.c says when nobody leads, wan.c is the pool of all datacenters' servers.
 *
 * Threads  the main loop's; join.c resolves names on a thread of its own.
 */
#ifndef CORE_AGENT_MEMBERS_PRIV_H
#define CORE_AGENT_MEMBERS_PRIV_H

#include "core/agent/expire.h"
#include "core/agent/lead.h"
#include "core/agent/members.h"
#include "core/agent/reconcile.h"
#include "core/base/list.h"

#include <stdatomic.h>

/* What leaving is at.
 *
 *     STAYING --> REMOVING (from the voters; again while another change is under way)
 *                    --> PARTING (gossip) --> DRAINING --> LEFT
 */
enum leave_state {
    LEAVE_STAYING,
    LEAVE_REMOVING,
    LEAVE_PARTING,
    LEAVE_DRAINING,
    LEAVE_LEFT,
};

struct leave_waiter {
    struct list link;
    void (*done)(void *ctx);
    void *ctx;
};

/* A gossip to take part in: the datacenter's own (LAN), or that of all servers (WAN). */
struct pool {
    struct members *members;
    const char *suffix;             /* of its keys in the configuration: "" or "_wan" */
    const struct config_join *said; /* whom to join */
    uint16_t port;                  /* configured; 0: any */
    uint16_t port_usual;            /* of the others, where nothing else is said */
    struct gossip *gossip;          /* NULL: none */
    struct timer retry;
    uint64_t tries;
};

/* What an agent is among the others beyond gossip: members_server.c or members_client.c. */
struct members_role {
    void (*tag)(struct members *m);  /* its own tags */
    void (*open)(struct members *m); /* there is no gossip yet */
    void (*begin)(struct members *m);
    /* Of a member; may come before `begin`. */
    void (*changed)(struct members *m, const struct gossip_member *g);
    void (*reaped)(struct members *m, const struct gossip_member *g);
    void (*look)(struct members *m);  /* something changed */
    void (*leave)(struct members *m); /* then leave_part() */
    void (*end)(struct members *m);
};

extern const struct members_role MEMBERS_SERVER;
extern const struct members_role MEMBERS_CLIENT;

struct members {
    struct members_options options;
    const struct members_role *role;
    struct pool lan;
    struct pool wan;
    struct timer flood; /* servers of the LAN that are missing in the WAN pool are asked */
    bool flooding;      /* that is under way */
    struct gossip_tag tags[GOSSIP_TAGS_MAX];
    size_t tag_count;
    char rpc_address[STORE_ADDRESS_MAX];
    bool closing;
    /* joining */
    struct loop *resolver; /* NULL until a name is to be resolved */
    struct list jobs;      /* struct join_job.link */
    atomic_bool stopping;  /* the resolver's thread is to come to an end */
    /* founding */
    struct timer found;
    bool founding; /* this server waits for its cluster, and says so by a tag */
    struct lead *lead;
    struct expire *expire;
    struct reconcile *reconcile;
    /* leaving */
    enum leave_state leave;
    struct timer leave_timer;
    struct store_order remove;
    bool removing; /* `remove` is under way */
    bool removed;  /* others took over: they get the drain time */
    uint64_t leave_until_ms;
    uint64_t leader_seen_ms;
    struct list leavers; /* struct leave_waiter.link */
    /* without a leader */
    struct timer quorum_timer;
    struct store_order count;
    bool counting;           /* `count` is under way */
    uint64_t leaderless_ms;  /* since then; 0: there is a leader, or no cluster */
    _Atomic uint32_t quorum; /* any thread: voters << 16 | reachable ones; 0: somebody leads */
    uint64_t said_ms;        /* when it was said last; 0: not yet */
};

static inline struct env *members_env(const struct members *m)
{
    return loop_env(m->options.loop);
}

/* members.c */
void members_tag(struct members *m, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Without this one; the others hear of it. */
void members_untag(struct members *m, const char *name);
void members_answer(struct members_order *o, enum err status);
/* <data_dir>/<name>, the caller's to free; NULL: nothing is kept. */
char *members_path(const struct config *c, const char *name);
/* This agent as a member, when it does not gossip. */
void members_self(const struct members *m, struct gossip_member *ret_member);

/* join.c */
void join_open(struct members *m);
void join_close(struct members *m);
void join_order(struct pool *pool, struct members_order *o);

/* founding.c */
void founding_open(struct members *m);
void founding_look(struct members *m);
void founding_close(struct members *m);

/* leave.c */
/* Says good-bye to the gossip, then is left. */
void leave_part(struct members *m);
/* A server: out of the voters first. */
void leave_voters(struct members *m);
void leave_open(struct members *m);
void leave_close(struct members *m);

/* quorum.c */
void quorum_open(struct members *m);
void quorum_close(struct members *m);

#endif
