#include "core/api/forward_private.h"

#include "core/agent/tokens.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/front/websocket.h"

#include <stdlib.h>
#include <string.h>

/* With an answer to fall back to, nobody waits long for a server. */
#define FORWARD_STALE_HOLD_MS 500U
/* What is on its way to one client and was not taken: then the server waits. */
#define FORWARD_PENDING_MAX   KIB(256)
/* Between target and token in the key of a query. */
#define KEY_MARK              '\n'

static void meta_stale(struct request *r, const struct shared_answer *a, uint64_t age_ms)
{
    reply_header(r, "X-Consul-Index", "%llu", (unsigned long long)a->index);
    reply_header(r, "X-Consul-Knownleader", "false");
    reply_header(r, "X-Consul-Lastcontact", "%llu", (unsigned long long)age_ms);
    reply_header(r, "X-Cache", "STALE");
    reply_header(r, "Age", "%llu", (unsigned long long)(age_ms / 1000));
}

static void respond(struct forward *f, struct request *r, struct shared_answer *a, bool stale)
{
    if (stale) {
        metric_add(METRIC_FORWARD_STALE, 1);
        meta_stale(r, a, env_now_ms(f->env) - a->at_ms);
    } else {
        reply_header_lines(r, shared_view(a->meta));
    }
    reply_header_lines(r, shared_view(a->lines));
    reply_shared(r, a->status, a->content_type, a->body);
}

static void respond_failed(struct request *r, enum err e)
{
    if (e == ERR_NOT_FOUND) {
        reply_text(r, 500, "No known Consul servers");
    } else if (e == ERR_IO) {
        reply_text(r, 502, "the server's answer broke off");
    } else if (e == ERR_LIMIT) {
        reply_err(r, ERR_BUSY);
    } else {
        reply_err(r, e);
    }
}

/* --- questions for all --------------------------------------------------------------------------
 */

/* A blocking query at a server. */
struct asked {
    struct relay relay;
    struct shared_query *query; /* NULL: nobody wants the answer any more */
};

static struct asked *asked_of(struct call *c)
{
    return LIST_OWNER(c, struct asked, relay.call);
}

static void asked_free(struct asked *a)
{
    relay_close(&a->relay);
    free(a);
}

static void asked_head(struct call *c, const struct answer_head *h)
{
    relay_head(&asked_of(c)->relay, h);
}

static void asked_on_data(struct call *c, struct bytes data)
{
    /* Too long to be held: it comes to nothing, and ends by itself. */
    struct asked *a = asked_of(c);
    if (relay_data(&a->relay, data) != OK) {
        a->relay.status = 0;
        call_taken(c);
    }
}

static void asked_done(struct call *c, enum err e)
{
    struct asked *a = asked_of(c);
    struct shared_query *q = a->query;
    if (e == OK && a->relay.status == 0) {
        e = ERR_TOO_BIG;
    }
    struct shared_answer *answer = e == OK ? relay_answer(&a->relay) : NULL;
    asked_free(a);
    if (answer != NULL) {
        shared_query_answered(q, answer);
    } else {
        shared_query_failed(q, e);
    }
}

static const struct call_ops ASKED = {
    .head = asked_head,
    .data = asked_on_data,
    .done = asked_done,
};

static void forward_ask(void *ctx, struct shared_query *q, struct bytes key, uint64_t index)
{
    struct forward *f = ctx;
    struct asked *a = mem_zalloc(1, sizeof *a);
    struct buf target;
    size_t mark = bytes_find(key, KEY_MARK);
    relay_init(&a->relay, f, &ASKED);
    a->query = q;
    a->relay.call.idempotent = true;
    a->relay.call.hold_ms = FORWARD_STALE_HOLD_MS;
    shared_query_set_ctx(q, a);
    buf_init(&target, 4 * HTTP_HEAD_MAX);
    struct bytes path = bytes_slice(key, 0, mark);
    bool first = bytes_find(path, '?') == path.len;
    enum err e = buf_printf(&target, "%.*s%cindex=%llu&wait=%ums", BYTES_FORMAT(path),
                            first ? '?' : '&', (unsigned long long)index, SHARED_UPSTREAM_MS);
    CHECK(e == OK); /* a key is shorter */
    struct relay_request request = {
        .method = BYTES("GET"),
        .target = buf_view(&target),
        .token = bytes_slice(key, mark + 1, key.len),
        .headers = "",
    };
    e = relay_start(&a->relay, &request);
    CHECK(e == OK);
    buf_close(&target);
}

static void forward_cancel(void *ctx, struct shared_query *q)
{
    (void)ctx;
    asked_free(shared_query_ctx(q));
}

