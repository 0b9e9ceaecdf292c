#include "store/apply.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/pack.h"
#include "store/schema_fleet.h"

/* --- rows ------------------------------------------------------------------------------------ */

void apply_put(struct apply *a, struct bytes key, struct bytes value)
{
    rocks_batch_put(a->batch, key, value);
    if (a->overlaid) {
        overlay_put(&a->written, key, value);
    }
}

void apply_delete(struct apply *a, struct bytes key)
{
    rocks_batch_delete(a->batch, key);
    if (a->overlaid) {
        overlay_delete(&a->written, key);
    }
}

enum err apply_get_before(struct apply *a, struct bytes key, struct rocks_slice *ret_slice)
{
    return rocks_get(a->db, NULL, key, ret_slice, a->why);
}

enum err apply_get(struct apply *a, struct bytes key, struct rocks_slice *ret_slice)
{
    const struct overlay_node *node = a->overlaid ? overlay_find(&a->written, key) : NULL;
    if (node == NULL) {
        return apply_get_before(a, key, ret_slice);
    }
    rocks_slice_close(ret_slice);
    if (node->dead) {
        return ERR_NOT_FOUND;
    }
    ret_slice->value = node->value;
    return OK;
}

/* --- scans ----------------------------------------------------------------------------------- */

void apply_scan_open_before(struct apply_scan *scan,
                            struct apply *a,
                            const struct schema_key *prefix)
{
    struct schema_key to = *prefix;
    schema_key_end(&to);
    scan->key = (struct bytes){0};
    scan->value = (struct bytes){0};
    scan->apply = a;
    scan->overlaid = false;
    scan->prefix = *prefix;
    scan->last.len = 0;
    scan->iter = rocks_iter_new(a->db, NULL, schema_key_view(prefix), schema_key_view(&to));
    rocks_iter_first(scan->iter);
}

void apply_scan_open(struct apply_scan *scan, struct apply *a, const struct schema_key *prefix)
{
    apply_scan_open_before(scan, a, prefix);
    scan->overlaid = a->overlaid;
}

/* The first row that this command wrote behind the row at hand; NULL: none. */
static const struct overlay_node *apply_scan_written(const struct apply_scan *scan)
{
    bool begun = scan->last.len > 0;
    struct bytes from = schema_key_view(begun ? &scan->last : &scan->prefix);
    const struct overlay_node *node = overlay_seek(&scan->apply->written, from);
    if (node != NULL && begun && bytes_equal(node->key, from)) {
        node = overlay_next(node);
    }
    bool in = node != NULL && bytes_begins(node->key, schema_key_view(&scan->prefix));
    return in ? node : NULL;
}

/* Keys of the database are never longer than ours. */
static void apply_scan_stand(struct apply_scan *scan, struct bytes key, struct bytes value)
{
    CHECK(key.len <= sizeof scan->last.data);
    memcpy(scan->last.data, key.ptr, key.len);
    scan->last.len = key.len;
    scan->key = schema_key_view(&scan->last);
    scan->value = value;
}

/* One step of the merge; ERR_AHEAD: the row is deleted, look further. */
static enum err apply_scan_merge(struct apply_scan *scan)
{
    bool stored = rocks_iter_valid(scan->iter);
    if (stored && scan->last.len > 0 &&
        bytes_compare(rocks_iter_key(scan->iter), schema_key_view(&scan->last)) <= 0) {
        rocks_iter_next(scan->iter);
        stored = rocks_iter_valid(scan->iter);
    }
    enum err e = rocks_iter_error(scan->iter, scan->apply->why);
    if (e != OK) {
        return e;
    }
    const struct overlay_node *node = apply_scan_written(scan);
    int order = -1;
    if (node != NULL) {
        order = stored ? bytes_compare(rocks_iter_key(scan->iter), node->key) : 1;
    }
    if (order < 0 && !stored) {
        return ERR_NOT_FOUND;
    }
    if (order < 0) {
        apply_scan_stand(scan, rocks_iter_key(scan->iter), rocks_iter_value(scan->iter));
        return OK;
    }
    apply_scan_stand(scan, node->key, node->value);
    return node->dead ? ERR_AHEAD : OK;
}

enum err apply_scan_next(struct apply_scan *scan)
{
    enum err e;
    if (scan->overlaid) {
        do {
            e = apply_scan_merge(scan);
        } while (e == ERR_AHEAD);
        return e;
    }
    if (scan->last.len > 0 && rocks_iter_valid(scan->iter)) {
        rocks_iter_next(scan->iter);
    }
    scan->last.len = 1;
    if (!rocks_iter_valid(scan->iter)) {
        e = rocks_iter_error(scan->iter, scan->apply->why);
        return e == OK ? ERR_NOT_FOUND : e;
    }
    scan->key = rocks_iter_key(scan->iter);
    scan->value = rocks_iter_value(scan->iter);
    return OK;
}

void apply_scan_close(struct apply_scan *scan)
{
    rocks_iter_free(scan->iter);
    scan->iter = NULL;
}

/* --- indexes --------------------------------------------------------------------------------- */

static void apply_put_index(struct apply *a, const struct schema_key *k)
{
    char data[sizeof(uint64_t)];
    struct buf number;
    buf_init(&number, sizeof data);
    pack_u64(&number, a->index);
    memcpy(data, number.ptr, sizeof data);
    buf_close(&number);
    apply_put(a, schema_key_view(k), (struct bytes){data, sizeof data});
}

static void apply_moved_key(struct apply *a, struct schema_key *k, struct bytes name)
{
    schema_fleet_begin(k, a->meta.restores, FLEET_MOVED);
    schema_fleet_exact(k, name);
}

void apply_moved(struct apply *a, struct bytes name)
{
    struct schema_key k;
    apply_moved_key(a, &k, name);
    const struct overlay_node *node =
        a->overlaid ? overlay_find(&a->written, schema_key_view(&k)) : NULL;
    if (node == NULL || node->dead) {
        apply_put_index(a, &k);
        collect_moved(a->out, name);
    }
}

/* The name in the case of the keys. */
static struct bytes apply_name(struct schema_key *k, const char *prefix, struct bytes name)
{
    k->len = 0;
    schema_fleet_exact(k, bytes_of(prefix));
    schema_fleet_part(k, name, false);
    return schema_key_view(k);
}

void apply_moved_of(struct apply *a, const char *prefix, struct bytes name)
{
    struct schema_key k;
    apply_moved(a, apply_name(&k, prefix, name));
}

void apply_gone_of(struct apply *a, const char *prefix, struct bytes name)
{
    struct schema_key text;
    struct schema_key k;
    struct bytes whole = apply_name(&text, prefix, name);
    apply_moved_key(a, &k, whole);
    apply_delete(a, schema_key_view(&k));
    collect_moved(a->out, whole);
    schema_fleet_begin(&k, a->meta.restores, FLEET_GONE);
    apply_put_index(a, &k);
}
