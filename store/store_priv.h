/* The store from the inside: what its files share. store.c opens and closes, hub.c turns proposals
 * into entries, applied state and answers, publish.c hands out views and changes, disk.c does what
 * waits for the disk.
 *
 *     front      hub                                  disk              keeper
 *       | propose  |                                    |                 |
 *       |--------->| all that wait -> one group --------> one synced write |
 *       |          | (the next group collects)          |                 |
 *       |          |<-----------------------------------|                 |
 *       |          | commit, apply, one view and batch  |                 |
 *       |<=========| changes, then answers              |                 |
 *       |          | enough not durable ---------------------------------> flush the state
 *       |          |<------------------------------------------------------|
 *       |          | cut the log behind it ------------->                 |
 *
 * Threads  each field says who may touch it; without a word it is the hub's.
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "core/base/limit.h"
#include "store/datadir.h"
#include "store/replica/engine.h"
#include "store/replica/journal.h"
#include "store/state.h"
#include "store/store.h"

/* Proposals in order, chained by their mail. */
struct proposal_queue {
    struct mail *first;
    struct mail **last;
    size_t count;
    size_t bytes;
};

/* One group commit on its way to the disk and back. */
struct disk_group {
    struct mail mail;
    struct store *store;
    bool busy; /* the disk has it */
    uint64_t first;
    size_t count;
    size_t bytes;
    struct journal_entry *entries; /* their payload is the proposals' */
    size_t entries_cap;
};

/* The log's head on its way to be cut. */
struct disk_cut {
    struct mail mail;
    struct store *store;
    bool busy;
    bool compact;
    struct journal_snapshot snapshot;
    struct buf configuration;
    uint64_t first_kept;
};

/* The state on its way to become durable. */
struct keeper_flush {
    struct mail mail;
    struct store *store;
    bool busy;
    size_t bytes; /* of the commands it covers */
    enum err result;
};

/* When an index was reached: what the reaping of tombstones counts by. */
struct reap_mark {
    uint64_t at_ms;
    uint64_t index;
};

#define REAP_MARKS (TOMBSTONE_AGE_MS / TOMBSTONE_REAP_MS + 2)

struct store {
    bool in_memory;     /* constant */
    struct datadir dir; /* constant; empty in memory */
    char *address;
    uint64_t id;
    unsigned log_trailing;
    struct loop *hub;
    struct loop *disk;
    struct loop *keeper;
    struct journal *journal; /* the disk thread's while it runs */
    struct state *state;
    struct engine *engine;

    /* proposals */
    struct proposal_queue pending;   /* wait for a group */
    struct proposal_queue submitted; /* have an index, not applied yet */
    struct proposal_queue answered;  /* done, not told yet */
    struct mail submit;              /* the hub's mail to itself: all that had come is collected */
    bool submit_posted;
    struct disk_group group;
    struct journal_entry *entries; /* room for a group */
    size_t entries_cap;
    uint64_t commit;
    uint64_t applied;
    bool parked; /* the state takes no writes for now: its disk is full */
    struct timer retry;
    struct timer engine_timer;

    /* readers */
    struct store_reader *readers;
    struct view *view; /* the newest */
    struct collect collect;
    _Atomic uint64_t published; /* any thread */

    /* background */
    struct timer tick;
    struct timer trim;
    struct timer reap;
    struct disk_cut cut;
    struct keeper_flush flush;
    size_t dirty_bytes; /* of commands applied since the last flush began */
    uint64_t dirty_since_ms;
    size_t flush_budget;
    size_t uncut_bytes; /* of entries appended since the log was cut */
    size_t uncompacted_bytes;
    size_t unlooked_bytes; /* of commands applied since it was asked how far the state is durable */
    uint64_t history_age_ms;
    uint64_t history_bytes_max;
    struct reap_mark reap_marks[REAP_MARKS];
    size_t reap_count;
    struct proposal reap_proposal;
    bool reaping;

    /* the disk */
    struct datadir_space space;
    bool full;

    /* closing */
    atomic_bool closing; /* any thread may read */
    struct mail close_mail;

    /* facts, any thread */
    struct {
        _Atomic uint64_t term;
        _Atomic uint64_t last;
        _Atomic uint64_t last_term;
        _Atomic uint64_t commit;
        _Atomic uint64_t applied;
        _Atomic uint64_t snapshot_index;
        _Atomic uint64_t snapshot_term;
        _Atomic uint64_t history_bytes;
        atomic_bool leader;
        atomic_bool disk_full;
        uint64_t epoch; /* constant */
    } facts;
};

/* hub.c */
extern const struct engine_ops HUB_OPS;
void hub_open(struct store *s);
void hub_start_timers(struct store *s);
/* Applies what is committed, on the thread that opens. */
enum err hub_replay(struct store *s, struct reason *why) ERR_MUST_USE;
void hub_on_proposal(struct mail *m);
void hub_on_appended(struct store *s);
void hub_refresh_facts(struct store *s);
/* Runs `fn` on the hub and waits for its end. Not from the hub. */
void hub_call(struct store *s, void (*fn)(struct store *s, void *arg), void *arg);
void proposal_queue_init(struct proposal_queue *q);
void hub_refuse(struct store *s, struct proposal *p, enum err status);
void hub_post_submit(struct store *s);
/* Answers everything and stops the hub once nothing is under way. */
void hub_on_close(struct mail *m);

/* keep.c: what happens in the background */
void keep_open(struct store *s);
void keep_start(struct store *s);
void keep_stop(struct store *s);
void keep_on_applied(struct store *s, size_t bytes);
void keep_on_flushed(struct store *s);
void keep_on_cut(struct store *s);
/* Asks the disk for its free space; true while writes are to be refused. */
bool keep_disk_full(struct store *s);

/* disk.c */
void disk_append(struct store *s);
void disk_cut_head(struct store *s);
void disk_flush_state(struct store *s);

/* publish.c */
/* Tells all readers what this round of applying did. */
void publish(struct store *s, uint64_t after);
void publish_open(struct store *s);
void publish_close(struct store *s);

#endif
