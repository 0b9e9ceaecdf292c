/* The data directory: who may use it, of which version it is, and how much room its disk has.
 *
 *     VERSION    one line, written once and never half
 *     LOCK       locked while a server uses the directory
 *     log/       the Raft log (store/replica/journal.h)
 *     log.mark   how far the log was durable at least
 *     repair     how far a repair is (store/repair.h); there is none otherwise
 *     damaged/   what the last repair put aside: never read again, gone with the start after it
 *     state/     the replicated state (store/state.h); state.<n>/ after it was replaced n times by
 *                another server's: the log says which one is current
 *
 * Owner    datadir_open() -> datadir_close().
 * Errors   ERR_READ_ONLY, ERR_DENIED, ERR_IN_USE, ERR_VERSION, ERR_NO_SPACE, ERR_INVALID (not a
 *          directory), ERR_IO; `why` names the path and what to do.
 * Threads  none for open and close; datadir_space() from any.
 */
#ifndef STORE_DATADIR_H
#define STORE_DATADIR_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct datadir {
    /* read-only */
    char *path;
    char *log_path;
    char *mark_path;
    char *state_path;
    /* private */
    int lock_fd;
};

/* Creates what is missing, parents included. */
enum err datadir_open(const char *path, struct datadir *ret_dir, struct reason *why) ERR_MUST_USE;
void datadir_close(struct datadir *dir);

struct datadir_space {
    uint64_t free;  /* bytes that this process may still write */
    uint64_t total; /* size of the file system */
};

enum err datadir_space(const struct datadir *dir, struct datadir_space *ret_space) ERR_MUST_USE;

/* Free bytes below which writes are refused, and above which they are taken again. The reserve is
 * what the databases need to put aside what they hold in memory; it scales with small disks. */
uint64_t datadir_reserve(const struct datadir_space *space);
uint64_t datadir_reserve_end(const struct datadir_space *space);

/* Where the state of a generation is; the caller frees it. 0: `state_path`. */
char *datadir_state(const struct datadir *dir, uint64_t generation);
/* Deletes the states of all other generations: a replaced one, or one that never got whole. What
 * cannot be deleted stays until the next time. */
void datadir_drop_states(const struct datadir *dir, uint64_t current);
/* Deletes a database's directory (one without directories inside), if it is there. */
void datadir_remove(const char *path);

/* A repair under way (store/repair.h). */
enum repair_phase {
    REPAIR_NONE,
    REPAIR_ASIDE, /* log and state are to be put aside */
    REPAIR_APART,
    REPAIR_BACK,
};

struct datadir_repair {
    enum repair_phase phase;
    uint64_t floor_index; /* REPAIR_BACK */
    uint64_t floor_term;
};

/* Reads it; REPAIR_NONE when there is none. ERR_CORRUPT: the file is not ours. */
enum err datadir_get_repair(const struct datadir *dir,
                            struct datadir_repair *ret_repair,
                            struct reason *why) ERR_MUST_USE;
/* Durable when it returns. */
enum err datadir_set_repair(const struct datadir *dir,
                            const struct datadir_repair *repair,
                            struct reason *why) ERR_MUST_USE;
/* Moves log, mark and states into `damaged`, in the place of what was there before. May be repeated
 * after a crash in the middle of it. */
enum err datadir_set_aside(const struct datadir *dir, struct reason *why) ERR_MUST_USE;
/* Deletes `damaged`, as far as it can. */
void datadir_drop_damaged(const struct datadir *dir);

/* Makes the directory's own entries durable: after files were created or renamed in it. */
enum err datadir_sync(const char *path, struct reason *why) ERR_MUST_USE;

#endif
