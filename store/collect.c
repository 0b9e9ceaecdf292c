#include "store/collect.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/row.h"
#include "store/view.h"

#include <stdlib.h>

/* A round is ended by its owner long before this. */
#define COLLECT_MAX (PROPOSAL_BYTES_MAX * 4)

void collect_init(struct collect *c)
{
    *c = (struct collect){0};
    buf_init(&c->data, COLLECT_MAX);
    buf_init(&c->moved, COLLECT_MAX);
}

void collect_close(struct collect *c)
{
    free(c->changes);
    buf_close(&c->data);
    buf_close(&c->moved);
    collect_init(c);
}

static size_t collect_len(const struct change *change)
{
    return change->key.len + change->value.len + change->session.len;
}

void collect_change(struct collect *c, const struct change *change)
{
    if (c->replaced) {
        return;
    }
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->changes = mem_realloc(c->changes, c->cap * sizeof(*c->changes));
    }
    c->changes[c->count++] = *change;
    buf_put(&c->data, change->key);
    buf_put(&c->data, change->value);
    buf_put(&c->data, change->session);
    c->bytes = c->data.len;
}

void collect_truncate(struct collect *c, size_t count)
{
    CHECK(count <= c->count);
    while (c->count > count) {
        c->count--;
        buf_truncate(&c->data, c->data.len - collect_len(&c->changes[c->count]));
    }
    c->bytes = c->data.len;
}

void collect_moved(struct collect *c, struct bytes name)
{
    if (!c->replaced) {
        CHECK(texts_add(&c->moved, name) == OK);
    }
}

void collect_replaced(struct collect *c)
{
    c->replaced = true;
    collect_truncate(c, 0);
    buf_clear(&c->moved);
}

/* The buffer moves while it grows, so the changes learn only now where their bytes are: one after
 * the other, in the order in which they were put. */
static const char *collect_place(struct bytes *part, const char *at)
{
    part->ptr = at;
    return at + part->len;
}

static void collect_place_all(struct collect *c, const char *at)
{
    for (size_t i = 0; i < c->count; i++) {
        struct change *change = &c->changes[i];
        at = collect_place(&change->key, at);
        at = collect_place(&change->value, at);
        at = collect_place(&change->session, at);
    }
}

struct change_batch *collect_finish(struct collect *c, uint64_t after, struct view *view)
{
    CHECK(c->replaced || after <= view_index(view));
    struct change_batch *b = mem_alloc(sizeof(*b));
    *b = (struct change_batch){
        .after = after,
        .through = view_index(view),
        .view = view_ref(view),
        .replaced = c->replaced,
        .count = c->count,
        .memory = c->data,
    };
    atomic_init(&b->refs, 1);
    if (c->moved.len > 0) {
        b->moved.ptr = buf_take(&c->moved, &b->moved.len);
    }
    if (c->count > 0) {
        /* The array goes behind the bytes: one piece of memory for all. */
        static const char padding[_Alignof(struct change)];
        size_t array = c->count * sizeof(*c->changes);
        size_t align = -b->memory.len % sizeof(padding);
        CHECK(buf_reserve(&b->memory, align + array) == OK);
        collect_place_all(c, b->memory.ptr);
        buf_put(&b->memory, (struct bytes){padding, align});
        char *to = b->memory.ptr + b->memory.len;
        buf_put(&b->memory, (struct bytes){(const char *)c->changes, array});
        b->changes = (const struct change *)(void *)to;
    }
    c->count = 0;
    c->bytes = 0;
    c->replaced = false;
    buf_init(&c->data, COLLECT_MAX);
    buf_clear(&c->moved);
    return b;
}
