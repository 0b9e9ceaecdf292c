#include "store/rocks.h"

#include "core/base/check.h"
#include "core/base/env.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* Idle memory is what counts: cache and write buffers fill only under load. The log's
 * write buffer lets most entries be trimmed before they ever reach a table file. */
#define ROCKS_STATE_CACHE   MIB(32)
#define ROCKS_LOG_CACHE     MIB(4)
#define ROCKS_STATE_BUFFER  MIB(16)
#define ROCKS_LOG_BUFFER    MIB(32)
#define ROCKS_BUFFER_MIN    MIB(1)
#define ROCKS_BUFFER_PART   64U /* of the disk at most */
#define ROCKS_TABLE_FILE    MIB(32)
#define ROCKS_OPEN_FILES    256
#define ROCKS_BLOOM_BITS    10.0
#define ROCKS_BLOCK         KIB(8)
/* The default is 4 MiB for each database: too much of a small disk. */
#define ROCKS_MANIFEST_ROOM KIB(64)
/* rocksdb::InfoLogLevel::HEADER_LEVEL: only what is said at the opening. After one failed write to
 * its own log, on a full disk, the library's next line would end the process (an assertion that the
 * packages leave in). */
#define ROCKS_INFO_LOG_HEAD 5
/* What an opening writes, with room to spare: for the same reason it is not tried with less. */
#define ROCKS_OPEN_ROOM     KIB(256)
#define ROCKS_TIER_DURABLE  2 /* rocksdb::ReadTier::kPersistedTier */
#define ROCKS_MEMORY_PATH   "/herald"

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_env_t *env; /* only in memory */
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_durable;
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
    enum rocks_kind kind;
    atomic_uint borrowers; /* snapshots and iterators */
};

struct rocks_batch {
    rocksdb_writebatch_t *batch;
};

struct rocks_snapshot {
    struct rocks *db;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
};

struct rocks_iter {
    struct rocks *db;
    rocksdb_iterator_t *iter;
    rocksdb_readoptions_t *read;
    char *bounds; /* the read options point into it */
};

/* --- errors ---------------------------------------------------------------------------------- */

static enum err rocks_err_of(const char *text)
{
    static const struct {
        const char *part;
        enum err err;
    } known[] = {
        {"No space left on device", ERR_NO_SPACE},
        {"Disk quota exceeded", ERR_NO_SPACE},
        {"Corruption", ERR_CORRUPT},
        {"lock hold by current process", ERR_IN_USE},
        {"LOCK: Resource temporarily unavailable", ERR_IN_USE},
        {"Read-only file system", ERR_READ_ONLY},
        {"Permission denied", ERR_READ_ONLY},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strstr(text, known[i].part) != NULL) {
            return known[i].err;
        }
    }
    return ERR_IO;
}

/* A damaged block, or a disk that answers no more, is met by whoever happens to read, and only here
 * it is known which file it is: the operator is told at once, though not for each reader. */
static void rocks_note(enum log_kind kind, const char *text)
{
    static _Atomic uint64_t quiet_until_ms;
    uint64_t now_ms = env_real_now_ms();
    uint64_t until_ms = atomic_load(&quiet_until_ms);
    if (now_ms >= until_ms &&
        atomic_compare_exchange_strong(&quiet_until_ms, &until_ms, now_ms + DISK_QUIET_MS)) {
        log_line(kind, "error=\"%s\"", text);
    }
}

/* Consumes the library's text. */
static enum err rocks_failed(char *text, struct reason *why)
{
    enum err e = rocks_err_of(text);
    if (e == ERR_CORRUPT) {
        rocks_note(LOG_STORE_CORRUPT, text);
    } else if (e == ERR_IO && strstr(text, "IO error") != NULL) {
        rocks_note(LOG_STORE_IO, text);
    }
    if (why != NULL) {
        reason_set(why, "%s", text);
    }
    rocksdb_free(text);
    return e;
}

/* --- life ------------------------------------------------------------------------------------ */

