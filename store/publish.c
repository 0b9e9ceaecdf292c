#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <stdlib.h>

/* One batch on its way to one reader; then the view it replaced, until the reader's next turn. */
struct reader_news {
    struct reader_news *next;
    struct change_batch *batch;
    struct view *retired;
};

/* --- the hub's side -------------------------------------------------------------------------- */

static void publish_batch(struct store *s, struct change_batch *batch, struct view *view)
{
    for (struct store_reader *r = s->readers; r != NULL; r = r->next) {
        struct reader_news *news = mem_alloc(sizeof *news);
        *news = (struct reader_news){.batch = change_batch_ref(batch)};
        news->next = atomic_load_explicit(&r->inbox, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&r->inbox, &news->next, news)) {
        }
        if (!atomic_exchange(&r->kicked, true)) {
            mailbox_post(loop_mailbox(r->loop), &r->kick);
        }
    }
    /* Only now: whoever reads this count finds the batch in its inbox. */
    atomic_fetch_add(&s->published, 1);
    change_batch_unref(batch);
    view_unref(s->view);
    s->view = view;
    atomic_store(&s->facts.epoch, view_epoch(view));
}

void publish(struct store *s, uint64_t after)
{
    struct view *view = state_view(s->state);
    struct change_batch *batch = collect_finish(&s->collect, after, view);
    CHECK(batch->through == s->applied);
    publish_batch(s, batch, view);
}

void publish_replaced(struct store *s, uint64_t after)
{
    collect_replaced(&s->collect);
    publish(s, after);
}

void publish_open(struct store *s)
{
    s->view = state_view(s->state);
    atomic_store(&s->facts.epoch, view_epoch(s->view));
}

void publish_close(struct store *s)
{
    CHECK(s->readers == NULL);
    collect_close(&s->collect);
    if (s->view != NULL) {
        view_unref(s->view);
        s->view = NULL;
    }
}

/* --- a reader's side ------------------------------------------------------------------------- */

static void reader_free_retired(struct store_reader *r)
{
    while (r->retired != NULL) {
        struct reader_news *news = r->retired;
        r->retired = news->next;
        view_unref(news->retired);
        free(news);
    }
}

/* What came since, oldest first. */
static struct reader_news *reader_take(struct store_reader *r)
{
    struct reader_news *news = atomic_exchange(&r->inbox, NULL);
    struct reader_news *ordered = NULL;
    while (news != NULL) {
        struct reader_news *next = news->next;
        news->next = ordered;
        ordered = news;
        news = next;
    }
    return ordered;
}

static void reader_deliver(struct store_reader *r)
{
    r->delivering = true;
    for (struct reader_news *news = reader_take(r); news != NULL;) {
        struct reader_news *next = news->next;
        struct change_batch *batch = news->batch;
        CHECK(batch->after == view_index(r->view));
        r->seen++;
        *news = (struct reader_news){.next = r->retired, .retired = r->view};
        r->retired = news;
        r->view = view_ref(batch->view);
        r->on_changes(r, batch);
        change_batch_unref(batch);
        news = next;
    }
    r->delivering = false;
}

static void reader_on_kick(struct mail *m)
{
    struct store_reader *r = LIST_OWNER(m, struct store_reader, kick);
    /* A new turn: nobody holds what earlier ones borrowed. */
    reader_free_retired(r);
    atomic_store(&r->kicked, false);
    reader_deliver(r);
}

struct view *store_reader_view(struct store_reader *r)
{
    /* Inside on_changes() the view is the batch's: the next batches come after it, in order. */
    if (!r->delivering && atomic_load(&r->store->published) > r->seen) {
        reader_deliver(r);
    }
    return r->view;
}

static void reader_attach(struct store *s, void *arg)
{
    struct store_reader *r = arg;
    r->view = view_ref(s->view);
    r->seen = atomic_load(&s->published);
    r->next = s->readers;
    s->readers = r;
}

static void reader_detach(struct store *s, void *arg)
{
    struct store_reader *r = arg;
    for (struct store_reader **at = &s->readers; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            return;
        }
    }
    CHECK(false);
}

void store_reader_open(struct store_reader *r, struct store *s, struct loop *loop)
{
    CHECK(r->on_changes != NULL);
    r->store = s;
    r->loop = loop;
    r->retired = NULL;
    r->delivering = false;
    r->kick = (struct mail){.deliver = reader_on_kick};
    atomic_init(&r->inbox, NULL);
    atomic_init(&r->kicked, false);
    hub_call(s, reader_attach, r);
}

void store_reader_close(struct store_reader *r)
{
    hub_call(r->store, reader_detach, r);
    for (struct reader_news *news = reader_take(r); news != NULL;) {
        struct reader_news *next = news->next;
        change_batch_unref(news->batch);
        free(news);
        news = next;
    }
    reader_free_retired(r);
    view_unref(r->view);
    r->view = NULL;
}
