#include "core/api/fleet_read.h"
#include "core/base/mem.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Consul's has 8; a stranger's may have less. */
#define COORDINATE_DIMENSIONS_MAX 16

/* A point in the space of the network: distances are seconds. */
struct coordinate {
    double vec[COORDINATE_DIMENSIONS_MAX];
    size_t dimensions;
    double adjustment;
    double height;
};

struct coordinates {
    struct view *view; /* borrowed */
    struct coordinate from;
    /* The last one: instances come in the order of nodes. */
    struct buf name;
    double distance;
};

static bool coordinate_parse(struct bytes text, struct coordinate *ret)
{
    struct coordinate c = {0};
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    const json_t *vec = json_object_get(json, "Vec");
    c.dimensions = json_array_size(vec);
    bool good = c.dimensions > 0 && c.dimensions <= COORDINATE_DIMENSIONS_MAX;
    for (size_t i = 0; good && i < c.dimensions; i++) {
        c.vec[i] = json_number_value(json_array_get(vec, i));
    }
    c.adjustment = json_number_value(json_object_get(json, "Adjustment"));
    c.height = json_number_value(json_object_get(json, "Height"));
    json_decref(json);
    if (good) {
        *ret = c;
    }
    return good;
}

/* The first one of the node, whatever its segment. */
static bool coordinate_of(struct view *v, struct bytes node, struct coordinate *ret)
{
    struct coordinate_row row;
    struct fleet_scan *scan = fleet_coordinates(v, node);
    bool found = fleet_next_coordinate(scan, &row) == OK && coordinate_parse(row.coordinate, ret);
    fleet_scan_close(scan);
    return found;
}

struct coordinates *coordinates_from(struct view *v, struct bytes node)
{
    struct coordinate from;
    if (!coordinate_of(v, node, &from)) {
        return NULL;
    }
    struct coordinates *c = mem_alloc(sizeof *c);
    *c = (struct coordinates){.view = v, .from = from};
    buf_init(&c->name, ROW_NAME_MAX);
    return c;
}

void coordinates_free(struct coordinates *c)
{
    if (c != NULL) {
        buf_close(&c->name);
        free(c);
    }
}

/* The straight way, and what each of the two adds for itself; the adjustments only where they do
 * not make it less than nothing. */
static double distance_between(const struct coordinate *a, const struct coordinate *b)
{
    double sum = 0;
    if (a->dimensions != b->dimensions) {
        return HUGE_VAL;
    }
    for (size_t i = 0; i < a->dimensions; i++) {
        sum += (a->vec[i] - b->vec[i]) * (a->vec[i] - b->vec[i]);
    }
    double raw = sqrt(sum) + a->height + b->height;
    double adjusted = raw + a->adjustment + b->adjustment;
    return adjusted > 0 ? adjusted : raw;
}

double coordinates_distance(struct coordinates *c, struct bytes node)
{
    if (c->name.len > 0 && bytes_equal_nocase(buf_view(&c->name), node)) {
        return c->distance;
    }
    struct coordinate there;
    buf_clear(&c->name);
    c->distance =
        coordinate_of(c->view, node, &there) ? distance_between(&c->from, &there) : HUGE_VAL;
    if (buf_append(&c->name, node) != OK) {
        buf_clear(&c->name);
    }
    return c->distance;
}
