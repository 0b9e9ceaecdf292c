/* What the log means, once more and simpler: a model of the KV store that remembers every index.
 *
 * Order    entries come in the order of the log, without a hole.
 * Threads  none.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "store/change.h"
#include "store/view.h"
#include "tests/sim/client.h"

/* A key from `index` on. */
struct model_row {
    uint64_t index;
    uint64_t create_index;
    uint64_t value; /* the number of the op that wrote it */
    bool live;
};

struct model_entry {
    uint64_t op;      /* whose command it is; 0: none of a client's */
    enum err status;  /* what its writer must be told */
    uint64_t state;   /* digest of all rows behind it */
    uint64_t changes; /* sum of the digests of all changes up to it */
};

void model_open(void);
void model_close(void);
/* Entry model_last() + 1; `command` is empty for what is none. */
void model_apply(struct bytes command);
uint64_t model_last(void);
const struct model_entry *model_entry(uint64_t index);
/* NULL: the key was never there up to `index`. */
const struct model_row *model_row(unsigned key, uint64_t index);
/* The index of an op's command; 0: it is not in the log. */
uint64_t model_index_of(uint64_t op);
/* The same digests, of what a server shows. */
uint64_t model_digest_view(struct view *v);
uint64_t model_digest_change(const struct change *c);

#endif
