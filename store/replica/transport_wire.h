/* Sockets of the transport, and the one place where its bytes are read and written: encryption
 * between servers goes in here, under wire_read() and wire_write(), and nobody above sees it.
 *
 * Errors   functions that return a count or a descriptor return -errno when they fail.
 * Owner    a descriptor is the caller's, to be closed with close().
 * Threads  none: a descriptor belongs to one thread.
 */
#ifndef STORE_REPLICA_TRANSPORT_WIRE_H
#define STORE_REPLICA_TRANSPORT_WIRE_H

#include "core/base/buf.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct wire_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

/* "10.0.0.1:8300", "[::1]:8300", with a port of 1 to 65535. */
enum err wire_address_parse(const char *text, struct wire_address *ret_address) ERR_MUST_USE;
/* Without the port: who it is. */
#define WIRE_HOST_TEXT 46 /* INET6_ADDRSTRLEN */
void wire_host_text(const struct wire_address *a, char ret_text[WIRE_HOST_TEXT]);

/* `address` is a literal IP address. ERR_INVALID, ERR_IN_USE, ERR_IO, with `why`. */
enum err wire_listen(const char *address,
                     uint16_t port,
                     int *ret_fd,
                     uint16_t *ret_port,
                     struct reason *why) ERR_MUST_USE;
int wire_accept(int listener, struct wire_address *ret_from);

/* Begins to connect; when the descriptor can be written, wire_dialled() says how that went. */
int wire_dial(const struct wire_address *to);
/* 0, or the errno. */
int wire_dialled(int fd);

/* -EAGAIN: later; 0: the other side has closed. */
ssize_t wire_read(int fd, char *ret_data, size_t len);
/* -EAGAIN: later; may be less than all of it. */
ssize_t wire_write(int fd, struct iovec *pieces, int count);

#endif
