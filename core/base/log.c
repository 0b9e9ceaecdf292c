#include "core/base/log.h"

#include "core/base/env.h"
#include "core/base/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    TRACE = LOG_TRACE,
    DEBUG = LOG_DEBUG,
    INFO = LOG_INFO,
    WARN = LOG_WARN,
    ERROR = LOG_ERROR,
};

static const struct {
    enum log_level level;
    const char *component;
    const char *text;
} KINDS[LOG_KIND_COUNT] = {
#define X(kind, level, component, text) {(enum log_level)(level), component, text},
#include "core/base/log.tbl.h"
#undef X
};

static const char *const LEVELS[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int log_level_now = LOG_INFO;
static atomic_bool log_json_now;
/* The lowest level any tap wants; above LOG_ERROR when there is none. */
static atomic_int log_tap_level = LOG_ERROR + 1;
static struct log_tap *log_taps;

enum err log_level_parse(struct bytes text, enum log_level *ret_level)
{
    if (bytes_equal_nocase(text, BYTES("err"))) {
        *ret_level = LOG_ERROR;
        return OK;
    }
    for (int i = LOG_TRACE; i <= LOG_ERROR; i++) {
        if (bytes_equal_nocase(text, bytes_of(LEVELS[i]))) {
            *ret_level = (enum log_level)i;
            return OK;
        }
    }
    return ERR_INVALID;
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_level_now, (int)level);
}

void log_set_json(bool json)
{
    atomic_store(&log_json_now, json);
}

bool log_wants(enum log_kind kind)
{
    int level = (int)KINDS[kind].level;
    return level >= atomic_load_explicit(&log_level_now, memory_order_relaxed) ||
           level >= atomic_load_explicit(&log_tap_level, memory_order_relaxed);
}

/* A line with its newline; what does not fit is cut. */
static void log_render(struct buf *out, enum log_kind kind, struct bytes details, bool json)
{
    char when[TIME_TEXT_LEN];
    time_text(env_real_wall_ms(), when);
    const char *level = LEVELS[KINDS[kind].level];
    if (json) {
        enum err e = buf_printf(out,
                                "{\"@timestamp\":\"%s\",\"@level\":\"%s\",\"@module\":\"%s\","
                                "\"@message\":\"%s\",\"details\":",
                                when, level, KINDS[kind].component, KINDS[kind].text);
        if (e == OK) {
            e = json_quote(out, details);
        }
        if (e == OK) {
            e = buf_append_str(out, "}\n");
        }
        (void)e;
        return;
    }
    enum err e =
        buf_printf(out, "%s [%s]%s %s: %s%s%.*s\n", when, level,
                   KINDS[kind].level == LOG_INFO || KINDS[kind].level == LOG_WARN ? " " : "",
                   KINDS[kind].component, KINDS[kind].text, details.len > 0 ? ": " : "",
                   BYTES_FORMAT(details));
    (void)e;
}

void log_line(enum log_kind kind, const char *format, ...)
{
    char details[LOG_LINE_MAX / 2];
    if (!log_wants(kind)) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(details, sizeof details, format, args);
    va_end(args);
    struct buf text;
    struct buf json;
    /* JSON escapes can be six times as long as the text. */
    buf_init(&text, (size_t)LOG_LINE_MAX * 4);
    buf_init(&json, (size_t)LOG_LINE_MAX * 4);
    log_render(&text, kind, bytes_of(details), false);
    log_render(&json, kind, bytes_of(details), true);
    (void)pthread_mutex_lock(&log_lock);
    if ((int)KINDS[kind].level >= atomic_load(&log_level_now)) {
        struct bytes line = buf_view(atomic_load(&log_json_now) ? &json : &text);
        /* A log that cannot be written must not stop the server. */
        ssize_t put = write(STDERR_FILENO, line.ptr, line.len);
        (void)put;
    }
    for (struct log_tap *tap = log_taps; tap != NULL; tap = tap->next) {
        if (KINDS[kind].level >= tap->level) {
            tap->line(tap, buf_view(tap->json ? &json : &text));
        }
    }
    (void)pthread_mutex_unlock(&log_lock);
    buf_close(&text);
    buf_close(&json);
}

static void log_tap_levels(void)
{
    int lowest = LOG_ERROR + 1;
    for (struct log_tap *tap = log_taps; tap != NULL; tap = tap->next) {
        lowest = (int)tap->level < lowest ? (int)tap->level : lowest;
    }
    atomic_store(&log_tap_level, lowest);
}

void log_tap_open(struct log_tap *tap)
{
    (void)pthread_mutex_lock(&log_lock);
    tap->next = log_taps;
    log_taps = tap;
    log_tap_levels();
    (void)pthread_mutex_unlock(&log_lock);
}

void log_tap_close(struct log_tap *tap)
{
    (void)pthread_mutex_lock(&log_lock);
    for (struct log_tap **at = &log_taps; *at != NULL; at = &(*at)->next) {
        if (*at == tap) {
            *at = tap->next;
            break;
        }
    }
    log_tap_levels();
    (void)pthread_mutex_unlock(&log_lock);
}
