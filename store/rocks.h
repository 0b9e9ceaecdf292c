/* RocksDB as Herald uses it: one ordered table of bytes per database, no column families. The
 * only file that knows the library is rocks.c.
 *
 * Owner    the database owns nothing that it hands out: iterators, snapshots and slices are closed
 *          before rocks_close().
 * Order    keys are ordered by memcmp, the shorter first.
 * Errors   ERR_NO_SPACE, ERR_READ_ONLY, ERR_CORRUPT, ERR_IN_USE, ERR_IO; `why` (may be NULL) then
 *          says what the library says, with the file. After ERR_NO_SPACE the library looks for
 *          space every few seconds and takes writes again by itself.
 * Threads  any, for the database and for snapshots; a batch or an iterator belongs to one thread
 *          at a time.
 */
#ifndef STORE_ROCKS_H
#define STORE_ROCKS_H

#include "core/base/buf.h"

enum rocks_kind {
    ROCKS_STATE, /* no write-ahead log: after a crash it is as it was at some earlier write */
    ROCKS_LOG,   /* write-ahead log; a torn last write is cut off, anything else is ERR_CORRUPT */
};

struct rocks;

/* Creates what is missing, the directory's parent excepted. `path` NULL: in memory. */
enum err rocks_open(const char *path,
                    enum rocks_kind kind,
                    struct rocks **ret_db,
                    struct reason *why) ERR_MUST_USE;
/* Flushes what has no log, so that a clean end loses nothing. NULL is allowed. */
void rocks_close(struct rocks *db);

/* Writes all that is in memory to table files; returns when they are synced. */
enum err rocks_flush(struct rocks *db, struct reason *why) ERR_MUST_USE;
/* Reads all there is, past the cache, and every checksum with it: some seconds for gigabytes. */
enum err rocks_verify(struct rocks *db, struct reason *why) ERR_MUST_USE;
/* Bytes in table files for keys in [from, to); what is only in memory does not count. */
uint64_t rocks_size(struct rocks *db, struct bytes from, struct bytes to);
/* Bytes of memory the library holds: write buffers, cache, indexes. */
uint64_t rocks_memory(struct rocks *db);

/* --- writing: a batch happens whole or not at all -------------------------------------------- */

struct rocks_batch;

struct rocks_batch *rocks_batch_new(void);
void rocks_batch_free(struct rocks_batch *b);
/* Forgets the contents, keeps the memory. */
void rocks_batch_clear(struct rocks_batch *b);
uint32_t rocks_batch_count(const struct rocks_batch *b);
/* Keys and values are copied. */
void rocks_batch_put(struct rocks_batch *b, struct bytes key, struct bytes value);
void rocks_batch_delete(struct rocks_batch *b, struct bytes key);
/* Keys in [from, to). Each one slows reading a little until it is compacted: for few, large
 * ranges. */
void rocks_batch_delete_range(struct rocks_batch *b, struct bytes from, struct bytes to);

/* `sync`: returns when the disk has it (ROCKS_LOG only). The batch keeps its contents. */
enum err
rocks_write(struct rocks *db, struct rocks_batch *b, bool sync, struct reason *why) ERR_MUST_USE;

/* --- reading --------------------------------------------------------------------------------- */

struct rocks_snapshot;

struct rocks_snapshot *rocks_snapshot_new(struct rocks *db);
void rocks_snapshot_free(struct rocks_snapshot *s);

/* What a get found, kept in place. Zero-initialise; closing twice is harmless. */
struct rocks_slice {
    struct bytes value;
    void *pinned; /* private */
};

/* The newest value, or the one of `s` unless it is NULL. ERR_NOT_FOUND. `ret_slice` is closed
 * first if it holds something. */
enum err rocks_get(struct rocks *db,
                   const struct rocks_snapshot *s,
                   struct bytes key,
                   struct rocks_slice *ret_slice,
                   struct reason *why) ERR_MUST_USE;
/* The same, of what is already in table files: what a crash now would leave (ROCKS_STATE). */
enum err rocks_get_durable(struct rocks *db,
                           struct bytes key,
                           struct rocks_slice *ret_slice,
                           struct reason *why) ERR_MUST_USE;
void rocks_slice_close(struct rocks_slice *slice);

/* Keys in [from, to), both copied; an empty `to` means no end. Sees the database as it was when the
 * iterator was made, or as of `s` unless it is NULL (which must then outlive it). */
struct rocks_iter;

struct rocks_iter *rocks_iter_new(struct rocks *db,
                                  const struct rocks_snapshot *s,
                                  struct bytes from,
                                  struct bytes to);
void rocks_iter_free(struct rocks_iter *it);
/* A new iterator stands nowhere: seek first. */
void rocks_iter_seek(struct rocks_iter *it, struct bytes key); /* first >= key */
void rocks_iter_first(struct rocks_iter *it);
void rocks_iter_last(struct rocks_iter *it);
void rocks_iter_next(struct rocks_iter *it);
void rocks_iter_prev(struct rocks_iter *it);
/* False behind the last, before the first, and after an error: ask rocks_iter_error(). */
bool rocks_iter_valid(const struct rocks_iter *it);
/* Borrowed until the next move. */
struct bytes rocks_iter_key(const struct rocks_iter *it);
struct bytes rocks_iter_value(const struct rocks_iter *it);
enum err rocks_iter_error(const struct rocks_iter *it, struct reason *why) ERR_MUST_USE;

#endif
