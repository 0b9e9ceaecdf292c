#include "core/rpc/client.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/base/sm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum client_state {
    CLIENT_IDLE,
    CLIENT_DIALLING,
    CLIENT_UP,
};

static const struct sm_state STATES[] = {
    [CLIENT_IDLE] = {"idle", SM_TO(CLIENT_DIALLING)},
    [CLIENT_DIALLING] = {"dialling", SM_TO(CLIENT_UP) | SM_TO(CLIENT_IDLE)},
    [CLIENT_UP] = {"up", SM_TO(CLIENT_IDLE)},
};

/* A connection that is in use, or was and still has streams. */
struct server_link {
    struct list link; /* in client.old, unless it is the current one */
    struct rpc_client *client;
    struct mux *mux;
    struct rpc_address address;
    bool retired;
};

struct rpc_client {
    struct rpc_client_options options;
    struct env *env;
    struct sm sm;
    struct rpc_address servers[RPC_SERVERS_MAX];
    size_t server_count;
    struct server_link *current; /* dialling or up */
    struct list old;
    struct list waiters;
    struct rpc_address failed[RPC_SERVERS_MAX]; /* in this round */
    size_t failed_count;
    struct rpc_address avoid; /* the one in use before: not it, if there is another */
    uint64_t rest_ms;
    struct timer rest;    /* idle: when to dial again */
    struct timer balance; /* up: when to move */
    struct timer sweep;   /* old ones without streams */
    uint64_t lost_ms;
    bool was_up;
};

static void client_dial(struct rpc_client *c);

/* --- who waits ---------------------------------------------------------------------------------
 */

static void waiter_done(struct rpc_waiter *w, enum err e)
{
    rpc_wait_cancel(w);
    w->done(w, e);
}

static void waiters_done(struct rpc_client *c, enum err e)
{
    struct list now;
    list_init(&now);
    list_move_all(&now, &c->waiters);
    while (!list_empty(&now)) {
        waiter_done(LIST_OWNER(now.next, struct rpc_waiter, link), e);
    }
}

static void waiter_on_timer(struct timer *t)
{
    struct rpc_waiter *w = LIST_OWNER(t, struct rpc_waiter, timer);
    waiter_done(w, rpc_client_up(w->client) ? OK : ERR_NOT_FOUND);
}

void rpc_wait(struct rpc_client *c, struct rpc_waiter *w, uint64_t most_ms)
{
    bool known = c->server_count > 0;
    w->client = c;
    list_init(&w->link);
    list_append(&c->waiters, &w->link);
    env_timer_init(c->env, &w->timer, waiter_on_timer);
    env_timer_start(c->env, &w->timer, known && !rpc_client_up(c) ? most_ms : 0);
    if (c->sm.state == CLIENT_IDLE && known && !timer_armed(&c->rest)) {
        client_dial(c);
    }
}

void rpc_wait_cancel(struct rpc_waiter *w)
{
    if (w->client != NULL) {
        timer_stop(&w->timer);
        list_remove(&w->link);
    }
}

/* --- connections -------------------------------------------------------------------------------
 */

static void link_free(struct server_link *l)
{
    mux_free(l->mux);
    list_remove(&l->link);
    free(l);
}

/* No more streams begin on it; it goes when it has none. */
static void client_retire(struct rpc_client *c)
{
    struct server_link *l = c->current;
    CHECK(l != NULL);
    c->current = NULL;
    timer_stop(&c->balance);
    l->retired = true;
    list_append(&c->old, &l->link);
    env_timer_start(c->env, &c->sweep, 0);
    c->avoid = l->address;
    sm_move(&c->sm, CLIENT_IDLE);
}

static void client_on_sweep(struct timer *t)
{
    struct rpc_client *c = LIST_OWNER(t, struct rpc_client, sweep);
    LIST_FOREACH (at, &c->old) {
        struct server_link *l = LIST_OWNER(at, struct server_link, link);
        if (mux_streams(l->mux) == 0) {
            link_free(l);
        }
    }
    if (!list_empty(&c->old)) {
        env_timer_start(c->env, &c->sweep, RPC_PING_MS);
    }
}

static uint64_t client_balance_ms(struct rpc_client *c)
{
    return RPC_BALANCE_MS + env_random_below(c->env, RPC_BALANCE_MS);
}

