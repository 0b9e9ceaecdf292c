/* The database of one state, counted: a state that was replaced lives on below the views that still
 * show it.
 *
 * Life     state_db_open() -> each view holds a reference -> the last state_db_unref() closes the
 *          database, or hands it to the undertaker if state_db_retire() named one.
 * Threads  any, for ref and unref; the others one at a time.
 */
#ifndef STORE_STATE_DB_H
#define STORE_STATE_DB_H

#include "store/rocks.h"
#include "store/state.h"

struct state_db;

/* One reference, the caller's. `path` NULL: in memory. The errors of rocks.h. */
enum err state_db_open(const char *path, struct state_db **ret_db, struct reason *why) ERR_MUST_USE;
struct state_db *state_db_ref(struct state_db *db);
/* NULL is allowed. */
void state_db_unref(struct state_db *db);
struct rocks *state_db_rocks(struct state_db *db);
/* Whether nobody else holds it. */
bool state_db_is_alone(const struct state_db *db);
/* From now on its contents are worthless: they are deleted when the last reference is gone. */
void state_db_retire(struct state_db *db, state_bury_fn *bury, void *ctx);

/* A state of what is in `db`, whose reference it takes, also when it fails. */
enum err
state_adopt(struct state_db *db, struct state **ret_state, struct reason *why) ERR_MUST_USE;
/* The state's own database, borrowed. */
struct state_db *state_database(const struct state *s);

#endif
