#include "tests/sim/rocks_story.h"

#include "core/base/check.h"

#include <stdio.h>
#include <string.h>

#define SNAPSHOTS 3U
#define KEY_MAX   4U

struct story {
    uint64_t dice;
    struct rocks *db;
    struct rocks_batch *batch;
    struct rocks_snapshot *snapshots[SNAPSHOTS];
    struct buf *out;
    enum rocks_kind kind;
};

static unsigned roll(struct story *s, unsigned limit)
{
    s->dice = s->dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)((s->dice >> 33) % limit);
}

/* Few letters and short: keys that are each other's beginnings, and often the same. */
static struct bytes roll_key(struct story *s, char text[KEY_MAX])
{
    size_t len = roll(s, KEY_MAX) + 1;
    for (size_t i = 0; i < len; i++) {
        text[i] = "ab\xff"[roll(s, 3)];
    }
    return (struct bytes){.ptr = text, .len = len};
}

static const struct rocks_snapshot *roll_snapshot(struct story *s)
{
    unsigned n = roll(s, SNAPSHOTS * 2);
    return n < SNAPSHOTS ? s->snapshots[n] : NULL;
}

static void say(struct story *s, const char *what, struct bytes a, struct bytes b)
{
    buf_put_str(s->out, what);
    buf_put_char(s->out, ' ');
    buf_put(s->out, a);
    buf_put_char(s->out, ' ');
    buf_put(s->out, b);
    buf_put_char(s->out, '\n');
}

static void story_stage(struct story *s)
{
    char key[KEY_MAX];
    char end[KEY_MAX];
    char value[16];
    struct bytes a = roll_key(s, key);
    unsigned kind = roll(s, 8);
    if (kind < 5) {
        int len = snprintf(value, sizeof value, "%u", roll(s, 100000));
        rocks_batch_put(s->batch, a, (struct bytes){.ptr = value, .len = (size_t)len});
    } else if (kind < 7) {
        rocks_batch_delete(s->batch, a);
    } else {
        struct bytes b = roll_key(s, end);
        bool in_order = bytes_compare(a, b) < 0;
        rocks_batch_delete_range(s->batch, in_order ? a : b, in_order ? b : a);
    }
}

static void story_write(struct story *s)
{
    char text[32];
    for (unsigned n = roll(s, 6); n > 0; n--) {
        story_stage(s);
    }
    int len = snprintf(text, sizeof text, "%u", (unsigned)rocks_batch_count(s->batch));
    say(s, "wrote", (struct bytes){.ptr = text, .len = (size_t)len}, BYTES(""));
    enum err e = rocks_write(s->db, s->batch, s->kind == ROCKS_LOG && roll(s, 2) == 0, NULL);
    CHECK(e == OK);
    rocks_batch_clear(s->batch);
}

static void story_get(struct story *s)
{
    char text[KEY_MAX];
    struct rocks_slice slice = {0};
    struct bytes key = roll_key(s, text);
    bool durable = s->kind == ROCKS_STATE && roll(s, 4) == 0;
    enum err e = durable ? rocks_get_durable(s->db, key, &slice, NULL)
                         : rocks_get(s->db, roll_snapshot(s), key, &slice, NULL);
    say(s, e == OK ? "found" : err_name(e), key, e == OK ? slice.value : BYTES(""));
    rocks_slice_close(&slice);
}

static void story_step(struct story *s, struct rocks_iter *it)
{
    char text[KEY_MAX];
    switch (roll(s, 6)) {
    case 0:
        rocks_iter_first(it);
        break;
    case 1:
        rocks_iter_last(it);
        break;
    case 2:
        rocks_iter_seek(it, roll_key(s, text));
        break;
    default:
        if (rocks_iter_valid(it) && roll(s, 2) == 0) {
            rocks_iter_next(it);
        } else if (rocks_iter_valid(it)) {
            rocks_iter_prev(it);
        }
        break;
    }
    bool valid = rocks_iter_valid(it);
    say(s, "at", valid ? rocks_iter_key(it) : BYTES("nowhere"),
        valid ? rocks_iter_value(it) : BYTES(""));
}

static void story_iterate(struct story *s)
{
    char from[KEY_MAX];
    char to[KEY_MAX];
    struct bytes a = roll(s, 2) == 0 ? roll_key(s, from) : BYTES("");
    struct bytes b = roll(s, 2) == 0 ? roll_key(s, to) : BYTES("");
    if (a.len > 0 && b.len > 0 && bytes_compare(a, b) > 0) {
        struct bytes c = a;
        a = b;
        b = c;
    }
    struct rocks_iter *it = rocks_iter_new(s->db, roll_snapshot(s), a, b);
    for (unsigned n = roll(s, 12); n > 0; n--) {
        story_step(s, it);
        if (roll(s, 4) == 0) {
            /* It goes on as it began, whatever is written. */
            story_write(s);
        }
    }
    CHECK(rocks_iter_error(it, NULL) == OK);
    rocks_iter_free(it);
}

static void story_snapshot(struct story *s)
{
    struct rocks_snapshot **at = &s->snapshots[roll(s, SNAPSHOTS)];
    rocks_snapshot_free(*at);
    *at = roll(s, 3) == 0 ? NULL : rocks_snapshot_new(s->db);
}

void rocks_story(uint64_t seed, unsigned steps, enum rocks_kind kind, struct buf *out)
{
    struct story s = {.dice = seed, .batch = rocks_batch_new(), .out = out, .kind = kind};
    enum err e = rocks_open(NULL, kind, &s.db, NULL);
    CHECK(e == OK);
    while (steps-- > 0) {
        switch (roll(&s, 8)) {
        case 0:
        case 1:
            story_write(&s);
            break;
        case 2:
        case 3:
        case 4:
            story_get(&s);
            break;
        case 5:
        case 6:
            story_iterate(&s);
            break;
        default:
            story_snapshot(&s);
            if (roll(&s, 8) == 0) {
                CHECK(rocks_flush(s.db, NULL) == OK);
            }
            break;
        }
    }
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        rocks_snapshot_free(s.snapshots[i]);
    }
    rocks_batch_free(s.batch);
    rocks_close(s.db);
}
