#include "core/agent/check/run.h"

#include "core/agent/check/threshold.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

struct check_run {
    const struct check_host *host;
    const struct check_definition *definition;
    void *owner;
    const struct probe_kind *kind; /* NULL: it does not probe */
    struct probe *probe;           /* under way */
    struct probe ask;              /* what each begins with; `done` finds the run by it */
    struct threshold threshold;
    struct timer timer; /* the next probe; the end of a TTL */
    struct timer limit; /* of the probe under way */
};

uint64_t check_timeout_ms(const struct check_definition *d)
{
    return d->timeout_ms > 0 ? d->timeout_ms : CHECK_TIMEOUT_MS;
}

uint64_t check_interval_ms(const struct check_definition *d)
{
    return d->interval_ms < CHECK_INTERVAL_MIN_MS ? CHECK_INTERVAL_MIN_MS : d->interval_ms;
}

static const struct probe_kind *run_kind(enum check_kind kind)
{
    switch (kind) {
    case CHECK_HTTP:
    case CHECK_TCP:
    case CHECK_GRPC:
    case CHECK_H2PING:
        return &PROBE_HTTP;
    case CHECK_SCRIPT:
        return &PROBE_SCRIPT;
    case CHECK_UDP:
        return &PROBE_UDP;
    case CHECK_NONE:
    case CHECK_TTL:
    case CHECK_ALIAS:
    case CHECK_DOCKER:
    case CHECK_OS_SERVICE:
    case CHECK_MAINTENANCE:
        break;
    }
    return NULL;
}

static size_t run_output_max(const struct check_run *run)
{
    uint64_t max = run->definition->output_max_size;
    max = max == 0 ? run->host->output_max_size : max;
    return max > ROW_OUTPUT_MAX ? ROW_OUTPUT_MAX : (size_t)max;
}

/* --- probing ------------------------------------------------------------------------------------
 */

static void run_found(struct check_run *run, enum check_status result, struct bytes output)
{
    enum check_status status;
    env_timer_start(run->host->env, &run->timer, check_interval_ms(run->definition));
    if (threshold_take(&run->threshold, result, &status)) {
        run->host->found(run->host->ctx, run, status, output);
    }
}

static void run_on_done(struct probe *p, enum check_status status, struct bytes output)
{
    struct check_run *run = p->run;
    timer_stop(&run->limit);
    run->probe = NULL;
    run_found(run, status, output);
}

static void run_on_limit(struct timer *t)
{
    struct check_run *run = LIST_OWNER(t, struct check_run, limit);
    struct probe *p = run->probe;
    run->probe = NULL;
    run->kind->cancel(p);
    metric_add(METRIC_CHECK_TIMEOUTS, 1);
    run_found(run, CHECK_CRITICAL, BYTES("Timed out: the check did not end within its timeout"));
}

static void run_probe(struct check_run *run)
{
    struct reason why = {{0}};
    metric_add(METRIC_CHECK_RUNS, 1);
    env_timer_start(run->host->env, &run->limit, check_timeout_ms(run->definition));
    run->probe = run->kind->start(&run->ask, &why);
    if (run->probe == NULL) {
        timer_stop(&run->limit);
        run_found(run, CHECK_CRITICAL, bytes_of(why.text));
    }
}

static void run_on_timer(struct timer *t)
{
    struct check_run *run = LIST_OWNER(t, struct check_run, timer);
    if (run->definition->kind == CHECK_TTL) {
        run->host->found(run->host->ctx, run, CHECK_CRITICAL, BYTES("TTL expired"));
    } else {
        run_probe(run);
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct check_run *check_run_open(const struct check_host *host,
                                 const struct check_definition *definition,
                                 void *owner)
{
    struct check_run *run = mem_zalloc(1, sizeof *run);
    run->host = host;
    run->definition = definition;
    run->owner = owner;
    run->kind = run_kind(definition->kind);
    run->ask = (struct probe){
        .host = host,
        .definition = definition,
        .output_max = run_output_max(run),
        .done = run_on_done,
        .run = run,
    };
    threshold_init(&run->threshold, definition);
    env_timer_init(host->env, &run->timer, run_on_timer);
    env_timer_init(host->env, &run->limit, run_on_limit);
    if (definition->kind == CHECK_TTL) {
        env_timer_start(host->env, &run->timer, definition->ttl_ms);
    } else if (run->kind != NULL) {
        uint64_t spread = check_interval_ms(definition);
        spread = spread > CHECK_START_SPREAD_MS ? CHECK_START_SPREAD_MS : spread;
        env_timer_start(host->env, &run->timer, env_random_below(host->env, spread));
    }
    return run;
}

void check_run_close(struct check_run *run)
{
    if (run == NULL) {
        return;
    }
    timer_stop(&run->timer);
    timer_stop(&run->limit);
    if (run->probe != NULL) {
        run->kind->cancel(run->probe);
    }
    free(run);
}

void *check_run_owner(const struct check_run *run)
{
    return run->owner;
}

void check_run_renew(struct check_run *run)
{
    CHECK(run->definition->kind == CHECK_TTL);
    env_timer_start(run->host->env, &run->timer, run->definition->ttl_ms);
}
