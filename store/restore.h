/* The commands that put a backup (store/backup.h) in the place of the state, on all servers alike.
 *
 * Order    COMMAND_RESTORE_BEGIN -> COMMAND_RESTORE_CHUNK 1, 2, ... -> COMMAND_RESTORE_COMMIT (or
 *          ABORT). Chunks fill a table that nobody reads; COMMIT makes it the one that is read, so
 *          that no step takes long. What is written meanwhile is gone with the old rows. A BEGIN
 *          ends what another one began.
 * Errors   of applying: a failed read or write of the state; what a command may not do is
 *          `a->status`: ERR_CONFLICT (another id, a chunk out of order or missing), ERR_INVALID (no
 *          rows of ours), and nothing changed.
 * Threads  the hub's.
 */
#ifndef STORE_RESTORE_H
#define STORE_RESTORE_H

#include "store/apply.h"
#include "store/command.h"

void restore_begin(struct apply *a, const struct command_restore *cmd);
/* Rows keep their indexes, but those that this log has not reached yet become the chunk's own. A
 * chunk that came before changes nothing and is OK. */
enum err restore_chunk(struct apply *a, const struct command_restore *cmd) ERR_MUST_USE;
/* All that is older becomes unknown: history and deletions are forgotten, the epoch changes. */
void restore_commit(struct apply *a, const struct command_restore *cmd);
void restore_abort(struct apply *a, const struct command_restore *cmd);

/* No change up to this command can be read any more. */
void restore_forget_history(struct apply *a);

/* All rows that begin so. */
void restore_drop(struct apply *a, const struct schema_key *from);

#endif
