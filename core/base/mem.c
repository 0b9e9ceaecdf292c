#include "core/base/mem.h"

#include "core/base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *mem_alloc(size_t len)
{
    void *p = malloc(len > 0 ? len : 1);
    if (p == NULL) {
        fatal("out of memory (%zu bytes)", len);
    }
    return p;
}

void *mem_zalloc(size_t count, size_t len)
{
    void *p = calloc(count > 0 ? count : 1, len > 0 ? len : 1);
    if (p == NULL) {
        fatal("out of memory (%zu x %zu bytes)", count, len);
    }
    return p;
}

void *mem_realloc(void *p, size_t len)
{
    void *q = realloc(p, len > 0 ? len : 1);
    if (q == NULL) {
        fatal("out of memory (%zu bytes)", len);
    }
    return q;
}

char *mem_dup(const void *p, size_t len)
{
    CHECK(len < SIZE_MAX);
    char *q = mem_alloc(len + 1);
    if (len > 0) {
        memcpy(q, p, len);
    }
    q[len] = '\0';
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}
