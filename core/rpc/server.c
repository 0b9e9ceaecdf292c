#include "core/rpc/server.h"

#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/rpc/pump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A pair of sockets between us and our own front holds no more than this each way: what is in it
 * counts for nobody's window. */
#define PAIR_BYTES (64 * 1024)

/* An agent's connection. */
struct agent_link {
    struct list link;
    struct rpc_server *server;
    struct mux *mux;
    struct list pumps;
    char from[64];
    char node[RPC_NAME_MAX + 1];
};

struct rpc_server {
    struct rpc_server_options options;
    struct list links;
    size_t count;
};

static void link_free(struct agent_link *l)
{
    l->server->count--;
    list_remove(&l->link);
    LIST_FOREACH (at, &l->pumps) {
        pump_close(LIST_OWNER(at, struct pump, link), RPC_CLOSE_CANCEL);
    }
    mux_free(l->mux);
    free(l);
}

static void link_ready(struct mux *m, const struct rpc_frame *hello)
{
    struct agent_link *l = mux_ctx(m);
    (void)snprintf(l->node, sizeof l->node, "%.*s", BYTES_FORMAT(hello->node));
    log_line(LOG_RPC_AGENT, "node=%s from=%s", l->node, l->from);
}

static void pump_ended(struct pump *p)
{
    (void)p;
}

static void link_opened(struct mux *m, uint32_t id)
{
    struct agent_link *l = mux_ctx(m);
    int pair[2];
    int bytes = PAIR_BYTES;
    if (mux_streams(m) >= RPC_STREAMS_MAX ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        metric_add(METRIC_RPC_REFUSED, 1);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    front_adopt(l->server->options.front, pair[1], bytes_of(l->from));
    struct pump *p = pump_new(pair[0], pump_ended, NULL);
    list_append(&l->pumps, &p->link);
    mux_accept(m, id, &p->stream, &PUMP_STREAM);
    pump_start(p, l->server->options.loop, (struct bytes){0});
}

static void link_lost(struct mux *m, const char *why)
{
    struct agent_link *l = mux_ctx(m);
    log_line(LOG_RPC_AGENT_LOST, "node=%s from=%s why=\"%s\"", l->node, l->from, why);
    link_free(l);
}

static const struct mux_ops LINK = {
    .ready = link_ready,
    .opened = link_opened,
    .lost = link_lost,
};

void rpc_server_take(struct rpc_server *s, int fd, struct bytes begun, const char *from)
{
    if (s->count >= RPC_CONNECTIONS_MAX) {
        metric_add(METRIC_RPC_REFUSED, 1);
        (void)close(fd);
        return;
    }
    struct agent_link *l = mem_zalloc(1, sizeof *l);
    struct mux_options options = {
        .loop = s->options.loop,
        .ops = &LINK,
        .ctx = l,
        .node = s->options.node,
        .datacenter = s->options.datacenter,
    };
    l->server = s;
    (void)snprintf(l->from, sizeof l->from, "%s", from);
    list_init(&l->pumps);
    list_append(&s->links, &l->link);
    s->count++;
    l->mux = mux_new(&options, fd, begun);
}

void rpc_server_leave(struct rpc_server *s)
{
    LIST_FOREACH (at, &s->links) {
        mux_leave(LIST_OWNER(at, struct agent_link, link)->mux);
    }
}

struct rpc_server *rpc_server_new(const struct rpc_server_options *options)
{
    struct rpc_server *s = mem_zalloc(1, sizeof *s);
    s->options = *options;
    list_init(&s->links);
    return s;
}

void rpc_server_free(struct rpc_server *s)
{
    if (s == NULL) {
        return;
    }
    LIST_FOREACH (at, &s->links) {
        link_free(LIST_OWNER(at, struct agent_link, link));
    }
    free(s);
}
