/* The catalog of the servers, for a client agent's anti-entropy: asked and written over the
 * forwarding, in the store's own encoding (core/api/sync_serve.c is the other side). */
#include "core/agent/tokens.h"
#include "core/api/forward_private.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/pack.h"
#include "core/base/text.h"

#include <stdlib.h>

/* A question or a command on its way; one of the two. */
struct outward {
    struct relay relay;
    struct list link; /* in forward.outward */
    struct sync_ask *ask;
    struct sync_write *write;
};

static struct outward *outward_of(struct call *c)
{
    return LIST_OWNER(c, struct outward, relay.call);
}

/* What a server says about a node, as sync_serve.c packs it. */
static enum err rows_read(struct bytes data, struct sync_rows *ret_rows)
{
    struct unpack in = {.rest = data};
    bool there = unpack_u8(&in) == 1;
    struct bytes node = unpack_bytes(&in, RPC_ANSWER_HOLD_MAX);
    struct sync_rows rows = {.has_node = there};
    rows.services = unpack_bytes(&in, RPC_ANSWER_HOLD_MAX);
    rows.checks = unpack_bytes(&in, RPC_ANSWER_HOLD_MAX);
    if (!unpack_done(&in) || !texts_valid(rows.services) || !texts_valid(rows.checks) ||
        (there && row_node_decode(node, &rows.node) != OK)) {
        return ERR_INVALID;
    }
    *ret_rows = rows;
    return OK;
}

static enum err outward_status(const struct relay *x, enum err e)
{
    if (e != OK) {
        return e == ERR_NOT_FOUND ? ERR_NOT_LEADER : e;
    }
    switch (x->status) {
    case 200:
        return OK;
    case 403:
        return ERR_DENIED;
    case 409:
        return ERR_CONFLICT;
    case 504:
        return ERR_TIMEOUT;
    default:
        return ERR_NOT_LEADER;
    }
}

static void outward_end(struct outward *w, enum err e)
{
    struct sync_rows rows = {0};
    e = outward_status(&w->relay, e);
    list_remove(&w->link);
    if (w->ask != NULL) {
        e = e == OK ? rows_read(buf_view(&w->relay.body), &rows) : e;
        w->ask->done(w->ask, e, &rows);
    } else {
        w->write->done(w->write, e);
    }
    relay_close(&w->relay);
    free(w);
}

static void outward_head(struct call *c, const struct answer_head *h)
{
    relay_head(&outward_of(c)->relay, h);
}

static void outward_on_data(struct call *c, struct bytes data)
{
    if (relay_data(&outward_of(c)->relay, data) != OK) {
        outward_of(c)->relay.status = 413;
        call_taken(c);
    }
}

static void outward_done(struct call *c, enum err e)
{
    outward_end(outward_of(c), e);
}

static const struct call_ops OUTWARD = {
    .head = outward_head,
    .data = outward_on_data,
    .done = outward_done,
};

static struct outward *outward_new(struct forward *f)
{
    struct outward *w = mem_zalloc(1, sizeof *w);
    relay_init(&w->relay, f, &OUTWARD);
    list_init(&w->link);
    list_append(&f->outward, &w->link);
    w->relay.call.idempotent = true; /* the same rows twice are the same rows */
    w->relay.call.hold_ms = RPC_HOLD_MS;
    return w;
}

static struct bytes outward_token(const struct forward *f, struct bytes own)
{
    struct bytes token = own;
    if (token.len == 0) {
        token = tokens_get(f->options.tokens, TOKEN_AGENT);
    }
    if (token.len == 0) {
        token = tokens_get(f->options.tokens, TOKEN_DEFAULT);
    }
    return token_is_plain(token) ? token : (struct bytes){0};
}

static void outward_send(struct outward *w, const struct relay_request *q)
{
    enum err e = relay_start(&w->relay, q);
    if (e != OK) {
        outward_end(w, e);
    }
}

static void forward_sync_ask(void *ctx, struct sync_ask *a)
{
    struct forward *f = ctx;
    struct outward *w = outward_new(f);
    struct buf target;
    w->ask = a;
    buf_init(&target, KIB(8));
    enum err e = buf_append_str(&target, SYNC_ROWS_PATH);
    e = e == OK ? url_encode(&target, a->node, true) : e;
    CHECK(e == OK); /* a name is short */
    struct relay_request q = {
        .method = BYTES("GET"),
        .target = buf_view(&target),
        .token = outward_token(f, (struct bytes){0}),
        .headers = "",
    };
    outward_send(w, &q);
    buf_close(&target);
}

static void forward_sync_write(void *ctx, struct sync_write *write)
{
    struct forward *f = ctx;
    struct outward *w = outward_new(f);
    struct buf command;
    w->write = write;
    buf_init(&command, COMMAND_MAX);
    enum err e = command_encode(&command, write->command);
    if (e == OK) {
        struct relay_request q = {
            .method = BYTES("PUT"),
            .target = BYTES(SYNC_COMMAND_PATH),
            .token = outward_token(f, write->token),
            .body = buf_view(&command),
            .headers = "",
        };
        outward_send(w, &q);
    } else {
        outward_end(w, e);
    }
    buf_close(&command);
}

struct sync_server forward_sync(struct forward *f)
{
    return (struct sync_server){.ctx = f, .ask = forward_sync_ask, .write = forward_sync_write};
}

void forward_sync_close(struct forward *f)
{
    LIST_FOREACH (at, &f->outward) {
        outward_end(LIST_OWNER(at, struct outward, link), ERR_CLOSED);
    }
}
