/* Is this history (history.h) one that a single, sequential KV store could have given, each
 * operation at some moment between its start and its end?
 *
 * The store is Consul's KV: a set that changes nothing keeps the ModifyIndex, a deletion of a
 * missing key is ok whatever its condition, a delete-cas of index 0 fails on a live key. Keys are
 * empty in the beginning. Keys are judged one by one, which is enough (linearizability is local);
 * writes whose raft index is known must besides have been written to the log in an order that
 * real time allows, all keys together.
 *
 * For each key
 *     order    where the indexes of its writes are known (told, or learned from reads of values
 *              that were written once), the order is given: O(n log n)
 *     search   otherwise Wing and Gong's search with Lowe's memory; bounded, and past the bound it
 *              says LINEAR_UNDECIDED
 *
 * Stale reads take no part in that; linear_check_stale() judges them.
 *
 * Owner    the report is the caller's; nothing is kept.
 * Threads  none.
 */
#ifndef TESTS_SIM_LINEAR_H
#define TESTS_SIM_LINEAR_H

#include "tests/sim/history.h"

enum linear_verdict {
    LINEAR_OK,
    LINEAR_VIOLATION,
    LINEAR_UNDECIDED,
};

struct linear_options {
    uint64_t steps_max; /* of the search, for one key; 0: LINEAR_STEPS_MAX */
    bool search_only;   /* without the order: to compare the two */
};

/* Some seconds, and some 100 MiB of memory. */
#define LINEAR_STEPS_MAX 5000000U
#define LINEAR_TEXT_MAX  (16U * 1024)

struct linear_report {
    enum linear_verdict verdict;
    /* The first violation, else the first key that was not decided, with the operations around
     * it; empty when all is well. */
    char text[LINEAR_TEXT_MAX];
    size_t keys;
    size_t keys_searched;
    size_t keys_undecided;
    size_t keys_violated;
    size_t ops;     /* that were judged */
    size_t unknown; /* of these, of unknown fate and place */
    uint64_t steps; /* of all searches */
};

/* `options` may be NULL. */
void linear_check(const struct history *h,
                  const struct linear_options *options,
                  struct linear_report *ret_report);

/* Of stale reads: each saw what somebody had begun to write, with one value per index; an answer
 * is never behind the index that the client sent, nor its ModifyIndex past its X-Consul-Index. */
void linear_check_stale(const struct history *h, struct linear_report *ret_report);

/* `ok`, `violation`, `undecided`. */
const char *linear_verdict_name(enum linear_verdict v);

#endif
