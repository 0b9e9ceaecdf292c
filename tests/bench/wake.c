/* How fast a write wakes those who wait for it: N blocking queries, one connection each, then one
 * PUT (all wait for one key) or N of them (each waits for a key of its own), measured from the
 * PUT's sending until each has its whole new answer. Speaks to Herald and to Consul alike, and to
 * bare_broadcast.
 *
 *   wake --port N --pid SERVER [--waiters 5000] [--keys one|each] [--rounds 3] [--check yes|no]
 *        [--hold yes|no] [--seed yes|no] [--stale yes|no] [--hosts ADDRESS,...]
 *
 * Prints one line of JSON: medians over the rounds, memory per waiting query (resident, after
 * minus before; meaningful on a fresh server), the server's CPU per round.
 * With `--hold yes` it writes nothing: it prints `ready`, holds its queries until its standard
 * input ends, and fails if one of them was answered. That is for measuring other writes beside;
 * with `--seed no` the keys are there already, with `--stale yes` the queries are for what the
 * server itself has.
 *
 * Errors   an answer that is missing, late, early or wrong ends the program with status 1.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX     1024
#define EVENTS     1024
#define WRITERS    64
#define WINDOW     64U /* connections that are being opened at one time */
#define VALUE_LEN  100
#define SILENCE_MS 30000

enum role {
    ROLE_WAITER,
    ROLE_WRITER,
};

struct connection {
    enum role role;
    int fd;
    uint64_t number; /* waiters: whose key; writers: the key being written */
    uint64_t index;  /* what it last saw */
    bool waits;
    size_t in_len;
    char in[IN_MAX];
};

struct wake {
    const char *hosts;
    uint64_t port, pid, waiters, rounds;
    bool each, check, hold, seed, stale;
    int epoll;
    struct connection *waiter;
    struct connection writer[WRITERS];
    uint64_t writer_count;
    uint64_t *written_at; /* by key */
    char value64[VALUE_LEN * 2];
    uint64_t pending; /* answers that are still to come, of both roles */
    uint64_t next_key;
    bool writing; /* waiters may be answered */
    struct samples latency;
};

/* Medians over the rounds. */
struct rounds {
    struct samples first, p50, p99, last, put, cpu, own_cpu;
};

static int key_write(const struct wake *w, uint64_t number, char *out, size_t room)
{
    return w->each ? snprintf(out, room, "bench/wake/%" PRIu64, number)
                   : snprintf(out, room, "bench/wake/all");
}

