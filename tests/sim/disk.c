#include "tests/sim/disk.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/datadir.h"
#include "store/replica/mark.h"
#include "store/replica/wal_check.h"
#include "tests/sim/rocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A disk of 64 MiB: databases of the real size would never be cut in a short run. */
#define DISK_TOTAL MIB(64)

struct disk disks[PROCESS_MAX];

/* --- the disks ------------------------------------------------------------------------------- */

static void disk_reset(struct disk *d, unsigned number)
{
    *d = (struct disk){
        .number = number,
        .fresh = true,
        .total = DISK_TOTAL,
        .writeback = 128,
        .sync_min_us = 50,
        .sync_max_us = 300,
    };
}

void disks_open(void)
{
    for (unsigned i = 0; i < PROCESS_MAX; i++) {
        disk_reset(&disks[i], i);
    }
}

/* All that is in it. */
static void disk_forget(struct disk *d)
{
    for (unsigned i = 0; i < DISK_FILES_MAX; i++) {
        if (d->dbs[i] != NULL) {
            map_close(&d->dbs[i]->map);
            free(d->dbs[i]);
            d->dbs[i] = NULL;
        }
        free(d->marks[i]);
        d->marks[i] = NULL;
    }
    d->fresh = true;
}

static void disk_clear(struct disk *d)
{
    disk_forget(d);
    d->repair = (struct datadir_repair){0};
    d->locked = false;
}

void disks_close(void)
{
    for (unsigned i = 0; i < PROCESS_MAX; i++) {
        disk_clear(&disks[i]);
    }
}

void disk_wipe(struct disk *d)
{
    disk_clear(d);
}

struct disk *disk_of(const char *path)
{
    unsigned number = 0;
    for (const char *at = path + 2; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (unsigned)(*at - '0');
    }
    if (path[0] != '/' || path[1] != 's' || number >= PROCESS_MAX) {
        return NULL;
    }
    return &disks[number];
}

struct sim_db *disk_db(struct disk *d, const char *name)
{
    for (unsigned i = 0; i < DISK_FILES_MAX && d->dbs[i] != NULL; i++) {
        const char *slash = strrchr(d->dbs[i]->path, '/');
        if (strcmp(slash != NULL ? slash + 1 : d->dbs[i]->path, name) == 0) {
            return d->dbs[i];
        }
    }
    return NULL;
}

void disk_wait_for(const struct disk *d, bool sync)
{
    if (!sync) {
        return;
    }
    uint64_t us = dice_skewed(d->sync_min_us, d->sync_max_us);
    if (d->stall_ppm > 0 && dice_ppm(d->stall_ppm)) {
        us += dice_below(d->stall_us);
    }
    fiber_wait(us);
}

/* --- crashes --------------------------------------------------------------------------------- */

/* The newest version that is still there. */
static uint64_t db_survives(const struct sim_db *db, bool power)
{
    if (db->kind == ROCKS_LOG && !power) {
        return db->version;
    }
    if (db->kind == ROCKS_STATE && !power) {
        return db->durable;
    }
    /* What was not synced may be there all the same, up to some write. */
    return dice_below(2) == 0 ? db->durable : dice_between(db->durable, db->version);
}

static void db_crash(struct disk *d, struct sim_db *db, bool power)
{
    if (db->flying != NULL && dice_below(2) == 0) {
        /* It was complete on the disk, and nobody was told. */
        db_apply(db, db->flying);
        db->durable = power && dice_below(2) == 0 ? db->version : db->durable;
    }
    db->flying = NULL;
    db->busy = false;
    db->open = false;
    db->pin_count = 0;
    uint64_t version = db_survives(db, power);
    d->lost += db->version - version;
    map_collapse(&db->map, version);
    db->version = version;
    db->durable = version;
}

