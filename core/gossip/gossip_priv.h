/* The inside of gossip on a loop: what its files share.
 *
 * gossip.c   wiring, joining, leaving
 * order.c    key orders to all members
 * members.c  the file of members, for a rejoin
 *
 * Threads  the loop's.
 */
#ifndef CORE_GOSSIP_GOSSIP_PRIV_H
#define CORE_GOSSIP_GOSSIP_PRIV_H

#include "core/gossip/gossip.h"
#include "core/gossip/socket.h"
#include "core/gossip/swim.h"

struct gossip {
    struct loop *loop;
    struct env *env;
    struct keyring *keyring;
    struct seal *seal;
    struct socket *socket;
    struct swim *swim;
    void *ctx;
    void (*changed)(void *ctx, const struct gossip_member *m);
    void (*reaped)(void *ctx, const struct gossip_member *m);
    char *keyring_path;
    char *members_path;
    bool wan;
    bool closing;
    bool left;
    uint64_t quiet_until_ms[SWIM_ONLY_STREAM + 1]; /* the log has heard of it */
    struct list joins;
    struct list orders;
    struct timer save;
    struct timer rejoin;
    /* from the file of members: tried until somebody answers */
    struct packet_address *known;
    size_t known_count;
};

/* A state exchange; `done` may be NULL. */
typedef void (*exchange_done_fn)(void *ctx, const struct packet_address *to, const char *why);
void gossip_exchange(struct gossip *g,
                     const struct packet_address *to,
                     exchange_done_fn done,
                     void *ctx);
void gossip_join_addresses(struct gossip *g,
                           const struct packet_address *addresses,
                           size_t count,
                           void (*done)(void *ctx, size_t joined, const char *why),
                           void *ctx);

/* order.c */
void order_heard(struct gossip *g,
                 const struct packet_address *from,
                 const struct packet_message *m);
void order_close_all(struct gossip *g);

/* members.c: ERR_NOT_FOUND, ERR_INVALID, ERR_IO. What is in the file becomes `g->known`, unless it
 * says that this node left and `rejoin` is not set. */
enum err members_load(struct gossip *g, bool rejoin, struct reason *why) ERR_MUST_USE;
void members_save(struct gossip *g);

#endif
