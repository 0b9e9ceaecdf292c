/* The change stream under load: N WebSocket subscribers (herald.v1.json) to one prefix, or one
 * subscriber that replays the history.
 *
 *   fanout --port N --pid SERVER --mode live [--subscribers 100] [--prefix bench/fan/]
 *       prints `ready` when all are subscribed; then, when a number of events arrives on its
 *       standard input (how many writes were acknowledged), waits until every subscriber has
 *       exactly that many, and prints one line of JSON
 *   fanout --port N --pid SERVER --mode replay-ws|replay-ndjson --events N [--prefix ...]
 *       from the oldest kept change until N events are there
 *
 * Every subscriber checks that the batches join (`after` is the `through` before) and counts the
 * events; the first one also reads each event's index, which must grow.
 *
 * Errors   a gap, a repetition, an event too many or too few ends the program with status 1.
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

#define IN_MAX     ((size_t)1024 * 1024) /* frames are at most 256 KiB */
#define EVENTS     256
#define SILENCE_MS 20000

enum mode {
    MODE_LIVE,
    MODE_REPLAY_WS,
    MODE_REPLAY_NDJSON,
};

enum state {
    STATE_HANDSHAKE,
    STATE_SUBSCRIBING,
    STATE_STREAM,
};

struct subscriber {
    enum state state;
    int fd;
    bool strict; /* reads every event's index */
    bool joined; /* `through` is known */
    uint64_t through;
    uint64_t index;
    uint64_t events;
    uint64_t batches;
    uint64_t chunk_left; /* NDJSON: bytes of the chunk that are still to come */
    uint64_t head_size;  /* NDJSON: of the chunk head that is being read */
    bool head_begun;
    size_t begin, end;
    char *in;
};

struct fanout {
    enum mode mode;
    const char *prefix;
    uint64_t port, pid, subscribers, expected;
    int epoll;
    struct subscriber *s;
    uint64_t streaming; /* subscribers that have got their `subscribed` */
    uint64_t first_at, last_at;
    uint64_t bytes;
    uint64_t total;
};

/* --- messages -----------------------------------------------------------------------------------
 */

/* The number behind `"name":` within the first bytes of a message, where the contract has it. */
static bool field(const char *m, size_t len, const char *name, uint64_t *ret_value)
{
    size_t head = len < 256 ? len : 256;
    const char *p = memmem(m, head, name, strlen(name));
    if (p == NULL) {
        return false;
    }
    *ret_value = strtoull(p + strlen(name), NULL, 10);
    return true;
}

static bool is_type(const char *m, size_t len, const char *type)
{
    char want[48];
    int n = snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
    return memmem(m, len < 64 ? len : 64, want, (size_t)n) != NULL;
}

/* Base64, keys of ours and numbers hold no brace, so braces count objects. The compiler makes
 * vector instructions of it. */
static uint64_t braces(const char *m, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += m[i] == '{';
    }
    return n;
}

static void index_next(struct subscriber *s, uint64_t index)
{
    if (index <= s->index) {
        bench_fail("event of index %" PRIu64 " after %" PRIu64, index, s->index);
    }
    s->index = index;
}

static void indexes_check(struct subscriber *s, const char *m, size_t len)
{
    static const char mark[] = "{\"index\":";
    const char *end = m + len;
    for (const char *p = memmem(m, len, mark, sizeof(mark) - 1); p != NULL;
         p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1)) {
        p += sizeof(mark) - 1;
        index_next(s, strtoull(p, NULL, 10));
    }
}

static void events_count(struct fanout *f, struct subscriber *s, uint64_t n)
{
    s->events += n;
    f->total += n;
    f->last_at = bench_now();
    if (f->first_at == 0) {
        f->first_at = f->last_at;
    }
    if (f->expected != 0 && s->events > f->expected) {
        bench_fail("%" PRIu64 " events and only %" PRIu64 " writes", s->events, f->expected);
    }
}

static void batch(struct fanout *f, struct subscriber *s, const char *m, size_t len)
{
    uint64_t after = 0;
    uint64_t through = 0;
    if (!field(m, len, "\"after\":", &after) || !field(m, len, "\"through\":", &through) ||
        through < after || (s->joined && after != s->through)) {
        bench_fail("a batch that does not join %" PRIu64 ": %.*s", s->through,
                   (int)(len < 200 ? len : 200), m);
    }
    s->joined = true;
    s->through = through;
    s->batches++;
    if (s->strict) {
        indexes_check(s, m, len);
    }
    events_count(f, s, braces(m, len) - 1);
}