static void rocks_open_table(struct rocks *db)
{
    db->cache =
        rocksdb_cache_create_lru(db->kind == ROCKS_STATE ? ROCKS_STATE_CACHE : ROCKS_LOG_CACHE);
    db->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(db->table, db->cache);
    rocksdb_block_based_options_set_block_size(db->table, ROCKS_BLOCK);
    rocksdb_block_based_options_set_format_version(db->table, 5);
    /* The table takes the filter policy over. */
    rocksdb_block_based_options_set_filter_policy(
        db->table, rocksdb_filterpolicy_create_bloom_full(ROCKS_BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(db->options, db->table);
}

/* The disk below a database that may not be there yet; false if it cannot be asked. */
static bool rocks_disk(const char *path, struct statvfs *ret_disk)
{
    char *parent = path != NULL ? mem_strdup(path) : NULL;
    char *slash = parent != NULL ? strrchr(parent, '/') : NULL;
    if (slash != NULL) {
        *slash = '\0';
    }
    bool known = slash != NULL && statvfs(parent[0] != '\0' ? parent : "/", ret_disk) == 0;
    free(parent);
    return known;
}

/* The library sets a log file's room aside as large as a write buffer: on a small disk that would
 * be most of it. */
static size_t rocks_write_buffer(enum rocks_kind kind, const char *path)
{
    struct statvfs disk;
    size_t size = kind == ROCKS_STATE ? ROCKS_STATE_BUFFER : ROCKS_LOG_BUFFER;
    if (rocks_disk(path, &disk)) {
        uint64_t part = (uint64_t)disk.f_blocks * disk.f_frsize / ROCKS_BUFFER_PART;
        size = part < size ? (size_t)part : size;
    }
    return size > ROCKS_BUFFER_MIN ? size : ROCKS_BUFFER_MIN;
}

static void rocks_open_options(struct rocks *db, const char *path)
{
    bool in_memory = path == NULL;
    db->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_write_buffer_size(db->options, rocks_write_buffer(db->kind, path));
    rocksdb_options_set_max_write_buffer_number(db->options, 3);
    rocksdb_options_set_target_file_size_base(db->options, ROCKS_TABLE_FILE);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(db->options, 1);
    rocksdb_options_set_max_open_files(db->options, ROCKS_OPEN_FILES);
    rocksdb_options_set_max_background_jobs(db->options, 2);
    rocksdb_options_set_compression(db->options, db->kind == ROCKS_STATE ? rocksdb_lz4_compression
                                                                         : rocksdb_no_compression);
    rocksdb_options_set_wal_recovery_mode(db->options,
                                          rocksdb_tolerate_corrupted_tail_records_recovery);
    rocksdb_options_set_info_log_level(db->options, ROCKS_INFO_LOG_HEAD);
    rocksdb_options_set_keep_log_file_num(db->options, 2);
    rocksdb_options_set_manifest_preallocation_size(db->options, ROCKS_MANIFEST_ROOM);
    rocksdb_options_set_stats_dump_period_sec(db->options, 0);
    rocksdb_options_set_stats_persist_period_sec(db->options, 0);
    if (in_memory) {
        db->env = rocksdb_create_mem_env();
        rocksdb_options_set_env(db->options, db->env);
    }
    rocks_open_table(db);
}

static void rocks_open_read_write(struct rocks *db)
{
    db->read = rocksdb_readoptions_create();
    db->read_durable = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(db->read_durable, ROCKS_TIER_DURABLE);
    db->write = rocksdb_writeoptions_create();
    db->write_sync = rocksdb_writeoptions_create();
    if (db->kind == ROCKS_STATE) {
        rocksdb_writeoptions_disable_WAL(db->write, 1);
    }
    rocksdb_writeoptions_set_sync(db->write_sync, 1);
}

enum err
rocks_open(const char *path, enum rocks_kind kind, struct rocks **ret_db, struct reason *why)
{
    struct statvfs disk;
    if (rocks_disk(path, &disk) && (uint64_t)disk.f_bavail * disk.f_frsize < ROCKS_OPEN_ROOM) {
        reason_set(why, "%s: No space left on device", path);
        return ERR_NO_SPACE;
    }
    struct rocks *db = mem_zalloc(1, sizeof(*db));
    db->kind = kind;
    rocks_open_options(db, path);
    rocks_open_read_write(db);
    char *failed = NULL;
    db->db = rocksdb_open(db->options, path == NULL ? ROCKS_MEMORY_PATH : path, &failed);
    if (failed != NULL) {
        rocks_close(db);
        return rocks_failed(failed, why);
    }
    *ret_db = db;
    return OK;
}

void rocks_close(struct rocks *db)
{
    if (db == NULL) {
        return;
    }
    CHECK(atomic_load(&db->borrowers) == 0);
    if (db->db != NULL) {
        rocksdb_close(db->db);
    }
    rocksdb_readoptions_destroy(db->read);
    rocksdb_readoptions_destroy(db->read_durable);
    rocksdb_writeoptions_destroy(db->write);
    rocksdb_writeoptions_destroy(db->write_sync);
    rocksdb_options_destroy(db->options);
    rocksdb_block_based_options_destroy(db->table);
    rocksdb_cache_destroy(db->cache);
    if (db->env != NULL) {
        rocksdb_env_destroy(db->env);
    }
    free(db);
}

enum err rocks_flush(struct rocks *db, struct reason *why)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    char *failed = NULL;
    rocksdb_flush(db->db, options, &failed);
    rocksdb_flushoptions_destroy(options);
    return failed == NULL ? OK : rocks_failed(failed, why);
}

uint64_t rocks_size(struct rocks *db, struct bytes from, struct bytes to)
{
    uint64_t size = 0;
    char *failed = NULL;
    rocksdb_approximate_sizes(db->db, 1, &from.ptr, &from.len, &to.ptr, &to.len, &size, &failed);
    if (failed != NULL) {
        rocksdb_free(failed);
        return 0;
    }
    return size;
}

uint64_t rocks_memory(struct rocks *db)
{
    static const char *const parts[] = {
        "rocksdb.size-all-mem-tables",
        "rocksdb.block-cache-usage",
        "rocksdb.estimate-table-readers-mem",
    };
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t part = 0;
        if (rocksdb_property_int(db->db, parts[i], &part) == 0) {
            sum += part;
        }
    }
    return sum;
}

