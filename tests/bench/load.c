/* Load on the KV store: N keep-alive connections, one request at a time on each, for some
 * seconds; then one line of JSON with requests per second, latencies, and what a request costs
 * the server and this client in CPU.
 *
 *   load --port N --mode seed|get|put|etcd-seed|etcd-get|etcd-put|fixed
 *        [--connections 64] [--ms 3000] [--warmup-ms 300] [--keys 1000] [--value 100]
 *        [--prefix bench/load/] [--pid SERVER] [--hosts ADDRESS,...]
 *
 * `seed` writes each key once; `get` checks that each answer carries the seeded value; each `put`
 * writes a value that was never there (an equal one would be no write at all); `fixed` sends what
 * `get` sends to a program that has one answer. etcd is asked through its JSON gateway.
 *
 * Errors   a wrong answer ends the program with status 1.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define IN_MAX     8192
#define OUT_MAX    8192
#define VALUE_MAX  4096U
#define EVENTS     256
/* A server that says nothing for so long is not going to. */
#define SILENCE_MS 30000

enum mode {
    MODE_SEED,
    MODE_GET,
    MODE_PUT,
    MODE_FIXED,
};

struct connection {
    int fd;
    uint64_t key;
    uint64_t sent_at;
    size_t in_len;
    char in[IN_MAX];
};

struct load {
    enum mode mode;
    bool etcd;
    const char *prefix;
    const char *hosts;
    uint64_t port, connections, ms, warmup_ms, keys, value_len, pid;
    int epoll;
    struct connection *c;
    uint64_t next_key;
    uint64_t serial; /* makes each written value a new one */
    uint64_t in_flight;
    uint64_t answered; /* from the first request to the last */
    uint64_t begin, end;
    struct samples latency; /* of what was answered from begin to end */
};

static bool reading(const struct load *l)
{
    return l->mode == MODE_GET || l->mode == MODE_FIXED;
}

/* The value of a key: its number, or a serial number, in 20 digits, then padding. */
static void value_write(const struct load *l, uint64_t number, char *ret_value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%020" PRIu64, number);
    memset(ret_value, 'v', l->value_len);
    memcpy(ret_value, digits, 20);
}

static size_t request_consul(struct load *l, uint64_t key, char *out)
{
    if (reading(l)) {
        return (size_t)snprintf(out, OUT_MAX,
                                "GET /v1/kv/%s%06" PRIu64 " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                                l->prefix, key);
    }
    int n = snprintf(out, OUT_MAX,
                     "PUT /v1/kv/%s%06" PRIu64
                     " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %" PRIu64 "\r\n\r\n",
                     l->prefix, key, l->value_len);
    value_write(l, l->mode == MODE_SEED ? key : l->serial++, out + n);
    return (size_t)n + l->value_len;
}

static size_t request_etcd(struct load *l, uint64_t key, char *out)
{
    char name[256];
    char name64[512];
    char value[VALUE_MAX];
    char value64[VALUE_MAX * 4 / 3 + 8];
    char body[OUT_MAX - 256];
    int n = snprintf(name, sizeof(name), "%s%06" PRIu64, l->prefix, key);
    bench_base64(name, (size_t)n, name64);
    if (reading(l)) {
        n = snprintf(body, sizeof(body), "{\"key\":\"%s\"}", name64);
    } else {
        value_write(l, l->mode == MODE_SEED ? key : l->serial++, value);
        bench_base64(value, l->value_len, value64);
        n = snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"%s\"}", name64, value64);
    }
    return (size_t)snprintf(out, OUT_MAX,
                            "POST /v3/kv/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                            reading(l) ? "range" : "put", n, body);
}

static void request_send(struct load *l, struct connection *c)
{
    char out[OUT_MAX];
    c->key = l->next_key++ % l->keys;
    c->sent_at = bench_now();
    l->in_flight++;
    size_t len = l->etcd ? request_etcd(l, c->key, out) : request_consul(l, c->key, out);
    bench_send(c->fd, out, len);
}

static void answer_check(const struct load *l, const struct connection *c, const struct answer *a)
{
    char value[VALUE_MAX];
    char value64[VALUE_MAX * 4 / 3 + 8];
    bool right = a->status == 200;
    if (l->mode == MODE_GET) {
        value_write(l, c->key, value);
        size_t len = bench_base64(value, l->value_len, value64);
        right = right && answer_has(a, value64, len);
    } else if (l->mode != MODE_FIXED && l->etcd) {
        right = right && answer_has(a, "\"revision\"", 10);
    } else if (l->mode != MODE_FIXED) {
        right = right && answer_has(a, "true", 4);
    }
    if (!right) {
        bench_fail("wrong answer for key %" PRIu64 ": status %d, %.*s", c->key, a->status,
                   (int)(a->body_len < 200 ? a->body_len : 200), a->body);
    }
}

static bool more_wanted(const struct load *l, uint64_t now)
{
    return l->mode == MODE_SEED ? l->next_key < l->keys : now < l->end;
}

static void connection_readable(struct load *l, struct connection *c)
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
    uint64_t now = bench_now();
    answer_check(l, c, &a);
    c->in_len = 0;
    l->in_flight--;
    l->answered++;
    if (now >= l->begin && now < l->end) {
        samples_add(&l->latency, now - c->sent_at);
    }
    if (more_wanted(l, now)) {
        request_send(l, c);
    }
}

