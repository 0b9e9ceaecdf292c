/* /v1/txn: several operations at once, all or none (contracts/consul.md, section 5). */
#include "store/txn.h"
#include "core/api/cluster.h"
#include "core/api/kv.h"
#include "core/api/long_numbers.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/registration.h"
#include "store/fleet.h"
#include "store/row_json.h"

#include <string.h>

/* A transaction under construction. */
struct txn_body {
    struct request *request;
    struct arena arena;
    struct reason why;
    struct buf ops;  /* texts */
    struct buf op;   /* scratch */
    struct buf row;  /* scratch */
    struct buf deny; /* a JSON list of errors: what this token may not do, and the like */
    size_t count;
    bool writes;
};

/* One operation as it is written; what is not there is NULL. */
struct txn_item {
    json_t *kv;
    json_t *node;
    json_t *service;
    json_t *check;
    json_t *session;
};

struct txn_kv_item {
    struct bytes verb;
    struct bytes key;
    struct bytes value; /* base64 */
    struct bytes session;
    uint64_t flags;
    uint64_t index;
};

struct txn_row_item {
    struct bytes verb;
    struct bytes node; /* of a service */
    json_t *row;
};

/* --- words --------------------------------------------------------------------------------------
 */

/* Kept as it is, for later: the body outlives it. */
static enum err txn_keep(struct decode *d, json_t *value, void *field)
{
    (void)d;
    *(json_t **)field = value;
    return OK;
}

/* Numbers of more digits than JSON's library takes have become texts (long_numbers.h). */
static enum err txn_number(struct decode *d, json_t *value, void *field)
{
    uint64_t *number = field;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *number = (uint64_t)json_integer_value(value);
        return OK;
    }
    if (json_is_string(value) && bytes_to_u64(bytes_of(json_string_value(value)), number) == OK) {
        return OK;
    }
    return decode_mismatch(d, value, "uint64");
}

#define TXN_FIELD(type, n, k, member, m)                                                           \
    {                                                                                              \
        .name = (n), .kind = (k), .offset = offsetof(struct type, member), .max = (m)              \
    }
#define TXN_CALL(type, n, member, fn)                                                              \
    {                                                                                              \
        .name = (n), .kind = DECODE_CALL, .offset = offsetof(struct type, member), .call = (fn)    \
    }
#define TXN_SKIP(n)                                                                                \
    {                                                                                              \
        .name = (n), .kind = DECODE_SKIP                                                           \
    }
#define TXN_TYPE(n, list)                                                                          \
    {                                                                                              \
        .name = (n), .fields = (list), .count = sizeof(list) / sizeof(list)[0]                     \
    }

static const struct decode_field TXN_ITEM_FIELDS[] = {
    TXN_CALL(txn_item, "KV", kv, txn_keep),           TXN_CALL(txn_item, "Node", node, txn_keep),
    TXN_CALL(txn_item, "Service", service, txn_keep), TXN_CALL(txn_item, "Check", check, txn_keep),
    TXN_CALL(txn_item, "Session", session, txn_keep), TXN_SKIP("Intention"),
};

static const struct decode_field TXN_KV_FIELDS[] = {
    TXN_FIELD(txn_kv_item, "Verb", DECODE_TEXT, verb, ROW_NAME_MAX),
    TXN_FIELD(txn_kv_item, "Key", DECODE_TEXT, key, KIB(64)),
    TXN_FIELD(txn_kv_item, "Value", DECODE_TEXT, value, HTTP_BODY_MAX),
    TXN_FIELD(txn_kv_item, "Session", DECODE_TEXT, session, ROW_NAME_MAX),
    TXN_CALL(txn_kv_item, "Flags", flags, txn_number),
    TXN_CALL(txn_kv_item, "Index", index, txn_number),
    TXN_SKIP("Namespace"),
    TXN_SKIP("Partition"),
};

static const struct decode_field TXN_NODE_FIELDS[] = {
    TXN_FIELD(txn_row_item, "Verb", DECODE_TEXT, verb, ROW_NAME_MAX),
    TXN_CALL(txn_row_item, "Node", row, txn_keep),
};