/* --- writing --------------------------------------------------------------------------------- */

struct rocks_batch *rocks_batch_new(void)
{
    struct rocks_batch *b = mem_alloc(sizeof(*b));
    *b = (struct rocks_batch){.batch = rocksdb_writebatch_create()};
    return b;
}

void rocks_batch_free(struct rocks_batch *b)
{
    if (b == NULL) {
        return;
    }
    rocksdb_writebatch_destroy(b->batch);
    free(b);
}

void rocks_batch_clear(struct rocks_batch *b)
{
    rocksdb_writebatch_clear(b->batch);
}

uint32_t rocks_batch_count(const struct rocks_batch *b)
{
    return (uint32_t)rocksdb_writebatch_count(b->batch);
}

void rocks_batch_put(struct rocks_batch *b, struct bytes key, struct bytes value)
{
    rocksdb_writebatch_put(b->batch, key.ptr, key.len, value.ptr, value.len);
}

void rocks_batch_delete(struct rocks_batch *b, struct bytes key)
{
    rocksdb_writebatch_delete(b->batch, key.ptr, key.len);
}

void rocks_batch_delete_range(struct rocks_batch *b, struct bytes from, struct bytes to)
{
    rocksdb_writebatch_delete_range(b->batch, from.ptr, from.len, to.ptr, to.len);
}

enum err rocks_write(struct rocks *db, struct rocks_batch *b, bool sync, struct reason *why)
{
    CHECK(!sync || db->kind == ROCKS_LOG);
    char *failed = NULL;
    rocksdb_write(db->db, sync ? db->write_sync : db->write, b->batch, &failed);
    return failed == NULL ? OK : rocks_failed(failed, why);
}

/* --- reading --------------------------------------------------------------------------------- */

struct rocks_snapshot *rocks_snapshot_new(struct rocks *db)
{
    struct rocks_snapshot *s = mem_alloc(sizeof(*s));
    *s = (struct rocks_snapshot){
        .db = db,
        .snapshot = rocksdb_create_snapshot(db->db),
        .read = rocksdb_readoptions_create(),
    };
    rocksdb_readoptions_set_snapshot(s->read, s->snapshot);
    atomic_fetch_add(&db->borrowers, 1);
    return s;
}

void rocks_snapshot_free(struct rocks_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    rocksdb_readoptions_destroy(s->read);
    rocksdb_release_snapshot(s->db->db, s->snapshot);
    atomic_fetch_sub(&s->db->borrowers, 1);
    free(s);
}

static enum err rocks_get_by(struct rocks *db,
                             const rocksdb_readoptions_t *read,
                             struct bytes key,
                             struct rocks_slice *ret_slice,
                             struct reason *why)
{
    rocks_slice_close(ret_slice);
    char *failed = NULL;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned(db->db, read, key.ptr, key.len, &failed);
    if (failed != NULL) {
        return rocks_failed(failed, why);
    }
    if (pinned == NULL) {
        return ERR_NOT_FOUND;
    }
    ret_slice->pinned = pinned;
    ret_slice->value.ptr = rocksdb_pinnableslice_value(pinned, &ret_slice->value.len);
    return OK;
}

