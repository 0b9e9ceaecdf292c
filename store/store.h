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

/* What a server without a log does. */
enum store_start {
    STORE_ALONE, /* is a cluster of one at once */
    STORE_WAIT,  /* waits for store_bootstrap(), of its own or of another, or to be added */
};

struct store_recovery;

struct store_options {
    const char *data_dir; /* NULL: in memory, gone at the end (-dev) */
    const char *node_id;  /* a UUID; its first half is the Raft id */
    const char *address;  /* host:port of this server's RPC port, as shown by /v1/status; port 0:
                             the one that was free, see store_address() */
    enum store_start start;
    /* Where peers are listened for: a literal IP address; NULL: no other server may join (-dev). */
    const char *listen_address;
    uint16_t listen_port; /* 0: any free one */
    /* A connection came to that port that is no server's; see transport_options.other. Called on a
     * thread of the store's. NULL: such are refused. */
    bool (*other)(void *ctx, int fd, struct bytes begun, const char *from);
    void *other_ctx;
    unsigned election_ms; /* 0: RAFT_ELECTION_MS; the heartbeat is a tenth */
    uint64_t hold_ms;     /* 0: RPC_HOLD_MS; what needs a leader waits so long for one */
    uint64_t history_age_ms;
    uint64_t history_bytes;
    uint64_t log_trailing;                 /* entries kept behind the last durable state */
    const struct store_recovery *recovery; /* NULL: the servers are those of the log */
    bool repair; /* damaged data is fetched from the others (else: ERR_CORRUPT) */
};

/* Opens or creates. On failure `why` names the file and what to do: ERR_IN_USE, ERR_VERSION,
 * ERR_READ_ONLY, ERR_NO_SPACE, ERR_CORRUPT, ERR_IO. A cluster of one leads, with all applied that
 * was acknowledged before, when it returns; a member of a larger one looks for its leader. */
enum err store_open(const struct store_options *options,
                    struct store **ret_store,
                    struct reason *why) ERR_MUST_USE;
/* Answers what waits with ERR_CLOSED, makes the state durable, frees. On the thread of the listener
 * of store_on_change(), if there is one: it may be called a last time. */
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
    uint64_t seen; /* batches */
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
    /* With OK or ERR_CONFLICT, what the command has to say: why its condition did not hold, what a
     * transaction read; borrowed for the call. */
    struct bytes detail;
    /* private */
    struct mail mail;
    struct store *store;
    struct loop *loop;
    char *command; /* once it was told: the detail */
    size_t command_len;
    uint64_t proposed_us;
};

/* Takes the encoded command out of `command`. Any loop's thread; `done` comes back there, never
 * from inside this call. */
void store_propose(struct store *s, struct loop *from, struct proposal *p, struct buf *command);

/* --- how new a read is ----------------------------------------------------------------------- */

enum read_mode {
    READ_STALE,      /* as this server knows it */
    READ_DEFAULT,    /* as the leader knows it, while its followers have confirmed it lately */
    READ_CONSISTENT, /* confirmed by a majority after the question (linearizable) */
};

/* True: a view that is taken from now on is good for `mode` already. Any thread. */
bool store_read_now(struct store *s, enum read_mode mode);

/* One question how new the view must be; its memory is the caller's and must stay until `done`. */
struct store_read {
    /* On the loop it came from: OK: store_reader_view() there is good now. ERR_NOT_LEADER: nobody
     * leads, or not yet for long enough; ERR_TIMEOUT; ERR_CLOSED. */
    void (*done)(struct store_read *r);
    void *ctx; /* the caller's */
    enum read_mode mode;
    uint64_t index;  /* ... and at least at this index; 0: any */
    enum err status; /* read-only, in `done` */
    /* private */
    struct mail mail;
    struct store *store;
    struct loop *loop;
    struct store_read *next;
    uint64_t id;
    uint64_t need;
    uint64_t deadline_ms;
};

/* Any loop's thread; `done` comes back there, never from inside this call. */
void store_read(struct store *s, struct loop *from, struct store_read *r);

/* --- the servers ----------------------------------------------------------------------------- */

#define STORE_ADDRESS_MAX 128
#define STORE_SERVERS_MAX 32

enum store_role {
    STORE_VOTER,
    STORE_STANDBY, /* gets the log, does not vote */
};

