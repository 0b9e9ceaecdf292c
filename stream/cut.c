#include "stream/cut.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "stream/seeded.h"

/* The work on one frame. */
struct cutter {
    struct stream *stream;
    const struct selection *sel;
    const struct cut_ask *ask;
    struct history *history;
    bool ring; /* read from the ring, at `place` */
    struct ring_place place;
    struct buf *out;
    size_t events;
    size_t read;
    uint64_t open;     /* the index at hand; 0 before the first */
    uint64_t complete; /* everything through here is in the frame, or was passed */
    size_t open_len;   /* the frame's length and events before the index at hand */
    size_t open_events;
    enum err failed; /* a change that cannot be read */
    bool part;       /* the frame ends inside the index at hand, in front of change `part_next` */
    uint32_t part_next;
};

static enum err cutter_open(struct cutter *k)
{
    struct stream *s = k->stream;
    if (ring_reaches(&s->ring, k->ask->from.index)) {
        history_close(k->history);
        k->ring = true;
        k->place = ring_find(&s->ring, k->ask->from.index);
        return OK;
    }
    if (history_is_open(k->history)) {
        return OK;
    }
    return history_open(k->history, s->view, k->ask->from.index);
}

static enum err cutter_peek(struct cutter *k, const struct change **ret_change)
{
    if (!k->ring) {
        return history_peek(k->history, ret_change);
    }
    const struct change *c = ring_peek(&k->stream->ring, &k->place);
    if (c == NULL) {
        return ERR_NOT_FOUND;
    }
    *ret_change = c;
    return OK;
}

static void cutter_step(struct cutter *k)
{
    if (k->ring) {
        ring_step(&k->place);
    } else {
        history_step(k->history);
    }
}

/* Everything the source knows has been read. */
static uint64_t cutter_end(const struct cutter *k)
{
    uint64_t end = k->ring ? k->stream->index : history_end(k->history);
    return end > k->ask->until ? k->ask->until : end;
}

static bool cutter_passed(const struct cutter *k, const struct change *c)
{
    const struct place *from = &k->ask->from;
    return c->index <= from->index || (c->index == from->part_index && c->n < from->part_next);
}

static bool cutter_full(const struct cutter *k)
{
    return k->events >= k->ask->events_max || k->out->len >= k->ask->bytes_max / 2 ||
           k->read >= STREAM_TURN_CHANGES;
}

static void cutter_append_event(struct cutter *k, const struct stream_event *e)
{
    bool brief = e->op == EVENT_REMOVED;
    if (!k->ring) {
        frame_event(k->out, e, bytes_of(k->stream->host.datacenter));
        return;
    }
    frame_event_head(k->out, e);
    buf_put(k->out, ring_element(&k->stream->ring, &k->place, brief));
    if (brief) {
        buf_put_char(k->out, '}');
    }
}

static void cutter_append(struct cutter *k, const struct stream_event *e)
{
    if (k->out->len > 0) {
        buf_put_char(k->out, frame_separator(&k->sel->style));
    }
    if (k->sel->topic != CHANGE_KV) {
        cutter_append_event(k, e);
    } else if (k->ring && !k->sel->style.raw) {
        buf_put(k->out, ring_element(&k->stream->ring, &k->place, false));
    } else {
        frame_change(k->out, e->change, k->sel->style.raw);
    }
    k->events++;
}

/* The frame has grown too long with the event that was just added: gives back this event, or all
 * of its index. */
static void cutter_give_back(struct cutter *k, const struct change *c, size_t len)
{
    if (k->open_events > 0) {
        buf_truncate(k->out, k->open_len);
        k->events = k->open_events;
        history_close(k->history);
        return;
    }
    buf_truncate(k->out, len);
    k->events--;
    k->part = true;
    k->part_next = c->n;
}

/* One change; true when the frame is done, or `failed`. */
static bool cutter_take(struct cutter *k, const struct change *c)
{
    struct stream_event e;
    if (c->index != k->open) {
        k->complete = k->open > 0 ? k->open : k->complete;
        if (k->open > 0 && cutter_full(k)) {
            return true;
        }
        k->open = c->index;
        k->open_len = k->out->len;
        k->open_events = k->events;
    }
    k->read++;
    k->failed = selection_judge(k->sel, c, &e);
    if (k->failed != OK) {
        return true;
    }
    if (e.op != EVENT_NONE) {
        size_t len = k->out->len;
        cutter_append(k, &e);
        if (k->out->len > k->ask->bytes_max && k->events > 1) {
            cutter_give_back(k, c, len);
            return true;
        }
        if (SEEDED_BUG(5)) {
            k->part = true;
            k->part_next = c->n + 1;
            cutter_step(k);
            return true;
        }
    }
    cutter_step(k);
    return false;
}

static enum err cutter_run(struct cutter *k)
{
    for (;;) {
        const struct change *c = NULL;
        enum err e = cutter_peek(k, &c);
        if (e == ERR_NOT_FOUND || (e == OK && c->index > k->ask->until)) {
            k->complete = cutter_end(k);
            if (e == ERR_NOT_FOUND) {
                history_close(k->history);
            }
            return OK;
        }
        if (e != OK) {
            return e;
        }
        if (cutter_passed(k, c)) {
            cutter_step(k);
            continue;
        }
        if (SEEDED_BUG(3) && k->ask->from.index == stream_oldest(k->stream) && k->open == 0 &&
            c->op != CHANGE_SET && k->ask->from.part_index == 0) {
            k->open = c->index;
            cutter_step(k);
            continue;
        }
        if (cutter_take(k, c)) {
            return k->failed;
        }
    }
}

/* The frame; none if there is nothing to say. A divided index is ended by a frame in any case. */
static struct shared *cutter_frame(const struct cutter *k, uint64_t through)
{
    if (k->events == 0 && k->ask->from.part_index == 0) {
        return NULL;
    }
    struct frame_events e = {
        .id = k->sel->id,
        .after = k->ask->told,
        .through = through,
        .part = k->part && !SEEDED_BUG(5),
        .elements = buf_view(k->out),
        .epoch = k->stream->epoch,
        .cursor = through < k->ask->cursor_max ? through : k->ask->cursor_max,
    };
    if (k->sel->style.lines && k->events == 0) {
        return NULL;
    }
    return frame_events(&k->sel->style, &e);
}

enum err cut_make(struct stream *s,
                  struct selection *sel,
                  struct history *h,
                  const struct cut_ask *ask,
                  struct cut *ret_cut)
{
    CHECK(ask->events_max > 0);
    struct cutter k = {
        .stream = s,
        .sel = sel,
        .ask = ask,
        .history = h,
        .out = &s->scratch,
        .complete = ask->from.index,
    };
    buf_clear(k.out);
    enum err e = cutter_open(&k);
    if (e == OK) {
        e = cutter_run(&k);
    }
    if (e != OK) {
        history_close(h);
        return e;
    }
    CHECK(k.complete >= ask->from.index);
    struct place to = {.index = k.complete};
    uint64_t through = k.complete;
    if (k.part) {
        to.part_index = k.open;
        to.part_next = k.part_next;
        through = SEEDED_BUG(5) ? k.open - 1 : ask->told;
    }
    *ret_cut = (struct cut){
        .ask = *ask,
        .tail = s->index,
        .to = to,
        .through = through,
        .events = k.events,
        .read = k.read,
        .frame = cutter_frame(&k, through),
    };
    return OK;
}
