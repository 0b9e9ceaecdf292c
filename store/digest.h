/* Whether two states are equal, in 64 bits.
 *
 * Errors   those of reading (rocks.h).
 * Threads  any; the view is the caller's meanwhile. Reads every row: for tests and for operators.
 */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include "store/state.h"

struct state_digest {
    uint64_t index; /* of the view */
    uint64_t
        live; /* keys that are not deleted, with all that is said of them: what a backup keeps */
    uint64_t all;  /* all that the commands made; the history excepted, which each server trims */
    uint64_t rows; /* that live */
};

enum err
view_digest(struct view *v, struct state_digest *ret_digest, struct reason *why) ERR_MUST_USE;
/* Of the state as it is now. On the hub. */
enum err
state_digest(struct state *s, struct state_digest *ret_digest, struct reason *why) ERR_MUST_USE;

#endif
