#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A server that still works after so long is measured as it is. */
#define SETTLE_STEPS_MAX 100
#define SETTLE_STEP_MS   50
/* Ten per cent of a step: less is timers, not work. */
#define SETTLE_IDLE_NS   (5 * NS_PER_MS)

uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void bench_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *bench_alloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL) {
        bench_fail("no memory for %zu times %zu bytes", count, size);
    }
    return p;
}

/* --- command line ------------------------------------------------------------------------------
 */

static void option_set(const struct bench_option *o, const char *value)
{
    if (o->text != NULL) {
        *o->text = value;
        return;
    }
    char *end;
    *o->number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end != '\0') {
        bench_fail("--%s wants a number, not '%s'", o->name, value);
    }
}

void bench_options(int argc, char **argv, const struct bench_option *options)
{
    for (int i = 1; i < argc; i += 2) {
        const struct bench_option *o = options;
        while (o->name != NULL &&
               (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, o->name) != 0)) {
            o++;
        }
        if (o->name == NULL || i + 1 == argc) {
            bench_fail("unknown option or one without a value: %s", argv[i]);
        }
        option_set(o, argv[i + 1]);
    }
}

/* --- percentiles -------------------------------------------------------------------------------
 */

void samples_add(struct samples *s, uint64_t value)
{
    if (s->count == s->room) {
        s->room = s->room == 0 ? 4096 : s->room * 2;
        s->v = realloc(s->v, s->room * sizeof(*s->v));
        if (s->v == NULL) {
            bench_fail("no memory for %zu samples", s->room);
        }
    }
    s->v[s->count++] = value;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t samples_at(struct samples *s, double share)
{
    if (s->count == 0) {
        return 0;
    }
    qsort(s->v, s->count, sizeof(*s->v), compare_u64);
    return s->v[(size_t)((double)(s->count - 1) * share + 0.5)];
}

void samples_clear(struct samples *s)
{
    s->count = 0;
}

void samples_close(struct samples *s)
{
    free(s->v);
    *s = (struct samples){0};
}

double bench_ms(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

/* --- other processes ---------------------------------------------------------------------------
 */

/* First line of a file in /proc; false when it is gone. */
static bool proc_line(const char *path, char *line, int len)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    bool ok = fgets(line, len, f) != NULL;
    fclose(f);
    return ok;
}

static uint64_t cpu_ticks(uint64_t pid)
{
    char path[64];
    char line[1024];
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    if (!proc_line(path, line, sizeof(line))) {
        return 0;
    }
    /* The name may hold anything; what follows its last parenthesis is fields 3 and on. */
    char *p = strrchr(line, ')');
    for (int field = 2; p != NULL && field < 14; field++) {
        p = strchr(p + 1, ' ');
    }
    if (p == NULL) {
        return 0;
    }
    uint64_t user = strtoull(p + 1, &p, 10);
    uint64_t kernel = strtoull(p, NULL, 10);
    return (user + kernel) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t bench_cpu(uint64_t pid)
{
    char path[320];
    char line[128];
    uint64_t sum = 0;
    if (pid == 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        bench_fail("process %" PRIu64 " is gone", pid);
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task/%s/schedstat", pid, e->d_name);
        if (isdigit((unsigned char)e->d_name[0]) && proc_line(path, line, sizeof(line))) {
            sum += strtoull(line, NULL, 10);
        }
    }
    closedir(dir);
    return sum != 0 ? sum : cpu_ticks(pid);
}

uint64_t bench_cpu_self(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t bench_rss_kib(uint64_t pid)
{
    char path[64];
    char line[128];
    uint64_t pages = 0;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/statm", pid);
    if (pid != 0 && proc_line(path, line, sizeof(line))) {
        char *p = strchr(line, ' ');
        pages = p != NULL ? strtoull(p, NULL, 10) : 0;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

void bench_settle(uint64_t pid)
{
    unsigned idle = 0;
    uint64_t before = bench_cpu(pid);
    for (unsigned i = 0; i < SETTLE_STEPS_MAX && idle < 3; i++) {
        bench_sleep_ms(SETTLE_STEP_MS);
        uint64_t now = bench_cpu(pid);
        idle = now - before < SETTLE_IDLE_NS ? idle + 1 : 0;
        before = now;
    }
}

/* --- sockets -----------------------------------------------------------------------------------
 */

int bench_epoll(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        bench_fail("epoll: %s", strerror(errno));
    }
    return fd;
}

void bench_watch(int epoll, int fd, uint32_t events, void *ctx)
{
    struct epoll_event e = {.events = events, .data.ptr = ctx};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
        bench_fail("epoll: %s", strerror(errno));
    }
}

void bench_descriptors(uint64_t needed)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur < needed) {
        bench_fail("%" PRIu64 " descriptors are needed and %" PRIu64 " are allowed", needed,
                   (uint64_t)r.rlim_cur);
    }
}

static int socket_new(void)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bench_fail("socket: %s", strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static struct sockaddr_in loopback(uint64_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* The one of `hosts` whose turn it is. */
static struct in_addr host_of(const char *hosts, uint64_t number)
{
    struct in_addr got;
    char host[INET_ADDRSTRLEN];
    uint64_t count = 1;
    for (const char *p = hosts; (p = strchr(p, ',')) != NULL; p++) {
        count++;
    }
    for (number %= count; number > 0; number--) {
        hosts = strchr(hosts, ',') + 1;
    }
    size_t len = strcspn(hosts, ",");
    if (len >= sizeof(host)) {
        bench_fail("not an address: %s", hosts);
    }
    memcpy(host, hosts, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, &got) != 1) {
        bench_fail("not an address: %s", host);
    }
    return got;
}

int bench_connect(const char *hosts, uint64_t number, uint64_t port)
{
    struct sockaddr_in to = loopback(port);
    to.sin_addr = host_of(hosts, number);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = socket_new();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        bench_fail("connect to %s, port %" PRIu64 ": %s", hosts, port, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int bench_listen(uint64_t port)
{
    struct sockaddr_in at = loopback(port);
    int on = 1;
    int fd = socket_new();
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0) {
        bench_fail("listen on port %" PRIu64 ": %s", port, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void bench_send(int fd, const char *bytes, size_t len)
{
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len) {
        bench_fail("send: %s", n < 0 ? strerror(errno) : "the kernel took only a part");
    }
}

/* --- HTTP answers ------------------------------------------------------------------------------
 */

/* The value of the header line at `p` when it is called `name` (given with its colon). */
static const char *header_value(const char *p, const char *end, const char *name)
{
    size_t len = strlen(name);
    if ((size_t)(end - p) <= len || strncasecmp(p, name, len) != 0) {
        return NULL;
    }
    p += len;
    while (p < end && *p == ' ') {
        p++;
    }
    return p;
}

size_t answer_read(const char *in, size_t len, struct answer *ret_answer)
{
    const char *head_end = memmem(in, len, "\r\n\r\n", 4);
    if (head_end == NULL) {
        return 0;
    }
    if (len < 12 || memcmp(in, "HTTP/1.1 ", 9) != 0) {
        bench_fail("not an HTTP answer: %.*s", (int)(len < 80 ? len : 80), in);
    }
    struct answer a = {.status = (int)strtol(in + 9, NULL, 10), .body = head_end + 4};
    bool sized = false;
    for (const char *p = memchr(in, '\n', len); p != NULL && p < head_end;
         p = memchr(p, '\n', (size_t)(head_end + 2 - p))) {
        const char *v;
        p++;
        if ((v = header_value(p, head_end, "Content-Length:")) != NULL) {
            a.body_len = strtoul(v, NULL, 10);
            sized = true;
        } else if ((v = header_value(p, head_end, "X-Consul-Index:")) != NULL) {
            a.index = strtoull(v, NULL, 10);
        }
    }
    if (!sized) {
        bench_fail("an answer without a Content-Length: %.*s", (int)(head_end - in), in);
    }
    size_t total = (size_t)(a.body - in) + a.body_len;
    if (total > len) {
        return 0;
    }
    *ret_answer = a;
    return total;
}

bool answer_has(const struct answer *a, const char *text, size_t len)
{
    return memmem(a->body, a->body_len, text, len) != NULL;
}

size_t bench_base64(const char *data, size_t len, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)(unsigned char)data[i] << 16;
        bits |= i + 1 < len ? (uint32_t)(unsigned char)data[i + 1] << 8 : 0;
        bits |= i + 2 < len ? (uint32_t)(unsigned char)data[i + 2] : 0;
        out[n++] = alphabet[bits >> 18];
        out[n++] = alphabet[bits >> 12 & 63];
        out[n++] = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
        out[n++] = i + 2 < len ? alphabet[bits & 63] : '=';
    }
    out[n] = '\0';
    return n;
}
