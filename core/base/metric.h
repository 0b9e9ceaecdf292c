/* Metrics, defined once in metric.tbl.h: counters, gauges and samples that any thread may touch.
 *
 * Threads  any; each value is one or a few atomics. metrics_json() and metrics_prometheus() may
 *          see a sample's count and sum of neighbouring moments.
 */
#ifndef CORE_BASE_METRIC_H
#define CORE_BASE_METRIC_H

#include "core/base/buf.h"

enum metric {
#define X(name, kind, wire, unit, help) name,
#include "core/base/metric.tbl.h"
#undef X
    METRIC_COUNT,
};

/* Counters and gauges; a gauge may go down. */
void metric_add(enum metric m, int64_t delta);
/* Gauges. */
void metric_set(enum metric m, uint64_t value);
/* Samples. */
void metric_observe(enum metric m, double value);
uint64_t metric_value(enum metric m);

/* Reads the process's own gauges (memory, descriptors). */
void metrics_refresh(void);
/* The body of /v1/agent/metrics: Timestamp, Gauges, Points, Counters, Samples. */
enum err metrics_json(struct buf *out, uint64_t wall_ms) ERR_MUST_USE;
/* The Prometheus text format 0.0.4. */
enum err metrics_prometheus(struct buf *out) ERR_MUST_USE;

#endif
