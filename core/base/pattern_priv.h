/* The machine that a pattern becomes: pattern_parse.c makes it, pattern.c runs it.
 *
 * Jumps    are counted from the step that jumps, so that a run of steps can be moved and copied.
 * Threads  as pattern.h.
 */
#ifndef CORE_BASE_PATTERN_PRIV_H
#define CORE_BASE_PATTERN_PRIV_H

#include "core/base/limit.h"
#include "core/base/pattern.h"

enum step_kind {
    STEP_RANGE,  /* a character from `a` to `b` */
    STEP_CLASS,  /* one in (or, `negated`, not in) `b` ranges from `a` on */
    STEP_SPLIT,  /* go on at `a` and at `b` */
    STEP_JUMP,   /* go on at `a` */
    STEP_ASSERT, /* `a`: enum assert_kind */
    STEP_FOUND,
};

enum assert_kind {
    ASSERT_TEXT_BEGIN,
    ASSERT_TEXT_END,
    ASSERT_LINE_BEGIN,
    ASSERT_LINE_END,
    ASSERT_WORD,
    ASSERT_NOT_WORD,
};

struct step {
    enum step_kind kind;
    bool negated;
    int32_t a;
    int32_t b;
};

struct range {
    int32_t from;
    int32_t to;
};

struct pattern {
    struct step steps[PATTERN_STEPS_MAX + 1];
    int32_t count;
    struct range ranges[PATTERN_RANGES_MAX];
    int32_t range_count;
    /* While it runs: who is where, and when which step was reached last. */
    int32_t now[PATTERN_STEPS_MAX + 1];
    int32_t next[PATTERN_STEPS_MAX + 1];
    int32_t stack[2 * (PATTERN_STEPS_MAX + 1)];
    uint64_t reached[PATTERN_STEPS_MAX + 1];
    uint64_t round;
};

/* The first character of `text` and its bytes; a byte that begins none is itself. */
int32_t pattern_char(struct bytes text, size_t *ret_len);
enum err pattern_parse(struct pattern *p, struct bytes text, struct reason *why) ERR_MUST_USE;

#endif
