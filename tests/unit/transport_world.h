/* Servers that speak to each other over real sockets on loopback, each on a loop with a thread of
 * its own or several on one, and a raw client that may say anything.
 *
 * Threads  the test's, unless said otherwise; what the loops' threads note is under one lock, and
 *          the test waits for it.
 */
#ifndef TESTS_UNIT_TRANSPORT_WORLD_H
#define TESTS_UNIT_TRANSPORT_WORLD_H

#include "core/base/limit.h"
#include "core/base/loop.h"
#include "core/base/mem.h"
#include "store/replica/frame.h"
#include "store/replica/transport.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX    4U
#define WAIT_S       30
#define MESSAGE_HEAD 9U /* number, channel */

struct node {
    uint64_t id;
    struct loop *loop;
    bool own_loop;
    bool running;
    struct transport *transport;
    uint16_t port;
    uint64_t sent[NODES_MAX][2]; /* the number of the next message, by receiver and channel */
    uint64_t drop_on_receive;    /* this peer, from inside the callback */
    /* under the lock */
    uint64_t next[NODES_MAX][2]; /* the number after the last one that came */
    unsigned received;
    unsigned wrong; /* out of order, or not as it was sent */
    unsigned ups[NODES_MAX];
    unsigned downs[NODES_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t fds_before;

static size_t fds_open(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(d) != NULL) {
        count++;
    }
    (void)closedir(d);
    return count;
}

/* Waits until the value, which a loop's thread changes, has reached `goal`. */
static void wait_for(const unsigned *value, unsigned goal)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&lock);
    int rc = 0;
    while (*value < goal && rc == 0) {
        rc = pthread_cond_timedwait(&changed, &lock, &until);
    }
    unsigned got = *value;
    (void)pthread_mutex_unlock(&lock);
    cr_assert_geq(got, goal, "waited in vain");
}

static unsigned look(const unsigned *value)
{
    (void)pthread_mutex_lock(&lock);
    unsigned got = *value;
    (void)pthread_mutex_unlock(&lock);
    return got;
}

/* --- what is said: a number, the channel, and bytes that follow from the number ----------------
 */

static void message_fill(char *data, size_t len, uint64_t number, unsigned channel)
{
    memcpy(data, &number, 8);
    data[8] = (char)channel;
    for (size_t i = MESSAGE_HEAD; i < len; i++) {
        data[i] = (char)(number * 31 + i);
    }
}

static bool message_good(const char *data, size_t len, uint64_t number)
{
    for (size_t i = MESSAGE_HEAD; i < len; i++) {
        if (data[i] != (char)(number * 31 + i)) {
            return false;
        }
    }
    return true;
}

/* On the loop's thread. */
static void node_receive(void *ctx, uint64_t from, struct bytes message)
{
    struct node *n = ctx;
    uint64_t number = 0;
    unsigned channel = message.len >= MESSAGE_HEAD ? (unsigned char)message.ptr[8] : 9;
    (void)pthread_mutex_lock(&lock);
    if (channel > 1 || from >= NODES_MAX) {
        n->wrong++;
    } else {
        memcpy(&number, message.ptr, 8);
        /* What is missing was lost with its connection; nothing comes twice or late. */
        if (number < n->next[from][channel] || !message_good(message.ptr, message.len, number)) {
            n->wrong++;
        }
        n->next[from][channel] = number + 1;
    }
    n->received++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    if (n->drop_on_receive != 0) {
        transport_drop_peer(n->transport, n->drop_on_receive);
        /* It is still ours to read. */
        cr_assert(message_good(message.ptr, message.len, number));
    }
}