/* Until `stop`, or, past the end, until everything in flight is answered. */
static void load_run(struct load *l, uint64_t stop)
{
    struct epoll_event events[EVENTS];
    while (l->in_flight > 0 && bench_now() < stop) {
        int n = epoll_wait(l->epoll, events, EVENTS, SILENCE_MS);
        if (n <= 0) {
            bench_fail("no answer for %d ms, %" PRIu64 " in flight", SILENCE_MS, l->in_flight);
        }
        for (int i = 0; i < n; i++) {
            connection_readable(l, events[i].data.ptr);
        }
    }
}

static void load_open(struct load *l)
{
    l->c = bench_alloc(l->connections, sizeof(*l->c));
    l->epoll = bench_epoll();
    for (uint64_t i = 0; i < l->connections; i++) {
        l->c[i].fd = bench_connect(l->hosts, i, l->port);
        bench_watch(l->epoll, l->c[i].fd, EPOLLIN, &l->c[i]);
    }
}

static void load_print(struct load *l, uint64_t server_cpu, uint64_t own_cpu, uint64_t wall)
{
    double count = l->latency.count == 0 ? 1.0 : (double)l->latency.count;
    printf("{\"requests\": %zu, \"answered\": %" PRIu64 ", \"per_s\": %.0f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"server_us\": %.2f, \"client_us\": %.2f}\n",
           l->latency.count, l->answered,
           (double)l->latency.count * (double)NS_PER_S / (double)wall,
           bench_ms(samples_at(&l->latency, 0.5)), bench_ms(samples_at(&l->latency, 0.99)),
           (double)server_cpu / 1000.0 / count, (double)own_cpu / 1000.0 / count);
}

static void load_measure(struct load *l)
{
    uint64_t start = bench_now();
    l->begin = start + l->warmup_ms * NS_PER_MS;
    l->end = l->begin + l->ms * NS_PER_MS;
    l->serial = start; /* differs from every run before */
    for (uint64_t i = 0; i < l->connections && more_wanted(l, start); i++) {
        request_send(l, &l->c[i]);
    }
    load_run(l, l->begin);
    uint64_t server_cpu = bench_cpu(l->pid);
    uint64_t own_cpu = bench_cpu_self();
    load_run(l, l->end);
    server_cpu = bench_cpu(l->pid) - server_cpu;
    own_cpu = bench_cpu_self() - own_cpu;
    load_run(l, UINT64_MAX);
    load_print(l, server_cpu, own_cpu, l->ms * NS_PER_MS);
}

static void mode_set(struct load *l, const char *mode)
{
    static const char *const names[] = {"seed", "get", "put", "fixed"};
    l->etcd = strncmp(mode, "etcd-", 5) == 0;
    mode += l->etcd ? 5 : 0;
    for (enum mode m = MODE_SEED; m <= MODE_FIXED; m++) {
        if (strcmp(mode, names[m]) == 0) {
            l->mode = m;
            return;
        }
    }
    bench_fail("unknown mode %s", mode);
}

int main(int argc, char **argv)
{
    const char *mode = "get";
    struct load l = {.prefix = "bench/load/",
                     .hosts = BENCH_HOSTS,
                     .connections = 64,
                     .ms = 3000,
                     .warmup_ms = 300,
                     .keys = 1000,
                     .value_len = 100};
    bench_options(argc, argv,
                  (struct bench_option[]){{"mode", &mode, NULL},
                                          {"prefix", &l.prefix, NULL},
                                          {"hosts", &l.hosts, NULL},
                                          {"port", NULL, &l.port},
                                          {"connections", NULL, &l.connections},
                                          {"ms", NULL, &l.ms},
                                          {"warmup-ms", NULL, &l.warmup_ms},
                                          {"keys", NULL, &l.keys},
                                          {"value", NULL, &l.value_len},
                                          {"pid", NULL, &l.pid},
                                          {0}});
    mode_set(&l, mode);
    if (l.value_len < 20 || l.value_len > VALUE_MAX || strlen(l.prefix) > 200 || l.keys == 0 ||
        l.connections == 0) {
        bench_fail("values of 20 to %u bytes, prefixes of at most 200, some keys, some connections",
                   VALUE_MAX);
    }
    bench_descriptors(l.connections + 16);
    load_open(&l);
    load_measure(&l);
    samples_close(&l.latency);
    free(l.c);
    return 0;
}
