/* What the commands about access control mean: COMMAND_ACL_SET, COMMAND_ACL_DELETE and
 * COMMAND_ACL_BOOTSTRAP. All of them move the index `acl`.
 *
 * Errors   a failed read of the state; what a command may not do is refused, with words.
 * Threads  the hub's.
 */
#ifndef STORE_ACL_APPLY_H
#define STORE_ACL_APPLY_H

#include "store/apply.h"
#include "store/command.h"

/* Refused: the id is there (of `create`) or is not there; the name or the secret is another's; a
 * secret that changes. */
enum err acl_set(struct apply *a, const struct command_acl *cmd) ERR_MUST_USE;
/* What is not there is deleted well. */
enum err acl_delete(struct apply *a, const struct command_acl *cmd) ERR_MUST_USE;
/* Makes a management token, once; again only with the index of the last time (`index`). */
enum err acl_bootstrap(struct apply *a, const struct command_acl *cmd) ERR_MUST_USE;

#endif
