#include "stream/ring.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "stream/frame.h"

#include <stdlib.h>

/* What one change costs besides its bytes. */
#define RING_CHANGE_BYTES (sizeof(struct change) + sizeof(struct ring_end))

void ring_init(struct ring *r, const char *datacenter)
{
    *r = (struct ring){
        .datacenter = datacenter,
        .entries = mem_zalloc(STREAM_RING_BATCHES, sizeof *r->entries),
    };
}

static struct ring_entry *ring_at(const struct ring *r, size_t i)
{
    return &r->entries[(r->first + i) % STREAM_RING_BATCHES];
}

static void ring_pop(struct ring *r)
{
    CHECK(r->count > 0);
    struct ring_entry *entry = ring_at(r, 0);
    CHECK(r->bytes >= entry->bytes);
    r->bytes -= entry->bytes;
    change_batch_unref(entry->batch);
    free(entry->elements);
    free(entry->ends);
    *entry = (struct ring_entry){0};
    r->first = (r->first + 1) % STREAM_RING_BATCHES;
    r->count--;
}

void ring_clear(struct ring *r)
{
    while (r->count > 0) {
        ring_pop(r);
    }
}

void ring_close(struct ring *r)
{
    ring_clear(r);
    free(r->entries);
    *r = (struct ring){0};
}

void ring_push(struct ring *r, struct change_batch *b, uint64_t now_ms)
{
    if (r->count > 0 && ring_at(r, r->count - 1)->batch->through != b->after) {
        ring_clear(r);
    }
    if (r->count == STREAM_RING_BATCHES) {
        ring_pop(r);
    }
    size_t bytes = sizeof *b;
    for (size_t i = 0; i < b->count; i++) {
        bytes += RING_CHANGE_BYTES + b->changes[i].key.len + b->changes[i].value.len;
    }
    *ring_at(r, r->count) = (struct ring_entry){
        .batch = change_batch_ref(b),
        .published_ms = now_ms,
        .bytes = bytes,
    };
    r->count++;
    r->bytes += bytes;
    while (r->count > 1 && r->bytes > STREAM_RING_BYTES) {
        ring_pop(r);
    }
}

void ring_trim(struct ring *r, uint64_t now_ms)
{
    while (r->count > 0 && ring_at(r, 0)->published_ms + STREAM_RING_AGE_MS <= now_ms) {
        ring_pop(r);
    }
}

bool ring_reaches(const struct ring *r, uint64_t index)
{
    return r->count > 0 && ring_at(r, 0)->batch->after <= index;
}

/* First i in [0, count) for which the batch reaches past `index`. */
static size_t ring_find_batch(const struct ring *r, uint64_t index)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring_at(r, middle)->batch->through > index) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static size_t ring_find_change(const struct change_batch *b, uint64_t index)
{
    size_t low = 0;
    size_t high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->changes[middle].index > index) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct ring_place ring_find(const struct ring *r, uint64_t index)
{
    struct ring_place place = {.entry = ring_find_batch(r, index)};
    if (place.entry < r->count) {
        place.change = ring_find_change(ring_at(r, place.entry)->batch, index);
    }
    return place;
}

/* Returns where it ends for `removed`. */
static size_t ring_encode_change(struct buf *out, const struct change *c, const char *datacenter)
{
    struct stream_event e;
    if (c->topic == CHANGE_KV) {
        frame_change(out, c, false);
        return out->len;
    }
    size_t start = out->len;
    /* What cannot be read is told to nobody: the selection sees it too. */
    return event_read(&e, c) == OK ? start + frame_event_body(out, &e, bytes_of(datacenter))
                                   : start;
}

static void ring_encode(struct ring *r, struct ring_entry *entry)
{
    const struct change_batch *b = entry->batch;
    struct buf out;
    buf_init(&out, UINT32_MAX);
    entry->ends = mem_zalloc(b->count, sizeof *entry->ends);
    for (size_t i = 0; i < b->count; i++) {
        size_t brief = ring_encode_change(&out, &b->changes[i], r->datacenter);
        entry->ends[i] = (struct ring_end){.brief = (uint32_t)brief, .end = (uint32_t)out.len};
        buf_put_char(&out, ',');
    }
    entry->bytes += out.len;
    r->bytes += out.len;
    size_t len = 0;
    entry->elements = buf_take(&out, &len);
}

const struct change *ring_peek(const struct ring *r, struct ring_place *place)
{
    while (place->entry < r->count && place->change == ring_at(r, place->entry)->batch->count) {
        *place = (struct ring_place){.entry = place->entry + 1};
    }
    return place->entry == r->count ? NULL
                                    : &ring_at(r, place->entry)->batch->changes[place->change];
}

struct bytes ring_element(struct ring *r, const struct ring_place *place, bool brief)
{
    struct ring_entry *entry = ring_at(r, place->entry);
    CHECK(place->change < entry->batch->count);
    if (entry->elements == NULL) {
        ring_encode(r, entry);
    }
    size_t from = place->change == 0 ? 0 : entry->ends[place->change - 1].end + 1U;
    const struct ring_end *end = &entry->ends[place->change];
    return (struct bytes){
        .ptr = entry->elements + from,
        .len = (brief ? end->brief : end->end) - from,
    };
}

void ring_step(struct ring_place *place)
{
    place->change++;
}
