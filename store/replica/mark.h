/* The mark: a small file that says up to which index the log was durable at least.
 *
 * Rewritten in place after each synced append, without a sync: it costs a page in memory, survives
 * the process, and after a power cut it is old at worst, never ahead. Two slots take turns, so that
 * a torn one leaves the other.
 *
 * Format   per slot of 512 bytes: "mark", index (8 bytes, little-endian), CRC-32 of both.
 * Errors   ERR_CORRUPT if neither slot can be read; ERR_IO, ERR_NO_SPACE.
 * Threads  one at a time.
 */
#ifndef STORE_REPLICA_MARK_H
#define STORE_REPLICA_MARK_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct mark;

/* Creates it with index 0. */
enum err mark_open(const char *path, struct mark **ret_mark, struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void mark_close(struct mark *m);
uint64_t mark_index(const struct mark *m);
/* True if there was none before. */
bool mark_fresh(const struct mark *m);
/* `sync`: durable when it returns. */
enum err mark_set(struct mark *m, uint64_t index, bool sync, struct reason *why) ERR_MUST_USE;

#endif
