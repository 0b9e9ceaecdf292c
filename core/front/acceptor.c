/* Listeners. Each front has its own on the same port (SO_REUSEPORT): the kernel spreads the
 * connections, and none ever changes thread. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "core/front/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG  4096
/* Accepted in one turn, so that those who are here already get theirs. */
#define ACCEPT_MAX      64
/* Out of descriptors and of the spare one: the listener rests. */
#define ACCEPT_REST_MS  100
/* One line of the log for so long, however many connections fail. */
#define ACCEPT_QUIET_MS 10000

struct listener {
    struct io io;
    struct front *front;
    struct timer rest;
    uint64_t quiet_until_ms;
    int spare_fd; /* given up to answer one who could not be accepted */
    uint16_t port;
    bool local; /* a unix socket */
    bool open;
};

struct address {
    struct sockaddr_storage storage;
    socklen_t len;
};

static const char *address_unix_path(const char *address)
{
    return strncmp(address, "unix://", 7) == 0 ? address + 7 : NULL;
}

static enum err
address_resolve(const struct front_listen *l, struct address *ret, struct reason *why)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", l->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(l->address, port, &hints, &found);
    if (rc != 0) {
        reason_set(why, "cannot listen on %s: %s", l->address, gai_strerror(rc));
        return ERR_INVALID;
    }
    memcpy(&ret->storage, found->ai_addr, found->ai_addrlen);
    ret->len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

static enum err listen_fail(const struct front_listen *l, int fd, struct reason *why)
{
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    const char *path = address_unix_path(l->address);
    if (path != NULL) {
        reason_set(why, "cannot listen on %s: %s", path, strerror(error));
    } else {
        reason_set(why, "cannot listen on %s port %u: %s", l->address, l->port, strerror(error));
    }
    return error == EADDRINUSE ? ERR_IN_USE : ERR_IO;
}

static int listen_socket(int family, bool share)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0) {
        return fd;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (share) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    return fd;
}

/* SO_REUSEPORT would let a second server of the same user share our port without a word: the first
 * front asks for the port without it before. */
static enum err
listen_probe(const struct front_listen *l, const struct address *a, struct reason *why)
{
    int fd = listen_socket(a->storage.ss_family, false);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a->storage, a->len) != 0) {
        return listen_fail(l, fd, why);
    }
    (void)close(fd);
    return OK;
}

static enum err listen_tcp(struct listener *ln, const struct front_listen *l, struct reason *why)
{
    struct address a = {0};
    enum err e = address_resolve(l, &a, why);
    if (e == OK && l->port != 0 && ln->front->options.number == 0) {
        e = listen_probe(l, &a, why);
    }
    if (e != OK) {
        return e;
    }
    int fd = listen_socket(a.storage.ss_family, true);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a.storage, a.len) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&a.storage, &a.len) != 0) {
        return listen_fail(l, fd, why);
    }
    in_port_t port = a.storage.ss_family == AF_INET6
                         ? ((struct sockaddr_in6 *)&a.storage)->sin6_port
                         : ((struct sockaddr_in *)&a.storage)->sin_port;
    ln->port = ntohs(port);
    ln->io.fd = fd;
    return OK;
}

/* A path that nobody answers at is left over from a server that is gone. */
static bool unix_path_is_stale(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (const struct sockaddr *)a, sizeof *a);
    bool stale = rc != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale;
}

static enum err listen_unix(struct listener *ln, const struct front_listen *l, struct reason *why)
{
    const char *path = address_unix_path(l->address);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) == 0 || strlen(path) >= sizeof a.sun_path) {
        reason_set(why, "the path of a unix socket has 1 to %zu bytes: %s", sizeof a.sun_path - 1,
                   path);
        return ERR_INVALID;
    }
    memcpy(a.sun_path, path, strlen(path));
    if (unix_path_is_stale(&a)) {
        (void)unlink(path);
    }
    int fd = listen_socket(AF_UNIX, false);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        return listen_fail(l, fd, why);
    }
    if ((l->mode != 0 && chmod(path, l->mode) != 0) || listen(fd, LISTEN_BACKLOG) != 0) {
        (void)unlink(path);
        return listen_fail(l, fd, why);
    }
    ln->local = true;
    ln->io.fd = fd;
    return OK;
}

/* --- accepting ---------------------------------------------------------------------------------
 */

static void
acceptor_text(const struct sockaddr_storage *from, struct bytes *ret_address, char *text)
{
    const void *raw = NULL;
    if (from->ss_family == AF_INET) {
        raw = &((const struct sockaddr_in *)from)->sin_addr;
        *ret_address = (struct bytes){.ptr = raw, .len = sizeof(struct in_addr)};
    } else if (from->ss_family == AF_INET6) {
        raw = &((const struct sockaddr_in6 *)from)->sin6_addr;
        *ret_address = (struct bytes){.ptr = raw, .len = sizeof(struct in6_addr)};
    } else {
        (void)snprintf(text, CLIENT_TEXT_LEN, "unix");
        return;
    }
    (void)inet_ntop(from->ss_family, raw, text, CLIENT_TEXT_LEN);
}

static bool acceptor_quiet(struct listener *ln)
{
    uint64_t now_ms = env_now_ms(ln->front->env);
    if (now_ms < ln->quiet_until_ms) {
        return true;
    }
    ln->quiet_until_ms = now_ms + ACCEPT_QUIET_MS;
    return false;
}

