#include "stream/subscriber.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What EventSource waits before it connects again. */
#define SSE_RETRY           "retry: 1000\n\n"
/* Node name, dash, 16 hex digits. */
#define CONNECTION_NAME_MAX 128

static const struct sm_state STATES[] = {
    [SUBSCRIBER_NEW] = {"new", SM_TO(SUBSCRIBER_GREETING) | SM_TO(SUBSCRIBER_OPEN) |
                                   SM_TO(SUBSCRIBER_CLOSING)},
    [SUBSCRIBER_GREETING] = {"greeting", SM_TO(SUBSCRIBER_OPEN) | SM_TO(SUBSCRIBER_CLOSING)},
    [SUBSCRIBER_OPEN] = {"open", SM_TO(SUBSCRIBER_CLOSING)},
    [SUBSCRIBER_CLOSING] = {"closing", 0},
};

static struct subscription *subscription_of(struct list *link)
{
    return LIST_OWNER(link, struct subscription, link);
}

/* --- entering and leaving --------------------------------------------------------------------- */

void subscriber_enter(struct subscriber *sb)
{
    sb->busy++;
    stream_enter(sb->stream);
}

static void subscriber_free(struct subscriber *sb)
{
    rights_release(sb->rights);
    free(sb);
}

static void subscriber_drop_subscriptions(struct subscriber *sb)
{
    LIST_FOREACH (link, &sb->subscriptions) {
        subscription_close(subscription_of(link));
    }
    CHECK(sb->count == 0);
}

void subscriber_leave(struct subscriber *sb)
{
    struct stream *s = sb->stream;
    CHECK(sb->busy > 0);
    if (--sb->busy == 0 && sb->outlet == NULL) {
        subscriber_drop_subscriptions(sb);
        subscriber_free(sb);
    }
    stream_leave(s);
}

bool subscriber_is_open(const struct subscriber *sb)
{
    return sb->outlet != NULL && sb->sm.state != SUBSCRIBER_CLOSING;
}

bool subscriber_is_one_way(const struct subscriber *sb)
{
    return sb->style.format != OUTLET_WEBSOCKET;
}

static void subscriber_stop(struct subscriber *sb)
{
    timer_stop(&sb->pump);
    timer_stop(&sb->tick);
    timer_stop(&sb->deadline);
    stream_url_close(&sb->url);
}

void subscriber_shut(struct subscriber *sb, unsigned code, const char *reason)
{
    if (!subscriber_is_open(sb)) {
        return;
    }
    sm_move(&sb->sm, SUBSCRIBER_CLOSING);
    subscriber_stop(sb);
    subscriber_drop_subscriptions(sb);
    log_line(LOG_STREAM_CLOSED, "connection=%" PRIu64 " code=%u why=\"%s\"", sb->name, code,
             reason);
    sb->outlet->ops->close(sb->outlet, code, reason);
}

/* --- sending --------------------------------------------------------------------------------- */

static size_t subscriber_pending(struct subscriber *sb)
{
    return sb->outlet->ops->pending(sb->outlet);
}

bool subscriber_has_room(struct subscriber *sb)
{
    return subscriber_is_open(sb) &&
           subscriber_pending(sb) <= STREAM_OUTBOUND_MAX - STREAM_BATCH_MAX;
}

void subscriber_send(struct subscriber *sb, struct shared *frame)
{
    if (subscriber_is_open(sb)) {
        sb->sent_ms = stream_now_ms(sb->stream);
        if (subscriber_pending(sb) == 0) {
            sb->taken_ms = sb->sent_ms;
            sb->taken_bytes = (int64_t)sb->sent_bytes;
        }
        sb->sent_bytes += frame->len;
        metric_add(METRIC_STREAM_BYTES, frame->len);
        sb->outlet->ops->send(sb->outlet, frame);
    }
    shared_unref(frame);
}

void subscriber_say(struct subscriber *sb, const struct server_message *m, uint64_t cursor)
{
    struct shared *frame = frame_message(&sb->style, m, sb->stream->epoch, cursor);
    if (frame != NULL) {
        subscriber_send(sb, frame);
    }
}

