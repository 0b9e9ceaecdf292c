#include "core/agent/check/threshold.h"

static uint64_t at_least_one(uint64_t n)
{
    return n > 0 ? n : 1;
}

void threshold_init(struct threshold *t, const struct check_definition *d)
{
    uint64_t critical = at_least_one(d->failures_before_critical);
    *t = (struct threshold){
        .success_before_passing = at_least_one(d->success_before_passing),
        /* What is not said is not before critical, and cannot be behind it. */
        .failures_before_warning =
            d->failures_before_warning > 0 && d->failures_before_warning < critical
                ? d->failures_before_warning
                : critical,
        .failures_before_critical = critical,
    };
}

bool threshold_take(struct threshold *t, enum check_status result, enum check_status *ret_status)
{
    if (result != CHECK_CRITICAL) {
        t->failures = 0;
        t->successes++;
        *ret_status = result;
        return t->successes >= t->success_before_passing;
    }
    t->successes = 0;
    t->failures++;
    if (t->failures >= t->failures_before_critical) {
        *ret_status = CHECK_CRITICAL;
        return true;
    }
    *ret_status = CHECK_WARNING;
    return t->failures >= t->failures_before_warning;
}
