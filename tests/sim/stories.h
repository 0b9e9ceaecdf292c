/* Stories: some bugs of store/seeded.h need so many things to meet that chance does not find them.
 * Here the real engine is led to them step by step; disk, network and clock are the story's.
 *
 * Promise  the same steps without the bug violate nothing.
 * Threads  none.
 */
#ifndef TESTS_SIM_STORIES_H
#define TESTS_SIM_STORIES_H

#include "store/seeded.h"

#include <stdbool.h>
#include <stddef.h>

bool story_exists(enum seeded_bug bug);
/* Plays the story of `bug`; whether the bug is in is up to `seeded_bug`. True: something was
 * violated, and `text` says what. A story that does not come to its end says so there, too, and
 * returns false. */
bool story_play(enum seeded_bug bug, char *text, size_t len);

#endif
