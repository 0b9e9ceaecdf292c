#include "core/agent/deadlines.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define DEADLINES_SLOTS_MIN 64U

struct deadline {
    struct deadline *next; /* in its slot */
    struct deadlines *owner;
    struct timer timer;
    struct expiry expiry;
    char name[]; /* what expiry.name points to */
};

void deadlines_init(struct deadlines *d,
                    struct env *env,
                    void (*due)(void *ctx, const struct expiry *x),
                    void *ctx)
{
    *d = (struct deadlines){.env = env, .due = due, .ctx = ctx};
}

void deadlines_close(struct deadlines *d)
{
    deadlines_clear(d);
    free((void *)d->slots);
    *d = (struct deadlines){0};
}

void deadlines_clear(struct deadlines *d)
{
    for (size_t i = 0; i < d->slot_count; i++) {
        while (d->slots[i] != NULL) {
            struct deadline *at = d->slots[i];
            d->slots[i] = at->next;
            timer_stop(&at->timer);
            free(at);
        }
    }
    d->count = 0;
}

static size_t deadlines_slot(const struct deadlines *d, enum expiry_kind kind, struct bytes name)
{
    return (size_t)((bytes_hash(name) + (uint64_t)kind) & (d->slot_count - 1));
}

/* The link that leads to it, or to the end of its slot. */
static struct deadline **
deadlines_find(struct deadlines *d, enum expiry_kind kind, struct bytes name)
{
    struct deadline **link = &d->slots[deadlines_slot(d, kind, name)];
    while (*link != NULL &&
           ((*link)->expiry.kind != kind || !bytes_equal((*link)->expiry.name, name))) {
        link = &(*link)->next;
    }
    return link;
}

static void deadlines_grow(struct deadlines *d)
{
    size_t old_count = d->slot_count;
    struct deadline **old = d->slots;
    d->slot_count = old_count == 0 ? DEADLINES_SLOTS_MIN : old_count * 2;
    d->slots = (struct deadline **)mem_zalloc(d->slot_count, sizeof(struct deadline *));
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct deadline *at = old[i];
            struct deadline **to = &d->slots[deadlines_slot(d, at->expiry.kind, at->expiry.name)];
            old[i] = at->next;
            at->next = *to;
            *to = at;
        }
    }
    free((void *)old);
}

static void deadline_fire(struct timer *t)
{
    struct deadline *at = LIST_OWNER(t, struct deadline, timer);
    struct deadlines *d = at->owner;
    d->due(d->ctx, &at->expiry);
}

void deadlines_set(struct deadlines *d, const struct expiry *x)
{
    if (d->count >= d->slot_count) {
        deadlines_grow(d);
    }
    struct deadline **link = deadlines_find(d, x->kind, x->name);
    struct deadline *at = *link;
    if (at != NULL && at->expiry.set_index == x->set_index) {
        return;
    }
    if (at == NULL) {
        at = mem_zalloc(1, sizeof *at + x->name.len);
        at->owner = d;
        memcpy(at->name, x->name.ptr, x->name.len);
        env_timer_init(d->env, &at->timer, deadline_fire);
        *link = at;
        d->count++;
    }
    at->expiry = *x;
    at->expiry.name = (struct bytes){at->name, x->name.len};
    uint64_t after = x->after_ms < UINT64_MAX / 2 ? x->after_ms : UINT64_MAX / 2;
    env_timer_start(d->env, &at->timer, after + EXPIRE_SLACK_MS);
}

void deadlines_forget(struct deadlines *d, enum expiry_kind kind, struct bytes name)
{
    if (d->count == 0) {
        return;
    }
    struct deadline **link = deadlines_find(d, kind, name);
    struct deadline *at = *link;
    if (at != NULL) {
        *link = at->next;
        timer_stop(&at->timer);
        free(at);
        CHECK(d->count > 0);
        d->count--;
    }
}

void deadlines_again(struct deadlines *d, const struct expiry *x, uint64_t delay_ms)
{
    if (d->count == 0) {
        return;
    }
    struct deadline *at = *deadlines_find(d, x->kind, x->name);
    if (at != NULL && at->expiry.set_index == x->set_index && !timer_armed(&at->timer)) {
        env_timer_start(d->env, &at->timer, delay_ms);
    }
}
