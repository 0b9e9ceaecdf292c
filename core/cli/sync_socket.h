/* HAProxy's runtime API on its unix socket: commands in, answers out.
 *
 * Limits   an answer is at most SYNC_ANSWER_MAX bytes and comes within SYNC_ANSWER_S seconds.
 * Errors   ERR_NOT_FOUND: nobody listens there (now); ERR_INVALID: this socket can never be used
 *          (no permission, no socket, a path that is too long); ERR_IO; a sentence in `why`.
 * Threads  the main thread; blocks.
 */
#ifndef CORE_CLI_SYNC_SOCKET_H
#define CORE_CLI_SYNC_SOCKET_H

#include "core/base/buf.h"

#define SYNC_ANSWER_MAX ((size_t)64 * 1024 * 1024)
#define SYNC_ANSWER_S   5
/* HAProxy reads one line of at most tune.bufsize, 16 KiB unless it is set. */
#define SYNC_LINE_MAX   8192U

/* `commands`: one a line; in several calls when they are many. Appends the answers. */
enum err sync_socket_call(const char *path,
                          struct bytes commands,
                          struct buf *answer,
                          struct reason *why) ERR_MUST_USE;

/* Which process answers: another number says that it is another HAProxy, with another state. */
enum err sync_socket_pid(const char *path, uint64_t *ret_pid, struct reason *why) ERR_MUST_USE;

#endif
