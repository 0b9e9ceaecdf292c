/* The keys of access control in the state database, behind FLEET_ACL (schema_fleet.h):
 *
 *   t accessor   a token             s hash   the accessor whose secret has this hash
 *   p id         a policy            n name   the id of the policy of this name
 *   r id         a role              m name   the id of the role of this name
 *   b            when the first management token was made
 *
 * Owner    a key lives in the caller's `struct schema_key`.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_ACL_KEYS_H
#define STORE_ACL_KEYS_H

#include "store/acl_rows.h"
#include "store/schema_fleet.h"

#define ACL_SORT_SECRET      's'
#define ACL_SORT_POLICY_NAME 'n'
#define ACL_SORT_ROLE_NAME   'm'
#define ACL_SORT_BOOTSTRAP   'b'

void acl_key_begin(struct schema_key *k, uint64_t restores, char sort);
/* False: no row can have this id or name. */
bool acl_key_row(struct schema_key *k, uint64_t restores, enum acl_kind kind, struct bytes id);
bool acl_key_name(struct schema_key *k, uint64_t restores, enum acl_kind kind, struct bytes name);
void acl_key_secret(struct schema_key *k, uint64_t restores, struct bytes secret);
/* Whether `value` may stand at a key; `rest` is what follows the table's letter. ERR_CORRUPT. */
enum err acl_row_check(struct bytes rest, struct bytes value) ERR_MUST_USE;

#endif
