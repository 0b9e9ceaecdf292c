#include "store/fleet.h"

#include "core/base/mem.h"
#include "store/pack.h"
#include "store/schema_fleet.h"
#include "store/view_private.h"

#include <stdlib.h>

/* --- indexes --------------------------------------------------------------------------------- */

enum err fleet_index_name(struct buf *out, const char *prefix, struct bytes name)
{
    buf_clear(out);
    enum err e = buf_append_str(out, prefix);
    size_t start = out->len;
    e = e == OK ? buf_append(out, name) : e;
    for (size_t i = start; e == OK && i < out->len; i++) {
        char c = out->ptr[i];
        out->ptr[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return e;
}

/* 0: there is no such row. */
static uint64_t fleet_number(struct view *v, const struct schema_key *k)
{
    struct rocks_slice slice = {0};
    uint64_t number = 0;
    if (view_row(v, schema_key_view(k), &slice) == OK) {
        struct unpack in = {.rest = slice.value};
        number = unpack_u64(&in);
        number = unpack_done(&in) ? number : 0;
    }
    rocks_slice_close(&slice);
    return number;
}

uint64_t view_fleet_index(struct view *v, struct bytes name)
{
    struct schema_key k;
    if (name.len > ROW_NAME_MAX + sizeof FLEET_INDEX_SERVICE) {
        return 0;
    }
    schema_fleet_begin(&k, view_meta(v)->restores, FLEET_MOVED);
    schema_fleet_exact(&k, name);
    uint64_t index = fleet_number(v, &k);
    /* A restore moved the index of each table, and of all that it brought. */
    bool is_table = bytes_find(name, '.') == name.len;
    uint64_t restored = view_kv_restored(v);
    return (index > 0 || is_table) && index < restored ? restored : index;
}

uint64_t view_gone_index(struct view *v)
{
    struct schema_key k;
    schema_fleet_begin(&k, view_meta(v)->restores, FLEET_GONE);
    uint64_t index = fleet_number(v, &k);
    uint64_t restored = view_kv_restored(v);
    return index < restored ? restored : index;
}

/* --- rows ------------------------------------------------------------------------------------ */

static bool fleet_may_be(struct bytes name)
{
    return name.len > 0 && name.len <= ROW_NAME_MAX;
}

/* The row's bytes, pinned. */
static enum err
fleet_pin(struct view *v, const struct schema_key *k, struct view_pin *pin, struct bytes *ret_data)
{
    struct rocks_slice slice = {0};
    enum err e = view_row(v, schema_key_view(k), &slice);
    if (e == OK) {
        pin->slice = slice.pinned;
        *ret_data = slice.value;
    }
    return e;
}

enum err
view_node(struct view *v, struct bytes name, struct view_pin *pin, struct node_row *ret_row)
{
    struct schema_key k;
    struct bytes data;
    view_pin_close(pin);
    if (!fleet_may_be(name)) {
        return ERR_NOT_FOUND;
    }
    schema_fleet_one(&k, view_meta(v)->restores, FLEET_NODE, name);
    enum err e = fleet_pin(v, &k, pin, &data);
    return e == OK ? row_node_decode(data, ret_row) : e;
}

enum err
view_node_by_id(struct view *v, struct bytes id, struct view_pin *pin, struct node_row *ret_row)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    view_pin_close(pin);
    if (!fleet_may_be(id)) {
        return ERR_NOT_FOUND;
    }
    schema_fleet_one(&k, view_meta(v)->restores, FLEET_NODE_ID, id);
    enum err e = view_row(v, schema_key_view(&k), &slice);
    if (e == OK) {
        e = view_node(v, slice.value, pin, ret_row);
    }
    rocks_slice_close(&slice);
    return e;
}

static enum err fleet_pin_two(struct view *v,
                              enum fleet_table table,
                              const struct bytes names[2],
                              struct view_pin *pin,
                              struct bytes *ret_data)
{
    struct schema_key k;
    view_pin_close(pin);
    if (!fleet_may_be(names[0]) || !fleet_may_be(names[1])) {
        return ERR_NOT_FOUND;
    }
    schema_fleet_two(&k, view_meta(v)->restores, table, names[0], names[1]);
    return fleet_pin(v, &k, pin, ret_data);
}

enum err view_service(struct view *v,
                      struct bytes node,
                      struct bytes id,
                      struct view_pin *pin,
                      struct service_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_pin_two(v, FLEET_SERVICE, (struct bytes[]){node, id}, pin, &data);
    return e == OK ? row_service_decode(data, ret_row) : e;
}

enum err view_check(struct view *v,
                    struct bytes node,
                    struct bytes id,
                    struct view_pin *pin,
                    struct check_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_pin_two(v, FLEET_CHECK, (struct bytes[]){node, id}, pin, &data);
    return e == OK ? row_check_decode(data, ret_row) : e;
}

enum err
view_session(struct view *v, struct bytes id, struct view_pin *pin, struct session_row *ret_row)
{
    struct schema_key k;
    struct bytes data;
    view_pin_close(pin);
    if (!fleet_may_be(id)) {
        return ERR_NOT_FOUND;
    }
    schema_fleet_one(&k, view_meta(v)->restores, FLEET_SESSION, id);
    enum err e = fleet_pin(v, &k, pin, &data);
    return e == OK ? row_session_decode(data, ret_row) : e;
}

/* --- scans ----------------------------------------------------------------------------------- */

struct fleet_scan {
    struct view *view;        /* borrowed */
    struct rocks_iter *iter;  /* NULL: nothing can be there */
    bool fresh;               /* the iterator stands on a row that was not given out yet */
    enum fleet_table rows;    /* where the rows are that links lead to; else 0 */
    struct rocks_slice slice; /* the row that a link led to */
};

/* What a scan walks over: rows, or links to them. A link is the row's own key behind one part. */
struct fleet_walk {
    enum fleet_table table;
    enum fleet_table rows;
};

static struct fleet_scan *
fleet_scan_new(struct view *v, const struct fleet_walk *walk, const struct schema_key *prefix)
{
    struct fleet_scan *scan = mem_alloc(sizeof *scan);
    *scan = (struct fleet_scan){
        .view = v,
        .iter = prefix != NULL ? view_rows_of(v, prefix) : NULL,
        .fresh = true,
        .rows = walk->rows,
    };
    if (scan->iter != NULL) {
        rocks_iter_first(scan->iter);
    }
    return scan;
}

/* Of all rows, or of those whose first part is `first`. */
static struct fleet_scan *
fleet_scan_open(struct view *v, const struct fleet_walk *walk, struct bytes first)
{
    struct schema_key prefix;
    if (first.len > ROW_NAME_MAX) {
        return fleet_scan_new(v, walk, NULL);
    }
    schema_fleet_begin(&prefix, view_meta(v)->restores, walk->table);
    if (first.len > 0) {
        schema_fleet_part(&prefix, first, true);
    }
    return fleet_scan_new(v, walk, &prefix);
}

struct fleet_scan *fleet_nodes(struct view *v)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_NODE, 0}, (struct bytes){0});
}