static void subscriber_error(struct subscriber *sb,
                             const struct client_message *about,
                             const char *code,
                             struct bytes text,
                             bool retry)
{
    metric_add(METRIC_STREAM_BAD_MESSAGES, 1);
    subscriber_say(sb,
                   &(struct server_message){
                       .type = SERVER_ERROR,
                       .has_id = about != NULL && about->has_id,
                       .id = about != NULL ? about->subscribe.id : 0,
                       .error = code,
                       .text = text,
                       .retry = retry,
                   },
                   0);
}

uint64_t subscriber_cursor_max(const struct subscriber *sb, const struct subscription *except)
{
    uint64_t least = UINT64_MAX;
    LIST_FOREACH (link, &sb->subscriptions) {
        const struct subscription *sub = subscription_of(link);
        if (sub != except && sub->at.index < least) {
            least = sub->at.index;
        }
    }
    return least;
}

/* --- turns ----------------------------------------------------------------------------------- */

void subscriber_wake(struct subscriber *sb)
{
    if (subscriber_is_open(sb)) {
        env_timer_start(sb->stream->host.env, &sb->pump, 0);
    }
}

/* One step of each subscription; false when the turn is over. */
static bool subscriber_round(struct subscriber *sb, size_t *budget, bool *ret_again)
{
    LIST_FOREACH (link, &sb->subscriptions) {
        size_t cost = 0;
        enum subscription_step step = subscription_step(subscription_of(link), &cost);
        if (!subscriber_is_open(sb) || step == STEP_ROOM) {
            return false;
        }
        *ret_again = *ret_again || step == STEP_AGAIN;
        *budget -= cost < *budget ? cost : *budget;
        if (*budget == 0) {
            /* The others come first in the next turn. */
            if (step != STEP_ENDED) {
                list_remove(link);
                list_append(&sb->subscriptions, link);
            }
            subscriber_wake(sb);
            return false;
        }
    }
    return true;
}

static void subscriber_run(struct subscriber *sb)
{
    size_t budget = STREAM_TURN_BYTES;
    bool again = true;
    while (again && sb->sm.state == SUBSCRIBER_OPEN) {
        again = false;
        if (!subscriber_round(sb, &budget, &again)) {
            break;
        }
    }
    if (sb->sm.state == SUBSCRIBER_OPEN && sb->started && sb->count == 0 &&
        subscriber_is_one_way(sb)) {
        subscriber_shut(sb, 1000, "the subscription is over");
    }
}

void subscriber_publish(struct subscriber *sb, size_t changes)
{
    if (sb->sm.state != SUBSCRIBER_OPEN || sb->count == 0) {
        return;
    }
    subscriber_enter(sb);
    LIST_FOREACH (link, &sb->subscriptions) {
        subscription_gather(subscription_of(link), changes);
    }
    subscriber_run(sb);
    subscriber_leave(sb);
}

void subscriber_replace(struct subscriber *sb, bool anew)
{
    if (sb->sm.state != SUBSCRIBER_OPEN || sb->count == 0) {
        return;
    }
    subscriber_enter(sb);
    LIST_FOREACH (link, &sb->subscriptions) {
        subscription_replace(subscription_of(link), anew);
    }
    subscriber_run(sb);
    subscriber_leave(sb);
}

void subscriber_recheck(struct subscriber *sb)
{
    if (sb->rights != NULL && sb->rights->acl == NULL) {
        subscriber_enter(sb);
        subscriber_shut(sb, 4001, "ACL not found");
        subscriber_leave(sb);
    }
}

void subscriber_bye(struct subscriber *sb, uint64_t retry_ms, const char *hint)
{
    subscriber_enter(sb);
    subscriber_say(sb,
                   &(struct server_message){
                       .type = SERVER_BYE,
                       .code = 1001,
                       .retry_ms = env_random_below(sb->stream->host.env, retry_ms + 1),
                       .why = "the server is shutting down",
                       .hint = hint,
                   },
                   0);
    subscriber_shut(sb, 1001, "the server is shutting down");
    subscriber_leave(sb);
}

/* --- clocks ---------------------------------------------------------------------------------- */

/* Whether the reader took a byte since the last look. */
static bool subscriber_is_stalled(struct subscriber *sb, uint64_t now)
{
    size_t pending = subscriber_pending(sb);
    int64_t taken = (int64_t)(sb->sent_bytes - pending);
    if (pending == 0 || taken > sb->taken_bytes) {
        sb->taken_ms = now;
    }
    sb->taken_bytes = taken;
    return pending > 0 && now >= sb->taken_ms + STREAM_STALL_MS;
}

