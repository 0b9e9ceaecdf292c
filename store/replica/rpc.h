/* What servers say to each other, as values and as bytes. Pure: no socket, no clock.
 *
 * Format   type (1 byte), then the fields in the order of the structs, little-endian; byte strings
 *          have a length of 4 bytes in front. The transport frames and checks them.
 * Promise  rpc_decode(rpc_encode(m)) == m; any other bytes are ERR_INVALID and never a crash:
 * whoever speaks to this port may be broken or hostile. Counts and lengths are checked against what
 *          is there before anything is allocated.
 * Owner    a decoded message borrows its strings from the bytes, and its arrays from the
 *          `struct rpc_room`, until the next decode with it.
 * Limits   RPC_MESSAGE_MAX, RPC_ENTRIES_MAX.
 * Threads  any; a room belongs to one.
 */
#ifndef STORE_REPLICA_RPC_H
#define STORE_REPLICA_RPC_H

#include "core/base/buf.h"
#include "store/replica/journal.h"

enum rpc_type {
    /* Raft's own (Ongaro's thesis, chapters 3, 4 and 9.6) */
    RPC_VOTE = 1,
    RPC_VOTE_REPLY = 2,
    RPC_APPEND = 3,
    RPC_APPEND_REPLY = 4,
    RPC_INSTALL = 5,
    RPC_TIMEOUT_NOW = 6,
    /* Reads: one fresh round confirms that the sender still leads (thesis, section 6.4). */
    RPC_ROUND = 7,
    RPC_ROUND_REPLY = 8,
    RPC_READ = 9, /* follower to leader: up to where must I be? */
    RPC_READ_REPLY = 10,
    /* Writes that came to a follower. */
    RPC_FORWARD = 11,
    RPC_FORWARD_REPLY = 12, /* only when refused: success shows in the log */
    /* A snapshot of the state, piece by piece, asked for by who needs it. */
    RPC_FETCH = 13,
    RPC_CHUNK = 14,
    /* An order to the leader to change the set of servers, or to hand over. */
    RPC_CHANGE = 15,
    RPC_CHANGE_REPLY = 16,
    /* The first configuration: all that will be part of it promise, then it is written. */
    RPC_BOOTSTRAP = 17,
    RPC_BOOTSTRAP_REPLY = 18,
    /* An AppendEntries without entries that nobody answers: more is committed. The library tells
     * that only with the next entries or heartbeat. */
    RPC_COMMIT = 19,
};

struct rpc_vote {
    uint64_t term;
    uint64_t last_index;
    uint64_t last_term;
    bool disrupt; /* on a transfer of leadership: also while there is a leader */
    bool pre_vote;
};

struct rpc_vote_reply {
    uint64_t term;
    bool granted;
    bool pre_vote;
};

struct rpc_append {
    uint64_t term;
    uint64_t prev_index;
    uint64_t prev_term;
    uint64_t commit;
    struct journal_entry *entries;
    uint32_t count;
};

struct rpc_append_reply {
    uint64_t term;
    uint64_t rejected; /* 0: none was */
    uint64_t last_index;
};

struct rpc_install {
    uint64_t term;
    uint64_t index;
    uint64_t index_term;
    uint64_t configuration_index;
    struct bytes configuration;
};

struct rpc_timeout_now {
    uint64_t term;
    uint64_t last_index;
    uint64_t last_term;
};

/* RPC_ROUND and its reply. */
struct rpc_round {
    uint64_t term;
    uint64_t round; /* never used twice in a term */
};

struct rpc_read {
    uint64_t id;     /* the asker's */
    bool consistent; /* with a round; else the leader's word is enough */
};

struct rpc_read_reply {
    uint64_t id;
    uint32_t status; /* enum err */
    uint64_t index;  /* if OK: whoever has applied it may answer */
    uint64_t term;   /* in which the one who answers leads */
};

struct rpc_forward {
    struct journal_entry *commands; /* term 0; stamped with proposer and number (command.h) */
    uint32_t count;
};

struct rpc_forward_reply {
    uint64_t proposer;
    uint64_t number; /* from this one on */
    uint32_t status; /* ERR_NOT_LEADER, ERR_BUSY, ERR_NO_SPACE */
};

struct rpc_fetch {
    uint64_t token; /* 0: a new snapshot, please */
    uint64_t number;
};

struct rpc_chunk {
    uint64_t token;
    uint64_t number;
    uint32_t status; /* ERR_NOT_FOUND: that token is no more, begin anew; ERR_BUSY: later */
    bool last;
    /* What the snapshot is; the same in each chunk. */
    uint64_t index;
    uint64_t index_term;
    uint64_t configuration_index;
    struct bytes configuration;
    struct bytes data;
};

struct rpc_change {
    uint64_t id;   /* the asker's */
    uint32_t kind; /* enum store_change */
    uint64_t server;
    struct bytes node_id;
    struct bytes address;
};

struct rpc_change_reply {
    uint64_t id;
    uint32_t status;
};

struct rpc_bootstrap {
    uint64_t cluster; /* drawn by the one that asks */
    bool commit;      /* false: promise; true: write it */
    struct bytes configuration;
};

struct rpc_bootstrap_reply {
    uint64_t cluster;
    uint32_t status; /* OK: promised or written; ERR_IN_USE: promised to another; ERR_CONFLICT: this
                        server has a log already */
};

struct rpc_commit {
    uint64_t term;
    uint64_t index; /* the receiver's log is ours up to here */
    uint64_t index_term;
    uint64_t commit;
};

struct rpc_message {
    enum rpc_type type;
    union {
        struct rpc_vote vote;
        struct rpc_vote_reply vote_reply;
        struct rpc_append append;
        struct rpc_append_reply append_reply;
        struct rpc_install install;
        struct rpc_timeout_now timeout_now;
        struct rpc_round round; /* also RPC_ROUND_REPLY */
        struct rpc_read read;
        struct rpc_read_reply read_reply;
        struct rpc_forward forward;
        struct rpc_forward_reply forward_reply;
        struct rpc_fetch fetch;
        struct rpc_chunk chunk;
        struct rpc_change change;
        struct rpc_change_reply change_reply;
        struct rpc_bootstrap bootstrap;
        struct rpc_bootstrap_reply bootstrap_reply;
        struct rpc_commit commit;
    };
};

/* Room for the arrays of decoded messages. Zero-initialise. */
struct rpc_room {
    struct journal_entry *entries;
    size_t cap;
};

void rpc_room_close(struct rpc_room *room);

/* Appends; ERR_TOO_BIG leaves `out` unchanged. What rpc_decode() would refuse for its values (a
 * request in term 0, an entry without a term, a forwarded one that is no command, an unknown type,
 * kind or status, a NUL in a name) is the caller's bug. */
enum err rpc_encode(struct buf *out, const struct rpc_message *m) ERR_MUST_USE;
enum err
rpc_decode(struct bytes data, struct rpc_room *room, struct rpc_message *ret_message) ERR_MUST_USE;

#endif
