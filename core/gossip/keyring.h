/* The cluster's gossip keys, and sealing with them: AES-GCM (NIST SP 800-38D) with a random nonce
 * of 96 bits. While keys are exchanged there are several: the first seals, all open.
 *
 * Form     sealed bytes are nonce (12), what was sealed, tag (16).
 * Owner    a keyring belongs to its user; keys are copied and wiped at the end.
 * Limits   GOSSIP_KEYS_MAX keys of 16, 24 or 32 bytes. A key seals at most 2^32 times (the nonces
 *          are random): far more than a node says in a year; rotate them anyway.
 * Errors   as said at each function; `why` never holds a key.
 * Threads  one at a time.
 */
#ifndef CORE_GOSSIP_KEYRING_H
#define CORE_GOSSIP_KEYRING_H

#include "core/base/buf.h"
#include "core/base/env.h"
#include "core/base/limit.h"
#include "core/gossip/gossip.h"

#define KEYRING_NONCE    12
#define KEYRING_TAG      16
#define KEYRING_OVERHEAD (KEYRING_NONCE + KEYRING_TAG)

struct keyring;

struct keyring *keyring_new(struct env *env);
void keyring_free(struct keyring *k);

/* Raw bytes of a key written in base64; ERR_INVALID. */
enum err keyring_parse(const char *text,
                       char ret_key[GOSSIP_KEY_MAX],
                       size_t *ret_len,
                       struct reason *why) ERR_MUST_USE;
void keyring_text(struct bytes key, char ret_text[48]);

size_t keyring_count(const struct keyring *k);
/* Borrowed until the ring changes; the first one seals. */
struct bytes keyring_at(const struct keyring *k, size_t i);

/* Known already: OK. ERR_INVALID (length), ERR_LIMIT. The first one installed seals. */
enum err keyring_install(struct keyring *k, struct bytes key, struct reason *why) ERR_MUST_USE;
/* From now on this one seals. ERR_NOT_FOUND. */
enum err keyring_use(struct keyring *k, struct bytes key, struct reason *why) ERR_MUST_USE;
/* Not there: OK. ERR_CONFLICT: the one that seals cannot be removed. */
enum err keyring_remove(struct keyring *k, struct bytes key, struct reason *why) ERR_MUST_USE;

/* A JSON array of base64 texts, the first one seals. ERR_NOT_FOUND, ERR_INVALID, ERR_IO: the ring
 * is unchanged. */
enum err keyring_load(struct keyring *k, const char *path, struct reason *why) ERR_MUST_USE;
/* Replaced whole and synced, readable by its owner alone. ERR_IO. */
enum err keyring_save(const struct keyring *k, const char *path, struct reason *why) ERR_MUST_USE;

/* Appends `plain`, sealed and bound to `associated`; `out` has room. */
void keyring_seal(struct keyring *k, struct bytes plain, struct bytes associated, struct buf *out);
/* Appends what was sealed; ERR_DENIED if no key fits. */
enum err keyring_unseal(struct keyring *k,
                        struct bytes sealed,
                        struct bytes associated,
                        struct buf *out) ERR_MUST_USE;

#endif
