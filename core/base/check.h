/* What a broken program and a broken world do: they stop, and say why.
 *
 * Three kinds of failure (style): expected ones are `enum err` (err.h); a bug in
 * Herald itself is CHECK, which stays on in release builds; a world that cannot
 * be worked with (no memory, a failed sync) is fatal().
 *
 * Threads  any.
 */
#ifndef CORE_BASE_CHECK_H
#define CORE_BASE_CHECK_H

#define CHECK(cond)                                                                                \
    ((__builtin_expect(!!(cond), 1)) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

/* A bug: print the condition and its place, then abort (a core file helps). */
_Noreturn void check_failed(const char *cond, const char *file, int line);

/* The world is gone: print one line `herald: fatal: ...` and exit with status 70. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