static const struct decode_field TXN_SERVICE_FIELDS[] = {
    TXN_FIELD(txn_row_item, "Verb", DECODE_TEXT, verb, ROW_NAME_MAX),
    TXN_FIELD(txn_row_item, "Node", DECODE_TEXT, node, ROW_NAME_MAX),
    TXN_CALL(txn_row_item, "Service", row, txn_keep),
};

static const struct decode_field TXN_CHECK_FIELDS[] = {
    TXN_FIELD(txn_row_item, "Verb", DECODE_TEXT, verb, ROW_NAME_MAX),
    TXN_CALL(txn_row_item, "Check", row, txn_keep),
};

static const struct decode_field TXN_SESSION_FIELDS[] = {
    TXN_FIELD(txn_row_item, "Verb", DECODE_TEXT, verb, ROW_NAME_MAX),
    TXN_CALL(txn_row_item, "Session", row, txn_keep),
};

static const struct decode_type TXN_ITEM = TXN_TYPE("api.TxnOp", TXN_ITEM_FIELDS);
static const struct decode_type TXN_KV_ITEM = TXN_TYPE("api.KVTxnOp", TXN_KV_FIELDS);
static const struct decode_type TXN_NODE_ITEM = TXN_TYPE("api.NodeTxnOp", TXN_NODE_FIELDS);
static const struct decode_type TXN_SERVICE_ITEM = TXN_TYPE("api.ServiceTxnOp", TXN_SERVICE_FIELDS);
static const struct decode_type TXN_CHECK_ITEM = TXN_TYPE("api.CheckTxnOp", TXN_CHECK_FIELDS);
static const struct decode_type TXN_SESSION_ITEM = TXN_TYPE("api.SessionTxnOp", TXN_SESSION_FIELDS);

/* --- operations ---------------------------------------------------------------------------------
 */

static enum err txn_error_json(struct buf *out, uint64_t op, struct bytes what)
{
    char number[U64_TEXT_MAX];
    enum err e = out->len > 0 ? buf_append_char(out, ',') : OK;
    e = e == OK ? buf_append_str(out, "{\"OpIndex\":") : e;
    e = e == OK ? buf_append(out, bytes_u64(op, number)) : e;
    e = e == OK ? buf_append_str(out, ",\"What\":") : e;
    e = e == OK ? json_quote(out, what) : e;
    return e == OK ? buf_append_char(out, '}') : e;
}

/* This operation cannot be, as can be seen without the state. */
static enum err txn_refuse(struct txn_body *t, struct bytes what)
{
    return txn_error_json(&t->deny, t->count++, what);
}

/* Appends an operation, or notes that this token may not do it. */
static enum err txn_add(struct txn_body *t, const struct txn_op *op, bool allowed)
{
    enum err e = OK;
    if (!allowed) {
        return txn_refuse(t, BYTES("Permission denied"));
    }
    t->writes = t->writes || txn_verb_writes(op->kind, op->verb);
    buf_clear(&t->op);
    e = txn_op_encode(&t->op, op);
    e = e == OK ? texts_add(&t->ops, buf_view(&t->op)) : e;
    t->count++;
    if (e == ERR_INVALID) {
        reason_set(&t->why, "operation %zu is not complete", t->count - 1);
    }
    return e;
}

static void txn_verb(struct txn_op *op, struct bytes word)
{
    op->verb = txn_verb_parse(op->kind, word);
    if (op->verb == TXN_UNKNOWN) {
        op->value = word;
    }
}

static bool txn_may(const struct txn_op *op, enum acl_resource resource, struct bytes name)
{
    bool write = txn_verb_writes(op->kind, op->verb);
    if (op->verb == TXN_GET_TREE || op->verb == TXN_UNKNOWN) {
        return true; /* of a tree the rows are left out that it may not see */
    }
    return rights_may(resource, name, write ? ACL_WRITE : ACL_READ);
}

static bool txn_sets(const struct txn_op *op)
{
    return op->verb == TXN_SET || op->verb == TXN_CAS;
}

static struct view *txn_view(const struct txn_body *t)
{
    return store_reader_view(api_of(t->request)->reader);
}

static enum acl_access txn_access(const struct txn_op *op)
{
    return txn_verb_writes(op->kind, op->verb) ? ACL_WRITE : ACL_READ;
}

