#include "store/catalog.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/schema_fleet.h"
#include "store/session.h"

/* The check that gossip keeps: whether it says that a node lives. */
#define CATALOG_SERF_CHECK BYTES("serfHealth")

/* --- names and ids --------------------------------------------------------------------------- */

/* The name of the node that has this id. ERR_NOT_FOUND. */
static enum err catalog_name_of_id(struct apply *a, struct bytes id, struct rocks_slice *slice)
{
    struct schema_key k;
    schema_fleet_one(&k, a->meta.restores, FLEET_NODE_ID, id);
    return apply_get(a, schema_key_view(&k), slice);
}

static void catalog_forget_id(struct apply *a, struct bytes id)
{
    struct schema_key k;
    if (id.len > 0) {
        schema_fleet_one(&k, a->meta.restores, FLEET_NODE_ID, id);
        apply_delete(a, schema_key_view(&k));
    }
}

/* A node that gossip takes for dead gives its name away, and so does one that it never saw. */
static enum err catalog_is_alive(struct apply *a, struct bytes node, bool *ret_alive)
{
    struct rocks_slice slice = {0};
    struct check_row check;
    enum err e = catalog_check(a, (struct bytes[]){node, CATALOG_SERF_CHECK}, &slice, &check);
    *ret_alive = e == OK && check.status != CHECK_CRITICAL;
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Refuses the name if a living node with another id has it. `upgrade`: a node without an id may get
 * this one. */
static enum err catalog_claim_name(struct apply *a, const struct node_row *row, bool upgrade)
{
    struct rocks_slice slice = {0};
    struct node_row holder;
    bool alive = false;
    enum err e = catalog_node(a, row->name, &slice, &holder);
    if (e == OK && !bytes_equal_nocase(holder.id, row->id) && !(upgrade && holder.id.len == 0)) {
        e = catalog_is_alive(a, holder.name, &alive);
        if (e == OK && alive) {
            apply_refuse(a, "node name %.*s is taken by node %.*s (%.*s), which is alive",
                         BYTES_FORMAT(row->name), BYTES_FORMAT(holder.id),
                         BYTES_FORMAT(holder.address));
        }
    }
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Who has the id so far, under another name, goes; `ret_create_index` is then its. */
static enum err
catalog_claim_id(struct apply *a, const struct node_row *row, uint64_t *ret_create_index)
{
    struct rocks_slice name = {0};
    struct rocks_slice slice = {0};
    struct node_row old;
    enum err e = catalog_name_of_id(a, row->id, &name);
    if (e == ERR_NOT_FOUND) {
        e = catalog_claim_name(a, row, true);
    } else if (e == OK && !bytes_equal_nocase(name.value, row->name)) {
        e = catalog_claim_name(a, row, false);
        if (e == OK && a->status == OK) {
            e = catalog_node(a, name.value, &slice, &old);
            e = e == ERR_NOT_FOUND ? catalog_corrupt(a) : e;
        }
        if (e == OK && a->status == OK) {
            *ret_create_index = old.create_index;
            e = catalog_delete_node(a, name.value);
        }
    }
    rocks_slice_close(&slice);
    rocks_slice_close(&name);
    return e;
}

/* --- nodes ----------------------------------------------------------------------------------- */

static void catalog_change_node(struct apply *a, struct bytes name, bool set)
{
    apply_moved(a, BYTES(FLEET_INDEX_NODES));
    apply_change(a, &(struct change){
                        .topic = CHANGE_NODE,
                        .op = set ? CHANGE_SET : CHANGE_DELETE,
                        .key = name,
                        .value = set ? buf_view(&a->scratch) : (struct bytes){0},
                    });
}

static enum err catalog_write_node(struct apply *a, struct node_row *row)
{
    struct schema_key k;
    row->modify_index = a->index;
    buf_clear(&a->scratch);
    CHECK(row_node_encode(&a->scratch, row) == OK);
    schema_fleet_one(&k, a->meta.restores, FLEET_NODE, row->name);
    apply_put(a, schema_key_view(&k), buf_view(&a->scratch));
    catalog_change_node(a, row->name, true);
    if (row->id.len > 0) {
        schema_fleet_one(&k, a->meta.restores, FLEET_NODE_ID, row->id);
        apply_put(a, schema_key_view(&k), row->name);
    }
    apply_moved_of(a, FLEET_INDEX_NODE, row->name);
    return catalog_touch_node(a, row->name);
}

static bool catalog_same_node(struct apply *a,
                              const struct node_row *old,
                              struct bytes data,
                              const struct node_row *new)
{
    struct node_row row = *new;
    row.create_index = old->create_index;
    row.modify_index = old->modify_index;
    buf_clear(&a->scratch);
    CHECK(row_node_encode(&a->scratch, &row) == OK);
    return bytes_equal(buf_view(&a->scratch), data);
}

enum err catalog_set_node(struct apply *a, const struct node_row *row)
{
    struct node_row filled = *row;
    struct node_row old;
    struct rocks_slice slice = {0};
    filled.create_index = 0;
    enum err e = row->id.len > 0 ? catalog_claim_id(a, row, &filled.create_index) : OK;
    if (e != OK || a->status != OK) {
        return e;
    }
    e = catalog_node(a, row->name, &slice, &old);
    if (e == ERR_NOT_FOUND) {
        filled.create_index = filled.create_index > 0 ? filled.create_index : a->index;
        e = catalog_write_node(a, &filled);
    } else if (e == OK && !catalog_same_node(a, &old, slice.value, row)) {
        filled.create_index = filled.create_index > 0 ? filled.create_index : old.create_index;
        catalog_forget_id(a, old.id);
        e = catalog_write_node(a, &filled);
    }
    rocks_slice_close(&slice);
    return e;
}

/* Sessions have ended with the node already. */
static enum err
catalog_delete_all_of(struct apply *a,
                      enum fleet_table table,
                      struct bytes node,
                      enum err (*each)(struct apply *a, struct bytes node, struct bytes id))
{
    struct schema_key prefix;
    struct apply_scan scan;
    schema_fleet_begin(&prefix, a->meta.restores, table);
    schema_fleet_part(&prefix, node, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = e == OK ? apply_scan_next(&scan) : e) {
        e = each(a, node, bytes_slice(scan.key, prefix.len, scan.key.len));
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err catalog_delete_coordinate(struct apply *a, struct bytes node, struct bytes segment)
{
    struct schema_key k;
    schema_fleet_two(&k, a->meta.restores, FLEET_COORDINATE, node, segment);
    apply_delete(a, schema_key_view(&k));
    apply_moved(a, BYTES(FLEET_INDEX_COORDINATES));
    return OK;
}

enum err catalog_delete_node(struct apply *a, struct bytes node)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    struct node_row row;
    enum err e = catalog_node(a, node, &slice, &row);
    e = e == OK ? session_on_node_gone(a, row.name) : e;
    e = e == OK ? catalog_touch_node(a, row.name) : e;
    e = e == OK ? catalog_delete_all_of(a, FLEET_CHECK, row.name, catalog_delete_check) : e;
    e = e == OK ? catalog_delete_all_of(a, FLEET_SERVICE, row.name, catalog_delete_service) : e;
    e = e == OK ? catalog_delete_all_of(a, FLEET_COORDINATE, row.name, catalog_delete_coordinate)
                : e;
    if (e == OK) {
        schema_fleet_one(&k, a->meta.restores, FLEET_NODE, row.name);
        apply_delete(a, schema_key_view(&k));
        catalog_forget_id(a, row.id);
        catalog_change_node(a, row.name, false);
        apply_gone_of(a, FLEET_INDEX_NODE, row.name);
    }
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* --- the commands ---------------------------------------------------------------------------- */

static enum err catalog_register_node(struct apply *a, const struct node_row *row, bool skip)
{
    struct rocks_slice slice = {0};
    struct node_row old;
    enum err e = skip ? catalog_node(a, row->name, &slice, &old) : ERR_NOT_FOUND;
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? catalog_set_node(a, row) : e;
}

/* False, and refused: it is of another node than the registration. */
static bool catalog_is_of_node(struct apply *a, const struct node_row *node, struct bytes of)
{
    if (bytes_equal_nocase(node->name, of)) {
        return true;
    }
    apply_refuse(a, "a registration of node %.*s may not hold a row of node %.*s",
                 BYTES_FORMAT(node->name), BYTES_FORMAT(of));
    return false;
}

static enum err catalog_register_rows(struct apply *a, const struct command_register *cmd)
{
    struct node_row node;
    struct service_row service;
    struct check_row check;
    struct bytes checks = cmd->checks;
    struct bytes data;
    enum err e = OK;
    /* Decoding the command has looked at all of them. */
    CHECK(row_node_decode(cmd->node, &node) == OK);
    e = catalog_register_node(a, &node, cmd->skip_node);
    if (e == OK && a->status == OK && cmd->service.len > 0) {
        CHECK(row_service_decode(cmd->service, &service) == OK);
        if (catalog_is_of_node(a, &node, service.node)) {
            e = catalog_set_service(a, &service);
        }
    }
    while (e == OK && a->status == OK && texts_next(&checks, &data)) {
        CHECK(row_check_decode(data, &check) == OK);
        if (catalog_is_of_node(a, &node, check.node)) {
            e = catalog_set_check(a, &check);
        }
    }
    return e;
}

enum err catalog_register(struct apply *a, const struct command_register *cmd)
{
    enum err e = catalog_register_rows(a, cmd);
    if (e == OK && a->status != OK) {
        apply_undo(a);
    }
    return e;
}

enum err catalog_deregister(struct apply *a, const struct command_deregister *cmd)
{
    if (cmd->service_id.len > 0) {
        return catalog_delete_service(a, cmd->node, cmd->service_id);
    }
    if (cmd->check_id.len > 0) {
        return catalog_delete_check(a, cmd->node, cmd->check_id);
    }
    return catalog_delete_node(a, cmd->node);
}
