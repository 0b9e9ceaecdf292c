/* Answers made of rows of the fleet, as functions of a view: what sessions, events, coordinates and
 * transactions share.
 *
 * Threads  the front's loop.
 */
#ifndef CORE_API_ROWS_H
#define CORE_API_ROWS_H

#include "core/api/api.h"
#include "store/fleet.h"

/* A JSON list under construction. */
struct rows {
    struct buf text;
    size_t count;
};

enum err rows_open(struct rows *rows) ERR_MUST_USE;
/* Before each row: the comma. */
enum err rows_next(struct rows *rows) ERR_MUST_USE;
/* Moves the list into the answer, indented if `pretty`; or, unless `e` is OK, drops it and gives
 * `e` back. */
enum err
rows_close(struct rows *rows, enum err e, bool pretty, struct watch_answer *answer) ERR_MUST_USE;

/* The bytes of a variant: pretty, then what else decides. ptr NULL: no room. */
struct bytes rows_variant(struct arena *a, bool pretty, struct bytes what);
static inline bool rows_pretty(struct bytes variant)
{
    return variant.len > 0 && variant.ptr[0] != 0;
}
static inline struct bytes rows_what(struct bytes variant)
{
    return bytes_slice(variant, variant.len > 0, variant.len);
}

/* Answers a blocking query for `target`, which `prefix` and `name` make up. */
struct rows_query {
    const char *prefix;
    struct bytes name;
    struct bytes what; /* the variant's */
    bool patient;      /* without `wait` it waits as long as may be */
    enum err (*evaluate)(struct view *v,
                         struct bytes target,
                         struct bytes variant,
                         struct watch_answer *ret_answer);
};
void rows_answer(struct request *r, const struct rows_query *q);

#endif