/* The check that is there decides; of a new one the service that has its id, or else the node. */
static bool
txn_may_check(const struct txn_body *t, const struct txn_op *op, const struct check_row *check)
{
    struct view_pin pin = {0};
    struct check_row row;
    struct view *v = txn_view(t);
    bool there = view_check(v, check->node, check->id, &pin, &row) == OK;
    view_pin_close(&pin);
    if (check->service_id.len > 0) {
        struct service_row service;
        bool known = view_service(v, check->node, check->service_id, &pin, &service) == OK;
        bool may =
            known ? txn_may(op, ACL_SERVICE, service.name) : txn_may(op, ACL_NODE, check->node);
        view_pin_close(&pin);
        return may && rights_check_id(v, check->node, check->id, txn_access(op));
    }
    return there && !txn_sets(op) ? rights_check_id(v, check->node, check->id, txn_access(op))
                                  : txn_may(op, ACL_NODE, check->node) &&
                                        rights_check_id(v, check->node, check->id, txn_access(op));
}

static enum err txn_item_kv(struct txn_body *t, json_t *json)
{
    struct txn_kv_item item = {0};
    struct txn_op op = {.kind = TXN_KV};
    struct buf value;
    enum err e = decode_value(&t->arena, json, &TXN_KV_ITEM, &item, &t->why);
    if (e != OK) {
        return e;
    }
    buf_init(&value, HTTP_BODY_MAX);
    e = base64_decode(&value, item.value);
    uint64_t most = api_of(t->request)->config->kv_max_value_size;
    if (e != OK) {
        reason_set(&t->why, "illegal base64 data in the value of operation %zu", t->count);
    } else if (value.len > most) {
        reason_set(&t->why, "Value for key \"%.200s\" is too large (%zu > %llu bytes)",
                   item.key.len > 0 ? item.key.ptr : "", value.len, (unsigned long long)most);
        e = ERR_TOO_BIG;
    } else {
        op.key = item.key;
        op.id = item.session;
        op.flags = item.flags;
        op.index = item.index;
        op.value = buf_view(&value);
        txn_verb(&op, item.verb);
        const struct acl *rights = api_rights(t->request);
        bool may =
            op.verb == TXN_DELETE_TREE
                ? !rights_enabled() ||
                      (rights != NULL && acl_allows_prefix(rights, ACL_KEY, op.key, ACL_WRITE))
                : txn_may(&op, ACL_KEY, op.key);
        bool odd = op.verb == TXN_LOCK && op.id.len > 0 && op.id.len != UUID_TEXT_LEN - 1;
        e = may && odd ? txn_refuse(t, BYTES("failed session lookup: index error: UUID must be 36 "
                                             "characters"))
                       : txn_add(t, &op, may);
    }
    buf_close(&value);
    return e;
}

/* The row of a SET goes as a whole, of other verbs only what names it. */
static void txn_row_op(struct txn_op *op, struct txn_body *t, const struct bytes node_and_id[2])
{
    op->key = node_and_id[0];
    op->id = node_and_id[1];
    if (op->verb == TXN_SET || op->verb == TXN_CAS) {
        op->value = buf_view(&t->row);
    }
}

static enum err txn_item_node(struct txn_body *t, json_t *json)
{
    struct txn_row_item item = {0};
    struct registration_node node = {0};
    struct txn_op op = {.kind = TXN_NODE};
    enum err e = decode_value(&t->arena, json, &TXN_NODE_ITEM, &item, &t->why);
    e = e == OK && item.row != NULL ? registration_node(&t->arena, item.row, &node, &t->why) : e;
    if (e != OK) {
        return e;
    }
    txn_verb(&op, item.verb);
    op.index = node.row.modify_index;
    buf_clear(&t->row);
    bool set = op.verb == TXN_SET || op.verb == TXN_CAS;
    e = set ? row_node_encode(&t->row, &node.row) : OK;
    if (e == ERR_INVALID) {
        reason_set(&t->why, "operation %zu: Must provide node", t->count);
    }
    txn_row_op(&op, t, (struct bytes[]){node.row.name, set ? (struct bytes){0} : node.row.id});
    bool may = txn_may(&op, ACL_NODE, node.row.name) &&
               rights_node_id(txn_view(t), node.row.id, txn_access(&op));
    return e == OK ? txn_add(t, &op, may) : e;
}

