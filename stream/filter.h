/* Filters: a small expression over the fields of an event, in the manner of go-bexpr.
 *
 *     op == "set" and (key contains "/web/" or flags in [1, 2]) and not size > 1000
 *
 * Fields     text: op, key, value, session; numbers: index, flags, size (of the value),
 *            create_index, lock_index
 * Tests      == != contains prefix suffix  in [a, b]  (each also with `not` before the word)
 *            < <= > >= for numbers, `is empty`, `is not empty`, `"text" in field` (contains)
 * Joined by  and, or, not, ( ); `not` binds tightest, then `and`
 * Values     "text" with \" and \\, `text`, bare words, numbers
 *
 * Limits   STREAM_FILTER_MAX bytes, STREAM_FILTER_TERMS tests and values, STREAM_FILTER_DEPTH open
 *          parentheses; one evaluation is linear in the filter times the event.
 * Errors   ERR_INVALID, with the column (from 1) in `why`.
 * Threads  none.
 */
#ifndef STREAM_FILTER_H
#define STREAM_FILTER_H

#include "store/change.h"

struct filter;

enum err filter_new(struct bytes text, struct filter **ret_filter, struct reason *why) ERR_MUST_USE;
void filter_free(struct filter *f);
bool filter_matches(const struct filter *f, const struct change *c);
/* `set`, `delete`, `delete-prefix`. */
const char *change_op_name(enum change_op op);

#endif
