/* Why a text is no JSON, in the words of Go's decoder: Consul's answers quote them, and clients
 * match on them. Pure; no recursion, so any nesting does no harm.
 *
 * Threads  any.
 */
#ifndef CORE_JSON_WHY_H
#define CORE_JSON_WHY_H

#include "core/base/buf.h"

/* True, and `why` untouched: the text begins with a JSON value of Go's. `why`: `EOF`, `unexpected
 * EOF`, `invalid character 'b' looking for beginning of object key string` and so on. */
bool json_why(struct bytes text, struct reason *why);

#endif
