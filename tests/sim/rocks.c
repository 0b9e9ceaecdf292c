/* store/rocks.h on the simulated disk. */
#include "store/rocks.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "tests/sim/disk.h"
#include "tests/sim/rocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rocks {
    struct disk *disk; /* NULL: in memory */
    struct sim_db *db;
    unsigned borrowers;
};

enum op_kind {
    OP_PUT,
    OP_DELETE,
    OP_DELETE_RANGE,
};

struct op {
    enum op_kind kind;
    size_t at; /* in the batch's data */
    size_t key_len;
    size_t value_len; /* of a range: its end's */
};

struct rocks_batch {
    struct buf data;
    struct op *ops;
    size_t count;
    size_t cap;
};

struct rocks_snapshot {
    struct rocks *rocks;
    uint64_t version;
};

struct rocks_iter {
    struct rocks *rocks;
    uint64_t version;
    struct buf from;
    struct buf to;
    struct map_node *at;
};

/* --- life ------------------------------------------------------------------------------------ */

static struct sim_db *db_new(const char *path, enum rocks_kind kind)
{
    struct sim_db *db = mem_zalloc(1, sizeof *db);
    (void)snprintf(db->path, sizeof db->path, "%s", path);
    db->kind = kind;
    map_open(&db->map);
    return db;
}

static struct sim_db *db_find(struct disk *d, const char *path, enum rocks_kind kind)
{
    for (unsigned i = 0; i < DISK_FILES_MAX; i++) {
        if (d->dbs[i] == NULL) {
            d->dbs[i] = db_new(path, kind);
            d->fresh = false;
            return d->dbs[i];
        }
        if (strcmp(d->dbs[i]->path, path) == 0) {
            return d->dbs[i];
        }
    }
    fatal("sim: too many databases");
}

enum err
rocks_open(const char *path, enum rocks_kind kind, struct rocks **ret_db, struct reason *why)
{
    struct disk *d = path != NULL ? disk_of(path) : NULL;
    if (d != NULL) {
        disk_wait_for(d, true);
    }
    if (d != NULL && d->full) {
        reason_set(why, "%s: No space left on device", path);
        return ERR_NO_SPACE;
    }
    struct sim_db *db = d != NULL ? db_find(d, path, kind) : db_new("memory", kind);
    CHECK(db->kind == kind);
    if (db->open) {
        reason_set(why, "%s: lock hold by current process", path);
        return ERR_IN_USE;
    }
    db->open = true;
    db->stuck = false;
    struct rocks *r = mem_zalloc(1, sizeof *r);
    *r = (struct rocks){.disk = d, .db = db};
    *ret_db = r;
    return OK;
}

void rocks_close(struct rocks *r)
{
    if (r == NULL) {
        return;
    }
    CHECK(r->borrowers == 0);
    struct sim_db *db = r->db;
    CHECK(!db->busy);
    db->open = false;
    if (r->disk == NULL) {
        map_close(&db->map);
        free(db);
    } else if (db->kind == ROCKS_STATE && !r->disk->full) {
        db->durable = db->version;
    }
    free(r);
}

/* What is damaged here is the log, which looks for itself. */
enum err rocks_verify(struct rocks *r, struct reason *why)
{
    (void)r;
    (void)why;
    return OK;
}

enum err rocks_flush(struct rocks *r, struct reason *why)
{
    struct sim_db *db = r->db;
    uint64_t version = db->version;
    if (r->disk != NULL) {
        disk_wait_for(r->disk, true);
        if (r->disk->full) {
            db->stuck = true;
            reason_set(why, "%s: No space left on device", db->path);
            return ERR_NO_SPACE;
        }
    }
    db->stuck = false;
    db->durable = version > db->durable ? version : db->durable;
    return OK;
}

uint64_t rocks_size(struct rocks *r, struct bytes from, struct bytes to)
{
    uint64_t size = 0;
    const struct map_node *n = map_seek(&r->db->map, from, r->db->durable);
    while (n != NULL && bytes_compare(n->key, to) < 0) {
        size += n->key.len + n->value.len;
        n = map_next(n, r->db->durable);
    }
    return size;
}

uint64_t rocks_memory(struct rocks *r)
{
    return r->db->map.count * 64;
}

/* --- writing --------------------------------------------------------------------------------- */

struct rocks_batch *rocks_batch_new(void)
{
    struct rocks_batch *b = mem_zalloc(1, sizeof *b);
    buf_init(&b->data, SIZE_MAX / 2);
    return b;
}

void rocks_batch_free(struct rocks_batch *b)
{
    if (b == NULL) {
        return;
    }
    buf_close(&b->data);
    free(b->ops);
    free(b);
}

void rocks_batch_clear(struct rocks_batch *b)
{
    buf_clear(&b->data);
    b->count = 0;
}

