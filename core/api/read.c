#include "core/api/api.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/front/front.h"

#include <stdlib.h>
#include <string.h>

struct api *api_of(const struct request *r)
{
    return front_ctx(r->front);
}

static bool read_consistency(struct request *r)
{
    struct bytes value;
    bool stale = request_arg(r, "stale", &value);
    bool consistent = request_arg(r, "consistent", &value);
    bool cached = request_arg(r, "cached", &value);
    uint64_t bound_ms = 0;
    if (request_arg(r, "max_stale", &value) && value.len > 0) {
        if (duration_parse(value, &bound_ms) != OK) {
            reply_text(r, 400, "Invalid max_stale value \"%.*s\"", BYTES_FORMAT(value));
            return false;
        }
        stale = true;
    }
    if (stale && consistent) {
        reply_text(r, 400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
        return false;
    }
    if (cached && consistent) {
        reply_text(r, 400, "Cannot specify ?cached with ?consistent, conflicting semantics.");
        return false;
    }
    return true;
}

static bool read_datacenter(struct request *r)
{
    struct bytes dc;
    if (!request_arg(r, "datacenter", &dc) && !request_arg(r, "dc", &dc)) {
        return true;
    }
    if (dc.len == 0 || bytes_equal_nocase(dc, bytes_of(api_of(r)->config->datacenter))) {
        return true;
    }
    reply_text(r, 500, "No path to datacenter");
    return false;
}

/* Default, cap, and a random part of a sixteenth, so that many clients do not return at once. */
static uint64_t read_wait_ms(const struct request *r, uint64_t asked_ms)
{
    struct api *api = api_of(r);
    uint64_t wait_ms = asked_ms == 0 ? api->config->default_query_time_ms : asked_ms;
    if (wait_ms > api->config->max_query_time_ms) {
        wait_ms = api->config->max_query_time_ms;
    }
    return wait_ms + env_random_below(loop_env(api->loop), wait_ms / QUERY_WAIT_JITTER + 1);
}

bool api_read_options(struct request *r, struct read_options *ret_options)
{
    struct read_options o = {0};
    struct bytes value;
    if (request_arg(r, "wait", &value) && value.len > 0 &&
        duration_parse(value, &o.wait_ms) != OK) {
        reply_text(r, 400, "Invalid wait time");
        return false;
    }
    if (request_arg(r, "index", &value) && value.len > 0 && bytes_to_u64(value, &o.index) != OK) {
        reply_text(r, 400, "Invalid index");
        return false;
    }
    if (!read_consistency(r) || !read_datacenter(r)) {
        return false;
    }
    o.blocking = o.index > 0;
    o.wait_ms = o.blocking ? read_wait_ms(r, o.wait_ms) : 0;
    o.pretty = request_arg(r, "pretty", &value);
    *ret_options = o;
    return true;
}

void api_meta_headers(struct request *r, uint64_t index)
{
    struct store_facts facts;
    store_facts_get(api_of(r)->store, &facts);
    /* On every read: put together by hand. */
    char scratch[U64_TEXT_MAX];
    char lines[128];
    size_t len = 0;
    const struct bytes parts[] = {
        BYTES("X-Consul-Index: "),
        bytes_u64(index == 0 ? 1 : index, scratch),
        facts.leader ? BYTES("\r\nX-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n")
                     : BYTES("\r\nX-Consul-Knownleader: false\r\nX-Consul-Lastcontact: 0\r\n"),
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CHECK(parts[i].len <= sizeof lines - len);
        memcpy(lines + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    reply_header_lines(r, (struct bytes){.ptr = lines, .len = len});
}

static void read_reply(struct request *r, enum err status, const struct watch_answer *answer)
{
    if (status != OK) {
        reply_err(r, status);
        return;
    }
    api_meta_headers(r, answer->index);
    if (answer->sandboxed) {
        /* A value is a stranger's text: no browser may run it. */
        reply_header(r, "Content-Security-Policy", "sandbox");
        reply_header(r, "X-Content-Type-Options", "nosniff");
    }
    reply_shared(r, answer->status, answer->content_type, answer->body);
}

/* One parked request. */
struct parked {
    struct watch watch;
    struct request *request;
};

static void parked_done(struct watch *w, enum err status, const struct watch_answer *answer)
{
    struct parked *p = w->ctx;
    struct request *r = p->request;
    free(p);
    read_reply(r, status, answer);
}

static void parked_cancelled(struct request *r)
{
    struct parked *p = r->ctx;
    watch_cancel(&p->watch);
    free(p);
}

void api_answer_query(struct request *r,
                      const struct watch_query *q,
                      const struct read_options *options)
{
    struct api *api = api_of(r);
    struct view *view = store_reader_view(api->reader);
    if (!options->blocking) {
        struct watch_answer answer = {0};
        enum err e = q->evaluate(view, q->target, q->variant, &answer);
        read_reply(r, e, &answer);
        shared_unref(answer.body);
        return;
    }
    struct parked *p = mem_alloc(sizeof *p);
    *p = (struct parked){.watch = {.done = parked_done, .ctx = p}, .request = r};
    r->ctx = p;
    r->cancelled = parked_cancelled;
    watch_wait(api->stream, &p->watch, q, options->index, options->wait_ms);
}

static int args_compare(const void *a, const void *b)
{
    const struct query_arg *const *x = a;
    const struct query_arg *const *y = b;
    int order = bytes_compare((*x)->name, (*y)->name);
    /* Arguments of one name keep the order they were given in. */
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

enum err api_args_encode(const struct request *r, struct buf *out)
{
    const struct query_arg **sorted =
        (const struct query_arg **)mem_zalloc(r->arg_count, sizeof *sorted);
    for (size_t i = 0; i < r->arg_count; i++) {
        sorted[i] = &r->args[i];
    }
    qsort((void *)sorted, r->arg_count, sizeof *sorted, args_compare);
    enum err e = OK;
    for (size_t i = 0; i < r->arg_count && e == OK; i++) {
        e = i > 0 ? buf_append_char(out, '&') : OK;
        e = e == OK ? url_encode(out, sorted[i]->name, false) : e;
        e = e == OK ? buf_append_char(out, '=') : e;
        e = e == OK ? url_encode(out, sorted[i]->value, false) : e;
    }
    free((void *)sorted);
    return e;
}

void api_reply_json(struct request *r, struct bytes json)
{
    struct bytes value;
    if (!request_arg(r, "pretty", &value)) {
        reply_bytes(r, 200, "application/json", json);
        return;
    }
    struct buf pretty;
    buf_init(&pretty, KV_ANSWER_MAX);
    enum err e = json_pretty(&pretty, json);
    if (e == OK) {
        reply_bytes(r, 200, "application/json", buf_view(&pretty));
    } else {
        reply_err(r, e);
    }
    buf_close(&pretty);
}
