/* One run: a cluster, its clients and its faults, from one seed to one verdict.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_SCHEDULE_H
#define TESTS_SIM_SCHEDULE_H

#include "tests/sim/faults.h"

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    uint64_t seed;
    unsigned servers;   /* 0: as the seed says */
    const char *faults; /* plan_draw(); NULL: all */
    enum mood mood;
    bool verbose;
};

struct verdict {
    uint64_t seed;
    bool failed;
    char violation[1024];
    uint64_t trace;
    uint64_t steps;
    uint64_t operations; /* answered */
    uint64_t simulated_us;
    uint64_t entries;
    uint64_t starts;
    uint64_t heard;   /* events of the change stream that followers received */
    uint64_t resumes; /* connections of theirs that went on where another had ended */
};

void schedule_run(const struct schedule *s, struct verdict *ret_verdict);

#endif