/* On the loop's thread. */
static void node_linked(void *ctx, uint64_t peer, bool up)
{
    struct node *n = ctx;
    (void)pthread_mutex_lock(&lock);
    if (up) {
        n->ups[peer]++;
    } else {
        n->downs[peer]++;
    }
    if (n->ups[peer] != n->downs[peer] + (up ? 1 : 0)) {
        n->wrong++;
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void
node_open_at(struct node *n, uint64_t id, struct loop *loop, const char *ip, uint16_t port)
{
    struct reason why = {{0}};
    *n = (struct node){.id = id, .loop = loop != NULL ? loop : loop_new("node")};
    n->own_loop = loop == NULL;
    struct transport_options options = {.loop = n->loop,
                                        .id = id,
                                        .listen_address = ip,
                                        .listen_port = port,
                                        .ctx = n,
                                        .receive = node_receive,
                                        .linked = node_linked};
    cr_assert_eq(transport_open(&options, &n->transport, &why), OK, "%s", why.text);
    n->port = transport_port(n->transport);
}

static void node_open(struct node *n, uint64_t id, struct loop *loop)
{
    node_open_at(n, id, loop, "127.0.0.1", 0);
}

struct node_call {
    struct node *node;
    uint64_t peer;
    const char *address;
    enum transport_channel channel;
    unsigned count;
    size_t len_min;
    size_t len_max;
    enum err err;
    uint64_t number;
};

/* Before its loop runs in this thread, then in the loop's. */
static struct node_call node_do(struct node *n, void (*fn)(void *arg), struct node_call call)
{
    call.node = n;
    if (n->running) {
        loop_call(n->loop, fn, &call);
    } else {
        fn(&call);
    }
    return call;
}

static void do_close(void *arg)
{
    struct node_call *c = arg;
    transport_close(c->node->transport);
    c->node->transport = NULL;
}

static void node_start(struct node *n)
{
    n->running = true;
    if (n->own_loop) {
        loop_start(n->loop);
    }
}

static void node_close(struct node *n)
{
    (void)node_do(n, do_close, (struct node_call){0});
    if (n->own_loop && n->running) {
        loop_stop(n->loop);
        loop_join(n->loop);
    }
    if (n->own_loop) {
        loop_free(n->loop);
    }
    cr_assert_eq(n->wrong, 0, "messages or news of node %d", (int)n->id);
}

static void do_set_peer(void *arg)
{
    struct node_call *c = arg;
    c->err = transport_set_peer(c->node->transport, c->peer, c->address);
}

static enum err node_set_peer(struct node *n, uint64_t id, uint16_t port)
{
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    return node_do(n, do_set_peer, (struct node_call){.peer = id, .address = address}).err;
}

static void do_drop_peer(void *arg)
{
    struct node_call *c = arg;
    transport_drop_peer(c->node->transport, c->peer);
}

static void do_set_cluster(void *arg)
{
    struct node_call *c = arg;
    transport_set_cluster(c->node->transport, c->number);
}

static void do_pending(void *arg)
{
    struct node_call *c = arg;
    c->number = transport_pending(c->node->transport, c->peer, c->channel);
}

static void do_received_bytes(void *arg)
{
    struct node_call *c = arg;
    c->number = transport_counts(c->node->transport).received_bytes;
}

static void do_sent_bytes(void *arg)
{
    struct node_call *c = arg;
    c->number = transport_counts(c->node->transport).sent_bytes;
}

/* `count` messages of lengths from min to max, in one turn. */
static void do_send(void *arg)
{
    struct node_call *c = arg;
    char *data = mem_alloc(c->len_max);
    uint64_t *number = &c->node->sent[c->peer][c->channel];
    for (unsigned i = 0; i < c->count && c->err == OK; i++) {
        size_t len = c->len_min + *number * 7919 % (c->len_max - c->len_min + 1);
        message_fill(data, len, *number, c->channel);
        c->err = transport_send(c->node->transport, c->peer, c->channel, (struct bytes){data, len});
        if (c->err == OK) {
            ++*number;
        }
    }
    free(data);
}

static enum err node_send(struct node *n, struct node_call what)
{
    return node_do(n, do_send, what).err;
}

/* As soon as there is a connection. */
static void node_send_when_up(struct node *n, struct node_call what)
{
    for (;;) {
        unsigned ups = look(&n->ups[what.peer]);
        if (node_send(n, what) == OK) {
            return;
        }
        wait_for(&n->ups[what.peer], ups + 1);
    }
}

/* Both know each other; then both run. */
static void pair_start(struct node *a, struct node *b)
{
    cr_assert_eq(node_set_peer(a, b->id, b->port), OK);
    cr_assert_eq(node_set_peer(b, a->id, a->port), OK);
    node_start(a);
    node_start(b);
    wait_for(&a->ups[b->id], 1);
    wait_for(&b->ups[a->id], 1);
}

/* --- a client that may say anything ------------------------------------------------------------
 */

static int raw_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval patience = {.tv_sec = WAIT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* It may be closed already: then that is found by raw_ended(). */
static void raw_say(int fd, const void *data, size_t len)
{
    (void)!send(fd, data, len, MSG_NOSIGNAL);
}

static void raw_say_hello(int fd, struct hello h)
{
    char data[HELLO_LEN];
    hello_encode(&h, data);
    raw_say(fd, data, sizeof data);
}

static void raw_say_frame(int fd, uint64_t number)
{
    char data[FRAME_HEAD_LEN + 20];
    message_fill(data + FRAME_HEAD_LEN, 20, number, 0);
    frame_head((struct bytes){data + FRAME_HEAD_LEN, 20}, data);
    raw_say(fd, data, sizeof data);
}

/* Waits for the other side to close, and closes. */
static void raw_ended(int fd, const char *what)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    cr_assert(n == 0 || (n < 0 && errno == ECONNRESET), "%s: not closed", what);
    (void)close(fd);
}

#endif