static void subscriber_arm_tick(struct subscriber *sb, uint64_t now)
{
    uint64_t heartbeat = stream_heartbeat_ms(sb->stream);
    uint64_t at = sb->sent_ms + heartbeat;
    if (sb->marks_ms + heartbeat < at) {
        at = sb->marks_ms + heartbeat;
    }
    if (subscriber_pending(sb) > 0) {
        uint64_t stall = sb->taken_ms + STREAM_STALL_MS;
        /* A full outlet is sent no heartbeat: only its stall is to be watched. */
        at = !subscriber_has_room(sb) || stall < at ? stall : at;
    }
    timer_start(&sb->tick, at > now ? at : now + 1);
}

static void subscriber_heartbeat(struct subscriber *sb, uint64_t now)
{
    struct stream *s = sb->stream;
    uint64_t heartbeat = stream_heartbeat_ms(s);
    if (sb->sm.state != SUBSCRIBER_OPEN) {
        return;
    }
    if (now >= sb->marks_ms + heartbeat) {
        sb->marks_ms = now;
        LIST_FOREACH (link, &sb->subscriptions) {
            subscription_mark(subscription_of(link), false);
        }
    }
    if (now >= sb->sent_ms + heartbeat) {
        subscriber_say(sb,
                       &(struct server_message){
                           .type = SERVER_HEARTBEAT,
                           .index = s->index,
                           .wall_ms = env_wall_ms(s->host.env),
                       },
                       0);
    }
}

static void subscriber_on_tick(struct timer *t)
{
    struct subscriber *sb = LIST_OWNER(t, struct subscriber, tick);
    uint64_t now = stream_now_ms(sb->stream);
    subscriber_enter(sb);
    ring_trim(&sb->stream->ring, now);
    if (subscriber_is_stalled(sb, now)) {
        metric_add(METRIC_STREAM_STALLED, 1);
        log_line(LOG_STREAM_STALLED, "connection=%" PRIu64, sb->name);
        subscriber_shut(sb, 4100, "nothing was read for too long");
    } else if (subscriber_has_room(sb)) {
        subscriber_heartbeat(sb, now);
        subscriber_run(sb);
    } else {
        LIST_FOREACH (link, &sb->subscriptions) {
            subscription_rest(subscription_of(link));
        }
    }
    if (subscriber_is_open(sb)) {
        subscriber_arm_tick(sb, now);
    }
    subscriber_leave(sb);
}

static void subscriber_on_deadline(struct timer *t)
{
    struct subscriber *sb = LIST_OWNER(t, struct subscriber, deadline);
    subscriber_enter(sb);
    if (sb->sm.state == SUBSCRIBER_GREETING) {
        subscriber_shut(sb, 4101, "no hello in time");
    } else {
        LIST_FOREACH (link, &sb->subscriptions) {
            subscription_finish(subscription_of(link), "timeout");
        }
        subscriber_shut(sb, 1000, "the time asked for is over");
    }
    subscriber_leave(sb);
}

/* --- opening --------------------------------------------------------------------------------- */

/* Says welcome, to those who have the word for it, and opens the URL's subscriptions. */
static void subscriber_welcome(struct subscriber *sb)
{
    struct stream *s = sb->stream;
    char name[CONNECTION_NAME_MAX];
    (void)snprintf(name, sizeof name, "%.64s-%" PRIx64, s->host.node_name, sb->name);
    timer_stop(&sb->deadline);
    sm_move(&sb->sm, SUBSCRIBER_OPEN);
    subscriber_say(sb,
                   &(struct server_message){
                       .type = SERVER_WELCOME,
                       .connection = name,
                       .epoch = s->epoch[0] != '\0' ? s->epoch : NULL,
                       .index = s->index,
                       .oldest = stream_oldest(s),
                       .heartbeat_ms = stream_heartbeat_ms(s),
                       .max_frame = STREAM_OUTBOUND_MAX,
                   },
                   0);
    if (sb->style.format == OUTLET_SSE) {
        subscriber_send(sb, shared_copy(OUTLET_HEADROOM, BYTES(SSE_RETRY)));
    }
    if (sb->timeout_ms > 0) {
        env_timer_start(s->host.env, &sb->deadline, sb->timeout_ms);
    }
}

