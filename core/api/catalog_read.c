#include "core/api/fleet_read.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "store/row_json.h"

/* --- nodes ----------------------------------------------------------------------------------- */

static enum err nodes_row(struct fleet_answer *a, const struct node_row *row)
{
    const struct bexpr_row record = {.node = row, .datacenter = a->q.datacenter};
    a->node = *row;
    if (!fleet_answer_meta(a) || !fleet_answer_matches(a, &record)) {
        return OK;
    }
    enum err e = fleet_answer_begin(a);
    e = e == OK ? row_json_node(&a->text, row, a->q.datacenter) : e;
    return e == OK ? fleet_answer_end(a, row->name) : e;
}

static enum err nodes_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_nodes(a->view);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct node_row row;
        e = fleet_read_node(scan, &row);
        e = e == OK ? nodes_row(a, &row) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form NODES = {
    .index = FLEET_INDEX_NODES,
    .schema = &BEXPR_NODE,
    .catalog = true,
    .rows = nodes_rows,
};

void api_catalog_nodes(struct request *r)
{
    fleet_ask(r, &NODES);
}

/* --- services -------------------------------------------------------------------------------- */

/* The tags of the instances of one service, which come one behind the other. */
struct service_tags {
    struct buf name;
    struct buf tags; /* texts */
};

static enum err service_tags_flush(struct fleet_answer *a, struct service_tags *s)
{
    if (s->name.len == 0) {
        return OK;
    }
    enum err e = a->rows++ > 0 ? fleet_answer_put(a, BYTES(",")) : OK;
    e = e == OK ? json_quote(&a->text, buf_view(&s->name)) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(":")) : e;
    e = e == OK ? row_json_texts(&a->text, buf_view(&s->tags)) : e;
    buf_clear(&s->name);
    buf_clear(&s->tags);
    return e;
}

static bool services_wants(struct fleet_answer *a, const struct service_row *row)
{
    if (a->q.meta.len == 0 && a->filter == NULL) {
        return true;
    }
    if (fleet_answer_node(a, row->node) != OK || !fleet_answer_meta(a)) {
        return false;
    }
    const struct bexpr_row record = {
        .node = &a->node, .service = row, .datacenter = a->q.datacenter};
    return fleet_answer_matches(a, &record);
}

static enum err
services_row(struct fleet_answer *a, struct service_tags *s, const struct service_row *row)
{
    enum err e = OK;
    struct bytes tags = row->tags;
    struct bytes tag;
    if (!services_wants(a, row)) {
        return OK;
    }
    if (!bytes_equal_nocase(buf_view(&s->name), row->name)) {
        e = service_tags_flush(a, s);
        e = e == OK ? buf_append(&s->name, row->name) : e;
    }
    while (e == OK && texts_next(&tags, &tag)) {
        if (!texts_have(buf_view(&s->tags), tag)) {
            e = texts_add(&s->tags, tag);
        }
    }
    return e;
}

static enum err services_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_instances(a->view, (struct bytes){0});
    struct service_tags s;
    buf_init(&s.name, ROW_NAME_MAX);
    buf_init(&s.tags, FLEET_ANSWER_MAX);
    enum err e = fleet_answer_put(a, BYTES("{"));
    while (e == OK) {
        struct service_row row;
        e = fleet_read_name(scan, &row);
        e = e == OK ? services_row(a, &s, &row) : e;
    }
    e = e == ERR_NOT_FOUND ? service_tags_flush(a, &s) : e;
    e = e == OK ? fleet_answer_put(a, BYTES("}")) : e;
    fleet_scan_close(scan);
    buf_close(&s.name);
    buf_close(&s.tags);
    return e;
}

static const struct fleet_form SERVICES = {
    .index = FLEET_INDEX_SERVICES,
    .schema = &BEXPR_CATALOG,
    .catalog = true,
    .cacheable = true,
    .rows = services_rows,
};

void api_catalog_services(struct request *r)
{
    fleet_ask(r, &SERVICES);
}

/* --- the instances of a service --------------------------------------------------------------- */

static enum err service_row_json(struct fleet_answer *a, const struct service_row *row)
{
    enum err e = fleet_answer_node(a, row->node);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e; /* without its node there is nothing to say of it */
    }
    const struct bexpr_row record = {
        .node = &a->node, .service = row, .datacenter = a->q.datacenter};
    if (!fleet_answer_tags(a, row->tags) || !fleet_answer_meta(a) ||
        !fleet_answer_matches(a, &record)) {
        return OK;
    }
    e = fleet_answer_begin(a);
    e = e == OK ? row_json_catalog(&a->text, &a->node, row, a->q.datacenter) : e;
    return e == OK ? fleet_answer_end(a, row->node) : e;
}

static enum err service_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_instances(a->view, a->q.name);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? service_row_json(a, &row) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form SERVICE = {
    .index = FLEET_INDEX_SERVICE,
    .missing = "Missing service name",
    .schema = &BEXPR_CATALOG,
    .catalog = true,
    .cacheable = true,
    .rows = service_rows,
};

void api_catalog_service(struct request *r)
{
    fleet_ask(r, &SERVICE);
}

void api_catalog_connect(struct request *r)
{
    fleet_ask_mesh(r);
}

/* --- one node -------------------------------------------------------------------------------- */

static enum err node_service(struct fleet_answer *a, const struct service_row *row, bool list)
{
    const struct bexpr_row record = {.service = row};
    if (!fleet_answer_matches(a, &record)) {
        return OK;
    }
    enum err e = a->rows++ > 0 ? fleet_answer_put(a, BYTES(",")) : OK;
    if (e == OK && !list) {
        e = json_quote(&a->text, row->id);
        e = e == OK ? fleet_answer_put(a, BYTES(":")) : e;
    }
    return e == OK ? row_json_service(&a->text, row) : e;
}

/* The node and what it has: a list, or an object by id. */
static enum err node_rows_as(struct fleet_answer *a, bool list)
{
    enum err e = fleet_answer_node(a, a->q.name);
    if (e == ERR_NOT_FOUND) {
        return fleet_answer_put(a,
                                list ? BYTES("{\"Node\":null,\"Services\":null}") : BYTES("null"));
    }
    e = e == OK ? fleet_answer_put(a, BYTES("{\"Node\":")) : e;
    e = e == OK ? row_json_node(&a->text, &a->node, a->q.datacenter) : e;
    e = e == OK ? fleet_answer_put(a, list ? BYTES(",\"Services\":[") : BYTES(",\"Services\":{"))
                : e;
    struct fleet_scan *scan = fleet_services(a->view, a->q.name);
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? node_service(a, &row, list) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, list ? BYTES("]}") : BYTES("}}")) : e;
}

static enum err node_rows(struct fleet_answer *a)
{
    return node_rows_as(a, false);
}

static enum err node_services_rows(struct fleet_answer *a)
{
    return node_rows_as(a, true);
}

static const struct fleet_form NODE = {
    .index = FLEET_INDEX_NODE,
    .missing = "Missing node name",
    .schema = &BEXPR_SERVICE,
    .catalog = true,
    .rows = node_rows,
};

static const struct fleet_form NODE_SERVICES = {
    .index = FLEET_INDEX_NODE,
    .missing = "Missing node name",
    .schema = &BEXPR_SERVICE,
    .catalog = true,
    .cacheable = true,
    .rows = node_services_rows,
};

void api_catalog_node(struct request *r)
{
    fleet_ask(r, &NODE);
}

void api_catalog_node_services(struct request *r)
{
    fleet_ask(r, &NODE_SERVICES);
}
