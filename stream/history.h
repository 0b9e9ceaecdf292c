/* The older changes: a place in the kept history, read through one view.
 *
 * Owner    history_open() takes a reference of the view, history_close() gives it back; a paused
 *          reader closes, so that it holds nothing but its index.
 * Errors   ERR_COMPACTED, ERR_NOT_FOUND behind the last, ERR_IO, ERR_CORRUPT.
 * Threads  none.
 */
#ifndef STREAM_HISTORY_H
#define STREAM_HISTORY_H

#include "store/view.h"

struct history {
    /* private */
    struct view *view; /* NULL: closed */
    struct change_scan *scan;
    bool held; /* `change` has been read and not stepped over */
    struct change change;
};

/* In front of the first change with a greater index than `after`. */
enum err history_open(struct history *h, struct view *v, uint64_t after) ERR_MUST_USE;
bool history_is_open(const struct history *h);
/* The change at the place; borrowed until the next step. */
enum err history_peek(struct history *h, const struct change **ret_change) ERR_MUST_USE;
void history_step(struct history *h);
/* The index up to which the view knows everything. */
uint64_t history_end(const struct history *h);
/* Closing twice is harmless. */
void history_close(struct history *h);

#endif
