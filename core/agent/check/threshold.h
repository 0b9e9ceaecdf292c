/* How many results in a row it takes until a check's status follows them
 * (success_before_passing, failures_before_warning, failures_before_critical). Pure.
 *
 * Threads  none.
 */
#ifndef CORE_AGENT_CHECK_THRESHOLD_H
#define CORE_AGENT_CHECK_THRESHOLD_H

#include "core/definition.h"

struct threshold {
    /* private */
    uint64_t success_before_passing;
    uint64_t failures_before_warning;
    uint64_t failures_before_critical;
    uint64_t successes; /* in a row */
    uint64_t failures;  /* in a row */
};

void threshold_init(struct threshold *t, const struct check_definition *d);
/* Takes one result. False: the status stays what it is. */
bool threshold_take(struct threshold *t, enum check_status result, enum check_status *ret_status);

#endif
