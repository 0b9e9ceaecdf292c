/* The bytes of a transaction: operations in, results and errors out. */
#include "core/base/limit.h"
#include "store/pack.h"
#include "store/txn_priv.h"

#define TXN_OP_VERSION 1
#define TXN_OP_FRAME   32U

struct txn_word {
    enum txn_verb verb;
    const char *word;
    bool writes;
};

static const struct txn_word TXN_WORDS[] = {
    {TXN_SET, "set", true},
    {TXN_CAS, "cas", true},
    {TXN_GET, "get", false},
    {TXN_DELETE, "delete", true},
    {TXN_DELETE_CAS, "delete-cas", true},
    {TXN_LOCK, "lock", true},
    {TXN_UNLOCK, "unlock", true},
    {TXN_GET_OR_EMPTY, "get-or-empty", false},
    {TXN_GET_TREE, "get-tree", false},
    {TXN_DELETE_TREE, "delete-tree", true},
    {TXN_CHECK_INDEX, "check-index", false},
    {TXN_CHECK_SESSION, "check-session", false},
    {TXN_CHECK_NOT_EXISTS, "check-not-exists", false},
};

static const struct txn_word *txn_word(enum txn_verb verb)
{
    for (size_t i = 0; i < sizeof TXN_WORDS / sizeof TXN_WORDS[0]; i++) {
        if (TXN_WORDS[i].verb == verb) {
            return &TXN_WORDS[i];
        }
    }
    return NULL;
}

const char *txn_verb_name(enum txn_verb verb)
{
    const struct txn_word *w = txn_word(verb);
    return w != NULL ? w->word : "unknown";
}

static bool txn_knows(enum txn_kind kind, enum txn_verb verb)
{
    switch (kind) {
    case TXN_KV:
        return true;
    case TXN_NODE:
    case TXN_SERVICE:
    case TXN_CHECK:
        return verb <= TXN_DELETE_CAS;
    case TXN_SESSION:
        return verb == TXN_DELETE || verb == TXN_UNKNOWN;
    }
    return false;
}

enum txn_verb txn_verb_parse(enum txn_kind kind, struct bytes word)
{
    for (size_t i = 0; i < sizeof TXN_WORDS / sizeof TXN_WORDS[0]; i++) {
        if (bytes_equal(word, bytes_of(TXN_WORDS[i].word)) && txn_knows(kind, TXN_WORDS[i].verb)) {
            return TXN_WORDS[i].verb;
        }
    }
    return TXN_UNKNOWN;
}

bool txn_verb_writes(enum txn_kind kind, enum txn_verb verb)
{
    const struct txn_word *w = txn_word(verb);
    return w != NULL && txn_knows(kind, verb) && w->writes;
}

/* --- operations ------------------------------------------------------------------------------ */

static bool txn_row_is(enum txn_kind kind, struct bytes row)
{
    switch (kind) {
    case TXN_NODE:
        return row_node_decode(row, &(struct node_row){0}) == OK;
    case TXN_SERVICE:
        return row_service_decode(row, &(struct service_row){0}) == OK;
    case TXN_CHECK:
        return row_check_decode(row, &(struct check_row){0}) == OK;
    case TXN_KV:
    case TXN_SESSION:
        break;
    }
    return false;
}

static enum err txn_op_check_kv(const struct txn_op *op)
{
    if (op->key.len > KV_KEY_MAX || op->value.len > KV_VALUE_MAX || op->id.len > SESSION_ID_MAX) {
        return ERR_TOO_BIG;
    }
    bool tree = op->verb == TXN_GET_TREE || op->verb == TXN_DELETE_TREE;
    return op->key.len == 0 && !tree && op->verb != TXN_UNKNOWN ? ERR_INVALID : OK;
}

/* The one place that says what an operation may hold; both directions go through it. */
static enum err txn_op_check(const struct txn_op *op)
{
    if (!txn_knows(op->kind, op->verb) || (op->verb != TXN_UNKNOWN && txn_word(op->verb) == NULL)) {
        return ERR_INVALID;
    }
    if (op->kind == TXN_KV) {
        return txn_op_check_kv(op);
    }
    if (op->key.len > ROW_NAME_MAX || op->id.len > ROW_NAME_MAX || op->value.len > COMMAND_MAX) {
        return ERR_TOO_BIG;
    }
    if (op->kind == TXN_SESSION) {
        return op->id.len > 0 && op->id.len <= SESSION_ID_MAX && op->key.len == 0 ? OK
               : op->verb == TXN_UNKNOWN                                          ? OK
                                                                                  : ERR_INVALID;
    }
    if (op->verb == TXN_SET || op->verb == TXN_CAS) {
        return txn_row_is(op->kind, op->value) ? OK : ERR_INVALID;
    }
    return OK;
}

