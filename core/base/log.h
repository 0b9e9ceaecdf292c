/* The log: one line per event, in Consul's form,
 *
 *     2026-11-22T17:10:17.425Z [INFO]  agent: Herald is ready: http=127.0.0.1:8500
 *
 * or, with log_set_json(), one JSON object per line. What may be said is the table log.tbl.h.
 *
 * Limits   a line is cut at LOG_LINE_MAX bytes.
 * Threads  any. One lock, held while a line is written.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include "core/base/buf.h"

#include <stdbool.h>

#define LOG_LINE_MAX 2048

enum log_level {
    LOG_TRACE,
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

enum log_kind {
#define X(kind, level, component, text) kind,
#include "core/base/log.tbl.h"
#undef X
    LOG_KIND_COUNT,
};

/* "trace" "debug" "info" "warn" "err"/"error", in any case. */
enum err log_level_parse(struct bytes text, enum log_level *ret_level) ERR_MUST_USE;

/* INFO and standard error are the start. */
void log_set_level(enum log_level level);
void log_set_json(bool json);

/* `format` makes the `key=value ...` part and may be "". */
void log_line(enum log_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For callers that would have to work to make the text. */
bool log_wants(enum log_kind kind);

/* A reader of the log beside standard error (`/v1/agent/monitor`). `line` ends in a newline and
 * is borrowed for the call, which may come on any thread and must not log. */
struct log_tap {
    enum log_level level;
    bool json;
    void (*line)(struct log_tap *tap, struct bytes line);
    /* private */
    struct log_tap *next;
};

void log_tap_open(struct log_tap *tap);
void log_tap_close(struct log_tap *tap);

#endif
