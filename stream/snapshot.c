#include "stream/snapshot.h"

#include "core/base/check.h"
#include "core/base/limit.h"

void snapshot_open(struct snapshot *snap, struct view *v, const struct selection *sel)
{
    CHECK(snap->view == NULL);
    *snap = (struct snapshot){
        .index = view_index(v),
        .view = view_ref(v),
        .scan = sel->kind == TARGET_KEY ? NULL : kv_scan_open(v, sel->target),
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
    return !row->dead && selection_matches(sel, &c);
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

enum err snapshot_page(struct snapshot *snap,
                       const struct selection *sel,
                       size_t bytes_max,
                       size_t rows_max,
                       struct buf *out,
                       size_t *ret_rows)
{
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
