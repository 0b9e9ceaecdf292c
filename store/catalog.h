/* The catalog: nodes, their services and checks (contracts/consul.md, sections 3, 8, 9). What does
 * not differ from what is there writes nothing, moves no index and yields no change.
 *
 * Pieces   catalog_set_*() and catalog_delete_*() are also the operations of a transaction. What
 *          may not be is `a->status` and `a->detail` (apply_refuse()), and has written nothing of
 *          its own; whoever did something before calls apply_undo(). Rows are borrowed; their
 *          indexes are not read.
 * Health   each piece notes the instances whose health row it may change (`a->touched`);
 *          catalog_settle() tells, once for a whole command, what became of them.
 * Errors   those of reading the state.
 * Threads  the hub's.
 */
#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include "store/apply.h"
#include "store/command.h"
#include "store/row.h"

enum err catalog_register(struct apply *a, const struct command_register *cmd) ERR_MUST_USE;
enum err catalog_deregister(struct apply *a, const struct command_deregister *cmd) ERR_MUST_USE;

/* A node id that another name had moves to this one, and the other node goes, unless a living node
 * has this name. */
enum err catalog_set_node(struct apply *a, const struct node_row *row) ERR_MUST_USE;
enum err catalog_set_service(struct apply *a, const struct service_row *row) ERR_MUST_USE;
/* Name and tags of its service are filled in. */
enum err catalog_set_check(struct apply *a, const struct check_row *row) ERR_MUST_USE;
/* With all that they have; OK also if there is no such thing. */
enum err catalog_delete_node(struct apply *a, struct bytes node) ERR_MUST_USE;
enum err catalog_delete_service(struct apply *a, struct bytes node, struct bytes id) ERR_MUST_USE;
enum err catalog_delete_check(struct apply *a, struct bytes node, struct bytes id) ERR_MUST_USE;

/* As this command left them; the row borrows from `slice`. ERR_NOT_FOUND. */
enum err catalog_node(struct apply *a,
                      struct bytes name,
                      struct rocks_slice *slice,
                      struct node_row *ret_row) ERR_MUST_USE;
enum err catalog_service(struct apply *a,
                         const struct bytes node_and_id[2],
                         struct rocks_slice *slice,
                         struct service_row *ret_row) ERR_MUST_USE;
enum err catalog_check(struct apply *a,
                       const struct bytes node_and_id[2],
                       struct rocks_slice *slice,
                       struct check_row *ret_row) ERR_MUST_USE;

/* Says so in `why`. */
enum err catalog_corrupt(struct apply *a) ERR_MUST_USE;

/* An instance, or all of a node, may look different now. */
void catalog_touch(struct apply *a, struct bytes node, struct bytes service_id);
enum err catalog_touch_node(struct apply *a, struct bytes node) ERR_MUST_USE;
/* The changes of topic `service`, and the indexes of the services' names. */
enum err catalog_settle(struct apply *a) ERR_MUST_USE;

#endif
