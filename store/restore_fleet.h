/* The fleet's part of restoring a backup (restore.h): rows come as they were, links and the indexes
 * of names are made anew, whatever the backup is; the first of two rows with one name stays.
 *
 * Errors   those of reading the state.
 * Threads  the hub's.
 */
#ifndef STORE_RESTORE_FLEET_H
#define STORE_RESTORE_FLEET_H

#include "store/apply.h"
#include "store/backup.h"

/* All of one of the two halves. */
void restore_fleet_drop(struct apply *a, uint64_t restores);
/* Into the half that nobody reads yet; not for rows of keys. */
enum err restore_fleet_row(struct apply *a, const struct backup_row *row) ERR_MUST_USE;
/* A key that is locked is held by its session. */
void restore_fleet_lock(struct apply *a, const struct kv_row *row);

#endif
