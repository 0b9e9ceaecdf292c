/* The operations of a transaction on nodes, services, checks and sessions. */
#include "core/base/check.h"
#include "store/catalog.h"
#include "store/fleet.h"
#include "store/schema_fleet.h"
#include "store/session.h"
#include "store/txn_priv.h"

#include <stdio.h>

/* What an operation is about. */
struct txn_target {
    enum txn_kind kind;
    struct bytes node;    /* its name, or */
    struct bytes node_id; /* a node's id */
    struct bytes id;      /* of a service, of a check */
};

static void txn_target(const struct txn_op *op, struct txn_target *ret_target)
{
    struct txn_target target = {.kind = op->kind, .node = op->key, .id = op->id};
    bool row = op->verb == TXN_SET || op->verb == TXN_CAS;
    struct node_row node;
    struct service_row service;
    struct check_row check;
    if (op->kind == TXN_NODE && row) {
        CHECK(row_node_decode(op->value, &node) == OK);
        target.node = node.name;
    } else if (op->kind == TXN_NODE) {
        target.node_id = op->key.len == 0 ? op->id : (struct bytes){0};
    } else if (op->kind == TXN_SERVICE && row) {
        CHECK(row_service_decode(op->value, &service) == OK);
        target.node = service.node;
        target.id = service.id;
    } else if (op->kind == TXN_CHECK && row) {
        CHECK(row_check_decode(op->value, &check) == OK);
        target.node = check.node;
        target.id = check.id;
    }
    *ret_target = target;
}

#define TXN_NAME_LEN (2 * ROW_NAME_MAX + 32)

/* `check "c" on node "n"` */
static void txn_name(const struct txn_target *target, char ret_text[TXN_NAME_LEN])
{
    struct bytes node = target->node.len > 0 ? target->node : target->node_id;
    if (target->kind == TXN_NODE) {
        (void)snprintf(ret_text, TXN_NAME_LEN, "node \"%.*s\"", BYTES_FORMAT(node));
    } else {
        (void)snprintf(ret_text, TXN_NAME_LEN, "%s \"%.*s\" on node \"%.*s\"",
                       target->kind == TXN_SERVICE ? "service" : "check", BYTES_FORMAT(target->id),
                       BYTES_FORMAT(node));
    }
}

/* --- reading --------------------------------------------------------------------------------- */

/* The name of the node that has this id, into `k`. */
static enum err txn_node_of_id(struct apply *a, struct bytes id, struct schema_key *k)
{
    schema_fleet_one(k, a->meta.restores, FLEET_NODE_ID, id);
    enum err e = apply_get(a, schema_key_view(k), &a->slice);
    if (e == OK) {
        k->len = 0;
        schema_fleet_exact(k, a->slice.value);
    }
    return e;
}

static enum err txn_row_applied(struct txn *t, const struct txn_target *target)
{
    struct apply *a = t->apply;
    struct schema_key k;
    struct schema_key name;
    struct bytes node = target->node;
    if (target->node_id.len > 0) {
        enum err e = txn_node_of_id(a, target->node_id, &name);
        if (e != OK) {
            return e;
        }
        node = schema_key_view(&name);
    }
    if (target->kind == TXN_NODE) {
        schema_fleet_one(&k, a->meta.restores, FLEET_NODE, node);
    } else {
        schema_fleet_two(&k, a->meta.restores,
                         target->kind == TXN_SERVICE ? FLEET_SERVICE : FLEET_CHECK, node,
                         target->id);
    }
    enum err e = apply_get(a, schema_key_view(&k), &a->slice);
    return e == OK ? buf_append(&t->row, a->slice.value) : e;
}

static enum err txn_row_viewed(struct txn *t, const struct txn_target *target)
{
    struct view_pin pin = {0};
    struct node_row node;
    struct service_row service;
    struct check_row check;
    enum err e = OK;
    if (target->kind == TXN_NODE) {
        e = target->node_id.len > 0 ? view_node_by_id(t->view, target->node_id, &pin, &node)
                                    : view_node(t->view, target->node, &pin, &node);
        e = e == OK ? row_node_encode(&t->row, &node) : e;
    } else if (target->kind == TXN_SERVICE) {
        e = view_service(t->view, target->node, target->id, &pin, &service);
        e = e == OK ? row_service_encode(&t->row, &service) : e;
    } else {
        e = view_check(t->view, target->node, target->id, &pin, &check);
        e = e == OK ? row_check_encode(&t->row, &check) : e;
    }
    view_pin_close(&pin);
    return e;
}

static enum err txn_row_index(struct txn *t, enum txn_kind kind, uint64_t *ret_index)
{
    struct node_row node = {0};
    struct service_row service = {0};
    struct check_row check = {0};
    struct bytes data = buf_view(&t->row);
    enum err e = kind == TXN_NODE      ? row_node_decode(data, &node)
                 : kind == TXN_SERVICE ? row_service_decode(data, &service)
                                       : row_check_decode(data, &check);
    *ret_index = node.modify_index + service.modify_index + check.modify_index;
    return e;
}

/* The row as it is now into `t->row`, and its ModifyIndex; ERR_NOT_FOUND. */
static enum err txn_row(struct txn *t, const struct txn_target *target, uint64_t *ret_index)
{
    buf_clear(&t->row);
    enum err e = t->apply != NULL ? txn_row_applied(t, target) : txn_row_viewed(t, target);
    return e == OK ? txn_row_index(t, target->kind, ret_index) : e;
}

