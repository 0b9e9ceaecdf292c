/* What the rooms of stream/ share: the struct behind `struct stream`.
 *
 * Order    stream_refresh() may deliver mail, and so publish: it is called at the doors (a query
 *          comes, a message comes), never inside a pass over waiters or subscriptions. A publish
 *          that comes in the middle of another one waits in `late`.
 * Threads  the stream's.
 */
#ifndef STREAM_STREAM_PRIV_H
#define STREAM_STREAM_PRIV_H

#include "stream/query_group.h"
#include "stream/ring.h"
#include "stream/selection.h"
#include "stream/stream.h"

struct stream {
    struct stream_host host;
    struct view *view;                /* the newest one known; NULL before the first */
    uint64_t index;                   /* of `view` */
    char epoch[STREAM_EPOCH_MAX + 1]; /* of `view` */
    struct ring ring;
    struct query_groups groups;
    struct selections selections;
    struct list rights;      /* struct rights.link */
    struct list subscribers; /* struct subscriber.link */
    size_t subscriber_count;
    struct list questions; /* of subscriptions to the host, not answered yet */
    uint64_t connections;  /* ever opened: their names */
    struct buf scratch;    /* elements of the frame at hand */
    struct change_batch **late;
    size_t late_count;
    size_t late_cap;
    unsigned inside; /* calls that are inside: a publish that comes meanwhile is put off */
    bool publishing;
    bool stopped;
};

/* Around every pass over waiters or subscriptions. The last to leave delivers what was put off. */
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);

/* The newest view, borrowed until the stream's next call. */
struct view *stream_refresh(struct stream *s);
uint64_t stream_heartbeat_ms(const struct stream *s);
uint64_t stream_now_ms(struct stream *s);
/* The smallest index that can be resumed from. */
uint64_t stream_oldest(const struct stream *s);

#endif
