#include "tests/sim/check_stream.h"

#include "core/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Where the subscription stands. */
struct stream_walk {
    const struct stream_truth *truths;
    size_t truth_count;
    const struct stream_log *log;
    size_t number; /* of the record at hand */
    const struct stream_truth *truth;
    bool has_cursor;
    uint64_t cursor;
    uint64_t open; /* index whose last part has not come; 0: none */
    size_t next;   /* the first of the truth's events that is not dealt with */
    struct reason *why;
};

__attribute__((format(printf, 2, 3))) static bool
stream_fail(struct stream_walk *w, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    reason_set(w->why, "%s, record %zu: %s", w->log->name, w->number, text);
    return false;
}

static const char *stream_op_name(enum stream_op op)
{
    switch (op) {
    case STREAM_SET:
        return "set";
    case STREAM_DELETE:
        return "delete";
    case STREAM_DELETE_PREFIX:
        return "delete-prefix";
    }
    return "nothing that is known";
}

/* An event for a message. */
#define EVENT_FORMAT  "%s of \"%.*s\" at %lu"
#define EVENT_ARGS(e) stream_op_name((e)->op), BYTES_FORMAT((e)->key), (e)->index

static enum stream_match stream_match(const struct stream_walk *w, const struct stream_event *e)
{
    return w->log->match == NULL ? STREAM_MUST : w->log->match(w->log->ctx, e);
}

static const struct stream_truth *stream_truth_of(const struct stream_walk *w, uint64_t epoch)
{
    for (size_t i = 0; i < w->truth_count; i++) {
        if (w->truths[i].epoch == epoch) {
            return &w->truths[i];
        }
    }
    return NULL;
}

/* How many of the truth's events are at or before `index`. */
static size_t stream_seek(const struct stream_truth *t, uint64_t index)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->events[middle].index <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void stream_set_cursor(struct stream_walk *w, uint64_t index)
{
    w->has_cursor = true;
    w->cursor = index;
    w->open = 0;
    w->next = stream_seek(w->truth, index);
}

/* --- what is never ahead --------------------------------------------------------------------- */

static bool stream_check_ahead(struct stream_walk *w, const struct stream_record *r, uint64_t index)
{
    if (r->committed != 0 && index > r->committed) {
        return stream_fail(w, "told of index %lu, committed was %lu", index, r->committed);
    }
    if (index > w->truth->head) {
        return stream_fail(w, "told of index %lu, the log ends at %lu", index, w->truth->head);
    }
    return true;
}

/* --- events ---------------------------------------------------------------------------------- */

static bool stream_same(const struct stream_event *a, const struct stream_event *b)
{
    return a->index == b->index && a->op == b->op && a->digest == b->digest &&
           bytes_equal(a->key, b->key) && (b->n == 0 || a->n == b->n);
}

/* The next one that the truth has for this subscriber must be `e`. */
static bool stream_take(struct stream_walk *w, const struct stream_event *e)
{
    const struct stream_truth *t = w->truth;
    for (; w->next < t->count && t->events[w->next].index <= e->index; w->next++) {
        const struct stream_event *x = &t->events[w->next];
        enum stream_match match = stream_match(w, x);
        if (stream_same(x, e)) {
            if (match == STREAM_MUST_NOT) {
                return stream_fail(w, EVENT_FORMAT " was not asked for", EVENT_ARGS(e));
            }
            w->next++;
            return true;
        }
        if (match == STREAM_MUST) {
            return stream_fail(w, "missed " EVENT_FORMAT "; got " EVENT_FORMAT, EVENT_ARGS(x),
                               EVENT_ARGS(e));
        }
    }
    return stream_fail(w, EVENT_FORMAT " never happened, or came before", EVENT_ARGS(e));
}

/* Everything up to `through` has come. */
static bool stream_seal(struct stream_walk *w, uint64_t through)
{
    const struct stream_truth *t = w->truth;
    for (; w->next < t->count && t->events[w->next].index <= through; w->next++) {
        const struct stream_event *x = &t->events[w->next];
        if (stream_match(w, x) == STREAM_MUST) {
            return stream_fail(w, "missed " EVENT_FORMAT ", through %lu", EVENT_ARGS(x), through);
        }
    }
    w->cursor = through;
    return true;
}

/* --- records --------------------------------------------------------------------------------- */

