#include "stream/selection.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <stdlib.h>

void selections_init(struct selections *all)
{
    all->buckets = mem_zalloc(SELECTION_BUCKETS, sizeof(struct selection *));
    list_init(&all->warm);
}

void selections_close(struct selections *all)
{
    for (size_t i = 0; i < SELECTION_BUCKETS; i++) {
        CHECK(all->buckets[i] == NULL);
    }
    free((void *)all->buckets);
    all->buckets = NULL;
}

static bool style_equal(const struct frame_style *a, const struct frame_style *b)
{
    return a->format == b->format && a->lines == b->lines && a->raw == b->raw &&
           a->tagged == b->tagged && a->newline == b->newline;
}

static bool selection_tags_are(const struct selection *sel, const struct subscribe *sub)
{
    struct bytes tags = sel->tags;
    struct bytes tag;
    size_t i = 0;
    while (texts_next(&tags, &tag)) {
        if (i == sub->tag_count || !bytes_equal(tag, sub->tags[i])) {
            return false;
        }
        i++;
    }
    return i == sub->tag_count;
}

static bool selection_is(const struct selection *sel,
                         const struct subscribe *sub,
                         const struct frame_style *style,
                         const struct rights *rights)
{
    return sel->rights == rights && sel->topic == sub->topic && sel->kind == sub->kind &&
           sel->id == sub->id && style_equal(&sel->style, style) &&
           bytes_equal(sel->target, sub->target) && bytes_equal(sel->filter_text, sub->filter) &&
           bytes_equal(sel->node, sub->node) && sel->worst == sub->worst &&
           selection_tags_are(sel, sub);
}

static struct bytes selection_copy(struct bytes data)
{
    return (struct bytes){.ptr = mem_dup(data.ptr, data.len), .len = data.len};
}

static struct bytes selection_tags(const struct subscribe *sub)
{
    struct buf tags;
    size_t len = 0;
    buf_init(&tags, UINT32_MAX);
    for (size_t i = 0; i < sub->tag_count; i++) {
        enum err e = texts_add(&tags, sub->tags[i]);
        CHECK(e == OK);
    }
    const char *ptr = buf_take(&tags, &len);
    return (struct bytes){.ptr = ptr, .len = len};
}

enum err selection_get(struct selections *all,
                       const struct subscribe *sub,
                       const struct frame_style *style,
                       struct rights *rights,
                       struct selection **ret_selection,
                       struct reason *why)
{
    uint64_t hash = bytes_hash(sub->target) ^ bytes_hash(sub->filter) ^ sub->id ^ sub->topic;
    struct selection **bucket = &all->buckets[hash % SELECTION_BUCKETS];
    for (struct selection *at = *bucket; at != NULL; at = at->next) {
        if (at->hash == hash && selection_is(at, sub, style, rights)) {
            at->holds++;
            *ret_selection = at;
            return OK;
        }
    }
    struct filter *filter = NULL;
    if (sub->filter.len > 0) {
        enum err e = filter_new(sub->topic, sub->filter, &filter, why);
        if (e != OK) {
            return e;
        }
    }
    struct selection *sel = mem_alloc(sizeof *sel);
    *sel = (struct selection){
        .topic = sub->topic,
        .kind = sub->kind,
        .target = selection_copy(sub->target),
        .tags = selection_tags(sub),
        .node = selection_copy(sub->node),
        .worst = sub->worst,
        .filter = filter,
        .rights = rights_hold(rights),
        .style = *style,
        .id = sub->id,
        .holds = 1,
        .filter_text = selection_copy(sub->filter),
        .hash = hash,
        .next = *bucket,
    };
    list_init(&sel->warm);
    *bucket = sel;
    *ret_selection = sel;
    return OK;
}

static void selection_cool(struct selection *sel)
{
    for (size_t i = 0; i < SELECTION_CUTS; i++) {
        shared_unref(sel->cuts[i].frame);
        sel->cuts[i] = (struct cut){0};
    }
    sel->cut_next = 0;
    list_remove(&sel->warm);
}

void selection_release(struct selections *all, struct selection *sel)
{
    CHECK(sel->holds > 0);
    if (--sel->holds > 0) {
        return;
    }
    struct selection **at = &all->buckets[sel->hash % SELECTION_BUCKETS];
    while (*at != sel) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = sel->next;
    selection_cool(sel);
    filter_free(sel->filter);
    rights_release(sel->rights);
    free((void *)(uintptr_t)sel->target.ptr);
    free((void *)(uintptr_t)sel->tags.ptr);
    free((void *)(uintptr_t)sel->node.ptr);
    free((void *)(uintptr_t)sel->filter_text.ptr);
    free(sel);
}

