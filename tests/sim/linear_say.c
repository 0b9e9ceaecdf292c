#include "core/base/check.h"
#include "tests/sim/linear_priv.h"

#include <stdarg.h>

#define SAY_LINE_MAX   200U
#define SAY_BEFORE_MAX 6U
#define SAY_DURING_MAX 16U

void linear_say(struct buf *out, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    CHECK(len >= 0);
    size_t fits = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    enum err e = buf_append(out, (struct bytes){.ptr = text, .len = fits});
    (void)e;
}

void linear_say_op(struct buf *out,
                   const struct history *h,
                   const struct linear_op *op,
                   const char *mark)
{
    struct buf line;
    buf_init(&line, 16 * HISTORY_TEXT_MAX);
    history_line(h, &h->ops[op->number], &line);
    bool cut = line.len > SAY_LINE_MAX;
    linear_say(out, "  %s %.*s%s", mark, (int)(cut ? SAY_LINE_MAX : line.len), line.ptr,
               cut ? "..." : "");
    if (op->index != h->ops[op->number].index) {
        linear_say(out, "   (index %lu, as was read)", op->index);
    }
    linear_say(out, "\n");
    buf_close(&line);
}

void linear_say_state(struct buf *out, const struct history *h, const struct linear_state *s)
{
    if (s->value == 0) {
        linear_say(out, "no value");
        return;
    }
    struct bytes value = history_text(h, s->value);
    int len = value.len > SAY_LINE_MAX ? (int)SAY_LINE_MAX : (int)value.len;
    linear_say(out, "the value \"%.*s\"", len, value.ptr);
    if (s->index != 0 && s->index != UINT64_MAX) {
        linear_say(out, " of index %lu", s->index);
    }
}

void linear_say_around(struct buf *out, const struct linear_key *k, const struct linear_op *op)
{
    const struct linear_op *before[SAY_BEFORE_MAX];
    size_t ended = 0;
    for (size_t i = 0; i < k->count; i++) {
        if (k->ops[i].end < op->start) {
            before[ended++ % SAY_BEFORE_MAX] = &k->ops[i];
        }
    }
    linear_say(out, "before it:%s\n", ended == 0 ? " nothing" : "");
    size_t first = ended > SAY_BEFORE_MAX ? ended - SAY_BEFORE_MAX : 0;
    for (size_t i = first; i < ended; i++) {
        linear_say_op(out, k->history, before[i % SAY_BEFORE_MAX], " ");
    }
    linear_say(out, "at the same time:\n");
    size_t said = 0;
    for (size_t i = 0; i < k->count && said < SAY_DURING_MAX; i++) {
        const struct linear_op *o = &k->ops[i];
        if (o->start <= op->end && o->end >= op->start) {
            linear_say_op(out, k->history, o, o == op ? ">" : " ");
            said++;
        }
    }
}