struct fleet_scan *fleet_services(struct view *v, struct bytes node)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_SERVICE, 0}, node);
}

struct fleet_scan *fleet_checks(struct view *v, struct bytes node)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_CHECK, 0}, node);
}

struct fleet_scan *fleet_instances(struct view *v, struct bytes service)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_INSTANCE, FLEET_SERVICE}, service);
}

struct fleet_scan *fleet_service_checks(struct view *v, struct bytes node, struct bytes service_id)
{
    struct schema_key prefix;
    const struct fleet_walk walk = {FLEET_CHECK_OF, FLEET_CHECK};
    if (!fleet_may_be(node) || service_id.len > ROW_NAME_MAX) {
        return fleet_scan_new(v, &walk, NULL);
    }
    schema_fleet_begin(&prefix, view_meta(v)->restores, walk.table);
    schema_fleet_part(&prefix, service_id, true);
    schema_fleet_part(&prefix, node, true);
    return fleet_scan_new(v, &walk, &prefix);
}

struct fleet_scan *fleet_sessions(struct view *v)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_SESSION, 0}, (struct bytes){0});
}

struct fleet_scan *fleet_node_sessions(struct view *v, struct bytes node)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_NODE_SESSION, FLEET_SESSION}, node);
}

struct fleet_scan *fleet_events(struct view *v)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_EVENT, 0}, (struct bytes){0});
}

struct fleet_scan *fleet_coordinates(struct view *v, struct bytes node)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_COORDINATE, 0}, node);
}

struct fleet_scan *fleet_held_keys(struct view *v, struct bytes session)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_HELD, 0}, session);
}

struct fleet_scan *fleet_expiries(struct view *v)
{
    return fleet_scan_open(v, &(struct fleet_walk){FLEET_EXPIRY, 0}, (struct bytes){0});
}

void fleet_scan_close(struct fleet_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    rocks_slice_close(&scan->slice);
    rocks_iter_free(scan->iter);
    free(scan);
}

