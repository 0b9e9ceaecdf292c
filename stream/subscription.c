#include "stream/subscription.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "stream/cut.h"
#include "stream/seeded.h"
#include "stream/subscriber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct sm_state STATES[] = {
    [SUB_OPENING] = {"opening", SM_TO(SUB_CONFIRMING) | SM_TO(SUB_AHEAD) | SM_TO(SUB_SNAPSHOT) |
                                    SM_TO(SUB_BEHIND) | SM_TO(SUB_LIVE) | SM_TO(SUB_ENDED)},
    [SUB_CONFIRMING] = {"confirming", SM_TO(SUB_AHEAD) | SM_TO(SUB_SNAPSHOT) | SM_TO(SUB_BEHIND) |
                                          SM_TO(SUB_LIVE) | SM_TO(SUB_ENDED)},
    [SUB_AHEAD] = {"ahead",
                   SM_TO(SUB_SNAPSHOT) | SM_TO(SUB_BEHIND) | SM_TO(SUB_LIVE) | SM_TO(SUB_ENDED)},
    [SUB_SNAPSHOT] = {"snapshot", SM_TO(SUB_BEHIND) | SM_TO(SUB_ENDED)},
    [SUB_BEHIND] = {"behind",
                    SM_TO(SUB_LIVE) | SM_TO(SUB_PAUSED) | SM_TO(SUB_SNAPSHOT) | SM_TO(SUB_ENDED)},
    [SUB_LIVE] = {"live", SM_TO(SUB_PAUSED) | SM_TO(SUB_BEHIND) | SM_TO(SUB_ENDED)},
    [SUB_PAUSED] = {"paused", SM_TO(SUB_BEHIND) | SM_TO(SUB_ENDED)},
    [SUB_ENDED] = {"ended", 0},
};

static struct stream *sub_stream(const struct subscription *sub)
{
    return sub->owner->stream;
}

static struct server_message sub_message(const struct subscription *sub, enum server_type type)
{
    return (struct server_message){.type = type, .has_id = true, .id = sub->sel->id};
}

/* The question of a consistent subscription, and what it will begin with. */
struct sub_confirm {
    struct stream_confirm question;
    struct list link;         /* stream.questions */
    struct stream *stream;    /* NULL: it ended meanwhile */
    struct subscription *sub; /* NULL: it ended meanwhile */
    struct subscribe ask;
    char epoch[STREAM_EPOCH_MAX + 1]; /* what `ask` points to */
};

void subscription_close(struct subscription *sub)
{
    struct stream *s = sub_stream(sub);
    sm_move(&sub->sm, SUB_ENDED);
    timer_stop(&sub->timer);
    history_close(&sub->history);
    snapshot_close(&sub->snapshot);
    if (sub->confirm != NULL) {
        sub->confirm->sub = NULL;
    }
    list_remove(&sub->link);
    CHECK(sub->owner->count > 0);
    sub->owner->count--;
    selection_release(&s->selections, sub->sel);
    free(sub);
    metric_add(METRIC_STREAM_SUBSCRIPTIONS, -1);
}

/* --- marks ----------------------------------------------------------------------------------- */

/* The place is one that a client may resume from. */
static bool sub_can_mark(const struct subscription *sub)
{
    return sub->at.part_index == 0 && (sub->sm.state == SUB_BEHIND || sub->sm.state == SUB_LIVE ||
                                       sub->sm.state == SUB_PAUSED);
}

void subscription_mark(struct subscription *sub, bool always)
{
    if (!sub_can_mark(sub) || (!always && sub->told >= sub->at.index)) {
        return;
    }
    struct server_message m = sub_message(sub, SERVER_MARK);
    uint64_t others = subscriber_cursor_max(sub->owner, sub);
    if (sub->at.index > sub->told) {
        sub->told = sub->at.index;
    }
    m.through = sub->told + (SEEDED_BUG(4) ? 1 : 0);
    sub->marked_ms = stream_now_ms(sub_stream(sub));
    subscriber_say(sub->owner, &m, m.through < others ? m.through : others);
}

