#include "store/replica/transport_wire.h"

#include "core/base/limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WIRE_BACKLOG          128
/* Probes after two silent seconds, one a second, until TRANSPORT_DEAD_MS. */
#define WIRE_KEEP_IDLE_S      2
#define WIRE_KEEP_INTERVAL_S  1
#define WIRE_KEEP_COUNT       3
#define WIRE_ADDRESS_TEXT_MAX 64

/* --- addresses ---------------------------------------------------------------------------------
 */

static bool wire_host_parse(const char *host, uint16_t port, struct wire_address *ret)
{
    struct wire_address a;
    memset(&a, 0, sizeof a);
    if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        a.len = sizeof a.v4;
    } else if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        a.len = sizeof a.v6;
    } else {
        return false;
    }
    *ret = a;
    return true;
}

enum err wire_address_parse(const char *text, struct wire_address *ret_address)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon - text > WIRE_ADDRESS_TEXT_MAX) {
        return ERR_INVALID;
    }
    uint64_t port = 0;
    enum err e = bytes_to_u64(bytes_of(colon + 1), &port);
    if (e != OK || port == 0 || port > UINT16_MAX) {
        return ERR_INVALID;
    }
    char host[WIRE_ADDRESS_TEXT_MAX + 1];
    size_t len = (size_t)(colon - text);
    bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    size_t skip = brackets ? 1 : 0;
    len -= 2 * skip;
    memcpy(host, text + skip, len);
    host[len] = '\0';
    /* An IPv6 address without brackets could have any of its parts taken for the port. */
    if (brackets != (strchr(host, ':') != NULL)) {
        return ERR_INVALID;
    }
    return wire_host_parse(host, (uint16_t)port, ret_address) ? OK : ERR_INVALID;
}

void wire_host_text(const struct wire_address *a, char ret_text[WIRE_HOST_TEXT])
{
    const void *host = a->any.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr
                                                    : (const void *)&a->v4.sin_addr;
    if (inet_ntop(a->any.sa_family, host, ret_text, WIRE_HOST_TEXT) == NULL) {
        (void)snprintf(ret_text, WIRE_HOST_TEXT, "unknown");
    }
}

/* --- sockets -----------------------------------------------------------------------------------
 */

static void wire_set(int fd, int level, int option, int value)
{
    /* An option that cannot be set costs speed or patience, not correctness. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/* Small and urgent messages, and a peer that may be gone without a word. */
static void wire_tune(int fd)
{
    wire_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    wire_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    wire_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, WIRE_KEEP_IDLE_S);
    wire_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, WIRE_KEEP_INTERVAL_S);
    wire_set(fd, IPPROTO_TCP, TCP_KEEPCNT, WIRE_KEEP_COUNT);
    wire_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)TRANSPORT_DEAD_MS);
}

static int wire_socket(const struct wire_address *a)
{
    return socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

enum err
wire_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct reason *why)
{
    struct wire_address a;
    if (!wire_host_parse(address, port, &a)) {
        reason_set(why, "cannot listen for servers on %s: not an IP address", address);
        return ERR_INVALID;
    }
    int fd = wire_socket(&a);
    if (fd >= 0) {
        wire_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (fd < 0 || bind(fd, &a.any, a.len) != 0 || listen(fd, WIRE_BACKLOG) != 0 ||
        getsockname(fd, &a.any, &a.len) != 0) {
        int error = errno;
        reason_set(why, "cannot listen for servers on %s port %u: %s", address, port,
                   strerror(error));
        if (fd >= 0) {
            (void)close(fd);
        }
        return error == EADDRINUSE ? ERR_IN_USE : ERR_IO;
    }
    *ret_fd = fd;
    *ret_port = ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
    return OK;
}

int wire_accept(int listener, struct wire_address *ret_from)
{
    struct wire_address a;
    memset(&a, 0, sizeof a);
    a.len = sizeof a.v6;
    int fd = accept4(listener, &a.any, &a.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    wire_tune(fd);
    *ret_from = a;
    return fd;
}

int wire_dial(const struct wire_address *to)
{
    int fd = wire_socket(to);
    if (fd < 0) {
        return -errno;
    }
    wire_tune(fd);
    if (connect(fd, &to->any, to->len) != 0 && errno != EINPROGRESS) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

int wire_dialled(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return errno;
    }
    return error;
}

/* --- bytes -------------------------------------------------------------------------------------
 */

static ssize_t wire_result(ssize_t n)
{
    if (n >= 0) {
        return n;
    }
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t wire_read(int fd, char *ret_data, size_t len)
{
    return wire_result(recv(fd, ret_data, len, 0));
}

ssize_t wire_write(int fd, struct iovec *pieces, int count)
{
    struct msghdr m = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return wire_result(sendmsg(fd, &m, MSG_NOSIGNAL));
}