static bool forward_connected(void *ctx)
{
    struct forward *f = ctx;
    return rpc_client_up(f->rpc);
}

/* Who gives no token has the agent's default one. */
static struct bytes forward_token(const struct request *r)
{
    struct bytes token =
        r->token.len > 0 ? r->token : tokens_get(api_of(r)->forward->options.tokens, TOKEN_DEFAULT);
    return token_is_plain(token) ? token : (struct bytes){0};
}

/* --- one request --------------------------------------------------------------------------------
 */

/* From the handler to the answer: waits with others, or is asked by itself. */
struct job {
    struct relay relay;
    struct shared_watcher watcher;
    struct request *request;
    char *key; /* NULL: it is not remembered */
    size_t key_len;
    bool endless; /* its answer is passed on as it comes */
};

static struct job *job_of(struct call *c)
{
    return LIST_OWNER(c, struct job, relay.call);
}

static struct bytes job_key(const struct job *j)
{
    return (struct bytes){j->key, j->key_len};
}

static void job_free(struct job *j)
{
    shared_cancel(&j->watcher);
    relay_close(&j->relay);
    free(j->key);
    free(j);
}

static void job_cancelled(struct request *r)
{
    job_free(r->ctx);
}

static void job_on_writable(struct request *r)
{
    struct job *j = r->ctx;
    call_taken(&j->relay.call);
}

static void job_head(struct call *c, const struct answer_head *h)
{
    static const struct reply_stream_ops ops = {.writable = job_on_writable};
    struct job *j = job_of(c);
    struct relay *x = &j->relay;
    relay_head(x, h);
    bool held = c->is_head || x->status == 204 || x->status == 304 ||
                (x->has_length && x->length <= RPC_ANSWER_HOLD_MAX);
    if (!held) {
        j->endless = true;
        reply_header_lines(j->request, buf_view(&x->meta));
        reply_header_lines(j->request, buf_view(&x->lines));
        reply_stream_begin(j->request, x->status, x->content_type, &ops);
    }
}

static void job_on_data(struct call *c, struct bytes data)
{
    struct job *j = job_of(c);
    if (!j->endless) {
        enum err e = relay_data(&j->relay, data);
        CHECK(e == OK); /* its length was said */
        return;
    }
    struct shared *piece = shared_copy(0, data);
    reply_stream_send(j->request, piece);
    shared_unref(piece);
    if (reply_stream_pending(j->request) < FORWARD_PENDING_MAX) {
        call_taken(c);
    }
}

static void job_fail(struct job *j, enum err e)
{
    struct forward *f = j->relay.forward;
    struct request *r = j->request;
    struct shared_answer *last = j->key == NULL ? NULL : shared_last(f->queries, job_key(j));
    r->cancelled = NULL;
    if (last != NULL && (e == ERR_NOT_FOUND || e == ERR_IO || e == ERR_TIMEOUT)) {
        respond(f, r, last, true);
    } else {
        respond_failed(r, e);
    }
    job_free(j);
}

static void job_answer(struct job *j)
{
    struct forward *f = j->relay.forward;
    struct request *r = j->request;
    struct shared_answer *a = relay_answer(&j->relay);
    if (j->key != NULL && a->index > 0) {
        shared_remember(f->queries, job_key(j), a);
    } else if (j->key != NULL && (a->status == 401 || a->status == 403)) {
        shared_forget(f->queries, job_key(j));
    }
    r->cancelled = NULL;
    respond(f, r, a, false);
    shared_answer_unref(a);
    job_free(j);
}

static void job_done(struct call *c, enum err e)
{
    struct job *j = job_of(c);
    struct request *r = j->request;
    if (j->endless && e != OK) {
        reply_stream_break(r); /* `cancelled` follows */
    } else if (j->endless) {
        r->cancelled = NULL;
        reply_stream_end(r);
        job_free(j);
    } else if (e != OK) {
        job_fail(j, e);
    } else {
        job_answer(j);
    }
}

static const struct call_ops JOB = {
    .head = job_head,
    .data = job_on_data,
    .done = job_done,
};

/* The headers that say what the body is, and what may be answered. */
static enum err job_headers(const struct request *r, struct buf *out)
{
    static const char *const passed[] = {"Content-Type", "Accept", "Cache-Control"};
    struct bytes value;
    enum err e = OK;
    for (size_t i = 0; i < sizeof passed / sizeof passed[0] && e == OK; i++) {
        if (r->front != NULL && request_header(r, passed[i], &value)) {
            e = buf_printf(out, "%s: %.*s\r\n", passed[i], BYTES_FORMAT(value));
        }
    }
    e = e == OK ? buf_append_char(out, '\0') : e;
    return e;
}