static bool sub_mark_is_due(const struct subscription *sub)
{
    struct stream *s = sub_stream(sub);
    return sub->marked_ms == 0 || sub->marked_ms + stream_heartbeat_ms(s) <= stream_now_ms(s);
}

void subscription_finish(struct subscription *sub, const char *why)
{
    if (subscriber_is_one_way(sub->owner)) {
        subscription_mark(sub, true);
    } else {
        subscription_mark(sub, false);
    }
    struct server_message m = sub_message(sub, SERVER_END);
    m.why = why;
    subscriber_say(sub->owner, &m, 0);
    subscription_close(sub);
}

/* --- beginning ------------------------------------------------------------------------------- */

static void sub_say_subscribed(struct subscription *sub, const char *mode)
{
    struct stream *s = sub_stream(sub);
    struct server_message m = sub_message(sub, SERVER_SUBSCRIBED);
    m.from = sub->told;
    m.index = s->index;
    m.oldest = stream_oldest(s);
    m.epoch = s->epoch;
    m.mode = mode;
    subscriber_say(sub->owner, &m, 0);
}

static void sub_start_snapshot(struct subscription *sub)
{
    struct stream *s = sub_stream(sub);
    snapshot_open(&sub->snapshot, s->view, sub->sel, s->host.datacenter);
    sub->at = (struct place){.index = sub->snapshot.index};
    sub->told = sub->at.index;
    sm_move(&sub->sm, SUB_SNAPSHOT);
    env_timer_start(s->host.env, &sub->timer, STREAM_SNAPSHOT_PIN_MS);
    sub_say_subscribed(sub, "snapshot");
}

/* The changes behind the place are gone, or are another log's. Goes on with a snapshot if the
 * client said so, else ends. */
static enum subscription_step
sub_compacted(struct subscription *sub, uint64_t asked, const char *why)
{
    struct stream *s = sub_stream(sub);
    struct server_message m = sub_message(sub, SERVER_COMPACTED);
    m.asked = asked;
    m.oldest = stream_oldest(s);
    m.index = s->index;
    m.action = "snapshot";
    m.why = why;
    metric_add(METRIC_STREAM_COMPACTED, 1);
    log_line(LOG_STREAM_COMPACTED, "connection=%" PRIu64 " asked=%" PRIu64 " oldest=%" PRIu64,
             sub->owner->name, asked, m.oldest);
    subscriber_say(sub->owner, &m, 0);
    if (sub->compacted_snapshot && sub->sm.state != SUB_SNAPSHOT) {
        history_close(&sub->history);
        sub_start_snapshot(sub);
        return STEP_AGAIN;
    }
    subscription_close(sub);
    return STEP_ENDED;
}

/* The index is known to be within the stream. */
static void sub_begin(struct subscription *sub)
{
    struct stream *s = sub_stream(sub);
    bool live = sub->at.index == s->index;
    sub_say_subscribed(sub, live ? "live" : "replay");
    if (SEEDED_BUG(1) && !live) {
        sub->at.index++;
    }
    if (SEEDED_BUG(2) && sub->at.index > stream_oldest(s)) {
        sub->at.index--;
        live = false;
    }
    timer_stop(&sub->timer);
    sm_move(&sub->sm, live ? SUB_LIVE : SUB_BEHIND);
}

static void sub_resume(struct subscription *sub, const struct subscribe *ask)
{
    struct stream *s = sub_stream(sub);
    uint64_t oldest = stream_oldest(s);
    uint64_t from = ask->has_from ? ask->from_index : s->index;
    if (ask->has_from && from == 0) {
        from = oldest;
    }
    sub->at = (struct place){.index = from};
    sub->told = from;
    if (ask->from_epoch.len > 0 && !bytes_equal(ask->from_epoch, bytes_of(s->epoch))) {
        (void)sub_compacted(sub, ask->from_index, "epoch");
    } else if (from < oldest) {
        (void)sub_compacted(sub, from, NULL);
    } else if (from > s->index) {
        sm_move(&sub->sm, SUB_AHEAD);
        env_timer_start(s->host.env, &sub->timer, STREAM_AHEAD_WAIT_MS);
    } else {
        sub_begin(sub);
    }
}

