#include "core/agent/sync.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

struct sync {
    struct sync_options options;
    struct sync_ask ask;
    struct sync_cursor cursor;
    struct list jobs;
    unsigned in_flight;
    unsigned failures; /* in a row */
    bool asking;
    bool compare; /* everything, once nothing is under way */
    bool closed;
    struct timer soon;    /* something changed */
    struct timer full;    /* the next comparison */
    struct timer retry;   /* after a failure */
    struct timer outputs; /* the first deferred output */
};

/* A command on its way. */
struct sync_job {
    struct list link;
    struct sync *sync;
    struct sync_write write;
    struct sync_step step;
};

static void sync_work(struct sync *s);

static uint64_t sync_jitter(struct sync *s, uint64_t ms)
{
    return ms + env_random_below(s->options.env, ms / 4 + 1);
}

/* --- sending ------------------------------------------------------------------------------------
 */

static void job_free(struct sync_job *job)
{
    list_remove(&job->link);
    sync_step_close(&job->step);
    free(job);
}

static void sync_failed(struct sync *s, enum err e)
{
    uint64_t delay_ms = SYNC_RETRY_MIN_MS;
    for (unsigned i = 0; i < s->failures && delay_ms < SYNC_RETRY_MAX_MS; i++) {
        delay_ms *= 2;
    }
    if (s->failures == 0) {
        log_line(LOG_SYNC_FAILED, "error=%s", err_name(e));
    }
    s->failures++;
    metric_add(METRIC_SYNC_FAILED, 1);
    delay_ms = delay_ms > SYNC_RETRY_MAX_MS ? SYNC_RETRY_MAX_MS : delay_ms;
    env_timer_start(s->options.env, &s->retry, sync_jitter(s, delay_ms));
}

static void job_succeeded(struct sync *s, const struct sync_step *step)
{
    struct local *l = s->options.local;
    struct bytes id = buf_view(&step->id);
    metric_add(METRIC_SYNC_WRITES, 1);
    s->failures = 0;
    if (step->node) {
        l->node_in_sync = true;
        return;
    }
    local_synced(l, step->check, id, step->generation);
    if (step->checks) {
        local_synced_checks(l, id);
    }
}

static void sync_on_written(struct sync_write *w, enum err status)
{
    struct sync_job *job = LIST_OWNER(w, struct sync_job, write);
    struct sync *s = job->sync;
    s->in_flight--;
    if (!s->closed) {
        if (status == OK) {
            job_succeeded(s, &job->step);
        } else {
            local_untell_item(s->options.local, job->step.check, buf_view(&job->step.id));
            if (job->step.checks) {
                local_untell(s->options.local, buf_view(&job->step.id));
            }
            sync_failed(s, status);
        }
    }
    bool closed = s->closed;
    job_free(job);
    if (!closed) {
        sync_work(s);
    }
}

/* False: there is nothing more to send. */
static bool sync_send_one(struct sync *s)
{
    struct sync_job *job = mem_zalloc(1, sizeof *job);
    list_init(&job->link);
    enum err e = ERR_INVALID;
    /* What cannot be said is left out: the next comparison finds it again. */
    while (e != OK && e != ERR_NOT_FOUND) {
        e = sync_next(s->options.local, &s->options.node, &s->cursor, &job->step);
        if (e != OK && e != ERR_NOT_FOUND) {
            log_line(LOG_SYNC_FAILED, "error=%s", err_name(e));
            sync_step_close(&job->step);
        }
    }
    if (e == ERR_NOT_FOUND) {
        job_free(job);
        return false;
    }
    job->sync = s;
    job->write = (struct sync_write){
        .done = sync_on_written, .command = &job->step.command, .token = job->step.token};
    job->step.command.time_ms = env_wall_ms(s->options.env);
    list_append(&s->jobs, &job->link);
    s->in_flight++;
    s->options.server.write(s->options.server.ctx, &job->write);
    return true;
}

/* --- comparing ----------------------------------------------------------------------------------
 */

static void sync_rest(struct sync *s)
{
    size_t nodes = s->options.nodes == NULL ? 1 : s->options.nodes(s->options.ctx);
    env_timer_start(s->options.env, &s->full, sync_jitter(s, sync_interval_ms(nodes)));
}

static void sync_on_rows(struct sync_ask *a, enum err status, const struct sync_rows *rows)
{
    struct sync *s = LIST_OWNER(a, struct sync, ask);
    s->asking = false;
    if (s->closed) {
        return;
    }
    enum err e = status;
    if (e == OK) {
        e = sync_compare(s->options.local, &s->options.node, rows);
    }
    if (e == OK) {
        s->cursor = (struct sync_cursor){0};
        sync_rest(s);
    } else {
        s->compare = true;
        sync_failed(s, e);
    }
    sync_work(s);
}

