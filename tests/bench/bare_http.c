/* The limit of a KV read: a server that answers every request with the same bytes, as one read of
 * a 100-byte value looks, and does nothing else. One thread per listener, as many as asked.
 *
 *   bare_http --port N [--threads 2]
 *
 * Threads  each has its own listener, epoll and connections; they share only the answer.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define IN_MAX 4096

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n"
    "X-Consul-Index: 1000\r\nX-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"
    "Content-Length: %zu\r\n\r\n%s";

/* Written once, before any thread. */
static char answer[1024];
static size_t answer_len;

static void answer_write(void)
{
    char value[100];
    char value64[144];
    char body[512];
    memset(value, 'v', sizeof(value));
    bench_base64(value, sizeof(value), value64);
    int n = snprintf(body, sizeof(body),
                     "[{\"LockIndex\":0,\"Key\":\"bench/load/000000\",\"Flags\":0,\"Value\":\"%s\","
                     "\"CreateIndex\":1000,\"ModifyIndex\":1000}]",
                     value64);
    answer_len = (size_t)snprintf(answer, sizeof(answer), HEAD, (size_t)n, body);
}

struct connection {
    int fd;
    size_t in_len;
    char in[IN_MAX];
};

static void accept_all(int epoll, int listener)
{
    for (int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); fd >= 0;
         fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
        struct connection *c = bench_alloc(1, sizeof(*c));
        c->fd = fd;
        bench_watch(epoll, fd, EPOLLIN, c);
    }
}

static void connection_readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            close(c->fd);
            free(c);
        }
        return;
    }
    c->in_len += (size_t)n;
    if (c->in_len >= 4 && memcmp(c->in + c->in_len - 4, "\r\n\r\n", 4) == 0) {
        c->in_len = 0;
        bench_send(c->fd, answer, answer_len);
    }
}

static void *serve(void *ctx)
{
    struct epoll_event events[EVENTS];
    int listener = bench_listen(*(const uint64_t *)ctx);
    int epoll = bench_epoll();
    bench_watch(epoll, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(epoll, listener);
            } else {
                connection_readable(events[i].data.ptr);
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t port = 0;
    uint64_t threads = 2;
    bench_options(argc, argv,
                  (struct bench_option[]){{"port", NULL, &port}, {"threads", NULL, &threads}, {0}});
    answer_write();
    bench_descriptors(1024);
    for (uint64_t i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, &port) != 0) {
            bench_fail("no thread");
        }
    }
    serve(&port);
    return 0;
}