/* --- patience -------------------------------------------------------------------------------- */

static void sub_give_up_waiting(struct subscription *sub)
{
    struct server_message m = sub_message(sub, SERVER_ERROR);
    m.error = "index_ahead";
    m.text = BYTES("this server has not reached that index");
    m.retry = true;
    subscriber_say(sub->owner, &m, 0);
    subscription_close(sub);
}

static void sub_timer(struct timer *t)
{
    struct subscription *sub = LIST_OWNER(t, struct subscription, timer);
    struct subscriber *owner = sub->owner;
    subscriber_enter(owner);
    if (sub->sm.state == SUB_AHEAD) {
        sub_give_up_waiting(sub);
    } else if (sub->sm.state == SUB_SNAPSHOT) {
        (void)sub_compacted(sub, sub->snapshot.index, "snapshot");
    } else {
        sub->holding = false;
    }
    subscriber_wake(owner);
    subscriber_leave(owner);
}

/* --- confirming ------------------------------------------------------------------------------ */

static void sub_not_ready(struct subscription *sub, struct bytes text)
{
    struct server_message m = sub_message(sub, SERVER_ERROR);
    m.error = "not_ready";
    m.text = text;
    m.retry = true;
    subscriber_say(sub->owner, &m, 0);
    subscription_close(sub);
}

static void sub_start(struct subscription *sub, const struct subscribe *ask)
{
    if (sub_stream(sub)->epoch[0] == '\0') {
        /* Its emptiness is nobody's state: who believed it would take all keys for deleted. */
        sub_not_ready(sub, BYTES("this server is not part of a cluster yet"));
    } else if (ask->snapshot) {
        sub_start_snapshot(sub);
    } else {
        sub_resume(sub, ask);
    }
}

static void sub_confirmed(struct stream_confirm *question, enum err status)
{
    struct sub_confirm *c = LIST_OWNER(question, struct sub_confirm, question);
    if (c->stream == NULL) {
        free(c);
        return;
    }
    list_remove(&c->link);
    /* What was confirmed is published here, which may end the subscription. */
    (void)stream_refresh(c->stream);
    struct subscription *sub = c->sub;
    if (sub != NULL) {
        struct subscriber *owner = sub->owner;
        subscriber_enter(owner);
        sub->confirm = NULL;
        if (status == OK) {
            sub_start(sub, &c->ask);
        } else {
            sub_not_ready(sub, BYTES("no leader has confirmed the state in time"));
        }
        subscriber_wake(owner);
        subscriber_leave(owner);
    }
    free(c);
}

void subscription_drop_questions(struct stream *s)
{
    while (!list_empty(&s->questions)) {
        struct sub_confirm *c = LIST_OWNER(s->questions.next, struct sub_confirm, link);
        list_remove(&c->link);
        c->stream = NULL;
        c->sub = NULL;
    }
}

static void sub_confirm(struct subscription *sub, const struct subscribe *ask)
{
    struct stream *s = sub_stream(sub);
    struct sub_confirm *c = mem_zalloc(1, sizeof *c);
    *c = (struct sub_confirm){
        .question = {.done = sub_confirmed},
        .stream = s,
        .sub = sub,
        .ask = *ask,
    };
    /* What is longer than any epoch is none of ours, and stays so when it is cut. */
    size_t len = ask->from_epoch.len < STREAM_EPOCH_MAX ? ask->from_epoch.len : STREAM_EPOCH_MAX;
    if (len > 0) {
        memcpy(c->epoch, ask->from_epoch.ptr, len);
    }
    c->ask.from_epoch = (struct bytes){.ptr = c->epoch, .len = len};
    list_append(&s->questions, &c->link);
    sub->confirm = c;
    sub->at = (struct place){.index = ask->has_from ? ask->from_index : s->index};
    sub->told = sub->at.index;
    sm_move(&sub->sm, SUB_CONFIRMING);
    s->host.confirm(s->host.ctx, &c->question);
}

