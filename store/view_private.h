/* How the state makes a view (view.h), and what only the store itself reads of one.
 *
 * Owner    view_new() gives one reference, the caller's; the view holds the database open.
 * Threads  view_new() the hub's; the others any.
 */
#ifndef STORE_VIEW_PRIVATE_H
#define STORE_VIEW_PRIVATE_H

#include "store/schema.h"
#include "store/state_db.h"

/* `meta` is what the newest batch wrote. */
struct view *view_new(struct state_db *db, const struct schema_meta *meta);
/* Borrowed while the view lives. */
const struct schema_meta *view_meta(const struct view *v);
/* All rows there are; freed before the view. */
struct rocks_iter *view_rows(const struct view *v);
/* Those that begin with `prefix`. */
struct rocks_iter *view_rows_of(const struct view *v, const struct schema_key *prefix);
/* As rocks_get(), of the view. */
enum err
view_row(const struct view *v, struct bytes key, struct rocks_slice *ret_slice) ERR_MUST_USE;

#endif