static void client_on_balance(struct timer *t)
{
    struct rpc_client *c = LIST_OWNER(t, struct rpc_client, balance);
    if (c->server_count > 1) {
        client_retire(c);
        /* Any of them, this one too. */
        c->avoid.text[0] = '\0';
        client_dial(c);
    } else {
        env_timer_start(c->env, &c->balance, client_balance_ms(c));
    }
}

static void link_ready(struct mux *m, const struct rpc_frame *hello)
{
    struct server_link *l = mux_ctx(m);
    struct rpc_client *c = l->client;
    log_line(LOG_RPC_SERVER, "server=%.*s address=%s", BYTES_FORMAT(hello->node), l->address.text);
    sm_move(&c->sm, CLIENT_UP);
    c->failed_count = 0;
    c->rest_ms = 0;
    c->lost_ms = 0;
    if (c->was_up) {
        metric_add(METRIC_RPC_FAILOVERS, 1);
    }
    c->was_up = true;
    env_timer_start(c->env, &c->balance, client_balance_ms(c));
    waiters_done(c, OK);
}

/* Another is dialled at once if somebody waits; and so is one when nobody does, for the next who
 * asks. */
static void link_leave(struct mux *m)
{
    struct server_link *l = mux_ctx(m);
    struct rpc_client *c = l->client;
    if (l->retired) {
        return;
    }
    client_retire(c);
    client_dial(c);
    c->options.leaving(c->options.ctx);
}

static void link_lost(struct mux *m, const char *why)
{
    struct server_link *l = mux_ctx(m);
    struct rpc_client *c = l->client;
    bool dialled = c->sm.state == CLIENT_DIALLING;
    (void)m;
    if (!l->retired) {
        log_line(LOG_RPC_SERVER_LOST, "address=%s why=\"%s\"", l->address.text, why);
        timer_stop(&c->balance);
        c->current = NULL;
        c->avoid = l->address;
        sm_move(&c->sm, CLIENT_IDLE);
        if (dialled && c->failed_count < RPC_SERVERS_MAX) {
            c->failed[c->failed_count++] = l->address;
        }
        if (!dialled) {
            c->lost_ms = env_now_ms(c->env);
        }
    }
    bool again = !l->retired;
    link_free(l);
    if (again) {
        client_dial(c);
    }
}

static const struct mux_ops LINK = {
    .ready = link_ready,
    .leave = link_leave,
    .lost = link_lost,
};

/* --- dialling ----------------------------------------------------------------------------------
 */

static bool address_read(const char *text, struct sockaddr_storage *ret_to, socklen_t *ret_len)
{
    char host[sizeof((struct rpc_address *)0)->text];
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (colon == NULL || bytes_to_u64(bytes_of(colon + 1), &port) != OK || port == 0 ||
        port > UINT16_MAX) {
        return false;
    }
    bool bracket = text[0] == '[';
    size_t len = (size_t)(colon - text) - (bracket ? 2 : 0);
    (void)snprintf(host, sizeof host, "%.*s", (int)len, text + (bracket ? 1 : 0));
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret_to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret_to;
    *ret_to = (struct sockaddr_storage){0};
    if (!bracket && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_len = sizeof *v4;
        return true;
    }
    if (bracket && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof *v6;
        return true;
    }
    return false;
}

