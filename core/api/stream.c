/* /v1/stream: the change stream's transports. A WebSocket, or an HTTP answer without an end (SSE,
 * NDJSON), each as an outlet of stream/. */
#include "core/api/api.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/front/websocket.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_SUBPROTOCOL "herald.v1.json"
#define STREAM_BEARER      "herald.bearer."

/* --- WebSocket ------------------------------------------------------------------------------- */

struct socket_outlet {
    struct outlet outlet;
    struct websocket ws;
    bool open; /* the outlet is; a refused connection has none */
};

static void socket_send(struct outlet *o, struct shared *frame)
{
    struct socket_outlet *s = o->ctx;
    websocket_send(&s->ws, frame);
}

static size_t socket_pending(struct outlet *o)
{
    struct socket_outlet *s = o->ctx;
    return websocket_pending(&s->ws);
}

static void socket_close(struct outlet *o, unsigned code, const char *reason)
{
    struct socket_outlet *s = o->ctx;
    websocket_close(&s->ws, code, reason);
}

static const struct outlet_ops SOCKET_OUTLET = {
    .send = socket_send,
    .pending = socket_pending,
    .close = socket_close,
};

static void socket_on_message(struct websocket *ws, struct bytes text)
{
    struct socket_outlet *s = ws->ctx;
    if (s->open) {
        outlet_message(&s->outlet, text);
    }
}

static void socket_on_writable(struct websocket *ws)
{
    struct socket_outlet *s = ws->ctx;
    if (s->open) {
        outlet_writable(&s->outlet);
    }
}

static void socket_on_closed(struct websocket *ws)
{
    struct socket_outlet *s = ws->ctx;
    if (s->open) {
        outlet_closed(&s->outlet);
    }
    free(s);
}

static const struct websocket_ops SOCKET = {
    .message = socket_on_message,
    .writable = socket_on_writable,
    .closed = socket_on_closed,
};

/* Takes the next item off a list with `separator` between its items. */
static struct bytes list_next(struct bytes *rest, char separator)
{
    size_t end = bytes_find(*rest, separator);
    struct bytes item = bytes_slice(*rest, 0, end);
    *rest = bytes_slice(*rest, end < rest->len ? end + 1 : end, rest->len);
    while (item.len > 0 && item.ptr[0] == ' ') {
        item = bytes_slice(item, 1, item.len);
    }
    while (item.len > 0 && item.ptr[item.len - 1] == ' ') {
        item.len--;
    }
    return item;
}

/* What the client offers as subprotocols. */
struct socket_offer {
    bool herald;
    struct bytes token; /* browsers can set no header: the token comes here, and is never echoed */
};

static struct socket_offer socket_offer(const struct request *r)
{
    struct socket_offer offer = {0};
    struct bytes rest = {0};
    (void)request_header(r, "Sec-WebSocket-Protocol", &rest);
    while (rest.len > 0) {
        struct bytes item = list_next(&rest, ',');
        if (bytes_equal(item, BYTES(STREAM_SUBPROTOCOL))) {
            offer.herald = true;
        } else if (bytes_begins(item, BYTES(STREAM_BEARER))) {
            struct buf token;
            buf_init(&token, HTTP_HEAD_MAX);
            item = bytes_slice(item, sizeof STREAM_BEARER - 1, item.len);
            if (base64url_decode(&token, item) == OK) {
                offer.token = arena_copy(r->arena, buf_view(&token));
            }
            buf_close(&token);
        }
    }
    return offer;
}

/* A page of another site must not read the configuration through the browser of somebody who can
 * reach this server: a browser says where the page came from, and that is this server itself or a
 * site of `herald.stream_allow_origins`. Programs send no Origin. */
static bool socket_origin_allowed(const struct request *r)
{
    const struct config *config = api_of(r)->config;
    struct bytes origin;
    struct bytes host;
    if (!request_header(r, "Origin", &origin)) {
        return true;
    }
    const char *listed = config->stream_allow_origins;
    struct bytes rest = bytes_of(listed == NULL ? "" : listed);
    while (rest.len > 0) {
        struct bytes allowed = list_next(&rest, ' ');
        if (bytes_equal(allowed, BYTES("*")) || bytes_equal_nocase(allowed, origin)) {
            return true;
        }
    }
    const char *authority = memmem(origin.ptr, origin.len, "://", 3);
    if (authority == NULL || !request_header(r, "Host", &host)) {
        return false;
    }
    size_t from = (size_t)(authority - origin.ptr) + 3;
    return bytes_equal_nocase(bytes_slice(origin, from, origin.len), host);
}

static void
socket_open(struct stream *stream, struct socket_outlet *s, const struct outlet_options *options)
{
    struct reason why = {{0}};
    enum err e = outlet_open(stream, &s->outlet, &SOCKET_OUTLET, options, &why);
    s->open = e == OK;
    if (e != OK) {
        why.text[STREAM_CLOSE_REASON_MAX] = '\0';
        websocket_close(&s->ws, e == ERR_LIMIT ? 4103 : e == ERR_DENIED ? 4001 : 4000, why.text);
    }
}

