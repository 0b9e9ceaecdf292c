/* Cutting the next frame off the stream: the changes behind a place, chosen by a selection, from
 * the ring if it reaches back so far, else from history.
 *
 * Promise  the frame covers (told, through] exactly; an index is never divided, unless its events
 *          alone pass `bytes_max`: then the frames but the last say `part` and leave `through`
 *          where it was.
 * Limits   a frame ends at half of `bytes_max`, `events_max` events or STREAM_TURN_CHANGES changes
 *          read, at the next end of an index; one event is never divided.
 * Errors   ERR_COMPACTED: changes behind the place are gone; ERR_IO, ERR_CORRUPT.
 * Threads  the stream's.
 */
#ifndef STREAM_CUT_H
#define STREAM_CUT_H

#include "stream/history.h"
#include "stream/stream_priv.h"

/* `h` is the subscription's place in history: opened when needed, and closed when the ring takes
 * over or the place is not where the cut ends. The frame has one reference, the caller's. */
enum err cut_make(struct stream *s,
                  struct selection *sel,
                  struct history *h,
                  const struct cut_ask *ask,
                  struct cut *ret_cut) ERR_MUST_USE;

#endif
