/* /v1/agent/monitor: the log as it is written, at the level that is asked for.
 *
 * A line may come on any thread; it crosses to the front's loop by mail. A reader that does not
 * keep up loses lines rather than hold anybody up. */
#include "core/api/api.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Shared by the tap and the lines on their way: the last one frees it. */
struct monitor {
    struct log_tap tap;
    struct loop *loop;
    struct request *request; /* NULL: the reader is gone */
    atomic_uint refs;
};

struct monitor_line {
    struct mail mail;
    struct monitor *monitor;
    struct shared *text;
};

static void monitor_unref(struct monitor *m)
{
    if (atomic_fetch_sub(&m->refs, 1) == 1) {
        free(m);
    }
}

static void monitor_deliver(struct mail *mail)
{
    struct monitor_line *line = LIST_OWNER(mail, struct monitor_line, mail);
    struct request *r = line->monitor->request;
    if (r != NULL && reply_stream_pending(r) < STREAM_OUTBOUND_MAX) {
        reply_stream_send(r, line->text);
    }
    shared_unref(line->text);
    monitor_unref(line->monitor);
    free(line);
}

static void monitor_line(struct log_tap *tap, struct bytes text)
{
    struct monitor *m = LIST_OWNER(tap, struct monitor, tap);
    struct monitor_line *line = mem_alloc(sizeof *line);
    atomic_fetch_add(&m->refs, 1);
    *line = (struct monitor_line){
        .mail = {.deliver = monitor_deliver},
        .monitor = m,
        .text = shared_copy(0, text),
    };
    mailbox_post(loop_mailbox(m->loop), &line->mail);
}

static void monitor_cancelled(struct request *r)
{
    struct monitor *m = r->ctx;
    log_tap_close(&m->tap);
    m->request = NULL;
    monitor_unref(m);
}

static void monitor_writable(struct request *r)
{
    (void)r;
}

void api_agent_monitor(struct request *r)
{
    static const struct reply_stream_ops ops = {.writable = monitor_writable};
    enum log_level level = LOG_INFO;
    struct bytes text;
    if (request_arg(r, "loglevel", &text) && text.len > 0 && log_level_parse(text, &level) != OK) {
        reply_text(r, 400, "Unknown log level: %.*s", BYTES_FORMAT(text));
        return;
    }
    struct monitor *m = mem_zalloc(1, sizeof *m);
    atomic_init(&m->refs, 1);
    m->loop = api_of(r)->loop;
    m->request = r;
    m->tap.level = level;
    m->tap.json = request_arg(r, "logjson", &text);
    m->tap.line = monitor_line;
    r->ctx = m;
    r->cancelled = monitor_cancelled;
    reply_stream_begin(r, 200, "text/plain; charset=utf-8", &ops);
    log_tap_open(&m->tap);
}
