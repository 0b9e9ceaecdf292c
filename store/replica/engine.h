/* The consensus engine: libraft's core behind the guards. Events go in, and what must be done comes
 * out through `struct engine_ops`, in the order in which it must be done. No clock, disk, socket or
 * thread of its own.
 *
 * Order    within one event: save_vote, then cut_tail, append, send, and commit last.
 * Owner    what an op gets is borrowed for the call. An op may not call the engine, except that
 *          `commit` calls engine_configuration_applied().
 * Units    milliseconds of one monotonic clock.
 * Errors   what the library cannot recover from is fatal().
 * Threads  one.
 */
#ifndef STORE_REPLICA_ENGINE_H
#define STORE_REPLICA_ENGINE_H

#include "store/replica/guard.h"
#include "store/replica/journal.h"

struct engine;
struct raft_message;

struct engine_ops {
    /* Durable when it returns. */
    void (*save_vote)(void *ctx, uint64_t term, uint64_t vote);
    /* The entries from `from` on are another leader's: forget them, also those on their way to the
     * disk (their completions end before `from`). */
    void (*cut_tail)(void *ctx, uint64_t from);
    /* Make durable in the background, then tell engine_persisted(). */
    void (*append)(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count);
    /* To another server; an AppendEntries names its entries by index alone. */
    void (*send)(void *ctx, const struct raft_message *m);
    /* Everything up to `through` is committed: apply it now. */
    void (*commit)(void *ctx, uint64_t through);
};

struct engine_options {
    uint64_t id; /* not 0 */
    const char *address;
    unsigned seed; /* of the election timeouts */
    struct guards guards;
    const struct engine_ops *ops;
    void *ctx;
};

struct engine *engine_new(const struct engine_options *options);
/* NULL is allowed. */
void engine_free(struct engine *e);

/* The encoded configuration of a cluster of one: entry 1 of its log. Appends. */
enum err
engine_configuration_encode(uint64_t id, const char *address, struct buf *out) ERR_MUST_USE;

/* First event. `applied` is how far the state is: the entries behind it are committed again through
 * the op. ERR_CORRUPT if a configuration in the log cannot be read. */
enum err engine_start(struct engine *e,
                      const struct journal_facts *facts,
                      uint64_t applied,
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
/* The configuration entry at `index` was applied. */
void engine_configuration_applied(struct engine *e,
                                  uint64_t index,
                                  struct bytes configuration,
                                  uint64_t now_ms);
/* The state is durable up to `index`: the log needs only `trailing` entries before it.
 * `ret_snapshot` (borrowed until the next event) and `ret_first_kept` are for the journal.
 * ERR_BUSY if it has to wait for a newer index. */
enum err engine_snapshot(struct engine *e,
                         uint64_t index,
                         unsigned trailing,
                         uint64_t now_ms,
                         struct journal_snapshot *ret_snapshot,
                         uint64_t *ret_first_kept) ERR_MUST_USE;
/* A message from another server, already parsed and in range. The entries' payload is one
 * raft_malloc() and becomes the engine's. */
void engine_receive(struct engine *e, const struct raft_message *message, uint64_t now_ms);
/* To be called when engine_deadline() is reached. */
void engine_timeout(struct engine *e, uint64_t now_ms);

uint64_t engine_deadline(const struct engine *e, uint64_t now_ms);
bool engine_leads(struct engine *e);
uint64_t engine_term(const struct engine *e);
uint64_t engine_last(const struct engine *e);
/* Term of an entry that is in the log, or of the snapshot. */
uint64_t engine_term_of(const struct engine *e, uint64_t index);
uint64_t engine_commit(const struct engine *e);
uint64_t engine_snapshot_index(const struct engine *e);
uint64_t engine_snapshot_term(const struct engine *e);

#endif