/* Those of an index past `through`, whose rest is still to come. */
static bool stream_check_open(struct stream_walk *w,
                              const struct stream_record *r,
                              const struct stream_event *e)
{
    if (!r->part) {
        return stream_fail(w, EVENT_FORMAT " is past through %lu", EVENT_ARGS(e), r->through);
    }
    if (w->open != 0 && e->index != w->open) {
        return stream_fail(w, "a part holds the open indexes %lu and %lu", w->open, e->index);
    }
    w->open = e->index;
    return true;
}

static bool stream_batch_events(struct stream_walk *w, const struct stream_record *r)
{
    bool sealed = false;
    for (size_t i = 0; i < r->count; i++) {
        const struct stream_event *e = &r->events[i];
        if (e->index <= r->after) {
            return stream_fail(w, EVENT_FORMAT " is not after %lu", EVENT_ARGS(e), r->after);
        }
        if (i > 0 && e->index < e[-1].index) {
            return stream_fail(w, "index %lu comes after %lu", e->index, e[-1].index);
        }
        if (!stream_check_ahead(w, r, e->index)) {
            return false;
        }
        if (e->index > r->through) {
            if (!stream_check_open(w, r, e) || (!sealed && !stream_seal(w, r->through))) {
                return false;
            }
            sealed = true;
        }
        if (!stream_take(w, e)) {
            return false;
        }
    }
    return sealed || stream_seal(w, r->through);
}

static bool stream_batch(struct stream_walk *w, const struct stream_record *r)
{
    if (r->after != w->cursor) {
        return stream_fail(w, "a batch begins after %lu, the cursor is %lu", r->after, w->cursor);
    }
    if (r->through < r->after) {
        return stream_fail(w, "a batch goes from %lu back to %lu", r->after, r->through);
    }
    if (!stream_check_ahead(w, r, r->through)) {
        return false;
    }
    uint64_t open = w->open;
    if (open != 0 && (r->count == 0 || r->events[0].index != open)) {
        return stream_fail(w, "the rest of index %lu does not follow its first part", open);
    }
    w->open = 0;
    return stream_batch_events(w, r);
}

static bool stream_mark(struct stream_walk *w, const struct stream_record *r)
{
    if (w->open != 0) {
        return stream_fail(w, "a mark between the parts of index %lu", w->open);
    }
    if (r->through < w->cursor) {
        return stream_fail(w, "a mark goes from %lu back to %lu", w->cursor, r->through);
    }
    return stream_check_ahead(w, r, r->through) && stream_seal(w, r->through);
}

static bool stream_from(struct stream_walk *w, const struct stream_record *r)
{
    const struct stream_truth *t = stream_truth_of(w, r->epoch);
    if (t == NULL) {
        return stream_fail(w, "epoch %lu never was", r->epoch);
    }
    if (w->has_cursor && (t != w->truth || r->after != w->cursor)) {
        return stream_fail(w, "resumes after %lu of epoch %lu, the cursor is %lu of epoch %lu",
                           r->after, r->epoch, w->cursor, w->truth->epoch);
    }
    w->truth = t;
    stream_set_cursor(w, r->after);
    return true;
}

static bool stream_compacted(struct stream_walk *w, const struct stream_record *r)
{
    bool same_epoch = w->truth != NULL && r->epoch == w->truth->epoch;
    if (w->has_cursor && same_epoch && w->cursor >= r->oldest) {
        return stream_fail(w, "compacted at %lu, though %lu can be resumed from", w->cursor,
                           r->oldest);
    }
    w->has_cursor = false;
    return true;
}

/* --- snapshots ------------------------------------------------------------------------------- */

static int stream_by_key(const void *x, const void *y)
{
    const struct stream_event *a = *(const struct stream_event *const *)x;
    const struct stream_event *b = *(const struct stream_event *const *)y;
    int c = bytes_compare(a->key, b->key);
    if (c != 0 || a->index != b->index) {
        return c != 0 ? c : a->index < b->index ? -1 : 1;
    }
    return a->n < b->n ? -1 : a->n > b->n;
}