enum err rocks_get(struct rocks *db,
                   const struct rocks_snapshot *s,
                   struct bytes key,
                   struct rocks_slice *ret_slice,
                   struct reason *why)
{
    return rocks_get_by(db, s == NULL ? db->read : s->read, key, ret_slice, why);
}

enum err rocks_get_durable(struct rocks *db,
                           struct bytes key,
                           struct rocks_slice *ret_slice,
                           struct reason *why)
{
    CHECK(db->kind == ROCKS_STATE);
    return rocks_get_by(db, db->read_durable, key, ret_slice, why);
}

void rocks_slice_close(struct rocks_slice *slice)
{
    if (slice->pinned != NULL) {
        rocksdb_pinnableslice_destroy(slice->pinned);
    }
    *slice = (struct rocks_slice){0};
}

struct rocks_iter *
rocks_iter_new(struct rocks *db, const struct rocks_snapshot *s, struct bytes from, struct bytes to)
{
    struct rocks_iter *it = mem_alloc(sizeof(*it));
    *it = (struct rocks_iter){
        .db = db,
        .read = rocksdb_readoptions_create(),
        .bounds = mem_alloc(from.len + to.len + 1),
    };
    if (s != NULL) {
        rocksdb_readoptions_set_snapshot(it->read, s->snapshot);
    }
    if (from.len > 0) {
        memcpy(it->bounds, from.ptr, from.len);
        rocksdb_readoptions_set_iterate_lower_bound(it->read, it->bounds, from.len);
    }
    if (to.len > 0) {
        memcpy(it->bounds + from.len, to.ptr, to.len);
        rocksdb_readoptions_set_iterate_upper_bound(it->read, it->bounds + from.len, to.len);
    }
    it->iter = rocksdb_create_iterator(db->db, it->read);
    atomic_fetch_add(&db->borrowers, 1);
    return it;
}

enum err rocks_verify(struct rocks *db, struct reason *why)
{
    struct rocks_iter *it = rocks_iter_new(db, NULL, (struct bytes){0}, (struct bytes){0});
    rocksdb_readoptions_set_fill_cache(it->read, 0);
    rocksdb_iter_destroy(it->iter);
    it->iter = rocksdb_create_iterator(db->db, it->read);
    rocks_iter_first(it);
    while (rocks_iter_valid(it)) {
        rocks_iter_next(it);
    }
    enum err e = rocks_iter_error(it, why);
    rocks_iter_free(it);
    return e;
}

void rocks_iter_free(struct rocks_iter *it)
{
    if (it == NULL) {
        return;
    }
    rocksdb_iter_destroy(it->iter);
    rocksdb_readoptions_destroy(it->read);
    atomic_fetch_sub(&it->db->borrowers, 1);
    free(it->bounds);
    free(it);
}

void rocks_iter_seek(struct rocks_iter *it, struct bytes key)
{
    rocksdb_iter_seek(it->iter, key.ptr, key.len);
}

void rocks_iter_first(struct rocks_iter *it)
{
    rocksdb_iter_seek_to_first(it->iter);
}

void rocks_iter_last(struct rocks_iter *it)
{
    rocksdb_iter_seek_to_last(it->iter);
}

void rocks_iter_next(struct rocks_iter *it)
{
    rocksdb_iter_next(it->iter);
}

void rocks_iter_prev(struct rocks_iter *it)
{
    rocksdb_iter_prev(it->iter);
}

bool rocks_iter_valid(const struct rocks_iter *it)
{
    return rocksdb_iter_valid(it->iter) != 0;
}

struct bytes rocks_iter_key(const struct rocks_iter *it)
{
    struct bytes key;
    key.ptr = rocksdb_iter_key(it->iter, &key.len);
    return key;
}

struct bytes rocks_iter_value(const struct rocks_iter *it)
{
    struct bytes value;
    value.ptr = rocksdb_iter_value(it->iter, &value.len);
    return value;
}

enum err rocks_iter_error(const struct rocks_iter *it, struct reason *why)
{
    char *failed = NULL;
    rocksdb_iter_get_error(it->iter, &failed);
    return failed == NULL ? OK : rocks_failed(failed, why);
}
