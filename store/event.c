#include "store/event.h"

#include "core/base/check.h"
#include "store/fleet.h"
#include "store/row.h"
#include "store/schema_fleet.h"

/* A name, a payload, filters. */
#define EVENT_ROW_MAX      (ROW_OUTPUT_MAX + 4 * ROW_TEXT_MAX)
#define COORDINATE_ROW_MAX (ROW_JSON_MAX + ROW_TEXT_MAX)

/* --- events ---------------------------------------------------------------------------------- */

/* Lets the oldest go until there is room for one. */
static enum err event_make_room(struct apply *a)
{
    struct schema_key prefix;
    struct apply_scan scan;
    size_t count = 1;
    enum err e = OK;
    schema_fleet_begin(&prefix, a->meta.restores, FLEET_EVENT);
    apply_scan_open(&scan, a, &prefix);
    while ((e = apply_scan_next(&scan)) == OK) {
        count++;
    }
    apply_scan_close(&scan);
    if (e != ERR_NOT_FOUND || count <= EVENTS_KEPT) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    apply_scan_open(&scan, a, &prefix);
    while (count > EVENTS_KEPT && (e = apply_scan_next(&scan)) == OK) {
        apply_delete(a, scan.key);
        count--;
    }
    apply_scan_close(&scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err event_fire(struct apply *a, const struct command_rows *cmd)
{
    struct event_row row;
    struct schema_key k;
    struct buf encoded;
    /* The command was looked through when it was decoded. */
    CHECK(row_event_decode(cmd->rows, &row) == OK);
    enum err e = event_make_room(a);
    if (e != OK) {
        return e;
    }
    row.index = a->index;
    buf_init(&encoded, EVENT_ROW_MAX);
    CHECK(row_event_encode(&encoded, &row) == OK);
    schema_fleet_begin(&k, a->meta.restores, FLEET_EVENT);
    schema_fleet_number(&k, a->index);
    apply_put(a, schema_key_view(&k), buf_view(&encoded));
    apply_moved(a, BYTES(FLEET_INDEX_EVENTS));
    apply_change(a, &(struct change){.topic = CHANGE_EVENT,
                                     .op = CHANGE_SET,
                                     .key = row.name,
                                     .value = buf_view(&encoded)});
    buf_put(&a->detail, buf_view(&encoded));
    buf_close(&encoded);
    return OK;
}

/* --- coordinates ----------------------------------------------------------------------------- */

/* Whether this says something new of a node that is there. */
static enum err coordinate_is_news(struct apply *a,
                                   const struct coordinate_row *row,
                                   const struct schema_key *k,
                                   bool *ret_news)
{
    struct schema_key node;
    struct coordinate_row old;
    *ret_news = false;
    schema_fleet_one(&node, a->meta.restores, FLEET_NODE, row->node);
    enum err e = apply_get(a, schema_key_view(&node), &a->slice);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    e = apply_get(a, schema_key_view(k), &a->slice);
    if (e == ERR_NOT_FOUND) {
        *ret_news = true;
        return OK;
    }
    e = e == OK ? row_coordinate_decode(a->slice.value, &old) : e;
    *ret_news = e == OK && !bytes_equal(old.coordinate, row->coordinate);
    return e;
}

static enum err coordinate_set(struct apply *a, struct coordinate_row *row)
{
    struct schema_key k;
    struct buf encoded;
    bool news = false;
    schema_fleet_two(&k, a->meta.restores, FLEET_COORDINATE, row->node, row->segment);
    enum err e = coordinate_is_news(a, row, &k, &news);
    if (e != OK || !news) {
        return e;
    }
    row->modify_index = a->index;
    buf_init(&encoded, COORDINATE_ROW_MAX);
    CHECK(row_coordinate_encode(&encoded, row) == OK);
    apply_put(a, schema_key_view(&k), buf_view(&encoded));
    apply_moved(a, BYTES(FLEET_INDEX_COORDINATES));
    buf_close(&encoded);
    return OK;
}

enum err coordinates_set(struct apply *a, const struct command_rows *cmd)
{
    struct bytes rows = cmd->rows;
    struct bytes data;
    enum err e = OK;
    while (e == OK && texts_next(&rows, &data)) {
        struct coordinate_row row;
        CHECK(row_coordinate_decode(data, &row) == OK);
        e = coordinate_set(a, &row);
    }
    return e;
}
