/* UDP checks: one datagram to the address. An answer is good, and so is silence until the timeout
 * is near, since most of what listens there answers only what it understands; a refusal is not. */
#include "core/agent/check/run.h"

#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a refusal is waited for. */
#define UDP_QUIET_MS 1000U

struct udp_probe {
    struct probe probe;
    struct io io;
    struct timer quiet;
    int fd;
};

static void udp_free(struct udp_probe *u)
{
    timer_stop(&u->quiet);
    io_close(&u->io);
    (void)close(u->fd);
    free(u);
}

static void udp_end(struct udp_probe *u, enum check_status status, const char *what)
{
    char text[ROW_ADDRESS_MAX + 64];
    struct probe p = u->probe;
    (void)snprintf(text, sizeof text, "UDP connect %.400s: %s", p.definition->udp.ptr, what);
    udp_free(u);
    p.done(&p, status, bytes_of(text));
}

static void udp_on_ready(struct io *io, unsigned ready)
{
    struct udp_probe *u = LIST_OWNER(io, struct udp_probe, io);
    char data[512];
    (void)ready;
    ssize_t n = recv(u->fd, data, sizeof data, MSG_DONTWAIT);
    if (n >= 0) {
        udp_end(u, CHECK_PASSING, "Success");
    } else if (errno != EAGAIN && errno != EINTR) {
        udp_end(u, CHECK_CRITICAL, errno == ECONNREFUSED ? "connection refused" : "failed");
    }
}

static void udp_on_quiet(struct timer *t)
{
    udp_end(LIST_OWNER(t, struct udp_probe, quiet), CHECK_PASSING, "Success");
}

/* Literal addresses and `localhost`: names would block the loop. */
static enum err udp_resolve(struct bytes text, struct addrinfo **ret_list, struct reason *why)
{
    char host[ROW_ADDRESS_MAX];
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != ':') {
        at--;
    }
    size_t len = at > 0 ? at - 1 : 0;
    if (len == 0 || len >= sizeof host) {
        reason_set(why, "UDP checks want host:port");
        return ERR_INVALID;
    }
    bool bracket = text.ptr[0] == '[' && text.ptr[len - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(len - (bracket ? 2 : 0)), text.ptr + bracket);
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    bool local = strcmp(host, "localhost") == 0;
    if (getaddrinfo(local ? "127.0.0.1" : host, text.ptr + at, &hints, ret_list) != 0) {
        reason_set(why, "UDP checks want a literal address, not a name");
        return ERR_INVALID;
    }
    return OK;
}

static struct probe *udp_start(const struct probe *p, struct reason *why)
{
    struct addrinfo *list = NULL;
    if (udp_resolve(p->definition->udp, &list, why) != OK) {
        return NULL;
    }
    int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool sent = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
                send(fd, "", 1, MSG_NOSIGNAL) == 1;
    freeaddrinfo(list);
    if (!sent) {
        reason_set(why, "UDP connect %.400s: cannot be sent to", p->definition->udp.ptr);
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    struct udp_probe *u = mem_zalloc(1, sizeof *u);
    uint64_t quiet = check_timeout_ms(p->definition) / 2;
    u->probe = *p;
    u->fd = fd;
    io_open(&u->io, p->host->loop, fd, udp_on_ready);
    io_want(&u->io, IO_READ);
    env_timer_init(p->host->env, &u->quiet, udp_on_quiet);
    env_timer_start(p->host->env, &u->quiet, quiet < UDP_QUIET_MS ? quiet : UDP_QUIET_MS);
    return &u->probe;
}

static void udp_cancel(struct probe *p)
{
    udp_free(LIST_OWNER(p, struct udp_probe, probe));
}

const struct probe_kind PROBE_UDP = {.start = udp_start, .cancel = udp_cancel};
