/* Allocation that cannot fail: running out of memory ends the process (design.md section 3).
 *
 * Owner    the caller frees with free().
 * Limits   the caller caps every size that comes from outside before it asks.
 * Threads  any.
 */
#ifndef CORE_BASE_MEM_H
#define CORE_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t len) __attribute__((malloc, returns_nonnull));
/* Zeroed array of `count` items of `len` bytes; an overflowing product is fatal. */
void *mem_zalloc(size_t count, size_t len) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t len) __attribute__((returns_nonnull));
/* Copy of `len` bytes, with a NUL behind them. */
char *mem_dup(const void *p, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));

#endif
