/* Looks through a RocksDB directory before the library opens it, and names what is damaged by file
 * and offset. Only a torn end of the newest write-ahead log is touched: it is cut off.
 *
 * Errors   ERR_CORRUPT, ERR_IO.
 * Threads  none: nobody else may have the directory open.
 */
#ifndef STORE_REPLICA_WAL_CHECK_H
#define STORE_REPLICA_WAL_CHECK_H

#include "core/base/err.h"

#include <stdint.h>

/* `durable` is the highest Raft index known to be durable: an end that holds it, or an earlier one,
 * is not torn but damaged. A directory that does not exist is whole. */
enum err wal_check(const char *directory, uint64_t durable, struct reason *why) ERR_MUST_USE;

#endif
