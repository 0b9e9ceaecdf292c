/* The store from the inside: what its files share. store.c opens and closes; hub.c drives the
 * engine; write.c turns proposals into entries, here or at the leader; apply_round.c turns what is
 * committed into views, changes and answers; read.c says how new a view is; servers.c changes the
 * set of servers; peers.c speaks with the others; fetch.c gets and gives snapshots; publish.c hands
 * out views and changes; disk.c does what waits for the disk; keep.c what happens in the
 * background; recover.c puts other servers in the place of the lost.
 *
 *     front      hub                                  disk / peers      keeper
 *       | propose  |                                    |                 |
 *       |--------->| all that wait -> one group --------> one synced write, and one message
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
#include "store/fetch.h"
#include "store/read.h"
#include "store/repair.h"
#include "store/replica/engine.h"
#include "store/replica/journal.h"
#include "store/replica/tail.h"
#include "store/replica/transport.h"
#include "store/servers.h"
#include "store/state.h"
#include "store/store.h"
#include "store/write.h"

/* One group commit on its way to the disk and back. */
struct disk_group {
    struct mail mail;
    struct store *store;
    bool busy;         /* the disk has it */
    uint64_t cut_from; /* first the log is cut from here on; 0: not */
    uint64_t first;
    size_t count;
    enum err result;        /* OK or ERR_NO_SPACE */
    uint64_t slow_quiet_ms; /* the disk thread's: nothing is said of slowness before */
    uint64_t clip; /* of what it wrote only this far counts: the rest was replaced meanwhile */
    size_t bytes;
    struct journal_entry *entries; /* their payload is the tail's */
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
    char node_id[37];
    uint64_t id;
    unsigned election_ms;
    uint64_t hold_ms;  /* how long what needs a leader waits for one */
    uint64_t proposer; /* our name for once.h: a new one at each start */
    unsigned log_trailing;
    struct loop *hub;
    struct loop *disk;
    struct loop *keeper;
    bool repairs;            /* constant: what is damaged is fetched from the others */
    bool running;            /* the loops do */
    bool muted;              /* nothing is said to other servers any more */
    struct journal *journal; /* the disk thread's while it runs; reading: also the hub's */
    struct state *state;
    struct engine *engine;
    struct transport *transport; /* NULL: no other server may join */
    bool (*other)(void *ctx, int fd, struct bytes begun, const char *from);
    void *other_ctx;
    uint64_t cluster; /* 0: not part of one yet */
    struct peer peers[PEERS_MAX];

    /* the log's end */
    struct tail tail;
    uint64_t written;  /* the disk has been given the entries up to here */
    uint64_t cut_from; /* the next group first cuts the log from here on; 0: not */
    struct disk_group group;

    /* proposals */
    struct writes writes;
    struct mail submit; /* the hub's mail to itself: all that had come is collected */
    bool submit_posted;
    uint64_t commit;
    uint64_t applied;
    bool parked; /* the state takes no writes for now: its disk is full */
    struct timer retry;
    struct timer engine_timer;
    struct timer peers_tick;
    struct timer disk_retry;

    /* who leads, as of the last turn */
    bool led;
    bool removed; /* this server is out of the cluster, by its own order: it learns nothing more */
    uint64_t leader;
    uint64_t led_term;
    uint64_t heard_ms; /* when the leader was last heard */
    uint64_t told_configuration;
    _Atomic uint64_t lease_ms; /* any thread: until then a majority has confirmed us */
    atomic_bool alone;         /* any thread: the only server: nobody else leads or applies */

    struct reads reads;
    struct orders orders;
    struct founding founding;
    struct fetch fetch;
    struct repair repair;
    struct rpc_room room;
    struct buf outgoing;
    struct buf gathered; /* entries read back from the journal */
    struct journal_entry *sending;
    size_t sending_cap;

    /* who wants to know of leaders */
    struct loop *listener_loop;
    void (*listener)(void *ctx);
    void *listener_ctx;
    struct mail listener_mail;
    atomic_bool listener_posted;

    /* readers */
    struct store_reader *readers;
    struct view *view; /* the newest */
    struct collect collect;
    _Atomic uint64_t published; /* any thread: counts the batches that were published */

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
        _Atomic uint64_t leader_id;
        _Atomic uint64_t heard_ms;
        _Atomic uint64_t cluster;
        _Atomic uint64_t epoch;
        atomic_uint voters;
        atomic_bool leader;
        atomic_bool disk_full;
    } facts;
};

static inline uint64_t hub_now_ms(struct store *s)
{
    return env_now_ms(loop_env(s->hub));
}

/* hub.c */
extern const struct engine_ops HUB_OPS;
void hub_open(struct store *s);
void hub_start_timers(struct store *s);
void hub_on_appended(struct store *s);
/* Behind every event of the engine: applies, writes, answers, and notices who leads. */
void hub_turn(struct store *s);
void hub_refresh_facts(struct store *s);
/* Runs `fn` on the hub and waits for its end. Not from the hub. */
void hub_call(struct store *s, void (*fn)(struct store *s, void *arg), void *arg);
/* Answers everything and stops the hub once nothing is under way. */
void hub_on_close(struct mail *m);
/* A new engine from what the journal says: at the start, and when the first configuration came. */
enum err hub_start_engine(struct store *s, struct reason *why) ERR_MUST_USE;
/* This server belongs to a cluster from now on; durable when it returns. */
void hub_adopt_cluster(struct store *s, uint64_t cluster);

/* apply_round.c */
/* Applies what is committed, on the thread that opens. */
enum err round_replay(struct store *s, struct reason *why) ERR_MUST_USE;
void round_apply(struct store *s);
/* How far it may apply. */
uint64_t round_limit(const struct store *s);
/* The entry at `index`, from memory or the disk; borrowed while `slice` and the tail stay. */
enum err round_entry(struct store *s,
                     uint64_t index,
                     struct rocks_slice *slice,
                     struct journal_entry *ret_entry,
                     struct reason *why) ERR_MUST_USE;

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
/* After ERR_NO_SPACE: the log as it is on the disk; then the group again. */
enum err disk_reopen(struct store *s) ERR_MUST_USE;
void disk_resend(struct store *s);
void disk_cut_head(struct store *s);
void disk_flush_state(struct store *s);
/* On the disk thread, behind what it was given; returns when it is done. */
void disk_call(struct store *s, void (*fn)(void *arg), void *arg);
/* The same for what must be on the disk before this server may say another word: while `fn` leaves
 * ERR_NO_SPACE in `*result` everything waits for room, reads of the newest view excepted. False:
 * the store is about to close; it is mute from now on. */
bool disk_insist(struct store *s, void (*fn)(void *arg), void *arg, const enum err *result)
    ERR_MUST_USE;

/* publish.c */
/* Tells all readers what this round of applying did. */
void publish(struct store *s, uint64_t after);
/* The state is another one. */
void publish_replaced(struct store *s, uint64_t after);
void publish_open(struct store *s);
void publish_close(struct store *s);

#endif