void subscription_judge_by(struct subscription *sub, struct rights *rights)
{
    sub->sel = selection_for(&sub_stream(sub)->selections, sub->sel, rights);
}

enum err subscription_open(struct subscriber *owner,
                           const struct subscribe *ask,
                           const struct frame_style *style,
                           struct reason *why)
{
    struct stream *s = owner->stream;
    struct selection *sel = NULL;
    enum err e = selection_get(&s->selections, ask, style, owner->rights, &sel, why);
    if (e != OK) {
        return e;
    }
    struct subscription *sub = mem_alloc(sizeof *sub);
    *sub = (struct subscription){
        .owner = owner,
        .sel = sel,
        .credit_events = ask->credit_events,
        .credit_bytes = ask->credit_bytes,
        .batch_max = ask->batch_max == 0 ? UINT64_MAX : ask->batch_max,
        .wait_ms = ask->wait_ms,
        .compacted_snapshot = ask->compacted_snapshot,
    };
    sm_init(&sub->sm, STATES, SUB_OPENING);
    list_append(&owner->subscriptions, &sub->link);
    owner->count++;
    env_timer_init(s->host.env, &sub->timer, sub_timer);
    metric_add(METRIC_STREAM_SUBSCRIPTIONS, 1);
    if (ask->consistent && s->host.confirm != NULL) {
        sub_confirm(sub, ask);
    } else {
        sub_start(sub, ask);
    }
    return OK;
}

/* --- replacing ------------------------------------------------------------------------------- */

void subscription_replace(struct subscription *sub, bool anew)
{
    history_close(&sub->history);
    if (sub->sm.state == SUB_CONFIRMING) {
        return;
    }
    if (sub->sm.state == SUB_LIVE || (anew && sub->sm.state == SUB_PAUSED)) {
        timer_stop(&sub->timer);
        sub->holding = false;
        sm_move(&sub->sm, SUB_BEHIND);
    }
    if (anew) {
        timer_stop(&sub->timer);
        (void)sub_compacted(sub, sub->at.index, "epoch");
    }
}

/* --- pausing --------------------------------------------------------------------------------- */

static bool sub_has_credit(const struct subscription *sub)
{
    return sub->credit_events > 0 && sub->credit_bytes > 0;
}

static void sub_pause(struct subscription *sub, const char *why)
{
    if (sub->sm.state == SUB_PAUSED) {
        return;
    }
    timer_stop(&sub->timer);
    sub->holding = false;
    history_close(&sub->history);
    sm_move(&sub->sm, SUB_PAUSED);
    metric_add(METRIC_STREAM_PAUSED, 1);
    struct server_message m = sub_message(sub, SERVER_PAUSE);
    m.through = sub->told;
    m.why = why;
    subscriber_say(sub->owner, &m, 0);
}

static uint64_t credit_less(uint64_t credit, uint64_t spent)
{
    if (credit == CREDIT_UNLIMITED) {
        return credit;
    }
    return credit > spent ? credit - spent : 0;
}

static void sub_spend(struct subscription *sub, uint64_t events, uint64_t bytes)
{
    sub->credit_events = credit_less(sub->credit_events, events);
    sub->credit_bytes = credit_less(sub->credit_bytes, bytes);
    metric_add(METRIC_STREAM_EVENTS, (int64_t)events);
}

/* A kind of credit is counted from the first time it is given. */
static uint64_t credit_more(uint64_t credit, uint64_t given)
{
    if (given == 0) {
        return credit;
    }
    uint64_t sum = 0;
    if (credit == CREDIT_UNLIMITED) {
        return given;
    }
    return __builtin_add_overflow(credit, given, &sum) ? CREDIT_UNLIMITED - 1 : sum;
}