/* Asked by itself. `headers` NULL: none. */
static void job_alone(struct job *j, const char *headers, struct bytes target)
{
    struct forward *f = j->relay.forward;
    struct request *r = j->request;
    bool known = j->key != NULL && shared_last(f->queries, job_key(j)) != NULL;
    j->relay.call.idempotent = r->method == METHOD_GET || r->method == METHOD_HEAD;
    j->relay.call.is_head = r->method == METHOD_HEAD;
    j->relay.call.hold_ms = known ? FORWARD_STALE_HOLD_MS : api_of(r)->config->rpc_hold_ms;
    struct relay_request request = {
        .method = r->method_name,
        .target = target,
        .token = forward_token(r),
        .body = r->body,
        .headers = headers == NULL ? "" : headers,
    };
    enum err e = relay_start(&j->relay, &request);
    if (e != OK) {
        job_fail(j, e);
    }
}

/* The wait is over, or the answer too long to be shared: now as it is asked by one alone. `late`:
 * without waiting once more. */
static void job_ask_again(struct job *j, bool late)
{
    struct buf target;
    buf_init(&target, 4 * HTTP_HEAD_MAX);
    enum err e =
        late ? buf_append(&target, bytes_slice(job_key(j), 0, bytes_find(job_key(j), KEY_MARK)))
             : target_make(j->request, &target);
    if (e == OK) {
        job_alone(j, NULL, buf_view(&target));
    } else {
        job_fail(j, e);
    }
    buf_close(&target);
}

static void job_told(struct shared_watcher *w, enum err e, struct shared_answer *a, bool stale)
{
    struct job *j = LIST_OWNER(w, struct job, watcher);
    struct request *r = j->request;
    if (e == ERR_TIMEOUT || e == ERR_TOO_BIG) {
        job_ask_again(j, e == ERR_TIMEOUT);
    } else if (e != OK) {
        job_fail(j, e);
    } else {
        r->cancelled = NULL;
        respond(j->relay.forward, r, a, stale);
        job_free(j);
    }
}

/* --- which of these -----------------------------------------------------------------------------
 */

