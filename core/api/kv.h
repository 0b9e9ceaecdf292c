/* The KV endpoint in three parts: kv.c (what is asked), kv_read.c (answers, as pure functions of
 * a view, so that identical waiting queries can share one) and kv_history.c (the past of a key).
 *
 * Threads  the front's loop.
 */
#ifndef CORE_API_KV_H
#define CORE_API_KV_H

#include "core/api/api.h"

enum kv_form {
    KV_ROW,     /* one row in an array */
    KV_RAW,     /* the value's bytes */
    KV_RECURSE, /* all rows under a prefix */
    KV_KEYS,    /* their names, cut behind a separator */
};

/* The bytes of a watch query's variant: form, pretty, separator. */
struct bytes kv_variant(struct arena *a, enum kv_form form, bool pretty, struct bytes separator);

/* A row as an object; order and names of the members are Consul's. */
enum err kv_row_json(struct buf *out, const struct kv_row *row) ERR_MUST_USE;

/* struct watch_query's `evaluate` for a key, and for a prefix. */
enum err kv_evaluate_key(struct view *v,
                         struct bytes key,
                         struct bytes variant,
                         struct watch_answer *ret_answer) ERR_MUST_USE;
enum err kv_evaluate_prefix(struct view *v,
                            struct bytes prefix,
                            struct bytes variant,
                            struct watch_answer *ret_answer) ERR_MUST_USE;

/* Answers `?history`: the kept changes of one key, newest first. */
void kv_history(struct request *r, struct bytes key);

#endif
