/* JSON as the command line needs it: numbers up to 2^64, and an array's elements as the text they
 * were.
 *
 * Limits   JSON_DEPTH_MAX.
 * Errors   ERR_INVALID with a reason that says where.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_CLI_JSON_H
#define CORE_CLI_JSON_H

#include "core/base/buf.h"

#include <jansson.h>

/* jansson stops at 2^63, and flags of locks are above it: long numbers become texts on the way in,
 * which json_u64() reads like numbers. */
enum err json_parse(struct bytes text, json_t **ret_value, struct reason *why) ERR_MUST_USE;
/* ERR_INVALID if it is no whole number from 0 to 2^64-1. */
enum err json_u64(const json_t *value, uint64_t *ret_number) ERR_MUST_USE;
/* Empty for what is no text. Borrowed from `value`. */
struct bytes json_bytes(const json_t *value);
/* Takes the next element off `rest`, which begins behind a valid array's `[` or a comma of it.
 * False behind the last. */
bool json_next_element(struct bytes *rest, struct bytes *ret_element);

#endif
