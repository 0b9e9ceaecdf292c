#include "stream/query_group.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "store/row.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64U

/* FNV-1a from a secret start: unlike bytes_hash() it yields the hash of every prefix of a key in
 * one pass, and nobody outside can aim at one bucket. */
static uint64_t hash_step(uint64_t h, char c)
{
    return (h ^ (unsigned char)c) * 0x100000001b3ULL;
}

static uint64_t hash_end(uint64_t h, enum watch_kind kind)
{
    h = (h ^ (h >> 32) ^ (uint64_t)kind) * 0x9e3779b97f4a7c15ULL;
    return h ^ (h >> 29);
}

static uint64_t hash_target(const struct query_groups *g, enum watch_kind kind, struct bytes target)
{
    uint64_t h = g->seed;
    for (size_t i = 0; i < target.len; i++) {
        h = hash_step(h, target.ptr[i]);
    }
    return hash_end(h, kind);
}

void query_groups_init(struct query_groups *g, uint64_t seed)
{
    *g = (struct query_groups){
        .buckets = mem_zalloc(BUCKETS_FIRST, sizeof(struct query_group *)),
        .bucket_count = BUCKETS_FIRST,
        .seed = seed,
    };
}

void query_groups_close(struct query_groups *g)
{
    CHECK(g->count == 0);
    free((void *)g->buckets);
    g->buckets = NULL;
}

static struct query_group **groups_bucket(const struct query_groups *g, uint64_t hash)
{
    return &g->buckets[hash & (g->bucket_count - 1)];
}

static void groups_grow(struct query_groups *g)
{
    struct query_groups old = {.buckets = g->buckets, .bucket_count = g->bucket_count};
    g->bucket_count *= 2;
    g->buckets = mem_zalloc(g->bucket_count, sizeof(struct query_group *));
    for (size_t i = 0; i < old.bucket_count; i++) {
        struct query_group *next = NULL;
        for (struct query_group *group = old.buckets[i]; group != NULL; group = next) {
            next = group->next;
            struct query_group **bucket = groups_bucket(g, group->hash);
            group->next = *bucket;
            *bucket = group;
        }
    }
    free((void *)old.buckets);
}

static struct query_group *group_new(struct stream *s, const struct watch_query *q)
{
    struct query_group *group = mem_alloc(sizeof *group + q->target.len + q->variant.len);
    char *memory = (char *)(group + 1);
    *group = (struct query_group){
        .kind = q->kind,
        .target = {.ptr = memory, .len = q->target.len},
        .variant = {.ptr = memory + q->target.len, .len = q->variant.len},
        .evaluate = q->evaluate,
        .stream = s,
    };
    if (q->target.len > 0) {
        memcpy(memory, q->target.ptr, q->target.len);
    }
    if (q->variant.len > 0) {
        memcpy(memory + q->target.len, q->variant.ptr, q->variant.len);
    }
    list_init(&group->waiters);
    list_init(&group->woken);
    return group;
}

/* A prefix longer than any key cannot match; it is in the table, but not counted. */
static bool group_counts(const struct query_group *group)
{
    return group->kind == WATCH_KV_PREFIX && group->target.len <= KV_KEY_MAX;
}

struct query_group *
query_group_get(struct query_groups *g, struct stream *s, const struct watch_query *q)
{
    uint64_t hash = hash_target(g, q->kind, q->target);
    for (struct query_group *at = *groups_bucket(g, hash); at != NULL; at = at->next) {
        if (at->hash == hash && at->kind == q->kind && at->evaluate == q->evaluate &&
            bytes_equal(at->target, q->target) && bytes_equal(at->variant, q->variant)) {
            at->holds++;
            return at;
        }
    }
    if (g->count >= g->bucket_count) {
        groups_grow(g);
    }
    struct query_group *group = group_new(s, q);
    struct query_group **bucket = groups_bucket(g, hash);
    group->hash = hash;
    group->holds = 1;
    group->next = *bucket;
    *bucket = group;
    g->count++;
    if (group_counts(group)) {
        g->prefix_lengths[group->target.len]++;
        g->prefix_groups++;
    }
    metric_add(METRIC_QUERY_GROUPS, 1);
    return group;
}