void subscription_credit(struct subscription *sub, uint64_t events, uint64_t bytes)
{
    sub->credit_events = credit_more(sub->credit_events, events);
    sub->credit_bytes = credit_more(sub->credit_bytes, bytes);
    subscriber_wake(sub->owner);
}

void subscription_rest(struct subscription *sub)
{
    history_close(&sub->history);
}

void subscription_gather(struct subscription *sub, size_t count)
{
    if (sub->sm.state != SUB_LIVE || sub->wait_ms == 0) {
        return;
    }
    if (!sub->holding) {
        sub->holding = true;
        sub->gathered = 0;
        env_timer_start(sub_stream(sub)->host.env, &sub->timer, sub->wait_ms);
    }
    sub->gathered += count;
    if (sub->gathered >= sub->batch_max) {
        sub->holding = false;
        timer_stop(&sub->timer);
    }
}

/* --- steps ----------------------------------------------------------------------------------- */

static enum subscription_step sub_failed(struct subscription *sub)
{
    struct server_message m = sub_message(sub, SERVER_ERROR);
    m.error = "internal";
    m.text = BYTES("the stored changes cannot be read");
    m.retry = true;
    subscriber_say(sub->owner, &m, 0);
    subscription_close(sub);
    return STEP_ENDED;
}

static enum subscription_step sub_step_ahead(struct subscription *sub)
{
    if (sub->at.index > sub_stream(sub)->index) {
        return STEP_IDLE;
    }
    sub_begin(sub);
    return STEP_AGAIN;
}

static void sub_say_page(struct subscription *sub, struct bytes items)
{
    struct server_message m = sub_message(sub, SERVER_SNAPSHOT);
    m.index = sub->snapshot.index;
    m.items = items;
    m.more = !sub->snapshot.done;
    uint64_t others = subscriber_cursor_max(sub->owner, sub);
    uint64_t cursor = m.index < others ? m.index : others;
    subscriber_say(sub->owner, &m, m.more ? 0 : cursor);
}

static enum subscription_step sub_step_snapshot(struct subscription *sub, size_t *ret_cost)
{
    struct stream *s = sub_stream(sub);
    struct snapshot *snap = &sub->snapshot;
    if (!sub_has_credit(sub)) {
        return STEP_IDLE;
    }
    if (!subscriber_has_room(sub->owner)) {
        return STEP_ROOM;
    }
    uint64_t rows_max = sub->credit_events < sub->batch_max ? sub->credit_events : sub->batch_max;
    size_t rows = 0;
    buf_clear(&s->scratch);
    enum err e =
        snapshot_page(snap, sub->sel, sub->owner->frame_max / 2, rows_max, &s->scratch, &rows);
    if (e != OK) {
        return sub_failed(sub);
    }
    if (rows > 0 || snap->done) {
        env_timer_start(s->host.env, &sub->timer, STREAM_SNAPSHOT_PIN_MS);
        sub_say_page(sub, buf_view(&s->scratch));
        sub_spend(sub, rows, s->scratch.len);
        *ret_cost = s->scratch.len;
    }
    if (snap->done) {
        timer_stop(&sub->timer);
        snapshot_close(snap);
        sm_move(&sub->sm, SUB_BEHIND);
    }
    return STEP_AGAIN;
}

static enum subscription_step sub_go_live(struct subscription *sub)
{
    if (sub->sm.state == SUB_LIVE) {
        return STEP_IDLE;
    }
    history_close(&sub->history);
    sm_move(&sub->sm, SUB_LIVE);
    if (sub_mark_is_due(sub)) {
        subscription_mark(sub, false);
    }
    struct server_message m = sub_message(sub, SERVER_LIVE);
    m.through = sub->told;
    subscriber_say(sub->owner, &m, 0);
    return STEP_IDLE;
}

