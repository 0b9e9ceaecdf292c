#include "core/api/fleet_read.h"
#include "core/base/limit.h"
#include "store/row_json.h"

/* --- instances with their checks -------------------------------------------------------------- */

/* Some of an instance's checks. */
struct part {
    struct buf json; /* as they are shown, commas between them */
    struct buf rows; /* texts, encoded: only where a filter may ask for them */
    bool passing;    /* all of them */
};

/* The checks of an instance. */
struct instance {
    struct buf node; /* whose checks `of_node` has; for all instances on it */
    struct part of_node;
    struct part own;
    struct buf rows; /* of both */
    struct buf row;
};

static void instance_init(struct instance *i)
{
    struct buf *const all[] = {&i->of_node.json, &i->of_node.rows, &i->own.json, &i->own.rows,
                               &i->rows,         &i->row,          &i->node};
    for (size_t at = 0; at < sizeof all / sizeof all[0]; at++) {
        buf_init(all[at], FLEET_ANSWER_MAX);
    }
}

static void instance_close(struct instance *i)
{
    struct buf *const all[] = {&i->of_node.json, &i->of_node.rows, &i->own.json, &i->own.rows,
                               &i->rows,         &i->row,          &i->node};
    for (size_t at = 0; at < sizeof all / sizeof all[0]; at++) {
        buf_close(all[at]);
    }
}

static void part_clear(struct part *p)
{
    buf_clear(&p->json);
    buf_clear(&p->rows);
    p->passing = true;
}

static enum err
part_add(struct fleet_answer *a, struct instance *i, struct part *p, const struct check_row *row)
{
    enum err e = p->json.len > 0 ? buf_append_char(&p->json, ',') : OK;
    e = e == OK ? row_json_check(&p->json, row) : e;
    p->passing = p->passing && row->status == CHECK_PASSING;
    if (e != OK || a->filter == NULL) {
        return e;
    }
    buf_clear(&i->row);
    e = row_check_encode(&i->row, row);
    return e == OK ? texts_add(&p->rows, buf_view(&i->row)) : e;
}

/* Those of one service of the node, or (empty) of the node itself. */
static enum err
part_scan(struct fleet_answer *a, struct instance *i, struct part *p, const struct bytes names[2])
{
    struct fleet_scan *scan = fleet_service_checks(a->view, names[0], names[1]);
    enum err e = OK;
    part_clear(p);
    while (e == OK) {
        struct check_row row;
        e = fleet_read_check(scan, &row);
        e = e == OK ? part_add(a, i, p, &row) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Both parts in one pass over all that the node has: nearly every node has few checks, and this is
 * half the work. ERR_LIMIT: this one has many. */
static enum err
instance_scan(struct fleet_answer *a, struct instance *i, const struct service_row *service)
{
    struct fleet_scan *scan = fleet_checks(a->view, service->node);
    enum err e = OK;
    part_clear(&i->of_node);
    part_clear(&i->own);
    for (size_t count = 0; e == OK; count++) {
        struct check_row row;
        e = count == NODE_CHECKS_FEW ? ERR_LIMIT : fleet_read_check(scan, &row);
        if (e == OK && row.service_id.len == 0) {
            e = part_add(a, i, &i->of_node, &row);
        } else if (e == OK && bytes_equal_nocase(row.service_id, service->id)) {
            e = part_add(a, i, &i->own, &row);
        }
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Reads the checks of `service`; the node's are kept from one instance to the next on it. */
static enum err
instance_checks(struct fleet_answer *a, struct instance *i, const struct service_row *service)
{
    const struct bytes own[2] = {service->node, service->id};
    const struct bytes of_node[2] = {service->node, {0}};
    enum err e = OK;
    if (i->node.len > 0 && bytes_equal_nocase(buf_view(&i->node), service->node)) {
        e = part_scan(a, i, &i->own, own);
    } else {
        e = instance_scan(a, i, service);
        if (e == ERR_LIMIT) {
            e = part_scan(a, i, &i->of_node, of_node);
            e = e == OK ? part_scan(a, i, &i->own, own) : e;
        }
        buf_clear(&i->node);
        e = e == OK ? buf_append(&i->node, service->node) : e;
    }
    if (e == OK && a->filter != NULL) {
        buf_clear(&i->rows);
        e = buf_append(&i->rows, buf_view(&i->of_node.rows));
        e = e == OK ? buf_append(&i->rows, buf_view(&i->own.rows)) : e;
    }
    return e;
}

static enum err
instance_show(struct fleet_answer *a, const struct instance *i, const struct service_row *service)
{
    enum err e = fleet_answer_begin(a);
    e = e == OK ? fleet_answer_put(a, BYTES("{\"Node\":")) : e;
    e = e == OK ? row_json_node(&a->text, &a->node, a->q.datacenter) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(",\"Service\":")) : e;
    e = e == OK ? row_json_service(&a->text, service) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(",\"Checks\":[")) : e;
    e = e == OK ? fleet_answer_put(a, buf_view(&i->of_node.json)) : e;
    if (e == OK && i->of_node.json.len > 0 && i->own.json.len > 0) {
        e = fleet_answer_put(a, BYTES(","));
    }
    e = e == OK ? fleet_answer_put(a, buf_view(&i->own.json)) : e;
    e = e == OK ? fleet_answer_put(a, BYTES("]}")) : e;
    return e == OK ? fleet_answer_end(a, service->node) : e;
}

static enum err
instance_row(struct fleet_answer *a, struct instance *i, const struct service_row *service)
{
    if (!fleet_answer_tags(a, service->tags)) {
        return OK;
    }
    enum err e = fleet_answer_node(a, service->node);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e; /* without its node there is nothing to say of it */
    }
    if (!fleet_answer_meta(a)) {
        return OK;
    }
    e = instance_checks(a, i, service);
    if (e != OK || (a->q.passing && !(i->of_node.passing && i->own.passing))) {
        return e;
    }
    const struct bexpr_row record = {
        .node = &a->node,
        .service = service,
        .checks = buf_view(&i->rows),
        .datacenter = a->q.datacenter,
    };
    return fleet_answer_matches(a, &record) ? instance_show(a, i, service) : OK;
}

static enum err service_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_instances(a->view, a->q.name);
    struct instance i = {0};
    instance_init(&i);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? instance_row(a, &i, &row) : e;
    }
    fleet_scan_close(scan);
    instance_close(&i);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form SERVICE = {
    .index = FLEET_INDEX_SERVICE,
    .missing = "Missing service name",
    .schema = &BEXPR_INSTANCE,
    .catalog = true,
    .cacheable = true,
    .passing = true,
    .rows = service_rows,
};

