/* The keys and rows of the state database: the only place that knows their bytes.
 *
 *   'A'                                      autopilot's configuration
 *   'K' key                                  a key's row, live or dead (a tombstone)
 *   'D' index key                            nothing: the key that died at `index`; exactly one for
 *                                            each dead row
 *   'C' index n                              a change
 *   'H' hash(key) ~index n                   nothing: a change of that key, newest first
 *   'P' index n chunk                        the hashes of the keys that a delete-prefix took:
 * whose 'H' rows go when the change is trimmed 'M'                                      struct
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

struct schema_key {
    size_t len;
    char data[1 + sizeof(uint64_t) + KV_KEY_MAX + 16];
};

/* The key that was built last. */
static inline struct bytes schema_key_view(const struct schema_key *k)
{
    return (struct bytes){k->data, k->len};
}

void schema_key_kv(struct schema_key *k, struct bytes key);
void schema_key_deletion(struct schema_key *k, uint64_t index, struct bytes key);
void schema_key_change(struct schema_key *k, uint64_t index, uint32_t n);
void schema_key_history(struct schema_key *k, uint64_t hash, uint64_t index, uint32_t n);
void schema_key_cascade(struct schema_key *k, uint64_t index, uint32_t n, uint32_t chunk);
void schema_key_meta(struct schema_key *k);
void schema_key_autopilot(struct schema_key *k);
/* Makes `k` the first key that does not begin with it. Never fails: no table is 0xff. */
void schema_key_end(struct schema_key *k);

/* The hash in 'H' and 'P' rows; must never change. */
uint64_t schema_hash(struct bytes key);

/* From the raw keys of the database. */
enum err schema_parse_kv(struct bytes raw, struct bytes *ret_key) ERR_MUST_USE;
enum err
schema_parse_deletion(struct bytes raw, uint64_t *ret_index, struct bytes *ret_key) ERR_MUST_USE;
enum err schema_parse_change(struct bytes raw, uint64_t *ret_index, uint32_t *ret_n) ERR_MUST_USE;
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
};

#define SCHEMA_META_LEN 42
void schema_meta_encode(const struct schema_meta *meta, char ret_data[SCHEMA_META_LEN]);
enum err schema_meta_decode(struct bytes data, struct schema_meta *ret_meta) ERR_MUST_USE;

#endif