static int args_order(const void *a, const void *b)
{
    const struct query_arg *const *x = a;
    const struct query_arg *const *y = b;
    int order = bytes_compare((*x)->name, (*y)->name);
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

/* What one waits for and who one is are not part of what is asked. */
static bool arg_is_asked(const struct query_arg *arg)
{
    return !bytes_equal(arg->name, BYTES("index")) && !bytes_equal(arg->name, BYTES("wait")) &&
           !bytes_equal(arg->name, BYTES("token"));
}

static enum err key_args(const struct request *r, struct buf *out)
{
    const struct query_arg **sorted =
        (const struct query_arg **)mem_zalloc(r->arg_count, sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; i < r->arg_count; i++) {
        if (arg_is_asked(&r->args[i])) {
            sorted[count++] = &r->args[i];
        }
    }
    if (count > 1) {
        qsort((void *)sorted, count, sizeof *sorted, args_order);
    }
    enum err e = OK;
    for (size_t i = 0; i < count && e == OK; i++) {
        e = buf_append_char(out, i == 0 ? '?' : '&');
        e = e == OK ? url_encode(out, sorted[i]->name, false) : e;
        e = e == OK ? buf_append_char(out, '=') : e;
        e = e == OK ? url_encode(out, sorted[i]->value, false) : e;
    }
    free((void *)sorted);
    return e;
}

/* What makes two questions the same: path, arguments, token. None for what is no plain read. */
static void job_make_key(struct job *j)
{
    const struct request *r = j->request;
    struct bytes value;
    struct buf key;
    if (r->method != METHOD_GET || request_arg(r, "consistent", &value) || r->body.len > 0 ||
        !token_is_plain(r->token)) {
        return;
    }
    buf_init(&key, 3 * HTTP_HEAD_MAX);
    enum err e = url_encode(&key, r->path, true);
    e = e == OK ? key_args(r, &key) : e;
    e = e == OK ? buf_append_char(&key, KEY_MARK) : e;
    e = e == OK ? buf_append(&key, forward_token(r)) : e;
    if (e == OK) {
        j->key = buf_take(&key, &j->key_len);
    }
    buf_close(&key);
}

/* Default, cap, and a random part of a sixteenth, as a server does it. False: malformed, which the
 * server says. */
static bool job_wait(const struct job *j, uint64_t *ret_index, uint64_t *ret_wait_ms)
{
    const struct request *r = j->request;
    const struct config *c = api_of(r)->config;
    uint64_t wait_ms = 0;
    struct bytes value;
    if (!request_arg(r, "index", &value) || bytes_to_u64(value, ret_index) != OK ||
        *ret_index == 0) {
        return false;
    }
    if (request_arg(r, "wait", &value) && value.len > 0 && duration_parse(value, &wait_ms) != OK) {
        return false;
    }
    wait_ms = wait_ms == 0 ? c->default_query_time_ms : wait_ms;
    wait_ms = wait_ms < c->max_query_time_ms ? wait_ms : c->max_query_time_ms;
    *ret_wait_ms =
        wait_ms + env_random_below(j->relay.forward->env, wait_ms / QUERY_WAIT_JITTER + 1);
    return true;
}

/* True: it waits with others, or was answered. */
static bool job_share(struct job *j)
{
    struct forward *f = j->relay.forward;
    struct request *r = j->request;
    struct shared_answer *now = NULL;
    uint64_t index = 0;
    uint64_t wait_ms = 0;
    if (j->key == NULL || !job_wait(j, &index, &wait_ms)) {
        return false;
    }
    j->watcher.done = job_told;
    switch (shared_watch(f->queries, &j->watcher, job_key(j), index, wait_ms, &now)) {
    case SHARED_WAITS:
        return true;
    case SHARED_NOW:
        r->cancelled = NULL;
        respond(f, r, now, false);
        job_free(j);
        return true;
    case SHARED_ALONE:
        break;
    }
    return false;
}

static bool forward_is_endless(const struct request *r)
{
    return websocket_wanted(r) || bytes_equal(r->path, BYTES("/v1/stream"));
}

void api_forward(struct request *r)
{
    struct forward *f = api_of(r)->forward;
    metric_add(METRIC_FORWARDED, 1);
    if (forward_is_endless(r)) {
        api_tunnel(r);
        return;
    }
    struct buf headers;
    struct buf target;
    struct job *j = mem_zalloc(1, sizeof *j);
    relay_init(&j->relay, f, &JOB);
    j->request = r;
    r->ctx = j;
    r->cancelled = job_cancelled;
    job_make_key(j);
    if (job_share(j)) {
        return;
    }
    buf_init(&headers, 2 * HTTP_HEAD_MAX);
    buf_init(&target, 4 * HTTP_HEAD_MAX);
    enum err e = job_headers(r, &headers);
    e = e == OK ? target_make(r, &target) : e;
    if (e == OK) {
        job_alone(j, headers.ptr, buf_view(&target));
    } else {
        job_fail(j, e);
    }
    buf_close(&headers);
    buf_close(&target);
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct route *forward_routes(const struct route *routes, size_t count)
{
    struct route *own = mem_zalloc(count, sizeof *own);
    for (size_t i = 0; i < count; i++) {
        bool local =
            strncmp(routes[i].path, "/v1/agent/", 10) == 0 || strcmp(routes[i].path, "/") == 0;
        own[i] = routes[i];
        own[i].handler = local ? routes[i].handler : api_forward;
    }
    return own;
}

/* What only waits at a server that ends is asked of another. */
static void forward_on_leaving(void *ctx)
{
    struct forward *f = ctx;
    LIST_FOREACH (at, &f->relays) {
        call_move(&LIST_OWNER(at, struct relay, link)->call);
    }
}

struct forward *forward_new(const struct forward_options *options)
{
    struct forward *f = mem_zalloc(1, sizeof *f);
    f->options = *options;
    f->env = loop_env(options->loop);
    list_init(&f->relays);
    list_init(&f->tunnels);
    list_init(&f->outward);
    struct rpc_client_options rpc = {
        .loop = options->loop,
        .node = options->node,
        .datacenter = options->datacenter,
        .ctx = f,
        .leaving = forward_on_leaving,
    };
    struct shared_host host = {
        .env = f->env,
        .ctx = f,
        .ask = forward_ask,
        .cancel = forward_cancel,
        .connected = forward_connected,
    };
    f->rpc = rpc_client_new(&rpc);
    f->queries = shared_queries_new(&host);
    return f;
}

void forward_free(struct forward *f)
{
    if (f == NULL) {
        return;
    }
    tunnels_close(f);
    forward_sync_close(f);
    shared_queries_free(f->queries);
    CHECK(list_empty(&f->relays));
    rpc_client_free(f->rpc);
    free(f);
}

void forward_drop(struct forward *f)
{
    forward_sync_close(f);
}

void forward_drain(struct forward *f)
{
    tunnels_close(f);
}

void forward_servers(struct forward *f, const struct rpc_address *servers, size_t count)
{
    rpc_client_servers(f->rpc, servers, count);
}

size_t forward_known(const struct forward *f)
{
    return rpc_client_known(f->rpc);
}
