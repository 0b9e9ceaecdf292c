/* Datagrams: read, answered and sent in batches, one system call each. */
#include "core/base/check.h"
#include "core/base/metric.h"
#include "core/dns/inside.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One more than is let in, to see that it is too long. */
#define IN_LEN (DNS_QUESTION_MAX + 1)

struct batch {
    struct mmsghdr in[DNS_BATCH];
    struct mmsghdr out[DNS_BATCH];
    struct iovec in_piece[DNS_BATCH];
    struct iovec out_piece[DNS_BATCH];
    struct dns_client clients[DNS_BATCH];
};

struct dns_ip ip_of(const struct sockaddr_storage *name)
{
    struct dns_ip ip = {0};
    if (name->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, name, sizeof in);
        ip.len = 4;
        memcpy(ip.raw, &in.sin_addr, 4);
    } else if (name->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, name, sizeof in6);
        ip.len = 16;
        memcpy(ip.raw, &in6.sin6_addr, 16);
    }
    return ip;
}

static void batch_prepare(struct batch *b, struct socket_pair *s)
{
    for (size_t i = 0; i < DNS_BATCH; i++) {
        struct dns_client *c = &b->clients[i];
        b->in_piece[i] = (struct iovec){s->dns->in + i * IN_LEN, IN_LEN};
        b->in[i].msg_hdr = (struct msghdr){
            .msg_name = &c->name,
            .msg_namelen = sizeof c->name,
            .msg_iov = &b->in_piece[i],
            .msg_iovlen = 1,
            .msg_control = c->control,
            .msg_controllen = sizeof c->control,
        };
        c->socket = s;
        c->connection = NULL;
    }
}

/* The answer to the datagram at `i` goes behind those that are ready to be sent. */
static size_t batch_answer(struct batch *b, size_t i, size_t ready, struct view *v)
{
    struct dns_client *c = &b->clients[i];
    struct dns *d = c->socket->dns;
    size_t len = b->in[i].msg_len;
    uint8_t *out = d->out + i * DNS_UDP_MAX;
    c->name_len = b->in[i].msg_hdr.msg_namelen;
    c->control_len = b->in[i].msg_hdr.msg_controllen;
    c->ip = ip_of(&c->name);
    if (len > DNS_QUESTION_MAX || c->ip.len == 0) {
        metric_add(METRIC_DNS_DROPPED, 1);
        return ready;
    }
    len = dns_handle(d, c, v, (struct bytes){(const char *)d->in + i * IN_LEN, len}, out);
    if (len == 0) {
        return ready;
    }
    b->out_piece[ready] = (struct iovec){out, len};
    b->out[ready].msg_hdr = (struct msghdr){
        .msg_name = &c->name,
        .msg_namelen = c->name_len,
        .msg_iov = &b->out_piece[ready],
        .msg_iovlen = 1,
        .msg_control = c->control_len > 0 ? c->control : NULL,
        .msg_controllen = c->control_len,
    };
    return ready + 1;
}

/* What the kernel does not take is lost, as datagrams may be; one that cannot be sent at all does
 * not hold up the others. */
static void batch_send(struct batch *b, int fd, size_t ready)
{
    size_t sent = 0;
    while (sent < ready) {
        int n = sendmmsg(fd, b->out + sent, (unsigned)(ready - sent), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            break;
        }
        if (n < 0) {
            metric_add(METRIC_DNS_DROPPED, 1);
        }
        sent += n <= 0 ? 1 : (size_t)n;
    }
    metric_add(METRIC_DNS_DROPPED, (int64_t)(ready - (sent < ready ? sent : ready)));
}

static void udp_ready(struct io *io, unsigned ready_for)
{
    struct socket_pair *s = LIST_OWNER(io, struct socket_pair, udp);
    static _Thread_local struct batch b;
    (void)ready_for;
    for (unsigned turn = 0; turn < DNS_TURN_BATCHES; turn++) {
        batch_prepare(&b, s);
        int got = recvmmsg(io->fd, b.in, DNS_BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0) {
            return;
        }
        /* Taken behind the questions: it has all that was written before they were asked. */
        struct view *v = dns_view(s->dns);
        size_t ready = 0;
        for (size_t i = 0; i < (size_t)got; i++) {
            ready = batch_answer(&b, i, ready, v);
        }
        batch_send(&b, io->fd, ready);
        if ((unsigned)got < DNS_BATCH) {
            return;
        }
    }
}

void udp_send(const struct dns_client *to, const uint8_t *packet, size_t len)
{
    struct iovec piece = {(void *)(uintptr_t)packet, len};
    struct dns_client c = *to;
    struct msghdr m = {
        .msg_name = &c.name,
        .msg_namelen = c.name_len,
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = c.control_len > 0 ? c.control : NULL,
        .msg_controllen = c.control_len,
    };
    if (sendmsg(to->socket->udp.fd, &m, MSG_DONTWAIT) < 0) {
        metric_add(METRIC_DNS_DROPPED, 1);
    }
}

enum err udp_open(struct socket_pair *s, const struct front_listen *l, struct reason *why)
{
    struct dns_bound bound;
    int on = 1;
    int room = DNS_SOCKET_BUFFER;
    enum err e = socket_bind(l, SOCK_DGRAM, s->port, s->dns->options.number == 0, &bound, why);
    if (e != OK) {
        return e;
    }
    (void)setsockopt(bound.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    (void)setsockopt(bound.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    /* On a wildcard address: so that answers come from where the question went. */
    if (strchr(l->address, ':') == NULL) {
        (void)setsockopt(bound.fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    } else {
        (void)setsockopt(bound.fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    }
    s->port = bound.port;
    io_open(&s->udp, s->dns->options.loop, bound.fd, udp_ready);
    io_want(&s->udp, IO_READ);
    return OK;
}
