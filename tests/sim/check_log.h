/* Did all servers apply one and the same log, and is everything in it that was acknowledged?
 *
 * One `struct log_run` is what one incarnation of a server applied, from its start (empty, at what
 * its state held, or at a snapshot) to its end; a restart, and a snapshot that replaces the state,
 * begin a new run. The digest is what the caller makes of an entry or of the state behind it.
 *
 * Owner    everything is borrowed for the call.
 * Threads  none.
 */
#ifndef TESTS_SIM_CHECK_LOG_H
#define TESTS_SIM_CHECK_LOG_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_applied {
    uint64_t index;
    uint64_t term;
    uint64_t digest;
};

struct log_run {
    const char *name; /* for the message: `server 2, start 4` */
    uint64_t start;   /* index of the state that it began with; the first it applied is the next */
    const struct log_applied *applied;
    size_t count;
    /* Alive in the end and caught up: whatever was acknowledged must be here or below `start`. */
    bool complete;
};

struct log_ack {
    uint64_t index;
    uint64_t digest;
};

/* True if
 *   - each run is without a gap and its terms never fall;
 *   - at each index all runs have the same term and digest;
 *   - each acknowledged index was applied by a run, with that digest, and reaches no further than
 *     every complete run.
 * Otherwise `why` names the first index that is wrong, and the runs. */
bool check_log(const struct log_run *runs,
               size_t run_count,
               const struct log_ack *acks,
               size_t ack_count,
               struct reason *why);

#endif
