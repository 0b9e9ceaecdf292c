#include "core/agent/shared_query.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

#define BUCKETS 4096U

struct shared_query {
    struct shared_queries *owner;
    struct shared_query *next; /* of its bucket */
    struct list used;          /* in owner.used, the longest unused first */
    char *key;
    size_t key_len;
    struct shared_answer *last;
    struct list watchers;
    bool upstream;       /* a question is there */
    uint64_t asked;      /* with this index */
    uint64_t asked_ms;   /* at this time */
    struct timer retry;  /* no question is upstream, and there will be one */
    struct timer linger; /* nobody waits: the question goes */
    unsigned busy;       /* somebody is being told of it: it stays */
    void *ctx;
};

struct shared_queries {
    struct shared_host host;
    struct shared_query *buckets[BUCKETS];
    struct list used;
    size_t count;
    size_t bytes; /* of the last answers */
};

/* --- answers -----------------------------------------------------------------------------------
 */

struct shared_answer *shared_answer_new(const struct shared_answer *from)
{
    struct shared_answer *a = mem_alloc(sizeof *a);
    *a = *from;
    a->content_type = from->content_type == NULL ? NULL : mem_strdup(from->content_type);
    a->lines = from->lines == NULL ? NULL : shared_ref(from->lines);
    a->meta = from->meta == NULL ? NULL : shared_ref(from->meta);
    a->body = from->body == NULL ? NULL : shared_ref(from->body);
    a->refs = 1;
    return a;
}

struct shared_answer *shared_answer_ref(struct shared_answer *a)
{
    a->refs++;
    return a;
}

void shared_answer_unref(struct shared_answer *a)
{
    if (a == NULL || --a->refs > 0) {
        return;
    }
    free(a->content_type);
    shared_unref(a->lines);
    shared_unref(a->meta);
    shared_unref(a->body);
    free(a);
}

static size_t answer_bytes(const struct shared_answer *a)
{
    return a == NULL
               ? 0
               : sizeof *a + (a->lines == NULL ? 0 : a->lines->len) +
                     (a->meta == NULL ? 0 : a->meta->len) + (a->body == NULL ? 0 : a->body->len);
}

/* --- queries -----------------------------------------------------------------------------------
 */

static struct shared_query **query_bucket(struct shared_queries *s, struct bytes key)
{
    return &s->buckets[bytes_hash(key) % BUCKETS];
}

static struct shared_query *query_find(struct shared_queries *s, struct bytes key)
{
    struct shared_query *q = *query_bucket(s, key);
    while (q != NULL && !bytes_equal((struct bytes){q->key, q->key_len}, key)) {
        q = q->next;
    }
    return q;
}

static void query_touch(struct shared_query *q)
{
    list_remove(&q->used);
    list_append(&q->owner->used, &q->used);
}

static void query_set_last(struct shared_query *q, struct shared_answer *a)
{
    struct shared_answer *before = q->last;
    q->owner->bytes += answer_bytes(a);
    q->owner->bytes -= answer_bytes(before);
    q->last = a;
    shared_answer_unref(before);
}

static void query_recall(struct shared_query *q)
{
    if (q->upstream) {
        q->upstream = false;
        metric_add(METRIC_SHARED_UPSTREAM, -1);
        q->owner->host.cancel(q->owner->host.ctx, q);
    }
    timer_stop(&q->retry);
}

static void query_free(struct shared_query *q)
{
    struct shared_queries *s = q->owner;
    struct shared_query **at = query_bucket(s, (struct bytes){q->key, q->key_len});
    CHECK(list_empty(&q->watchers));
    query_recall(q);
    timer_stop(&q->linger);
    query_set_last(q, NULL);
    while (*at != q) {
        at = &(*at)->next;
    }
    *at = q->next;
    list_remove(&q->used);
    s->count--;
    free(q->key);
    free(q);
}

/* What nobody waits for makes room. False: all is waited for. */
static bool queries_make_room(struct shared_queries *s, size_t bytes)
{
    LIST_FOREACH (at, &s->used) {
        if (s->count < SHARED_QUERIES_MAX && s->bytes + bytes <= SHARED_ANSWERS_MAX) {
            return true;
        }
        struct shared_query *q = LIST_OWNER(at, struct shared_query, used);
        if (list_empty(&q->watchers) && q->busy == 0) {
            query_free(q);
        }
    }
    return s->count < SHARED_QUERIES_MAX && s->bytes + bytes <= SHARED_ANSWERS_MAX;
}

static void query_ask(struct shared_query *q, uint64_t index)
{
    struct shared_queries *s = q->owner;
    CHECK(!q->upstream);
    timer_stop(&q->retry);
    q->upstream = true;
    q->asked = index;
    q->asked_ms = env_now_ms(s->host.env);
    metric_add(METRIC_SHARED_UPSTREAM, 1);
    s->host.ask(s->host.ctx, q, (struct bytes){q->key, q->key_len}, index);
}