static void acceptor_admit(struct listener *ln, int fd, const struct sockaddr_storage *from)
{
    struct front *f = ln->front;
    char text[CLIENT_TEXT_LEN] = {0};
    struct bytes address = {0};
    uint32_t slot = CLIENTS_NONE;
    acceptor_text(from, &address, text);
    if (!ln->local) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (f->options.clients != NULL && address.len > 0 &&
        !clients_enter(f->options.clients, address, f->options.limits.connections_per_client,
                       &slot)) {
        reply_raw(fd, 429,
                  "Your IP is issuing too many concurrent connections, please rate limit your "
                  "calls\n");
        (void)close(fd);
        metric_add(METRIC_HTTP_CONNECTIONS_REFUSED, 1);
        if (!acceptor_quiet(ln)) {
            log_line(LOG_HTTP_REFUSED, "from=%s reason=\"%u connections already\"", text,
                     f->options.limits.connections_per_client);
        }
        return;
    }
    (void)connection_new(f, fd, bytes_of(text), slot);
}

/* No descriptor is left: the spare one lets us take the client in, and tell it. */
static void acceptor_full(struct listener *ln, int error)
{
    metric_add(METRIC_HTTP_CONNECTIONS_REFUSED, 1);
    if (!acceptor_quiet(ln)) {
        log_line(LOG_HTTP_ACCEPT_FAILED, "error=\"%s\"", strerror(error));
    }
    if (ln->spare_fd >= 0) {
        (void)close(ln->spare_fd);
        int fd = accept4(ln->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            reply_raw(fd, 503, "too many open connections, try again\n");
            (void)close(fd);
        }
        ln->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (ln->spare_fd < 0) {
        io_want(&ln->io, 0);
        env_timer_start(ln->front->env, &ln->rest, ACCEPT_REST_MS);
    }
}

/* False when there is no more to accept now. */
static bool acceptor_one(struct listener *ln)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    int fd = accept4(ln->io.fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        acceptor_admit(ln, fd, &from);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        acceptor_full(ln, errno);
        return false;
    default:
        /* The client is gone already, or its network is (accept(2)). */
        return true;
    }
}

static void acceptor_on_ready(struct io *io, unsigned ready)
{
    struct listener *ln = LIST_OWNER(io, struct listener, io);
    (void)ready;
    for (int i = 0; i < ACCEPT_MAX && acceptor_one(ln); i++) {
    }
}

static void acceptor_on_rest(struct timer *t)
{
    struct listener *ln = LIST_OWNER(t, struct listener, rest);
    ln->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    io_want(&ln->io, IO_READ);
}

/* --- life --------------------------------------------------------------------------------------
 */

static enum err
acceptor_open_one(struct listener *ln, const struct front_listen *l, struct reason *why)
{
    bool local = address_unix_path(l->address) != NULL;
    if (local && ln->front->options.number != 0) {
        return OK;
    }
    enum err e = local ? listen_unix(ln, l, why) : listen_tcp(ln, l, why);
    if (e != OK) {
        return e;
    }
    io_open(&ln->io, ln->front->options.loop, ln->io.fd, acceptor_on_ready);
    io_want(&ln->io, IO_READ);
    env_timer_init(ln->front->env, &ln->rest, acceptor_on_rest);
    ln->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ln->open = true;
    if (ln->front->options.number == 0) {
        log_line(LOG_HTTP_LISTENING, "address=%s port=%u", l->address, ln->port);
    }
    return OK;
}

enum err acceptor_open(struct front *f, struct reason *why)
{
    f->listeners = mem_zalloc(f->options.listen_count + 1, sizeof *f->listeners);
    for (size_t i = 0; i < f->options.listen_count; i++) {
        struct listener *ln = &f->listeners[i];
        ln->front = f;
        enum err e = acceptor_open_one(ln, &f->options.listen[i], why);
        if (e != OK) {
            return e;
        }
    }
    return OK;
}

static void acceptor_close_one(struct listener *ln, const struct front_listen *l)
{
    if (!ln->open) {
        return;
    }
    int fd = ln->io.fd;
    timer_stop(&ln->rest);
    io_close(&ln->io);
    (void)close(fd);
    if (ln->spare_fd >= 0) {
        (void)close(ln->spare_fd);
    }
    if (ln->local) {
        (void)unlink(address_unix_path(l->address));
    }
    ln->open = false;
}

static void acceptor_close_all(struct front *f)
{
    for (size_t i = 0; f->listeners != NULL && i < f->options.listen_count; i++) {
        acceptor_close_one(&f->listeners[i], &f->options.listen[i]);
    }
}

void acceptor_finish(struct front *f)
{
    for (size_t i = 0; i < f->options.listen_count; i++) {
        struct listener *ln = &f->listeners[i];
        for (int n = 0; ln->open && n < LISTEN_BACKLOG && acceptor_one(ln); n++) {
        }
    }
    acceptor_close_all(f);
}

void acceptor_close(struct front *f)
{
    acceptor_close_all(f);
    free(f->listeners);
    f->listeners = NULL;
}

uint16_t acceptor_port(const struct front *f, size_t i)
{
    CHECK(i < f->options.listen_count);
    return f->listeners[i].port;
}
