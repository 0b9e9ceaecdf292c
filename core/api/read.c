#include "core/agent/members.h"
#include "core/api/api.h"
#include "core/api/rights.h"
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

struct bytes api_node(const struct request *r)
{
    return r->agent.len > 0 ? r->agent : bytes_of(api_of(r)->config->node_name);
}

/* `?stale`, with a bound or without; `?consistent`; else as the leader knows it, which `?leader`
 * says too. */
static bool read_consistency(struct request *r, enum read_mode *ret_mode)
{
    struct bytes value;
    bool stale = request_arg(r, "stale", &value);
    bool consistent = request_arg(r, "consistent", &value);
    bool cached = request_arg(r, "cached", &value);
    bool bounded = !stale && request_arg(r, "max_stale", &value) && value.len > 0;
    uint64_t bound_ms = 0;
    if (request_arg(r, "max_stale", &value) && value.len > 0 &&
        duration_parse(value, &bound_ms) != OK) {
        reply_text(r, 400, "Invalid max_stale value \"%.*s\"", BYTES_FORMAT(value));
        return false;
    }
    if ((stale || bounded) && consistent) {
        reply_text(r, 400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
        return false;
    }
    if (cached && consistent) {
        reply_text(r, 400, "Cannot specify ?cached with ?consistent, conflicting semantics.");
        return false;
    }
    if (bounded && api_of(r)->store != NULL && !request_arg(r, "leader", &value)) {
        struct store_facts facts;
        store_facts_get(api_of(r)->store, &facts);
        stale = facts.leader || facts.contact_ms <= bound_ms;
    }
    *ret_mode = consistent ? READ_CONSISTENT : stale ? READ_STALE : READ_DEFAULT;
    return true;
}

bool api_datacenter(struct request *r)
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
    if (!read_consistency(r, &o.mode) || !api_datacenter(r)) {
        return false;
    }
    o.blocking = o.index > 0;
    o.wait_ms = o.blocking ? read_wait_ms(r, o.wait_ms) : 0;
    o.pretty = request_arg(r, "pretty", &value);
    *ret_options = o;
    return true;
}

void api_reply_err(struct request *r, enum err e)
{
    unsigned voters = 0;
    unsigned reachable = 0;
    if (e == ERR_NOT_LEADER && members_leaderless(api_of(r)->members, &voters, &reachable)) {
        reply_text(r, err_http_status(e),
                   "%s: %u of %u voters can be reached, %u are needed; this server's log says what "
                   "to do",
                   err_text(e), reachable, voters, voters / 2 + 1);
    } else {
        reply_err(r, e);
    }
}

