/* The simulated disks: one for each server, which outlives its crashes. Databases (store/rocks.h),
 * marks and directories live there by path ("/s3/log"). What a crash leaves is decided here.
 *
 * Crash    of the process: all that was written stays, but what a database without a log held in
 *          memory is gone. Of the power: also what was not synced is gone, or some of it.
 * Threads  none.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "store/datadir.h"
#include "store/rocks.h"
#include "tests/sim/map.h"
#include "tests/sim/world.h"

#define DISK_PATH_MAX   64
#define DISK_FILES_MAX  16U
#define MARK_VALUES_MAX 64U
#define DB_PINS_MAX     4096U

struct sim_db {
    char path[DISK_PATH_MAX];
    enum rocks_kind kind;
    bool open;
    bool busy;                  /* a synced write is under way */
    bool stuck;                 /* a flush failed for want of room: no writes until there is some */
    uint64_t version;           /* of the newest write */
    uint64_t durable;           /* up to here a loss of power takes nothing */
    struct rocks_batch *flying; /* between being issued and being synced */
    struct map map;
    uint64_t pins[DB_PINS_MAX]; /* versions that snapshots and iterators see */
    size_t pin_count;
    size_t pruned; /* nodes that the last pruning left */
};

struct sim_mark {
    char path[DISK_PATH_MAX];
    uint64_t values[MARK_VALUES_MAX]; /* since the last sync, which is values[0] */
    size_t count;
};

struct disk {
    unsigned number;
    bool locked;
    bool fresh; /* nothing was ever written */
    uint64_t total;
    unsigned writeback; /* one of so many writes of a state makes what went before durable */
    struct sim_db *dbs[DISK_FILES_MAX];
    struct sim_mark *marks[DISK_FILES_MAX];
    /* Faults */
    uint64_t sync_min_us;
    uint64_t sync_max_us;
    uint64_t stall_ppm; /* so many syncs take `stall_us` */
    uint64_t stall_us;
    bool full;
    uint64_t io_error_ppm; /* of writes */
    /* Counted */
    uint64_t syncs;
    uint64_t lost; /* versions that crashes took */
    uint64_t flips;
    struct datadir_repair repair;
};

/* All of them; [1] is server 1's. */
extern struct disk disks[PROCESS_MAX];

void disks_open(void);
void disks_close(void);
/* The disk a path is on; NULL for paths that are on none (in memory). */
struct disk *disk_of(const char *path);
void disk_crash(struct disk *d, bool power);
/* Everything is gone: a new disk. */
void disk_wipe(struct disk *d);
/* Flips one bit of one stored log entry or vote. False if there is nothing to damage. */
bool disk_flip(struct disk *d);
struct sim_db *disk_db(struct disk *d, const char *name);
/* A little time passes, as the disk is; `sync`: until it has it. */
void disk_wait_for(const struct disk *d, bool sync);

#endif
