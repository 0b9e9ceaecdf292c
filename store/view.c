#include "store/view.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/view_private.h"

#include <stdlib.h>

struct view {
    struct state_db *db;
    struct rocks_snapshot *snapshot;
    struct schema_meta meta;
    atomic_uint refs;
};

static struct rocks *view_rocks(const struct view *v)
{
    return state_db_rocks(v->db);
}

/* --- life ------------------------------------------------------------------------------------ */

struct view *view_new(struct state_db *db, const struct schema_meta *meta)
{
    struct view *v = mem_alloc(sizeof(*v));
    *v = (struct view){
        .db = state_db_ref(db),
        .snapshot = rocks_snapshot_new(state_db_rocks(db)),
        .meta = *meta,
    };
    atomic_init(&v->refs, 1);
    return v;
}

struct view *view_ref(struct view *v)
{
    CHECK(atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed) > 0);
    return v;
}

void view_unref(struct view *v)
{
    if (v == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        struct state_db *db = v->db;
        rocks_snapshot_free(v->snapshot);
        free(v);
        state_db_unref(db);
    }
}

const struct schema_meta *view_meta(const struct view *v)
{
    return &v->meta;
}

struct rocks_iter *view_rows(const struct view *v)
{
    return rocks_iter_new(view_rocks(v), v->snapshot, (struct bytes){0}, (struct bytes){0});
}

struct rocks_iter *view_rows_of(const struct view *v, const struct schema_key *prefix)
{
    struct schema_key to = *prefix;
    schema_key_end(&to);
    return rocks_iter_new(view_rocks(v), v->snapshot, schema_key_view(prefix),
                          schema_key_view(&to));
}

enum err view_row(const struct view *v, struct bytes key, struct rocks_slice *ret_slice)
{
    return rocks_get(view_rocks(v), v->snapshot, key, ret_slice, NULL);
}

uint64_t view_index(const struct view *v)
{
    return v->meta.applied;
}

uint64_t view_epoch(const struct view *v)
{
    /* Before the first restore it is the cluster's id itself; then each restore scatters it over
     * all values (the finalizer of MurmurHash3), as near ones would look alike to a person. */
    uint64_t epoch = v->meta.cluster;
    if (v->meta.restores > 0) {
        epoch ^= v->meta.restores * 0x9e3779b97f4a7c15U;
        epoch = (epoch ^ epoch >> 33) * 0xff51afd7ed558ccdU;
        epoch = (epoch ^ epoch >> 33) * 0xc4ceb9fe1a85ec53U;
        epoch ^= epoch >> 33;
    }
    return epoch;
}

uint64_t view_kv_index(const struct view *v)
{
    return v->meta.kv_index > 0 ? v->meta.kv_index : 1;
}

uint64_t view_kv_reaped(const struct view *v)
{
    return v->meta.kv_reaped;
}

uint64_t view_kv_restored(const struct view *v)
{
    return v->meta.restored;
}

uint64_t view_history_oldest(const struct view *v)
{
    return v->meta.history_oldest;
}

/* --- rows ------------------------------------------------------------------------------------ */

void view_pin_close(struct view_pin *pin)
{
    struct rocks_slice slice = {.pinned = pin->slice};
    rocks_slice_close(&slice);
    pin->slice = NULL;
}

enum err view_kv_get(struct view *v, struct bytes key, struct view_pin *pin, struct kv_row *ret_row)
{
    view_pin_close(pin);
    if (key.len > KV_KEY_MAX) {
        return ERR_NOT_FOUND;
    }
    struct schema_key k;
    schema_key_kv(&k, v->meta.restores, key);
    struct rocks_slice slice = {0};
    enum err e = rocks_get(view_rocks(v), v->snapshot, schema_key_view(&k), &slice, NULL);
    if (e != OK) {
        return e;
    }
    struct kv_row row = {.key = key};
    e = schema_row_decode(slice.value, &row);
    if (e != OK) {
        rocks_slice_close(&slice);
        return e;
    }
    pin->slice = slice.pinned;
    *ret_row = row;
    return OK;
}

enum err view_autopilot(struct view *v, struct autopilot *ret_autopilot)
{
    struct schema_key k;
    schema_key_autopilot(&k);
    struct rocks_slice slice = {0};
    enum err e = rocks_get(view_rocks(v), v->snapshot, schema_key_view(&k), &slice, NULL);
    if (e != OK) {
        return e;
    }
    e = schema_autopilot_decode(slice.value, ret_autopilot);
    rocks_slice_close(&slice);
    return e;
}

struct kv_scan {
    uint64_t restores;       /* the view's */
    struct rocks_iter *iter; /* NULL: the prefix is longer than any key */
    bool fresh;              /* the iterator stands on a row that was not given out yet */
};

struct kv_scan *kv_scan_open(struct view *v, struct bytes prefix)
{
    struct kv_scan *scan = mem_alloc(sizeof(*scan));
    *scan = (struct kv_scan){.restores = v->meta.restores, .fresh = true};
    if (prefix.len > KV_KEY_MAX) {
        return scan;
    }
    struct schema_key from;
    schema_key_kv(&from, v->meta.restores, prefix);
    struct schema_key to = from;
    schema_key_end(&to);
    scan->iter =
        rocks_iter_new(view_rocks(v), v->snapshot, schema_key_view(&from), schema_key_view(&to));
    rocks_iter_first(scan->iter);
    return scan;
}