static void message(struct fanout *f, struct subscriber *s, const char *m, size_t len)
{
    f->bytes += len;
    if (is_type(m, len, "events")) {
        batch(f, s, m, len);
    } else if (is_type(m, len, "mark") || is_type(m, len, "live")) {
        uint64_t through = 0;
        if (!field(m, len, "\"through\":", &through) || through < s->through) {
            bench_fail("%.*s after %" PRIu64, (int)len, m, s->through);
        }
        s->through = through;
    } else if (is_type(m, len, "subscribed")) {
        s->state = STATE_STREAM;
        s->joined = field(m, len, "\"from\":", &s->through);
        f->streaming++;
    } else if (!is_type(m, len, "welcome") && !is_type(m, len, "heartbeat") &&
               !is_type(m, len, "pause")) {
        bench_fail("unexpected message: %.*s", (int)(len < 200 ? len : 200), m);
    }
}

/* One line of NDJSON: an event, or a message with a type. */
static void line(struct fanout *f, struct subscriber *s, const char *m, size_t len)
{
    uint64_t index = 0;
    f->bytes += len;
    if (len == 0 || is_type(m, len, "mark") || is_type(m, len, "heartbeat") ||
        is_type(m, len, "live")) {
        return;
    }
    if (is_type(m, len, "subscribed")) {
        f->streaming++;
        return;
    }
    if (!field(m, len, "{\"index\":", &index)) {
        bench_fail("unexpected line: %.*s", (int)(len < 200 ? len : 200), m);
    }
    index_next(s, index);
    events_count(f, s, 1);
}

/* --- frames -------------------------------------------------------------------------------------
 */

/* Answers a ping; a zero mask is a mask. */
static void pong(const struct subscriber *s, const char *data, size_t len)
{
    char frame[256] = {(char)0x8a, (char)(0x80 | len)};
    memcpy(frame + 6, data, len);
    bench_send(s->fd, frame, len + 6);
}

/* One frame from the start of what is buffered; 0 when it is not whole. */
static size_t frame(struct fanout *f, struct subscriber *s)
{
    const unsigned char *p = (const unsigned char *)s->in + s->begin;
    size_t have = s->end - s->begin;
    if (have < 2) {
        return 0;
    }
    size_t head = 2;
    size_t len = p[1] & 0x7f;
    if (len == 126) {
        head = 4;
        len = have < 4 ? 0 : (size_t)p[2] << 8 | p[3];
    } else if (len == 127) {
        head = 10;
        len = 0;
        for (size_t i = 2; i < 10 && have >= 10; i++) {
            len = len << 8 | p[i];
        }
    }
    if (have < head || have < head + len) {
        if (head + len > IN_MAX) {
            bench_fail("a frame of %zu bytes", len);
        }
        return 0;
    }
    const char *data = s->in + s->begin + head;
    switch (p[0]) {
    case 0x81:
        message(f, s, data, len);
        break;
    case 0x89:
        pong(s, data, len);
        break;
    default:
        bench_fail("unexpected frame %02x: %.*s", p[0], (int)(len < 200 ? len : 200), data);
    }
    return head + len;
}

static void lines(struct fanout *f, struct subscriber *s)
{
    const char *from = s->in + s->begin;
    const char *end = s->in + s->end;
    for (const char *nl = memchr(from, '\n', (size_t)(end - from)); nl != NULL;
         nl = memchr(from, '\n', (size_t)(end - from))) {
        line(f, s, from, (size_t)(nl - from));
        from = nl + 1;
    }
    s->begin = (size_t)(from - s->in);
}

/* Chunks cut lines where they like, so their heads are taken out first. A digit begins a head,
 * the line feed behind digits ends it; a line feed without digits ends a chunk. */
static void dechunk(struct subscriber *s, const char *p, size_t len)
{
    while (len > 0) {
        if (s->chunk_left > 0) {
            size_t n = s->chunk_left < len ? s->chunk_left : len;
            memcpy(s->in + s->end, p, n);
            s->end += n;
            s->chunk_left -= n;
            p += n;
            len -= n;
            continue;
        }
        const char digit[2] = {*p, '\0'};
        if (*p == '\n' && s->head_begun) {
            s->chunk_left = s->head_size;
            s->head_begun = false;
            s->head_size = 0;
        } else if (*p != '\r' && *p != '\n') {
            s->head_size = s->head_size * 16 + strtoull(digit, NULL, 16);
            s->head_begun = true;
        }
        p++;
        len--;
    }
}

