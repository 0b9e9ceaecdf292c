/* Changes: what happened, in the one order there is. Every committed command that changed
 * something yields one or more changes; all those of one command share its Raft index and are
 * numbered by `n` from 0.
 *
 * Owner    a `struct change` borrows; a `struct change_batch` is immutable and counted, and its
 *          changes live as long as it does.
 * Order    (index, n) strictly rises inside a batch and from batch to batch; batches cover
 *          (after, through] without a hole, whether or not an index changed anything, except where
 *          one says `replaced`.
 * Threads  any, for ref, unref and reading.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "core/base/buf.h"

#include <stdatomic.h>

struct view;

enum change_topic {
    CHANGE_KV = 1,
    CHANGE_SERVICE = 2, /* key: the service's name; value: an instance_row (row.h), always */
    CHANGE_NODE = 3,    /* key: the node's name; value: a node_row, of SET */
    CHANGE_CHECK = 4,   /* key: node/check id; value: a check_row, of SET */
    CHANGE_SESSION = 5, /* key: the session's id; value: a session_row, of SET and of DELETE */
    CHANGE_EVENT = 6,   /* key: the event's name; value: an event_row; only ever SET */
    CHANGE_TOPICS = 7,
};

enum change_op {
    CHANGE_SET = 1,
    CHANGE_DELETE = 2,
    /* CHANGE_KV only: every key that began with `key` (a prefix) was deleted, at least one; one
     * change stands for all of them. */
    CHANGE_DELETE_PREFIX = 3,
};

struct change {
    uint64_t index;
    uint32_t n;
    enum change_topic topic;
    enum change_op op;
    struct bytes key;
    struct bytes value; /* of CHANGE_KV with CHANGE_SET only; so are the four below */
    uint64_t flags;
    uint64_t create_index; /* `index` itself when the key is new */
    uint64_t lock_index;
    struct bytes session; /* empty when not locked */
    uint64_t time_ms;     /* the command's */
};

/* Format in the history: little-endian, version first; decode borrows from `data`.
 * `index` and `n` are not part of it (they are the record's key): decode leaves them 0.
 * ERR_CORRUPT. */
enum err change_encode(struct buf *out, const struct change *c) ERR_MUST_USE;
enum err change_decode(struct bytes data, struct change *ret_change) ERR_MUST_USE;

/* What one round of applying did. Empty, with `after` == `through`, when nothing was applied and
 * only what is kept became less: the view is new all the same. */
struct change_batch {
    /* read-only */
    uint64_t after;    /* the applied index before */
    uint64_t through;  /* the applied index behind */
    struct view *view; /* the state at `through` */
    /* The state was replaced (a snapshot came, a backup was restored) and what changed is not
     * known: `through` may even be below `after` when the epoch changed. No changes. */
    bool replaced;
    size_t count;
    const struct change *changes;
    /* Names of indexes that moved (store/fleet.h): texts (row.h), each at least once. */
    struct bytes moved;
    /* private */
    atomic_uint refs;
    struct buf memory;
};

struct change_batch *change_batch_ref(struct change_batch *b);
void change_batch_unref(struct change_batch *b);

#endif
