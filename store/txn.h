/* Transactions: several operations in one command, all or none (contracts/consul.md, section 5).
 *
 * Format   an operation is: u8 version, u8 kind, u8 verb, u64 index, u64 flags, bytes key, bytes
 *          id, bytes value; little-endian. txn_op_decode(txn_op_encode(op)) == op, and any other
 *          bytes are ERR_INVALID, never a crash.
 * Answer   the proposal's detail (store.h): with OK the results, with ERR_CONFLICT the errors, both
 *          as texts (row.h) that txn_result_next() and txn_error_next() take apart.
 * Order    an operation sees what those before it did; they share one index, and their changes
 *          are numbered in their order.
 * Limits   TXN_OPS_MAX, COMMAND_MAX; what is read fits TXN_RESULT_MAX, else the transaction fails.
 * Threads  the hub's for txn_apply(); any for the rest.
 */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "store/command.h"
#include "store/row.h"
#include "store/view.h"

enum txn_kind {
    TXN_KV = 1,
    TXN_NODE = 2,
    TXN_SERVICE = 3,
    TXN_CHECK = 4,
    TXN_SESSION = 5,
};

/* All kinds know SET, CAS, GET, DELETE and DELETE_CAS, but for TXN_SESSION: only DELETE. */
enum txn_verb {
    TXN_UNKNOWN = 0, /* `value` is the word: an error of this operation, no more */
    TXN_SET = 1,
    TXN_CAS = 2,
    TXN_GET = 3,
    TXN_DELETE = 4,
    TXN_DELETE_CAS = 5,
    TXN_LOCK = 6,
    TXN_UNLOCK = 7,
    TXN_GET_OR_EMPTY = 8,
    TXN_GET_TREE = 9,
    TXN_DELETE_TREE = 10,
    TXN_CHECK_INDEX = 11,
    TXN_CHECK_SESSION = 12,
    TXN_CHECK_NOT_EXISTS = 13,
};

struct txn_op {
    enum txn_kind kind;
    enum txn_verb verb;
    uint64_t index;     /* of CAS, DELETE_CAS, CHECK_INDEX */
    uint64_t flags;     /* TXN_KV */
    struct bytes key;   /* a key or a prefix; a node's name */
    struct bytes id;    /* a session's, a node's, a service's, a check's */
    struct bytes value; /* of SET, CAS, LOCK, UNLOCK: a key's value, or an encoded row */
};

/* Appends; ERR_TOO_BIG, or ERR_INVALID for an operation that cannot be. */
enum err txn_op_encode(struct buf *out, const struct txn_op *op) ERR_MUST_USE;
enum err txn_op_decode(struct bytes data, struct txn_op *ret_op) ERR_MUST_USE;
/* The word of the API for it: "check-index". */
const char *txn_verb_name(enum txn_verb verb);
/* TXN_UNKNOWN for a word that this kind does not know. */
enum txn_verb txn_verb_parse(enum txn_kind kind, struct bytes word);
/* Whether the operation may change something. */
bool txn_verb_writes(enum txn_kind kind, enum txn_verb verb);

/* One row that a transaction brings back; of a key that was only written, without its value. */
struct txn_result {
    enum txn_kind kind;
    struct kv_row kv;
    struct bytes row; /* an encoded row, of the other kinds */
};

/* Takes the first off; false behind the last. Only for what txn_apply() or txn_read() wrote. */
bool txn_result_next(struct bytes *detail, struct txn_result *ret_result);
bool txn_error_next(struct bytes *detail, uint32_t *ret_op, struct bytes *ret_what);

/* The same for a transaction that only reads, outside the log: ERR_CONFLICT with errors in
 * `detail` (cleared first), or OK with results; ERR_INVALID for bytes that are no operations;
 * errors of reading the disk. */
enum err txn_read(struct view *v, struct bytes ops, struct buf *detail) ERR_MUST_USE;

#endif
