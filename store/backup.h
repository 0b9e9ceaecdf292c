/* A backup: the live rows of a state in pieces, without history and deletions.
 *
 * Format   a piece is rows, each key length (4), value length (4), key, value, little-endian; a key
 *          is 'K' and the user's key, or 'F' and what the fleet's tables have (schema_fleet.h); a
 *          value is the row as the state has it. Links and the indexes of names are not in it:
 *          restoring makes them anew. One piece is the `rows` of one COMMAND_RESTORE_CHUNK
 *          (store/command.h). An older backup has no rows of the fleet.
 * Order    the same view gives the same pieces, each time it is opened.
 * Limits   a piece has at most RESTORE_CHUNK_MAX bytes.
 * Errors   those of reading a view; ERR_CORRUPT for bytes from outside that are no piece.
 * Threads  any, one at a time.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/schema_fleet.h"
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

/* Whether rows of this table are backed up; the others follow from them. */
bool backup_has(enum fleet_table table);
/* A row of one kind or the other. */
struct backup_row {
    struct kv_row kv;       /* its key is not empty, or: */
    enum fleet_table table; /* one of those that are backed up */
    struct bytes rest;      /* of the key, behind the table */
    struct bytes value;     /* fits the table (schema_fleet_check()) */
};
/* Takes the first row off a piece; borrowed from it. */
enum err backup_row_next(struct bytes *piece, struct backup_row *ret_row) ERR_MUST_USE;

#endif
