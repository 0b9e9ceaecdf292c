#include "tests/sim/map.h"

#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct map_node *map_node_new(struct map *m, struct bytes key, struct bytes value)
{
    unsigned height = 1;
    m->dice = m->dice * 6364136223846793005ULL + 1442695040888963407ULL;
    for (uint64_t bits = m->dice >> 20; height < MAP_HEIGHT && (bits & 3) == 0; bits >>= 2) {
        height++;
    }
    size_t links = sizeof(struct map_node) + height * sizeof(struct map_node *);
    struct map_node *n = mem_alloc(links + key.len + value.len + 1);
    char *data = (char *)n + links;
    *n = (struct map_node){
        .key = {.ptr = data, .len = key.len},
        .value = {.ptr = data + key.len, .len = value.len},
        .height = height,
    };
    if (key.len > 0) {
        memcpy(data, key.ptr, key.len);
    }
    if (value.len > 0) {
        memcpy(data + key.len, value.ptr, value.len);
    }
    return n;
}

void map_open(struct map *m)
{
    size_t links = sizeof(struct map_node) + MAP_HEIGHT * sizeof(struct map_node *);
    *m = (struct map){.head = mem_zalloc(1, links), .dice = 0x5eed};
    m->head->height = MAP_HEIGHT;
}

void map_close(struct map *m)
{
    for (struct map_node *n = m->head; n != NULL;) {
        struct map_node *next = n->next[0];
        free(n);
        n = next;
    }
    *m = (struct map){0};
}

/* Whether `n` stands before (key, version): newer versions come first. */
static bool map_stands_before(const struct map_node *n, struct bytes key, uint64_t version)
{
    int order = bytes_compare(n->key, key);
    return order < 0 || (order == 0 && n->version > version);
}

/* The last node before (key, version) on each level. */
static struct map_node *
map_find(const struct map *m, struct bytes key, uint64_t version, struct map_node **path)
{
    struct map_node *at = m->head;
    for (unsigned level = MAP_HEIGHT; level-- > 0;) {
        while (at->next[level] != NULL && map_stands_before(at->next[level], key, version)) {
            at = at->next[level];
        }
        if (path != NULL) {
            path[level] = at;
        }
    }
    return at;
}

void map_put(struct map *m, struct bytes key, struct bytes value, uint64_t version, bool dead)
{
    struct map_node *path[MAP_HEIGHT];
    struct map_node *found = map_find(m, key, version, path)->next[0];
    struct map_node *n = map_node_new(m, key, value);
    n->version = version;
    n->dead = dead;
    /* Twice in one batch: the later one counts, and so stands first. */
    (void)found;
    for (unsigned level = 0; level < n->height; level++) {
        n->next[level] = path[level]->next[level];
        path[level]->next[level] = n;
    }
    m->count++;
}

/* From `n` on, the first version of each key that a reader at `version` may see; deletions are
 * passed over. */
static struct map_node *map_live(const struct map_node *n, uint64_t version)
{
    const struct map_node *at = n;
    while (at != NULL) {
        if (at->version > version) {
            at = at->next[0];
            continue;
        }
        if (!at->dead) {
            return (struct map_node *)(uintptr_t)at;
        }
        const struct map_node *dead = at;
        while (at != NULL && bytes_equal(at->key, dead->key)) {
            at = at->next[0];
        }
    }
    return NULL;
}

struct map_node *map_seek(const struct map *m, struct bytes key, uint64_t version)
{
    return map_live(map_find(m, key, version, NULL)->next[0], version);
}

struct map_node *map_get(const struct map *m, struct bytes key, uint64_t version)
{
    struct map_node *n = map_find(m, key, version, NULL)->next[0];
    return n != NULL && !n->dead && bytes_equal(n->key, key) ? n : NULL;
}

struct map_node *map_next(const struct map_node *n, uint64_t version)
{
    const struct map_node *at = n;
    while (at != NULL && bytes_equal(at->key, n->key)) {
        at = at->next[0];
    }
    return map_live(at, version);
}

struct map_node *map_before(const struct map *m, struct bytes key, uint64_t version)
{
    struct bytes below = key;
    for (;;) {
        struct map_node *n = map_find(m, below, UINT64_MAX, NULL);
        if (n == m->head) {
            return NULL;
        }
        struct map_node *seen = map_get(m, n->key, version);
        if (seen != NULL) {
            return seen;
        }
        below = n->key;
    }
}

struct map_node *map_last(const struct map *m, uint64_t version)
{
    const struct map_node *at = m->head;
    for (unsigned level = MAP_HEIGHT; level-- > 0;) {
        while (at->next[level] != NULL) {
            at = at->next[level];
        }
    }
    if (at == m->head) {
        return NULL;
    }
    struct map_node *seen = map_get(m, at->key, version);
    return seen != NULL ? seen : map_before(m, at->key, version);
}

void map_prune(struct map *m, uint64_t oldest)
{
    struct map_node *tails[MAP_HEIGHT];
    struct map_node *free_later = NULL;
    struct map_node *n = m->head->next[0];
    struct bytes key = {0};
    bool covered = false; /* a newer version of this key is old enough for everybody */
    for (unsigned level = 0; level < MAP_HEIGHT; level++) {
        tails[level] = m->head;
    }
    m->count = 0;
    while (n != NULL) {
        struct map_node *next = n->next[0];
        covered = covered && bytes_equal(n->key, key);
        key = n->key;
        bool seen = !covered && !(n->dead && n->version <= oldest);
        covered = covered || n->version <= oldest;
        if (seen) {
            for (unsigned level = 0; level < n->height; level++) {
                tails[level]->next[level] = n;
                tails[level] = n;
            }
            m->count++;
        } else {
            /* Its key is still compared with. */
            n->next[0] = free_later;
            free_later = n;
        }
        n = next;
    }
    for (unsigned level = 0; level < MAP_HEIGHT; level++) {
        tails[level]->next[level] = NULL;
    }
    while (free_later != NULL) {
        n = free_later;
        free_later = n->next[0];
        free(n);
    }
}

void map_collapse(struct map *m, uint64_t version)
{
    struct map_node *tails[MAP_HEIGHT];
    struct map_node *n = m->head->next[0];
    for (unsigned level = 0; level < MAP_HEIGHT; level++) {
        tails[level] = m->head;
    }
    m->count = 0;
    while (n != NULL) {
        struct map_node *group = n;
        struct map_node *kept = NULL;
        for (; n != NULL && bytes_equal(n->key, group->key); n = n->next[0]) {
            if (kept == NULL && n->version <= version) {
                kept = n;
            }
        }
        bool live = kept != NULL && !kept->dead;
        for (struct map_node *at = group; at != n;) {
            struct map_node *next = at->next[0];
            if (at != kept || !live) {
                /* The group's first key is compared with above: it goes last. */
                if (at != group) {
                    free(at);
                }
            }
            at = next;
        }
        if (live) {
            for (unsigned level = 0; level < kept->height; level++) {
                tails[level]->next[level] = kept;
                tails[level] = kept;
            }
            m->count++;
        }
        if (group != kept || !live) {
            free(group);
        }
    }
    for (unsigned level = 0; level < MAP_HEIGHT; level++) {
        tails[level]->next[level] = NULL;
    }
}
