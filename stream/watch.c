#include "stream/watch.h"

#include "core/base/check.h"
#include "core/base/metric.h"
#include "stream/stream_priv.h"

/* --- one waiter ------------------------------------------------------------------------------ */

static struct watch *watch_of(struct list *link)
{
    return LIST_OWNER(link, struct watch, link);
}

/* Takes the waiter out of its group; the group may be gone afterwards. */
static void watch_leave(struct watch *w)
{
    struct query_group *group = w->group;
    CHECK(group != NULL);
    CHECK(group->waiting > 0);
    list_remove(&w->link);
    timer_stop(&w->timeout);
    w->group = NULL;
    group->waiting--;
    query_group_release(&group->stream->groups, group);
    metric_add(METRIC_QUERY_WAITING, -1);
}

void watch_cancel(struct watch *w)
{
    if (w->group != NULL) {
        watch_leave(w);
        metric_add(METRIC_QUERY_ABANDONED, 1);
    }
}

/* --- evaluation ------------------------------------------------------------------------------ */

/* The group's answer at `v`, evaluated at most once per view; borrowed until the next call. */
static enum err watch_evaluate(struct query_group *group, struct view *v)
{
    if (group->evaluated && group->evaluated_at == view_index(v)) {
        return OK;
    }
    struct watch_answer answer = {0};
    enum err e = group->evaluate(v, group->target, group->variant, &answer);
    query_group_forget(group);
    if (e == OK) {
        group->answer = answer;
        group->evaluated = true;
        group->evaluated_at = view_index(v);
    }
    return e;
}

/* A copy with a reference of its own: what `done` does may change the group's. */
static struct watch_answer watch_answer_ref(const struct query_group *group)
{
    struct watch_answer answer = group->answer;
    if (answer.body != NULL) {
        shared_ref(answer.body);
    }
    return answer;
}

/* A body is kept only for somebody to share it with. */
static void watch_settle(struct query_group *group)
{
    if (group->waiting <= 1) {
        query_group_forget(group);
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

static void watch_expire(struct timer *t)
{
    struct watch *w = LIST_OWNER(t, struct watch, timeout);
    struct query_group *group = w->group;
    /* The view at hand, not a fresh one: fetching it may publish, which may answer this waiter. */
    enum err e = watch_evaluate(group, group->stream->view);
    struct watch_answer answer = watch_answer_ref(group);
    watch_leave(w);
    metric_add(METRIC_QUERY_TIMED_OUT, 1);
    w->done(w, e, e == OK ? &answer : NULL);
    shared_unref(answer.body);
}

void watch_wait(struct stream *s,
                struct watch *w,
                const struct watch_query *q,
                uint64_t index,
                uint64_t wait_ms)
{
    w->group = NULL;
    w->index = index;
    list_init(&w->link);
    env_timer_init(s->host.env, &w->timeout, watch_expire);
    struct view *v = stream_refresh(s);
    struct query_group *group = query_group_get(&s->groups, s, q);
    enum err e = watch_evaluate(group, v);
    if (e == OK && group->answer.wake_index <= index && !s->stopped) {
        w->group = group;
        list_append(&group->waiters, &w->link);
        group->waiting++;
        watch_settle(group);
        env_timer_start(s->host.env, &w->timeout, wait_ms);
        metric_add(METRIC_QUERY_WAITING, 1);
        return;
    }
    struct watch_answer answer = watch_answer_ref(group);
    query_group_release(&s->groups, group);
    w->done(w, e, e == OK ? &answer : NULL);
    shared_unref(answer.body);
}

/* --- waking ---------------------------------------------------------------------------------- */

static void watch_collect(struct query_group *group, void *ctx)
{
    struct list *woken = ctx;
    if (list_empty(&group->woken)) {
        query_group_hold(group);
        list_append(woken, &group->woken);
    }
}

/* Answers those of the group who wait for less than `answer`, all with the same body; everybody
 * if `all`. They first move to a list of their own: `done` may cancel any of them, and may bring
 * new waiters. */
static void watch_answer_group(struct query_group *group, enum err e, bool all)
{
    struct list ready;
    list_init(&ready);
    LIST_FOREACH (link, &group->waiters) {
        struct watch *w = watch_of(link);
        if (e != OK || all || group->answer.wake_index > w->index) {
            list_remove(&w->link);
            list_append(&ready, &w->link);
        }
    }
    struct watch_answer answer = watch_answer_ref(group);
    while (!list_empty(&ready)) {
        struct watch *w = watch_of(ready.next);
        watch_leave(w);
        metric_add(METRIC_QUERY_WOKEN, 1);
        w->done(w, e, e == OK ? &answer : NULL);
    }
    shared_unref(answer.body);
}

static void watch_answer_list(struct stream *s, struct list *woken, struct view *v, bool all)
{
    while (!list_empty(woken)) {
        struct query_group *group = LIST_OWNER(woken->next, struct query_group, woken);
        list_remove(&group->woken);
        if (group->waiting > 0) {
            enum err e = OK;
            /* Somebody who came with a newer view than this one has evaluated already. */
            if (!group->evaluated || group->evaluated_at < view_index(v)) {
                metric_add(METRIC_QUERY_EVALUATED, 1);
                e = watch_evaluate(group, v);
            }
            watch_answer_group(group, e, all);
            watch_settle(group);
        }
        query_group_release(&s->groups, group);
    }
}

void watch_publish(struct stream *s, struct change_batch *b)
{
    struct list woken;
    list_init(&woken);
    for (size_t i = 0; i < b->count; i++) {
        query_groups_match(&s->groups, &b->changes[i], watch_collect, &woken);
    }
    query_groups_moved(&s->groups, b->moved, watch_collect, &woken);
    watch_answer_list(s, &woken, b->view, false);
}

static void watch_collect_anew(struct query_group *group, void *ctx)
{
    query_group_forget(group);
    watch_collect(group, ctx);
}

void watch_replace(struct stream *s, struct change_batch *b, bool anew)
{
    struct list woken;
    list_init(&woken);
    query_groups_each(&s->groups, watch_collect_anew, &woken);
    watch_answer_list(s, &woken, b->view, anew);
}

void watch_shutdown(struct stream *s)
{
    struct list woken;
    list_init(&woken);
    query_groups_each(&s->groups, watch_collect, &woken);
    if (s->view != NULL) {
        watch_answer_list(s, &woken, s->view, true);
    }
}