/* --- connections --------------------------------------------------------------------------------
 */

static void request_send(const struct fanout *f, const struct subscriber *s)
{
    char out[1024];
    int n;
    if (f->mode == MODE_REPLAY_NDJSON) {
        n = snprintf(out, sizeof(out),
                     "GET /v1/stream?topic=kv&prefix=%s&index=0&format=ndjson HTTP/1.1\r\n"
                     "Host: 127.0.0.1\r\n\r\n",
                     f->prefix);
    } else {
        n = snprintf(out, sizeof(out),
                     "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Protocol: herald.v1.json\r\n\r\n");
    }
    bench_send(s->fd, out, (size_t)n);
}

static void subscribe_send(const struct fanout *f, const struct subscriber *s)
{
    char text[512];
    char out[600];
    int len = snprintf(text, sizeof(text),
                       "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"kv\",\"prefix\":\"%s\"%s}",
                       f->prefix, f->mode == MODE_LIVE ? "" : ",\"from\":{\"index\":0}");
    size_t n = 0;
    out[n++] = (char)0x81;
    if (len < 126) {
        out[n++] = (char)(0x80 | len);
    } else {
        out[n++] = (char)(0x80 | 126);
        out[n++] = (char)(len >> 8);
        out[n++] = (char)len;
    }
    memset(out + n, 0, 4); /* a zero mask is a mask */
    memcpy(out + n + 4, text, (size_t)len);
    bench_send(s->fd, out, n + 4 + (size_t)len);
}

/* The answer's head; what follows it stays buffered. */
static void handshake(const struct fanout *f, struct subscriber *s)
{
    static const char want[2][13] = {"HTTP/1.1 101", "HTTP/1.1 200"};
    bool plain = f->mode == MODE_REPLAY_NDJSON;
    char *head_end = memmem(s->in, s->end, "\r\n\r\n", 4);
    if (head_end == NULL) {
        return;
    }
    if (memcmp(s->in, want[plain], 12) != 0) {
        bench_fail("refused: %.*s", (int)(s->end < 400 ? s->end : 400), s->in);
    }
    s->begin = (size_t)(head_end + 4 - s->in);
    s->state = plain ? STATE_STREAM : STATE_SUBSCRIBING;
    if (plain) {
        size_t rest = s->end - s->begin;
        char *copy = bench_alloc(rest + 1, 1);
        memcpy(copy, s->in + s->begin, rest);
        s->begin = 0;
        s->end = 0;
        dechunk(s, copy, rest);
        free(copy);
    } else {
        subscribe_send(f, s);
    }
}

