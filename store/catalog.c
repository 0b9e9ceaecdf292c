#include "store/catalog.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/schema_fleet.h"
#include "store/session.h"

enum err catalog_corrupt(struct apply *a)
{
    if (a->why != NULL) {
        reason_set(a->why, "a row of the fleet is not of our format");
    }
    return ERR_CORRUPT;
}

/* --- reading --------------------------------------------------------------------------------- */

enum err catalog_node(struct apply *a,
                      struct bytes name,
                      struct rocks_slice *slice,
                      struct node_row *ret_row)
{
    struct schema_key k;
    schema_fleet_one(&k, a->meta.restores, FLEET_NODE, name);
    enum err e = apply_get(a, schema_key_view(&k), slice);
    if (e == OK && row_node_decode(slice->value, ret_row) != OK) {
        e = catalog_corrupt(a);
    }
    return e;
}

enum err catalog_service(struct apply *a,
                         const struct bytes node_and_id[2],
                         struct rocks_slice *slice,
                         struct service_row *ret_row)
{
    struct schema_key k;
    schema_fleet_two(&k, a->meta.restores, FLEET_SERVICE, node_and_id[0], node_and_id[1]);
    enum err e = apply_get(a, schema_key_view(&k), slice);
    if (e == OK && row_service_decode(slice->value, ret_row) != OK) {
        e = catalog_corrupt(a);
    }
    return e;
}

enum err catalog_check(struct apply *a,
                       const struct bytes node_and_id[2],
                       struct rocks_slice *slice,
                       struct check_row *ret_row)
{
    struct schema_key k;
    schema_fleet_two(&k, a->meta.restores, FLEET_CHECK, node_and_id[0], node_and_id[1]);
    enum err e = apply_get(a, schema_key_view(&k), slice);
    if (e == OK && row_check_decode(slice->value, ret_row) != OK) {
        e = catalog_corrupt(a);
    }
    return e;
}

/* --- links ----------------------------------------------------------------------------------- */

static void catalog_key_instance(struct apply *a, struct schema_key *k, const struct service_row *r)
{
    schema_fleet_begin(k, a->meta.restores, FLEET_INSTANCE);
    schema_fleet_part(k, r->name, true);
    schema_fleet_part(k, r->node, true);
    schema_fleet_part(k, r->id, false);
}

static void catalog_key_check_of(struct apply *a, struct schema_key *k, const struct check_row *r)
{
    schema_fleet_begin(k, a->meta.restores, FLEET_CHECK_OF);
    schema_fleet_part(k, r->service_id, true);
    schema_fleet_part(k, r->node, true);
    schema_fleet_part(k, r->id, false);
}

static void catalog_change(struct apply *a, enum change_topic topic, struct bytes key, bool set)
{
    struct bytes value = set ? buf_view(&a->scratch) : (struct bytes){0};
    apply_change(a, &(struct change){
                        .topic = topic,
                        .op = set ? CHANGE_SET : CHANGE_DELETE,
                        .key = key,
                        .value = value,
                    });
}

static void catalog_change_check(struct apply *a, const struct check_row *row, bool set)
{
    char text[2 * ROW_NAME_MAX + 1];
    struct buf key;
    buf_init(&key, sizeof text);
    buf_put(&key, row->node);
    buf_put_char(&key, '/');
    buf_put(&key, row->id);
    catalog_change(a, CHANGE_CHECK, buf_view(&key), set);
    buf_close(&key);
}

/* --- checks ---------------------------------------------------------------------------------- */

static enum err catalog_touch_check(struct apply *a, const struct check_row *row)
{
    apply_moved(a, BYTES(FLEET_INDEX_CHECKS));
    apply_moved_of(a, FLEET_INDEX_NODE, row->node);
    if (row->service_id.len == 0) {
        return catalog_touch_node(a, row->node);
    }
    catalog_touch(a, row->node, row->service_id);
    return OK;
}

