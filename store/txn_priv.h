/* Transactions from the inside (txn.h): applying them, and what their files share.
 *
 * Threads  txn_apply() the hub's; the rest that of whoever reads.
 */
#ifndef STORE_TXN_PRIV_H
#define STORE_TXN_PRIV_H

#include "store/apply.h"
#include "store/txn.h"

/* One transaction under way: inside a command, or on a view. */
struct txn {
    struct apply *apply; /* NULL: it only reads `view` */
    struct view *view;
    uint32_t op; /* the how manyeth is at work */
    struct buf results;
    struct buf errors;
    struct buf row; /* an encoded row at hand */
};

/* OK; ERR_CONFLICT with errors in `detail`: nothing happened; ERR_INVALID. */
enum err txn_apply(struct apply *a, const struct command_txn *cmd) ERR_MUST_USE;

/* This operation cannot be: told, and the transaction is off. */
void txn_fail(struct txn *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A result; too much of them is an error like any other. */
void txn_give_kv(struct txn *t, const struct kv_row *row, bool value);
void txn_give_row(struct txn *t, enum txn_kind kind, struct bytes row);

/* txn_fleet.c: operations on nodes, services, checks, sessions. */
enum err txn_fleet(struct txn *t, const struct txn_op *op) ERR_MUST_USE;

/* txn_op.c */
enum err txn_result_kv(struct buf *detail, const struct kv_row *row, bool value) ERR_MUST_USE;
enum err txn_result_row(struct buf *detail, enum txn_kind kind, struct bytes row) ERR_MUST_USE;
enum err txn_error(struct buf *errors, uint32_t op, struct bytes what) ERR_MUST_USE;

#endif