static void consume(struct fanout *f, struct subscriber *s)
{
    if (s->state == STATE_HANDSHAKE) {
        handshake(f, s);
    }
    if (s->state != STATE_HANDSHAKE && f->mode == MODE_REPLAY_NDJSON) {
        lines(f, s);
    } else if (s->state != STATE_HANDSHAKE) {
        for (size_t n = frame(f, s); n != 0; n = frame(f, s)) {
            s->begin += n;
        }
    }
    if (s->begin > 0) {
        memmove(s->in, s->in + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
}

static void readable(struct fanout *f, struct subscriber *s)
{
    static char raw[IN_MAX / 2];
    bool chunked = f->mode == MODE_REPLAY_NDJSON && s->state == STATE_STREAM;
    size_t room = chunked ? sizeof(raw) : IN_MAX;
    ssize_t n = chunked ? recv(s->fd, raw, room - s->end, 0)
                        : recv(s->fd, s->in + s->end, room - s->end, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        bench_fail("the server closed a stream: %s", n < 0 ? strerror(errno) : "end of stream");
    }
    if (chunked) {
        dechunk(s, raw, (size_t)n);
    } else {
        s->end += (size_t)n;
    }
    consume(f, s);
}

/* How many events there are, once. */
static void told(struct fanout *f)
{
    char text[32] = {0};
    if (read(STDIN_FILENO, text, sizeof(text) - 1) <= 0) {
        bench_fail("nobody says how many events there are");
    }
    f->expected = strtoull(text, NULL, 10);
    epoll_ctl(f->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

/* False after `ms` of silence. */
static bool turn(struct fanout *f, int ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(f->epoll, events, EVENTS, ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL) {
            told(f);
        } else {
            readable(f, events[i].data.ptr);
        }
    }
    return n > 0;
}

static void fanout_open(struct fanout *f)
{
    f->epoll = bench_epoll();
    f->s = bench_alloc(f->subscribers, sizeof(*f->s));
    for (uint64_t i = 0; i < f->subscribers; i++) {
        struct subscriber *s = &f->s[i];
        *s = (struct subscriber){.fd = bench_connect(BENCH_HOSTS, 0, f->port),
                                 .strict = i == 0,
                                 .in = bench_alloc(IN_MAX, 1)};
        bench_watch(f->epoll, s->fd, EPOLLIN, s);
        request_send(f, s);
    }
}

/* Everybody has everything. */
static bool complete(const struct fanout *f)
{
    return f->expected != 0 && f->total == f->expected * f->subscribers;
}

static void report(const struct fanout *f, uint64_t from, uint64_t cpu, uint64_t own_cpu)
{
    double s = (double)(f->last_at - from) / (double)NS_PER_S;
    double n = (double)f->total;
    printf("{\"events\": %" PRIu64 ", \"per_s\": %.0f, \"mib_per_s\": %.1f, "
           "\"events_per_batch\": %.1f, \"server_us\": %.3f, \"client_us\": %.3f}\n",
           f->total, n / s, (double)f->bytes / 1048576.0 / s,
           f->s[0].batches == 0 ? 1.0 : (double)f->s[0].events / (double)f->s[0].batches,
           (double)cpu / 1000.0 / n, (double)own_cpu / 1000.0 / n);
}

static void run(struct fanout *f)
{
    uint64_t begin = bench_now();
    uint64_t cpu = bench_cpu(f->pid);
    uint64_t own_cpu = bench_cpu_self();
    fanout_open(f);
    while (f->mode == MODE_LIVE && f->streaming < f->subscribers) {
        if (!turn(f, SILENCE_MS)) {
            bench_fail("%" PRIu64 " of %" PRIu64 " are subscribed", f->streaming, f->subscribers);
        }
    }
    if (f->mode == MODE_LIVE) {
        bench_settle(f->pid);
        cpu = bench_cpu(f->pid);
        own_cpu = bench_cpu_self();
        bench_watch(f->epoll, STDIN_FILENO, EPOLLIN, NULL);
        puts("ready");
        fflush(stdout);
    }
    while (!complete(f)) {
        if (!turn(f, SILENCE_MS)) {
            bench_fail("%" PRIu64 " events came and %" PRIu64 " were expected", f->total,
                       f->expected * f->subscribers);
        }
    }
    for (uint64_t i = 0; i < f->subscribers; i++) {
        if (f->s[i].events != f->expected) {
            bench_fail("a subscriber got %" PRIu64 " of %" PRIu64, f->s[i].events, f->expected);
        }
    }
    report(f, f->mode == MODE_LIVE ? f->first_at : begin, bench_cpu(f->pid) - cpu,
           bench_cpu_self() - own_cpu);
}

static void mode_set(struct fanout *f, const char *mode)
{
    static const char *const names[] = {"live", "replay-ws", "replay-ndjson"};
    for (enum mode m = MODE_LIVE; m <= MODE_REPLAY_NDJSON; m++) {
        if (strcmp(mode, names[m]) == 0) {
            f->mode = m;
            return;
        }
    }
    bench_fail("unknown mode %s", mode);
}

int main(int argc, char **argv)
{
    const char *mode = "live";
    struct fanout f = {.prefix = "bench/fan/", .subscribers = 100};
    bench_options(argc, argv,
                  (struct bench_option[]){{"mode", &mode, NULL},
                                          {"prefix", &f.prefix, NULL},
                                          {"port", NULL, &f.port},
                                          {"pid", NULL, &f.pid},
                                          {"subscribers", NULL, &f.subscribers},
                                          {"events", NULL, &f.expected},
                                          {0}});
    mode_set(&f, mode);
    f.subscribers = f.mode == MODE_LIVE ? f.subscribers : 1;
    if (f.subscribers == 0 || strlen(f.prefix) > 200 ||
        (f.mode == MODE_LIVE) != (f.expected == 0)) {
        bench_fail("some subscribers; a replay wants --events, a live stream is told them");
    }
    bench_descriptors(f.subscribers + 16);
    run(&f);
    return 0;
}
