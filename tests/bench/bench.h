/* What the benchmark programs share: the clock, percentiles, what another process costs, sockets
 * on loopback, and a reader of HTTP answers that is cheap enough not to be what is measured.
 *
 * Units    times are nanoseconds of CLOCK_MONOTONIC, memory is KiB.
 * Owner    a `struct samples` owns its memory until samples_close().
 * Errors   a benchmark that cannot go on says why on stderr and ends with status 1.
 * Threads  any; nothing is shared.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

uint64_t bench_now(void);
void bench_sleep_ms(unsigned ms);

/* Prints the sentence and ends the program. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *bench_alloc(size_t count, size_t size);

/* --- command line ------------------------------------------------------------------------------
 */

/* `--name value` pairs only; every program names the ones it knows. */
struct bench_option {
    const char *name;
    const char **text; /* one of the two is set */
    uint64_t *number;
};

/* `options` ends with a row without a name. An unknown one ends the program. */
void bench_options(int argc, char **argv, const struct bench_option *options);

/* --- percentiles -------------------------------------------------------------------------------
 */

struct samples {
    uint64_t *v;
    size_t count;
    size_t room;
};

void samples_add(struct samples *s, uint64_t value);
/* Sorts. `share` in 0..1; 0 for no samples. */
uint64_t samples_at(struct samples *s, double share);
void samples_clear(struct samples *s);
void samples_close(struct samples *s);
double bench_ms(uint64_t ns);

/* --- other processes ---------------------------------------------------------------------------
 */

/* CPU time of all threads of `pid`, to the nanosecond where the kernel says so (schedstat), else
 * to the tick; 0 for pid 0. */
uint64_t bench_cpu(uint64_t pid);
uint64_t bench_cpu_self(void);
uint64_t bench_rss_kib(uint64_t pid);
/* Waits, at most some seconds, until `pid` has nothing left to do. */
void bench_settle(uint64_t pid);

/* --- sockets and HTTP --------------------------------------------------------------------------
 */

int bench_epoll(void);
void bench_watch(int epoll, int fd, uint32_t events, void *ctx);
/* Raises the limit of descriptors as far as the system lets it. */
void bench_descriptors(uint64_t needed);
/* Where the programs connect to unless told otherwise. */
#define BENCH_HOSTS "127.0.0.1"
/* Non-blocking, without Nagle; closed by a reset, so that tens of thousands of connections leave
 * no TIME_WAIT behind. `hosts` are literal IPv4 addresses with commas; connection `number` goes to
 * the one whose turn it is. */
int bench_connect(const char *hosts, uint64_t number, uint64_t port);
/* Non-blocking listener on 127.0.0.1; several may share a port. */
int bench_listen(uint64_t port);
/* The whole of it, at once: a benchmark never has so much in flight that the kernel would not
 * take it. */
void bench_send(int fd, const char *bytes, size_t len);

struct answer {
    int status;
    uint64_t index; /* X-Consul-Index; 0 without */
    const char *body;
    size_t body_len;
};

/* One HTTP/1.1 answer at the start of `in`. Returns its length, 0 when it is not complete.
 * Ends the program when it is none, or not one with a Content-Length. */
size_t answer_read(const char *in, size_t len, struct answer *ret_answer);
bool answer_has(const struct answer *a, const char *text, size_t len);

/* Standard base64 with padding; `out` has room for 4/3 and a NUL. */
size_t bench_base64(const char *data, size_t len, char *out);

#endif