/* A deletion by prefix took it after it was set. */
static bool stream_swept(const struct stream_truth *t, const struct stream_event *set, size_t until)
{
    for (size_t i = (size_t)(set - t->events) + 1; i < until; i++) {
        const struct stream_event *e = &t->events[i];
        if (e->op == STREAM_DELETE_PREFIX && bytes_begins(set->key, e->key)) {
            return true;
        }
    }
    return false;
}

/* What was set, not taken away again, and asked for, of the first `until` events; by key. */
static size_t
stream_state(const struct stream_walk *w, size_t until, const struct stream_event **ret_rows)
{
    size_t count = 0;
    for (size_t i = 0; i < until; i++) {
        if (w->truth->events[i].op != STREAM_DELETE_PREFIX) {
            ret_rows[count++] = &w->truth->events[i];
        }
    }
    qsort(ret_rows, count, sizeof(struct stream_event *), stream_by_key);
    size_t live = 0;
    for (size_t i = 0; i < count; i++) {
        const struct stream_event *e = ret_rows[i];
        bool last = i + 1 == count || !bytes_equal(e->key, ret_rows[i + 1]->key);
        if (last && e->op == STREAM_SET && stream_match(w, e) == STREAM_MUST &&
            !stream_swept(w->truth, e, until)) {
            ret_rows[live++] = e;
        }
    }
    return live;
}

static bool stream_compare_rows(struct stream_walk *w,
                                const struct stream_record *r,
                                const struct stream_event **want,
                                size_t want_count)
{
    const struct stream_event **got = mem_zalloc(r->count + 1, sizeof(struct stream_event *));
    for (size_t i = 0; i < r->count; i++) {
        got[i] = &r->events[i];
    }
    qsort(got, r->count, sizeof(struct stream_event *), stream_by_key);
    bool well = true;
    for (size_t i = 0; well && i < want_count && i < r->count; i++) {
        if (!bytes_equal(got[i]->key, want[i]->key) || got[i]->digest != want[i]->digest) {
            well = stream_fail(w, "the snapshot at %lu has \"%.*s\", wanted " EVENT_FORMAT,
                               r->through, BYTES_FORMAT(got[i]->key), EVENT_ARGS(want[i]));
        }
    }
    if (well && r->count != want_count) {
        well = stream_fail(w, "the snapshot at %lu has %zu keys, wanted %zu", r->through, r->count,
                           want_count);
    }
    free(got);
    return well;
}

static bool stream_snapshot(struct stream_walk *w, const struct stream_record *r)
{
    w->truth = stream_truth_of(w, r->epoch);
    if (w->truth == NULL) {
        return stream_fail(w, "epoch %lu never was", r->epoch);
    }
    if (!stream_check_ahead(w, r, r->through)) {
        return false;
    }
    size_t until = stream_seek(w->truth, r->through);
    const struct stream_event **rows = mem_zalloc(until + 1, sizeof(struct stream_event *));
    size_t count = stream_state(w, until, rows);
    bool well = stream_compare_rows(w, r, rows, count);
    free(rows);
    stream_set_cursor(w, r->through);
    return well;
}

static bool stream_record(struct stream_walk *w, const struct stream_record *r)
{
    switch (r->kind) {
    case STREAM_FROM:
        return stream_from(w, r);
    case STREAM_SNAPSHOT:
        return stream_snapshot(w, r);
    case STREAM_COMPACTED:
        return stream_compacted(w, r);
    case STREAM_BATCH:
    case STREAM_MARK:
        break;
    }
    if (!w->has_cursor) {
        return stream_fail(w, "something comes before a start");
    }
    if (r->epoch != w->truth->epoch) {
        return stream_fail(w, "epoch %lu in a stream of %lu", r->epoch, w->truth->epoch);
    }
    return r->kind == STREAM_BATCH ? stream_batch(w, r) : stream_mark(w, r);
}

bool check_stream(const struct stream_truth *truths,
                  size_t truth_count,
                  const struct stream_log *log,
                  struct reason *why)
{
    struct stream_walk w = {
        .truths = truths,
        .truth_count = truth_count,
        .log = log,
        .why = why,
    };
    for (; w.number < log->count; w.number++) {
        if (!stream_record(&w, &log->records[w.number])) {
            return false;
        }
    }
    if (log->reach != 0 && (!w.has_cursor || w.cursor < log->reach)) {
        return stream_fail(&w, "ends at %lu, not at %lu", w.cursor, log->reach);
    }
    return true;
}
