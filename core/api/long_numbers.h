/* Whole numbers that JSON's library does not take: it knows none above 2^63 - 1, and flags of keys
 * may be. Before it reads a text, each whole number of 19 digits or more gets quotes; who reads the
 * member takes a text of digits for the number.
 *
 * Errors   ERR_TOO_BIG when `out` is full.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_API_LONG_NUMBERS_H
#define CORE_API_LONG_NUMBERS_H

#include "core/base/buf.h"

/* Any bytes; what is no JSON stays none. Appends. */
enum err long_numbers_quote(struct bytes json, struct buf *out) ERR_MUST_USE;

#endif
