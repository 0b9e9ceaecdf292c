/* An ordered map of byte strings that remembers every version: what the simulated database is made
 * of. Versions are numbered by their writer; a reader sees the newest one up to a number.
 *
 * Owner    the map copies; nodes live until map_close().
 * Order    memcmp, the shorter first; of one key the newest version first.
 * Threads  none.
 */
#ifndef TESTS_SIM_MAP_H
#define TESTS_SIM_MAP_H

#include "core/base/buf.h"

#define MAP_HEIGHT 12U

struct map_node {
    struct bytes key;
    struct bytes value; /* its memory may be changed by who damages disks */
    uint64_t version;
    bool dead; /* this version is a deletion */
    unsigned height;
    struct map_node *next[];
};

struct map {
    struct map_node *head;
    uint64_t dice;
    size_t count;
};

void map_open(struct map *m);
void map_close(struct map *m);
/* `version` is at least that of everything that is in the map. */
void map_put(struct map *m, struct bytes key, struct bytes value, uint64_t version, bool dead);
/* What a reader at `version` finds; NULL: nothing. */
struct map_node *map_get(const struct map *m, struct bytes key, uint64_t version);
/* The first live key >= `key`, the next one behind a node, the last one < `key`. */
struct map_node *map_seek(const struct map *m, struct bytes key, uint64_t version);
struct map_node *map_next(const struct map_node *n, uint64_t version);
struct map_node *map_before(const struct map *m, struct bytes key, uint64_t version);
struct map_node *map_last(const struct map *m, uint64_t version);
/* Frees what no reader at `oldest` or later can see. */
void map_prune(struct map *m, uint64_t oldest);
/* Keeps what a reader at `version` sees, as if it had always been so; frees the rest. */
void map_collapse(struct map *m, uint64_t version);

#endif
