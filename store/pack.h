/* The numbers of the store's formats: core/base/pack.h, under the name the store knows.
 *
 * Threads  any; nothing is shared.
 */
#ifndef STORE_PACK_H
#define STORE_PACK_H

#include "core/base/pack.h"

#endif