uint32_t rocks_batch_count(const struct rocks_batch *b)
{
    return (uint32_t)b->count;
}

static void
batch_add(struct rocks_batch *b, enum op_kind kind, struct bytes key, struct bytes value)
{
    if (b->count == b->cap) {
        b->cap = b->cap == 0 ? 16 : b->cap * 2;
        b->ops = mem_realloc(b->ops, b->cap * sizeof *b->ops);
    }
    b->ops[b->count++] = (struct op){
        .kind = kind,
        .at = b->data.len,
        .key_len = key.len,
        .value_len = value.len,
    };
    buf_put(&b->data, key);
    buf_put(&b->data, value);
}

void rocks_batch_put(struct rocks_batch *b, struct bytes key, struct bytes value)
{
    batch_add(b, OP_PUT, key, value);
}

void rocks_batch_delete(struct rocks_batch *b, struct bytes key)
{
    batch_add(b, OP_DELETE, key, (struct bytes){.ptr = ""});
}

void rocks_batch_delete_range(struct rocks_batch *b, struct bytes from, struct bytes to)
{
    batch_add(b, OP_DELETE_RANGE, from, to);
}

static void db_delete_range(struct sim_db *db, struct bytes from, struct bytes to, uint64_t version)
{
    struct map_node *n = map_seek(&db->map, from, version);
    while (n != NULL && bytes_compare(n->key, to) < 0) {
        /* Its deletion goes in front of it: what is behind it stays as it is. */
        map_put(&db->map, n->key, (struct bytes){.ptr = ""}, version, true);
        n = map_next(n, version);
    }
}

void db_apply(struct sim_db *db, const struct rocks_batch *b)
{
    uint64_t version = db->version + 1;
    for (size_t i = 0; i < b->count; i++) {
        const struct op *op = &b->ops[i];
        struct bytes key = {.ptr = b->data.ptr + op->at, .len = op->key_len};
        struct bytes value = {.ptr = key.ptr + op->key_len, .len = op->value_len};
        if (op->kind == OP_DELETE_RANGE) {
            db_delete_range(db, key, value, version);
        } else {
            map_put(&db->map, key, value, version, op->kind == OP_DELETE);
        }
    }
    db->version = version;
}

static void db_pin(struct sim_db *db, uint64_t version)
{
    CHECK(db->pin_count < DB_PINS_MAX);
    db->pins[db->pin_count++] = version;
}

static void db_unpin(struct sim_db *db, uint64_t version)
{
    size_t at = 0;
    while (at < db->pin_count && db->pins[at] != version) {
        at++;
    }
    CHECK(at < db->pin_count);
    db->pins[at] = db->pins[--db->pin_count];
}

/* Old versions that nobody sees would make reading slower and slower. */
static void db_prune(struct sim_db *db)
{
    if (db->map.count < 256 || db->map.count < 2 * db->pruned) {
        return;
    }
    uint64_t oldest = db->durable;
    for (size_t i = 0; i < db->pin_count; i++) {
        oldest = db->pins[i] < oldest ? db->pins[i] : oldest;
    }
    map_prune(&db->map, oldest);
    db->pruned = db->map.count;
}

/* Nobody else writes until this one is synced, or the process has ended. */
static enum err rocks_write_synced(struct rocks *r, struct rocks_batch *b, struct reason *why)
{
    struct sim_db *db = r->db;
    while (db->busy) {
        fiber_wait(20);
    }
    if (r->disk->full) {
        reason_set(why, "%s: No space left on device", db->path);
        return ERR_NO_SPACE;
    }
    db->busy = true;
    db->flying = b;
    disk_wait_for(r->disk, true);
    db->flying = NULL;
    db->busy = false;
    r->disk->syncs++;
    if (r->disk->io_error_ppm > 0 && dice_ppm(r->disk->io_error_ppm)) {
        /* Who knows what of it is there. */
        if (dice_below(2) == 0) {
            db_apply(db, b);
        }
        reason_set(why, "%s: Input/output error", db->path);
        return ERR_IO;
    }
    db_apply(db, b);
    db->durable = db->version;
    db_prune(db);
    return OK;
}

enum err rocks_write(struct rocks *r, struct rocks_batch *b, bool sync, struct reason *why)
{
    CHECK(!sync || r->db->kind == ROCKS_LOG);
    struct sim_db *db = r->db;
    if (sync && r->disk != NULL) {
        return rocks_write_synced(r, b, why);
    }
    if (db->stuck) {
        if (r->disk->full) {
            reason_set(why, "%s: No space left on device", db->path);
            return ERR_NO_SPACE;
        }
        db->stuck = false;
    }
    db_apply(db, b);
    /* The library writes its buffers out when it likes. */
    if (r->disk != NULL && db->kind == ROCKS_STATE && !r->disk->full &&
        dice_below(r->disk->writeback) == 0) {
        db->durable = db->version - dice_below(db->version - db->durable + 1);
    }
    db_prune(db);
    return OK;
}

