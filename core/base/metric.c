#include "core/base/metric.h"

#include "core/base/check.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum metric_kind {
    GAUGE,
    COUNTER,
    SAMPLE,
};

static const struct {
    enum metric_kind kind;
    const char *wire;
    const char *unit;
    const char *help;
} METRICS[METRIC_COUNT] = {
#define X(name, kind, wire, unit, help) {kind, wire, unit, help},
#include "core/base/metric.tbl.h"
#undef X
};

/* Sums and extremes are kept in thousandths, so that they can be atomics. */
#define METRIC_SCALE 1000.0

static struct {
    atomic_uint_fast64_t value; /* of a sample: how many */
    atomic_uint_fast64_t sum;
    atomic_uint_fast64_t min; /* plus 1; 0 while there is none */
    atomic_uint_fast64_t max;
} values[METRIC_COUNT];

void metric_add(enum metric m, int64_t delta)
{
    atomic_fetch_add_explicit(&values[m].value, (uint_fast64_t)delta, memory_order_relaxed);
}

void metric_set(enum metric m, uint64_t value)
{
    CHECK(METRICS[m].kind == GAUGE);
    atomic_store_explicit(&values[m].value, value, memory_order_relaxed);
}

void metric_observe(enum metric m, double value)
{
    CHECK(METRICS[m].kind == SAMPLE);
    uint_fast64_t scaled = value <= 0 ? 0 : (uint_fast64_t)(value * METRIC_SCALE);
    atomic_fetch_add_explicit(&values[m].value, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&values[m].sum, scaled, memory_order_relaxed);
    uint_fast64_t seen = atomic_load_explicit(&values[m].max, memory_order_relaxed);
    while (scaled > seen &&
           !atomic_compare_exchange_weak_explicit(&values[m].max, &seen, scaled,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    seen = atomic_load_explicit(&values[m].min, memory_order_relaxed);
    while ((seen == 0 || scaled + 1 < seen) &&
           !atomic_compare_exchange_weak_explicit(&values[m].min, &seen, scaled + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t metric_value(enum metric m)
{
    return atomic_load_explicit(&values[m].value, memory_order_relaxed);
}

static uint64_t metrics_open_fds(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    /* `.`, `..` and the directory itself. */
    return count >= 3 ? count - 3 : 0;
}

void metrics_refresh(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (f != NULL) {
        char line[128] = "";
        if (fgets(line, sizeof line, f) != NULL) {
            const char *second = strchr(line, ' ');
            struct bytes pages = bytes_of(second == NULL ? "" : second + 1);
            uint64_t resident = 0;
            if (bytes_to_u64(bytes_slice(pages, 0, bytes_find(pages, ' ')), &resident) == OK) {
                metric_set(METRIC_ALLOC_BYTES, resident * (uint64_t)sysconf(_SC_PAGESIZE));
            }
        }
        (void)fclose(f);
    }
    metric_set(METRIC_FDS, metrics_open_fds());
}

static double metrics_scaled(atomic_uint_fast64_t *value)
{
    return (double)atomic_load_explicit(value, memory_order_relaxed) / METRIC_SCALE;
}

static double metrics_min(unsigned m)
{
    uint_fast64_t min = atomic_load_explicit(&values[m].min, memory_order_relaxed);
    return min == 0 ? 0 : (double)(min - 1) / METRIC_SCALE;
}

/* Newer clients look for the process's memory under the name of the host. */
static enum err metrics_json_host(struct buf *out)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    host[strspn(host, allowed)] = '\0';
    return buf_printf(out, ",{\"Name\":\"consul.%s.%s\",\"Value\":%llu,\"Labels\":{}}", host,
                      METRICS[METRIC_ALLOC_BYTES].wire,
                      (unsigned long long)metric_value(METRIC_ALLOC_BYTES));
}

static enum err metrics_json_one(struct buf *out, unsigned m, bool first)
{
    uint64_t count = metric_value((enum metric)m);
    const char *comma = first ? "" : ",";
    if (METRICS[m].kind == GAUGE) {
        return buf_printf(out, "%s{\"Name\":\"consul.%s\",\"Value\":%llu,\"Labels\":{}}", comma,
                          METRICS[m].wire, (unsigned long long)count);
    }
    double sum = METRICS[m].kind == SAMPLE ? metrics_scaled(&values[m].sum) : (double)count;
    return buf_printf(out,
                      "%s{\"Name\":\"consul.%s\",\"Count\":%llu,\"Sum\":%.3f,\"Min\":%.3f,"
                      "\"Max\":%.3f,\"Mean\":%.3f,\"Labels\":{}}",
                      comma, METRICS[m].wire, (unsigned long long)count, sum, metrics_min(m),
                      metrics_scaled(&values[m].max), count == 0 ? 0.0 : sum / (double)count);
}

static enum err metrics_json_kind(struct buf *out, enum metric_kind kind)
{
    bool first = true;
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        if (METRICS[m].kind != kind) {
            continue;
        }
        enum err e = metrics_json_one(out, m, first);
        if (e == OK && m == METRIC_ALLOC_BYTES) {
            e = metrics_json_host(out);
        }
        if (e != OK) {
            return e;
        }
        first = false;
    }
    return OK;
}

enum err metrics_json(struct buf *out, uint64_t wall_ms)
{
    static const struct {
        const char *before;
        enum metric_kind kind;
    } parts[] = {
        {"\"Gauges\":[", GAUGE},
        {"],\"Points\":[],\"Counters\":[", COUNTER},
        {"],\"Samples\":[", SAMPLE},
    };
    char when[64];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    CHECK(gmtime_r(&seconds, &tm) != NULL);
    CHECK(strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S +0000 UTC", &tm) > 0);
    enum err e = buf_printf(out, "{\"Timestamp\":\"%s\",", when);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && e == OK; i++) {
        e = buf_append_str(out, parts[i].before);
        if (e == OK) {
            e = metrics_json_kind(out, parts[i].kind);
        }
    }
    return e == OK ? buf_append_str(out, "]}") : e;
}

enum err metrics_prometheus(struct buf *out)
{
    static const char *const types[] = {"gauge", "counter", "summary"};
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        char name[64];
        (void)snprintf(name, sizeof name, "consul_%s", METRICS[m].wire);
        for (char *c = name; *c != '\0'; c++) {
            *c = *c == '.' ? '_' : *c;
        }
        unsigned long long count = metric_value((enum metric)m);
        enum err e = buf_printf(out, "# HELP %s %s (%s)\n# TYPE %s %s\n", name, METRICS[m].help,
                                METRICS[m].unit, name, types[METRICS[m].kind]);
        if (e == OK && METRICS[m].kind == SAMPLE) {
            e = buf_printf(out, "%s_sum %.3f\n%s_count %llu\n", name,
                           metrics_scaled(&values[m].sum), name, count);
        } else if (e == OK) {
            e = buf_printf(out, "%s %llu\n", name, count);
        }
        if (e != OK) {
            return e;
        }
    }
    return OK;
}
