/* State machines as tables: which moves are legal, and one setter that holds everybody to it.
 *
 * Each machine declares an enum of its states from 0 up, names, and for each state the set of
 * states it may move to (SM_TO), beside a drawing of the same.
 *
 * Errors   an illegal move is a bug (CHECK), with both names printed.
 * Threads  none.
 */
#ifndef CORE_BASE_SM_H
#define CORE_BASE_SM_H

#include <stdint.h>

#define SM_TO(state) (UINT32_C(1) << (state))

struct sm_state {
    const char *name;
    uint32_t next; /* SM_TO() of each legal successor */
};

struct sm {
    const struct sm_state *states;
    unsigned state; /* read-only */
};

void sm_init(struct sm *sm, const struct sm_state *states, unsigned first);
void sm_move(struct sm *sm, unsigned to);
const char *sm_name(const struct sm *sm);

#endif
