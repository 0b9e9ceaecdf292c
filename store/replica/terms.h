/* The terms of the entries in a log, as runs of equal ones: a leader's entries are one run.
 *
 * Owner    zero-initialise; terms_close() frees.
 * Threads  one.
 */
#ifndef STORE_REPLICA_TERMS_H
#define STORE_REPLICA_TERMS_H

#include <stddef.h>
#include <stdint.h>

/* Entries from `first` on have `term`, up to the next run. */
struct terms_run {
    uint64_t first;
    uint64_t term;
};

struct terms {
    struct terms_run *runs;
    size_t count;
    size_t cap;
};

void terms_close(struct terms *t);
void terms_clear(struct terms *t);
/* The entry at `index` is new, and the log's last. */
void terms_append(struct terms *t, uint64_t index, uint64_t term);
/* The log begins at `first` now. */
void terms_trim(struct terms *t, uint64_t first);
/* `index` is in the log. */
uint64_t terms_of(const struct terms *t, uint64_t index);

#endif
