/* The stream's own side of blocking queries (the public side is in stream.h).
 *
 * Threads  the stream's.
 */
#ifndef STREAM_WATCH_H
#define STREAM_WATCH_H

#include "stream/stream.h"

/* Wakes exactly the queries whose answer the batch changed. */
void watch_publish(struct stream *s, struct change_batch *b);
/* Answers everybody with what is known now. */
void watch_shutdown(struct stream *s);

#endif
