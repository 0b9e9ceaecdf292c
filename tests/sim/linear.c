#include "tests/sim/linear.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "tests/sim/linear_priv.h"

#include <stdlib.h>
#include <string.h>

const char *linear_verdict_name(enum linear_verdict v)
{
    static const char *const names[] = {
        [LINEAR_OK] = "ok",
        [LINEAR_VIOLATION] = "violation",
        [LINEAR_UNDECIDED] = "undecided",
    };
    return names[v];
}

/* --- the model ------------------------------------------------------------------------------- */

static bool linear_is_write(const struct linear_op *op)
{
    return op->kind != HISTORY_GET;
}

/* The condition, if it has one, holds; a deletion of nothing always does. */
static bool linear_holds(const struct linear_op *op, const struct linear_state *s)
{
    switch (op->kind) {
    case HISTORY_CAS:
        return op->cas == 0 ? s->value == 0 : s->value != 0 && s->index == op->cas;
    case HISTORY_DELETE_CAS:
        return s->value == 0 || s->index == op->cas;
    case HISTORY_GET:
    case HISTORY_SET:
    case HISTORY_DELETE:
        break;
    }
    return true;
}

bool linear_effective(const struct linear_op *op, const struct linear_state *s)
{
    return linear_is_write(op) && linear_holds(op, s) && op->value != s->value;
}

static bool linear_read_fits(const struct linear_op *op, const struct linear_state *s)
{
    return op->read == s->value && (op->read == 0 || op->index == 0 || op->index == s->index);
}

bool linear_apply(const struct linear_op *op, struct linear_state *s, uint64_t index)
{
    if (!linear_is_write(op)) {
        return linear_read_fits(op, s);
    }
    bool holds = linear_holds(op, s);
    if ((op->outcome == HISTORY_OK && !holds) || (op->outcome == HISTORY_FAILED && holds)) {
        return false;
    }
    bool effective = linear_effective(op, s);
    if (op->maybe && !effective) {
        return false; /* the same as if it had not happened */
    }
    uint64_t at = op->index;
    if (at == 0 && effective) {
        at = index;
    }
    if (at != 0 && at <= s->floor) {
        return false;
    }
    if (at != 0) {
        s->floor = at;
    }
    if (effective) {
        s->value = op->value;
        s->index = op->value == 0 ? 0 : at;
    }
    return true;
}

/* --- from the history ------------------------------------------------------------------------ */

struct linear_all {
    const struct history *history;
    struct linear_op *ops; /* by key, then by start */
    size_t count;
};

static const struct history_op *linear_source(const struct history *h, const struct linear_op *op)
{
    return &h->ops[op->number];
}

static int linear_by_key(const void *x, const void *y, void *ctx)
{
    const struct history *h = *(const struct history *const *)ctx;
    const struct linear_op *a = x;
    const struct linear_op *b = y;
    uint32_t ka = linear_source(h, a)->key;
    uint32_t kb = linear_source(h, b)->key;
    if (ka != kb) {
        return ka < kb ? -1 : 1;
    }
    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }
    return a->number < b->number ? -1 : 1;
}

/* A read that says nothing, and a write that never was. */
static bool linear_takes_part(const struct history_op *op)
{
    if (op->kind == HISTORY_GET) {
        return op->outcome == HISTORY_OK && op->mode == HISTORY_CONSISTENT;
    }
    return op->outcome != HISTORY_REFUSED;
}

static void linear_all_init(struct linear_all *all, const struct history *h)
{
    *all = (struct linear_all){.history = h};
    all->ops = mem_alloc((h->count + 1) * sizeof(*all->ops));
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_op *o = &h->ops[i];
        if (!linear_takes_part(o)) {
            continue;
        }
        all->ops[all->count++] = (struct linear_op){
            .start = o->start,
            .end = o->outcome == HISTORY_UNKNOWN ? HISTORY_NEVER : o->end,
            .cas = o->cas,
            .index = o->index,
            .value = o->value,
            .read = o->read,
            .number = i,
            .kind = o->kind,
            .outcome = o->outcome,
            .maybe = o->outcome == HISTORY_UNKNOWN && o->index == 0,
        };
    }
    qsort_r(all->ops, all->count, sizeof(*all->ops), linear_by_key, &h);
}

/* --- learning -------------------------------------------------------------------------------- */

/* Who wrote a value of a key. */
struct linear_writer {
    uint32_t value;
    uint32_t writers;
    struct linear_op *op; /* the only one */
};

static int linear_by_value(const void *x, const void *y)
{
    const struct linear_writer *a = x;
    const struct linear_writer *b = y;
    return a->value < b->value ? -1 : a->value > b->value;
}

static struct linear_writer *
linear_find_writer(struct linear_writer *w, size_t count, uint32_t value)
{
    return bsearch(&(struct linear_writer){.value = value}, w, count, sizeof(*w), linear_by_value);
}

/* Each value that somebody may have written, sorted. */
static size_t linear_writers(const struct linear_key *k, struct linear_writer *w)
{
    size_t count = 0;
    for (size_t i = 0; i < k->count; i++) {
        struct linear_op *op = &k->ops[i];
        if (op->value != 0 && op->outcome != HISTORY_FAILED) {
            w[count++] = (struct linear_writer){.value = op->value, .writers = 1, .op = op};
        }
    }
    qsort(w, count, sizeof(*w), linear_by_value);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++) {
        if (unique > 0 && w[unique - 1].value == w[i].value) {
            w[unique - 1].writers++;
        } else {
            w[unique++] = w[i];
        }
    }
    return unique;
}

