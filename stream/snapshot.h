/* The present state as pages of one view: what `snapshot:true` begins with.
 *
 * Owner    holds a reference of the view until snapshot_close().
 * Rows     of topic `service`: the instances in the list of the selection. A filter is asked as if
 *          each had just come: op `set` or `added`, with no status before.
 * Errors   ERR_IO, ERR_CORRUPT.
 * Threads  none.
 */
#ifndef STREAM_SNAPSHOT_H
#define STREAM_SNAPSHOT_H

#include "store/fleet.h"
#include "stream/selection.h"

struct snapshot {
    /* read-only */
    uint64_t index; /* of the view */
    bool done;      /* the last row was read */
    /* private */
    const char *datacenter;
    struct view *view;        /* NULL: closed */
    struct kv_scan *scan;     /* topic `kv`, unless one key is asked for */
    struct fleet_scan *fleet; /* the other topics */
};

/* `datacenter` is borrowed. */
void snapshot_open(struct snapshot *snap,
                   struct view *v,
                   const struct selection *sel,
                   const char *datacenter);
bool snapshot_is_open(const struct snapshot *snap);
/* Appends the next rows, joined by commas: about `bytes_max` bytes, at most `rows_max` rows, and no
 * more than STREAM_TURN_CHANGES looked at. */
enum err snapshot_page(struct snapshot *snap,
                       const struct selection *sel,
                       size_t bytes_max,
                       size_t rows_max,
                       struct buf *out,
                       size_t *ret_rows) ERR_MUST_USE;
/* Closing twice is harmless. */
void snapshot_close(struct snapshot *snap);

#endif
