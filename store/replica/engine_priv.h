/* The engine from the inside: engine.c drives it, engine_facts.c says how it stands.
 *
 * Threads  one.
 */
#ifndef STORE_REPLICA_ENGINE_PRIV_H
#define STORE_REPLICA_ENGINE_PRIV_H

#include "store/replica/engine.h"
#include "store/replica/terms.h"

#include <raft.h>

/* A configuration in the log that is not known to be committed. At most one that raft accepts, but
 * followers may see an older leader's replaced. */
struct engine_change {
    uint64_t index; /* 0: none */
    struct buf encoded;
};

struct engine {
    struct raft raft;
    struct guards guards;
    const struct engine_ops *ops;
    void *ctx;
    uint64_t id;
    uint64_t first; /* of the log */
    uint64_t last;
    uint64_t stored; /* last entry told to the library as durable */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    /* Committed; and the newest. */
    struct engine_change committed;
    struct engine_change newest;
    struct store_servers servers_committed;
    struct store_servers servers;
    struct terms terms; /* of the log's entries */
    /* Room for what is converted; kept between events. */
    struct raft_entry *entries;
    size_t entries_cap;
    struct journal_entry *staged;
    size_t staged_cap;
    uint64_t ahead_ms; /* the library's clock before ours: see engine_suspect() */
    /* Who will take over as soon as its log is as long as ours (G8); 0: nobody. */
    uint64_t heir;
    /* Of the message at hand: what G4 asks for. */
    bool answering;
    bool quiet; /* nobody waits for an answer to it */
    uint64_t received_term;
};

/* Nobody else votes, by the newest configuration. */
bool engine_sole(const struct engine *e);

#endif