enum err txn_op_encode(struct buf *out, const struct txn_op *op)
{
    enum err e = txn_op_check(op);
    if (e == OK) {
        e = buf_reserve(out, TXN_OP_FRAME + op->key.len + op->id.len + op->value.len);
    }
    if (e != OK) {
        return e;
    }
    pack_u8(out, TXN_OP_VERSION);
    pack_u8(out, (uint8_t)op->kind);
    pack_u8(out, (uint8_t)op->verb);
    pack_u64(out, op->index);
    pack_u64(out, op->flags);
    pack_bytes(out, op->key);
    pack_bytes(out, op->id);
    pack_bytes(out, op->value);
    return OK;
}

enum err txn_op_decode(struct bytes data, struct txn_op *ret_op)
{
    struct unpack in = {.rest = data};
    uint8_t version = unpack_u8(&in);
    struct txn_op op = {0};
    op.kind = (enum txn_kind)unpack_u8(&in);
    op.verb = (enum txn_verb)unpack_u8(&in);
    op.index = unpack_u64(&in);
    op.flags = unpack_u64(&in);
    op.key = unpack_bytes(&in, COMMAND_MAX);
    op.id = unpack_bytes(&in, COMMAND_MAX);
    op.value = unpack_bytes(&in, COMMAND_MAX);
    if (!unpack_done(&in) || version != TXN_OP_VERSION || txn_op_check(&op) != OK) {
        return ERR_INVALID;
    }
    *ret_op = op;
    return OK;
}

/* --- results --------------------------------------------------------------------------------- */

/* u32 length of the rest, u8 kind; of a key: u64 flags, lock, create and modify index, bytes key,
 * bytes session, bytes value; else the encoded row. */
#define TXN_RESULT_FRAME 64U

enum err txn_result_kv(struct buf *detail, const struct kv_row *row, bool value)
{
    struct bytes shown = value ? row->value : (struct bytes){0};
    size_t len = 1 + 4 * 8 + 3 * 4 + row->key.len + row->session.len + shown.len;
    enum err e = buf_reserve(detail, TXN_RESULT_FRAME + len);
    if (e != OK) {
        return e;
    }
    pack_u32(detail, (uint32_t)len);
    pack_u8(detail, TXN_KV);
    pack_u64(detail, row->flags);
    pack_u64(detail, row->lock_index);
    pack_u64(detail, row->create_index);
    pack_u64(detail, row->modify_index);
    pack_bytes(detail, row->key);
    pack_bytes(detail, row->session);
    pack_bytes(detail, shown);
    return OK;
}

enum err txn_result_row(struct buf *detail, enum txn_kind kind, struct bytes row)
{
    enum err e = buf_reserve(detail, TXN_RESULT_FRAME + row.len);
    if (e == OK) {
        pack_u32(detail, (uint32_t)(1 + row.len));
        pack_u8(detail, (uint8_t)kind);
        buf_put(detail, row);
    }
    return e;
}

bool txn_result_next(struct bytes *detail, struct txn_result *ret_result)
{
    struct bytes data;
    if (!texts_next(detail, &data)) {
        return false;
    }
    struct unpack in = {.rest = data};
    struct txn_result r = {.kind = (enum txn_kind)unpack_u8(&in)};
    if (r.kind != TXN_KV) {
        r.row = in.rest;
        *ret_result = r;
        return !in.failed;
    }
    r.kv.flags = unpack_u64(&in);
    r.kv.lock_index = unpack_u64(&in);
    r.kv.create_index = unpack_u64(&in);
    r.kv.modify_index = unpack_u64(&in);
    r.kv.key = unpack_bytes(&in, KV_KEY_MAX);
    r.kv.session = unpack_bytes(&in, SESSION_ID_MAX);
    r.kv.value = unpack_bytes(&in, KV_VALUE_MAX);
    *ret_result = r;
    return unpack_done(&in);
}

/* --- errors ---------------------------------------------------------------------------------- */

enum err txn_error(struct buf *errors, uint32_t op, struct bytes what)
{
    enum err e = buf_reserve(errors, 8 + what.len);
    if (e == OK) {
        pack_u32(errors, (uint32_t)(4 + what.len));
        pack_u32(errors, op);
        buf_put(errors, what);
    }
    return e;
}

bool txn_error_next(struct bytes *detail, uint32_t *ret_op, struct bytes *ret_what)
{
    struct bytes data;
    if (!texts_next(detail, &data)) {
        return false;
    }
    struct unpack in = {.rest = data};
    uint32_t op = unpack_u32(&in);
    if (in.failed) {
        return false;
    }
    *ret_op = op;
    *ret_what = in.rest;
    return true;
}
