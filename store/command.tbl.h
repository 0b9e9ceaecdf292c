/* The closed, versioned list of commands: what may be written. Included with X defined:
 * name, number on disk and on the wire (never reused), what it does.
 * A new command touches four places: this table, struct command with its encoder (command.h),
 * apply.c's switch, and the handler that proposes it. */
X(COMMAND_KV_SET, 1, "write one key")
X(COMMAND_KV_DELETE, 2, "delete one key")
X(COMMAND_KV_DELETE_PREFIX, 3, "delete every key that begins with a prefix")
X(COMMAND_TOMBSTONE_REAP, 4, "forget deletions up to an index")
X(COMMAND_AUTOPILOT_SET, 5, "set what autopilot may do")
X(COMMAND_KV_LOCK, 6, "take or give back the lock of one key")
X(COMMAND_KV_SET_TTL, 7, "write one key that expires")
X(COMMAND_REGISTER, 8, "register a node, a service, checks")
X(COMMAND_DEREGISTER, 9, "deregister a node, a service or a check")
X(COMMAND_SESSION_CREATE, 10, "create a session")
X(COMMAND_SESSION_DESTROY, 11, "destroy a session")
X(COMMAND_SESSION_RENEW, 12, "renew a session")
X(COMMAND_EXPIRE, 13, "end what has not been renewed: a session, a key, a lock delay")
X(COMMAND_TXN, 14, "several operations at once, all or none")
X(COMMAND_EVENT, 15, "fire a user event")
X(COMMAND_RESTORE_BEGIN, 16, "begin to restore a backup")
X(COMMAND_RESTORE_CHUNK, 17, "put rows of a backup aside")
X(COMMAND_RESTORE_COMMIT, 18, "put a backup in the place of the state")
X(COMMAND_RESTORE_ABORT, 19, "give a backup up")
X(COMMAND_COORDINATES, 20, "set network coordinates of nodes")
