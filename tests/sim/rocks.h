/* What a crash needs of the simulated database beyond store/rocks.h.
 *
 * Threads  none.
 */
#ifndef TESTS_SIM_ROCKS_H
#define TESTS_SIM_ROCKS_H

struct rocks_batch;
struct sim_db;

/* The batch has reached the disk. */
void db_apply(struct sim_db *db, const struct rocks_batch *b);

#endif