/* --- reading --------------------------------------------------------------------------------- */

struct rocks_snapshot *rocks_snapshot_new(struct rocks *r)
{
    struct rocks_snapshot *s = mem_alloc(sizeof *s);
    *s = (struct rocks_snapshot){.rocks = r, .version = r->db->version};
    r->borrowers++;
    db_pin(r->db, s->version);
    return s;
}

void rocks_snapshot_free(struct rocks_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    s->rocks->borrowers--;
    db_unpin(s->rocks->db, s->version);
    free(s);
}

static enum err
rocks_get_at(struct rocks *r, uint64_t version, struct bytes key, struct rocks_slice *ret_slice)
{
    rocks_slice_close(ret_slice);
    const struct map_node *n = map_get(&r->db->map, key, version);
    if (n == NULL) {
        return ERR_NOT_FOUND;
    }
    /* A copy, so that whoever uses it after closing it is found. */
    ret_slice->pinned = mem_dup(n->value.ptr, n->value.len);
    ret_slice->value = (struct bytes){.ptr = ret_slice->pinned, .len = n->value.len};
    return OK;
}

enum err rocks_get(struct rocks *r,
                   const struct rocks_snapshot *s,
                   struct bytes key,
                   struct rocks_slice *ret_slice,
                   struct reason *why)
{
    (void)why;
    return rocks_get_at(r, s != NULL ? s->version : r->db->version, key, ret_slice);
}

enum err rocks_get_durable(struct rocks *r,
                           struct bytes key,
                           struct rocks_slice *ret_slice,
                           struct reason *why)
{
    (void)why;
    CHECK(r->db->kind == ROCKS_STATE);
    return rocks_get_at(r, r->db->durable, key, ret_slice);
}

void rocks_slice_close(struct rocks_slice *slice)
{
    free(slice->pinned);
    *slice = (struct rocks_slice){0};
}

struct rocks_iter *
rocks_iter_new(struct rocks *r, const struct rocks_snapshot *s, struct bytes from, struct bytes to)
{
    struct rocks_iter *it = mem_zalloc(1, sizeof *it);
    it->rocks = r;
    it->version = s != NULL ? s->version : r->db->version;
    buf_init(&it->from, SIZE_MAX / 2);
    buf_init(&it->to, SIZE_MAX / 2);
    buf_put(&it->from, from);
    buf_put(&it->to, to);
    r->borrowers++;
    db_pin(r->db, it->version);
    return it;
}

void rocks_iter_free(struct rocks_iter *it)
{
    if (it == NULL) {
        return;
    }
    it->rocks->borrowers--;
    db_unpin(it->rocks->db, it->version);
    buf_close(&it->from);
    buf_close(&it->to);
    free(it);
}

/* What is outside of the bounds is nowhere. */
static void iter_set(struct rocks_iter *it, struct map_node *n)
{
    if (n != NULL && (bytes_compare(n->key, buf_view(&it->from)) < 0 ||
                      (it->to.len > 0 && bytes_compare(n->key, buf_view(&it->to)) >= 0))) {
        n = NULL;
    }
    it->at = n;
}

void rocks_iter_seek(struct rocks_iter *it, struct bytes key)
{
    struct bytes from = buf_view(&it->from);
    struct bytes begin = bytes_compare(key, from) < 0 ? from : key;
    iter_set(it, map_seek(&it->rocks->db->map, begin, it->version));
}

void rocks_iter_first(struct rocks_iter *it)
{
    iter_set(it, map_seek(&it->rocks->db->map, buf_view(&it->from), it->version));
}

void rocks_iter_last(struct rocks_iter *it)
{
    const struct map *m = &it->rocks->db->map;
    iter_set(it, it->to.len > 0 ? map_before(m, buf_view(&it->to), it->version)
                                : map_last(m, it->version));
}

void rocks_iter_next(struct rocks_iter *it)
{
    CHECK(it->at != NULL);
    iter_set(it, map_next(it->at, it->version));
}

void rocks_iter_prev(struct rocks_iter *it)
{
    CHECK(it->at != NULL);
    iter_set(it, map_before(&it->rocks->db->map, it->at->key, it->version));
}

bool rocks_iter_valid(const struct rocks_iter *it)
{
    return it->at != NULL;
}

struct bytes rocks_iter_key(const struct rocks_iter *it)
{
    return it->at->key;
}

struct bytes rocks_iter_value(const struct rocks_iter *it)
{
    return it->at->value;
}

enum err rocks_iter_error(const struct rocks_iter *it, struct reason *why)
{
    (void)it;
    (void)why;
    return OK;
}
