#include "stream/stream.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/fleet.h"
#include "stream/stream_priv.h"
#include "stream/subscriber.h"
#include "stream/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream *stream_new(const struct stream_host *host)
{
    struct stream *s = mem_zalloc(1, sizeof *s);
    uint64_t seed = 0;
    s->host = *host;
    env_random(host->env, &seed, sizeof seed);
    ring_init(&s->ring, host->datacenter);
    query_groups_init(&s->groups, seed);
    selections_init(&s->selections);
    list_init(&s->rights);
    list_init(&s->subscribers);
    list_init(&s->questions);
    /* Connection names go on where no earlier run has been. */
    s->connections = env_random_below(host->env, UINT32_MAX);
    buf_init(&s->scratch, UINT32_MAX);
    return s;
}

void stream_free(struct stream *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(list_empty(&s->subscribers));
    subscription_drop_questions(s);
    CHECK(s->late_count == 0);
    free((void *)s->late);
    buf_close(&s->scratch);
    selections_close(&s->selections);
    query_groups_close(&s->groups);
    ring_close(&s->ring);
    if (s->view != NULL) {
        view_unref(s->view);
    }
    free(s);
}

uint64_t stream_heartbeat_ms(const struct stream *s)
{
    return s->host.heartbeat_ms > 0 ? s->host.heartbeat_ms : STREAM_HEARTBEAT_MS;
}

uint64_t stream_now_ms(struct stream *s)
{
    return env_now_ms(s->host.env);
}

uint64_t stream_oldest(const struct stream *s)
{
    return view_history_oldest(s->view);
}

static void stream_take_view(struct stream *s, struct view *v)
{
    struct view *old = s->view;
    s->view = view_ref(v);
    s->index = view_index(v);
    (void)snprintf(s->epoch, sizeof s->epoch, "%s", s->host.epoch(s->host.ctx, v));
    if (old != NULL) {
        view_unref(old);
    }
}

struct view *stream_refresh(struct stream *s)
{
    struct view *v = s->host.view(s->host.ctx);
    /* The batch that leads to it is on its way, unless this is the very first view. Only queries
     * may use it at once: subscriptions go by what was published. */
    if (s->view == NULL) {
        stream_take_view(s, v);
    }
    return v;
}

/* --- publishing ------------------------------------------------------------------------------ */

/* Who may what has changed, perhaps: before anything more is delivered. */
static void stream_recheck(struct stream *s)
{
    if (s->host.rights != NULL) {
        rights_renew(s);
        LIST_FOREACH (link, &s->subscribers) {
            subscriber_recheck(LIST_OWNER(link, struct subscriber, link));
        }
    }
}

/* What is waited for is told of the new state; where the indexes count something else now, nobody's
 * index means anything any more. */
static void stream_replace(struct stream *s, struct change_batch *b)
{
    char before[sizeof s->epoch];
    memcpy(before, s->epoch, sizeof before);
    stream_take_view(s, b->view);
    ring_clear(&s->ring);
    bool anew = strcmp(before, s->epoch) != 0;
    watch_replace(s, b, anew);
    s->publishing = true;
    stream_recheck(s);
    LIST_FOREACH (link, &s->subscribers) {
        subscriber_replace(LIST_OWNER(link, struct subscriber, link), anew);
    }
    s->publishing = false;
    selections_cool(&s->selections);
}

static void stream_deliver(struct stream *s, struct change_batch *b)
{
    if (b->replaced) {
        stream_replace(s, b);
        return;
    }
    if (s->view == NULL || b->through > s->index) {
        stream_take_view(s, b->view);
        if (s->subscriber_count > 0) {
            ring_trim(&s->ring, stream_now_ms(s));
            ring_push(&s->ring, b, stream_now_ms(s));
        } else {
            ring_clear(&s->ring);
        }
    }
    watch_publish(s, b);
    s->publishing = true;
    if (texts_have(b->moved, BYTES(FLEET_INDEX_ACL))) {
        stream_recheck(s);
    }
    LIST_FOREACH (link, &s->subscribers) {
        subscriber_publish(LIST_OWNER(link, struct subscriber, link), b->count);
    }
    s->publishing = false;
    selections_cool(&s->selections);
}

static void stream_put_off(struct stream *s, struct change_batch *b)
{
    if (s->late_count == s->late_cap) {
        s->late_cap = s->late_cap == 0 ? 8 : s->late_cap * 2;
        s->late = mem_realloc((void *)s->late, s->late_cap * sizeof(struct change_batch *));
    }
    s->late[s->late_count++] = change_batch_ref(b);
}

void stream_enter(struct stream *s)
{
    s->inside++;
}

void stream_leave(struct stream *s)
{
    CHECK(s->inside > 0);
    if (s->inside > 1) {
        s->inside--;
        return;
    }
    for (size_t i = 0; i < s->late_count; i++) {
        struct change_batch *b = s->late[i];
        stream_deliver(s, b);
        change_batch_unref(b);
    }
    s->late_count = 0;
    s->inside = 0;
}

void stream_publish(struct stream *s, struct change_batch *b)
{
    if (s->inside > 0) {
        stream_put_off(s, b);
        return;
    }
    stream_enter(s);
    stream_deliver(s, b);
    stream_leave(s);
}

void stream_shutdown(struct stream *s, uint64_t retry_ms, const char *hint)
{
    stream_enter(s);
    s->stopped = true;
    watch_shutdown(s);
    LIST_FOREACH (link, &s->subscribers) {
        subscriber_bye(LIST_OWNER(link, struct subscriber, link), retry_ms, hint);
    }
    stream_leave(s);
}