static enum err txn_item_service(struct txn_body *t, json_t *json)
{
    struct txn_row_item item = {0};
    struct service_row service = {0};
    struct txn_op op = {.kind = TXN_SERVICE};
    enum err e = decode_value(&t->arena, json, &TXN_SERVICE_ITEM, &item, &t->why);
    e = e == OK && item.row != NULL ? registration_service(&t->arena, item.row, &service, &t->why)
                                    : e;
    if (e != OK) {
        return e;
    }
    txn_verb(&op, item.verb);
    op.index = service.modify_index;
    service.node = item.node;
    registration_service_defaults(&service);
    buf_clear(&t->row);
    bool set = op.verb == TXN_SET || op.verb == TXN_CAS;
    e = set ? row_service_encode(&t->row, &service) : OK;
    if (e == ERR_INVALID) {
        reason_set(&t->why, "operation %zu: a service needs a node and a name", t->count);
    }
    txn_row_op(&op, t, (struct bytes[]){service.node, service.id});
    struct bytes name = service.name.len > 0 ? service.name : service.id;
    bool may = txn_may(&op, ACL_SERVICE, name) &&
               rights_service_id(txn_view(t), service.node, service.id, txn_access(&op));
    return e == OK ? txn_add(t, &op, may) : e;
}

static enum err txn_item_check(struct txn_body *t, json_t *json)
{
    struct txn_row_item item = {0};
    struct check_row check = {0};
    struct txn_op op = {.kind = TXN_CHECK};
    enum err e = decode_value(&t->arena, json, &TXN_CHECK_ITEM, &item, &t->why);
    e = e == OK && item.row != NULL ? registration_check(&t->arena, item.row, &check, &t->why) : e;
    if (e != OK) {
        return e;
    }
    txn_verb(&op, item.verb);
    op.index = check.modify_index;
    registration_check_defaults(&check);
    buf_clear(&t->row);
    bool set = op.verb == TXN_SET || op.verb == TXN_CAS;
    e = set ? row_check_encode(&t->row, &check) : OK;
    if (e == ERR_INVALID) {
        reason_set(&t->why, "operation %zu: a check needs a node and an id or a name", t->count);
    }
    txn_row_op(&op, t, (struct bytes[]){check.node, check.id});
    return e == OK ? txn_add(t, &op, txn_may_check(t, &op, &check)) : e;
}

static enum err txn_item_session(struct txn_body *t, json_t *json)
{
    struct txn_row_item item = {0};
    struct txn_op op = {.kind = TXN_SESSION};
    struct view_pin pin = {0};
    struct session_row row = {0};
    enum err e = decode_value(&t->arena, json, &TXN_SESSION_ITEM, &item, &t->why);
    if (e != OK) {
        return e;
    }
    const char *id = json_string_value(json_object_get(item.row, "ID"));
    txn_verb(&op, item.verb);
    op.id = id != NULL ? bytes_of(id) : (struct bytes){0};
    (void)(view_session(store_reader_view(api_of(t->request)->reader), op.id, &pin, &row) == OK);
    bool may = txn_may(&op, ACL_SESSION, row.node);
    view_pin_close(&pin);
    return txn_add(t, &op, may);
}

static enum err txn_item(struct txn_body *t, json_t *json)
{
    struct txn_item item = {0};
    enum err e = decode_value(&t->arena, json, &TXN_ITEM, &item, &t->why);
    if (e != OK) {
        return e;
    }
    if (item.kv != NULL) {
        return txn_item_kv(t, item.kv);
    }
    if (item.node != NULL) {
        return txn_item_node(t, item.node);
    }
    if (item.service != NULL) {
        return txn_item_service(t, item.service);
    }
    if (item.check != NULL) {
        return txn_item_check(t, item.check);
    }
    if (item.session != NULL) {
        return txn_item_session(t, item.session);
    }
    reason_set(&t->why, "operation %zu is none that this server knows", t->count);
    return ERR_INVALID;
}

/* --- answers ------------------------------------------------------------------------------------
 */

/* Consul's transactions show an empty list as null, where its other answers show it as [], and
 * clients compare. The member comes before any that holds JSON from outside. */
