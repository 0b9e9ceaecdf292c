/* The closed, versioned list of commands: what may be written. Included with X defined:
 * name, number on disk and on the wire (never reused), what it does.
 * A new command touches four places: this table, struct command with its encoder (command.h),
 * apply.c's switch, and the handler that proposes it. */
X(COMMAND_KV_SET, 1, "write one key")
X(COMMAND_KV_DELETE, 2, "delete one key")
X(COMMAND_KV_DELETE_PREFIX, 3, "delete every key that begins with a prefix")
X(COMMAND_TOMBSTONE_REAP, 4, "forget deletions up to an index")
X(COMMAND_AUTOPILOT_SET, 5, "set what autopilot may do")
X(COMMAND_RESTORE_BEGIN, 16, "begin to restore a backup")
X(COMMAND_RESTORE_CHUNK, 17, "put rows of a backup aside")
X(COMMAND_RESTORE_COMMIT, 18, "put a backup in the place of the state")
X(COMMAND_RESTORE_ABORT, 19, "give a backup up")