/* The lowest index that waits, or what is known if nobody does. */
static uint64_t query_lowest(const struct shared_query *q)
{
    uint64_t lowest = list_empty(&q->watchers) && q->last != NULL ? q->last->index : UINT64_MAX;
    LIST_FOREACH (at, &q->watchers) {
        const struct shared_watcher *w = LIST_OWNER(at, struct shared_watcher, link);
        lowest = w->index < lowest ? w->index : lowest;
    }
    return lowest;
}

static void query_on_retry(struct timer *t)
{
    struct shared_query *q = LIST_OWNER(t, struct shared_query, retry);
    if (!list_empty(&q->watchers)) {
        query_ask(q, query_lowest(q));
    }
}

static void query_on_linger(struct timer *t)
{
    struct shared_query *q = LIST_OWNER(t, struct shared_query, linger);
    if (list_empty(&q->watchers)) {
        query_recall(q);
    }
}

static struct shared_query *query_get(struct shared_queries *s, struct bytes key)
{
    struct shared_query *q = query_find(s, key);
    if (q != NULL) {
        query_touch(q);
        return q;
    }
    if (!queries_make_room(s, 0)) {
        return NULL;
    }
    struct shared_query **bucket = query_bucket(s, key);
    q = mem_zalloc(1, sizeof *q);
    q->owner = s;
    q->key = mem_dup(key.ptr, key.len);
    q->key_len = key.len;
    q->next = *bucket;
    *bucket = q;
    list_init(&q->used);
    list_append(&s->used, &q->used);
    list_init(&q->watchers);
    env_timer_init(s->host.env, &q->retry, query_on_retry);
    env_timer_init(s->host.env, &q->linger, query_on_linger);
    s->count++;
    return q;
}

/* Whether the last answer is what a server would say now. */
static bool query_is_current(const struct shared_query *q)
{
    return q->upstream && q->last != NULL && q->last->index == q->asked &&
           q->owner->host.connected(q->owner->host.ctx);
}

/* --- watchers ----------------------------------------------------------------------------------
 */

static void watcher_leave(struct shared_watcher *w)
{
    struct shared_query *q = w->query;
    timer_stop(&w->timer);
    list_remove(&w->link);
    w->query = NULL;
    metric_add(METRIC_SHARED_WATCHERS, -1);
    if (list_empty(&q->watchers)) {
        env_timer_start(q->owner->host.env, &q->linger, SHARED_LINGER_MS);
    }
}

void shared_cancel(struct shared_watcher *w)
{
    if (w->query != NULL) {
        watcher_leave(w);
    }
}

static void watcher_tell(struct shared_watcher *w, enum err e, struct shared_answer *a, bool stale)
{
    watcher_leave(w);
    w->done(w, e, a, stale);
}

/* The time is up: nothing has changed, as far as is known. */
static void watcher_on_timer(struct timer *t)
{
    struct shared_watcher *w = LIST_OWNER(t, struct shared_watcher, timer);
    struct shared_query *q = w->query;
    bool current = query_is_current(q);
    bool connected = q->owner->host.connected(q->owner->host.ctx);
    if (connected && !current) {
        watcher_tell(w, ERR_TIMEOUT, NULL, false);
        return;
    }
    if (q->last == NULL || w->index > q->last->index) {
        watcher_tell(w, ERR_NOT_FOUND, NULL, false);
        return;
    }
    struct shared_answer *a = shared_answer_ref(q->last);
    watcher_tell(w, OK, a, !current);
    shared_answer_unref(a);
}

enum shared_verdict shared_watch(struct shared_queries *s,
                                 struct shared_watcher *w,
                                 struct bytes key,
                                 uint64_t index,
                                 uint64_t wait_ms,
                                 struct shared_answer **ret_answer)
{
    struct shared_query *q = query_get(s, key);
    w->query = NULL;
    bool current = q != NULL && query_is_current(q);
    if (q == NULL || (current && index > q->last->index)) {
        return SHARED_ALONE;
    }
    if (current && index < q->last->index) {
        *ret_answer = q->last;
        return SHARED_NOW;
    }
    w->query = q;
    w->index = index;
    list_init(&w->link);
    list_append(&q->watchers, &w->link);
    metric_add(METRIC_SHARED_WATCHERS, 1);
    timer_stop(&q->linger);
    env_timer_init(s->host.env, &w->timer, watcher_on_timer);
    env_timer_start(s->host.env, &w->timer, wait_ms);
    if (q->upstream && index < q->asked) {
        /* Whether there is more than this one knows is not what was asked. */
        query_recall(q);
    }
    if (!q->upstream && !timer_armed(&q->retry)) {
        query_ask(q, query_lowest(q));
    }
    return SHARED_WAITS;
}

