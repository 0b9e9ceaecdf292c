/* The inside of gossip's sockets: what its two files share.
 *
 * socket.c  the port: datagrams, accepting
 * stream.c  one request and its answer
 *
 * Threads  the loop's.
 */
#ifndef CORE_GOSSIP_SOCKET_PRIV_H
#define CORE_GOSSIP_SOCKET_PRIV_H

#include "core/gossip/socket.h"

#include <sys/socket.h>

struct socket {
    struct socket_options options;
    uint16_t port;
    int family;
    struct io udp;
    struct io tcp;
    struct timer rest; /* out of descriptors: accepting rests for a while */
    struct list streams;
    size_t stream_count;
    struct buf wire;
    struct buf packet;
};

struct socket_name {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* For a socket of `family`: an IPv6 one reaches IPv4 by mapped addresses. */
struct socket_name socket_name_of(const struct packet_address *a, int family);
struct packet_address socket_address_of(const struct sockaddr_storage *name);

/* Takes the descriptor of an accepted connection. */
void stream_accept(struct socket *s, int fd);
void stream_close_all(struct socket *s);

#endif