void api_health_service(struct request *r)
{
    fleet_ask(r, &SERVICE);
}

/* --- checks ---------------------------------------------------------------------------------- */

static enum err check_row_json(struct fleet_answer *a, const struct check_row *row)
{
    const struct bexpr_row record = {.check = row};
    if (!fleet_answer_matches(a, &record)) {
        return OK;
    }
    if (a->q.meta.len > 0 && (fleet_answer_node(a, row->node) != OK || !fleet_answer_meta(a))) {
        return OK;
    }
    enum err e = fleet_answer_begin(a);
    e = e == OK ? row_json_check(&a->text, row) : e;
    return e == OK ? fleet_answer_end(a, row->node) : e;
}

/* All that `scan` brings and that have `status` (0: any); it is closed. */
static enum err
checks_scan(struct fleet_answer *a, struct fleet_scan *scan, enum check_status status)
{
    enum err e = OK;
    while (e == OK) {
        struct check_row row;
        e = fleet_read_check(scan, &row);
        if (e == OK && (status == 0 || row.status == status)) {
            e = check_row_json(a, &row);
        }
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err node_rows(struct fleet_answer *a)
{
    enum err e = fleet_answer_put(a, BYTES("["));
    e = e == OK ? checks_scan(a, fleet_checks(a->view, a->q.name), 0) : e;
    return e == OK ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form NODE = {
    .index = FLEET_INDEX_NODE,
    .missing = "Missing node name",
    .schema = &BEXPR_CHECK,
    .catalog = true,
    .rows = node_rows,
};

void api_health_node(struct request *r)
{
    fleet_ask(r, &NODE);
}

static enum err checks_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_instances(a->view, a->q.name);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? checks_scan(a, fleet_service_checks(a->view, row.node, row.id), 0) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form CHECKS = {
    .index = FLEET_INDEX_SERVICE,
    .missing = "Missing service name",
    .schema = &BEXPR_CHECK,
    .catalog = true,
    .rows = checks_rows,
};

void api_health_checks(struct request *r)
{
    fleet_ask(r, &CHECKS);
}

static enum err state_rows(struct fleet_answer *a)
{
    enum check_status status = 0;
    bool any = bytes_equal(a->q.name, BYTES("any"));
    enum err e = fleet_answer_put(a, BYTES("["));
    /* A state that there is not is one that nothing is in. */
    if (e == OK && (any || check_status_parse(a->q.name, &status) == OK)) {
        e = checks_scan(a, fleet_checks(a->view, (struct bytes){0}), status);
    }
    return e == OK ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form STATE = {
    .index = FLEET_INDEX_CHECKS,
    .missing = "Missing check state",
    .schema = &BEXPR_CHECK,
    .catalog = true,
    .rows = state_rows,
};

void api_health_state(struct request *r)
{
    fleet_ask(r, &STATE);
}

/* --- the mesh, which there is not --------------------------------------------------------------
 */

void api_health_connect(struct request *r)
{
    fleet_ask_mesh(r);
}

void api_health_ingress(struct request *r)
{
    fleet_ask_mesh(r);
}
