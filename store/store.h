/* The store: commands in, changes out. Owns the replicated state, the log, Raft and their
 * threads (hub and disk).
 *
 * Life     store_open() -> readers open -> store_close() after the readers are closed and no
 *          proposal is left with a caller who cannot be answered.
 * Promise  a proposal is answered OK only when its command is on a majority's disks, applied,
 *          and in the view that every reader gets from then on. After ERR_TIMEOUT and ERR_CLOSED
 *          the outcome is unknown; after every other error it was not applied and never will be.
 * Errors   a log that cannot be synced ends the process; a full disk refuses writes
 *          (ERR_NO_SPACE) and recovers by itself.
 * Threads  as said at each function.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "core/base/loop.h"
#include "store/command.h"
#include "store/view.h"

#include <stdatomic.h>

struct store;
struct reader_news;

struct store_options {
    const char *data_dir; /* NULL: in memory, gone at the end (-dev) */
    const char *node_id;  /* a UUID; its first half is the Raft id */
    const char *address;  /* host:port of this server's RPC port, as shown by /v1/status */
    uint64_t history_age_ms;
    uint64_t history_bytes;
    uint64_t log_trailing; /* entries kept behind the last durable state */
};

/* Opens or creates. On failure `why` names the file and what to do: ERR_IN_USE, ERR_VERSION,
 * ERR_READ_ONLY, ERR_NO_SPACE, ERR_CORRUPT, ERR_IO. Returns when the server leads and all that
 * was acknowledged before is applied. */
enum err store_open(const struct store_options *options,
                    struct store **ret_store,
                    struct reason *why) ERR_MUST_USE;
/* Answers what waits with ERR_CLOSED, makes the state durable, frees. */
void store_close(struct store *s);

/* --- reading -------------------------------------------------------------------------------- */

/* One thread's window on the store. Memory is the caller's. */
struct store_reader {
    /* `b` is borrowed for the call (ref it to keep it). */
    void (*on_changes)(struct store_reader *r, struct change_batch *b);
    void *ctx; /* the caller's */
    /* private */
    struct store *store;
    struct loop *loop;
    struct view *view;
    struct store_reader *next;
    _Atomic(struct reader_news *) inbox; /* newest first */
    struct reader_news *retired;         /* views that this turn may still hold */
    struct mail kick;
    atomic_bool kicked;
    bool delivering;
};

/* All readers are opened before their loops run, and closed after those have stopped. */
void store_reader_open(struct store_reader *r, struct store *s, struct loop *loop);
void store_reader_close(struct store_reader *r);
/* The newest published view: contains every write that was acknowledged to anybody before this
 * call, so that a client reads its own writes on any connection. Borrowed until the loop's next
 * turn. Call it on the reader's loop; it may deliver mail. */
struct view *store_reader_view(struct store_reader *r);

/* --- writing -------------------------------------------------------------------------------- */

/* One write on its way; its memory is the caller's and must stay until `done`. */
struct proposal {
    /* On the loop the proposal came from.
     * OK              applied; `index` is its Raft index
     * ERR_CONFLICT    applied, and its condition did not hold: nothing changed
     * ERR_NOT_LEADER, ERR_BUSY, ERR_NO_SPACE, ERR_TOO_BIG   not applied, and never will be
     * ERR_TIMEOUT, ERR_CLOSED   unknown: it may still apply later */
    void (*done)(struct proposal *p);
    void *ctx; /* the caller's */
    /* read-only, in `done` */
    enum err status;
    uint64_t index;
    /* private */
    struct mail mail;
    struct store *store;
    struct loop *loop;
    char *command;
    size_t command_len;
    uint64_t proposed_us;
};

/* Takes the encoded command out of `command`. Any loop's thread; `done` comes back there, never
 * from inside this call. */
void store_propose(struct store *s, struct loop *from, struct proposal *p, struct buf *command);

/* --- facts ---------------------------------------------------------------------------------- */

struct store_facts {
    bool leader;
    uint64_t term;
    uint64_t last_log_index;
    uint64_t last_log_term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t history_bytes;
    bool disk_full;
    char epoch[17]; /* cluster id and log incarnation, hex: changes when indexes may repeat */
};

/* Any thread. */
void store_facts_get(struct store *s, struct store_facts *ret_facts);
/* Reloadable settings. Any thread. */
void store_set_history(struct store *s, uint64_t age_ms, uint64_t bytes);

#endif
