/* The stream's own side of blocking queries (the public side is in stream.h).
 *
 * Threads  the stream's.
 */
#ifndef STREAM_WATCH_H
#define STREAM_WATCH_H

#include "stream/stream.h"

/* Wakes exactly the queries whose answer the batch changed. */
void watch_publish(struct stream *s, struct change_batch *b);
/* The state was replaced: evaluates every waiting query anew, and wakes those whose answer is newer
 * than their index, or everybody if `anew`. */
void watch_replace(struct stream *s, struct change_batch *b, bool anew);
/* Answers everybody with what is known now. */
void watch_shutdown(struct stream *s);

#endif