struct selection *
selection_for(struct selections *all, struct selection *sel, struct rights *rights)
{
    struct bytes tags = sel->tags;
    struct subscribe sub = {
        .topic = sel->topic,
        .kind = sel->kind,
        .target = sel->target,
        .node = sel->node,
        .worst = sel->worst,
        .filter = sel->filter_text,
        .id = sel->id,
    };
    while (sub.tag_count < STREAM_TAGS_MAX && texts_next(&tags, &sub.tags[sub.tag_count])) {
        sub.tag_count++;
    }
    struct selection *other = NULL;
    struct reason why;
    enum err e = selection_get(all, &sub, &sel->style, rights, &other, &why);
    /* Its filter was good before. */
    CHECK(e == OK);
    selection_release(all, sel);
    return other;
}

/* --- what is selected ------------------------------------------------------------------------ */

/* A deletion by prefix concerns who selects something below the prefix, or all that is above. */
static bool selection_reaches_key(const struct selection *sel, const struct change *c)
{
    bool wide = c->op == CHANGE_DELETE_PREFIX && bytes_begins(sel->target, c->key);
    switch (sel->kind) {
    case TARGET_ALL:
        return true;
    case TARGET_KEY:
        return wide || (c->op != CHANGE_DELETE_PREFIX && bytes_equal(c->key, sel->target));
    case TARGET_PREFIX:
        return wide || bytes_begins(c->key, sel->target);
    }
    return false;
}

/* Names of the fleet are the same in any case. */
static bool selection_reaches_name(const struct selection *sel, struct bytes name)
{
    size_t len = sel->target.len < name.len ? sel->target.len : name.len;
    switch (sel->kind) {
    case TARGET_ALL:
        return true;
    case TARGET_KEY:
        return bytes_equal_nocase(name, sel->target);
    case TARGET_PREFIX:
        return bytes_equal_nocase(bytes_slice(name, 0, len), sel->target);
    }
    return false;
}

static bool selection_has_tags(const struct selection *sel, struct bytes tags)
{
    struct bytes wanted = sel->tags;
    struct bytes tag;
    while (texts_next(&wanted, &tag)) {
        if (!texts_have_nocase(tags, tag)) {
            return false;
        }
    }
    return true;
}

static enum event_op selection_judge_instance(const struct selection *sel,
                                              const struct instance_row *r)
{
    bool is = r->is && r->status <= sel->worst && selection_has_tags(sel, r->service.tags);
    bool was = r->was && r->before <= sel->worst && selection_has_tags(sel, r->tags_before);
    if (is) {
        return was ? EVENT_CHANGED : EVENT_ADDED;
    }
    return was ? EVENT_REMOVED : EVENT_NONE;
}

bool selection_has(const struct selection *sel, struct stream_event *e)
{
    bool elsewhere = sel->node.len > 0 && !bytes_equal_nocase(field_text(FIELD_NODE, e), sel->node);
    if (elsewhere || (sel->topic != CHANGE_KV && !selection_reaches_name(sel, e->change->key))) {
        e->op = EVENT_NONE;
    } else if (sel->topic == CHANGE_SERVICE) {
        e->op = selection_judge_instance(sel, &e->row.instance);
    }
    if (e->op != EVENT_NONE && !rights_may_read(sel->rights, e)) {
        e->op = EVENT_NONE;
    }
    if (e->op != EVENT_NONE && sel->filter != NULL && !filter_matches(sel->filter, e)) {
        e->op = EVENT_NONE;
    }
    return e->op != EVENT_NONE;
}

enum err
selection_judge(const struct selection *sel, const struct change *c, struct stream_event *ret_event)
{
    ret_event->op = EVENT_NONE;
    if (c->topic != sel->topic) {
        return OK;
    }
    bool kv = c->topic == CHANGE_KV;
    if (kv ? !selection_reaches_key(sel, c) : !selection_reaches_name(sel, c->key)) {
        return OK;
    }
    enum err e = event_read(ret_event, c);
    if (e == OK) {
        (void)selection_has(sel, ret_event);
    }
    return e;
}

static bool ask_equal(const struct cut_ask *a, const struct cut_ask *b)
{
    return a->from.index == b->from.index && a->from.part_index == b->from.part_index &&
           a->from.part_next == b->from.part_next && a->told == b->told && a->until == b->until &&
           a->cursor_max == b->cursor_max && a->events_max == b->events_max &&
           a->bytes_max == b->bytes_max;
}

const struct cut *
selection_recall(const struct selection *sel, const struct cut_ask *ask, uint64_t tail)
{
    for (size_t i = 0; i < SELECTION_CUTS; i++) {
        if (sel->cuts[i].tail == tail && ask_equal(&sel->cuts[i].ask, ask)) {
            return &sel->cuts[i];
        }
    }
    return NULL;
}

void selection_remember(struct selections *all, struct selection *sel, const struct cut *cut)
{
    struct cut *to = &sel->cuts[sel->cut_next];
    sel->cut_next = (sel->cut_next + 1) % SELECTION_CUTS;
    shared_unref(to->frame);
    *to = *cut;
    if (to->frame != NULL) {
        shared_ref(to->frame);
    }
    list_remove(&sel->warm);
    list_append(&all->warm, &sel->warm);
}

void selections_cool(struct selections *all)
{
    while (!list_empty(&all->warm)) {
        selection_cool(LIST_OWNER(all->warm.next, struct selection, warm));
    }
}