/* A value that only one operation wrote got its index from that one: who reads both tells the
 * writer's index, and that it happened. False if a value was read that nobody wrote. */
static bool linear_learn(struct linear_key *k, struct buf *out)
{
    struct linear_writer *w = mem_alloc((k->count + 1) * sizeof(*w));
    size_t count = linear_writers(k, w);
    bool well = true;
    k->values_unique = true;
    for (size_t i = 0; i < count; i++) {
        k->values_unique = k->values_unique && w[i].writers == 1;
    }
    for (size_t i = 0; well && i < k->count; i++) {
        struct linear_op *op = &k->ops[i];
        if (op->read == 0) {
            continue;
        }
        struct linear_writer *by = linear_find_writer(w, count, op->read);
        if (by == NULL) {
            well = false;
            linear_say(out, "a value was read that nobody wrote:\n");
            linear_say_op(out, k->history, op, ">");
        } else if (by->writers == 1 && by->op->index == 0 && op->index != 0) {
            by->op->index = op->index;
            by->op->maybe = false;
        }
    }
    for (size_t i = 0; well && i < k->count; i++) {
        struct linear_op *op = &k->ops[i];
        if (op->read != 0 && op->index == 0) {
            struct linear_writer *by = linear_find_writer(w, count, op->read);
            CHECK(by != NULL);
            op->index = by->writers == 1 ? by->op->index : 0;
        }
    }
    free(w);
    return well;
}

/* --- verdicts -------------------------------------------------------------------------------- */

static enum linear_verdict linear_judge(struct linear_key *k,
                                        const struct linear_options *o,
                                        struct linear_report *report,
                                        struct buf *out)
{
    if (!linear_learn(k, out)) {
        return LINEAR_VIOLATION;
    }
    for (size_t i = 0; i < k->count; i++) {
        k->maybe += k->ops[i].maybe;
    }
    report->unknown += k->maybe;
    if (!o->search_only && linear_order_applies(k)) {
        enum linear_verdict v = linear_order(k, out);
        if (v == LINEAR_OK || k->maybe == 0) {
            return v;
        }
        buf_clear(out);
    }
    report->keys_searched++;
    uint64_t steps = 0;
    enum linear_verdict v = linear_search(k, o->steps_max, out, &steps);
    report->steps += steps;
    return v;
}

/* A violation takes the place of what was only undecided. */
static void linear_report(struct linear_report *report,
                          enum linear_verdict v,
                          struct bytes head,
                          struct bytes text)
{
    if (v == LINEAR_OK || report->verdict == LINEAR_VIOLATION || v == report->verdict) {
        return;
    }
    report->verdict = v;
    snprintf(report->text, sizeof(report->text), "%.*s%.*s", BYTES_FORMAT(head),
             BYTES_FORMAT(text));
}

static void
linear_check_key(struct linear_key *k, const struct linear_options *o, struct linear_report *report)
{
    struct buf out;
    struct buf head;
    buf_init(&out, LINEAR_TEXT_MAX - 1024);
    buf_init(&head, 512);
    enum linear_verdict v = linear_judge(k, o, report, &out);
    report->keys++;
    report->ops += k->count;
    report->keys_undecided += v == LINEAR_UNDECIDED;
    report->keys_violated += v == LINEAR_VIOLATION;
    struct bytes key = history_text(k->history, k->key);
    linear_say(&head, "key \"%.*s\", %zu operations: %s: ", key.len > 200 ? 200 : (int)key.len,
               key.ptr, k->count, linear_verdict_name(v));
    linear_report(report, v, buf_view(&head), buf_view(&out));
    buf_close(&head);
    buf_close(&out);
}

static int linear_by_index(const void *x, const void *y)
{
    const struct linear_op *a = x;
    const struct linear_op *b = y;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* There is one log for all keys: whoever is answered before another begins stands before it. */
static void linear_check_log(struct linear_all *all, struct linear_report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (linear_is_write(&all->ops[i]) && all->ops[i].index != 0) {
            all->ops[count++] = all->ops[i];
        }
    }
    qsort(all->ops, count, sizeof(*all->ops), linear_by_index);
    const struct linear_op *latest = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct linear_op *op = &all->ops[i];
        if (latest != NULL && latest->index < op->index && op->end < latest->start) {
            struct buf out;
            buf_init(&out, 4096);
            linear_say(&out, "a write began after another had been answered and is before it in ");
            linear_say(&out, "the log, at %lu and %lu:\n", latest->index, op->index);
            linear_say_op(&out, all->history, op, " ");
            linear_say_op(&out, all->history, latest, ">");
            linear_report(report, LINEAR_VIOLATION, BYTES("the log: "), buf_view(&out));
            buf_close(&out);
            return;
        }
        if (latest == NULL || op->start > latest->start) {
            latest = op;
        }
    }
}

void linear_check(const struct history *h,
                  const struct linear_options *options,
                  struct linear_report *ret_report)
{
    struct linear_options o = options == NULL ? (struct linear_options){0} : *options;
    if (o.steps_max == 0) {
        o.steps_max = LINEAR_STEPS_MAX;
    }
    *ret_report = (struct linear_report){.verdict = LINEAR_OK};
    struct linear_all all;
    linear_all_init(&all, h);
    for (size_t i = 0; i < all.count;) {
        struct linear_key k = {
            .history = h,
            .key = linear_source(h, &all.ops[i])->key,
            .ops = &all.ops[i],
        };
        while (i < all.count && linear_source(h, &all.ops[i])->key == k.key) {
            i++;
            k.count++;
        }
        linear_check_key(&k, &o, ret_report);
    }
    linear_check_log(&all, ret_report);
    free(all.ops);
}
