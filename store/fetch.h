/* Snapshots between servers: a server that is too far behind for the log asks for the state, piece
 * by piece, and goes on from there; a server that is asked reads its own from a pinned view. A cut
 * connection costs one piece; a giver that forgot the snapshot, all of them.
 *
 *     IDLE --leader says so--> ASKING --piece--> WRITING --> ASKING ... --last piece--> READY
 *       ^                         ^    (hub)    (keeper)                                 |
 *       |                         '-- no answer, another leader: again                   |
 *       '---------------- installed by the engine, with a leader's word -----------------'
 *
 * Threads  the hub's; pieces are read and written on the keeper.
 */
#ifndef STORE_FETCH_H
#define STORE_FETCH_H

#include "core/base/mailbox.h"
#include "store/replica/rpc.h"
#include "store/snapshot.h"

struct store;

enum fetch_state {
    FETCH_IDLE,
    FETCH_ASKING,
    FETCH_WRITING,
    FETCH_READY,
};

/* Snapshots that we give at a time: one for each of the others is enough. */
#define FETCH_GIVEN_MAX 8

/* One that a peer reads from us. */
struct fetch_given {
    struct mail mail; /* to the keeper and back */
    struct store *store;
    struct snapshot_reader *reader; /* NULL: this place is free */
    uint64_t peer;
    uint64_t token;
    uint64_t index;
    uint64_t index_term;
    uint64_t configuration_index;
    struct buf configuration;
    uint64_t used_ms;
    /* the piece at hand */
    bool busy;
    bool drop; /* when the keeper gives it back */
    uint64_t number;
    struct buf piece;
    bool last;
    enum err result;
};

struct fetch {
    enum fetch_state state;
    struct mail mail; /* to the keeper and back */
    struct store *store;
    struct snapshot_writer *writer;
    uint64_t peer; /* who gives */
    uint64_t token;
    uint64_t number; /* of the piece that is asked for, or at hand */
    uint64_t asked_ms;
    uint64_t index;
    uint64_t index_term;
    uint64_t configuration_index;
    struct buf configuration;
    struct buf piece;
    bool last;
    bool abandon; /* when the keeper gives it back */
    enum err result;
    struct reason why;
    struct state *ready; /* FETCH_READY */
    uint64_t generation; /* of its directory */
    uint64_t bytes;      /* so far */
    uint64_t began_ms;
    struct fetch_given given[FETCH_GIVEN_MAX];
};

void fetch_open(struct store *s);
void fetch_close(struct store *s);
/* The keeper has nothing of ours. */
bool fetch_idle(const struct store *s);
/* The leader `from` says that its log does not reach back to ours. */
void fetch_begin(struct store *s, uint64_t from);
void fetch_on_fetch(struct store *s, uint64_t from, const struct rpc_fetch *m);
void fetch_on_chunk(struct store *s, uint64_t from, const struct rpc_chunk *m);
void fetch_tick(struct store *s);
/* The engine installs what was fetched: it becomes our state and our log's beginning. */
void fetch_install(struct store *s, const struct journal_snapshot *snapshot);
/* The log must be kept behind this index for those who read a snapshot; UINT64_MAX: none does. */
uint64_t fetch_keep_behind(const struct store *s);

#endif
