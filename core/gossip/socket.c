#include "core/gossip/socket_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Larger than any datagram we let in, to see that it is too large. */
#define SOCKET_READ_MAX   (GOSSIP_PACKET_MAX + 1)
#define SOCKET_BACKLOG    128
#define SOCKET_ACCEPT_MAX 16
#define SOCKET_REST_MS    100
/* What the kernel may hold while this thread is busy. */
#define SOCKET_BUFFER     (2 * 1024 * 1024)
#define SOCKET_TRIES      16

/* --- addresses ------------------------------------------------------------------------------- */

struct socket_name socket_name_of(const struct packet_address *a, int family)
{
    struct socket_name name = {0};
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&name.storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        name.len = sizeof *in;
        return name;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&name.storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, 16);
    name.len = sizeof *in6;
    return name;
}

struct packet_address socket_address_of(const struct sockaddr_storage *name)
{
    struct packet_address a = {0};
    if (name->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, name, sizeof in);
        a.port = ntohs(in.sin_port);
        a.ip[10] = 0xff;
        a.ip[11] = 0xff;
        memcpy(a.ip + 12, &in.sin_addr, 4);
    } else {
        struct sockaddr_in6 in6;
        memcpy(&in6, name, sizeof in6);
        a.port = ntohs(in6.sin6_port);
        memcpy(a.ip, &in6.sin6_addr, 16);
    }
    return a;
}

/* --- datagrams ------------------------------------------------------------------------------- */

void socket_send(struct socket *s, const struct packet_address *to, struct bytes packet)
{
    if (s->family == AF_INET && !packet_address_v4(to)) {
        return;
    }
    struct socket_name name = socket_name_of(to, s->family);
    seal_packet(s->options.seal, packet, &s->wire);
    CHECK(s->wire.len <= GOSSIP_PACKET_MAX);
    ssize_t sent = sendto(s->udp.fd, s->wire.ptr, s->wire.len, 0,
                          (const struct sockaddr *)&name.storage, name.len);
    if (sent >= 0) {
        metric_add(METRIC_GOSSIP_SENT, sent);
    }
}

static void udp_ready(struct io *io, unsigned ready)
{
    struct socket *s = LIST_OWNER(io, struct socket, udp);
    char data[SOCKET_READ_MAX];
    (void)ready;
    for (unsigned i = 0; i < GOSSIP_TURN_PACKETS; i++) {
        struct sockaddr_storage name = {0};
        socklen_t len = sizeof name;
        ssize_t got = recvfrom(io->fd, data, sizeof data, 0, (struct sockaddr *)&name, &len);
        if (got < 0) {
            /* Nothing more; or an error that belongs to some earlier datagram of ours. */
            return;
        }
        metric_add(METRIC_GOSSIP_RECEIVED, got);
        struct packet_address from = socket_address_of(&name);
        struct bytes wire = {data, (size_t)got};
        enum err e = got > (ssize_t)GOSSIP_PACKET_MAX
                         ? ERR_TOO_BIG
                         : seal_open_packet(s->options.seal, wire, &s->packet);
        if (e == OK) {
            s->options.packet(s->options.ctx, &from, buf_view(&s->packet));
        } else {
            metric_add(e == ERR_CONFLICT ? METRIC_GOSSIP_REPLAYED : METRIC_GOSSIP_DROPPED, 1);
        }
    }
}

/* --- accepting ------------------------------------------------------------------------------- */

static void tcp_ready(struct io *io, unsigned ready)
{
    struct socket *s = LIST_OWNER(io, struct socket, tcp);
    (void)ready;
    for (unsigned i = 0; i < SOCKET_ACCEPT_MAX; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            io_want(io, 0);
            env_timer_start(loop_env(s->options.loop), &s->rest, SOCKET_REST_MS);
        }
        if (fd < 0) {
            return;
        }
        stream_accept(s, fd);
    }
}

static void rest_over(struct timer *t)
{
    struct socket *s = LIST_OWNER(t, struct socket, rest);
    io_want(&s->tcp, IO_READ);
}

/* --- life ------------------------------------------------------------------------------------ */

static int bound_socket(int type, const struct packet_address *bind_to, int family)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    int off = 0;
    int size = SOCKET_BUFFER;
    struct socket_name name = socket_name_of(bind_to, family);
    if (fd < 0) {
        return fd;
    }
    if (type == SOCK_STREAM) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, (const struct sockaddr *)&name.storage, name.len) != 0 ||
        (type == SOCK_STREAM && listen(fd, SOCKET_BACKLOG) != 0)) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Both on one port; if any will do, the stream's is also free for datagrams only by luck. */
static enum err bind_both(const struct packet_address *want, int family, int ret_fds[2])
{
    unsigned tries = want->port == 0 ? SOCKET_TRIES : 1;
    for (unsigned i = 0; i < tries; i++) {
        struct packet_address at = *want;
        struct sockaddr_storage name = {0};
        socklen_t len = sizeof name;
        int tcp = bound_socket(SOCK_STREAM, &at, family);
        if (tcp < 0 || getsockname(tcp, (struct sockaddr *)&name, &len) != 0) {
            return errno == EADDRINUSE ? ERR_IN_USE : ERR_IO;
        }
        at.port = socket_address_of(&name).port;
        int udp = bound_socket(SOCK_DGRAM, &at, family);
        if (udp >= 0) {
            ret_fds[0] = udp;
            ret_fds[1] = tcp;
            return OK;
        }
        int error = errno;
        (void)close(tcp);
        errno = error;
    }
    return errno == EADDRINUSE ? ERR_IN_USE : ERR_IO;
}

enum err
socket_open(const struct socket_options *options, struct socket **ret_socket, struct reason *why)
{
    int fds[2];
    int family = packet_address_v4(&options->bind) ? AF_INET : AF_INET6;
    enum err e = bind_both(&options->bind, family, fds);
    if (e != OK) {
        char text[GOSSIP_ADDRESS_LEN];
        packet_address_text(&options->bind, text);
        reason_set(why, "cannot gossip on %s port %u: %s", text, options->bind.port,
                   strerror(errno));
        return e;
    }
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof name;
    int rc = getsockname(fds[0], (struct sockaddr *)&name, &len);
    CHECK(rc == 0);
    struct socket *s = mem_zalloc(1, sizeof *s);
    s->options = *options;
    s->family = family;
    s->port = socket_address_of(&name).port;
    list_init(&s->streams);
    buf_init(&s->wire, GOSSIP_PACKET_MAX + 1);
    buf_init(&s->packet, GOSSIP_PACKET_MAX + 1);
    env_timer_init(loop_env(options->loop), &s->rest, rest_over);
    io_open(&s->udp, options->loop, fds[0], udp_ready);
    io_open(&s->tcp, options->loop, fds[1], tcp_ready);
    io_want(&s->udp, IO_READ);
    io_want(&s->tcp, IO_READ);
    *ret_socket = s;
    return OK;
}

void socket_close(struct socket *s)
{
    if (s == NULL) {
        return;
    }
    int fds[2] = {s->udp.fd, s->tcp.fd};
    io_close(&s->udp);
    io_close(&s->tcp);
    (void)close(fds[0]);
    (void)close(fds[1]);
    timer_stop(&s->rest);
    stream_close_all(s);
    buf_close(&s->wire);
    buf_close(&s->packet);
    free(s);
}

uint16_t socket_port(const struct socket *s)
{
    return s->port;
}