static void subscriber_start(struct subscriber *sb)
{
    struct stream *s = sb->stream;
    uint64_t now = stream_now_ms(s);
    sb->sent_ms = now;
    sb->marks_ms = now;
    sb->taken_ms = now;
    if (!sb->auto_subscribe) {
        sm_move(&sb->sm, SUBSCRIBER_GREETING);
        env_timer_start(s->host.env, &sb->deadline, STREAM_HELLO_MS);
        subscriber_arm_tick(sb, now);
        return;
    }
    subscriber_welcome(sb);
    for (size_t i = 0; i < sb->url.count && subscriber_is_open(sb); i++) {
        struct client_message about = {.has_id = true, .subscribe = sb->url.subscribes[i]};
        struct reason why = {{0}};
        enum err e = subscription_open(sb, &sb->url.subscribes[i], &sb->style, &why);
        if (e != OK) {
            subscriber_error(sb, &about, "filter_invalid", bytes_of(why.text), false);
        }
    }
    stream_url_close(&sb->url);
    sb->started = true;
    if (subscriber_is_open(sb)) {
        subscriber_arm_tick(sb, now);
    }
}

static void subscriber_on_pump(struct timer *t)
{
    struct subscriber *sb = LIST_OWNER(t, struct subscriber, pump);
    subscriber_enter(sb);
    if (sb->sm.state == SUBSCRIBER_NEW) {
        subscriber_start(sb);
    }
    subscriber_run(sb);
    subscriber_leave(sb);
}

/* What cannot be had is refused while it can be refused in plain HTTP. */
static enum err outlet_check(struct stream *s,
                             const struct outlet_options *options,
                             const struct stream_url *u,
                             struct reason *why)
{
    for (size_t i = 0; i < u->count && options->format != OUTLET_WEBSOCKET; i++) {
        const struct subscribe *sub = &u->subscribes[i];
        struct filter *filter = NULL;
        if (sub->filter.len > 0 && filter_new(sub->topic, sub->filter, &filter, why) != OK) {
            return ERR_INVALID;
        }
        filter_free(filter);
        bool over = u->until > 0 && sub->has_from && sub->from_index >= u->until;
        if (over && options->format == OUTLET_SSE && options->last_event_id.len > 0) {
            reason_set(why, "the subscription is over");
            return ERR_NOT_FOUND;
        }
        /* Without an epoch of its own it is told not_ready instead. */
        bool alien = s->epoch[0] != '\0' && sub->from_epoch.len > 0 &&
                     !bytes_equal(sub->from_epoch, bytes_of(s->epoch));
        bool old = sub->has_from && sub->from_index > 0 && sub->from_index < stream_oldest(s);
        if ((alien || old) && options->format == OUTLET_NDJSON && !sub->compacted_snapshot) {
            reason_set(why,
                       "{\"error\":\"compacted\",\"oldest\":%" PRIu64 ",\"index\":%" PRIu64 "}",
                       stream_oldest(s), s->index);
            metric_add(METRIC_STREAM_COMPACTED, 1);
            return ERR_COMPACTED;
        }
    }
    return OK;
}

static struct subscriber *subscriber_new(struct stream *s,
                                         struct outlet *o,
                                         const struct outlet_options *options,
                                         struct stream_url *u,
                                         struct rights *rights)
{
    struct subscriber *sb = mem_alloc(sizeof *sb);
    bool ndjson = options->format == OUTLET_NDJSON;
    *sb = (struct subscriber){
        .stream = s,
        .outlet = o,
        .rights = rights,
        .style =
            {
                .format = options->format,
                .lines = ndjson && !u->batch && !u->multiplexed,
                .raw = ndjson && u->raw,
                .tagged = u->multiplexed,
                .newline = u->newline,
            },
        .url = *u,
        .auto_subscribe = options->auto_subscribe,
        .name = ++s->connections,
        .until = u->until > 0 ? u->until : UINT64_MAX,
        .limit = u->limit > 0 ? u->limit : UINT64_MAX,
        .timeout_ms = u->timeout_ms,
        .frame_max = STREAM_BATCH_MAX,
    };
    sm_init(&sb->sm, STATES, SUBSCRIBER_NEW);
    list_init(&sb->subscriptions);
    env_timer_init(s->host.env, &sb->pump, subscriber_on_pump);
    env_timer_init(s->host.env, &sb->tick, subscriber_on_tick);
    env_timer_init(s->host.env, &sb->deadline, subscriber_on_deadline);
    list_append(&s->subscribers, &sb->link);
    s->subscriber_count++;
    return sb;
}

