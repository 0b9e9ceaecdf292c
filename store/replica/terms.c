#include "store/replica/terms.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>

void terms_close(struct terms *t)
{
    free(t->runs);
    *t = (struct terms){0};
}

void terms_clear(struct terms *t)
{
    t->count = 0;
}

void terms_append(struct terms *t, uint64_t index, uint64_t term)
{
    while (t->count > 0 && t->runs[t->count - 1].first >= index) {
        t->count--;
    }
    if (t->count > 0 && t->runs[t->count - 1].term == term) {
        return;
    }
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 8 : t->cap * 2;
        t->runs = mem_realloc(t->runs, t->cap * sizeof *t->runs);
    }
    t->runs[t->count++] = (struct terms_run){.first = index, .term = term};
}

void terms_trim(struct terms *t, uint64_t first)
{
    size_t old = 0;
    while (old + 1 < t->count && t->runs[old + 1].first <= first) {
        old++;
    }
    for (size_t i = old; i < t->count; i++) {
        t->runs[i - old] = t->runs[i];
    }
    t->count -= old;
}

uint64_t terms_of(const struct terms *t, uint64_t index)
{
    size_t i = t->count;
    while (i > 0 && t->runs[i - 1].first > index) {
        i--;
    }
    CHECK(i > 0);
    return t->runs[i - 1].term;
}
