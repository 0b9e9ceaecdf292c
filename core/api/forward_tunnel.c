/* Requests whose answers have no end, or are no HTTP: the client's socket on one side, a stream to
 * a server on the other, and bytes to and fro. */
#include "core/agent/tokens.h"
#include "core/api/forward_private.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/front/websocket.h"
#include "core/rpc/pump.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waiting for a connection, then pumping. */
struct tunnel {
    struct list link;
    struct forward *forward;
    struct front_ticket ticket;
    struct rpc_waiter waiter;
    struct pump *pump;
    struct buf begin; /* the request's head, and what came behind it */
};

static void tunnel_free(struct tunnel *t)
{
    rpc_wait_cancel(&t->waiter);
    front_ticket_return(&t->ticket);
    list_remove(&t->link);
    buf_close(&t->begin);
    free(t);
}

static void tunnel_ended(struct pump *p)
{
    tunnel_free(p->ctx);
}

static void tunnel_refuse(struct tunnel *t)
{
    static const char text[] = "HTTP/1.1 500 Internal Server Error\r\n"
                               "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                               "Content-Length: 23\r\n\r\nNo known Consul servers";
    ssize_t put = send(t->pump->io.fd, text, sizeof text - 1, MSG_NOSIGNAL);
    (void)put;
    metric_add(METRIC_HTTP_ERRORS, 1);
    pump_close(t->pump, RPC_CLOSE_CANCEL);
    tunnel_free(t);
}

static void tunnel_begin(struct tunnel *t)
{
    struct forward *f = t->forward;
    if (rpc_client_open(f->rpc, &t->pump->stream, &PUMP_STREAM) != OK) {
        tunnel_refuse(t);
        return;
    }
    pump_start(t->pump, f->options.loop, buf_view(&t->begin));
    buf_close(&t->begin);
}

static void tunnel_on_waited(struct rpc_waiter *w, enum err e)
{
    struct tunnel *t = LIST_OWNER(w, struct tunnel, waiter);
    if (e == OK) {
        tunnel_begin(t);
    } else {
        tunnel_refuse(t);
    }
}

/* Who the agent is, and whose the token is, is said by us alone. */
static bool tunnel_passes(struct bytes name, bool upgrade)
{
    if (bytes_equal_nocase(name, BYTES(REQUEST_AGENT_HEADER))) {
        return false;
    }
    bool near = bytes_equal_nocase(name, BYTES("Connection")) ||
                bytes_equal_nocase(name, BYTES("Keep-Alive"));
    return upgrade || !near;
}

static enum err tunnel_head(const struct request *r, struct buf *out)
{
    const struct forward *f = api_of(r)->forward;
    bool upgrade = websocket_wanted(r);
    struct bytes name;
    struct bytes value;
    enum err e = buf_printf(out, "%.*s ", BYTES_FORMAT(r->method_name));
    e = e == OK ? target_make(r, out) : e;
    e = e == OK ? buf_printf(out, " HTTP/1.1\r\n" REQUEST_AGENT_HEADER ": %s\r\n%s",
                             f->options.node, upgrade ? "" : "Connection: close\r\n")
                : e;
    struct bytes token = tokens_get(f->options.tokens, TOKEN_DEFAULT);
    if (e == OK && r->token.len == 0 && token.len > 0 && token_is_plain(token)) {
        e = buf_printf(out, "X-Consul-Token: %.*s\r\n", BYTES_FORMAT(token));
    }
    for (size_t i = 0; e == OK && request_field(r, i, &name, &value); i++) {
        if (tunnel_passes(name, upgrade)) {
            e = buf_printf(out, "%.*s: %.*s\r\n", BYTES_FORMAT(name), BYTES_FORMAT(value));
        }
    }
    return e == OK ? buf_append_str(out, "\r\n") : e;
}

void api_tunnel(struct request *r)
{
    struct forward *f = api_of(r)->forward;
    struct tunnel *t = mem_zalloc(1, sizeof *t);
    struct bytes early = {0};
    t->forward = f;
    buf_init(&t->begin, 3 * RPC_ANSWER_HEAD_MAX);
    list_init(&t->link);
    enum err e = tunnel_head(r, &t->begin);
    if (e != OK) {
        buf_close(&t->begin);
        free(t);
        reply_err(r, e);
        return;
    }
    int fd = request_take(r, &t->ticket, &early);
    metric_add(METRIC_HTTP_REQUESTS, 1);
    /* Bounded by what a front reads ahead; a client that says more before an answer is cut off. */
    if (buf_append(&t->begin, early) != OK) {
        (void)close(fd);
        tunnel_free(t);
        return;
    }
    list_append(&f->tunnels, &t->link);
    t->pump = pump_new(fd, tunnel_ended, t);
    if (rpc_client_up(f->rpc)) {
        tunnel_begin(t);
    } else {
        t->waiter.done = tunnel_on_waited;
        rpc_wait(f->rpc, &t->waiter, RPC_HOLD_MS);
    }
}

void tunnels_close(struct forward *f)
{
    LIST_FOREACH (at, &f->tunnels) {
        struct tunnel *t = LIST_OWNER(at, struct tunnel, link);
        pump_close(t->pump, RPC_CLOSE_CANCEL);
        tunnel_free(t);
    }
}
