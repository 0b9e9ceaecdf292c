/* The clients: each asks one thing at a time of some server, and keeps what it was told: the
 * history that the checkers judge.
 *
 * Owner    a `struct op` lives until clients_close(): the servers' threads may still hold it.
 * Threads  none.
 */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include "store/store.h"
#include "tests/sim/world.h"

#define KEYS_MAX    12U
#define CLIENTS_MAX 16U
/* A client's command is stamped with this and its op's number: later than any server's clock says,
 * so that it tells clients' commands from the servers' own. */
#define OP_TIME_MS  1791000000000ULL

struct server;

enum op_type {
    OP_SET,
    OP_CAS,
    OP_REMOVE,
    OP_REMOVE_CAS,
    OP_REMOVE_PREFIX,
    OP_READ,
};

enum op_outcome {
    OUTCOME_PENDING,
    OUTCOME_OK,
    OUTCOME_CONFLICT,
    OUTCOME_REFUSED, /* promised: never applied */
    OUTCOME_UNKNOWN,
};

struct op {
    uint64_t number; /* from 1; part of the value, so that each write is told from all others */
    unsigned client;
    enum op_type type;
    unsigned key;
    uint64_t cas_index;
    enum read_mode mode;
    uint64_t sent; /* a read: the index that the client has seen, and sends along; 0: not */
    uint64_t begin_us;
    uint64_t end_us; /* WORLD_NEVER: was never told */
    enum op_outcome outcome;
    enum err status;
    uint64_t index; /* a write's own; a read's view */
    /* What a read found. */
    bool found;
    uint64_t value; /* the number of the op that wrote it */
    uint64_t modify_index;
    /* private */
    struct server *server;
    uint64_t life; /* of the server's process */
    struct mail mail;
    struct proposal proposal;
    struct store_read read;
    uint64_t deadline_us;
};

struct clients {
    struct op **ops; /* in the order of their beginning */
    size_t count;
    size_t cap;
    unsigned clients;
    unsigned keys;
    uint64_t pause_us; /* between two of a client's ops, at most */
    bool prefixes;     /* deletions by prefix, too: the linearizability checker has none */
    bool stopped;
    uint64_t answered;
};

extern struct clients clients;

/* `count` clients on `keys` keys; `prefixes`: they delete by prefix, too. */
void clients_open(unsigned count, unsigned keys, uint64_t pause_us, bool prefixes);
void clients_close(void);
/* No further ops. */
void clients_stop(void);
/* The server's connections break: what it owes is unknown. */
void clients_on_death(struct server *s);
/* One write that must succeed, as soon as may be: it is repeated until then. */
void clients_probe(void);
bool clients_probe_done(void);
void key_name(unsigned key, char ret_text[16]);
/* The key's number; KEYS_MAX if it is none of ours. */
unsigned key_number(struct bytes key);

#endif
