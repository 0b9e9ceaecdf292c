#include "core/base/pattern.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/pattern_priv.h"

#include <stdlib.h>

enum err pattern_new(struct bytes text, struct pattern **ret_pattern, struct reason *why)
{
    struct pattern *p = mem_zalloc(1, sizeof *p);
    enum err e = pattern_parse(p, text, why);
    if (e != OK) {
        free(p);
        return e;
    }
    *ret_pattern = p;
    return OK;
}

void pattern_free(struct pattern *p)
{
    free(p);
}

int32_t pattern_char(struct bytes text, size_t *ret_len)
{
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *ret_len = 1;
    if (len <= 1 || len > text.len || !bytes_utf8_valid(bytes_slice(text, 0, len))) {
        return c;
    }
    int32_t value = c & (0x7f >> len);
    for (size_t i = 1; i < len; i++) {
        value = (int32_t)((uint32_t)value << 6 | ((unsigned char)text.ptr[i] & 0x3f));
    }
    *ret_len = len;
    return value;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Where the run is in its text. */
struct place {
    struct bytes text;
    size_t at;
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool assert_holds(enum assert_kind kind, const struct place *p)
{
    bool begin = p->at == 0;
    bool end = p->at == p->text.len;
    bool before = !begin && is_word(p->text.ptr[p->at - 1]);
    bool behind = !end && is_word(p->text.ptr[p->at]);
    switch (kind) {
    case ASSERT_TEXT_BEGIN:
        return begin;
    case ASSERT_TEXT_END:
        return end;
    case ASSERT_LINE_BEGIN:
        return begin || p->text.ptr[p->at - 1] == '\n';
    case ASSERT_LINE_END:
        return end || p->text.ptr[p->at] == '\n';
    case ASSERT_WORD:
        return before != behind;
    case ASSERT_NOT_WORD:
        return before == behind;
    }
    return false;
}

static bool class_holds(const struct pattern *p, const struct step *s, int32_t c)
{
    for (int32_t i = s->a; i < s->a + s->b; i++) {
        if (c >= p->ranges[i].from && c <= p->ranges[i].to) {
            return !s->negated;
        }
    }
    return s->negated;
}

/* Adds `step` and all that follows from it without a character to `list`. Each step is reached once
 * in a round, so that neither list nor stack can run over. True: found. */
static bool run_reach(struct pattern *p, int32_t step, const struct place *place, int32_t *count)
{
    int32_t top = 0;
    p->stack[top++] = step;
    while (top > 0) {
        int32_t at = p->stack[--top];
        if (p->reached[at] == p->round) {
            continue;
        }
        p->reached[at] = p->round;
        const struct step *s = &p->steps[at];
        switch (s->kind) {
        case STEP_FOUND:
            return true;
        case STEP_SPLIT:
            p->stack[top++] = at + s->b;
            p->stack[top++] = at + s->a;
            break;
        case STEP_JUMP:
            p->stack[top++] = at + s->a;
            break;
        case STEP_ASSERT:
            if (assert_holds((enum assert_kind)s->a, place)) {
                p->stack[top++] = at + 1;
            }
            break;
        case STEP_RANGE:
        case STEP_CLASS:
            p->next[(*count)++] = at;
            break;
        }
    }
    return false;
}

/* Moves all that `c` lets pass from `now` to `next`, which are swapped. True: found. */
static bool run_step(struct pattern *p, int32_t c, const struct place *place, int32_t *count)
{
    int32_t before = *count;
    for (int32_t i = 0; i < before; i++) {
        p->now[i] = p->next[i];
    }
    *count = 0;
    p->round++;
    for (int32_t i = 0; i < before; i++) {
        const struct step *s = &p->steps[p->now[i]];
        bool passes = s->kind == STEP_RANGE ? c >= s->a && c <= s->b : class_holds(p, s, c);
        if (passes && run_reach(p, p->now[i] + 1, place, count)) {
            return true;
        }
    }
    return false;
}

bool pattern_finds(const struct pattern *pattern, struct bytes text)
{
    /* The room for a run is the pattern's: it is one thread's at a time. */
    struct pattern *p = (struct pattern *)(uintptr_t)pattern;
    struct place place = {.text = text};
    int32_t count = 0;
    p->round++;
    if (run_reach(p, 0, &place, &count)) {
        return true;
    }
    while (place.at < text.len) {
        size_t len = 0;
        int32_t c = pattern_char(bytes_slice(text, place.at, text.len), &len);
        place.at += len;
        /* It may also begin here. */
        if (run_step(p, c, &place, &count) || run_reach(p, 0, &place, &count)) {
            return true;
        }
    }
    return false;
}
