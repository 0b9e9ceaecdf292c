#include "core/rpc/call.h"

#include "core/base/check.h"

#include <string.h>

/* A server that closes streams without a word is asked no more often. */
#define CALL_SILENT_MAX 3U

static void call_try(struct call *c);
static void call_begin(struct call *c);

static void call_close(struct call *c)
{
    mux_stream_close(&c->stream, RPC_CLOSE_CANCEL);
    rpc_wait_cancel(&c->waiter);
    timer_stop(&c->fail);
    buf_close(&c->request);
    buf_close(&c->in);
    buf_close(&c->piece);
    c->state = CALL_IDLE;
}

static void call_end(struct call *c, enum err e)
{
    call_close(c);
    c->ops->done(c, e);
}

void call_cancel(struct call *c)
{
    if (c->state != CALL_IDLE) {
        call_close(c);
    }
}

static uint64_t call_now_ms(const struct call *c)
{
    return env_now_ms(rpc_client_env(c->client));
}

/* --- sending -----------------------------------------------------------------------------------
 */

static void call_send(struct call *c)
{
    struct bytes all = buf_view(&c->request);
    if (c->sent < all.len) {
        c->sent += mux_send(&c->stream, bytes_slice(all, c->sent, all.len));
    }
}

static void call_on_writable(struct mux_stream *s)
{
    call_send(LIST_OWNER(s, struct call, stream));
}

/* --- the answer --------------------------------------------------------------------------------
 */

static void call_on_body(struct call *c, struct bytes data)
{
    buf_clear(&c->piece);
    enum parse p = answer_body_read(&c->body, data, &c->piece);
    c->raw += data.len;
    if (p == PARSE_FAILED) {
        call_end(c, ERR_IO);
        return;
    }
    if (c->piece.len > 0) {
        c->ops->data(c, buf_view(&c->piece));
    }
    if (p == PARSE_DONE && c->state == CALL_BODY) {
        call_end(c, OK);
    }
}

/* Heads until one is not interim, then what is behind it. */
static void call_on_head(struct call *c, struct bytes data)
{
    struct answer_head h;
    enum parse p = PARSE_MORE;
    if (buf_append(&c->in, data) != OK) {
        call_end(c, ERR_IO);
        return;
    }
    while ((p = answer_head_parse(&h, buf_view(&c->in))) == PARSE_DONE && h.status < 200) {
        mux_consumed(&c->stream, h.len);
        buf_consume(&c->in, h.len);
    }
    if (p == PARSE_MORE) {
        return;
    }
    if (p == PARSE_FAILED) {
        call_end(c, ERR_IO);
        return;
    }
    c->state = CALL_BODY;
    mux_consumed(&c->stream, h.len);
    answer_body_init(&c->body, &h, c->is_head);
    c->ops->head(c, &h);
    if (c->state == CALL_BODY) {
        /* An answer without a body is over with its head. */
        call_on_body(c, bytes_slice(buf_view(&c->in), h.len, c->in.len));
    }
}

static void call_on_data(struct mux_stream *s, struct bytes data)
{
    struct call *c = LIST_OWNER(s, struct call, stream);
    if (c->state == CALL_SENDING) {
        call_on_head(c, data);
    } else {
        call_on_body(c, data);
    }
}

static void call_on_closed(struct mux_stream *s, enum mux_ended how)
{
    struct call *c = LIST_OWNER(s, struct call, stream);
    if (c->state == CALL_BODY) {
        call_end(c, how == MUX_DONE && answer_body_end(&c->body) ? OK : ERR_IO);
        return;
    }
    if (how == MUX_BUSY) {
        call_end(c, ERR_LIMIT);
        return;
    }
    c->silent += how == MUX_DONE ? 1 : 0;
    if (c->silent > CALL_SILENT_MAX) {
        call_end(c, ERR_IO);
    } else if (c->idempotent || c->sent == 0) {
        call_begin(c);
    } else {
        call_end(c, ERR_TIMEOUT);
    }
}

static const struct mux_stream_ops CALL_STREAM = {
    .data = call_on_data,
    .writable = call_on_writable,
    .closed = call_on_closed,
};

/* --- a connection ------------------------------------------------------------------------------
 */

static void call_on_fail(struct timer *t)
{
    struct call *c = LIST_OWNER(t, struct call, fail);
    call_end(c, c->failed);
}

static void call_fail_later(struct call *c, enum err e)
{
    c->failed = e;
    env_timer_start(rpc_client_env(c->client), &c->fail, 0);
}

static void call_on_waited(struct rpc_waiter *w, enum err e)
{
    struct call *c = LIST_OWNER(w, struct call, waiter);
    if (e == OK) {
        call_try(c);
    } else {
        call_end(c, e);
    }
}

static void call_try(struct call *c)
{
    uint64_t now_ms = call_now_ms(c);
    c->state = CALL_WAITING;
    c->sent = 0;
    c->raw = 0;
    buf_clear(&c->in);
    enum err e = rpc_client_open(c->client, &c->stream, &CALL_STREAM);
    if (e == OK) {
        c->state = CALL_SENDING;
        call_send(c);
    } else if (e == ERR_NOT_FOUND && now_ms < c->until_ms) {
        c->waiter.done = call_on_waited;
        rpc_wait(c->client, &c->waiter, c->until_ms - now_ms);
    } else {
        call_fail_later(c, e);
    }
}

/* With all the time there is for finding a connection. */
static void call_begin(struct call *c)
{
    c->until_ms = call_now_ms(c) + c->hold_ms;
    call_try(c);
}

void call_start(struct call *c, struct rpc_client *client, struct buf *request)
{
    CHECK(c->state == CALL_IDLE);
    c->client = client;
    c->silent = 0;
    c->stream = (struct mux_stream){0};
    c->waiter = (struct rpc_waiter){0};
    c->request = *request;
    buf_init(request, request->max);
    buf_init(&c->in, RPC_ANSWER_HEAD_MAX + RPC_WINDOW);
    buf_init(&c->piece, 2 * RPC_WINDOW);
    env_timer_init(rpc_client_env(client), &c->fail, call_on_fail);
    call_begin(c);
}

void call_taken(struct call *c)
{
    if (c->stream.mux != NULL && c->raw > 0) {
        mux_consumed(&c->stream, c->raw);
    }
    c->raw = 0;
}

void call_move(struct call *c)
{
    if (c->state == CALL_SENDING && c->idempotent) {
        mux_stream_close(&c->stream, RPC_CLOSE_CANCEL);
        call_begin(c);
    }
}
