/* What became of the instances that a command touched: before it, as the database still has them,
 * and behind it, with what it wrote. */
#include "store/catalog.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/schema_fleet.h"

/* --- touching -------------------------------------------------------------------------------- */

/* Keys of `touched` are node, NUL, service id, in lower case; without id: all of the node are. */
static void touch_key(struct schema_key *k, struct bytes node, struct bytes service_id)
{
    k->len = 0;
    schema_fleet_part(k, node, true);
    schema_fleet_part(k, service_id, false);
}

void catalog_touch(struct apply *a, struct bytes node, struct bytes service_id)
{
    struct schema_key k;
    touch_key(&k, node, service_id);
    overlay_put(&a->touched, schema_key_view(&k), (struct bytes){0});
}

/* Those that come later touch themselves, and those that went did. */
enum err catalog_touch_node(struct apply *a, struct bytes node)
{
    struct schema_key k;
    struct schema_key prefix;
    struct apply_scan scan;
    touch_key(&k, node, (struct bytes){0});
    if (overlay_find(&a->touched, schema_key_view(&k)) != NULL) {
        return OK;
    }
    overlay_put(&a->touched, schema_key_view(&k), (struct bytes){0});
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_SERVICE);
    schema_fleet_part(&prefix, node, true);
    apply_scan_open(&scan, a, &prefix);
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = apply_scan_next(&scan)) {
        catalog_touch(a, node, bytes_slice(scan.key, prefix.len, scan.key.len));
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* --- one side: before, or behind ------------------------------------------------------------- */

/* Checks as an instance shows them. There may be more than a change can hold: whole while they are
 * few, then without their texts, then only their number and how bad they are. */
struct side_checks {
    struct buf rows; /* texts */
    size_t count;
    bool written; /* one of them by this command */
    enum check_status worst;
};

struct side {
    struct apply *a;
    bool before;
    struct rocks_slice node_slice;
    struct rocks_slice service_slice;
    bool has_node;
    struct node_row node;
    struct side_checks node_checks;
    bool is; /* the instance */
    struct service_row service;
    struct side_checks checks; /* the node's, then its own */
};

static void side_open(struct side *s, struct apply *a, bool before)
{
    *s = (struct side){.a = a, .before = before};
    buf_init(&s->node_checks.rows, INSTANCE_CHECKS_MAX);
    buf_init(&s->checks.rows, INSTANCE_CHECKS_MAX);
}

static void side_close(struct side *s)
{
    rocks_slice_close(&s->node_slice);
    rocks_slice_close(&s->service_slice);
    buf_close(&s->node_checks.rows);
    buf_close(&s->checks.rows);
}

static enum err side_get(struct side *s, const struct schema_key *k, struct rocks_slice *slice)
{
    return s->before ? apply_get_before(s->a, schema_key_view(k), slice)
                     : apply_get(s->a, schema_key_view(k), slice);
}

static void side_checks_clear(struct side_checks *c)
{
    buf_clear(&c->rows);
    c->count = 0;
    c->written = false;
    c->worst = CHECK_PASSING;
}

/* Without what may be long. */
static void
side_checks_add_short(struct side *s, struct side_checks *c, const struct check_row *row)
{
    struct check_row brief = {
        .node = row->node,
        .id = row->id,
        .name = row->name,
        .status = row->status,
        .service_id = row->service_id,
        .service_name = row->service_name,
        .create_index = row->create_index,
        .modify_index = row->modify_index,
    };
    buf_clear(&s->a->scratch);
    CHECK(row_check_encode(&s->a->scratch, &brief) == OK);
    if (s->a->scratch.len + sizeof(uint32_t) <= INSTANCE_CHECKS_MAX - c->rows.len) {
        CHECK(texts_add(&c->rows, buf_view(&s->a->scratch)) == OK);
    }
}

static enum err side_checks_add(struct side *s, struct side_checks *c, struct bytes data)
{
    struct check_row row;
    if (row_check_decode(data, &row) != OK) {
        return catalog_corrupt(s->a);
    }
    c->count++;
    c->written = c->written || row.modify_index == s->a->index;
    c->worst = row.status > c->worst ? row.status : c->worst;
    if (c->rows.len + data.len + sizeof(uint32_t) <= INSTANCE_CHECKS_WHOLE) {
        return texts_add(&c->rows, data);
    }
    side_checks_add_short(s, c, &row);
    return OK;
}

/* Of an instance; without id, of the node. */
static enum err
side_checks_read(struct side *s, struct side_checks *c, struct bytes node, struct bytes service_id)
{
    struct schema_key prefix;
    struct schema_key k;
    struct apply_scan scan;
    struct rocks_slice slice = {0};
    schema_fleet_begin(&prefix, s->a->meta.restores, FLEET_CHECK_OF);
    schema_fleet_part(&prefix, service_id, true);
    schema_fleet_part(&prefix, node, true);
    if (s->before) {
        apply_scan_open_before(&scan, s->a, &prefix);
    } else {
        apply_scan_open(&scan, s->a, &prefix);
    }
    enum err e = apply_scan_next(&scan);
    for (; e == OK; e = e == OK ? apply_scan_next(&scan) : e) {
        struct bytes id = bytes_slice(scan.key, prefix.len, scan.key.len);
        schema_fleet_two(&k, s->a->meta.restores, FLEET_CHECK, node, id);
        e = side_get(s, &k, &slice);
        e = e == OK              ? side_checks_add(s, c, slice.value)
            : e == ERR_NOT_FOUND ? catalog_corrupt(s->a)
                                 : e;
    }
    rocks_slice_close(&slice);
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Once for all instances of the node. */
static enum err side_read_node(struct side *s, struct bytes node)
{
    struct schema_key k;
    side_checks_clear(&s->node_checks);
    schema_fleet_one(&k, s->a->meta.restores, FLEET_NODE, node);
    enum err e = side_get(s, &k, &s->node_slice);
    s->has_node = e == OK;
    if (e == ERR_NOT_FOUND) {
        return OK;
    }
    if (e == OK && row_node_decode(s->node_slice.value, &s->node) != OK) {
        return catalog_corrupt(s->a);
    }
    return e == OK ? side_checks_read(s, &s->node_checks, node, (struct bytes){0}) : e;
}

static enum err side_read(struct side *s, struct bytes node, struct bytes service_id)
{
    struct schema_key k;
    s->is = false;
    side_checks_clear(&s->checks);
    if (!s->has_node) {
        return OK;
    }
    schema_fleet_two(&k, s->a->meta.restores, FLEET_SERVICE, node, service_id);
    enum err e = side_get(s, &k, &s->service_slice);
    if (e == ERR_NOT_FOUND) {
        return OK;
    }
    if (e == OK && row_service_decode(s->service_slice.value, &s->service) != OK) {
        return catalog_corrupt(s->a);
    }
    if (e != OK) {
        return e;
    }
    s->is = true;
    struct side_checks *c = &s->checks;
    buf_put(&c->rows, buf_view(&s->node_checks.rows));
    c->count = s->node_checks.count;
    c->written = s->node_checks.written;
    c->worst = s->node_checks.worst;
    return side_checks_read(s, c, node, service_id);
}

/* --- both ------------------------------------------------------------------------------------ */

/* A row that this command wrote has its index; one that went is missing. */
static bool sides_differ(const struct side *was, const struct side *is)
{
    uint64_t index = is->a->index;
    if (!was->is || !is->is) {
        return was->is != is->is;
    }
    return is->node.modify_index == index || is->service.modify_index == index ||
           is->checks.written || is->checks.count != was->checks.count;
}

/* What a list needs, when all of it is too much for a change. */
static void settle_encode_short(struct buf *out, struct instance_row *row)
{
    row->node.tagged = (struct bytes){0};
    row->node.meta = (struct bytes){0};
    row->service.tagged = (struct bytes){0};
    row->service.meta = (struct bytes){0};
    row->service.extra = (struct bytes){0};
    buf_clear(out);
    CHECK(row_instance_encode(out, row) == OK);
}

static void settle_tell(struct apply *a, struct instance_row *row)
{
    struct buf *out = &a->scratch;
    struct bytes name = row->service.name;
    buf_clear(out);
    if (row_instance_encode(out, row) != OK || out->len > KV_VALUE_MAX) {
        settle_encode_short(out, row);
    }
    CHECK(out->len <= KV_VALUE_MAX);
    apply_change(a, &(struct change){
                        .topic = CHANGE_SERVICE,
                        .op = row->is ? CHANGE_SET : CHANGE_DELETE,
                        .key = name,
                        .value = buf_view(out),
                    });
}

static void settle_fill_before(struct instance_row *row, const struct side *was)
{
    row->was = true;
    row->before = was->checks.worst;
    row->tags_before = was->service.tags;
    row->address_before = was->service.address.len > 0 ? was->service.address : was->node.address;
    row->port_before = was->service.port;
}

/* The index of a service's name; it goes with the last instance. */
static enum err settle_name(struct apply *a, struct bytes name, bool lost)
{
    struct schema_key k;
    struct apply_scan scan;
    enum err e = OK;
    if (lost) {
        schema_fleet_begin(&k, a->meta.restores, FLEET_MOVED);
        schema_fleet_exact(&k, BYTES(FLEET_INDEX_SERVICE));
        schema_fleet_part(&k, name, false);
        if (overlay_find(&a->written, schema_key_view(&k)) != NULL) {
            return OK;
        }
        schema_fleet_begin(&k, a->meta.restores, FLEET_INSTANCE);
        schema_fleet_part(&k, name, true);
        apply_scan_open(&scan, a, &k);
        e = apply_scan_next(&scan);
        apply_scan_close(&scan);
    }
    if (e == ERR_NOT_FOUND) {
        apply_gone_of(a, FLEET_INDEX_SERVICE, name);
        return OK;
    }
    if (e == OK) {
        apply_moved_of(a, FLEET_INDEX_SERVICE, name);
    }
    return e;
}

static enum err settle_removed(struct apply *a, const struct side *was)
{
    struct instance_row row = {
        .is = false,
        .service = {.node = was->service.node, .id = was->service.id, .name = was->service.name},
    };
    settle_fill_before(&row, was);
    settle_tell(a, &row);
    return settle_name(a, was->service.name, true);
}

static enum err settle_instance(struct apply *a, const struct side *was, const struct side *is)
{
    if (!sides_differ(was, is)) {
        return OK;
    }
    if (!is->is) {
        return settle_removed(a, was);
    }
    struct instance_row row = {
        .is = true,
        .node = is->node,
        .service = is->service,
        .checks = buf_view(&is->checks.rows),
        .status = is->checks.worst,
    };
    enum err e = OK;
    if (was->is && bytes_equal_nocase(was->service.name, is->service.name)) {
        settle_fill_before(&row, was);
    } else if (was->is) {
        /* Under another name now: it left one list and came into another. */
        e = settle_removed(a, was);
    }
    if (e == OK) {
        settle_tell(a, &row);
        e = settle_name(a, is->service.name, false);
    }
    return e;
}

enum err catalog_settle(struct apply *a)
{
    struct side was;
    struct side is;
    struct bytes node = {0};
    enum err e = OK;
    side_open(&was, a, true);
    side_open(&is, a, false);
    const struct overlay_node *at = overlay_seek(&a->touched, (struct bytes){0});
    for (; e == OK && at != NULL; at = overlay_next(at)) {
        size_t end = bytes_find(at->key, '\0');
        struct bytes name = bytes_slice(at->key, 0, end);
        struct bytes id = bytes_slice(at->key, end + 1, at->key.len);
        if (id.len == 0) {
            continue;
        }
        if (!bytes_equal(name, node)) {
            node = name;
            e = side_read_node(&was, node);
            e = e == OK ? side_read_node(&is, node) : e;
        }
        e = e == OK ? side_read(&was, node, id) : e;
        e = e == OK ? side_read(&is, node, id) : e;
        e = e == OK ? settle_instance(a, &was, &is) : e;
    }
    side_close(&was);
    side_close(&is);
    return e;
}