void disk_crash(struct disk *d, bool power)
{
    d->locked = false;
    for (unsigned i = 0; i < DISK_FILES_MAX && d->dbs[i] != NULL; i++) {
        db_crash(d, d->dbs[i], power);
    }
    for (unsigned i = 0; i < DISK_FILES_MAX && d->marks[i] != NULL; i++) {
        struct sim_mark *m = d->marks[i];
        /* A file that is written in place: some page of it may be old. */
        m->values[0] = m->values[power ? dice_below(m->count) : m->count - 1];
        m->count = 1;
    }
}

bool disk_flip(struct disk *d)
{
    struct sim_db *db = disk_db(d, "log");
    if (db == NULL || db->map.count == 0) {
        return false;
    }
    uint64_t skip = dice_below(db->map.count);
    struct map_node *n = map_seek(&db->map, BYTES(""), db->version);
    for (struct map_node *next = n; skip > 0 && next != NULL; skip--) {
        n = next;
        next = map_next(n, db->version);
    }
    if (n == NULL || n->value.len == 0) {
        return false;
    }
    char *data = (char *)(uintptr_t)n->value.ptr;
    uint64_t bit = dice_below(n->value.len * 8);
    data[bit / 8] = (char)(data[bit / 8] ^ (1 << bit % 8));
    d->flips++;
    return true;
}

/* --- store/datadir.h ------------------------------------------------------------------------- */

static char *path_join(const char *path, const char *name)
{
    char joined[DISK_PATH_MAX];
    (void)snprintf(joined, sizeof joined, "%s/%s", path, name);
    return mem_strdup(joined);
}

enum err datadir_open(const char *path, struct datadir *ret_dir, struct reason *why)
{
    struct disk *d = disk_of(path);
    CHECK(d != NULL);
    if (d->locked) {
        reason_set(why, "%s: in use by another process", path);
        return ERR_IN_USE;
    }
    if (d->full) {
        reason_set(why, "%s: no space left on the disk", path);
        return ERR_NO_SPACE;
    }
    disk_wait_for(d, true);
    d->locked = true;
    *ret_dir = (struct datadir){
        .path = mem_strdup(path),
        .log_path = path_join(path, "log"),
        .mark_path = path_join(path, "log.mark"),
        .state_path = path_join(path, "state"),
        .lock_fd = (int)d->number,
    };
    return OK;
}

void datadir_close(struct datadir *dir)
{
    if (dir->lock_fd > 0) {
        disks[dir->lock_fd].locked = false;
    }
    free(dir->path);
    free(dir->log_path);
    free(dir->mark_path);
    free(dir->state_path);
    *dir = (struct datadir){.lock_fd = -1};
}

enum err datadir_space(const struct datadir *dir, struct datadir_space *ret_space)
{
    const struct disk *d = disk_of(dir->path);
    CHECK(d != NULL);
    *ret_space = (struct datadir_space){
        .free = d->full ? 0 : d->total / 2,
        .total = d->total,
    };
    return OK;
}

uint64_t datadir_reserve(const struct datadir_space *space)
{
    return space->total / DISK_RESERVE_PART;
}

uint64_t datadir_reserve_end(const struct datadir_space *space)
{
    return datadir_reserve(space) / 4 * 5;
}

char *datadir_state(const struct datadir *dir, uint64_t generation)
{
    char name[32] = "state";
    if (generation > 0) {
        (void)snprintf(name, sizeof name, "state.%llu", (unsigned long long)generation);
    }
    return path_join(dir->path, name);
}

static void disk_remove(struct disk *d, unsigned at)
{
    struct sim_db *db = d->dbs[at];
    CHECK(!db->open);
    map_close(&db->map);
    free(db);
    for (; at + 1 < DISK_FILES_MAX; at++) {
        d->dbs[at] = d->dbs[at + 1];
    }
    d->dbs[DISK_FILES_MAX - 1] = NULL;
}

