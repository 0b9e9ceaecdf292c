#include "store/history.h"

#include "core/base/check.h"
#include "store/pack.h"

#include <stdlib.h>

/* An 'H' row is its key alone. */
#define HISTORY_LINK_LEN   21U
#define HISTORY_CHANGE_LEN 13U   /* a 'C' key */
#define HISTORY_CHUNK      2048U /* hashes per 'P' row: 16 KiB */

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

static int history_compare(const void *left, const void *right)
{
    uint64_t l = *(const uint64_t *)left;
    uint64_t r = *(const uint64_t *)right;
    return (l > r) - (l < r);
}

/* One row of hashes. */
static void history_record_chunk(struct rocks_batch *batch,
                                 struct schema_meta *meta,
                                 const struct schema_key *k,
                                 const uint64_t *hashes,
                                 size_t count)
{
    struct buf row;
    buf_init(&row, HISTORY_CHUNK * sizeof(uint64_t));
    for (size_t i = 0; i < count; i++) {
        pack_u64(&row, hashes[i]);
    }
    history_put(batch, meta, k, buf_view(&row));
    buf_close(&row);
}

void history_record_cascade(struct rocks_batch *batch,
                            struct schema_meta *meta,
                            const struct change *c,
                            uint64_t *hashes,
                            size_t count)
{
    qsort(hashes, count, sizeof(*hashes), history_compare);
    for (size_t at = 0; at < count; at += HISTORY_CHUNK) {
        struct schema_key k;
        size_t left = count - at;
        schema_key_cascade(&k, c->index, c->n, (uint32_t)(at / HISTORY_CHUNK));
        history_record_chunk(batch, meta, &k, hashes + at,
                             left < HISTORY_CHUNK ? left : HISTORY_CHUNK);
    }
    for (size_t i = 0; i < count; i++) {
        history_link(batch, meta, hashes[i], c->index, c->n);
    }
}

/* --- trimming -------------------------------------------------------------------------------- */

struct history_trimming {
    struct rocks *db;
    struct rocks_batch *batch;
    struct schema_meta *meta;
    size_t steps;
    struct buf changes; /* the keys of trimmed changes */
    struct reason *why;
};

/* Rows of one table go into the batch together and in order: several times faster than mixed. */
static void history_trim_changes(struct history_trimming *t)
{
    struct bytes keys = buf_view(&t->changes);
    for (size_t at = 0; at < keys.len; at += HISTORY_CHANGE_LEN) {
        rocks_batch_delete(t->batch, bytes_slice(keys, at, at + HISTORY_CHANGE_LEN));
    }
}

static void history_discount(struct history_trimming *t, size_t len)
{
    CHECK(t->meta->history_bytes >= len);
    t->meta->history_bytes -= len;
    t->steps++;
}

static void history_trim_link(struct history_trimming *t, uint64_t hash, const struct change *c)
{
    struct schema_key k;
    schema_key_history(&k, hash, c->index, c->n);
    rocks_batch_delete(t->batch, schema_key_view(&k));
    history_discount(t, k.len);
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
        rocks_batch_delete(t->batch, rocks_iter_key(it));
        history_discount(t, rocks_iter_key(it).len + hashes.len);
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
    CHECK(raw_key.len == HISTORY_CHANGE_LEN);
    buf_put(&t->changes, raw_key);
    history_discount(t, raw_key.len + raw_value.len);
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
    /* An index goes whole, so the last one may go past the step. */
    buf_init(&t.changes, SIZE_MAX / 2);
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
        history_trim_changes(&t);
        *ret_more = more;
    }
    buf_close(&t.changes);
    return e;
}
