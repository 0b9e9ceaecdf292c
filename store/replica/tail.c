#include "store/replica/tail.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_CAP_MIN 256

void tail_init(struct tail *t, uint64_t last)
{
    *t = (struct tail){.first = last + 1, .last = last};
}

void tail_close(struct tail *t)
{
    tail_reset(t, 0, false);
    tail_settled(t);
    free((void *)t->cut);
    free(t->entries);
    *t = (struct tail){.first = 1};
}

uint64_t tail_first(const struct tail *t)
{
    return t->first;
}

uint64_t tail_last(const struct tail *t)
{
    return t->last;
}

size_t tail_bytes(const struct tail *t)
{
    return t->bytes;
}

static struct tail_entry *tail_slot(const struct tail *t, uint64_t index)
{
    return &t->entries[index & (t->cap - 1)];
}

static void tail_grow(struct tail *t)
{
    size_t cap = t->cap == 0 ? TAIL_CAP_MIN : t->cap * 2;
    struct tail_entry *entries = mem_zalloc(cap, sizeof *entries);
    for (uint64_t i = t->first; i <= t->last; i++) {
        entries[i & (cap - 1)] = *tail_slot(t, i);
    }
    free(t->entries);
    t->entries = entries;
    t->cap = cap;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the memory is taken, and freed later */
void tail_append(struct tail *t, const struct journal_entry *entry, char *memory)
{
    if (t->last + 1 - t->first == t->cap) {
        tail_grow(t);
    }
    struct tail_entry kept = {.entry = *entry, .memory = memory};
    if (memory == NULL && entry->data.len > 0) {
        kept.memory = mem_dup(entry->data.ptr, entry->data.len);
        kept.entry.data.ptr = kept.memory;
    }
    t->last++;
    t->bytes += entry->data.len;
    *tail_slot(t, t->last) = kept;
}

const struct journal_entry *tail_get(const struct tail *t, uint64_t index)
{
    return index >= t->first && index <= t->last ? &tail_slot(t, index)->entry : NULL;
}

static void tail_drop(struct tail *t, uint64_t index, bool busy)
{
    struct tail_entry *slot = tail_slot(t, index);
    t->bytes -= slot->entry.data.len;
    if (!busy || slot->memory == NULL) {
        free(slot->memory);
        return;
    }
    if (t->cut_count == t->cut_cap) {
        t->cut_cap = t->cut_cap == 0 ? 64 : t->cut_cap * 2;
        t->cut = (char **)mem_realloc((void *)t->cut, t->cut_cap * sizeof *t->cut);
    }
    t->cut[t->cut_count++] = slot->memory;
}

void tail_cut(struct tail *t, uint64_t from, bool busy)
{
    while (t->last >= from && t->last >= t->first) {
        tail_drop(t, t->last, busy);
        t->last--;
    }
    if (t->last >= from) {
        /* All of it was behind; what comes next is `from`. */
        t->last = from - 1;
        t->first = from;
    }
}

void tail_settled(struct tail *t)
{
    for (size_t i = 0; i < t->cut_count; i++) {
        free(t->cut[i]);
    }
    t->cut_count = 0;
}

void tail_trim(struct tail *t, uint64_t through, size_t keep_bytes)
{
    while (t->first <= t->last && t->first <= through && t->bytes > keep_bytes) {
        tail_drop(t, t->first, false);
        t->first++;
    }
}

void tail_reset(struct tail *t, uint64_t last, bool busy)
{
    for (uint64_t i = t->first; i <= t->last; i++) {
        tail_drop(t, i, busy);
    }
    t->first = last + 1;
    t->last = last;
}
