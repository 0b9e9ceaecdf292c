/* The keys and rows of the state database: the only place that knows their bytes.
 *
 *   'K' key, or 'k' key                      a key's row, live or dead (a tombstone): under 'K'
 *                                            while `restores` is even, 'k' while it is odd; a
 *                                            backup that is being restored fills the other table
 *   'A'                                      autopilot's configuration
 *   'F' or 'f' ...                           the fleet (schema_fleet.h), in two halves in the same
 * way 'D' index key                            nothing: the key that died at `index`; exactly one
 * for each dead row 'C' index n                              a change 'H' hash(key) ~index n
 * nothing: a change of that key, newest first 'P' index n chunk                        the hashes
 * of the keys that a delete-prefix took, whose 'H' rows go when the change is trimmed 'R' proposer
 * number and index of its newest command (once.h) 'M'                                      struct
 * schema_meta, written with every batch
 *
 * Numbers in keys are big-endian, so that byte order is their order; in rows little-endian.
 *
 * Owner    a key lives in the caller's `struct schema_key`; what is decoded borrows.
 * Errors   ERR_CORRUPT for a row that this program did not write; ERR_VERSION for the meta row of
 *          another version.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "core/base/limit.h"
#include "store/command.h"
#include "store/view.h"

/* The longest are a session's id and a key. */
#define SCHEMA_KEY_MAX (16 + SESSION_ID_MAX + KV_KEY_MAX)
/* A row and its frame, a change and its frame. */
#define SCHEMA_ROW_MAX (KV_VALUE_MAX + KV_KEY_MAX + KIB(1))

struct schema_key {
    size_t len;
    char data[SCHEMA_KEY_MAX];
};

/* The key that was built last. */
static inline struct bytes schema_key_view(const struct schema_key *k)
{
    return (struct bytes){k->data, k->len};
}

void schema_key_kv(struct schema_key *k, uint64_t restores, struct bytes key);
void schema_key_deletion(struct schema_key *k, uint64_t index, struct bytes key);
void schema_key_change(struct schema_key *k, uint64_t index, uint32_t n);
void schema_key_history(struct schema_key *k, uint64_t hash, uint64_t index, uint32_t n);
void schema_key_cascade(struct schema_key *k, uint64_t index, uint32_t n, uint32_t chunk);
void schema_key_proposer(struct schema_key *k, uint64_t proposer);
void schema_key_meta(struct schema_key *k);
/* Where each table of the history, and that of the deletions, begins. */
#define SCHEMA_HISTORY_TABLES "CHP"
#define SCHEMA_DEATH_TABLE    'D'
void schema_key_table(struct schema_key *k, char table);
void schema_key_autopilot(struct schema_key *k);
/* Makes `k` the first key that does not begin with it. Never fails: no table is 0xff. */
void schema_key_end(struct schema_key *k);

/* The hash in 'H' and 'P' rows; must never change. */
uint64_t schema_hash(struct bytes key);

/* Of rows from outside: whether this one may stand in a state. OK, ERR_CORRUPT, ERR_VERSION. */
enum err schema_check_row(struct bytes raw, struct bytes value) ERR_MUST_USE;
/* The one row of its kind, which does not count as a table's. */
bool schema_is_meta(struct bytes raw);
/* Rows of the history, which each server trims for itself. */
bool schema_is_history(struct bytes raw);

/* From the raw keys of the database. */
enum err schema_parse_kv(struct bytes raw, struct bytes *ret_key) ERR_MUST_USE;
enum err
schema_parse_deletion(struct bytes raw, uint64_t *ret_index, struct bytes *ret_key) ERR_MUST_USE;
enum err schema_parse_change(struct bytes raw, uint64_t *ret_index, uint32_t *ret_n) ERR_MUST_USE;
enum err schema_parse_proposer(struct bytes raw, uint64_t *ret_proposer) ERR_MUST_USE;
enum err schema_parse_history(struct bytes raw, uint64_t *ret_index, uint32_t *ret_n) ERR_MUST_USE;

#define SCHEMA_SESSION_MAX 64U /* a UUID has 36 */

/* A row without its key. Replaces what `out` holds. */
void schema_row_encode(struct buf *out, const struct kv_row *row);
/* Leaves `key` alone. */
enum err schema_row_decode(struct bytes data, struct kv_row *ret_row) ERR_MUST_USE;

/* Replaces what `out` holds. */
void schema_autopilot_encode(struct buf *out, const struct autopilot *row);
enum err schema_autopilot_decode(struct bytes data, struct autopilot *ret_row) ERR_MUST_USE;

struct schema_meta {
    uint64_t applied;        /* Raft index */
    uint64_t kv_index;       /* newest that changed a key; 0: none did */
    uint64_t kv_reaped;      /* deletions up to here are forgotten */
    uint64_t history_oldest; /* newest trimmed index */
    uint64_t history_bytes;  /* keys and rows of 'C', 'H' and 'P' */
    uint64_t cluster;        /* the cluster's id; 0: not known yet */
    uint64_t restores;       /* backups that were restored so far */
    uint64_t restored;       /* index of the newest of them; 0: there was none */
    uint64_t restore_id;     /* of the backup that is being restored; 0: none is */
    uint64_t restore_next;   /* number of the chunk that comes next */
};

#define SCHEMA_META_LEN 82
void schema_meta_encode(const struct schema_meta *meta, char ret_data[SCHEMA_META_LEN]);
enum err schema_meta_decode(struct bytes data, struct schema_meta *ret_meta) ERR_MUST_USE;

#endif