static struct cut_ask sub_ask(const struct subscription *sub)
{
    const struct subscriber *owner = sub->owner;
    uint64_t events_max = sub->credit_events < sub->batch_max ? sub->credit_events : sub->batch_max;
    return (struct cut_ask){
        .from = sub->at,
        .told = sub->told,
        .until = owner->until,
        .cursor_max =
            sub->sel->style.format == OUTLET_SSE ? subscriber_cursor_max(owner, sub) : UINT64_MAX,
        .events_max = events_max < owner->limit ? events_max : owner->limit,
        .bytes_max = owner->frame_max,
    };
}

/* The next frame: the one another subscription has just had, or a new one. `ret_cut` has a
 * reference of the frame. */
static enum err sub_cut(struct subscription *sub, struct cut *ret_cut)
{
    struct stream *s = sub_stream(sub);
    struct cut_ask ask = sub_ask(sub);
    bool alike = s->publishing && sub->sel->holds > 1;
    const struct cut *known = alike ? selection_recall(sub->sel, &ask, s->index) : NULL;
    if (known != NULL) {
        *ret_cut = *known;
        if (known->frame != NULL) {
            shared_ref(known->frame);
        }
        history_close(&sub->history);
        return OK;
    }
    enum err e = cut_make(s, sub->sel, &sub->history, &ask, ret_cut);
    if (e == OK && alike) {
        selection_remember(&s->selections, sub->sel, ret_cut);
    }
    return e;
}

static enum subscription_step sub_step_events(struct subscription *sub, size_t *ret_cost)
{
    struct cut cut;
    enum err e = sub_cut(sub, &cut);
    if (e == ERR_COMPACTED) {
        return sub_compacted(sub, sub->at.index, NULL);
    }
    if (e != OK) {
        return sub_failed(sub);
    }
    sub->at = cut.to;
    *ret_cost = (cut.read + 1) * (STREAM_TURN_BYTES / 4 / STREAM_TURN_CHANGES);
    if (cut.events > 0 || cut.frame != NULL) {
        sub->told = cut.through > sub->told ? cut.through : sub->told;
        sub->owner->limit = credit_less(sub->owner->limit, cut.events);
    }
    if (cut.frame != NULL) {
        *ret_cost = cut.frame->len > *ret_cost ? cut.frame->len : *ret_cost;
        sub_spend(sub, cut.events, cut.frame->len);
        subscriber_send(sub->owner, cut.frame);
    }
    return STEP_AGAIN;
}

static enum subscription_step sub_step_stream(struct subscription *sub, size_t *ret_cost)
{
    struct stream *s = sub_stream(sub);
    struct subscriber *owner = sub->owner;
    if (sub->at.part_index == 0 && (sub->at.index >= owner->until || owner->limit == 0)) {
        subscription_finish(sub, owner->limit == 0 ? "limit" : "until");
        return STEP_ENDED;
    }
    if (sub->at.index >= s->index) {
        return sub_go_live(sub);
    }
    if (sub->holding) {
        return STEP_IDLE;
    }
    if (!sub_has_credit(sub)) {
        sub_pause(sub, "credit");
        return STEP_IDLE;
    }
    if (!subscriber_has_room(owner)) {
        if (sub->sm.state == SUB_LIVE) {
            sub_pause(sub, "slow");
        }
        return STEP_ROOM;
    }
    if (sub->sm.state == SUB_PAUSED) {
        sm_move(&sub->sm, SUB_BEHIND);
    }
    return sub_step_events(sub, ret_cost);
}

enum subscription_step subscription_step(struct subscription *sub, size_t *ret_cost)
{
    *ret_cost = 0;
    switch ((enum subscription_state)sub->sm.state) {
    case SUB_AHEAD:
        return sub_step_ahead(sub);
    case SUB_SNAPSHOT:
        return sub_step_snapshot(sub, ret_cost);
    case SUB_BEHIND:
    case SUB_LIVE:
    case SUB_PAUSED:
        return sub_step_stream(sub, ret_cost);
    case SUB_CONFIRMING:
        return STEP_IDLE;
    case SUB_OPENING:
    case SUB_ENDED:
        break;
    }
    CHECK(false && "a subscription rests in this state");
    return STEP_IDLE;
}
