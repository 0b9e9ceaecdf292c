#include "stream/snapshot.h"

#include "core/base/check.h"
#include "core/base/limit.h"

/* The narrowest scan that holds everything of the selection. */
static struct fleet_scan *snapshot_scan(struct view *v, const struct selection *sel)
{
    bool key = sel->kind == TARGET_KEY;
    struct bytes all = {0};
    switch (sel->topic) {
    case CHANGE_SERVICE:
        return fleet_instances(v, key ? sel->target : all);
    case CHANGE_NODE:
        return fleet_nodes(v);
    case CHANGE_CHECK:
        return fleet_checks(v, sel->node);
    case CHANGE_SESSION:
        return fleet_sessions(v);
    case CHANGE_EVENT:
        return fleet_events(v);
    case CHANGE_KV:
    case CHANGE_TOPICS:
        break;
    }
    return NULL;
}

void snapshot_open(struct snapshot *snap,
                   struct view *v,
                   const struct selection *sel,
                   const char *datacenter)
{
    CHECK(snap->view == NULL);
    bool kv = sel->topic == CHANGE_KV;
    *snap = (struct snapshot){
        .index = view_index(v),
        .datacenter = datacenter,
        .view = view_ref(v),
        .scan = kv && sel->kind != TARGET_KEY ? kv_scan_open(v, sel->target) : NULL,
        .fleet = kv ? NULL : snapshot_scan(v, sel),
    };
}

bool snapshot_is_open(const struct snapshot *snap)
{
    return snap->view != NULL;
}

void snapshot_close(struct snapshot *snap)
{
    if (snap->view != NULL) {
        if (snap->scan != NULL) {
            kv_scan_close(snap->scan);
        }
        if (snap->fleet != NULL) {
            fleet_scan_close(snap->fleet);
        }
        view_unref(snap->view);
        *snap = (struct snapshot){0};
    }
}

/* A row passes the filter if its last write would. */
static bool snapshot_wants(const struct selection *sel, const struct kv_row *row)
{
    struct change c = {
        .index = row->modify_index,
        .topic = CHANGE_KV,
        .op = CHANGE_SET,
        .key = row->key,
        .value = row->value,
        .flags = row->flags,
        .create_index = row->create_index,
        .lock_index = row->lock_index,
        .session = row->session,
    };
    struct stream_event e;
    return !row->dead && selection_judge(sel, &c, &e) == OK && e.op != EVENT_NONE;
}

static size_t snapshot_add(struct buf *out, const struct selection *sel, const struct kv_row *row)
{
    if (!snapshot_wants(sel, row)) {
        return 0;
    }
    if (out->len > 0) {
        buf_put_char(out, ',');
    }
    frame_row(out, row, sel->style.raw);
    return 1;
}

static enum err
snapshot_one(struct snapshot *snap, const struct selection *sel, struct buf *out, size_t *ret_rows)
{
    struct view_pin pin = {0};
    struct kv_row row;
    enum err e = view_kv_get(snap->view, sel->target, &pin, &row);
    *ret_rows = e == OK ? snapshot_add(out, sel, &row) : 0;
    view_pin_close(&pin);
    snap->done = true;
    return e == ERR_NOT_FOUND ? OK : e;
}

/* --- the fleet ------------------------------------------------------------------------------- */

/* The checks of an instance, in the order of its health row: the node's, then its own. */
static enum err
snapshot_checks(struct view *v, struct instance_row *r, struct buf *checks, struct buf *own)
{
    struct fleet_scan *scan = fleet_checks(v, r->service.node);
    struct check_row row;
    struct buf one;
    enum err e = OK;
    buf_init(&one, UINT32_MAX);
    r->status = CHECK_PASSING;
    while (e == OK && (e = fleet_next_check(scan, &row)) == OK) {
        bool mine = bytes_equal_nocase(row.service_id, r->service.id);
        if (row.service_id.len > 0 && !mine) {
            continue;
        }
        buf_clear(&one);
        e = row_check_encode(&one, &row);
        e = e == OK ? texts_add(row.service_id.len > 0 ? own : checks, buf_view(&one)) : e;
        r->status = row.status > r->status ? row.status : r->status;
    }
    if (e == ERR_NOT_FOUND) {
        e = buf_append(checks, buf_view(own));
    }
    r->checks = buf_view(checks);
    buf_close(&one);
    fleet_scan_close(scan);
    return e;
}

/* An event that is about a row that is there, and what it borrows from. */
struct snapshot_row {
    struct stream_event event;
    struct change change;
    struct view_pin pin;
    struct buf key;
    struct buf checks;
    struct buf own;
};

