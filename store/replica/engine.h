/* The consensus engine: libraft's core behind the guards. Events go in, and what must be done comes
 * out through `struct engine_ops`, in the order in which it must be done. No clock, disk, socket or
 * thread of its own. Configurations take effect in here as soon as they are committed.
 *
 * Order    within one event: save_vote, then install, cut_tail, append, send, and commit last.
 * Owner    what an op gets is borrowed for the call. An op may not call the engine.
 * Units    milliseconds of one monotonic clock.
 * Errors   what the library cannot recover from is fatal().
 * Threads  one.
 */
#ifndef STORE_REPLICA_ENGINE_H
#define STORE_REPLICA_ENGINE_H

#include "store/replica/engine_members.h"
#include "store/replica/guard.h"
#include "store/replica/journal.h"
#include "store/replica/rpc.h"

struct engine;

struct engine_ops {
    /* Durable when it returns. */
    void (*save_vote)(void *ctx, uint64_t term, uint64_t vote);
    /* The log is empty behind this snapshot, and the state is the one that was fetched. Durable
     * when it returns; writes on their way to the disk count no more. */
    void (*install)(void *ctx, const struct journal_snapshot *snapshot);
    /* The entries from `from` on are another leader's: forget them, also those on their way to the
     * disk (their completions end before `from`). */
    void (*cut_tail)(void *ctx, uint64_t from);
    /* Make durable in the background, then tell engine_persisted(). */
    void (*append)(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count);
    /* To another server; an RPC_APPEND has no entries, only their count: those behind prev_index.
     */
    void (*send)(void *ctx, uint64_t to, const struct rpc_message *m);
    /* Everything up to `through` is committed: apply it. */
    void (*commit)(void *ctx, uint64_t through);
};

struct engine_options {
    uint64_t id;   /* not 0 */
    unsigned seed; /* of the election timeouts */
    unsigned election_ms;
    struct guards guards;
    const struct engine_ops *ops;
    void *ctx;
};

struct engine *engine_new(const struct engine_options *options);
/* NULL is allowed. */
void engine_free(struct engine *e);

/* First event. ERR_CORRUPT if a configuration in the log cannot be read. */
enum err engine_start(struct engine *e,
                      const struct journal_facts *facts,
                      uint64_t now_ms,
                      struct reason *why) ERR_MUST_USE;

/* Sets the entries' terms, and appends them behind the log's end. A configuration goes alone.
 * ERR_NOT_LEADER; ERR_BUSY while another configuration is not committed. */
enum err engine_submit(struct engine *e,
                       struct journal_entry *entries,
                       size_t count,
                       uint64_t now_ms) ERR_MUST_USE;
/* Entries up to `index` are durable; completions that come late or twice are ignored. */
void engine_persisted(struct engine *e, uint64_t index, uint64_t now_ms);
/* The state is durable up to `index`: the log needs only `trailing` entries before it.
 * `ret_snapshot` (borrowed until the next event) and `ret_first_kept` are for the journal.
 * ERR_BUSY if it has to wait for a newer index. */
enum err engine_snapshot(struct engine *e,
                         uint64_t index,
                         uint64_t trailing,
                         uint64_t now_ms,
                         struct journal_snapshot *ret_snapshot,
                         uint64_t *ret_first_kept) ERR_MUST_USE;
/* A message from another server. RPC_INSTALL only says that a snapshot must be fetched: the caller
 * does, then calls engine_install(). */
void engine_receive(struct engine *e, uint64_t from, const struct rpc_message *in, uint64_t now_ms);
/* A state at `snapshot` was fetched. ERR_NOT_LEADER while no leader of this term is known: try
 * again with the next message; ERR_CONFLICT if the log has all of it by now. */
enum err engine_install(struct engine *e,
                        const struct journal_snapshot *snapshot,
                        uint64_t now_ms) ERR_MUST_USE;
/* The leader seems to be gone (its connection was reset): if it is not heard within `delay_ms`,
 * this server asks the others whether they would vote for it, as if the election timeout had
 * passed. Who still hears a leader says no, so a wrong suspicion changes nothing (pre-vote). */
void engine_suspect(struct engine *e, uint64_t delay_ms, uint64_t now_ms);
/* Hands leadership over; `to` 0: to who is furthest. ERR_NOT_LEADER, ERR_NOT_FOUND. */
enum err engine_transfer(struct engine *e, uint64_t to, uint64_t now_ms) ERR_MUST_USE;
/* To be called when engine_deadline() is reached. */
void engine_timeout(struct engine *e, uint64_t now_ms);

uint64_t engine_deadline(const struct engine *e, uint64_t now_ms);
bool engine_leads(struct engine *e);
/* 0: nobody is known to lead. */
uint64_t engine_leader(struct engine *e);
/* It leads, and no hand-over is under way. */
bool engine_takes_entries(struct engine *e);
/* It leads, and an entry of its own term is committed (or it is the only voter): it knows all that
 * is. */
bool engine_settled(struct engine *e);
uint64_t engine_term(const struct engine *e);
uint64_t engine_last(const struct engine *e);
/* Up to here the log is known to be durable. */
uint64_t engine_stored(const struct engine *e);
uint64_t engine_first(const struct engine *e);
/* Term of an entry that is in the log, or of the snapshot. */
uint64_t engine_term_of(const struct engine *e, uint64_t index);
uint64_t engine_commit(const struct engine *e);
uint64_t engine_snapshot_index(const struct engine *e);
uint64_t engine_snapshot_term(const struct engine *e);
/* How far a follower's log is known to be ours; 0 if it is not, or this server does not lead. */
uint64_t engine_match(const struct engine *e, uint64_t id);

/* The newest configuration, committed or not, and the newest committed one. Borrowed until the next
 * event; without servers when there is none. */
const struct store_servers *engine_servers(const struct engine *e);
const struct store_servers *engine_servers_committed(const struct engine *e);
bool engine_changing(const struct engine *e); /* the newest is not committed */
/* As of the newest committed one: index and encoding. */
uint64_t engine_configuration(const struct engine *e, struct bytes *ret_encoded);
/* As of `index`, which is committed whether or not this engine knows it yet; 0: not at hand. */
uint64_t engine_configuration_at(const struct engine *e, uint64_t index, struct bytes *ret_encoded);

#endif