static enum err txn_give(struct txn *t, const struct txn_target *target)
{
    char name[TXN_NAME_LEN];
    uint64_t index = 0;
    enum err e = txn_row(t, target, &index);
    if (e == ERR_NOT_FOUND) {
        txn_name(target, name);
        txn_fail(t, "%s doesn't exist", name);
        return OK;
    }
    if (e == OK) {
        txn_give_row(t, target->kind, buf_view(&t->row));
    }
    return e;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Whether what a service or a check hangs on is there; if not, that has been told. */
static enum err txn_has_parent(struct txn *t, const struct txn_op *op, bool *ret_has)
{
    struct txn_target parent = {.kind = TXN_NODE};
    struct service_row service;
    struct check_row check = {0};
    uint64_t index = 0;
    if (op->kind == TXN_SERVICE) {
        CHECK(row_service_decode(op->value, &service) == OK);
        parent.node = service.node;
    } else {
        CHECK(row_check_decode(op->value, &check) == OK);
        parent.node = check.node;
    }
    enum err e = txn_row(t, &parent, &index);
    if (e == ERR_NOT_FOUND) {
        txn_fail(t, "Missing node registration");
    } else if (e == OK && check.service_id.len > 0) {
        parent.kind = TXN_SERVICE;
        parent.id = check.service_id;
        e = txn_row(t, &parent, &index);
        if (e == ERR_NOT_FOUND) {
            txn_fail(t, "Missing service registration");
        }
    }
    *ret_has = e == OK;
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err txn_set(struct txn *t, const struct txn_op *op)
{
    struct node_row node;
    struct service_row service;
    struct check_row check;
    bool has = true;
    enum err e = op->kind == TXN_NODE ? OK : txn_has_parent(t, op, &has);
    if (e != OK || !has) {
        return e;
    }
    if (op->kind == TXN_NODE) {
        CHECK(row_node_decode(op->value, &node) == OK);
        return catalog_set_node(t->apply, &node);
    }
    if (op->kind == TXN_SERVICE) {
        CHECK(row_service_decode(op->value, &service) == OK);
        return catalog_set_service(t->apply, &service);
    }
    CHECK(row_check_decode(op->value, &check) == OK);
    return catalog_set_check(t->apply, &check);
}

static enum err txn_delete(struct txn *t, const struct txn_target *target)
{
    struct node_row node;
    if (target->kind == TXN_SERVICE) {
        return catalog_delete_service(t->apply, target->node, target->id);
    }
    if (target->kind == TXN_CHECK) {
        return catalog_delete_check(t->apply, target->node, target->id);
    }
    if (target->node_id.len == 0) {
        return catalog_delete_node(t->apply, target->node);
    }
    /* The row at hand says which name this id has. */
    if (t->row.len == 0) {
        return OK;
    }
    enum err e = row_node_decode(buf_view(&t->row), &node);
    return e == OK ? catalog_delete_node(t->apply, node.name) : e;
}

/* Whether `index` is what a CAS may meet: of a SET, 0 for what is not there. */
static bool txn_index_holds(const struct txn_op *op, enum err found, uint64_t index)
{
    if (op->verb == TXN_SET || op->verb == TXN_DELETE) {
        return true;
    }
    if (op->verb == TXN_CAS && op->index == 0) {
        return found == ERR_NOT_FOUND;
    }
    return found == OK && index == op->index;
}

static enum err txn_write(struct txn *t, const struct txn_op *op, const struct txn_target *target)
{
    struct apply *a = t->apply;
    char name[TXN_NAME_LEN];
    uint64_t index = 0;
    bool set = op->verb == TXN_SET || op->verb == TXN_CAS;
    size_t errors = t->errors.len;
    enum err found = txn_row(t, target, &index);
    if (found != OK && found != ERR_NOT_FOUND) {
        return found;
    }
    if (!txn_index_holds(op, found, index)) {
        txn_name(target, name);
        txn_fail(t, "failed to %s %s, index is stale", set ? "set" : "delete", name);
        return OK;
    }
    enum err e = set ? txn_set(t, op) : txn_delete(t, target);
    if (e == OK && a->status != OK) {
        txn_fail(t, "%.*s", BYTES_FORMAT(buf_view(&a->detail)));
    } else if (e == OK && set && t->errors.len == errors) {
        e = txn_give(t, target);
    }
    return e;
}

static const char *txn_kind_name(enum txn_kind kind)
{
    switch (kind) {
    case TXN_KV:
        return "KV";
    case TXN_NODE:
        return "Node";
    case TXN_SERVICE:
        return "Service";
    case TXN_CHECK:
        return "Check";
    case TXN_SESSION:
        return "Session";
    }
    return "";
}

enum err txn_fleet(struct txn *t, const struct txn_op *op)
{
    struct txn_target target;
    if (op->verb == TXN_UNKNOWN) {
        txn_fail(t, "unknown %s verb \"%.*s\"", txn_kind_name(op->kind), BYTES_FORMAT(op->value));
        return OK;
    }
    if (txn_verb_writes(op->kind, op->verb) && t->apply == NULL) {
        return ERR_INVALID;
    }
    if (op->kind == TXN_SESSION) {
        return session_end(t->apply, op->id);
    }
    txn_target(op, &target);
    return op->verb == TXN_GET ? txn_give(t, &target) : txn_write(t, op, &target);
}