enum err outlet_open(struct stream *s,
                     struct outlet *o,
                     const struct outlet_ops *ops,
                     const struct outlet_options *options,
                     struct reason *why)
{
    struct stream_url url = {0};
    o->subscriber = NULL;
    o->ops = ops;
    if (s->stopped) {
        reason_set(why, "the server is shutting down");
        return ERR_CLOSED;
    }
    (void)stream_refresh(s);
    if (options->auto_subscribe) {
        enum err e = stream_url_parse(options->query, options->last_event_id, &url, why);
        if (e != OK) {
            return e;
        }
        e = outlet_check(s, options, &url, why);
        if (e != OK) {
            stream_url_close(&url);
            return e;
        }
    }
    struct rights *rights = rights_get(s, options->token);
    if (rights != NULL && rights->acl == NULL) {
        rights_release(rights);
        stream_url_close(&url);
        reason_set(why, "ACL not found");
        return ERR_DENIED;
    }
    struct subscriber *sb = subscriber_new(s, o, options, &url, rights);
    o->subscriber = sb;
    subscriber_wake(sb);
    metric_add(METRIC_STREAM_SUBSCRIBERS, 1);
    log_line(LOG_STREAM_OPENED, "connection=%" PRIu64 " from=%.*s", sb->name,
             BYTES_FORMAT(options->client));
    return OK;
}

void outlet_writable(struct outlet *o)
{
    struct subscriber *sb = o->subscriber;
    if (sb != NULL && sb->sm.state == SUBSCRIBER_OPEN) {
        subscriber_enter(sb);
        sb->taken_ms = stream_now_ms(sb->stream);
        subscriber_run(sb);
        if (subscriber_is_open(sb)) {
            subscriber_arm_tick(sb, stream_now_ms(sb->stream));
        }
        subscriber_leave(sb);
    }
}

void outlet_closed(struct outlet *o)
{
    struct subscriber *sb = o->subscriber;
    if (sb == NULL) {
        return;
    }
    o->subscriber = NULL;
    sb->outlet = NULL;
    subscriber_stop(sb);
    list_remove(&sb->link);
    sb->stream->subscriber_count--;
    metric_add(METRIC_STREAM_SUBSCRIBERS, -1);
    /* A subscription that is in the middle of a step outlives it. */
    if (sb->busy == 0) {
        subscriber_drop_subscriptions(sb);
        subscriber_free(sb);
    }
}

/* --- messages -------------------------------------------------------------------------------- */

static struct subscription *subscriber_find(struct subscriber *sb, uint64_t id)
{
    LIST_FOREACH (link, &sb->subscriptions) {
        if (subscription_of(link)->sel->id == id) {
            return subscription_of(link);
        }
    }
    return NULL;
}

/* `hello.token`, and `auth`: another token from here on. */
static void on_token(struct subscriber *sb, struct bytes token)
{
    if (sb->stream->host.rights == NULL || token.len == 0) {
        return;
    }
    struct rights *rights = rights_get(sb->stream, token);
    if (rights->acl == NULL) {
        rights_release(rights);
        subscriber_error(sb, NULL, "unauthorized", BYTES("ACL not found"), false);
        subscriber_shut(sb, 4001, "ACL not found");
        return;
    }
    LIST_FOREACH (link, &sb->subscriptions) {
        subscription_judge_by(subscription_of(link), rights);
    }
    rights_release(sb->rights);
    sb->rights = rights;
}

static void on_hello(struct subscriber *sb, const struct client_message *m)
{
    if (sb->greeted) {
        subscriber_error(sb, m, "bad_message", BYTES("hello came twice"), false);
        subscriber_shut(sb, 4000, "hello came twice");
        return;
    }
    sb->greeted = true;
    if (m->max_frame > 0 && m->max_frame < STREAM_BATCH_MAX) {
        sb->frame_max = m->max_frame > STREAM_FRAME_MIN ? m->max_frame : STREAM_FRAME_MIN;
    }
    /* What came with the request is before it. */
    if (sb->rights != NULL && sb->rights->token.len == 0) {
        on_token(sb, m->token);
    }
}

