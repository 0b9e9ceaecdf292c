/* A random story of one database: everything that store/rocks.h can be asked, and what it answers.
 * Compiled twice, for the real database and for the simulated one (rocks_names.h).
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_ROCKS_STORY_H
#define TESTS_SIM_ROCKS_STORY_H

#include "store/rocks.h"

/* Appends one line for each answer. */
void rocks_story(uint64_t seed, unsigned steps, enum rocks_kind kind, struct buf *out);
void sim_rocks_story(uint64_t seed, unsigned steps, enum rocks_kind kind, struct buf *out);

#endif