void datadir_remove(const char *path)
{
    struct disk *d = disk_of(path);
    CHECK(d != NULL);
    for (unsigned i = 0; i < DISK_FILES_MAX && d->dbs[i] != NULL; i++) {
        if (strcmp(d->dbs[i]->path, path) == 0) {
            disk_remove(d, i);
            return;
        }
    }
}

void datadir_drop_states(const struct datadir *dir, uint64_t current)
{
    struct disk *d = disk_of(dir->path);
    char *kept = datadir_state(dir, current);
    for (unsigned i = 0; i < DISK_FILES_MAX && d->dbs[i] != NULL;) {
        if (d->dbs[i]->kind == ROCKS_STATE && strcmp(d->dbs[i]->path, kept) != 0) {
            disk_remove(d, i);
        } else {
            i++;
        }
    }
    free(kept);
}

enum err
datadir_get_repair(const struct datadir *dir, struct datadir_repair *ret_repair, struct reason *why)
{
    (void)why;
    *ret_repair = disks[dir->lock_fd].repair;
    return OK;
}

enum err datadir_set_repair(const struct datadir *dir,
                            const struct datadir_repair *repair,
                            struct reason *why)
{
    struct disk *d = &disks[dir->lock_fd];
    (void)why;
    disk_wait_for(d, true);
    d->repair = *repair;
    return OK;
}

enum err datadir_set_aside(const struct datadir *dir, struct reason *why)
{
    struct disk *d = &disks[dir->lock_fd];
    (void)why;
    disk_wait_for(d, true);
    disk_forget(d);
    return OK;
}

void datadir_drop_damaged(const struct datadir *dir)
{
    (void)dir;
}

enum err datadir_sync(const char *path, struct reason *why)
{
    const struct disk *d = disk_of(path);
    (void)why;
    CHECK(d != NULL);
    disk_wait_for(d, true);
    return OK;
}

/* --- store/replica/wal_check.h --------------------------------------------------------------- */

/* A torn end is cut off by the crash itself; flipped bits are the log's own to find. */
enum err wal_check(const char *directory, uint64_t durable, struct reason *why)
{
    (void)directory;
    (void)durable;
    (void)why;
    return OK;
}

/* --- store/replica/mark.h -------------------------------------------------------------------- */

struct mark {
    struct disk *disk;
    struct sim_mark *file;
    bool fresh;
};

enum err mark_open(const char *path, struct mark **ret_mark, struct reason *why)
{
    struct disk *d = disk_of(path);
    struct mark *m = mem_zalloc(1, sizeof *m);
    unsigned i = 0;
    CHECK(d != NULL);
    (void)why;
    while (i < DISK_FILES_MAX && d->marks[i] != NULL && strcmp(d->marks[i]->path, path) != 0) {
        i++;
    }
    CHECK(i < DISK_FILES_MAX);
    if (d->marks[i] == NULL) {
        struct sim_mark *file = mem_zalloc(1, sizeof *file);
        (void)snprintf(file->path, sizeof file->path, "%s", path);
        file->count = 1;
        d->marks[i] = file;
        m->fresh = true;
    }
    m->disk = d;
    m->file = d->marks[i];
    *ret_mark = m;
    return OK;
}

void mark_close(struct mark *m)
{
    free(m);
}

uint64_t mark_index(const struct mark *m)
{
    return m->file->values[m->file->count - 1];
}

bool mark_fresh(const struct mark *m)
{
    return m->fresh;
}

enum err mark_set(struct mark *m, uint64_t index, bool sync, struct reason *why)
{
    struct sim_mark *file = m->file;
    (void)why;
    if (sync) {
        disk_wait_for(m->disk, true);
        file->count = 0;
    } else if (file->count == MARK_VALUES_MAX) {
        /* The oldest page has long reached the disk. */
        memmove(file->values, file->values + 1, (MARK_VALUES_MAX - 1) * sizeof file->values[0]);
        file->count--;
    }
    file->values[file->count++] = index;
    return OK;
}
