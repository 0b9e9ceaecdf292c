#include "store/restore_fleet.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/pack.h"
#include "store/restore.h"

void restore_fleet_drop(struct apply *a, uint64_t restores)
{
    struct schema_key from = {.len = 1};
    from.data[0] = schema_fleet_half(restores);
    restore_drop(a, &from);
}

static void restore_begin_key(struct apply *a, struct schema_key *k, enum fleet_table table)
{
    schema_fleet_begin(k, a->meta.restores + 1, table);
}

static void restore_put_link(struct apply *a, const struct schema_key *k)
{
    apply_put(a, schema_key_view(k), (struct bytes){0});
}

/* A backup may come from a cluster that was further: what is to come must be newer. */
static uint64_t restore_bound(struct apply *a, uint64_t index)
{
    return index < a->index ? index : a->index;
}

static void restore_put_number(struct apply *a, const struct schema_key *k, uint64_t number)
{
    buf_clear(&a->row);
    pack_u64(&a->row, number);
    apply_put(a, schema_key_view(k), buf_view(&a->row));
}

/* The index of a name: what it counts is there. */
static void restore_moved(struct apply *a, const char *prefix, struct bytes name)
{
    struct schema_key k;
    restore_begin_key(a, &k, FLEET_MOVED);
    schema_fleet_exact(&k, bytes_of(prefix));
    schema_fleet_part(&k, name, false);
    restore_put_number(a, &k, a->index);
}

/* Writes `a->scratch`, unless there is such a row already: then `ret_new` is false. */
static enum err restore_put_new(struct apply *a, const struct schema_key *k, bool *ret_new)
{
    enum err e = apply_get(a, schema_key_view(k), &a->slice);
    *ret_new = e == ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND) {
        apply_put(a, schema_key_view(k), buf_view(&a->scratch));
        return OK;
    }
    return e;
}

/* --- rows ------------------------------------------------------------------------------------ */

static enum err restore_node(struct apply *a, struct bytes data)
{
    struct node_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_node_decode(data, &row) == OK);
    row.create_index = restore_bound(a, row.create_index);
    row.modify_index = restore_bound(a, row.modify_index);
    CHECK(row_node_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_NODE);
    schema_fleet_part(&k, row.name, false);
    enum err e = restore_put_new(a, &k, &new);
    if (e != OK || !new) {
        return e;
    }
    restore_moved(a, FLEET_INDEX_NODE, row.name);
    if (row.id.len > 0) {
        restore_begin_key(a, &k, FLEET_NODE_ID);
        schema_fleet_part(&k, row.id, false);
        apply_put(a, schema_key_view(&k), row.name);
    }
    return OK;
}

static enum err restore_service(struct apply *a, struct bytes data)
{
    struct service_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_service_decode(data, &row) == OK);
    row.create_index = restore_bound(a, row.create_index);
    row.modify_index = restore_bound(a, row.modify_index);
    CHECK(row_service_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_SERVICE);
    schema_fleet_part(&k, row.node, true);
    schema_fleet_part(&k, row.id, false);
    enum err e = restore_put_new(a, &k, &new);
    if (e == OK && new) {
        restore_moved(a, FLEET_INDEX_SERVICE, row.name);
        restore_begin_key(a, &k, FLEET_INSTANCE);
        schema_fleet_part(&k, row.name, true);
        schema_fleet_part(&k, row.node, true);
        schema_fleet_part(&k, row.id, false);
        restore_put_link(a, &k);
    }
    return e;
}

static enum err restore_check(struct apply *a, struct bytes data)
{
    struct check_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_check_decode(data, &row) == OK);
    row.create_index = restore_bound(a, row.create_index);
    row.modify_index = restore_bound(a, row.modify_index);
    CHECK(row_check_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_CHECK);
    schema_fleet_part(&k, row.node, true);
    schema_fleet_part(&k, row.id, false);
    enum err e = restore_put_new(a, &k, &new);
    if (e == OK && new) {
        restore_begin_key(a, &k, FLEET_CHECK_OF);
        schema_fleet_part(&k, row.service_id, true);
        schema_fleet_part(&k, row.node, true);
        schema_fleet_part(&k, row.id, false);
        restore_put_link(a, &k);
    }
    return e;
}

