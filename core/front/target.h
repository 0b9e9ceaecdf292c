/* The request's target, decoded: path and query string. Pure.
 *
 * Owner    what is decoded lives in the arena.
 * Limits   HTTP_QUERY_ARGS_MAX arguments; the arena's.
 * Errors   ERR_INVALID (with a sentence in `why`), ERR_TOO_BIG.
 * Threads  none.
 */
#ifndef CORE_FRONT_TARGET_H
#define CORE_FRONT_TARGET_H

#include "core/front/request.h"

/* Percent-decoded once: `//`, `..` and what `%2F` becomes stay as they are. Control characters
 * (U+0000..U+001F, U+007F..U+009F) are ERR_INVALID; bytes that are not UTF-8 pass. */
enum err target_path(struct arena *arena,
                     struct bytes raw,
                     struct bytes *ret_path,
                     const char **ret_why) ERR_MUST_USE;
/* `a=1&b&c=x+y` in the order of the string; empty pieces are skipped. */
enum err target_query(struct arena *arena,
                      struct bytes raw,
                      const struct query_arg **ret_args,
                      size_t *ret_count,
                      const char **ret_why) ERR_MUST_USE;

#endif
