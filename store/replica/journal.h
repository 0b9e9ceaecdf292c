/* The Raft log on disk: entries, term and vote, the last snapshot's description, and the cluster's
 * epoch, in a RocksDB database of its own.
 *
 * Promise  what journal_append(), journal_save_vote(), journal_cut_head() and journal_cut_tail()
 *          wrote is durable when they return OK. Every record has a checksum of its own; opening
 *          reads and checks all of it.
 * Damage   a torn write at the very end (a crash) is cut off, with a log line. Anything else is
 *          ERR_CORRUPT, with file and offset, and nothing is changed: a bad record with good ones
 *          behind it, a gap, or a log that ends before the mark. The mark is a small file beside
 *          the database, rewritten after each append without a sync of its own: it says how far
 *          the log once was durable, so that an end that went missing is noticed.
 * Format   key 'e' + index (big-endian)    an entry: index, term, type, payload, CRC-32
 *          key 'v' + '0' and 'v' + '1'     term, vote, CRC-32: the same twice
 *          key 's'                         snapshot: index, term, configuration and its index
 *          key 'g'                         generation of the state; none: 0
 *          key 'c'                         epoch
 * Threads  any one at a time for what writes; journal_read() and journal_term() from any.
 */
#ifndef STORE_REPLICA_JOURNAL_H
#define STORE_REPLICA_JOURNAL_H

#include "core/base/buf.h"
#include "store/rocks.h"

struct journal;

/* The numbers are those on disk; they are the library's too (engine.c checks). */
enum journal_type {
    JOURNAL_COMMAND = 1,
    JOURNAL_BARRIER = 2,
    JOURNAL_CONFIGURATION = 3,
};

struct journal_entry {
    uint64_t term;
    enum journal_type type;
    struct bytes data;
};

/* Everything up to `index` is in the durable state. Index 0: there is none. */
struct journal_snapshot {
    uint64_t index;
    uint64_t term;
    uint64_t configuration_index;
    struct bytes configuration; /* encoded; the journal's until it is closed */
    uint64_t generation; /* where that state is: datadir_state(); journal_install() sets it */
};

/* What was there when it was opened: the engine starts from it. */
struct journal_facts {
    bool fresh; /* nothing was: it must be bootstrapped */
    uint64_t epoch;
    uint64_t term;
    uint64_t vote;
    struct journal_snapshot snapshot;
    uint64_t first; /* of the entries; last is first - 1 if there is none */
    uint64_t last;
    /* One for each from first to last; `data` is empty except in JOURNAL_CONFIGURATION. */
    const struct journal_entry *entries;
};

struct journal_paths {
    const char *directory; /* NULL: in memory */
    const char *mark;
};

enum err journal_open(const struct journal_paths *paths,
                      struct journal **ret_journal,
                      struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void journal_close(struct journal *j);
/* Valid until journal_forget_facts(), which frees the entries. */
const struct journal_facts *journal_facts(const struct journal *j);
void journal_forget_facts(struct journal *j);

/* Entry 1, term 1, no vote, and the epoch, all or nothing. Only for a fresh one; the facts follow.
 */
enum err journal_bootstrap(struct journal *j,
                           uint64_t epoch,
                           struct bytes configuration,
                           struct reason *why) ERR_MUST_USE;

/* The servers of `snapshot` take the place of those that the log names: all other configurations in
 * it become barriers. A log that begins at entry 1 has the new one there, and no snapshot; another
 * has this snapshot. All or nothing; the facts follow. Only before the facts are forgotten. */
enum err journal_recover(struct journal *j,
                         const struct journal_snapshot *snapshot,
                         struct reason *why) ERR_MUST_USE;

/* Where the state is: datadir_state(). */
uint64_t journal_generation(const struct journal *j);

/* --- writing: each synced when it returns ---------------------------------------------------- */

/* A server without a log joins this cluster. ERR_CONFLICT: it belongs to another. */
enum err journal_adopt(struct journal *j, uint64_t epoch, struct reason *why) ERR_MUST_USE;
enum err
journal_save_vote(struct journal *j, uint64_t term, uint64_t vote, struct reason *why) ERR_MUST_USE;
/* `first` is the last index + 1. */
enum err journal_append(struct journal *j,
                        uint64_t first,
                        const struct journal_entry *entries,
                        size_t count,
                        struct reason *why) ERR_MUST_USE;
/* Forgets the entries from `from` on: another leader's replace them. */
enum err journal_cut_tail(struct journal *j, uint64_t from, struct reason *why) ERR_MUST_USE;
/* Records the snapshot and forgets the entries before `first_kept`. */
enum err journal_cut_head(struct journal *j,
                          const struct journal_snapshot *snapshot,
                          uint64_t first_kept,
                          struct reason *why) ERR_MUST_USE;
/* Another server's state took the place of ours: records the snapshot that it came from and the
 * generation under which it is, durable, and forgets all entries: the next is `snapshot->index`
 * + 1.
 */
enum err journal_install(struct journal *j,
                         const struct journal_snapshot *snapshot,
                         uint64_t generation,
                         struct reason *why) ERR_MUST_USE;
/* After ERR_NO_SPACE of a write: closes the database and opens it as it is on the disk, without
 * what the write may have left half done. May fail with ERR_NO_SPACE itself, to be called again. */
enum err journal_reopen(struct journal *j, struct reason *why) ERR_MUST_USE;
/* Gives back the disk space of what was cut. */
enum err journal_compact(struct journal *j, struct reason *why) ERR_MUST_USE;

/* --- reading --------------------------------------------------------------------------------- */

uint64_t journal_first(const struct journal *j);
uint64_t journal_last(const struct journal *j);
/* `entry->data` is borrowed from `slice`. ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO; ERR_NO_SPACE between
 * two tries of journal_reopen(). */
enum err journal_read(struct journal *j,
                      uint64_t index,
                      struct rocks_slice *slice,
                      struct journal_entry *ret_entry,
                      struct reason *why) ERR_MUST_USE;

#endif
