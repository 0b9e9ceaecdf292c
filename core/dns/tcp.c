/* Connections: questions behind their lengths (RFC 1035, 4.2.2), several at a time (RFC 7766), each
 * answered as soon as it can be. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/dns/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_BACKLOG    512
#define TCP_ACCEPT_MAX 32
#define TCP_REST_MS    100

/* --- sockets ----------------------------------------------------------------------------------
 */

static socklen_t
socket_name(const struct front_listen *l, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    *ret = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, l->address, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        return sizeof *in;
    }
    if (inet_pton(AF_INET6, l->address, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        return sizeof *in6;
    }
    return 0;
}

static enum err bind_fail(const struct front_listen *l, uint16_t port, int fd, struct reason *why)
{
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    reason_set(why, "cannot answer DNS on %s port %u: %s", l->address, port, strerror(error));
    return error == EADDRINUSE ? ERR_IN_USE : ERR_IO;
}

/* As the acceptor of HTTP does it: without SO_REUSEPORT first, so that no second server shares the
 * port without a word. */
static int bind_one(const struct sockaddr_storage *name, socklen_t len, int type, bool share)
{
    int on = 1;
    int fd = socket(name->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fd;
    }
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (share) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    if (name->ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, (const struct sockaddr *)name, len) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum err socket_bind(const struct front_listen *l,
                     int type,
                     uint16_t port,
                     bool probe,
                     struct dns_bound *ret,
                     struct reason *why)
{
    struct sockaddr_storage name;
    socklen_t len = socket_name(l, port, &name);
    if (len == 0) {
        reason_set(why, "cannot answer DNS on %s: not an IP address", l->address);
        return ERR_INVALID;
    }
    if (probe && port != 0) {
        int fd = bind_one(&name, len, type, false);
        if (fd < 0) {
            return bind_fail(l, port, fd, why);
        }
        (void)close(fd);
    }
    int fd = bind_one(&name, len, type, true);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&name, &len) != 0) {
        return bind_fail(l, port, fd, why);
    }
    in_port_t got = name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                               : ((struct sockaddr_in *)&name)->sin_port;
    *ret = (struct dns_bound){.fd = fd, .port = ntohs(got)};
    return OK;
}

/* --- a connection -----------------------------------------------------------------------------
 */

static void connection_free(struct dns_connection *c)
{
    buf_close(&c->out);
    free(c);
}

/* Its memory stays while jobs point at it. */
static void connection_close(struct dns_connection *c)
{
    if (c->closed) {
        return;
    }
    int fd = c->io.fd;
    c->closed = true;
    timer_stop(&c->timer);
    io_close(&c->io);
    (void)close(fd);
    list_remove(&c->link);
    clients_leave(c->dns->clients, c->slot);
    c->dns->connection_count--;
    metric_add(METRIC_DNS_CONNECTIONS, -1);
    if (c->jobs == 0) {
        connection_free(c);
    }
}

/* Not while answers pile up in front of who does not read them. */
static void connection_want(struct dns_connection *c)
{
    bool full = c->jobs >= DNS_PIPELINE_MAX || c->out.len > DNS_OUT_MAX / 2;
    io_want(&c->io, (full ? 0U : IO_READ) | (c->out.len > 0 ? IO_WRITE : 0U));
}

/* False: it was closed. */
static bool connection_flush(struct dns_connection *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->io.fd, c->out.ptr, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n <= 0) {
            connection_close(c);
            return false;
        }
        buf_consume(&c->out, (size_t)n);
        env_timer_start(c->dns->env, &c->timer, DNS_IDLE_MS);
    }
    connection_want(c);
    return true;
}

static bool connection_put(struct dns_connection *c, const uint8_t *packet, size_t len)
{
    CHECK(len <= DNS_TCP_MAX);
    char head[2] = {(char)(len >> 8), (char)len};
    enum err e = buf_append(&c->out, (struct bytes){head, sizeof head});
    e = e == OK ? buf_append(&c->out, (struct bytes){(const char *)packet, len}) : e;
    return e == OK;
}

void tcp_send(struct dns_connection *c, const uint8_t *packet, size_t len)
{
    if (c->closed) {
        return;
    }
    if (!connection_put(c, packet, len)) {
        connection_close(c);
        return;
    }
    (void)connection_flush(c);
}

void tcp_job_begins(struct dns_connection *c)
{
    c->jobs++;
}

