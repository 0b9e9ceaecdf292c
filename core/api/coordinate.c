/* /v1/coordinate: where nodes are in the network (contracts/consul.md, section 13). */
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/api/rows.h"
#include "core/base/limit.h"
#include "core/config.h"
#include "core/decode.h"
#include "store/row_json.h"

/* --- reading ------------------------------------------------------------------------------------
 */

/* Of the node that the variant names (then nothing is 404), or of all. */
static enum err coordinate_evaluate(struct view *v,
                                    struct bytes target,
                                    struct bytes variant,
                                    struct watch_answer *ret_answer)
{
    struct coordinate_row row;
    struct rows rows;
    struct watch_answer answer = {.index = view_fleet_index(v, target)};
    struct bytes node = rows_what(variant);
    struct fleet_scan *scan = fleet_coordinates(v, node);
    enum err e = rows_open(&rows);
    while (e == OK && (e = fleet_next_coordinate(scan, &row)) == OK) {
        if (!rights_see(ACL_NODE, row.node)) {
            continue;
        }
        e = rows_next(&rows);
        e = e == OK ? row_json_coordinate(&rows.text, &row) : e;
    }
    fleet_scan_close(scan);
    answer.wake_index = answer.index;
    bool none = node.len > 0 && rows.count == 0;
    e = rows_close(&rows, e == ERR_NOT_FOUND ? OK : e, rows_pretty(variant), &answer);
    if (e == OK && none) {
        shared_unref(answer.body);
        answer.body = NULL;
        answer.content_type = NULL;
        answer.status = 404;
    }
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}

void api_coordinate_nodes(struct request *r)
{
    rows_answer(r, &(struct rows_query){.prefix = FLEET_INDEX_COORDINATES,
                                        .evaluate = coordinate_evaluate});
}

void api_coordinate_node(struct request *r)
{
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing node name");
        return;
    }
    rows_answer(r, &(struct rows_query){.prefix = FLEET_INDEX_COORDINATES,
                                        .what = r->rest,
                                        .evaluate = coordinate_evaluate});
}

/* This datacenter's servers, as far as any has a coordinate: there is no other datacenter. */
void api_coordinate_datacenters(struct request *r)
{
    struct watch_answer answer = {0};
    struct buf json;
    struct bytes variant = BYTES("\0");
    enum err e = coordinate_evaluate(store_reader_view(api_of(r)->reader),
                                     BYTES(FLEET_INDEX_COORDINATES), variant, &answer);
    buf_init(&json, KV_ANSWER_MAX);
    e = e == OK
            ? buf_printf(&json, "[{\"Datacenter\":\"%s\",\"AreaID\":\"wan\",\"Coordinates\":%.*s}]",
                         api_of(r)->config->datacenter, BYTES_FORMAT(shared_view(answer.body)))
            : e;
    if (e == OK) {
        api_reply_json(r, buf_view(&json));
    } else {
        reply_err(r, e);
    }
    shared_unref(answer.body);
    buf_close(&json);
}

/* --- update -------------------------------------------------------------------------------------
 */

struct coordinate_body {
    struct bytes node;
    struct bytes segment;
    struct bytes coordinate; /* JSON */
};

#define COORDINATE_FIELD(n, k, member, m)                                                          \
    {                                                                                              \
        .name = (n), .kind = (k), .offset = offsetof(struct coordinate_body, member), .max = (m)   \
    }

static const struct decode_field COORDINATE_FIELDS[] = {
    COORDINATE_FIELD("Node", DECODE_TEXT, node, ROW_NAME_MAX),
    COORDINATE_FIELD("Segment", DECODE_TEXT, segment, ROW_NAME_MAX),
    COORDINATE_FIELD("Coord", DECODE_JSON, coordinate, ROW_JSON_MAX),
    {.name = "Datacenter", .kind = DECODE_SKIP},
    {.name = "Partition", .kind = DECODE_SKIP},
};

static const struct decode_type COORDINATE_BODY = {
    .name = "structs.CoordinateUpdateRequest",
    .fields = COORDINATE_FIELDS,
    .count = sizeof COORDINATE_FIELDS / sizeof COORDINATE_FIELDS[0],
};

static void coordinate_updated(struct request *r, const struct proposal *p)
{
    if (p->status == OK) {
        reply_shared(r, 200, NULL, NULL);
    } else {
        reply_err(r, p->status);
    }
}

static void coordinate_propose(struct request *r, const struct coordinate_row *row)
{
    struct command c = {.type = COMMAND_COORDINATES};
    struct buf encoded;
    struct buf rows;
    buf_init(&encoded, COMMAND_MAX);
    buf_init(&rows, COMMAND_MAX);
    enum err e = row_coordinate_encode(&encoded, row);
    e = e == OK ? texts_add(&rows, buf_view(&encoded)) : e;
    if (e == OK) {
        c.rows.rows = buf_view(&rows);
        api_propose_then(r, &c, coordinate_updated);
    } else {
        reply_err(r, e);
    }
    buf_close(&encoded);
    buf_close(&rows);
}

void api_coordinate_update(struct request *r)
{
    struct read_options options;
    struct coordinate_body b = {0};
    struct reason why = {0};
    json_t *json = NULL;
    if (!api_read_options(r, &options)) {
        return;
    }
    enum err e = decode_json(r->body, &json, &why);
    e = e == OK ? decode_value(r->arena, json, &COORDINATE_BODY, &b, &why) : e;
    json_decref(json);
    if (e != OK) {
        reply_text(r, 400, "Request decode failed: %s", why.text);
    } else if (b.node.len == 0 || b.coordinate.len == 0) {
        reply_text(r, 400, "Must provide a node and its coordinate");
    } else if (api_may(r, ACL_NODE, b.node, ACL_WRITE)) {
        coordinate_propose(r, &(struct coordinate_row){.node = b.node,
                                                       .segment = b.segment,
                                                       .coordinate = b.coordinate});
    }
}
