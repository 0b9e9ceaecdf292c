/* Herald's own routes, from core/front/route.tbl.h.
 *
 * Threads  constants.
 */
#ifndef CORE_API_ROUTES_H
#define CORE_API_ROUTES_H

#include "core/front/route.h"

extern const struct route ROUTES[];
extern const size_t ROUTE_COUNT;

#endif
