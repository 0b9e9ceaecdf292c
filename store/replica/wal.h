/* Reads RocksDB's log files (write-ahead log and MANIFEST) to say where one is damaged: the library
 * itself tells neither file nor offset, and takes a torn end and a flipped bit for the same.
 *
 * Format   blocks of 32 KiB; in each, records of: CRC-32C of type and data, masked (4 bytes),
 *          length (2), type (1: whole, 2: first, 3: middle, 4: last part), data; all little-endian.
 *          What is left of a block and cannot hold a header is zero.
 * Rule     writers sync each record before the next one begins. So a bad record with the start of a
 *          good one behind it was once whole: damage. With none behind it, it may be a write that a
 *          crash has torn.
 * Threads  any.
 */
#ifndef STORE_REPLICA_WAL_H
#define STORE_REPLICA_WAL_H

#include "core/base/buf.h"

enum wal_verdict {
    WAL_WHOLE,
    WAL_TORN,    /* bad from `offset` to the end */
    WAL_DAMAGED, /* bad at `offset`, with good records behind */
};

struct wal_report {
    enum wal_verdict verdict;
    uint64_t offset; /* of the bad record */
    uint64_t end;    /* where the last whole record before it ends: cut here */
    uint64_t size;
};

/* `record` (may be NULL) sees each whole record, in order; it is borrowed for the call. */
typedef void (*wal_record_fn)(void *ctx, struct bytes record);

struct wal_report wal_examine(struct bytes file, wal_record_fn record, void *ctx);

/* ERR_IO with `why` if the file cannot be read. */
enum err wal_examine_file(const char *path,
                          wal_record_fn record,
                          void *ctx,
                          struct wal_report *ret_report,
                          struct reason *why) ERR_MUST_USE;

/* CRC-32C (Castagnoli). */
uint32_t wal_crc32c(struct bytes data);

#endif