static void query_send(struct wake *w, struct connection *c)
{
    char key[64];
    char out[256];
    key_write(w, c->number, key, sizeof(key));
    int n = c->waits
                ? snprintf(out, sizeof(out),
                           "GET /v1/kv/%s?index=%" PRIu64
                           "&wait=10m%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                           key, c->index, w->stale ? "&stale" : "")
                : snprintf(out, sizeof(out), "GET /v1/kv/%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                           key, w->stale ? "?stale" : "");
    bench_send(c->fd, out, (size_t)n);
}

static void put_send(struct wake *w, struct connection *c, const char *value)
{
    char key[64];
    char out[512];
    c->number = w->next_key++;
    key_write(w, c->number, key, sizeof(key));
    int n = snprintf(out, sizeof(out),
                     "PUT /v1/kv/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s",
                     key, VALUE_LEN, value);
    w->written_at[c->number] = bench_now();
    bench_send(c->fd, out, (size_t)n);
}

/* A value that was never there, and how it looks in an answer. */
static void value_make(struct wake *w, char ret_value[VALUE_LEN + 1])
{
    int n = snprintf(ret_value, VALUE_LEN + 1, "%020" PRIu64, bench_now());
    memset(ret_value + n, 'w', (size_t)(VALUE_LEN - n));
    ret_value[VALUE_LEN] = '\0';
    bench_base64(ret_value, VALUE_LEN, w->value64);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void waiter_answered(struct wake *w, struct connection *c, const struct answer *a)
{
    if (c->waits) {
        uint64_t now = bench_now();
        if (!w->writing || w->written_at[w->each ? c->number : 0] == 0) {
            bench_fail("a query was woken by a write that is not its own: index %" PRIu64
                       " after %" PRIu64,
                       a->index, c->index);
        }
        if (w->check && (a->status != 200 || a->index <= c->index ||
                         !answer_has(a, w->value64, strlen(w->value64)))) {
            bench_fail("wrong answer: status %d, index %" PRIu64 " after %" PRIu64 ", %.*s",
                       a->status, a->index, c->index, (int)a->body_len, a->body);
        }
        samples_add(&w->latency, now - w->written_at[w->each ? c->number : 0]);
        c->waits = false;
    }
    c->index = a->index;
}

static void writer_answered(struct wake *w, struct connection *c, const struct answer *a)
{
    (void)w;
    if (a->status != 200 || !answer_has(a, "true", 4)) {
        bench_fail("a write got status %d, %.*s", a->status, (int)a->body_len, a->body);
    }
    c->index = bench_now();
}

static void connection_readable(struct wake *w, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        bench_fail("the server closed a connection: %s", n < 0 ? strerror(errno) : "end of stream");
    }
    c->in_len += (size_t)n;
    struct answer a;
    size_t len = answer_read(c->in, c->in_len, &a);
    if (len == 0) {
        return;
    }
    if (len != c->in_len) {
        bench_fail("bytes after an answer that nobody asked for");
    }
    c->in_len = 0;
    w->pending--;
    if (c->role == ROLE_WAITER) {
        waiter_answered(w, c, &a);
    } else {
        writer_answered(w, c, &a);
    }
}

/* One turn; answers that arrive may leave more to send to the caller. */
static void turn(struct wake *w)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(w->epoll, events, EVENTS, SILENCE_MS);
    if (n <= 0) {
        bench_fail("no answer for %d ms; %" PRIu64 " are missing", SILENCE_MS, w->pending);
    }
    for (int i = 0; i < n; i++) {
        connection_readable(w, events[i].data.ptr);
    }
}

static void drain(struct wake *w)
{
    while (w->pending > 0) {
        turn(w);
    }
}

/* --- phases -------------------------------------------------------------------------------------
 */

static void connection_open(struct wake *w, struct connection *c, enum role role, uint64_t number)
{
    *c = (struct connection){
        .role = role, .number = number, .fd = bench_connect(w->hosts, number, w->port)};
    bench_watch(w->epoll, c->fd, EPOLLIN, c);
}

/* Writes all keys, as fast as the writers' connections carry it. */
static void write_all(struct wake *w)
{
    char value[VALUE_LEN + 1];
    uint64_t keys = w->each ? w->waiters : 1;
    value_make(w, value);
    w->next_key = 0;
    for (uint64_t i = 0; i < w->writer_count; i++) {
        w->writer[i].index = 1;
    }
    while (w->next_key < keys || w->pending > 0) {
        for (uint64_t i = 0; i < w->writer_count && w->next_key < keys; i++) {
            /* `index` of a writer is when it was answered; 0 while it writes. */
            if (w->writer[i].index != 0) {
                w->writer[i].index = 0;
                w->pending++;
                put_send(w, &w->writer[i], value);
            }
        }
        if (w->pending > 0) {
            turn(w);
        }
    }
}

/* Every connection asks once without waiting: that proves it is accepted, and says from where on
 * to wait. */
static void waiters_open(struct wake *w)
{
    for (uint64_t i = 0; i < w->waiters; i++) {
        connection_open(w, &w->waiter[i], ROLE_WAITER, i);
        w->pending++;
        query_send(w, &w->waiter[i]);
        if (w->pending == WINDOW) {
            drain(w);
        }
    }
    drain(w);
}

static void waiters_park(struct wake *w)
{
    memset(w->written_at, 0, w->waiters * sizeof(*w->written_at));
    for (uint64_t i = 0; i < w->waiters; i++) {
        w->waiter[i].waits = true;
        query_send(w, &w->waiter[i]);
    }
    bench_settle(w->pid);
}

static void round_run(struct wake *w, struct rounds *r)
{
    waiters_park(w);
    samples_clear(&w->latency);
    uint64_t cpu = bench_cpu(w->pid);
    uint64_t own_cpu = bench_cpu_self();
    w->writing = true;
    w->pending = w->waiters;
    write_all(w);
    w->writing = false;
    samples_add(&r->cpu, bench_cpu(w->pid) - cpu);
    samples_add(&r->own_cpu, bench_cpu_self() - own_cpu);
    samples_add(&r->put, w->writer[0].index - w->written_at[w->writer[0].number]);
    samples_add(&r->first, samples_at(&w->latency, 0));
    samples_add(&r->p50, samples_at(&w->latency, 0.5));
    samples_add(&r->p99, samples_at(&w->latency, 0.99));
    samples_add(&r->last, samples_at(&w->latency, 1));
}

static void rounds_print(const struct wake *w, struct rounds *r, int64_t kib)
{
    printf("{\"waiters\": %" PRIu64 ", \"first_ms\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"last_ms\": %.3f, \"put_ms\": %.3f, \"server_cpu_ms\": %.2f, \"client_cpu_ms\": %.2f, "
           "\"kib_per_waiter\": %.2f}\n",
           w->waiters, bench_ms(samples_at(&r->first, 0.5)), bench_ms(samples_at(&r->p50, 0.5)),
           bench_ms(samples_at(&r->p99, 0.5)), bench_ms(samples_at(&r->last, 0.5)),
           bench_ms(samples_at(&r->put, 0.5)), bench_ms(samples_at(&r->cpu, 0.5)),
           bench_ms(samples_at(&r->own_cpu, 0.5)), (double)kib / (double)w->waiters);
}

/* Wakes all at the end: Consul keeps a query whose client has gone until it is woken. */
static void hold(struct wake *w)
{
    struct epoll_event event;
    char byte;
    waiters_park(w);
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    if (epoll_wait(w->epoll, &event, 1, 0) != 0) {
        bench_fail("a query was woken by a write that is not its own");
    }
    w->writing = true;
    w->pending = w->waiters;
    write_all(w);
    puts("{\"woken\": 0}");
}

static void wake_open(struct wake *w)
{
    bench_descriptors(w->waiters + WRITERS + 32);
    w->epoll = bench_epoll();
    w->waiter = bench_alloc(w->waiters, sizeof(*w->waiter));
    w->written_at = bench_alloc(w->waiters, sizeof(*w->written_at));
    w->writer_count = w->each ? WRITERS : 1;
    for (uint64_t i = 0; i < w->writer_count; i++) {
        connection_open(w, &w->writer[i], ROLE_WRITER, 0);
    }
}

int main(int argc, char **argv)
{
    const char *keys = "one";
    const char *check = "yes";
    const char *held = "no";
    const char *seed = "yes";
    const char *stale = "no";
    struct wake w = {.hosts = BENCH_HOSTS, .waiters = 5000, .rounds = 3};
    struct rounds r = {0};
    bench_options(argc, argv,
                  (struct bench_option[]){{"hosts", &w.hosts, NULL},
                                          {"port", NULL, &w.port},
                                          {"pid", NULL, &w.pid},
                                          {"waiters", NULL, &w.waiters},
                                          {"rounds", NULL, &w.rounds},
                                          {"keys", &keys, NULL},
                                          {"check", &check, NULL},
                                          {"hold", &held, NULL},
                                          {"seed", &seed, NULL},
                                          {"stale", &stale, NULL},
                                          {0}});
    w.each = strcmp(keys, "each") == 0;
    w.check = strcmp(check, "yes") == 0;
    w.hold = strcmp(held, "yes") == 0;
    w.seed = strcmp(seed, "yes") == 0;
    w.stale = strcmp(stale, "yes") == 0;
    if (w.waiters == 0 || w.rounds == 0) {
        bench_fail("at least one waiter and one round");
    }
    wake_open(&w);
    if (w.seed) {
        write_all(&w);
    }
    bench_settle(w.pid);
    int64_t before = (int64_t)bench_rss_kib(w.pid);
    waiters_open(&w);
    if (w.hold) {
        hold(&w);
        return 0;
    }
    waiters_park(&w);
    int64_t kib = (int64_t)bench_rss_kib(w.pid) - before;
    w.writing = true;
    w.pending = w.waiters;
    write_all(&w); /* a round that warms up and is not counted */
    w.writing = false;
    for (uint64_t i = 0; i < w.rounds; i++) {
        round_run(&w, &r);
    }
    rounds_print(&w, &r, kib);
    return 0;
}