static enum err restore_session(struct apply *a, struct bytes data)
{
    struct session_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_session_decode(data, &row) == OK);
    row.create_index = restore_bound(a, row.create_index);
    row.modify_index = restore_bound(a, row.modify_index);
    CHECK(row_session_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_SESSION);
    schema_fleet_part(&k, row.id, false);
    enum err e = restore_put_new(a, &k, &new);
    if (e == OK && new) {
        restore_moved(a, FLEET_INDEX_SESSION, row.id);
        restore_begin_key(a, &k, FLEET_NODE_SESSION);
        schema_fleet_part(&k, row.node, true);
        schema_fleet_part(&k, row.id, false);
        restore_put_link(a, &k);
    }
    return e;
}

static enum err restore_coordinate(struct apply *a, struct bytes data)
{
    struct coordinate_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_coordinate_decode(data, &row) == OK);
    row.modify_index = restore_bound(a, row.modify_index);
    CHECK(row_coordinate_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_COORDINATE);
    schema_fleet_part(&k, row.node, true);
    schema_fleet_part(&k, row.segment, false);
    return restore_put_new(a, &k, &new);
}

/* An event of an index that is still to come would be in the way of another. */
static enum err restore_event(struct apply *a, struct bytes data)
{
    struct event_row row;
    struct schema_key k;
    bool new = false;
    CHECK(row_event_decode(data, &row) == OK);
    row.index = restore_bound(a, row.index);
    CHECK(row_event_encode(&a->scratch, &row) == OK);
    restore_begin_key(a, &k, FLEET_EVENT);
    schema_fleet_number(&k, row.index);
    return restore_put_new(a, &k, &new);
}

/* The clock of what expires begins anew with the leader that reads it. */
static void restore_expiry(struct apply *a, const struct backup_row *row)
{
    struct schema_key k;
    struct unpack in = {.rest = row->value};
    uint64_t after_ms = unpack_u64(&in);
    uint64_t set_index = unpack_u64(&in);
    restore_begin_key(a, &k, FLEET_EXPIRY);
    schema_fleet_exact(&k, row->rest);
    buf_clear(&a->row);
    pack_u64(&a->row, after_ms);
    pack_u64(&a->row, restore_bound(a, set_index));
    apply_put(a, schema_key_view(&k), buf_view(&a->row));
}

static void restore_acl(struct apply *a, const struct backup_row *row)
{
    struct schema_key k;
    restore_begin_key(a, &k, FLEET_ACL);
    schema_fleet_exact(&k, row->rest);
    apply_put(a, schema_key_view(&k), row->value);
}

enum err restore_fleet_row(struct apply *a, const struct backup_row *row)
{
    buf_clear(&a->scratch);
    switch (row->table) {
    case FLEET_NODE:
        return restore_node(a, row->value);
    case FLEET_SERVICE:
        return restore_service(a, row->value);
    case FLEET_CHECK:
        return restore_check(a, row->value);
    case FLEET_SESSION:
        return restore_session(a, row->value);
    case FLEET_COORDINATE:
        return restore_coordinate(a, row->value);
    case FLEET_EVENT:
        return restore_event(a, row->value);
    case FLEET_EXPIRY:
        restore_expiry(a, row);
        return OK;
    case FLEET_ACL:
        restore_acl(a, row);
        return OK;
    case FLEET_NODE_ID:
    case FLEET_INSTANCE:
    case FLEET_CHECK_OF:
    case FLEET_NODE_SESSION:
    case FLEET_HELD:
    case FLEET_MOVED:
    case FLEET_GONE:
        break;
    }
    return OK;
}

void restore_fleet_lock(struct apply *a, const struct kv_row *row)
{
    struct schema_key k;
    if (row->session.len > 0) {
        restore_begin_key(a, &k, FLEET_HELD);
        schema_fleet_part(&k, row->session, true);
        schema_fleet_exact(&k, row->key);
        restore_put_link(a, &k);
    }
}
