/* Transactions: the operations on keys, and all or none. */
#include "core/base/limit.h"
#include "store/kv_priv.h"
#include "store/txn_priv.h"

#include <stdio.h>

/* Past this many bytes of errors the others are not told. */
#define TXN_ERRORS_MAX MIB(1)
#define TXN_WHAT_MAX   (2 * KV_KEY_MAX + 256)

void txn_fail(struct txn *t, const char *format, ...)
{
    char what[TXN_WHAT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(what, sizeof what, format, args);
    va_end(args);
    size_t told = len < 0 ? 0 : (size_t)len < sizeof what ? (size_t)len : sizeof what - 1;
    /* The first always has room; of the others as many as have. */
    (void)(txn_error(&t->errors, t->op, (struct bytes){what, told}) == OK);
}

static void txn_given(struct txn *t, enum err e)
{
    if (e != OK) {
        txn_fail(t, "the transaction reads more than %zu bytes", (size_t)TXN_RESULT_MAX);
    }
}

void txn_give_kv(struct txn *t, const struct kv_row *row, bool value)
{
    txn_given(t, txn_result_kv(&t->results, row, value));
}

void txn_give_row(struct txn *t, enum txn_kind kind, struct bytes row)
{
    txn_given(t, txn_result_row(&t->results, kind, row));
}

/* --- reading --------------------------------------------------------------------------------- */

/* A row under work, dead if there is none; in a view until the pin is closed. */
static enum err
txn_kv_read(struct txn *t, struct bytes key, struct view_pin *pin, struct kv_row *ret_row)
{
    if (t->apply != NULL) {
        return kv_read(t->apply, key, ret_row);
    }
    enum err e = view_kv_get(t->view, key, pin, ret_row);
    if (e == ERR_NOT_FOUND) {
        *ret_row = (struct kv_row){.key = key, .dead = true};
        e = OK;
    }
    return e;
}

static void txn_kv_show(struct txn *t, const struct txn_op *op, const struct kv_row *row)
{
    if (row->dead && op->verb == TXN_GET_OR_EMPTY) {
        txn_give_kv(t, &(struct kv_row){.key = op->key}, true);
    } else if (op->verb == TXN_CHECK_NOT_EXISTS) {
        if (!row->dead) {
            txn_fail(t, "key \"%.*s\" exists", BYTES_FORMAT(op->key));
        }
    } else if (row->dead) {
        txn_fail(t, "key \"%.*s\" doesn't exist", BYTES_FORMAT(op->key));
    } else if (op->verb == TXN_CHECK_INDEX && row->modify_index != op->index) {
        txn_fail(t, "failed index check for key \"%.*s\", current modify index %llu != %llu",
                 BYTES_FORMAT(op->key), (unsigned long long)row->modify_index,
                 (unsigned long long)op->index);
    } else if (op->verb == TXN_CHECK_SESSION && !bytes_equal_nocase(row->session, op->id)) {
        txn_fail(t, "failed session check for key \"%.*s\", current session \"%.*s\" != \"%.*s\"",
                 BYTES_FORMAT(op->key), BYTES_FORMAT(row->session), BYTES_FORMAT(op->id));
    } else {
        txn_give_kv(t, row, op->verb == TXN_GET || op->verb == TXN_GET_OR_EMPTY);
    }
}

static void txn_tree_row(struct apply *a, const struct kv_row *row, void *ctx)
{
    (void)a;
    struct txn *t = ctx;
    if (t->errors.len == 0) {
        txn_give_kv(t, row, true);
    }
}

static enum err txn_kv_tree(struct txn *t, struct bytes prefix)
{
    if (t->apply != NULL) {
        return kv_each_live(t->apply, prefix, txn_tree_row, t);
    }
    struct kv_row row;
    struct kv_scan *scan = kv_scan_open(t->view, prefix);
    enum err e = OK;
    while ((e = kv_scan_next(scan, &row)) == OK) {
        if (!row.dead) {
            txn_tree_row(NULL, &row, t);
        }
    }
    kv_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err txn_kv_get(struct txn *t, const struct txn_op *op)
{
    struct view_pin pin = {0};
    struct kv_row row;
    enum err e = txn_kv_read(t, op->key, &pin, &row);
    if (e == OK) {
        txn_kv_show(t, op, &row);
    }
    view_pin_close(&pin);
    return e;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Behind a write that was done: the row, without its value. */
static enum err txn_kv_wrote(struct txn *t, const struct txn_op *op)
{
    struct kv_row row;
    enum err e = kv_read(t->apply, op->key, &row);
    if (e == OK) {
        txn_give_kv(t, &row, false);
    }
    return e;
}

static void txn_kv_refused(struct txn *t, const struct txn_op *op)
{
    struct bytes why = buf_view(&t->apply->detail);
    if (op->verb == TXN_LOCK && bytes_equal(why, BYTES(KV_LOCK_DELAYED))) {
        txn_fail(t, "failed to lock key \"%.*s\" due to lock delay", BYTES_FORMAT(op->key));
    } else if (op->verb == TXN_LOCK && why.len > 0) {
        txn_fail(t, "%.*s", BYTES_FORMAT(why));
    } else if (op->verb == TXN_LOCK) {
        txn_fail(t, "failed to lock key \"%.*s\", lock is already held", BYTES_FORMAT(op->key));
    } else if (op->verb == TXN_UNLOCK) {
        txn_fail(t, "failed to unlock key \"%.*s\", lock isn't held, or is held by another session",
                 BYTES_FORMAT(op->key));
    } else {
        txn_fail(t, "failed to %s key \"%.*s\", index is stale",
                 op->verb == TXN_DELETE_CAS ? "delete" : "set", BYTES_FORMAT(op->key));
    }
}

static enum err txn_kv_lock(struct txn *t, const struct txn_op *op)
{
    const struct command_kv_lock lock = {
        .key = op->key,
        .value = op->value,
        .flags = op->flags,
        .session = op->id,
        .acquire = op->verb == TXN_LOCK,
    };
    if (op->id.len == 0) {
        txn_fail(t, "missing session");
        return OK;
    }
    return kv_lock(t->apply, &lock);
}

static enum err txn_kv_write(struct txn *t, const struct txn_op *op)
{
    struct apply *a = t->apply;
    const struct command_kv_set set = {
        .key = op->key,
        .value = op->value,
        .flags = op->flags,
        .check = op->verb == TXN_CAS,
        .index = op->verb == TXN_CAS ? op->index : 0,
    };
    const struct command_kv_delete del = {
        .key = op->key,
        .check = op->verb == TXN_DELETE_CAS,
        .index = op->verb == TXN_DELETE_CAS ? op->index : 0,
    };
    size_t errors = t->errors.len;
    bool shown = true;
    enum err e = OK;
    if (op->verb == TXN_SET || op->verb == TXN_CAS) {
        e = kv_set(a, &set);
    } else if (op->verb == TXN_LOCK || op->verb == TXN_UNLOCK) {
        e = txn_kv_lock(t, op);
    } else if (op->verb == TXN_DELETE_TREE) {
        shown = false;
        e = kv_delete_prefix(a, &(struct command_kv_delete_prefix){.prefix = op->key});
    } else {
        shown = false;
        e = kv_delete(a, &del);
    }
    if (e == OK && a->status != OK) {
        txn_kv_refused(t, op);
    } else if (e == OK && shown && t->errors.len == errors) {
        e = txn_kv_wrote(t, op);
    }
    return e;
}

static enum err txn_kv(struct txn *t, const struct txn_op *op)
{
    if (op->verb == TXN_UNKNOWN) {
        txn_fail(t, "unknown KV verb \"%.*s\"", BYTES_FORMAT(op->value));
        return OK;
    }
    if (op->verb == TXN_GET_TREE) {
        return txn_kv_tree(t, op->key);
    }
    if (!txn_verb_writes(TXN_KV, op->verb)) {
        return txn_kv_get(t, op);
    }
    return t->apply != NULL ? txn_kv_write(t, op) : ERR_INVALID;
}

/* --- all or none ----------------------------------------------------------------------------- */

static bool txn_valid(struct bytes ops)
{
    struct bytes data;
    struct txn_op op;
    if (!texts_valid(ops) || texts_count(ops) > TXN_OPS_MAX) {
        return false;
    }
    while (texts_next(&ops, &data)) {
        if (txn_op_decode(data, &op) != OK) {
            return false;
        }
    }
    return true;
}

static enum err txn_run(struct txn *t, struct bytes ops)
{
    struct bytes data;
    struct txn_op op;
    enum err e = OK;
    for (t->op = 0; e == OK && texts_next(&ops, &data); t->op++) {
        e = txn_op_decode(data, &op);
        if (e == OK) {
            e = op.kind == TXN_KV ? txn_kv(t, &op) : txn_fleet(t, &op);
        }
        if (t->apply != NULL) {
            /* What an operation was refused for is told already. */
            t->apply->status = OK;
            buf_clear(&t->apply->detail);
        }
    }
    return e;
}

static void txn_open(struct txn *t)
{
    buf_init(&t->results, TXN_RESULT_MAX);
    buf_init(&t->errors, TXN_ERRORS_MAX);
    buf_init(&t->row, COMMAND_MAX);
}

static void txn_close(struct txn *t)
{
    buf_close(&t->results);
    buf_close(&t->errors);
    buf_close(&t->row);
}

enum err txn_apply(struct apply *a, const struct command_txn *cmd)
{
    struct txn t = {.apply = a};
    if (!txn_valid(cmd->ops)) {
        a->status = ERR_INVALID;
        return OK;
    }
    txn_open(&t);
    enum err e = txn_run(&t, cmd->ops);
    if (e == OK && t.errors.len > 0) {
        apply_undo(a);
        a->status = ERR_CONFLICT;
        buf_put(&a->detail, buf_view(&t.errors));
    } else if (e == OK) {
        buf_put(&a->detail, buf_view(&t.results));
    }
    txn_close(&t);
    return e;
}

enum err txn_read(struct view *v, struct bytes ops, struct buf *detail)
{
    struct txn t = {.view = v};
    buf_clear(detail);
    if (!txn_valid(ops)) {
        return ERR_INVALID;
    }
    txn_open(&t);
    enum err e = txn_run(&t, ops);
    if (e == OK) {
        bool failed = t.errors.len > 0;
        e = buf_append(detail, buf_view(failed ? &t.errors : &t.results));
        e = e == OK && failed ? ERR_CONFLICT : e;
    }
    txn_close(&t);
    return e;
}
