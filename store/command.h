/* Commands: what may be written to the replicated state, as values and as bytes.
 *
 * One command is one log entry, so one Raft index: no two writes share a ModifyIndex.
 *
 * Format   little-endian, version first; command_decode(command_encode(c)) == c, and any other
 *          bytes are ERR_INVALID, never a crash: a log entry may come from anywhere.
 * Time     `time_ms` is stamped by whoever proposes; apply never reads a clock.
 * Owner    a decoded command borrows its keys and values from the bytes it was decoded from.
 * Limits   KV_KEY_MAX, KV_VALUE_MAX, COMMAND_MAX (core/base/limit.h): ERR_TOO_BIG.
 * Threads  any.
 */
#ifndef STORE_COMMAND_H
#define STORE_COMMAND_H

#include "core/base/buf.h"

enum command_type {
#define X(name, number, text) name = (number),
#include "store/command.tbl.h"
#undef X
};

/* COMMAND_KV_SET; `key` is 1..KV_KEY_MAX bytes, any bytes. */
struct command_kv_set {
    struct bytes key;
    struct bytes value;
    uint64_t flags;
    bool check;     /* only if the key's ModifyIndex is `index`; 0: only if there is no such key */
    uint64_t index; /* 0 unless `check` */
};

/* COMMAND_KV_DELETE */
struct command_kv_delete {
    struct bytes key;
    bool check; /* only if the key's ModifyIndex is `index`; 0 never holds for a key that exists */
    uint64_t index;
};

/* COMMAND_KV_DELETE_PREFIX; the empty prefix means all keys. */
struct command_kv_delete_prefix {
    struct bytes prefix;
};

/* COMMAND_KV_LOCK; `session` is a session's id. */
struct command_kv_lock {
    struct bytes key;
    struct bytes value;
    struct bytes session;
    uint64_t flags;
    bool acquire; /* else release */
};

/* COMMAND_KV_SET_TTL: the set, and how long after its last write the key is deleted. */
struct command_kv_set_ttl {
    struct command_kv_set set;
    uint64_t ttl_ms;
};

/* COMMAND_REGISTER; encoded rows (row.h) whose indexes are 0. */
struct command_register {
    struct bytes node;
    struct bytes service; /* empty: none */
    struct bytes checks;  /* texts */
    bool skip_node;       /* a node that is there stays as it is */
};

/* COMMAND_DEREGISTER: the service or the check; neither: the node with all that it has. */
struct command_deregister {
    struct bytes node;
    struct bytes service_id;
    struct bytes check_id;
};

/* COMMAND_SESSION_CREATE: `row` is an encoded one; DESTROY and RENEW: `id`. */
struct command_session {
    struct bytes row;
    struct bytes id;
};

/* COMMAND_EXPIRE: only if `set_index` still is what set or renewed it last (store/fleet.h). */
struct command_expire {
    uint8_t kind; /* enum expiry_kind */
    struct bytes name;
    uint64_t set_index;
};

/* COMMAND_TXN: `ops` are texts, each an encoded operation (store/txn.h). */
struct command_txn {
    struct bytes ops;
};

/* COMMAND_EVENT: `rows` is one encoded event; COMMAND_COORDINATES: texts, each an encoded
 * coordinate. */
struct command_rows {
    struct bytes rows;
};

/* COMMAND_ACL_SET: `row` is an encoded one (acl_rows.h) that is not there yet (`create`) or is; of
 * COMMAND_ACL_DELETE `id`; of COMMAND_ACL_BOOTSTRAP the row of a token, and `index` of the last
 * time. */
struct command_acl {
    uint8_t kind; /* enum acl_kind */
    bool create;
    struct bytes row;
    struct bytes id;
    uint64_t index;
};

/* COMMAND_TOMBSTONE_REAP: deletions at or below `through` are forgotten. */
struct command_tombstone_reap {
    uint64_t through;
};

/* COMMAND_RESTORE_BEGIN and the three behind it; store/restore.h says how they follow each other.
 */
struct command_restore {
    uint64_t id;       /* of this restore; any but 0 */
    uint64_t number;   /* CHUNK: from 1; COMMIT: of chunks there were; else 0 */
    struct bytes rows; /* CHUNK only, 1..RESTORE_CHUNK_MAX bytes */
};

/* What autopilot may do and when; the names are Consul's. */
struct autopilot {
    bool cleanup_dead_servers;          /* removes a dead server once another is there for it */
    uint64_t last_contact_threshold_ms; /* healthy: it has answered within this time, */
    uint64_t max_trailing_logs;         /* its log is at most so many entries behind, */
    uint64_t server_stabilization_ms;   /* and so for this long: then it may vote */
    uint64_t min_quorum;                /* cleaning up leaves at least so many voters */
    /* Of the row; 0 in a command. */
    uint64_t create_index;
    uint64_t modify_index;
};

/* COMMAND_AUTOPILOT_SET */
struct command_autopilot_set {
    struct autopilot autopilot;
    bool check; /* only if the row's ModifyIndex is `index`; 0: only if there is none */
    uint64_t index;
};

struct command {
    enum command_type type;
    uint64_t time_ms; /* Unix time at the proposer */
    /* Who sends it, and the how manyeth this is: a command that comes twice is applied once
     * (once.h). 0 and 0: it cannot come twice. */
    uint64_t proposer;
    uint64_t number;
    union {
        struct command_kv_set kv_set;
        struct command_kv_delete kv_delete;
        struct command_kv_delete_prefix kv_delete_prefix;
        struct command_tombstone_reap tombstone_reap;
        struct command_restore restore;
        struct command_autopilot_set autopilot_set;
        struct command_kv_lock kv_lock;
        struct command_kv_set_ttl kv_set_ttl;
        struct command_register registration;
        struct command_deregister deregistration;
        struct command_session session;
        struct command_expire expire;
        struct command_txn txn;
        struct command_rows rows;
        struct command_acl acl;
    };
};

const char *command_name(enum command_type type);
/* Appends; ERR_TOO_BIG or ERR_INVALID (an empty key) leave `out` unchanged. */
enum err command_encode(struct buf *out, const struct command *c) ERR_MUST_USE;
/* Sets proposer and number of an encoded command, in place. */
void command_stamp(char *encoded, size_t len, uint64_t proposer, uint64_t number);
enum err command_decode(struct bytes data, struct command *ret_command) ERR_MUST_USE;

#endif
