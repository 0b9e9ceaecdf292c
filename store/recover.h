/* Recovery: other servers take the place of those in the log, when too few of them are left to
 * agree on anything.
 *
 * What is applied was committed, so all servers that are left have it alike: there the new
 * configuration is put, as that of a snapshot. The log stays as it is, but for its configurations,
 * which become barriers: the new cluster elects a server of the longest log among those that vote,
 * and the others' ends are made like its end, as after any election. So nothing is lost that a
 * majority of the servers that are left has, or the only one; and servers whose logs end
 * differently cannot disagree on what they have applied.
 *
 *              log   | 95 | 96 | 97 | 98 | 99 | 100 | 101 | 102 |
 *     durable state  ... ---------- |      ^ was a configuration: a barrier now
 *                                   snapshot 97, of the new configuration
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