/* Whole questions from the front of `in`. False: it was closed. */
static bool connection_questions(struct dns_connection *c)
{
    struct dns *d = c->dns;
    struct dns_client from = {.ip = c->ip, .connection = c};
    size_t at = 0;
    while (c->in_len - at >= 2 && c->jobs < DNS_PIPELINE_MAX && c->out.len <= DNS_OUT_MAX / 2) {
        size_t len = (size_t)c->in[at] << 8 | c->in[at + 1];
        if (len > DNS_QUESTION_MAX) {
            metric_add(METRIC_DNS_DROPPED, 1);
            connection_close(c);
            return false;
        }
        if (c->in_len - at - 2 < len) {
            break;
        }
        struct bytes packet = {(const char *)c->in + at + 2, len};
        size_t out = dns_handle(d, &from, dns_view(d), packet, d->one);
        at += 2 + len;
        env_timer_start(d->env, &c->timer, DNS_IDLE_MS);
        if (out > 0 && !connection_put(c, d->one, out)) {
            connection_close(c);
            return false;
        }
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return true;
}

/* Until there is no whole question any more, or no room for its answer. */
static void connection_run(struct dns_connection *c)
{
    size_t before = SIZE_MAX;
    while (c->in_len < before) {
        before = c->in_len;
        if (!connection_questions(c) || !connection_flush(c)) {
            return;
        }
    }
}

static void connection_ready(struct io *io, unsigned ready)
{
    struct dns_connection *c = LIST_OWNER(io, struct dns_connection, io);
    if ((ready & IO_WRITE) != 0 && !connection_flush(c)) {
        return;
    }
    if (c->in_len < sizeof c->in) {
        ssize_t n = recv(io->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            connection_close(c);
            return;
        }
        c->in_len += n > 0 ? (size_t)n : 0;
    }
    connection_run(c);
}

void tcp_job_ends(struct dns_connection *c)
{
    c->jobs--;
    if (!c->closed) {
        connection_run(c);
    } else if (c->jobs == 0) {
        connection_free(c);
    }
}

/* A whole question, or room in an answer, has to come within the time. */
static void connection_late(struct timer *t)
{
    struct dns_connection *c = LIST_OWNER(t, struct dns_connection, timer);
    if (c->jobs > 0 && c->out.len == 0) {
        env_timer_start(c->dns->env, &c->timer, DNS_IDLE_MS);
        return;
    }
    connection_close(c);
}

static void connection_new(struct dns *d, int fd, const struct sockaddr_storage *name)
{
    uint32_t slot = CLIENTS_NONE;
    struct dns_ip ip = ip_of(name);
    struct bytes raw = {(const char *)ip.raw, ip.len};
    if (d->connection_count >= DNS_CONNECTIONS_MAX ||
        !clients_enter(d->clients, raw, DNS_CONNECTIONS_PER_IP, &slot)) {
        metric_add(METRIC_DNS_DROPPED, 1);
        (void)close(fd);
        return;
    }
    struct dns_connection *c = mem_zalloc(1, sizeof *c);
    c->dns = d;
    c->ip = ip;
    c->slot = slot;
    buf_init(&c->out, DNS_OUT_MAX);
    list_append(&d->connections, &c->link);
    d->connection_count++;
    metric_add(METRIC_DNS_CONNECTIONS, 1);
    io_open(&c->io, d->options.loop, fd, connection_ready);
    io_want(&c->io, IO_READ);
    env_timer_init(d->env, &c->timer, connection_late);
    env_timer_start(d->env, &c->timer, DNS_IDLE_MS);
}

static void tcp_ready(struct io *io, unsigned ready)
{
    struct socket_pair *s = LIST_OWNER(io, struct socket_pair, tcp);
    (void)ready;
    for (int i = 0; i < TCP_ACCEPT_MAX; i++) {
        struct sockaddr_storage name = {0};
        socklen_t len = sizeof name;
        int fd = accept4(io->fd, (struct sockaddr *)&name, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            connection_new(s->dns, fd, &name);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            io_want(io, 0);
            env_timer_start(s->dns->env, &s->rest, TCP_REST_MS);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* Out of descriptors: the listener has rested. */
void tcp_rested(struct timer *t)
{
    struct socket_pair *s = LIST_OWNER(t, struct socket_pair, rest);
    io_want(&s->tcp, IO_READ);
}

enum err tcp_open(struct socket_pair *s, const struct front_listen *l, struct reason *why)
{
    struct dns_bound bound;
    enum err e = socket_bind(l, SOCK_STREAM, s->port, s->dns->options.number == 0, &bound, why);
    if (e != OK) {
        return e;
    }
    if (listen(bound.fd, TCP_BACKLOG) != 0) {
        return bind_fail(l, s->port, bound.fd, why);
    }
    io_open(&s->tcp, s->dns->options.loop, bound.fd, tcp_ready);
    io_want(&s->tcp, IO_READ);
    return OK;
}

void tcp_close_all(struct dns *d)
{
    LIST_FOREACH (at, &d->connections) {
        connection_close(LIST_OWNER(at, struct dns_connection, link));
    }
}