static void on_subscribe(struct subscriber *sb, const struct client_message *m)
{
    struct reason why = {{0}};
    if (subscriber_find(sb, m->subscribe.id) != NULL) {
        subscriber_error(sb, m, "sub_exists", BYTES("this id is in use"), false);
        return;
    }
    if (sb->count >= STREAM_SUBSCRIPTIONS_MAX) {
        subscriber_error(sb, m, "too_many_subs", BYTES("too many subscriptions"), false);
        return;
    }
    if (subscription_open(sb, &m->subscribe, &sb->style, &why) != OK) {
        subscriber_error(sb, m, "filter_invalid", bytes_of(why.text), false);
    }
}

static void on_ping(struct subscriber *sb, const struct client_message *m)
{
    LIST_FOREACH (link, &sb->subscriptions) {
        if (m->mark) {
            subscription_mark(subscription_of(link), true);
        }
    }
    subscriber_say(sb, &(struct server_message){.type = SERVER_PONG, .text = m->data}, 0);
}

/* Messages about one subscription. */
static void on_subscription(struct subscriber *sb, const struct client_message *m)
{
    struct subscription *sub = subscriber_find(sb, m->subscribe.id);
    if (sub == NULL) {
        subscriber_error(sb, m, "sub_unknown", BYTES("there is no subscription of this id"), false);
    } else if (m->type == CLIENT_CREDIT) {
        subscription_credit(sub, m->subscribe.credit_events, m->subscribe.credit_bytes);
    } else {
        subscription_finish(sub, "unsubscribed");
    }
}

static void subscriber_dispatch(struct subscriber *sb, const struct client_message *m)
{
    if (m->problem != NULL) {
        subscriber_error(sb, m, m->problem, bytes_of(m->why.text), false);
        return;
    }
    switch (m->type) {
    case CLIENT_HELLO:
        on_hello(sb, m);
        break;
    case CLIENT_SUBSCRIBE:
        on_subscribe(sb, m);
        break;
    case CLIENT_CREDIT:
    case CLIENT_UNSUBSCRIBE:
        on_subscription(sb, m);
        break;
    case CLIENT_PING:
        on_ping(sb, m);
        break;
    case CLIENT_AUTH:
        on_token(sb, m->token);
        break;
    case CLIENT_ACK: /* is always a problem, above */
        break;
    }
}

/* STREAM_MESSAGES_PER_S, counted in whole seconds. The first message too many of a second is told
 * so, the others are dropped. */
static bool subscriber_is_flooding(struct subscriber *sb)
{
    uint64_t now = stream_now_ms(sb->stream);
    if (now >= sb->window_ms + 1000) {
        sb->window_ms = now;
        sb->window_count = 0;
    }
    sb->window_count++;
    if (sb->window_count == STREAM_MESSAGES_PER_S + 1) {
        subscriber_error(sb, NULL, "rate_limited", BYTES("too many messages per second"), true);
    }
    return sb->window_count > STREAM_MESSAGES_PER_S;
}

static void subscriber_message(struct subscriber *sb, struct bytes text)
{
    struct client_message m;
    enum err e = protocol_parse(text, &m);
    if (sb->sm.state == SUBSCRIBER_GREETING && e == OK) {
        subscriber_welcome(sb);
        sb->started = true;
    }
    if (e != OK) {
        subscriber_error(sb, NULL, "bad_message", bytes_of(m.why.text), false);
        subscriber_shut(sb, 4000, m.why.text);
    } else if (subscriber_is_open(sb)) {
        subscriber_dispatch(sb, &m);
    }
    client_message_close(&m);
    subscriber_run(sb);
}

void outlet_message(struct outlet *o, struct bytes message)
{
    struct subscriber *sb = o->subscriber;
    if (sb == NULL || !subscriber_is_open(sb)) {
        return;
    }
    /* It may publish, and the publish may end this connection. */
    sb->busy++;
    (void)stream_refresh(sb->stream);
    stream_enter(sb->stream);
    if (subscriber_is_open(sb) && sb->sm.state == SUBSCRIBER_NEW) {
        subscriber_start(sb);
    }
    if (subscriber_is_open(sb) && subscriber_pending(sb) > STREAM_OUTBOUND_MAX * 2) {
        subscriber_shut(sb, 4100, "asks without reading the answers");
    }
    if (subscriber_is_open(sb) && !subscriber_is_flooding(sb)) {
        subscriber_message(sb, message);
    }
    subscriber_leave(sb);
}
