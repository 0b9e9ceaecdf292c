/* The limit of a wake-up: a server that parks every GET with `index=` and, at a PUT, sends the same
 * bytes (but for the index) to all of them; or, when the key ends in a number, to the one whose key
 * does. It parses no more than that needs, and keeps only how often each key was written.
 *
 *   bare_broadcast --port N
 *
 * Threads  one.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS     1024
#define IN_MAX     1024
#define PARKED_MAX 20000U
#define KEY_PREFIX "bench/wake/"
#define PUT_TRUE                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\ntrue"
/* Digits of the index in an answer: overwritten in place. */
#define INDEX_DIGITS 10

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n"
    "X-Consul-Index: 0000000000\r\nX-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"
    "Content-Length: %zu\r\n\r\n%s";

struct connection {
    int fd;
    char in[IN_MAX];
};

/* What waits for one key: which write was its last, so that a query which comes after a write that
 * it has not seen is answered at once, as it must be. */
struct broadcast {
    int epoll;
    char answer[1024];
    size_t answer_len;
    char *answer_index;
    uint64_t all_index;
    int all[PARKED_MAX]; /* descriptors that wait for the one key */
    size_t all_count;
    uint64_t each_index[PARKED_MAX]; /* by number of the key */
    int each[PARKED_MAX];            /* 0 for none */
};

static void answer_write(struct broadcast *b)
{
    char value[100];
    char value64[144];
    char body[512];
    memset(value, 'v', sizeof(value));
    bench_base64(value, sizeof(value), value64);
    int n = snprintf(body, sizeof(body),
                     "[{\"LockIndex\":0,\"Key\":\"bench/wake/all\",\"Flags\":0,\"Value\":\"%s\","
                     "\"CreateIndex\":1000,\"ModifyIndex\":1000}]",
                     value64);
    b->answer_len = (size_t)snprintf(b->answer, sizeof(b->answer), HEAD, (size_t)n, body);
    b->answer_index = strstr(b->answer, "0000000000");
}

static void answer_send(const struct broadcast *b, int fd, uint64_t index)
{
    for (int i = INDEX_DIGITS - 1; i >= 0; i--) {
        b->answer_index[i] = (char)('0' + index % 10);
        index /= 10;
    }
    bench_send(fd, b->answer, b->answer_len);
}

static size_t number_of(const char *key)
{
    size_t number = strtoul(key, NULL, 10);
    if (number >= PARKED_MAX) {
        bench_fail("no room for key %zu", number);
    }
    return number;
}

/* A query without an index is answered; one that has seen everything is parked. */
static void query(struct broadcast *b, int fd, const char *key)
{
    bool one = strncmp(key, "all", 3) == 0;
    size_t number = one ? 0 : number_of(key);
    uint64_t now = 1 + (one ? b->all_index : b->each_index[number]);
    const char *index = strstr(key, "?index=");
    if (index == NULL || strtoull(index + 7, NULL, 10) < now) {
        answer_send(b, fd, now);
    } else if (!one) {
        b->each[number] = fd;
    } else if (b->all_count < PARKED_MAX) {
        b->all[b->all_count++] = fd;
    }
}

static void wake(struct broadcast *b, int writer, const char *key)
{
    if (strncmp(key, "all", 3) == 0) {
        b->all_index++;
        for (size_t i = 0; i < b->all_count; i++) {
            answer_send(b, b->all[i], b->all_index + 1);
        }
        b->all_count = 0;
    } else {
        size_t number = number_of(key);
        b->each_index[number]++;
        if (b->each[number] != 0) {
            answer_send(b, b->each[number], b->each_index[number] + 1);
            b->each[number] = 0;
        }
    }
    bench_send(writer, PUT_TRUE, sizeof(PUT_TRUE) - 1);
}

static void connection_readable(struct broadcast *b, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in, IN_MAX - 1, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            close(c->fd);
            free(c);
        }
        return;
    }
    c->in[n] = '\0';
    char *key = strstr(c->in, KEY_PREFIX);
    if (key == NULL) {
        bench_fail("not a request of bench_wake");
    }
    key += strlen(KEY_PREFIX);
    if (memcmp(c->in, "PUT", 3) == 0) {
        wake(b, c->fd, key);
    } else {
        query(b, c->fd, key);
    }
}

static void accept_all(const struct broadcast *b, int listener)
{
    for (int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); fd >= 0;
         fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
        struct connection *c = bench_alloc(1, sizeof(*c));
        c->fd = fd;
        bench_watch(b->epoll, fd, EPOLLIN, c);
    }
}

int main(int argc, char **argv)
{
    static struct broadcast b;
    struct epoll_event events[EVENTS];
    uint64_t port = 0;
    bench_options(argc, argv, (struct bench_option[]){{"port", NULL, &port}, {0}});
    bench_descriptors(PARKED_MAX - 4000);
    answer_write(&b);
    int listener = bench_listen(port);
    b.epoll = bench_epoll();
    bench_watch(b.epoll, listener, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(b.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(&b, listener);
            } else {
                connection_readable(&b, events[i].data.ptr);
            }
        }
    }
}
