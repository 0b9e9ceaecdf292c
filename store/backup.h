/* A backup: the live rows of a state in pieces, without history and deletions.
 *
 * Format   a piece is rows, each key length (4), value length (4), key, value, little-endian; a key
 *          is 'K' and the user's key, a value the row as the state has it (store/schema.h). One
 *          piece is the `rows` of one COMMAND_RESTORE_CHUNK (store/command.h).
 * Order    the same view gives the same pieces, each time it is opened.
 * Limits   a piece has at most RESTORE_CHUNK_MAX bytes.
 * Errors   those of reading a view; ERR_CORRUPT for bytes from outside that are no piece.
 * Threads  any, one at a time.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/view.h"

struct backup;

/* Holds a reference of the view until it is closed. */
struct backup *backup_open(struct view *v);
/* Replaces what `out` holds by the next piece; ERR_NOT_FOUND behind the last. */
enum err backup_next(struct backup *b, struct buf *out, struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void backup_close(struct backup *b);

/* Whether a piece from outside can be a chunk, and how many rows it has. OK, ERR_CORRUPT. */
enum err backup_check(struct bytes piece, uint64_t *ret_rows) ERR_MUST_USE;
/* Takes the first row off a piece; borrowed from it. */
enum err backup_row_next(struct bytes *piece, struct kv_row *ret_row) ERR_MUST_USE;

#endif
