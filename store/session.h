/* Sessions and what the catalog tells them.
 *
 * Errors   a failed read of the state.
 * Threads  the hub's.
 */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "store/apply.h"

/* Each ends the sessions that this concerns. */
enum err
session_on_check_critical(struct apply *a, struct bytes node, struct bytes check_id) ERR_MUST_USE;
enum err
session_on_check_gone(struct apply *a, struct bytes node, struct bytes check_id) ERR_MUST_USE;
enum err session_on_node_gone(struct apply *a, struct bytes node) ERR_MUST_USE;

#endif