static void sync_work(struct sync *s)
{
    if (s->asking || s->closed) {
        return;
    }
    if (s->compare && s->in_flight == 0 && !timer_armed(&s->retry)) {
        s->compare = false;
        s->asking = true;
        s->ask = (struct sync_ask){.done = sync_on_rows, .node = s->options.node.name};
        s->options.server.ask(s->options.server.ctx, &s->ask);
        return;
    }
    while (!s->compare && !timer_armed(&s->retry) && s->in_flight < SYNC_IN_FLIGHT &&
           sync_send_one(s)) {
        /* The next. */
    }
    if (s->options.settled != NULL && sync_is_settled(s)) {
        s->options.settled(s->options.agent);
    }
}

/* --- when ---------------------------------------------------------------------------------------
 */

static void sync_on_soon(struct timer *t)
{
    struct sync *s = LIST_OWNER(t, struct sync, soon);
    s->cursor = (struct sync_cursor){0};
    sync_work(s);
}

static void sync_on_full(struct timer *t)
{
    struct sync *s = LIST_OWNER(t, struct sync, full);
    s->compare = true;
    sync_work(s);
}

static void sync_on_retry(struct timer *t)
{
    struct sync *s = LIST_OWNER(t, struct sync, retry);
    s->cursor = (struct sync_cursor){0};
    sync_work(s);
}

/* Arms the timer for the first output that waits; those whose time has come are out of sync. */
static void sync_on_outputs(struct timer *t)
{
    struct sync *s = LIST_OWNER(t, struct sync, outputs);
    struct local *l = s->options.local;
    uint64_t now = env_now_ms(s->options.env);
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < l->checks.count; i++) {
        struct local_check *c = local_check_at(l, i);
        if (c->deferred_ms == 0) {
            continue;
        }
        if (c->item.deleted || c->deferred_ms <= now) {
            c->deferred_ms = 0;
            if (!c->item.deleted) {
                local_touch(l, &c->item);
            }
        } else if (c->deferred_ms < next) {
            next = c->deferred_ms;
        }
    }
    if (next != UINT64_MAX) {
        env_timer_start(s->options.env, &s->outputs, next - now);
    }
    sync_changed(s);
}

void sync_defer(struct sync *s, struct local_check *c)
{
    uint64_t interval = s->options.check_update_interval_ms;
    if (c->deferred_ms > 0) {
        return;
    }
    if (interval == 0) {
        local_touch(s->options.local, &c->item);
        sync_changed(s);
        return;
    }
    /* Spread over the interval around its middle, so that a fleet does not speak all at once. */
    uint64_t delay_ms = interval / 2 + env_random_below(s->options.env, interval);
    c->deferred_ms = env_now_ms(s->options.env) + delay_ms;
    if (!timer_armed(&s->outputs) || delay_ms < interval) {
        sync_on_outputs(&s->outputs);
    }
}

void sync_changed(struct sync *s)
{
    if (!s->closed && !timer_armed(&s->soon)) {
        env_timer_start(s->options.env, &s->soon, 0);
    }
}

bool sync_is_settled(const struct sync *s)
{
    return s->closed || (s->in_flight == 0 && !s->asking && !timer_armed(&s->soon) &&
                         (!s->compare || timer_armed(&s->retry)));
}

void sync_compare_soon(struct sync *s)
{
    if (!s->closed) {
        env_timer_start(s->options.env, &s->full, sync_jitter(s, SYNC_SOON_MS));
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct sync *sync_open(const struct sync_options *options)
{
    struct sync *s = mem_zalloc(1, sizeof *s);
    s->options = *options;
    list_init(&s->jobs);
    env_timer_init(options->env, &s->soon, sync_on_soon);
    env_timer_init(options->env, &s->full, sync_on_full);
    env_timer_init(options->env, &s->retry, sync_on_retry);
    env_timer_init(options->env, &s->outputs, sync_on_outputs);
    env_timer_start(options->env, &s->full, 0);
    return s;
}

void sync_close(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    s->closed = true;
    timer_stop(&s->soon);
    timer_stop(&s->full);
    timer_stop(&s->retry);
    timer_stop(&s->outputs);
}

void sync_free(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->closed);
    LIST_FOREACH (at, &s->jobs) {
        job_free(LIST_OWNER(at, struct sync_job, link));
    }
    free(s);
}
