/* What one command has written so far, in the order of keys: so that it may read what it wrote
 * before the database has it. A skip list in memory that goes at once.
 *
 * Owner    keys and values are copied; what is found is borrowed until overlay_clear(), also when
 *          it is written again.
 * Order    of memcmp, the shorter first, as the database's. Heights come from the keys, not from
 *          dice.
 * Threads  none.
 */
#ifndef STORE_OVERLAY_H
#define STORE_OVERLAY_H

#include "core/base/arena.h"

#define OVERLAY_HEIGHT_MAX 20U

struct overlay_node {
    struct bytes key;
    struct bytes value;
    bool dead; /* it was deleted */
    unsigned height;
    struct overlay_node *next[OVERLAY_HEIGHT_MAX]; /* `height` of them are there */
};

struct overlay {
    size_t count; /* read-only */
    /* private */
    struct overlay_node *heads[OVERLAY_HEIGHT_MAX];
    struct arena memory;
};

void overlay_init(struct overlay *o);
void overlay_close(struct overlay *o);
void overlay_clear(struct overlay *o);
void overlay_put(struct overlay *o, struct bytes key, struct bytes value);
void overlay_delete(struct overlay *o, struct bytes key);
/* NULL: nothing was written under this key; else its newest. */
const struct overlay_node *overlay_find(const struct overlay *o, struct bytes key);
/* The first at `key` or behind it. */
const struct overlay_node *overlay_seek(const struct overlay *o, struct bytes key);
/* The one behind it in the order of keys. */
const struct overlay_node *overlay_next(const struct overlay_node *node);

#endif
