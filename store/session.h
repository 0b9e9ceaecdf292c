/* Sessions (contracts/consul.md, section 6): who holds keys, and what becomes of them.
 *
 * A session belongs to a node and may hang on checks of it; it ends when it is destroyed, when its
 * TTL passes (expire.h), when one of its checks turns critical or goes, and when its node goes. Its
 * keys are then released or deleted, as it says, and stay closed for its lock delay, so that a
 * holder which does not know yet has time to notice. A plain release has no delay.
 *
 * Errors   a failed read of the state; what a command may not do is `a->status` and `a->detail`.
 * Threads  the hub's.
 */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "store/apply.h"
#include "store/command.h"
#include "store/row.h"

/* The detail is its id; or ERR_CONFLICT and a sentence: its node or a check is missing, a check is
 * critical. */
enum err session_create(struct apply *a, const struct command_session *cmd) ERR_MUST_USE;
/* One that is not there is destroyed well. */
enum err session_destroy(struct apply *a, const struct command_session *cmd) ERR_MUST_USE;
/* Its TTL begins anew; the detail is its encoded row. ERR_CONFLICT: there is none. */
enum err session_renew(struct apply *a, const struct command_session *cmd) ERR_MUST_USE;

/* Ends it; nothing if it is not there. */
enum err session_end(struct apply *a, struct bytes id) ERR_MUST_USE;
/* What the catalog tells: each ends the sessions that this concerns. */
enum err
session_on_check_critical(struct apply *a, struct bytes node, struct bytes check_id) ERR_MUST_USE;
enum err
session_on_check_gone(struct apply *a, struct bytes node, struct bytes check_id) ERR_MUST_USE;
enum err session_on_node_gone(struct apply *a, struct bytes node) ERR_MUST_USE;

/* Whether there is such a session; its id as it is written. Borrowed until the next read.
 * ERR_NOT_FOUND. */
enum err session_read(struct apply *a, struct bytes id, struct session_row *ret_row) ERR_MUST_USE;

#endif
