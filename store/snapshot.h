/* A snapshot of the state as a run of pieces: what a server that is far behind fetches, what a
 * backup holds. Logical: rows, not files, so that it fits any directory, memory, and another
 * version.
 *
 * Format   a piece is rows in ascending order: key length (4), value length (4), key, value;
 *          little-endian. All rows of the state go; the one with the applied index comes last of
 *          all, out of order, so that what was cut short cannot pass for the whole.
 * Order    snapshot_read() with rising numbers; the last one read may be read again (after a cut).
 *          snapshot_write() in the same order.
 * Owner    a reader holds a view of its own until it is closed.
 * Errors   ERR_CORRUPT for a piece that is not well-formed or out of order, whatever comes behind
 *          it too: rows are checked, but a flipped bit in a value is for whoever carries the piece
 *          to find; ERR_VERSION for another version's; those of rocks.h.
 * Threads  one at a time; not bound to a thread (keeper in production).
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include "store/state.h"

struct snapshot_reader;

/* The state as it is now. On the hub. */
struct snapshot_reader *snapshot_reader_new(struct state *s);
void snapshot_reader_free(struct snapshot_reader *r);
uint64_t snapshot_reader_index(const struct snapshot_reader *r);
/* Appends piece `number` (from 1), about SNAPSHOT_CHUNK_BYTES or one row. `ret_last` says that none
 * follows. ERR_INVALID for a number that is neither the next nor the last one read; ERR_TOO_BIG if
 * `out` takes no more. */
enum err snapshot_read(struct snapshot_reader *r,
                       uint64_t number,
                       struct buf *out,
                       bool *ret_last,
                       struct reason *why) ERR_MUST_USE;

/* Appends a row to a piece. ERR_TOO_BIG. */
enum err snapshot_row_put(struct buf *out, struct bytes key, struct bytes value) ERR_MUST_USE;
/* Takes the first row off a piece; borrowed from it. ERR_CORRUPT if it is not well-formed. */
enum err
snapshot_row_next(struct bytes *piece, struct bytes *ret_key, struct bytes *ret_value) ERR_MUST_USE;

struct snapshot_writer;

/* Into a new state database at `path` (NULL: in memory), which must not exist or is emptied. */
enum err snapshot_writer_open(const char *path,
                              struct snapshot_writer **ret_writer,
                              struct reason *why) ERR_MUST_USE;
enum err
snapshot_write(struct snapshot_writer *w, struct bytes piece, struct reason *why) ERR_MUST_USE;
/* Behind the last piece: makes all of it durable and gives it out as a state, at `index` as the
 * sender said, else ERR_CORRUPT. Frees `w` in any case. */
enum err snapshot_writer_finish(struct snapshot_writer *w,
                                uint64_t index,
                                struct state **ret_state,
                                struct reason *why) ERR_MUST_USE;
/* Gives up; the directory's contents are worthless. NULL is allowed. */
void snapshot_writer_free(struct snapshot_writer *w);

#endif
