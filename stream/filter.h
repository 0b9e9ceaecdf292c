/* Filters: a small expression over the fields of an event, in the manner of go-bexpr.
 *
 *     op == "set" and (key contains "/web/" or flags in [1, 2]) and not size > 1000
 *
 *     status == critical and before != critical and tags contains prod
 *
 * Fields     kv       text: op, key, value, session; numbers: index, flags, size (of the value),
 *                     create_index, lock_index
 *            service  op, key, service, node, id, name, status, before, address; tag, tags; port
 *            check    op, key, service, node, id, name, check, status; tag, tags
 *            node     op, key, node, id, name, address
 *            session  op, key, node, id, name
 *            event    op, key, id, name
 *            and `index` for each. `tag` and `tags` are the same list: a test holds if it does
 *            of one tag (`contains` and == without regard to case), with `not` or != if of none.
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

#include "stream/event.h"

struct filter;

enum err filter_new(enum change_topic topic,
                    struct bytes text,
                    struct filter **ret_filter,
                    struct reason *why) ERR_MUST_USE;
void filter_free(struct filter *f);
bool filter_matches(const struct filter *f, const struct stream_event *e);

#endif
