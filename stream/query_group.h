/* Groups of identical waiting queries, and the index that finds those a change concerns: by key,
 * and by each prefix length that is in use, so that a change nobody waits for costs one pass over
 * its key.
 *
 * Owner    a group is counted by its waiters and by a wake pass that holds it; the last gone, it
 *          leaves the table.
 * Threads  none.
 */
#ifndef STREAM_QUERY_GROUP_H
#define STREAM_QUERY_GROUP_H

#include "core/base/limit.h"
#include "stream/stream.h"

struct query_group {
    /* read-only */
    enum watch_kind kind;
    struct bytes target; /* both point behind the struct */
    struct bytes variant;
    enum err (*evaluate)(struct view *, struct bytes, struct bytes, struct watch_answer *);
    struct list waiters; /* struct watch.link */
    size_t waiting;
    struct stream *stream;
    /* The last evaluation, kept while there may be somebody to share it. */
    bool evaluated;
    uint64_t evaluated_at;
    struct watch_answer answer;
    struct list woken; /* in the list of the pass that wakes it */
    /* private */
    unsigned holds;
    uint64_t hash;
    struct query_group *next; /* in the bucket */
};

struct query_groups {
    /* private */
    struct query_group **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t prefix_groups;
    uint64_t seed;
    uint32_t prefix_lengths[KV_KEY_MAX + 1]; /* groups that wait on a prefix of this length */
};

void query_groups_init(struct query_groups *g, uint64_t seed);
void query_groups_close(struct query_groups *g);

/* The group of these queries, made if there is none; one hold for the caller. */
struct query_group *
query_group_get(struct query_groups *g, struct stream *s, const struct watch_query *q);
void query_group_hold(struct query_group *group);
void query_group_release(struct query_groups *g, struct query_group *group);
/* Forgets the kept answer. */
void query_group_forget(struct query_group *group);

/* Calls `found` for each group whose answer this change may alter, at least once. */
typedef void (*query_group_fn)(struct query_group *group, void *ctx);
void query_groups_match(struct query_groups *g,
                        const struct change *c,
                        query_group_fn found,
                        void *ctx);
/* The same, for the indexes that moved: texts (store/row.h). */
void query_groups_moved(struct query_groups *g,
                        struct bytes names,
                        query_group_fn found,
                        void *ctx);
void query_groups_each(struct query_groups *g, query_group_fn found, void *ctx);

#endif
