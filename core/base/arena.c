#include "core/base/arena.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* Smallest block: most requests need one. */
#define ARENA_BLOCK_LEN 1024

struct arena_block {
    struct arena_block *next;
    size_t cap;
    size_t len;
    alignas(max_align_t) char memory[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_reset(struct arena *a)
{
    while (a->blocks != a->lent) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
    if (a->lent != NULL) {
        a->lent->len = 0;
    }
    a->used = 0;
}

void arena_lend(struct arena *a, void *memory, size_t len)
{
    struct arena_block *block = memory;
    CHECK(a->blocks == NULL);
    CHECK(len > sizeof *block);
    *block = (struct arena_block){.cap = len - sizeof *block};
    a->blocks = block;
    a->lent = block;
}

void arena_close(struct arena *a)
{
    arena_reset(a);
    *a = (struct arena){.max = a->max};
}

void *arena_alloc(struct arena *a, size_t len)
{
    size_t align = alignof(max_align_t);
    if (len > a->max || a->used > a->max - len) {
        return NULL;
    }
    size_t need = (len + align - 1) / align * align;
    if (a->blocks == NULL || a->blocks->cap - a->blocks->len < need) {
        size_t cap = need > ARENA_BLOCK_LEN ? need : ARENA_BLOCK_LEN;
        struct arena_block *block = mem_alloc(sizeof *block + cap);
        *block = (struct arena_block){.next = a->blocks, .cap = cap};
        a->blocks = block;
    }
    void *p = a->blocks->memory + a->blocks->len;
    a->blocks->len += need;
    a->used += need;
    return p;
}

struct bytes arena_copy(struct arena *a, struct bytes data)
{
    char *p = arena_alloc(a, data.len + 1);
    if (p == NULL) {
        return (struct bytes){0};
    }
    if (data.len > 0) {
        memcpy(p, data.ptr, data.len);
    }
    p[data.len] = '\0';
    return (struct bytes){.ptr = p, .len = data.len};
}