enum err kv_scan_next(struct kv_scan *scan, struct kv_row *ret_row)
{
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
    struct kv_row row = {0};
    enum err e = schema_parse_kv(rocks_iter_key(scan->iter), &row.key);
    if (e == OK) {
        e = schema_row_decode(rocks_iter_value(scan->iter), &row);
    }
    if (e == OK) {
        *ret_row = row;
    }
    return e;
}

void kv_scan_seek(struct kv_scan *scan, struct bytes key)
{
    if (scan->iter == NULL) {
        return;
    }
    /* What is longer than any key comes behind its own beginning, and no key is in between. */
    bool cut = key.len > KV_KEY_MAX;
    struct schema_key k;
    schema_key_kv(&k, scan->restores, cut ? bytes_slice(key, 0, KV_KEY_MAX) : key);
    rocks_iter_seek(scan->iter, schema_key_view(&k));
    if (cut && rocks_iter_valid(scan->iter) &&
        bytes_equal(rocks_iter_key(scan->iter), schema_key_view(&k))) {
        rocks_iter_next(scan->iter);
    }
    scan->fresh = true;
}

void kv_scan_close(struct kv_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    rocks_iter_free(scan->iter);
    free(scan);
}

/* --- changes --------------------------------------------------------------------------------- */

struct change_scan {
    struct view *view; /* borrowed */
    struct rocks_iter *iter;
    bool fresh;
    bool by_key;
    struct rocks_slice slice; /* by key: the change at hand */
    struct bytes key;         /* by key: owned */
};

static struct change_scan *
change_scan_new(struct view *v, const struct schema_key *from, const struct schema_key *to)
{
    struct change_scan *scan = mem_alloc(sizeof(*scan));
    *scan = (struct change_scan){
        .view = v,
        .iter =
            rocks_iter_new(view_rocks(v), v->snapshot, schema_key_view(from), schema_key_view(to)),
        .fresh = true,
    };
    rocks_iter_first(scan->iter);
    return scan;
}

enum err change_scan_open(struct view *v, uint64_t after, struct change_scan **ret_scan)
{
    if (after < v->meta.history_oldest) {
        return ERR_COMPACTED;
    }
    /* An index of the future: there is nothing behind it, and no overflow either. */
    uint64_t start = after < v->meta.applied ? after : v->meta.applied;
    struct schema_key from;
    struct schema_key to;
    schema_key_change(&from, start + 1, 0);
    schema_key_change(&to, v->meta.applied + 1, 0);
    *ret_scan = change_scan_new(v, &from, &to);
    return OK;
}

struct change_scan *change_scan_open_key(struct view *v, struct bytes key)
{
    struct schema_key from;
    struct schema_key to;
    uint64_t hash = schema_hash(key);
    /* Newest first; trimmed ones are behind the end, so that nobody walks over them. */
    schema_key_history(&from, hash, UINT64_MAX, 0);
    schema_key_history(&to, hash, v->meta.history_oldest, 0);
    struct change_scan *scan = change_scan_new(v, &from, &to);
    scan->by_key = true;
    scan->key = (struct bytes){mem_dup(key.ptr == NULL ? "" : key.ptr, key.len), key.len};
    return scan;
}

static enum err change_scan_row(struct change_scan *scan, struct change *ret_change)
{
    enum err e = change_decode(rocks_iter_value(scan->iter), ret_change);
    return e != OK ? e
                   : schema_parse_change(rocks_iter_key(scan->iter), &ret_change->index,
                                         &ret_change->n);
}

static enum err change_scan_link(struct change_scan *scan, struct change *ret_change)
{
    struct change c;
    uint64_t index = 0;
    uint32_t n = 0;
    enum err e = schema_parse_history(rocks_iter_key(scan->iter), &index, &n);
    if (e != OK) {
        return e;
    }
    struct schema_key k;
    schema_key_change(&k, index, n);
    e = rocks_get(view_rocks(scan->view), scan->view->snapshot, schema_key_view(&k), &scan->slice,
                  NULL);
    if (e != OK) {
        /* The link without its change: both are written and trimmed in one batch. */
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    e = change_decode(scan->slice.value, &c);
    if (e == OK) {
        c.index = index;
        c.n = n;
        *ret_change = c;
    }
    return e;
}

/* Keys may share a hash, and a name of the fleet may be a key too. */
static bool change_scan_wants(const struct change_scan *scan, const struct change *c)
{
    if (!scan->by_key) {
        return true;
    }
    if (c->topic != CHANGE_KV) {
        return false;
    }
    return c->op == CHANGE_DELETE_PREFIX ? bytes_begins(scan->key, c->key)
                                         : bytes_equal(scan->key, c->key);
}

enum err change_scan_next(struct change_scan *scan, struct change *ret_change)
{
    for (;;) {
        if (!scan->fresh && rocks_iter_valid(scan->iter)) {
            rocks_iter_next(scan->iter);
        }
        scan->fresh = false;
        if (!rocks_iter_valid(scan->iter)) {
            enum err e = rocks_iter_error(scan->iter, NULL);
            return e == OK ? ERR_NOT_FOUND : e;
        }
        struct change c = {0};
        enum err e = scan->by_key ? change_scan_link(scan, &c) : change_scan_row(scan, &c);
        if (e != OK) {
            return e;
        }
        if (change_scan_wants(scan, &c)) {
            *ret_change = c;
            return OK;
        }
    }
}

void change_scan_close(struct change_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    rocks_iter_free(scan->iter);
    rocks_slice_close(&scan->slice);
    free((void *)(uintptr_t)scan->key.ptr);
    free(scan);
}
