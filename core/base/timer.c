#include "core/base/timer.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>

void timers_init(struct timers *heap)
{
    *heap = (struct timers){0};
}

void timers_close(struct timers *heap)
{
    CHECK(heap->count == 0);
    free(heap->items);
    *heap = (struct timers){0};
}

static bool timers_before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void timers_place(struct timers *heap, size_t position, struct timer *t)
{
    heap->items[position] = t;
    t->position = position;
}

static void timers_up(struct timers *heap, size_t position)
{
    struct timer *t = heap->items[position];
    while (position > 1 && timers_before(t, heap->items[position / 2])) {
        timers_place(heap, position, heap->items[position / 2]);
        position /= 2;
    }
    timers_place(heap, position, t);
}

static void timers_down(struct timers *heap, size_t position)
{
    struct timer *t = heap->items[position];
    for (;;) {
        size_t child = position * 2;
        if (child > heap->count) {
            break;
        }
        if (child < heap->count && timers_before(heap->items[child + 1], heap->items[child])) {
            child++;
        }
        if (!timers_before(heap->items[child], t)) {
            break;
        }
        timers_place(heap, position, heap->items[child]);
        position = child;
    }
    timers_place(heap, position, t);
}

bool timers_next(const struct timers *heap, uint64_t *ret_at_ms)
{
    if (heap->count == 0) {
        return false;
    }
    *ret_at_ms = heap->items[1]->at_ms;
    return true;
}

void timers_run(struct timers *heap, uint64_t now_ms)
{
    while (heap->count > 0 && heap->items[1]->at_ms <= now_ms) {
        struct timer *t = heap->items[1];
        timer_stop(t);
        t->fire(t);
    }
}

void timer_init(struct timer *t, struct timers *heap, timer_fn fire)
{
    *t = (struct timer){.heap = heap, .fire = fire};
}

void timer_start(struct timer *t, uint64_t at_ms)
{
    struct timers *heap = t->heap;
    timer_stop(t);
    if (heap->count + 1 >= heap->cap) {
        heap->cap = heap->cap == 0 ? 16 : heap->cap * 2;
        heap->items = mem_realloc((void *)heap->items, heap->cap * sizeof(struct timer *));
    }
    t->at_ms = at_ms;
    t->order = heap->armed++;
    heap->count++;
    timers_place(heap, heap->count, t);
    timers_up(heap, heap->count);
}

void timer_stop(struct timer *t)
{
    struct timers *heap = t->heap;
    if (t->position == 0) {
        return;
    }
    size_t hole = t->position;
    CHECK(hole <= heap->count);
    CHECK(heap->items[hole] == t);
    struct timer *last = heap->items[heap->count--];
    t->position = 0;
    if (last == t) {
        return;
    }
    timers_place(heap, hole, last);
    timers_up(heap, hole);
    timers_down(heap, last->position);
}

bool timer_armed(const struct timer *t)
{
    return t->position != 0;
}