static void stream_websocket(struct request *r)
{
    struct api *api = api_of(r);
    struct socket_offer offer = socket_offer(r);
    bool allowed = socket_origin_allowed(r);
    /* The request is gone after the upgrade. */
    char *query = mem_dup(r->query.ptr, r->query.len);
    char *client = mem_dup(r->client.ptr, r->client.len);
    struct bytes given = r->token.len > 0 ? r->token : offer.token;
    char *token = mem_dup(given.ptr, given.len);
    struct outlet_options options = {
        .format = OUTLET_WEBSOCKET,
        .auto_subscribe = r->query.len > 0,
        .query = {.ptr = query, .len = r->query.len},
        .token = {.ptr = token, .len = given.len},
        .client = {.ptr = client, .len = r->client.len},
    };
    struct socket_outlet *s = mem_zalloc(1, sizeof *s);
    s->outlet.ctx = s;
    s->ws.ctx = s;
    if (!websocket_accept(r, &s->ws, &SOCKET, offer.herald ? STREAM_SUBPROTOCOL : NULL)) {
        free(s);
    } else if (allowed) {
        socket_open(api->stream, s, &options);
    } else {
        websocket_close(&s->ws, 4003, "this Origin is not allowed");
    }
    free(query);
    free(client);
    free(token);
}

/* --- SSE and NDJSON --------------------------------------------------------------------------- */

struct answer_outlet {
    struct outlet outlet;
    struct request *request;
    const char *content_type;
    bool begun; /* the head goes with the first frame, so that a refusal can be plain HTTP */
};

static void answer_on_writable(struct request *r)
{
    struct answer_outlet *a = r->ctx;
    outlet_writable(&a->outlet);
}

static const struct reply_stream_ops ANSWER = {.writable = answer_on_writable};

static void answer_begin(struct answer_outlet *a)
{
    struct request *r = a->request;
    struct api *api = api_of(r);
    const struct view *v = store_reader_view(api->reader);
    if (a->begun) {
        return;
    }
    a->begun = true;
    reply_header(r, "Cache-Control", "no-store");
    reply_header(r, "X-Accel-Buffering", "no");
    if (view_epoch(v) != 0) {
        reply_header(r, "X-Herald-Epoch", "%016llx", (unsigned long long)view_epoch(v));
    }
    reply_header(r, "X-Herald-Index", "%llu", (unsigned long long)view_index(v));
    reply_stream_begin(r, 200, a->content_type, &ANSWER);
}

static void answer_send(struct outlet *o, struct shared *frame)
{
    struct answer_outlet *a = o->ctx;
    answer_begin(a);
    reply_stream_send(a->request, frame);
}

static size_t answer_pending(struct outlet *o)
{
    struct answer_outlet *a = o->ctx;
    return a->begun ? reply_stream_pending(a->request) : 0;
}

static void answer_close(struct outlet *o, unsigned code, const char *reason)
{
    (void)code;
    (void)reason;
    struct answer_outlet *a = o->ctx;
    answer_begin(a);
    reply_stream_end(a->request);
    outlet_closed(o);
    free(a);
}

static const struct outlet_ops ANSWER_OUTLET = {
    .send = answer_send,
    .pending = answer_pending,
    .close = answer_close,
};

static void answer_on_cancelled(struct request *r)
{
    struct answer_outlet *a = r->ctx;
    outlet_closed(&a->outlet);
    free(a);
}

static bool stream_wants_sse(const struct request *r)
{
    struct bytes format;
    struct bytes accept;
    if (request_arg(r, "format", &format)) {
        return bytes_equal(format, BYTES("sse"));
    }
    return request_header(r, "Accept", &accept) &&
           memmem(accept.ptr, accept.len, "text/event-stream", 17) != NULL;
}

static void stream_answer(struct request *r)
{
    bool sse = stream_wants_sse(r);
    struct outlet_options options = {
        .format = sse ? OUTLET_SSE : OUTLET_NDJSON,
        .auto_subscribe = true,
        .query = r->query,
        .token = r->token,
        .client = r->client,
    };
    (void)request_header(r, "Last-Event-ID", &options.last_event_id);
    struct answer_outlet *a = mem_zalloc(1, sizeof *a);
    a->outlet.ctx = a;
    a->request = r;
    a->content_type = sse ? "text/event-stream; charset=utf-8" : "application/x-ndjson";
    r->ctx = a;
    r->cancelled = answer_on_cancelled;
    struct reason why = {{0}};
    enum err e = outlet_open(api_of(r)->stream, &a->outlet, &ANSWER_OUTLET, &options, &why);
    if (e == OK) {
        return;
    }
    free(a);
    r->cancelled = NULL;
    if (e == ERR_NOT_FOUND) {
        /* It is over for good; this tells an EventSource to stop. */
        reply_shared(r, 204, NULL, NULL);
    } else if (e == ERR_COMPACTED) {
        reply_bytes(r, 410, "application/json", bytes_of(why.text));
    } else {
        reply_text(r, err_http_status(e), "%s", why.text);
    }
}

void api_stream(struct request *r)
{
    if (websocket_wanted(r)) {
        stream_websocket(r);
    } else {
        stream_answer(r);
    }
}
