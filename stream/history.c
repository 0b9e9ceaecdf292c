#include "stream/history.h"

#include "core/base/check.h"

enum err history_open(struct history *h, struct view *v, uint64_t after)
{
    CHECK(h->view == NULL);
    struct change_scan *scan = NULL;
    enum err e = change_scan_open(v, after, &scan);
    if (e == OK) {
        *h = (struct history){.view = view_ref(v), .scan = scan};
    }
    return e;
}

bool history_is_open(const struct history *h)
{
    return h->view != NULL;
}

enum err history_peek(struct history *h, const struct change **ret_change)
{
    CHECK(h->view != NULL);
    if (!h->held) {
        enum err e = change_scan_next(h->scan, &h->change);
        if (e != OK) {
            return e;
        }
        h->held = true;
    }
    *ret_change = &h->change;
    return OK;
}

void history_step(struct history *h)
{
    CHECK(h->held);
    h->held = false;
}

uint64_t history_end(const struct history *h)
{
    CHECK(h->view != NULL);
    return view_index(h->view);
}

void history_close(struct history *h)
{
    if (h->view != NULL) {
        change_scan_close(h->scan);
        view_unref(h->view);
        *h = (struct history){0};
    }
}
