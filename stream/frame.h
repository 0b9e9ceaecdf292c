/* From a change to the bytes on the wire: the JSON element of a change, and the frames of the
 * three transports around elements and messages.
 *
 * An element: {"index":7,"op":"set","key":"a","value":"MQ==","flags":0,"create_index":7}, and
 * "lock_index", "session" when set. A key that is not UTF-8 is shown with U+FFFD in "key" and
 * exactly in "key_base64". An empty value is null. With `raw`, a value that is valid JSON stands
 * as it is, and any other as "value_base64".
 *
 * Of the fleet (rows as row_json.h has them):
 *   service  {"index":7,"op":"added","service":"api","node":"n1","id":"api-1","status":"passing",
 *            "before":"critical","time_ms":1700000000000,"row":{"Node":{},"Service":{},
 *            "Checks":[]}}: "status" while the instance is there, "before" if it was there
 *            before, when it was proposed (Unix time), "row" unless `removed`
 *   others   {"index":7,"op":"set","key":"n1","row":{}}, and of a deletion no "row" but a
 *            session's. The key is a node's name, node/check, a session's id, an event's name
 * A row of a snapshot is the same without "index" and "op". The encoded form that the ring keeps
 * begins behind "op", which differs between selections: frame_event_head() is put in front.
 *
 * Owner    a frame is a `struct shared` with OUTLET_HEADROOM; one reference, the caller's.
 * Threads  none.
 */
#ifndef STREAM_FRAME_H
#define STREAM_FRAME_H

#include "store/view.h"
#include "stream/event.h"
#include "stream/protocol.h"
#include "stream/stream.h"

struct frame_style {
    enum outlet_format format;
    bool lines;   /* NDJSON: an event per line, instead of a batch per line */
    bool raw;     /* NDJSON: values as JSON where they are */
    bool tagged;  /* SSE, NDJSON: several subscriptions, so messages carry `id` */
    bool newline; /* NDJSON: a heartbeat is an empty line */
};

/* Appends one element. `out` must be able to hold it: its limit is not the frame's. */
void frame_change(struct buf *out, const struct change *c, bool raw);
/* The front of an event of the fleet, up to its op. */
void frame_event_head(struct buf *out, const struct stream_event *e);
/* The rest of it. Returns how much of it (and a `}`) is enough for `removed`. */
size_t frame_event_body(struct buf *out, const struct stream_event *e, struct bytes datacenter);
/* Head and body. */
void frame_event(struct buf *out, const struct stream_event *e, struct bytes datacenter);
/* A row of the fleet in a snapshot. */
void frame_fleet_row(struct buf *out, const struct stream_event *e, struct bytes datacenter);
/* A row of a snapshot of topic `kv`: key, value, flags, create_index, modify_index (lock_index,
 * session). */
void frame_row(struct buf *out, const struct kv_row *row, bool raw);
/* What stands between two elements. */
char frame_separator(const struct frame_style *style);

struct frame_events {
    uint64_t id;
    uint64_t after;
    uint64_t through;
    bool part;
    struct bytes elements; /* joined by frame_separator() */
    const char *epoch;
    uint64_t cursor; /* SSE's `id` */
};

struct shared *frame_events(const struct frame_style *style, const struct frame_events *e);

/* `cursor`: the index for SSE's `id`, 0 for none. NULL if this transport has no such message. */
struct shared *frame_message(const struct frame_style *style,
                             const struct server_message *m,
                             const char *epoch,
                             uint64_t cursor);

#endif