void api_meta_headers(struct request *r, uint64_t index)
{
    struct store_facts facts;
    store_facts_get(api_of(r)->store, &facts);
    /* On every read: put together by hand. */
    char scratch[U64_TEXT_MAX];
    char contact[U64_TEXT_MAX];
    char lines[128];
    size_t len = 0;
    const struct bytes parts[] = {
        BYTES("X-Consul-Index: "),
        bytes_u64(index == 0 ? 1 : index, scratch),
        facts.known_leader ? BYTES("\r\nX-Consul-Knownleader: true\r\nX-Consul-Lastcontact: ")
                           : BYTES("\r\nX-Consul-Knownleader: false\r\nX-Consul-Lastcontact: "),
        bytes_u64(facts.leader ? 0 : facts.contact_ms, contact),
        BYTES("\r\n"),
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CHECK(parts[i].len <= sizeof lines - len);
        memcpy(lines + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    reply_header_lines(r, (struct bytes){.ptr = lines, .len = len});
}

/* What the endpoints of the fleet say besides. There is no cache that could be older than the
 * state: whoever asks for one gets what a miss would bring. */
static void read_fleet_headers(struct request *r, const struct read_options *o)
{
    if (o->catalog) {
        reply_header_lines(
            r, o->mode == READ_CONSISTENT ? BYTES("X-Consul-Effective-Consistency: consistent\r\n")
               : o->mode == READ_STALE    ? BYTES("X-Consul-Effective-Consistency: stale\r\n")
                                          : BYTES("X-Consul-Effective-Consistency: leader\r\n"));
    }
    if (o->cached) {
        /* What is asked is the server's own copy, which is as new as any. */
        reply_header_lines(r, BYTES("X-Cache: HIT\r\nAge: 0\r\n"));
    }
}

static void read_reply(struct request *r,
                       const struct read_options *o,
                       enum err status,
                       const struct watch_answer *answer)
{
    if (status != OK) {
        reply_err(r, status);
        return;
    }
    api_meta_headers(r, answer->index);
    read_fleet_headers(r, o);
    if (answer->sandboxed) {
        /* A value is a stranger's text: no browser may run it. */
        reply_header(r, "Content-Security-Policy", "sandbox");
        reply_header(r, "X-Content-Type-Options", "nosniff");
    }
    reply_shared(r, answer->status, answer->content_type, answer->body);
}

static void
read_evaluate(struct request *r, const struct watch_query *q, const struct read_options *o)
{
    struct watch_answer answer = {0};
    enum err e = q->evaluate(store_reader_view(api_of(r)->reader), q->target, q->variant, &answer);
    read_reply(r, o, e, &answer);
    shared_unref(answer.body);
}

/* --- asking the leader first --------------------------------------------------------------------
 */

/* A read on its way to the leader and back. It outlives a client that goes away. */
struct asking {
    struct store_read read;
    struct request *request; /* NULL: nobody waits any more */
    struct read_options options;
    struct watch_query query;
    void (*ready)(struct request *r); /* NULL: answer `query` */
    bool behind; /* the client's index is above this server's: it knows of another server */
};

static void read_behind(struct request *r, uint64_t index)
{
    reply_text(r, 503,
               "this server has not reached index %llu yet (it is at %llu) and no leader can say "
               "whether there is one: try again, or another server",
               (unsigned long long)index,
               (unsigned long long)view_index(store_reader_view(api_of(r)->reader)));
}

static void read_refuse(struct request *r, const struct asking *a)
{
    struct store_facts facts;
    store_facts_get(api_of(r)->store, &facts);
    if (a->behind) {
        read_behind(r, a->options.index);
    } else if (a->read.status == ERR_NOT_LEADER && facts.known_leader &&
               a->read.mode == READ_CONSISTENT) {
        reply_text(r, 500, "Not ready to serve consistent reads");
    } else if (a->read.status == ERR_TIMEOUT) {
        reply_text(r, 500, "the leader did not answer in time");
    } else {
        api_reply_err(r, a->read.status);
    }
}

static void read_wait(struct request *r, const struct watch_query *q, const struct read_options *o);

static void read_ready(struct request *r, void (*ready)(struct request *r))
{
    const struct acl *before = NULL;
    if (api_resume(r, &before)) {
        ready(r);
        rights_leave(before);
    }
}

static void asking_done(struct store_read *read)
{
    struct asking *a = read->ctx;
    struct request *r = a->request;
    if (r != NULL) {
        r->cancelled = NULL;
        r->ctx = NULL;
        if (read->status != OK) {
            read_refuse(r, a);
        } else if (a->ready != NULL) {
            read_ready(r, a->ready);
        } else if (a->behind || !a->options.blocking) {
            read_evaluate(r, &a->query, &a->options);
        } else {
            read_wait(r, &a->query, &a->options);
        }
    }
    free(a);
}

static void asking_cancelled(struct request *r)
{
    struct asking *a = r->ctx;
    a->request = NULL;
}

/* Takes a copy of `first`. */
static void ask(struct request *r, const struct asking *first)
{
    struct api *api = api_of(r);
    struct asking *a = mem_alloc(sizeof *a);
    *a = *first;
    a->request = r;
    a->read = (struct store_read){.done = asking_done, .ctx = a, .mode = first->options.mode};
    r->ctx = a;
    r->cancelled = asking_cancelled;
    store_read(api->store, api->loop, &a->read);
}

void api_read_ready(struct request *r,
                    const struct read_options *options,
                    void (*ready)(struct request *r))
{
    if (store_read_now(api_of(r)->store, options->mode)) {
        read_ready(r, ready);
    } else {
        ask(r, &(struct asking){.options = *options, .ready = ready});
    }
}

/* --- waiting ------------------------------------------------------------------------------------
 */

/* One parked request. */
struct parked {
    struct watch watch;
    struct request *request;
    struct watch_query query;
    struct read_options options;
    uint64_t epoch;
    uint64_t rights; /* the index of access control when it began to wait */
};

/* The time is up, and the answer's index is below the client's, because this server's is. Whether
 * there is such an index the leader knows: if there is, it comes with what the leader says. */
static bool parked_is_behind(const struct parked *p, const struct watch_answer *answer)
{
    struct api *api = api_of(p->request);
    if (answer->index >= p->options.index) {
        return false;
    }
    const struct view *v = store_reader_view(api->reader);
    struct store_facts facts;
    store_facts_get(api->store, &facts);
    /* A leader knows too, but what it has committed it may not have applied: its disk is full. */
    bool committed = facts.commit_index >= p->options.index;
    return view_index(v) < p->options.index && view_epoch(v) == p->epoch &&
           (committed || !store_read_now(api->store, READ_DEFAULT));
}

static void parked_done(struct watch *w, enum err status, const struct watch_answer *answer)
{
    struct parked *p = w->ctx;
    struct request *r = p->request;
    struct store_facts facts;
    r->cancelled = NULL;
    r->ctx = NULL;
    if (status == OK && p->rights != rights_index(store_reader_view(api_of(r)->reader))) {
        /* The answer may be of before. */
        read_evaluate(r, &p->query, &p->options);
        free(p);
        return;
    }
    if (status != OK || !parked_is_behind(p, answer)) {
        read_reply(r, &p->options, status, answer);
        free(p);
        return;
    }
    store_facts_get(api_of(r)->store, &facts);
    if (facts.known_leader) {
        struct asking first = {.options = p->options, .query = p->query, .behind = true};
        first.options.mode = READ_DEFAULT;
        ask(r, &first);
    } else {
        read_behind(r, p->options.index);
    }
    free(p);
}

static void parked_cancelled(struct request *r)
{
    struct parked *p = r->ctx;
    watch_cancel(&p->watch);
    free(p);
}

static void read_wait(struct request *r, const struct watch_query *q, const struct read_options *o)
{
    struct api *api = api_of(r);
    struct parked *p = mem_alloc(sizeof *p);
    *p = (struct parked){
        .watch = {.done = parked_done, .ctx = p},
        .request = r,
        .query = *q,
        .options = *o,
        .epoch = view_epoch(store_reader_view(api->reader)),
        .rights = rights_index(store_reader_view(api->reader)),
    };
    r->ctx = p;
    r->cancelled = parked_cancelled;
    watch_wait(api->stream, &p->watch, q, o->index, o->wait_ms);
}

void api_answer_query(struct request *r,
                      const struct watch_query *asked,
                      const struct read_options *options)
{
    struct watch_query judged;
    const struct watch_query *q = &judged;
    if (!rights_query(r, asked, &judged)) {
        reply_err(r, ERR_TOO_BIG);
        return;
    }
    /* The leader's own reads, nearly all, are good at once. */
    if (!store_read_now(api_of(r)->store, options->mode)) {
        ask(r, &(struct asking){.options = *options, .query = *q});
    } else if (options->blocking) {
        read_wait(r, q, options);
    } else {
        read_evaluate(r, q, options);
    }
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
