/* The leader's clocks: what the state says may expire (store/expire.h) is timed here, and ended by
 * a command once its time is over. Nothing ends early: the clock is the monotonic one, and a new
 * leader, who cannot know when the old one began to count, counts the full time anew.
 *
 * Life     expire_open() -> the loop runs -> expire_close() while the store still runs -> the store
 *          is closed and what it had for the loop is taken -> expire_free().
 * Threads  that of `loop`.
 */
#ifndef CORE_AGENT_EXPIRE_H
#define CORE_AGENT_EXPIRE_H

#include "store/store.h"

struct expire;

struct expire *expire_open(struct store *s, struct loop *loop);
/* NULL is allowed, as below. */
void expire_close(struct expire *x);
void expire_free(struct expire *x);

#endif