void query_group_hold(struct query_group *group)
{
    group->holds++;
}

void query_group_forget(struct query_group *group)
{
    shared_unref(group->answer.body);
    group->answer = (struct watch_answer){0};
    group->evaluated = false;
}

void query_group_release(struct query_groups *g, struct query_group *group)
{
    CHECK(group->holds > 0);
    if (--group->holds > 0) {
        return;
    }
    CHECK(group->waiting == 0);
    struct query_group **at = groups_bucket(g, group->hash);
    while (*at != group) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = group->next;
    g->count--;
    if (group_counts(group)) {
        CHECK(g->prefix_lengths[group->target.len] > 0);
        g->prefix_lengths[group->target.len]--;
        g->prefix_groups--;
    }
    query_group_forget(group);
    free(group);
    metric_add(METRIC_QUERY_GROUPS, -1);
}

struct match {
    struct query_groups *groups;
    query_group_fn found;
    void *ctx;
};

static void
match_probe(const struct match *m, uint64_t hash, enum watch_kind kind, struct bytes target)
{
    struct query_group *at = *groups_bucket(m->groups, hash);
    for (; at != NULL; at = at->next) {
        if (at->hash == hash && at->kind == kind && bytes_equal(at->target, target)) {
            m->found(at, m->ctx);
        }
    }
}

static void match_key(const struct match *m, struct bytes key)
{
    const struct query_groups *g = m->groups;
    uint64_t h = g->seed;
    for (size_t len = 0;; len++) {
        if (g->prefix_groups > 0 && len <= KV_KEY_MAX && g->prefix_lengths[len] > 0) {
            match_probe(m, hash_end(h, WATCH_KV_PREFIX), WATCH_KV_PREFIX, bytes_slice(key, 0, len));
        }
        if (len == key.len) {
            break;
        }
        h = hash_step(h, key.ptr[len]);
    }
    match_probe(m, hash_end(h, WATCH_KV_KEY), WATCH_KV_KEY, key);
}

/* A deletion by prefix is rare: all groups are looked at. */
static void match_prefix(struct query_group *group, void *ctx)
{
    const struct match *m = ((void **)ctx)[0];
    const struct bytes *prefix = ((void **)ctx)[1];
    bool below = group->kind != WATCH_INDEX && bytes_begins(group->target, *prefix);
    bool above = group->kind == WATCH_KV_PREFIX && bytes_begins(*prefix, group->target);
    if (below || above) {
        m->found(group, m->ctx);
    }
}

void query_groups_match(struct query_groups *g,
                        const struct change *c,
                        query_group_fn found,
                        void *ctx)
{
    struct match m = {.groups = g, .found = found, .ctx = ctx};
    if (g->count == 0 || c->topic != CHANGE_KV) {
        return;
    }
    if (c->op == CHANGE_DELETE_PREFIX) {
        struct bytes prefix = c->key;
        void *both[2] = {&m, &prefix};
        query_groups_each(g, match_prefix, (void *)both);
    } else {
        match_key(&m, c->key);
    }
}

void query_groups_moved(struct query_groups *g, struct bytes names, query_group_fn found, void *ctx)
{
    const struct match m = {.groups = g, .found = found, .ctx = ctx};
    struct bytes name;
    while (g->count > 0 && texts_next(&names, &name)) {
        match_probe(&m, hash_target(g, WATCH_INDEX, name), WATCH_INDEX, name);
    }
}

void query_groups_each(struct query_groups *g, query_group_fn found, void *ctx)
{
    for (size_t i = 0; i < g->bucket_count; i++) {
        for (struct query_group *at = g->buckets[i]; at != NULL; at = at->next) {
            found(at, ctx);
        }
    }
}
