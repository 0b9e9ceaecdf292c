#include "store/overlay.h"

#include "core/base/check.h"

/* What one command writes is bounded by what it may hold; this only keeps the sum from wrapping. */
#define OVERLAY_BYTES_MAX (SIZE_MAX / 2)

void overlay_init(struct overlay *o)
{
    *o = (struct overlay){0};
    arena_init(&o->memory, OVERLAY_BYTES_MAX);
}

void overlay_close(struct overlay *o)
{
    arena_close(&o->memory);
    overlay_init(o);
}

void overlay_clear(struct overlay *o)
{
    if (o->count > 0) {
        overlay_close(o);
    }
}

/* One in four goes a level higher. */
static unsigned overlay_height(struct bytes key)
{
    uint64_t hash = bytes_hash(key);
    unsigned height = 1;
    while (height < OVERLAY_HEIGHT_MAX && (hash & 3) == 0) {
        hash >>= 2;
        height++;
    }
    return height;
}

/* For each level the link that leads to the first node at `key` or behind it. */
static void overlay_path(struct overlay *o,
                         struct bytes key,
                         struct overlay_node **ret_path[OVERLAY_HEIGHT_MAX])
{
    struct overlay_node *before = NULL;
    for (unsigned level = OVERLAY_HEIGHT_MAX; level-- > 0;) {
        struct overlay_node **link = before == NULL ? &o->heads[level] : &before->next[level];
        while (*link != NULL && bytes_compare((*link)->key, key) < 0) {
            before = *link;
            link = &before->next[level];
        }
        ret_path[level] = link;
    }
}

static void overlay_write(struct overlay *o, struct bytes key, struct bytes value, bool dead)
{
    struct overlay_node **path[OVERLAY_HEIGHT_MAX];
    overlay_path(o, key, path);
    struct overlay_node *node = *path[0];
    struct bytes kept = arena_copy(&o->memory, value);
    CHECK(kept.ptr != NULL);
    if (node != NULL && bytes_equal(node->key, key)) {
        node->value = kept;
        node->dead = dead;
        return;
    }
    unsigned height = overlay_height(key);
    node = arena_alloc(&o->memory,
                       offsetof(struct overlay_node, next) + height * sizeof(node->next[0]));
    CHECK(node != NULL);
    node->key = arena_copy(&o->memory, key);
    CHECK(node->key.ptr != NULL);
    node->value = kept;
    node->dead = dead;
    node->height = height;
    for (unsigned level = 0; level < height; level++) {
        node->next[level] = *path[level];
        *path[level] = node;
    }
    o->count++;
}

void overlay_put(struct overlay *o, struct bytes key, struct bytes value)
{
    overlay_write(o, key, value, false);
}

void overlay_delete(struct overlay *o, struct bytes key)
{
    overlay_write(o, key, (struct bytes){0}, true);
}

const struct overlay_node *overlay_seek(const struct overlay *o, struct bytes key)
{
    struct overlay_node *const *links = o->heads;
    for (unsigned level = OVERLAY_HEIGHT_MAX; level-- > 0;) {
        while (links[level] != NULL && bytes_compare(links[level]->key, key) < 0) {
            links = links[level]->next;
        }
    }
    return links[0];
}

const struct overlay_node *overlay_find(const struct overlay *o, struct bytes key)
{
    const struct overlay_node *node = overlay_seek(o, key);
    return node != NULL && bytes_equal(node->key, key) ? node : NULL;
}

const struct overlay_node *overlay_next(const struct overlay_node *node)
{
    return node->next[0];
}