/* A socket that connects; -1: it cannot. */
static int address_dial(const struct rpc_address *a)
{
    struct sockaddr_storage to;
    socklen_t len = 0;
    int on = 1;
    unsigned dead_ms = RPC_DEAD_MS;
    if (!address_read(a->text, &to, &len)) {
        return -1;
    }
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
    if (connect(fd, (const struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool client_has_failed(const struct rpc_client *c, const struct rpc_address *a)
{
    for (size_t i = 0; i < c->failed_count; i++) {
        if (strcmp(c->failed[i].text, a->text) == 0) {
            return true;
        }
    }
    return false;
}

/* Any that has not failed in this round, the one before last of all; NULL: all have. */
static const struct rpc_address *client_choose(struct rpc_client *c)
{
    const struct rpc_address *last = NULL;
    size_t first = env_random_below(c->env, c->server_count);
    for (size_t i = 0; i < c->server_count; i++) {
        const struct rpc_address *a = &c->servers[(first + i) % c->server_count];
        if (client_has_failed(c, a)) {
            continue;
        }
        if (strcmp(a->text, c->avoid.text) != 0) {
            return a;
        }
        last = a;
    }
    return last;
}

static void client_rest(struct rpc_client *c)
{
    if (c->rest_ms == 0) {
        log_line(LOG_RPC_NO_SERVERS, "servers=%zu", c->server_count);
    }
    c->failed_count = 0;
    c->rest_ms = c->rest_ms == 0 ? RPC_RETRY_MIN_MS : c->rest_ms * 2;
    c->rest_ms = c->rest_ms < RPC_RETRY_MAX_MS ? c->rest_ms : RPC_RETRY_MAX_MS;
    env_timer_start(c->env, &c->rest, c->rest_ms);
}

static void client_dial(struct rpc_client *c)
{
    CHECK(c->sm.state == CLIENT_IDLE && c->current == NULL);
    timer_stop(&c->rest);
    for (;;) {
        const struct rpc_address *to = client_choose(c);
        int fd = to == NULL ? -1 : address_dial(to);
        if (to != NULL && fd < 0) {
            c->failed[c->failed_count++] = *to;
            continue;
        }
        if (to == NULL) {
            if (c->server_count > 0) {
                client_rest(c);
            }
            return;
        }
        struct server_link *l = mem_zalloc(1, sizeof *l);
        struct mux_options options = {
            .loop = c->options.loop,
            .ops = &LINK,
            .ctx = l,
            .agent = true,
            .node = c->options.node,
            .datacenter = c->options.datacenter,
        };
        l->client = c;
        l->address = *to;
        list_init(&l->link);
        c->current = l;
        sm_move(&c->sm, CLIENT_DIALLING);
        l->mux = mux_new(&options, fd, (struct bytes){0});
        return;
    }
}

static void client_on_rest(struct timer *t)
{
    client_dial(LIST_OWNER(t, struct rpc_client, rest));
}

void rpc_client_servers(struct rpc_client *c, const struct rpc_address *servers, size_t count)
{
    c->server_count = count < RPC_SERVERS_MAX ? count : RPC_SERVERS_MAX;
    memcpy(c->servers, servers, c->server_count * sizeof *servers);
    c->failed_count = 0;
    if (c->server_count == 0) {
        timer_stop(&c->rest);
        if (!rpc_client_up(c)) {
            waiters_done(c, ERR_NOT_FOUND);
        }
    } else if (c->sm.state == CLIENT_IDLE) {
        client_dial(c);
    }
}

/* --- streams -----------------------------------------------------------------------------------
 */

struct env *rpc_client_env(const struct rpc_client *c)
{
    return c->env;
}

bool rpc_client_up(const struct rpc_client *c)
{
    return c->sm.state == CLIENT_UP && mux_is_ready(c->current->mux);
}

enum err
rpc_client_open(struct rpc_client *c, struct mux_stream *s, const struct mux_stream_ops *ops)
{
    return rpc_client_up(c) ? mux_open(c->current->mux, s, ops) : ERR_NOT_FOUND;
}

uint64_t rpc_client_lost_ms(const struct rpc_client *c)
{
    return c->lost_ms;
}

size_t rpc_client_known(const struct rpc_client *c)
{
    return c->server_count;
}

/* --- life --------------------------------------------------------------------------------------
 */

struct rpc_client *rpc_client_new(const struct rpc_client_options *options)
{
    struct rpc_client *c = mem_zalloc(1, sizeof *c);
    c->options = *options;
    c->env = loop_env(options->loop);
    sm_init(&c->sm, STATES, CLIENT_IDLE);
    list_init(&c->old);
    list_init(&c->waiters);
    env_timer_init(c->env, &c->rest, client_on_rest);
    env_timer_init(c->env, &c->balance, client_on_balance);
    env_timer_init(c->env, &c->sweep, client_on_sweep);
    return c;
}

void rpc_client_free(struct rpc_client *c)
{
    if (c == NULL) {
        return;
    }
    CHECK(list_empty(&c->waiters));
    if (c->current != NULL) {
        link_free(c->current);
    }
    LIST_FOREACH (at, &c->old) {
        link_free(LIST_OWNER(at, struct server_link, link));
    }
    timer_stop(&c->rest);
    timer_stop(&c->balance);
    timer_stop(&c->sweep);
    free(c);
}