/* --- what comes from upstream ------------------------------------------------------------------
 */

enum tell {
    TELL_ALL,
    TELL_OTHERS, /* whose index is not the answer's */
    TELL_BELOW,  /* whose index is below it */
};

static bool tell_fits(const struct shared_watcher *w, enum tell whom, uint64_t index)
{
    return whom == TELL_ALL || (whom == TELL_OTHERS && w->index != index) || w->index < index;
}

/* `a` NULL: that there is none. */
static void query_tell(struct shared_query *q, enum tell whom, enum err e, struct shared_answer *a)
{
    struct list now;
    bool stale = whom == TELL_BELOW;
    list_init(&now);
    list_move_all(&now, &q->watchers);
    q->busy++;
    while (!list_empty(&now)) {
        struct shared_watcher *w = LIST_OWNER(now.next, struct shared_watcher, link);
        list_remove(&w->link);
        list_append(&q->watchers, &w->link);
        if (tell_fits(w, whom, a == NULL ? 0 : a->index)) {
            watcher_tell(w, e, a, stale);
        }
    }
    q->busy--;
}

void shared_query_answered(struct shared_query *q, struct shared_answer *a)
{
    struct shared_queries *s = q->owner;
    uint64_t took_ms = env_now_ms(s->host.env) - q->asked_ms;
    bool hasty = a->index == q->asked && took_ms < SHARED_RETRY_MS;
    CHECK(q->upstream);
    q->upstream = false;
    metric_add(METRIC_SHARED_UPSTREAM, -1);
    query_touch(q);
    if (a->index == 0) {
        /* Refused: what was seen before is not for this asker any more. */
        query_set_last(q, NULL);
        query_tell(q, TELL_ALL, OK, a);
        shared_answer_unref(a);
        return;
    }
    q->busy++;
    bool kept = queries_make_room(s, answer_bytes(a)) || answer_bytes(q->last) >= answer_bytes(a);
    if (kept) {
        query_set_last(q, shared_answer_ref(a));
    }
    /* The next question before the answers: who comes again finds it there. */
    if (kept && !hasty) {
        query_ask(q, a->index);
    } else {
        env_timer_start(s->host.env, &q->retry, SHARED_RETRY_MS);
    }
    env_timer_start(s->host.env, &q->linger, SHARED_LINGER_MS);
    query_tell(q, TELL_OTHERS, OK, a);
    q->busy--;
    shared_answer_unref(a);
}

/* Who has the last answer waits on for the servers to come back; who has an older one gets it. */
void shared_query_failed(struct shared_query *q, enum err e)
{
    struct shared_queries *s = q->owner;
    CHECK(q->upstream);
    q->upstream = false;
    metric_add(METRIC_SHARED_UPSTREAM, -1);
    if (q->last == NULL || e == ERR_TOO_BIG) {
        query_tell(q, TELL_ALL, e, NULL);
        return;
    }
    struct shared_answer *a = shared_answer_ref(q->last);
    env_timer_start(s->host.env, &q->retry, SHARED_RETRY_MS);
    query_tell(q, TELL_BELOW, OK, a);
    shared_answer_unref(a);
}

void shared_remember(struct shared_queries *s, struct bytes key, struct shared_answer *a)
{
    struct shared_query *q = query_get(s, key);
    if (q != NULL && queries_make_room(s, answer_bytes(a)) && (q = query_find(s, key)) != NULL) {
        query_set_last(q, shared_answer_ref(a));
    }
}

void shared_forget(struct shared_queries *s, struct bytes key)
{
    struct shared_query *q = query_find(s, key);
    if (q != NULL) {
        query_set_last(q, NULL);
    }
}

struct shared_answer *shared_last(struct shared_queries *s, struct bytes key)
{
    struct shared_query *q = query_find(s, key);
    return q == NULL ? NULL : q->last;
}

void shared_query_set_ctx(struct shared_query *q, void *ctx)
{
    q->ctx = ctx;
}

void *shared_query_ctx(const struct shared_query *q)
{
    return q->ctx;
}

/* --- life --------------------------------------------------------------------------------------
 */

struct shared_queries *shared_queries_new(const struct shared_host *host)
{
    struct shared_queries *s = mem_zalloc(1, sizeof *s);
    s->host = *host;
    list_init(&s->used);
    return s;
}

void shared_queries_free(struct shared_queries *s)
{
    if (s == NULL) {
        return;
    }
    LIST_FOREACH (at, &s->used) {
        query_free(LIST_OWNER(at, struct shared_query, used));
    }
    free(s);
}
