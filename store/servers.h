/* The set of servers: orders about it (servers.c), its beginning (found.c), and the others as this
 * server knows them (peers.c).
 *
 * Threads  the hub's.
 */
#ifndef STORE_SERVERS_H
#define STORE_SERVERS_H

#include "store/replica/rpc.h"
#include "store/replica/transport.h"
#include "store/store.h"

/* Orders about the servers, one at a time. */
struct orders {
    struct store_order *first;
    struct store_order **last;
    bool running;         /* the first one, here, as the leader */
    uint64_t entry;       /* the configuration entry that carries it out; 0: not yet */
    uint64_t remote_peer; /* ... and who is told, when it was a peer's; 0: nobody */
    uint64_t remote_number;
    struct store_order remote; /* a peer's order */
    bool remote_taken;
    uint64_t sent_ms; /* when the first one was last sent to the leader, and to whom */
    uint64_t sent_to;
    unsigned sends;
    uint64_t numbers;
};

/* The first configuration on its way (agreed by all of its servers). */
struct founding {
    bool proposing; /* by us */
    uint64_t cluster;
    struct store_servers servers;
    struct buf configuration;
    uint64_t began_ms;
    uint64_t sent_ms;
    bool committed;
    bool promised[STORE_SERVERS_MAX];
    bool written[STORE_SERVERS_MAX];
    /* As the one who is asked. */
    uint64_t promise; /* cluster; 0: none */
    uint64_t promise_ms;
};

/* What gossip and the configuration say of the others; and when they were last heard. */
struct peer {
    uint64_t id; /* 0: this place is free */
    bool linked;
    bool seen;       /* gossip knows it */
    bool configured; /* the newest configuration has it */
    char node_id[37];
    char address[STORE_ADDRESS_MAX];
    uint64_t complained_ms; /* when the log last said that it talks nonsense; 0: never */
    uint64_t told_commit;   /* as the leader: it knows that this is committed */
    uint64_t heard_ms;      /* its last answer to us as the leader; 0: never */
    unsigned rejections;    /* in a row, of what it had acknowledged */
};

#define PEERS_MAX ((size_t)2 * STORE_SERVERS_MAX)

/* servers.c */
void servers_open(struct store *s);
void servers_close(struct store *s, enum err status);
void servers_turn(struct store *s);
void servers_tick(struct store *s);
void servers_on_change(struct store *s, uint64_t from, const struct rpc_change *m);
void servers_on_change_reply(struct store *s, uint64_t from, const struct rpc_change_reply *m);

/* found.c: the first configuration */
void found_open(struct store *s);
void found_close(struct store *s);
void found_tick(struct store *s);
void found_on_message(struct store *s, uint64_t from, const struct rpc_bootstrap *m);
void found_on_reply(struct store *s, uint64_t from, const struct rpc_bootstrap_reply *m);

/* peers.c */
enum err
peers_open(struct store *s, const struct store_options *options, struct reason *why) ERR_MUST_USE;
/* Names to the transport who is configured or seen. */
void peers_refresh(struct store *s);
struct peer *peers_find(struct store *s, uint64_t id);
/* Lost if it cannot go out now. */
void peers_send(struct store *s,
                uint64_t to,
                enum transport_channel channel,
                const struct rpc_message *m);
/* As the leader: tells the followers that more is committed, unless entries just have. */
void peers_tell_commit(struct store *s);
/* An RPC_APPEND from the engine: with its entries, in pieces. */
void peers_send_append(struct store *s, uint64_t to, const struct rpc_append *m);

#endif
