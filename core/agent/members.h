/* This agent among the others: gossip, joining, founding the cluster, leaving it; and the orders by
 * which other threads ask for any of it.
 *
 * Life     members_open() -> the loop runs -> members_leave(), perhaps -> the loop has stopped ->
 *          members_stop() -> the store is closed, and what it had for the loop is taken ->
 *          members_close().
 * Owner    an order's memory is the caller's until `done`; what `done` finds in `members` goes with
 *          members_order_close().
 *
 * A server may be in two pools: its datacenter's, and with ports.serf_wan that of the servers of
 * all datacenters (wan.h). `wan` of an order says which is meant.
 *
 * Errors   as said at each function and order.
 * Threads  members_order() from any loop, members_leaderless() from any thread; all else the main
 *          loop's.
 */
#ifndef CORE_AGENT_MEMBERS_H
#define CORE_AGENT_MEMBERS_H

#include "core/config.h"
#include "core/gossip/gossip.h"
#include "store/store.h"

struct members;

struct members_options {
    struct loop *loop;
    const struct config *config; /* constant while the agent runs */
    struct store *store;         /* NULL: a client agent */
    const char *node_id;
    void *ctx;
    /* Joining failed for good: the agent is to end with this sentence. */
    void (*failed)(void *ctx, const char *why);
    /* A member came, changed or was reaped; NULL: nobody is told. */
    void (*changed)(void *ctx);
};

/* Gossips and joins as the configuration says; an agent that does not gossip has itself as its only
 * member. ERR_DENIED, ERR_IN_USE and others of gossip_open(). */
enum err members_open(const struct members_options *options,
                      struct members **ret_members,
                      struct reason *why) ERR_MUST_USE;
/* Nothing is asked of the store or said to others any more; orders get ERR_CLOSED. NULL is allowed.
 */
void members_stop(struct members *m);
/* NULL is allowed. */
void members_close(struct members *m);

/* NULL: this agent does not gossip. Borrowed. */
struct gossip *members_gossip(const struct members *m);
/* Another server's HTTP address, as it told by its tag; false if none is known. */
#define MEMBERS_HINT_LEN 128
bool members_hint(const struct members *m, char ret_address[MEMBERS_HINT_LEN]);

/* A server of this datacenter, as its tags say; and where its RPC port is. */
bool member_is_server(const struct members *m, const struct gossip_member *g);
void member_rpc_address(const struct gossip_member *g, char ret_address[STORE_ADDRESS_MAX]);

/* While nobody has led for QUORUM_PATIENCE_MS: how many voters there are, and how many of them can
 * be reached. False: somebody leads, or did lately. Any thread. */
bool members_leaderless(const struct members *m, unsigned *ret_voters, unsigned *ret_reachable);

/* Out of the voters, then out of the gossip, then the drain time for those who still ask; `done`
 * comes once. Asked again, it is the same good-bye. */
void members_leave(struct members *m, void (*done)(void *ctx), void *ctx);

/* --- orders from other threads ------------------------------------------------------------------
 */

enum members_verb {
    MEMBERS_LIST,
    MEMBERS_JOIN,        /* `text`: host or host:port */
    MEMBERS_FORCE_LEAVE, /* `text`: the node's name; `prune` */
    MEMBERS_KEY,         /* `key_order`, `text`: the key, but for LIST */
    MEMBERS_LEAVE,       /* done when it has left; stopping is the caller's */
};

struct members_order {
    /* On the loop it came from. OK; or a sentence in `why`: ERR_INVALID, ERR_NOT_FOUND (no such
     * node), ERR_IO (joined nobody), ERR_DENIED (no gossip, no such pool, or no keys). */
    void (*done)(struct members_order *o);
    void *ctx; /* the caller's */
    enum members_verb verb;
    char text[JOIN_HOST_LEN + 16];
    bool prune;
    bool wan; /* LIST, JOIN, FORCE_LEAVE: of the WAN pool; KEY is of both */
    enum gossip_key_order key_order;
    /* read-only, in `done` */
    enum err status;
    struct reason why;
    struct gossip_member *members; /* LIST: copies, by name */
    size_t count;
    struct gossip_key_result keys;     /* KEY */
    struct gossip_key_result wan_keys; /* KEY: of the WAN pool; no members: there is none */
    /* private */
    struct mail mail;
    struct members *owner;
    struct loop *loop;
};

void members_order(struct members *m, struct loop *from, struct members_order *o);
/* Frees what `done` was given. */
void members_order_close(struct members_order *o);

#endif
