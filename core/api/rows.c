#include "core/api/rows.h"

#include "core/base/limit.h"
#include "core/config.h"

#include <string.h>

enum err rows_open(struct rows *rows)
{
    *rows = (struct rows){0};
    buf_init(&rows->text, KV_ANSWER_MAX);
    return buf_append_char(&rows->text, '[');
}

enum err rows_next(struct rows *rows)
{
    return rows->count++ > 0 ? buf_append_char(&rows->text, ',') : OK;
}

enum err rows_close(struct rows *rows, enum err e, bool pretty, struct watch_answer *answer)
{
    struct buf indented;
    buf_init(&indented, KV_ANSWER_MAX);
    e = e == OK ? buf_append_char(&rows->text, ']') : e;
    e = e == OK && pretty ? json_pretty(&indented, buf_view(&rows->text)) : e;
    if (e == OK) {
        answer->status = 200;
        answer->content_type = "application/json";
        answer->body = shared_copy(0, buf_view(pretty ? &indented : &rows->text));
    }
    buf_close(&indented);
    buf_close(&rows->text);
    return e;
}

struct bytes rows_variant(struct arena *a, bool pretty, struct bytes what)
{
    char *p = arena_alloc(a, 1 + what.len);
    if (p == NULL) {
        return (struct bytes){0};
    }
    p[0] = (char)pretty;
    if (what.len > 0) {
        memcpy(p + 1, what.ptr, what.len);
    }
    return (struct bytes){p, 1 + what.len};
}

void rows_answer(struct request *r, const struct rows_query *q)
{
    struct read_options options;
    struct buf target;
    if (!api_read_options(r, &options)) {
        return;
    }
    struct bytes wait;
    if (q->patient && options.blocking && !request_arg(r, "wait", &wait)) {
        options.wait_ms = api_of(r)->config->max_query_time_ms;
    }
    buf_init(&target, HTTP_HEAD_MAX);
    enum err e = fleet_index_name(&target, q->prefix, q->name);
    struct watch_query query = {
        .kind = WATCH_INDEX,
        .target = arena_copy(r->arena, buf_view(&target)),
        .variant = rows_variant(r->arena, options.pretty, q->what),
        .evaluate = q->evaluate,
    };
    buf_close(&target);
    if (e != OK || query.target.ptr == NULL || query.variant.ptr == NULL) {
        reply_err(r, e != OK ? e : ERR_TOO_BIG);
        return;
    }
    api_answer_query(r, &query, &options);
}
