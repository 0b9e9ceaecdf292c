#include "store/history.h"

#include "core/base/check.h"
#include "store/pack.h"

/* An 'H' row is its key alone. */
#define HISTORY_LINK_LEN 21U

static void history_put(struct rocks_batch *batch,
                        struct schema_meta *meta,
                        const struct schema_key *k,
                        struct bytes value)
{
    rocks_batch_put(batch, schema_key_view(k), value);
    meta->history_bytes += k->len + value.len;
}

static void history_link(struct rocks_batch *batch,
                         struct schema_meta *meta,
                         uint64_t hash,
                         uint64_t index,
                         uint32_t n)
{
    struct schema_key k;
    schema_key_history(&k, hash, index, n);
    CHECK(k.len == HISTORY_LINK_LEN);
    history_put(batch, meta, &k, (struct bytes){0});
}

void history_record(struct rocks_batch *batch,
                    struct schema_meta *meta,
                    struct buf *scratch,
                    const struct change *c)
{
    struct schema_key k;
    schema_key_change(&k, c->index, c->n);
    buf_clear(scratch);
    CHECK(change_encode(scratch, c) == OK);
    history_put(batch, meta, &k, buf_view(scratch));
    if (c->op != CHANGE_DELETE_PREFIX) {
        history_link(batch, meta, schema_hash(c->key), c->index, c->n);
    }
}

/* --- what a delete-prefix took --------------------------------------------------------------- */

void history_cascade_init(struct history_cascade *h,
                          struct rocks_batch *batch,
                          struct schema_meta *meta,
                          uint64_t index,
                          uint32_t n)
{
    h->batch = batch;
    h->meta = meta;
    h->index = index;
    h->n = n;
    h->chunk = 0;
    h->count = 0;
}

void history_cascade_finish(struct history_cascade *h)
{
    if (h->count == 0) {
        return;
    }
    struct schema_key k;
    schema_key_cascade(&k, h->index, h->n, h->chunk);
    history_put(h->batch, h->meta, &k, (struct bytes){h->hashes, h->count * sizeof(uint64_t)});
    h->chunk++;
    h->count = 0;
}

void history_cascade_add(struct history_cascade *h, struct bytes key)
{
    uint64_t hash = schema_hash(key);
    history_link(h->batch, h->meta, hash, h->index, h->n);
    for (size_t i = 0; i < sizeof(hash); i++) {
        h->hashes[h->count * sizeof(hash) + i] = (char)(hash >> (8 * i));
    }
    h->count++;
    if (h->count == HISTORY_CHUNK) {
        history_cascade_finish(h);
    }
}

/* --- trimming -------------------------------------------------------------------------------- */

struct history_trimming {
    struct rocks *db;
    struct rocks_batch *batch;
    struct schema_meta *meta;
    size_t steps;
    struct reason *why;
};

static void
history_trim_row(struct history_trimming *t, struct bytes raw_key, struct bytes raw_value)
{
    size_t len = raw_key.len + raw_value.len;
    CHECK(t->meta->history_bytes >= len);
    rocks_batch_delete(t->batch, raw_key);
    t->meta->history_bytes -= len;
    t->steps++;
}

static void history_trim_link(struct history_trimming *t, uint64_t hash, const struct change *c)
{
    struct schema_key k;
    schema_key_history(&k, hash, c->index, c->n);
    history_trim_row(t, schema_key_view(&k), (struct bytes){0});
}

static enum err history_trim_cascade(struct history_trimming *t, const struct change *c)
{
    struct schema_key from;
    struct schema_key to;
    schema_key_cascade(&from, c->index, c->n, 0);
    schema_key_cascade(&to, c->index, c->n, UINT32_MAX);
    struct rocks_iter *it =
        rocks_iter_new(t->db, NULL, schema_key_view(&from), schema_key_view(&to));
    for (rocks_iter_first(it); rocks_iter_valid(it); rocks_iter_next(it)) {
        struct bytes hashes = rocks_iter_value(it);
        struct unpack in = {.rest = hashes};
        while (in.rest.len >= sizeof(uint64_t)) {
            history_trim_link(t, unpack_u64(&in), c);
        }
        history_trim_row(t, rocks_iter_key(it), hashes);
    }
    enum err e = rocks_iter_error(it, t->why);
    rocks_iter_free(it);
    return e;
}

static enum err history_trim_change(struct history_trimming *t,
                                    const struct change *c,
                                    struct bytes raw_key,
                                    struct bytes raw_value)
{
    enum err e = OK;
    if (c->op == CHANGE_DELETE_PREFIX) {
        e = history_trim_cascade(t, c);
    } else {
        history_trim_link(t, schema_hash(c->key), c);
    }
    history_trim_row(t, raw_key, raw_value);
    t->meta->history_oldest = c->index;
    return e;
}

static enum err history_read(const struct rocks_iter *it, struct change *ret_change)
{
    struct change c = {0};
    enum err e = change_decode(rocks_iter_value(it), &c);
    if (e == OK) {
        e = schema_parse_change(rocks_iter_key(it), &c.index, &c.n);
    }
    if (e == OK) {
        *ret_change = c;
    }
    return e;
}

static bool history_is_due(const struct schema_meta *meta,
                           const struct history_limits *limits,
                           const struct change *c)
{
    return meta->history_bytes > limits->bytes_max || c->time_ms < limits->before_ms;
}

enum err history_trim(struct rocks *db,
                      struct rocks_batch *batch,
                      struct schema_meta *meta,
                      const struct history_limits *limits,
                      bool *ret_more,
                      struct reason *why)
{
    struct history_trimming t = {.db = db, .batch = batch, .meta = meta, .why = why};
    struct schema_key from;
    struct schema_key to;
    schema_key_change(&from, meta->history_oldest + 1, 0);
    schema_key_change(&to, meta->applied + 1, 0);
    struct rocks_iter *it = rocks_iter_new(db, NULL, schema_key_view(&from), schema_key_view(&to));
    bool more = false;
    enum err e = OK;
    for (rocks_iter_first(it); e == OK && rocks_iter_valid(it); rocks_iter_next(it)) {
        struct change c;
        e = history_read(it, &c);
        if (e != OK) {
            break;
        }
        /* Only between two indexes may it end: an index goes whole. */
        if (c.index != meta->history_oldest) {
            if (!history_is_due(meta, limits, &c)) {
                break;
            }
            if (t.steps >= HISTORY_TRIM_STEP) {
                more = true;
                break;
            }
        }
        e = history_trim_change(&t, &c, rocks_iter_key(it), rocks_iter_value(it));
    }
    if (e == OK) {
        e = rocks_iter_error(it, why);
    }
    rocks_iter_free(it);
    if (e == OK) {
        *ret_more = more;
    }
    return e;
}
