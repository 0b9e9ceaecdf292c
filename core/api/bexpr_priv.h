/* An expression, taken apart: bexpr_parse.c makes it, bexpr.c resolves what it selects, and
 * evaluates it.
 *
 * Form     tests and what joins them stand in the order in which a stack takes them: `a b and not`.
 * Threads  as bexpr.h.
 */
#ifndef CORE_API_BEXPR_PRIV_H
#define CORE_API_BEXPR_PRIV_H

#include "core/api/bexpr.h"
#include "core/base/arena.h"
#include "core/base/limit.h"
#include "core/base/pattern.h"

enum bexpr_op {
    BEXPR_EQUAL,
    BEXPR_IN,
    BEXPR_EMPTY,
    BEXPR_MATCHES,
};

/* Elements of a selector at most: Checks.ServiceTags and the like need few. */
#define BEXPR_ELEMENTS_MAX 8

struct bexpr_selector {
    struct bytes elements[BEXPR_ELEMENTS_MAX];
    size_t count;
};

/* What of one service's address is meant. */
enum bexpr_part {
    BEXPR_WHOLE,
    BEXPR_ADDRESS,
    BEXPR_PORT,
};

struct bexpr_test {
    enum bexpr_op op;
    bool negated;
    struct bexpr_selector selector;
    struct bytes value;
    /* resolved */
    const struct bexpr_field *list;  /* of records; NULL: the record itself */
    const struct bexpr_field *field; /* of the record, or of one of the list */
    bool keyed;
    struct bytes key; /* into a map */
    enum bexpr_part part;
    int64_t number;
    struct pattern *pattern;
};

enum bexpr_step {
    BEXPR_TEST, /* the next one */
    BEXPR_AND,
    BEXPR_OR,
    BEXPR_NOT,
};

#define BEXPR_STEPS_MAX ((size_t)4 * BEXPR_TESTS_MAX)

struct bexpr {
    const struct bexpr_schema *schema;
    struct arena arena;
    struct bexpr_test tests[BEXPR_TESTS_MAX];
    size_t test_count;
    enum bexpr_step steps[BEXPR_STEPS_MAX];
    size_t step_count;
};

/* Fills tests and steps of `e`, nothing resolved. */
enum err bexpr_parse(struct bexpr *e, struct bytes text, struct reason *why) ERR_MUST_USE;

#endif