/* Writes the row unless it is `old` (NULL: there was none) with other indexes. */
static enum err
catalog_write_check(struct apply *a, struct check_row *row, const struct check_row *old)
{
    struct schema_key k;
    row->create_index = old != NULL ? old->create_index : a->index;
    row->modify_index = a->index;
    buf_clear(&a->scratch);
    CHECK(row_check_encode(&a->scratch, row) == OK);
    schema_fleet_two(&k, a->meta.restores, FLEET_CHECK, row->node, row->id);
    apply_put(a, schema_key_view(&k), buf_view(&a->scratch));
    catalog_change_check(a, row, true);
    enum err e = OK;
    if (old != NULL) {
        catalog_key_check_of(a, &k, old);
        apply_delete(a, schema_key_view(&k));
        e = catalog_touch_check(a, old);
    }
    catalog_key_check_of(a, &k, row);
    apply_put(a, schema_key_view(&k), (struct bytes){0});
    e = e == OK ? catalog_touch_check(a, row) : e;
    if (e == OK && row->status == CHECK_CRITICAL) {
        e = session_on_check_critical(a, row->node, row->id);
    }
    return e;
}

/* The same but for what the rows are counted by. */
static bool catalog_same_check(struct apply *a,
                               const struct check_row *old,
                               struct bytes data,
                               const struct check_row *new)
{
    struct check_row row = *new;
    row.create_index = old->create_index;
    row.modify_index = old->modify_index;
    buf_clear(&a->scratch);
    CHECK(row_check_encode(&a->scratch, &row) == OK);
    return bytes_equal(buf_view(&a->scratch), data);
}

static enum err catalog_put_check(struct apply *a, struct check_row *row)
{
    struct rocks_slice slice = {0};
    struct check_row old;
    enum err e = catalog_check(a, (struct bytes[]){row->node, row->id}, &slice, &old);
    if (e == ERR_NOT_FOUND) {
        e = catalog_write_check(a, row, NULL);
    } else if (e == OK && !catalog_same_check(a, &old, slice.value, row)) {
        e = catalog_write_check(a, row, &old);
    }
    rocks_slice_close(&slice);
    return e;
}

enum err catalog_set_check(struct apply *a, const struct check_row *row)
{
    struct rocks_slice node = {0};
    struct rocks_slice service = {0};
    struct node_row n;
    struct service_row s;
    struct check_row filled = *row;
    enum err e = catalog_node(a, row->node, &node, &n);
    if (e == ERR_NOT_FOUND) {
        apply_refuse(a, "check %.*s is of a node that is not registered: %.*s",
                     BYTES_FORMAT(row->id), BYTES_FORMAT(row->node));
        return OK;
    }
    if (e == OK && row->service_id.len > 0) {
        e = catalog_service(a, (struct bytes[]){row->node, row->service_id}, &service, &s);
        if (e == ERR_NOT_FOUND) {
            /* Consul's words, which its own tests look for. */
            apply_refuse(a, "failed inserting check: Missing service registration on node \"%.*s\"",
                         BYTES_FORMAT(row->node));
            rocks_slice_close(&node);
            return OK;
        }
    }
    if (e == OK) {
        /* As its node and its service write themselves. */
        filled.node = n.name;
        if (row->service_id.len > 0) {
            filled.service_id = s.id;
            filled.service_name = s.name;
            filled.service_tags = s.tags;
        }
        e = catalog_put_check(a, &filled);
    }
    rocks_slice_close(&service);
    rocks_slice_close(&node);
    return e;
}

static enum err catalog_drop_check(struct apply *a, const struct check_row *row)
{
    struct schema_key k;
    catalog_key_check_of(a, &k, row);
    apply_delete(a, schema_key_view(&k));
    schema_fleet_two(&k, a->meta.restores, FLEET_CHECK, row->node, row->id);
    apply_delete(a, schema_key_view(&k));
    catalog_change_check(a, row, false);
    return catalog_touch_check(a, row);
}

