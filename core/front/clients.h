/* Connections per client address, counted over all fronts of the process, without a lock: a table
 * of words, each a keyed hash of the address and a count.
 *
 * Limits   CLIENTS_SLOTS addresses at one time; where a new one finds no slot it is not counted,
 *          and so not limited.
 * Threads  any, except new and free.
 */
#ifndef CORE_FRONT_CLIENTS_H
#define CORE_FRONT_CLIENTS_H

#include "core/base/buf.h"

#define CLIENTS_SLOTS 16384U
/* The slot of a connection that is not counted. */
#define CLIENTS_NONE  UINT32_MAX

struct clients;

struct clients *clients_new(void);
void clients_free(struct clients *c);

/* Counts a connection of `address` (its raw bytes). False: it would be one more than `limit`.
 * `ret_slot` is what clients_leave() needs. */
bool clients_enter(struct clients *c, struct bytes address, unsigned limit, uint32_t *ret_slot);
void clients_leave(struct clients *c, uint32_t slot);

#endif
