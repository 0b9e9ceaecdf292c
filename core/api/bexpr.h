/* Boolean expressions over rows, as `?filter=` has them:
 *
 *     Service.Port == 80 and ("v1" in Service.Tags or Node.Meta.rack matches `^a[0-9]+$`)
 *
 * Grammar  `or`, `and`, `not`, parentheses; S == V, S != V, V in S, V not in S, S contains V,
 *          S not contains V, S is empty, S is not empty, S matches V, S not matches V. A selector S
 *          is A.B or A["b"]; a value V is "quoted", `raw`, a number, or a bare word.
 * Rows     are no JSON: a schema names what can be selected, and says how to get it of a record.
 *          Of a list of records an expression holds if it holds for one of them. What a map does
 *          not have equals nothing, is in nothing and matches nothing.
 * Limits   BEXPR_TEXT_MAX, BEXPR_TESTS_MAX, BEXPR_DEPTH_MAX; patterns as core/base/pattern.h.
 * Errors   ERR_INVALID; `why` stands behind `Failed to create boolean expression evaluator: `.
 * Threads  an expression may be used by one thread at a time.
 */
#ifndef CORE_API_BEXPR_H
#define CORE_API_BEXPR_H

#include "core/base/buf.h"

enum bexpr_kind {
    BEXPR_TEXT,
    BEXPR_NUMBER,
    BEXPR_BOOL,
    BEXPR_TEXTS,     /* a list of texts */
    BEXPR_PAIRS,     /* a map of texts: M.key is a text */
    BEXPR_ADDRESSES, /* a map of services' addresses: M.key.Address, M.key.Port */
    BEXPR_RECORDS,   /* a list of records of `inner` */
    BEXPR_LIST,      /* a list of which only `is empty` can be asked */
};

/* What a field of a record is; lists and maps in the form of store/row.h. */
struct bexpr_value {
    struct bytes text;
    uint64_t number; /* of BEXPR_BOOL 0 or 1 */
};

struct bexpr_schema;

struct bexpr_field {
    const char *path; /* from the record: Service.Meta */
    enum bexpr_kind kind;
    int id; /* the record's */
    const struct bexpr_schema *inner;
};

struct bexpr_schema {
    const struct bexpr_field *fields;
    size_t count;
    void (*get)(const void *record, int id, struct bexpr_value *ret_value);
    /* As the inner one of a list: takes the next record off it into `scratch`; NULL behind the
     * last. */
    const void *(*next)(struct bytes *list, void *scratch);
};

/* Memory for one inner record. */
#define BEXPR_SCRATCH 512

struct bexpr;

enum err bexpr_new(struct bytes text,
                   const struct bexpr_schema *schema,
                   struct bexpr **ret_expr,
                   struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void bexpr_free(struct bexpr *e);
/* NULL matches everything. */
bool bexpr_matches(const struct bexpr *e, const void *record);

#endif