enum err catalog_delete_check(struct apply *a, struct bytes node, struct bytes id)
{
    struct rocks_slice slice = {0};
    struct check_row row;
    enum err e = catalog_check(a, (struct bytes[]){node, id}, &slice, &row);
    if (e == OK) {
        e = session_on_check_gone(a, row.node, row.id);
        e = e == OK ? catalog_drop_check(a, &row) : e;
    }
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Each check of an instance; `each` may write it again or delete it. */
static enum err catalog_each_check_of(struct apply *a,
                                      const struct service_row *service,
                                      enum err (*each)(struct apply *a,
                                                       const struct service_row *service,
                                                       const struct check_row *row))
{
    struct schema_key prefix;
    struct apply_scan scan;
    struct rocks_slice slice = {0};
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_CHECK_OF);
    schema_fleet_part(&prefix, service->id, true);
    schema_fleet_part(&prefix, service->node, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = e == OK ? apply_scan_next(&scan) : e) {
        struct check_row row;
        struct bytes id = bytes_slice(scan.key, prefix.len, scan.key.len);
        e = catalog_check(a, (struct bytes[]){service->node, id}, &slice, &row);
        if (e == ERR_NOT_FOUND) {
            e = catalog_corrupt(a);
        }
        e = e == OK ? each(a, service, &row) : e;
    }
    rocks_slice_close(&slice);
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* --- services -------------------------------------------------------------------------------- */

static void catalog_touch_service(struct apply *a, const struct service_row *row)
{
    apply_moved(a, BYTES(FLEET_INDEX_SERVICES));
    apply_moved_of(a, FLEET_INDEX_NODE, row->node);
    catalog_touch(a, row->node, row->id);
}

static enum err catalog_refill_check(struct apply *a,
                                     const struct service_row *service,
                                     const struct check_row *row)
{
    struct check_row filled = *row;
    filled.service_id = service->id;
    filled.service_name = service->name;
    filled.service_tags = service->tags;
    return catalog_put_check(a, &filled);
}

static enum err
catalog_write_service(struct apply *a, struct service_row *row, const struct service_row *old)
{
    struct schema_key k;
    row->create_index = old != NULL ? old->create_index : a->index;
    row->modify_index = a->index;
    if (old != NULL) {
        catalog_key_instance(a, &k, old);
        apply_delete(a, schema_key_view(&k));
    }
    buf_clear(&a->scratch);
    CHECK(row_service_encode(&a->scratch, row) == OK);
    schema_fleet_two(&k, a->meta.restores, FLEET_SERVICE, row->node, row->id);
    apply_put(a, schema_key_view(&k), buf_view(&a->scratch));
    catalog_key_instance(a, &k, row);
    apply_put(a, schema_key_view(&k), (struct bytes){0});
    catalog_touch_service(a, row);
    return old != NULL ? catalog_each_check_of(a, row, catalog_refill_check) : OK;
}

static bool catalog_same_service(struct apply *a,
                                 const struct service_row *old,
                                 struct bytes data,
                                 const struct service_row *new)
{
    struct service_row row = *new;
    row.create_index = old->create_index;
    row.modify_index = old->modify_index;
    buf_clear(&a->scratch);
    CHECK(row_service_encode(&a->scratch, &row) == OK);
    return bytes_equal(buf_view(&a->scratch), data);
}

enum err catalog_set_service(struct apply *a, const struct service_row *row)
{
    struct rocks_slice node = {0};
    struct rocks_slice slice = {0};
    struct node_row n;
    struct service_row old;
    struct service_row filled = *row;
    enum err e = catalog_node(a, row->node, &node, &n);
    if (e == ERR_NOT_FOUND) {
        apply_refuse(a, "service %.*s is of a node that is not registered: %.*s",
                     BYTES_FORMAT(row->id), BYTES_FORMAT(row->node));
        return OK;
    }
    if (e == OK) {
        filled.node = n.name;
        e = catalog_service(a, (struct bytes[]){row->node, row->id}, &slice, &old);
        if (e == ERR_NOT_FOUND) {
            e = catalog_write_service(a, &filled, NULL);
        } else if (e == OK && !catalog_same_service(a, &old, slice.value, &filled)) {
            e = catalog_write_service(a, &filled, &old);
        }
    }
    rocks_slice_close(&slice);
    rocks_slice_close(&node);
    return e;
}

static void catalog_drop_service(struct apply *a, const struct service_row *row)
{
    struct schema_key k;
    catalog_key_instance(a, &k, row);
    apply_delete(a, schema_key_view(&k));
    schema_fleet_two(&k, a->meta.restores, FLEET_SERVICE, row->node, row->id);
    apply_delete(a, schema_key_view(&k));
    catalog_touch_service(a, row);
}

static enum err catalog_delete_check_of(struct apply *a,
                                        const struct service_row *service,
                                        const struct check_row *row)
{
    (void)service;
    enum err e = session_on_check_gone(a, row->node, row->id);
    return e == OK ? catalog_drop_check(a, row) : e;
}

enum err catalog_delete_service(struct apply *a, struct bytes node, struct bytes id)
{
    struct rocks_slice slice = {0};
    struct service_row row;
    enum err e = catalog_service(a, (struct bytes[]){node, id}, &slice, &row);
    if (e == OK) {
        e = catalog_each_check_of(a, &row, catalog_delete_check_of);
        if (e == OK) {
            catalog_drop_service(a, &row);
        }
    }
    rocks_slice_close(&slice);
    return e == ERR_NOT_FOUND ? OK : e;
}
