/* Membership: which agents are there, and what they say about themselves. SWIM (Das, Gupta,
 * Motivala, DSN 2002) with the Lifeguard extensions (Dadgar et al., arXiv 1707.00788), with the
 * parameters of memberlist's LAN profile, or of its WAN profile.
 *
 * swim.[ch]    the protocol, pure: packets, ticks and dice in; packets and events out
 * packet.[ch]  messages <-> bytes, pure
 * keyring.[ch] AES-256-GCM (or 128/192, by the key's length), several keys while they are exchanged
 * socket.[ch]  UDP, and TCP for what is large (push/pull, fallback probes)
 * gossip.[ch]  all of it together, on one loop
 *
 * Life     gossip_open() -> gossip_join() -> ... gossip_leave() -> gossip_close()
 * Owner    members are borrowed until the loop's next turn.
 * Limits   GOSSIP_* (core/base/limit.h)
 * Errors   as said at each function
 * Threads  one loop's
 */
#ifndef CORE_GOSSIP_GOSSIP_H
#define CORE_GOSSIP_GOSSIP_H

#include "core/base/buf.h"
#include "core/base/loop.h"

#define GOSSIP_NAME_MAX    128
#define GOSSIP_TAGS_MAX    32
#define GOSSIP_KEY_MAX     32 /* bytes of a key: 16, 24 or 32 */
#define GOSSIP_ADDRESS_LEN 64

/* Serf's states, with its numbers. */
enum gossip_status {
    GOSSIP_ALIVE = 1,
    GOSSIP_LEAVING = 2,
    GOSSIP_LEFT = 3,
    GOSSIP_FAILED = 4,
};

struct gossip_tag {
    char name[32];
    char value[128];
};

struct gossip_member {
    char name[GOSSIP_NAME_MAX + 1]; /* the node's name: unique; who claims another's is logged, not
                                       obeyed */
    char address[GOSSIP_ADDRESS_LEN]; /* a literal IP address */
    uint16_t port;
    enum gossip_status status;
    bool self;
    uint64_t incarnation;
    uint64_t since_ms; /* of the loop's clock: when `status` became so */
    size_t tag_count;
    struct gossip_tag tags[GOSSIP_TAGS_MAX];
};

/* NULL if there is no such tag. */
const char *gossip_tag(const struct gossip_member *m, const char *name);

struct gossip_options {
    struct loop *loop;
    const char *name;
    const char *bind_address; /* a literal IP address */
    uint16_t bind_port;       /* 0: any free one */
    const char *advertise_address;
    uint16_t advertise_port; /* 0: the bound one */
    const struct gossip_tag *tags;
    size_t tag_count;
    /* The cluster's gossip keys, the first one is used to send; NULL and 0: in clear, which is
     * refused (ERR_DENIED, with a sentence what to do) beyond loopback unless `allow_clear`. */
    const char *const *keys; /* base64 */
    size_t key_count;
    bool allow_clear;
    /* Where changed keys are kept; NULL: nowhere. If the file is there it counts, not `keys`. */
    const char *keyring_path;
    /* Nodes of another label (the datacenter) are strangers; NULL: none. */
    const char *label;
    const char *members_path; /* where the members are kept for a rejoin; NULL: nowhere */
    bool rejoin_after_leave;
    uint64_t reconnect_ms; /* failed members are tried again for so long, then reaped */
    bool wan;              /* memberlist's WAN profile */
    void *ctx;
    /* A member joined, changed its tags, its address or its status. Borrowed for the call. */
    void (*changed)(void *ctx, const struct gossip_member *m);
    /* It was reaped. */
    void (*reaped)(void *ctx, const struct gossip_member *m);
};

struct gossip;

enum err gossip_open(const struct gossip_options *options,
                     struct gossip **ret_gossip,
                     struct reason *why) ERR_MUST_USE;
/* At once, without a word to the others; what is under way gets no `done` any more. NULL is
 * allowed. Not from inside a callback. */
void gossip_close(struct gossip *g);
uint16_t gossip_port(const struct gossip *g);

size_t gossip_count(const struct gossip *g);
/* By name, in ascending order; `i` below gossip_count(). */
const struct gossip_member *gossip_at(const struct gossip *g, size_t i);
const struct gossip_member *gossip_find(const struct gossip *g, const char *name);

/* Replaces this node's own tags; the others hear of it. ERR_TOO_BIG (GOSSIP_TAGS_BYTES_MAX),
 * ERR_INVALID. */
enum err
gossip_set_tags(struct gossip *g, const struct gossip_tag *tags, size_t count) ERR_MUST_USE;

/* Asks each of these ("10.0.0.2", "10.0.0.2:8301", "[::1]:8301": literal addresses; without a port
 * this node's own is meant) for its members and gives it ours. `done` comes once, never from
 * inside, with how many answered; `why` names the first that did not. */
void gossip_join(struct gossip *g,
                 const char *const *addresses,
                 size_t count,
                 void (*done)(void *ctx, size_t joined, const char *why),
                 void *ctx);
/* Says good-bye, and waits until it has spread or a few seconds have passed. */
void gossip_leave(struct gossip *g, void (*done)(void *ctx), void *ctx);
/* A failed member is declared left; `prune`: and forgotten (at the loop's next turn). One that is
 * not failed yet becomes left when it fails, and refutes if it is well. ERR_NOT_FOUND. */
enum err gossip_force_leave(struct gossip *g, const char *name, bool prune) ERR_MUST_USE;

/* Changes the ring of every member, this node's last; `done` comes, never from inside, with the
 * number of members, of those that answered and of those that failed, or after a time-out. */
enum gossip_key_order {
    GOSSIP_KEY_LIST,
    GOSSIP_KEY_INSTALL,
    GOSSIP_KEY_USE,
    GOSSIP_KEY_REMOVE
};
struct gossip_key_count {
    char key[48]; /* base64 */
    unsigned members;
    unsigned primary_members;
};
struct gossip_key_result {
    unsigned members;
    unsigned answered;
    unsigned failed;
    char error[200]; /* the first; empty: none */
    size_t key_count;
    struct gossip_key_count keys[16]; /* LIST */
};
void gossip_key(struct gossip *g,
                enum gossip_key_order order,
                const char *key,
                void (*done)(void *ctx, const struct gossip_key_result *result),
                void *ctx);
bool gossip_encrypted(const struct gossip *g);

/* 32 random bytes, base64. */
void gossip_keygen(char ret_key[48]);

#endif