struct store_server {
    uint64_t id;      /* the first half of the node id */
    char node_id[37]; /* empty when only the half is known */
    char address[STORE_ADDRESS_MAX];
    enum store_role role;
    bool self;
    bool leader;
    /* As the leader knows them; 0 elsewhere. */
    uint64_t match_index;     /* its log is ours up to here */
    uint64_t last_contact_ms; /* since it last answered; UINT64_MAX: never */
};

/* The servers of the newest committed configuration. */
struct store_servers {
    uint64_t configuration_index;
    size_t count;
    struct store_server servers[STORE_SERVERS_MAX];
};

/* These servers are the cluster from now on, whatever the log says: for when most of the old ones
 * are lost. The same is to be told to all that are left, while none runs. A list that cannot be
 * (nobody votes, one twice, without this server) is ERR_INVALID, and nothing was changed. */
struct store_recovery {
    struct store_servers servers; /* id, node_id, address, role; id 0: whoever the log has there */
    void *ctx;
    /* It is durable; before anything else happens the order is to be forgotten, or the next start
     * carries it out again, which is harmless only as long as nothing else happened. */
    enum err (*done)(void *ctx, struct reason *why);
};

enum store_change {
    STORE_ADD = 1,      /* as standby; a known one gets the new address */
    STORE_PROMOTE = 2,  /* to voter; waits until it has caught up */
    STORE_DEMOTE = 3,   /* to standby */
    STORE_REMOVE = 4,   /* also the leader itself, which then hands over first */
    STORE_TRANSFER = 5, /* leadership; `id` 0: to the one that is furthest */
    STORE_LIST = 6,     /* only fills `servers`; answered by this server itself */
};

/* One order about the servers. Any server takes it; the leader carries it out. */
struct store_order {
    /* OK: committed (TRANSFER: another leads). ERR_NOT_FOUND: no such server; ERR_BUSY: another
     * change is under way, or not enough voters would be left that the leader hears; ERR_CONFLICT:
     * would leave a cluster of one voter, or none; ERR_NOT_LEADER: nobody leads; ERR_TIMEOUT:
     * unknown. `servers` is as this server knows them.
     */
    void (*done)(struct store_order *o);
    void *ctx; /* the caller's */
    enum store_change change;
    uint64_t id;
    char node_id[37];                /* ADD */
    char address[STORE_ADDRESS_MAX]; /* ADD */
    enum err status;                 /* read-only, in `done` */
    struct store_servers servers;
    /* private */
    struct mail mail;
    struct store *store;
    struct loop *loop;
    struct store_order *next;
    uint64_t number;
    uint64_t deadline_ms;
};

void store_order(struct store *s, struct loop *from, struct store_order *o);

/* The first half of a node id; 0 if it is none. */
uint64_t store_server_id(const char *node_id);

/* Gossip says that this server is there, at this address; or no more. Any thread. Whoever was never
 * named, here or in the configuration, may not speak to us. */
void store_server_seen(struct store *s, const char *node_id, const char *address);
void store_server_gone(struct store *s, const char *node_id);

/* Makes these servers (self among them) a new cluster. Each of them promises first, so that no
 * server ever is in two; a try that fails is logged, changes nothing and may be repeated. Does
 * nothing on a server that has a log. Any thread. */
struct store_founder {
    char node_id[37];
    char address[STORE_ADDRESS_MAX];
};
void store_bootstrap(struct store *s, const struct store_founder *founders, size_t count);

/* --- facts ---------------------------------------------------------------------------------- */

struct store_facts {
    bool leader;         /* this server */
    bool known_leader;   /* somebody leads, as far as this server knows */
    bool bootstrapped;   /* it is part of a cluster */
    uint64_t leader_id;  /* 0: nobody */
    uint64_t contact_ms; /* since the leader was last heard; 0 on the leader */
    unsigned voters;     /* of the newest committed configuration */
    uint64_t cluster;    /* id; 0: none yet */
    uint64_t term;
    uint64_t last_log_index;
    uint64_t last_log_term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t history_bytes;
    bool disk_full;
    char epoch[17]; /* view_epoch() as hex */
};

/* host:port of this server's RPC port, as others reach it. Any thread. */
const char *store_address(const struct store *s);
/* Called on `loop` whenever `leader`, `leader_id`, `voters` or the configuration changed; one
 * listener, set before the loops run. */
void store_on_change(struct store *s, struct loop *loop, void (*fn)(void *ctx), void *ctx);
/* Any thread. */
void store_facts_get(struct store *s, struct store_facts *ret_facts);
/* Reloadable settings. Any thread. */
void store_set_history(struct store *s, uint64_t age_ms, uint64_t bytes);

#endif
