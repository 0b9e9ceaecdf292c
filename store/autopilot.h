/* Autopilot's configuration, one row of the state: apply's part of COMMAND_AUTOPILOT_SET. It has no
 * change: nobody waits for it.
 *
 * Errors   as apply.h.
 * Threads  the hub's.
 */
#ifndef STORE_AUTOPILOT_H
#define STORE_AUTOPILOT_H

#include "store/apply.h"
#include "store/command.h"

enum err autopilot_set(struct apply *a, const struct command_autopilot_set *cmd) ERR_MUST_USE;

#endif