static enum err snapshot_instance(struct snapshot *snap, struct snapshot_row *row)
{
    struct instance_row *r = &row->event.row.instance;
    *r = (struct instance_row){.is = true};
    enum err e = fleet_next_service(snap->fleet, &r->service);
    if (e != OK) {
        return e;
    }
    row->event.op = EVENT_ADDED;
    row->change.key = r->service.name;
    row->change.index = r->service.modify_index;
    e = view_node(snap->view, r->service.node, &row->pin, &r->node);
    e = e == OK ? snapshot_checks(snap->view, r, &row->checks, &row->own) : e;
    /* An instance has a node, and a scan of checks an end. */
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err snapshot_check(struct snapshot *snap, struct snapshot_row *row)
{
    struct check_row *r = &row->event.row.check;
    enum err e = fleet_next_check(snap->fleet, r);
    e = e == OK ? buf_append(&row->key, r->node) : e;
    e = e == OK ? buf_append_char(&row->key, '/') : e;
    e = e == OK ? buf_append(&row->key, r->id) : e;
    row->change.key = buf_view(&row->key);
    row->change.index = e == OK ? r->modify_index : 0;
    return e;
}

/* The next row of the scan; ERR_NOT_FOUND behind the last. */
static enum err
snapshot_read(struct snapshot *snap, enum change_topic topic, struct snapshot_row *row)
{
    struct stream_event *e = &row->event;
    enum err err = ERR_NOT_FOUND;
    e->op = EVENT_SET;
    if (topic == CHANGE_SERVICE) {
        return snapshot_instance(snap, row);
    }
    if (topic == CHANGE_CHECK) {
        return snapshot_check(snap, row);
    }
    if (topic == CHANGE_NODE) {
        err = fleet_next_node(snap->fleet, &e->row.node);
        row->change.key = err == OK ? e->row.node.name : (struct bytes){0};
        row->change.index = err == OK ? e->row.node.modify_index : 0;
    } else if (topic == CHANGE_SESSION) {
        err = fleet_next_session(snap->fleet, &e->row.session);
        row->change.key = err == OK ? e->row.session.id : (struct bytes){0};
        row->change.index = err == OK ? e->row.session.modify_index : 0;
    } else if (topic == CHANGE_EVENT) {
        err = fleet_next_event(snap->fleet, &e->row.event);
        row->change.key = err == OK ? e->row.event.name : (struct bytes){0};
        row->change.index = err == OK ? e->row.event.index : 0;
    }
    return err;
}

static enum err snapshot_fleet_one(struct snapshot *snap,
                                   const struct selection *sel,
                                   struct buf *out,
                                   size_t *ret_rows)
{
    struct snapshot_row row = {
        .change = {.topic = sel->topic, .op = CHANGE_SET},
        .event = {.has_row = true},
    };
    row.event.change = &row.change;
    buf_init(&row.key, UINT32_MAX);
    buf_init(&row.checks, UINT32_MAX);
    buf_init(&row.own, UINT32_MAX);
    enum err e = snapshot_read(snap, sel->topic, &row);
    if (e == OK && selection_has(sel, &row.event)) {
        if (out->len > 0) {
            buf_put_char(out, ',');
        }
        frame_fleet_row(out, &row.event, bytes_of(snap->datacenter));
        *ret_rows += 1;
    }
    view_pin_close(&row.pin);
    buf_close(&row.key);
    buf_close(&row.checks);
    buf_close(&row.own);
    return e;
}

static enum err snapshot_fleet(struct snapshot *snap,
                               const struct selection *sel,
                               size_t bytes_max,
                               size_t rows_max,
                               struct buf *out,
                               size_t *ret_rows)
{
    size_t rows = 0;
    for (size_t read = 0; read < STREAM_TURN_CHANGES / 4; read++) {
        if (rows >= rows_max || out->len >= bytes_max) {
            break;
        }
        enum err e = snapshot_fleet_one(snap, sel, out, &rows);
        if (e == ERR_NOT_FOUND) {
            snap->done = true;
            break;
        }
        if (e != OK) {
            return e;
        }
    }
    *ret_rows = rows;
    return OK;
}

enum err snapshot_page(struct snapshot *snap,
                       const struct selection *sel,
                       size_t bytes_max,
                       size_t rows_max,
                       struct buf *out,
                       size_t *ret_rows)
{
    if (snap->fleet != NULL) {
        return snapshot_fleet(snap, sel, bytes_max, rows_max, out, ret_rows);
    }
    if (snap->scan == NULL) {
        return snapshot_one(snap, sel, out, ret_rows);
    }
    size_t rows = 0;
    for (size_t read = 0; read < STREAM_TURN_CHANGES; read++) {
        struct kv_row row;
        if (rows >= rows_max || out->len >= bytes_max) {
            break;
        }
        enum err e = kv_scan_next(snap->scan, &row);
        if (e == ERR_NOT_FOUND) {
            snap->done = true;
            break;
        }
        if (e != OK) {
            return e;
        }
        rows += snapshot_add(out, sel, &row);
    }
    *ret_rows = rows;
    return OK;
}