/* What is behind the table's letter, and the value. */
static enum err
fleet_scan_step(struct fleet_scan *scan, struct bytes *ret_rest, struct bytes *ret_value)
{
    enum fleet_table table;
    if (scan->iter == NULL) {
        return ERR_NOT_FOUND;
    }
    if (!scan->fresh && rocks_iter_valid(scan->iter)) {
        rocks_iter_next(scan->iter);
    }
    scan->fresh = false;
    if (!rocks_iter_valid(scan->iter)) {
        enum err e = rocks_iter_error(scan->iter, NULL);
        return e == OK ? ERR_NOT_FOUND : e;
    }
    *ret_value = rocks_iter_value(scan->iter);
    return schema_fleet_parse(rocks_iter_key(scan->iter), &table, ret_rest);
}

/* A link without its row: both are written and go in one batch. */
static enum err fleet_scan_follow(struct fleet_scan *scan, struct bytes rest, struct bytes *ret_row)
{
    struct schema_key k;
    size_t end = bytes_find(rest, '\0');
    if (end == rest.len) {
        return ERR_CORRUPT;
    }
    schema_fleet_begin(&k, view_meta(scan->view)->restores, scan->rows);
    schema_fleet_exact(&k, bytes_slice(rest, end + 1, rest.len));
    enum err e = view_row(scan->view, schema_key_view(&k), &scan->slice);
    if (e == OK) {
        *ret_row = scan->slice.value;
    }
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

/* The next row's bytes. */
static enum err fleet_scan_next(struct fleet_scan *scan, struct bytes *ret_row)
{
    struct bytes rest;
    enum err e = fleet_scan_step(scan, &rest, ret_row);
    return e == OK && scan->rows != 0 ? fleet_scan_follow(scan, rest, ret_row) : e;
}

enum err fleet_next_node(struct fleet_scan *scan, struct node_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_node_decode(data, ret_row) : e;
}

enum err fleet_next_service(struct fleet_scan *scan, struct service_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_service_decode(data, ret_row) : e;
}

enum err fleet_next_check(struct fleet_scan *scan, struct check_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_check_decode(data, ret_row) : e;
}

enum err fleet_next_session(struct fleet_scan *scan, struct session_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_session_decode(data, ret_row) : e;
}

enum err fleet_next_event(struct fleet_scan *scan, struct event_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_event_decode(data, ret_row) : e;
}

enum err fleet_next_coordinate(struct fleet_scan *scan, struct coordinate_row *ret_row)
{
    struct bytes data;
    enum err e = fleet_scan_next(scan, &data);
    return e == OK ? row_coordinate_decode(data, ret_row) : e;
}

/* --- locks ----------------------------------------------------------------------------------- */

enum err fleet_next_key(struct fleet_scan *scan, struct bytes *ret_key)
{
    struct bytes rest;
    struct bytes value;
    enum err e = fleet_scan_step(scan, &rest, &value);
    if (e != OK) {
        return e;
    }
    size_t end = bytes_find(rest, '\0');
    if (end == rest.len) {
        return ERR_CORRUPT;
    }
    *ret_key = bytes_slice(rest, end + 1, rest.len);
    return OK;
}

static enum err fleet_expiry_decode(struct bytes value, struct expiry *x, struct expiry *ret_expiry)
{
    struct unpack in = {.rest = value};
    x->after_ms = unpack_u64(&in);
    x->set_index = unpack_u64(&in);
    if (!unpack_done(&in)) {
        return ERR_CORRUPT;
    }
    *ret_expiry = *x;
    return OK;
}

enum err
view_expiry(struct view *v, enum expiry_kind kind, struct bytes name, struct expiry *ret_expiry)
{
    struct schema_key k;
    struct rocks_slice slice = {0};
    if (name.len > KV_KEY_MAX) {
        return ERR_NOT_FOUND;
    }
    schema_fleet_expiry(&k, view_meta(v)->restores, (uint8_t)kind, name);
    enum err e = view_row(v, schema_key_view(&k), &slice);
    if (e == OK) {
        struct expiry x = {.kind = kind, .name = name};
        e = fleet_expiry_decode(slice.value, &x, ret_expiry);
        rocks_slice_close(&slice);
    }
    return e;
}

enum err fleet_next_expiry(struct fleet_scan *scan, struct expiry *ret_expiry)
{
    struct bytes rest;
    struct bytes value;
    enum err e = fleet_scan_step(scan, &rest, &value);
    if (e != OK) {
        return e;
    }
    struct unpack name = {.rest = rest};
    struct expiry x = {.kind = (enum expiry_kind)unpack_u8(&name)};
    x.name = name.rest;
    if (name.failed || x.kind > EXPIRY_LOCK_DELAY) {
        return ERR_CORRUPT;
    }
    return fleet_expiry_decode(value, &x, ret_expiry);
}
