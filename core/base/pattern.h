/* Regular expressions that cannot run away: the pattern becomes a small machine whose states are
 * followed side by side, so that matching takes at most (length of the text) x (size of the
 * machine) steps, whatever the pattern says.
 *
 * Syntax   RE2's, without captures' contents: . [a-z] [^a-z] [[:alpha:]] \d \w \s \D \W \S, ^ $ \A
 *          \z \b \B, ( ) (?: ) (?i) (?s) (?m), | * + ? {n} {n,} {n,m}, each also lazy; escapes \n
 *          \t \x41 \x{41} and of punctuation. Characters are UTF-8's; a byte that is none is
 *          itself.
 * Limits   PATTERN_TEXT_MAX, PATTERN_STEPS_MAX, PATTERN_DEPTH_MAX, PATTERN_REPEAT_MAX.
 * Errors   ERR_INVALID with what Go's regexp says, ERR_TOO_BIG past a limit.
 * Threads  one thread at a time.
 */
#ifndef CORE_BASE_PATTERN_H
#define CORE_BASE_PATTERN_H

#include "core/base/buf.h"

struct pattern;

enum err
pattern_new(struct bytes text, struct pattern **ret_pattern, struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void pattern_free(struct pattern *p);
/* Whether it is found anywhere in `text`. */
bool pattern_finds(const struct pattern *p, struct bytes text);

#endif
