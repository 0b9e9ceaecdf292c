#include "core/base/check.h"
#include "core/base/mem.h"
#include "tests/sim/linear_priv.h"

#include <stdlib.h>

/* Who wrote or read a value. */
struct stale_fact {
    uint32_t key;
    uint32_t value;
    uint64_t index; /* 0: a write whose index is not known */
    uint64_t start; /* of the write */
    uint32_t number;
    bool write;
};

struct stale {
    const struct history *history;
    struct stale_fact *by_index; /* by (key, index), writes first */
    struct stale_fact *by_value; /* the writes alone, by (key, value, start) */
    size_t count;
    size_t writes;
    struct linear_report *report;
};

static int stale_compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int stale_by_index(const void *x, const void *y)
{
    const struct stale_fact *a = x;
    const struct stale_fact *b = y;
    int c = stale_compare(a->key, b->key);
    c = c != 0 ? c : stale_compare(a->index, b->index);
    c = c != 0 ? c : stale_compare(b->write, a->write);
    return c != 0 ? c : stale_compare(a->number, b->number);
}

static int stale_by_value(const void *x, const void *y)
{
    const struct stale_fact *a = x;
    const struct stale_fact *b = y;
    int c = stale_compare(a->key, b->key);
    c = c != 0 ? c : stale_compare(a->value, b->value);
    return c != 0 ? c : stale_compare(a->start, b->start);
}

static bool stale_is_read(const struct history_op *op)
{
    return op->kind == HISTORY_GET && op->outcome == HISTORY_OK;
}

static void stale_init(struct stale *s, const struct history *h, struct linear_report *report)
{
    *s = (struct stale){.history = h, .report = report};
    s->by_index = mem_zalloc(h->count + 1, sizeof(*s->by_index));
    s->by_value = mem_zalloc(h->count + 1, sizeof(*s->by_value));
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        struct stale_fact f = {.key = op->key, .index = op->index, .start = op->start, .number = i};
        if (op->value != 0 && op->outcome != HISTORY_FAILED && op->outcome != HISTORY_REFUSED) {
            f.write = true;
            f.value = op->value;
            s->by_value[s->writes++] = f;
        } else if (stale_is_read(op) && op->read != 0) {
            f.value = op->read;
        }
        if (f.value != 0 && f.index != 0) {
            s->by_index[s->count++] = f;
        }
    }
    qsort(s->by_index, s->count, sizeof(*s->by_index), stale_by_index);
    qsort(s->by_value, s->writes, sizeof(*s->by_value), stale_by_value);
}

static void stale_fail(struct stale *s, const char *what, uint32_t one, uint32_t other)
{
    if (s->report->verdict == LINEAR_VIOLATION) {
        return;
    }
    struct buf out;
    buf_init(&out, LINEAR_TEXT_MAX - 1);
    const struct history_op *op = &s->history->ops[one];
    struct bytes key = history_text(s->history, op->key);
    int len = key.len > 200 ? 200 : (int)key.len;
    linear_say(&out, "key \"%.*s\": violation: %s:\n", len, key.ptr, what);
    if (other != one) {
        linear_say_op(&out, s->history,
                      &(struct linear_op){.number = other, .index = s->history->ops[other].index},
                      " ");
    }
    linear_say_op(&out, s->history, &(struct linear_op){.number = one, .index = op->index}, ">");
    s->report->verdict = LINEAR_VIOLATION;
    snprintf(s->report->text, sizeof(s->report->text), "%.*s", BYTES_FORMAT(buf_view(&out)));
    buf_close(&out);
}

/* An index stands for one command and so for one value: whoever writes or reads there agrees. (A
 * write that changed nothing has an index that nobody can read.) */
static void stale_check_indexes(struct stale *s)
{
    for (size_t i = 1; i < s->count; i++) {
        const struct stale_fact *a = &s->by_index[i - 1];
        const struct stale_fact *b = &s->by_index[i];
        if (a->key == b->key && a->index == b->index && a->value != b->value) {
            stale_fail(s, "one index, two values", b->number, a->number);
        }
    }
}

/* Somebody began to write it before the read ended. */
static bool stale_was_written(const struct stale *s, const struct history_op *op)
{
    size_t low = 0;
    size_t high = s->writes;
    struct stale_fact wanted = {.key = op->key, .value = op->read};
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stale_by_value(&s->by_value[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct stale_fact *first = &s->by_value[low];
    return low < s->writes && first->key == op->key && first->value == op->read &&
           first->start <= op->end;
}

static void stale_check_read(struct stale *s, uint32_t number)
{
    const struct history_op *op = &s->history->ops[number];
    if (op->read != 0 && !stale_was_written(s, op)) {
        stale_fail(s, "read before anybody wrote it", number, number);
    }
    if (op->view != 0 && op->view < op->sent) {
        stale_fail(s, "the answer is behind the index that the client sent", number, number);
    }
    if (op->view != 0 && op->index > op->view) {
        stale_fail(s, "ModifyIndex is past X-Consul-Index", number, number);
    }
    if (op->sent != 0 && op->view == 0 && op->read != 0 && op->index != 0 && op->index < op->sent) {
        stale_fail(s, "what was read is older than the index that the client sent", number, number);
    }
}

void linear_check_stale(const struct history *h, struct linear_report *ret_report)
{
    *ret_report = (struct linear_report){.verdict = LINEAR_OK};
    struct stale s;
    stale_init(&s, h, ret_report);
    stale_check_indexes(&s);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        if (stale_is_read(op)) {
            stale_check_read(&s, i);
            ret_report->ops += op->mode == HISTORY_STALE;
        }
    }
    free(s.by_index);
    free(s.by_value);
}
