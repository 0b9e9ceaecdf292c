/* Recovery: other servers take the place of those in the log, when too few of them are left to
 * agree on anything.
 *
 * The log stays as it is, but for its configurations: the new one is put where all servers that are
 * left agree (at the first entry, or at what is applied: that was committed), and the others become
 * barriers. The new cluster elects a server of the longest log among those that vote, and the
 * others' ends are made like its end, as after any election. So nothing is lost that a majority of
 * the servers that are left has, or the only one; and servers whose logs end differently cannot
 * disagree on what they have applied.
 *
 *     a whole log    |  1 |  2 |  3 | ...                    a cut one  | 95 | 96 | 97 | 98 | 99 |
 *                       ^         ^ a barrier now                         ^ a barrier     |
 *                       the new configuration       snapshot 98, of the new configuration
 *
 * Threads  the one that opens the store.
 */
#ifndef STORE_RECOVER_H
#define STORE_RECOVER_H

#include "core/base/err.h"

struct store;
struct store_recovery;

/* Before the engine starts. ERR_INVALID: the list cannot be, and nothing was changed. */
enum err recover_servers(struct store *s,
                         const struct store_recovery *recovery,
                         struct reason *why) ERR_MUST_USE;

#endif
