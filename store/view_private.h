/* How the state makes a view (view.h).
 *
 * Owner    one reference, the caller's; `db` must outlive it.
 * Threads  the hub's.
 */
#ifndef STORE_VIEW_PRIVATE_H
#define STORE_VIEW_PRIVATE_H

#include "store/rocks.h"
#include "store/schema.h"

/* `meta` is what the newest batch wrote. */
struct view *view_new(struct rocks *db, const struct schema_meta *meta);

#endif
