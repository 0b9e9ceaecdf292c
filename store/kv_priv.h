/* What the files of the KV commands share: rows of keys as a command reads and writes them.
 *
 * Owner    what is read is borrowed until the next read of the same command.
 * Threads  the hub's.
 */
#ifndef STORE_KV_PRIV_H
#define STORE_KV_PRIV_H

#include "store/kv.h"

/* A missing row comes back dead since index 0. */
enum err kv_read(struct apply *a, struct bytes key, struct kv_row *ret_row) ERR_MUST_USE;
enum err kv_corrupt(struct reason *why);
/* Live keys under a prefix, one after the other; `each` may write. */
typedef void kv_each_fn(struct apply *a, const struct kv_row *row, void *ctx);
enum err
kv_each_live(struct apply *a, struct bytes prefix, kv_each_fn *each, void *ctx) ERR_MUST_USE;
/* Writes `row` in the place of `old` and says so, unless it would change nothing but the index:
 * then false. Fills in its indexes; what `old` said of expiry and holder and `row` does not say
 * any more is forgotten. */
bool kv_replace(struct apply *a, const struct kv_row *old, struct kv_row *row);
/* Lets a live key die and says so. */
void kv_bury(struct apply *a, const struct kv_row *old);
/* Whether a condition on ModifyIndex holds; 0: only if there is no such key. */
bool kv_allowed(const struct kv_row *old, bool check, uint64_t index);

#endif