static enum err txn_null(struct buf *out, size_t from, struct bytes member)
{
    const char *at = memmem(out->ptr + from, out->len - from, member.ptr, member.len);
    if (at == NULL) {
        return OK;
    }
    struct buf tail;
    size_t end = (size_t)(at - out->ptr) + member.len;
    buf_init(&tail, KV_ANSWER_MAX);
    enum err e = buf_append(&tail, bytes_slice(buf_view(out), end, out->len));
    buf_truncate(out, end - 2);
    e = e == OK ? buf_append_str(out, "null") : e;
    e = e == OK ? buf_append(out, buf_view(&tail)) : e;
    buf_close(&tail);
    return e;
}

static enum err
txn_result_json(struct request *request, struct buf *out, const struct txn_result *r)
{
    struct node_row node;
    struct service_row service;
    struct check_row check;
    struct bytes dc = bytes_of(api_of(request)->config->datacenter);
    size_t start = out->len;
    enum err e = OK;
    switch (r->kind) {
    case TXN_KV:
        e = buf_append_str(out, "{\"KV\":");
        e = e == OK ? kv_row_json(out, &r->kv) : e;
        break;
    case TXN_NODE:
        e = buf_append_str(out, "{\"Node\":");
        e = e == OK ? row_node_decode(r->row, &node) : e;
        e = e == OK ? row_json_node(out, &node, dc) : e;
        break;
    case TXN_SERVICE:
        e = buf_append_str(out, "{\"Service\":");
        e = e == OK ? row_service_decode(r->row, &service) : e;
        e = e == OK ? row_json_service(out, &service) : e;
        e = e == OK ? txn_null(out, start, BYTES("\"Tags\":[]")) : e;
        break;
    case TXN_CHECK:
        e = buf_append_str(out, "{\"Check\":");
        e = e == OK ? row_check_decode(r->row, &check) : e;
        e = e == OK ? row_json_check(out, &check) : e;
        e = e == OK ? txn_null(out, start, BYTES("\"ServiceTags\":[]")) : e;
        break;
    case TXN_SESSION:
        e = buf_append_str(out, "{\"Session\":null");
        break;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

/* What a read brings besides, as Consul's does. */
#define TXN_READ_TAIL                                                                              \
    ",\"Index\":0,\"LastContact\":0,\"KnownLeader\":true,\"ConsistencyLevel\":\"\"}"

static void txn_reply(struct request *r, enum err status, struct bytes detail, bool read)
{
    struct buf json;
    struct txn_result result;
    struct bytes what;
    uint32_t op = 0;
    size_t count = 0;
    buf_init(&json, KV_ANSWER_MAX);
    enum err e = OK;
    if (status == OK) {
        e = buf_append_str(&json, "{\"Results\":[");
        while (e == OK && txn_result_next(&detail, &result)) {
            if (result.kind == TXN_KV && !rights_see(ACL_KEY, result.kv.key)) {
                continue;
            }
            e = count++ > 0 ? buf_append_char(&json, ',') : OK;
            e = e == OK ? txn_result_json(r, &json, &result) : e;
        }
        e = e == OK ? buf_append_str(&json, "],\"Errors\":null") : e;
    } else {
        struct buf errors;
        buf_init(&errors, KV_ANSWER_MAX);
        while (e == OK && txn_error_next(&detail, &op, &what)) {
            e = txn_error_json(&errors, op, what);
        }
        e = e == OK ? buf_append_str(&json, "{\"Results\":null,\"Errors\":[") : e;
        e = e == OK ? buf_append(&json, buf_view(&errors)) : e;
        e = e == OK ? buf_append_char(&json, ']') : e;
        buf_close(&errors);
    }
    e = e == OK ? buf_append_str(&json, read ? TXN_READ_TAIL : "}") : e;
    if (e != OK) {
        reply_err(r, e);
    } else if (status == OK) {
        api_reply_json(r, buf_view(&json));
    } else {
        reply_bytes(r, 409, "application/json", buf_view(&json));
    }
    buf_close(&json);
}

static void txn_done(struct request *r, const struct proposal *p)
{
    const struct acl *before = NULL;
    if (api_resume(r, &before)) {
        txn_reply(r, p->status, p->detail, false);
        rights_leave(before);
    }
}

static void txn_evaluate(struct request *r, struct bytes ops)
{
    struct buf detail;
    buf_init(&detail, KV_ANSWER_MAX);
    enum err e = txn_read(store_reader_view(api_of(r)->reader), ops, &detail);
    if (e == OK || e == ERR_CONFLICT) {
        reply_header_lines(r, BYTES("X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"));
        txn_reply(r, e, buf_view(&detail), true);
    } else {
        reply_err(r, e);
    }
    buf_close(&detail);
}

/* The operations are where the body was: it is read by now. */
static void txn_read_ready(struct request *r)
{
    txn_evaluate(r, r->rest);
}

/* --- the request --------------------------------------------------------------------------------
 */

/* ERR_TOO_BIG with `why` told; else as decoding says. */
static enum err txn_body_read(struct txn_body *t, json_t *json)
{
    size_t most = (size_t)api_of(t->request)->config->txn_ops_max;
    if (!json_is_array(json)) {
        reason_set(&t->why, "json: cannot unmarshal the body into Go value of type api.TxnOps");
        return ERR_INVALID;
    }
    if (json_array_size(json) > most) {
        reason_set(&t->why, "Transaction contains too many operations (%zu > %zu)",
                   json_array_size(json), most);
        return ERR_TOO_BIG;
    }
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_array_size(json); i++) {
        e = txn_item(t, json_array_get(json, i));
    }
    if (e == ERR_TOO_BIG && t->why.text[0] == '\0') {
        reason_set(&t->why, "Transaction is larger than one log entry (%u bytes)", COMMAND_MAX);
    }
    return e;
}

static void txn_go(struct txn_body *t, const struct read_options *options)
{
    struct request *r = t->request;
    struct command c = {.type = COMMAND_TXN, .txn.ops = buf_view(&t->ops)};
    r->judged = true; /* operation by operation */
    if (t->deny.len > 0) {
        struct buf json;
        buf_init(&json, KV_ANSWER_MAX);
        enum err e = buf_printf(&json, "{\"Results\":null,\"Errors\":[%.*s]}",
                                BYTES_FORMAT(buf_view(&t->deny)));
        if (e == OK) {
            reply_bytes(r, 409, "application/json", buf_view(&json));
        } else {
            reply_err(r, e);
        }
        buf_close(&json);
    } else if (t->writes) {
        api_propose_then(r, &c, txn_done);
    } else if (store_read_now(api_of(r)->store, options->mode)) {
        txn_evaluate(r, buf_view(&t->ops));
    } else {
        r->rest = arena_copy(r->arena, buf_view(&t->ops));
        if (r->rest.ptr == NULL) {
            reply_err(r, ERR_TOO_BIG);
        } else {
            api_read_ready(r, options, txn_read_ready);
        }
    }
}

static void txn_begin(struct request *r, struct txn_body *t, const struct read_options *options)
{
    struct buf text;
    json_t *json = NULL;
    buf_init(&text, HTTP_BODY_MAX * 2);
    enum err e = long_numbers_quote(r->body, &text);
    e = e == OK ? decode_json(buf_view(&text), &json, &t->why) : e;
    e = e == OK ? txn_body_read(t, json) : e;
    if (e == OK) {
        txn_go(t, options);
    } else if (e == ERR_TOO_BIG) {
        reply_text(r, 413, "%s", t->why.text);
    } else {
        reply_text(r, 400, "Failed to parse body: %s", t->why.text);
    }
    json_decref(json);
    buf_close(&text);
}

void api_txn(struct request *r)
{
    struct read_options options;
    struct txn_body t = {.request = r};
    uint64_t most = api_of(r)->config->txn_max_req_len;
    if (!api_read_options(r, &options)) {
        return;
    }
    if (r->body.len > most) {
        reply_text(r, 413,
                   "Request body(%zu bytes) too large, max size: %llu bytes. See "
                   "https://www.consul.io/docs/agent/options.html#txn_max_req_len.",
                   r->body.len, (unsigned long long)most);
        return;
    }
    arena_init(&t.arena, REGISTRATION_ARENA_MAX);
    buf_init(&t.ops, COMMAND_MAX);
    buf_init(&t.op, COMMAND_MAX);
    buf_init(&t.row, COMMAND_MAX);
    buf_init(&t.deny, KV_ANSWER_MAX);
    txn_begin(r, &t, &options);
    buf_close(&t.ops);
    buf_close(&t.op);
    buf_close(&t.row);
    buf_close(&t.deny);
    arena_close(&t.arena);
}
