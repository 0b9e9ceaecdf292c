/* Did one subscription hear what it had to: ordered, unique, atomic, complete, resumable, never
 * ahead (contracts/streaming.md 2.3)?
 *
 * The truth is the log's changes, one list per epoch. What the subscriber noted is a list of
 * records, in the order in which they came, over all its connections:
 *
 *     FROM      the server agreed to tell everything after `after` in `epoch` (as `subscribed`
 *               says). While the subscriber has a cursor, that must be it: it resumes
 *     SNAPSHOT  it asked for the state instead and got all of it, `events` as sets, at `through`
 *     BATCH     `events`, complete over (after, through]; with `part` the last ones belong to an
 *               index past `through` whose rest is still to come
 *     MARK      complete up to `through`, without events
 *     COMPACTED its cursor was refused: `oldest` is the smallest one that can be resumed from; or
 *               the epoch is `epoch` now. It has no cursor until FROM or SNAPSHOT
 *
 * A connection that breaks between the parts of an index forgets these: FROM drops them.
 *
 * Owner    everything is borrowed for the call.
 * Threads  none.
 */
#ifndef TESTS_SIM_CHECK_STREAM_H
#define TESTS_SIM_CHECK_STREAM_H

#include "core/base/buf.h"

enum stream_op {
    STREAM_SET = 1,
    STREAM_DELETE = 2,
    STREAM_DELETE_PREFIX = 3,
};

struct stream_event {
    uint64_t index;
    uint32_t n;
    enum stream_op op;
    struct bytes key;
    uint64_t digest; /* of the value, whatever the caller makes it; 0 unless a set */
};

struct stream_truth {
    uint64_t epoch;
    uint64_t head; /* the last index of it all, whether or not it changed anything */
    const struct stream_event *events; /* by (index, n) */
    size_t count;
};

enum stream_record_kind {
    STREAM_FROM,
    STREAM_SNAPSHOT,
    STREAM_BATCH,
    STREAM_MARK,
    STREAM_COMPACTED,
};

struct stream_record {
    enum stream_record_kind kind;
    uint64_t epoch;
    uint64_t after;     /* FROM, BATCH */
    uint64_t through;   /* SNAPSHOT, BATCH, MARK */
    uint64_t oldest;    /* COMPACTED; 0: not told (another epoch) */
    uint64_t committed; /* of the whole cluster when it came; 0: not known */
    bool part;
    /* Copies of a wire that does not tell `n` have 0 in all: then their order within an index is
     * held against the truth alone. */
    const struct stream_event *events;
    size_t count;
};

enum stream_match {
    STREAM_MUST_NOT,
    STREAM_MAY, /* a deletion by prefix that reaches into the range but found nothing there */
    STREAM_MUST,
};

typedef enum stream_match (*stream_match_fn)(void *ctx, const struct stream_event *e);

struct stream_log {
    const char *name;
    stream_match_fn match; /* NULL: everything */
    void *ctx;
    const struct stream_record *records;
    size_t count;
    uint64_t reach; /* the cursor that it must have in the end at least; 0: it may have none */
};

/* False and `why` for the first record that breaks a rule. */
bool check_stream(const struct stream_truth *truths,
                  size_t truth_count,
                  const struct stream_log *log,
                  struct reason *why);

#endif
