/* User events and network coordinates (contracts/consul.md, sections 7 and 13).
 *
 * Events are members of the log like every other change: ordered, kept, delivered to whoever
 * resumes. The state itself holds the newest EVENTS_KEPT, for who only asks.
 *
 * Errors   a failed read of the state.
 * Threads  the hub's.
 */
#ifndef STORE_EVENT_H
#define STORE_EVENT_H

#include "store/apply.h"
#include "store/command.h"

/* The detail is the encoded row. */
enum err event_fire(struct apply *a, const struct command_rows *cmd) ERR_MUST_USE;
/* Those of nodes that are not there are left out. */
enum err coordinates_set(struct apply *a, const struct command_rows *cmd) ERR_MUST_USE;

#endif
