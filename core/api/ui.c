#include "core/api/fleet_read.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "store/row_json.h"

#include <stdlib.h>

/* --- nodes ----------------------------------------------------------------------------------- */

/* What a node has: as JSON, and encoded where a filter may ask for it. */
struct dump {
    struct buf services;
    struct buf checks;
    struct buf service_rows; /* texts */
    struct buf check_rows;
    struct buf row;
};

static void dump_init(struct dump *d)
{
    struct buf *const all[] = {&d->services, &d->checks, &d->service_rows, &d->check_rows, &d->row};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        buf_init(all[i], FLEET_ANSWER_MAX);
    }
}

static void dump_clear(struct dump *d)
{
    buf_clear(&d->services);
    buf_clear(&d->checks);
    buf_clear(&d->service_rows);
    buf_clear(&d->check_rows);
}

static void dump_close(struct dump *d)
{
    buf_close(&d->services);
    buf_close(&d->checks);
    buf_close(&d->service_rows);
    buf_close(&d->check_rows);
    buf_close(&d->row);
}

static enum err dump_service(struct dump *d, const struct service_row *row, bool encoded)
{
    enum err e = d->services.len > 0 ? buf_append_char(&d->services, ',') : OK;
    e = e == OK ? row_json_service(&d->services, row) : e;
    if (e == OK && encoded) {
        buf_clear(&d->row);
        e = row_service_encode(&d->row, row);
        e = e == OK ? texts_add(&d->service_rows, buf_view(&d->row)) : e;
    }
    return e;
}

static enum err dump_check(struct dump *d, const struct check_row *row, bool encoded)
{
    enum err e = d->checks.len > 0 ? buf_append_char(&d->checks, ',') : OK;
    e = e == OK ? row_json_check(&d->checks, row) : e;
    if (e == OK && encoded) {
        buf_clear(&d->row);
        e = row_check_encode(&d->row, row);
        e = e == OK ? texts_add(&d->check_rows, buf_view(&d->row)) : e;
    }
    return e;
}

static enum err dump_read(struct fleet_answer *a, struct dump *d, struct bytes node)
{
    bool encoded = a->filter != NULL;
    struct fleet_scan *scan = fleet_services(a->view, node);
    enum err e = OK;
    dump_clear(d);
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? dump_service(d, &row, encoded) : e;
    }
    fleet_scan_close(scan);
    scan = fleet_checks(a->view, node);
    e = e == ERR_NOT_FOUND ? OK : e;
    while (e == OK) {
        struct check_row row;
        e = fleet_read_check(scan, &row);
        e = e == OK ? dump_check(d, &row, encoded) : e;
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err dump_member(struct fleet_answer *a, struct bytes name, struct bytes text)
{
    enum err e = fleet_answer_put(a, name);
    return e == OK ? json_quote(&a->text, text) : e;
}

static enum err dump_pairs(struct fleet_answer *a, struct bytes name, struct bytes pairs)
{
    enum err e = fleet_answer_put(a, name);
    if (e == OK && pairs.len == 0) {
        return fleet_answer_put(a, BYTES("null"));
    }
    return e == OK ? row_json_pairs(&a->text, pairs) : e;
}

static enum err dump_show(struct fleet_answer *a, const struct dump *d, const struct node_row *node)
{
    enum err e = dump_member(a, BYTES("{\"ID\":"), node->id);
    e = e == OK ? dump_member(a, BYTES(",\"Node\":"), node->name) : e;
    e = e == OK ? dump_member(a, BYTES(",\"Address\":"), node->address) : e;
    e = e == OK ? dump_pairs(a, BYTES(",\"TaggedAddresses\":"), node->tagged) : e;
    e = e == OK ? dump_pairs(a, BYTES(",\"Meta\":"), node->meta) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(",\"Services\":[")) : e;
    e = e == OK ? fleet_answer_put(a, buf_view(&d->services)) : e;
    e = e == OK ? fleet_answer_put(a, BYTES("],\"Checks\":[")) : e;
    e = e == OK ? fleet_answer_put(a, buf_view(&d->checks)) : e;
    return e == OK ? fleet_answer_put(a, BYTES("]}")) : e;
}

static enum err nodes_row(struct fleet_answer *a, struct dump *d, const struct node_row *node)
{
    a->node = *node;
    enum err e = fleet_answer_meta(a) ? dump_read(a, d, node->name) : ERR_NOT_FOUND;
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    const struct bexpr_row record = {
        .node = node,
        .services = buf_view(&d->service_rows),
        .checks = buf_view(&d->check_rows),
    };
    if (!fleet_answer_matches(a, &record)) {
        return OK;
    }
    e = fleet_answer_begin(a);
    e = e == OK ? dump_show(a, d, node) : e;
    return e == OK ? fleet_answer_end(a, node->name) : e;
}

static enum err nodes_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_nodes(a->view);
    struct dump d;
    dump_init(&d);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct node_row row;
        e = fleet_read_node(scan, &row);
        e = e == OK ? nodes_row(a, &d, &row) : e;
    }
    fleet_scan_close(scan);
    dump_close(&d);
    return e == ERR_NOT_FOUND ? fleet_answer_put(a, BYTES("]")) : e;
}

/* Services and checks of all nodes: whatever happens to a check happens to it. */
static const struct fleet_form NODES = {
    .index = FLEET_INDEX_CHECKS,
    .also = {FLEET_INDEX_NODES, FLEET_INDEX_SERVICES},
    .schema = &BEXPR_NODE_DUMP,
    .rows = nodes_rows,
};

void api_ui_nodes(struct request *r)
{
    fleet_ask(r, &NODES);
}

static enum err node_rows(struct fleet_answer *a)
{
    struct dump d;
    enum err e = fleet_answer_node(a, a->q.name);
    if (e != OK) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    dump_init(&d);
    e = dump_read(a, &d, a->q.name);
    e = e == OK ? dump_show(a, &d, &a->node) : e;
    dump_close(&d);
    return e;
}

static int node_status(const struct fleet_answer *a)
{
    return a->text.len > 0 ? 200 : 404;
}

static const struct fleet_form NODE = {
    .index = FLEET_INDEX_NODE,
    .missing = "Missing node name",
    .rows = node_rows,
    .status = node_status,
};

void api_ui_node(struct request *r)
{
    fleet_ask(r, &NODE);
}

/* --- services -------------------------------------------------------------------------------- */

/* What is summed up of the instances of one service, which come one behind the other. */
struct summary {
    struct buf name;
    struct buf kind;
    struct buf tags;    /* texts */
    struct buf nodes;   /* texts, in order */
    struct buf sources; /* texts: external-source of their meta */
    struct buf last;    /* the node whose own checks were counted last */
    size_t instances;
    size_t checks[CHECK_CRITICAL + 1];
};

static void summary_each(struct summary *s, void (*each)(struct buf *b))
{
    each(&s->name);
    each(&s->kind);
    each(&s->tags);
    each(&s->nodes);
    each(&s->sources);
    each(&s->last);
}

static void summary_buf(struct buf *b)
{
    buf_init(b, FLEET_ANSWER_MAX);
}

static int text_compare(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Tags in the order of the alphabet; null where there are none. */
static enum err summary_texts(struct fleet_answer *a, struct bytes name, struct bytes texts)
{
    size_t count = texts_count(texts);
    enum err e = fleet_answer_put(a, name);
    if (e == OK && count == 0) {
        return fleet_answer_put(a, BYTES("null"));
    }
    struct bytes *sorted = calloc(count + 1, sizeof *sorted);
    for (size_t i = 0; sorted != NULL && texts_next(&texts, &sorted[i]); i++) {
    }
    if (sorted == NULL) {
        return ERR_TOO_BIG;
    }
    qsort(sorted, count, sizeof *sorted, text_compare);
    for (size_t i = 0; i < count && e == OK; i++) {
        e = fleet_answer_put(a, i > 0 ? BYTES(",") : BYTES("["));
        e = e == OK ? json_quote(&a->text, sorted[i]) : e;
    }
    free(sorted);
    return e == OK ? fleet_answer_put(a, BYTES("]")) : e;
}

static enum err summary_show(struct fleet_answer *a, struct summary *s)
{
    enum err e = fleet_answer_begin(a);
    e = e == OK ? fleet_answer_put(a, BYTES("{")) : e;
    if (e == OK && s->kind.len > 0) {
        e = dump_member(a, BYTES("\"Kind\":"), buf_view(&s->kind));
        e = e == OK ? fleet_answer_put(a, BYTES(",")) : e;
    }
    e = e == OK ? dump_member(a, BYTES("\"Name\":"), buf_view(&s->name)) : e;
    e = e == OK ? summary_texts(a, BYTES(",\"Tags\":"), buf_view(&s->tags)) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(",\"Nodes\":")) : e;
    e = e == OK ? row_json_texts(&a->text, buf_view(&s->nodes)) : e;
    e = e == OK ? buf_printf(&a->text,
                             ",\"InstanceCount\":%zu,\"ChecksPassing\":%zu,\"ChecksWarning\":%zu,"
                             "\"ChecksCritical\":%zu",
                             s->instances, s->checks[CHECK_PASSING], s->checks[CHECK_WARNING],
                             s->checks[CHECK_CRITICAL])
                : e;
    e = e == OK ? summary_texts(a, BYTES(",\"ExternalSources\":"), buf_view(&s->sources)) : e;
    e = e == OK ? fleet_answer_put(a, BYTES(",\"GatewayConfig\":{}}")) : e;
    return e == OK ? fleet_answer_end(a, (struct bytes){0}) : e;
}

/* Shows what there is, and begins anew. */
static enum err summary_flush(struct fleet_answer *a, struct summary *s)
{
    enum err e = s->instances > 0 ? summary_show(a, s) : OK;
    summary_each(s, buf_clear);
    s->instances = 0;
    for (size_t i = 0; i <= CHECK_CRITICAL; i++) {
        s->checks[i] = 0;
    }
    return e;
}

static enum err
summary_checks(struct fleet_answer *a, struct summary *s, struct bytes node, struct bytes service)
{
    struct fleet_scan *scan = fleet_service_checks(a->view, node, service);
    enum err e = OK;
    while (e == OK) {
        struct check_row row;
        e = fleet_read_check(scan, &row);
        if (e == OK) {
            s->checks[row.status]++;
        }
    }
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err summary_add(struct buf *texts, struct bytes text)
{
    return texts_have(buf_view(texts), text) ? OK : texts_add(texts, text);
}

static enum err
summary_instance(struct fleet_answer *a, struct summary *s, const struct service_row *row)
{
    struct bytes tags = row->tags;
    struct bytes text;
    enum err e = OK;
    s->instances++;
    if (s->kind.len == 0) {
        e = buf_append(&s->kind, row->kind);
    }
    while (e == OK && texts_next(&tags, &text)) {
        e = summary_add(&s->tags, text);
    }
    if (e == OK && pairs_get(row->meta, BYTES("external-source"), &text)) {
        e = summary_add(&s->sources, text);
    }
    if (e == OK && !bytes_equal_nocase(buf_view(&s->last), row->node)) {
        buf_clear(&s->last);
        e = buf_append(&s->last, row->node);
        e = e == OK ? texts_add(&s->nodes, row->node) : e;
        e = e == OK ? summary_checks(a, s, row->node, (struct bytes){0}) : e;
    }
    return e == OK ? summary_checks(a, s, row->node, row->id) : e;
}

static enum err
services_row(struct fleet_answer *a, struct summary *s, const struct service_row *row)
{
    enum err e = fleet_answer_node(a, row->node);
    const struct bexpr_row record = {
        .node = &a->node, .service = row, .datacenter = a->q.datacenter};
    if (e != OK || !fleet_answer_meta(a) || !fleet_answer_matches(a, &record)) {
        return e == ERR_NOT_FOUND ? OK : e;
    }
    if (!bytes_equal_nocase(buf_view(&s->name), row->name)) {
        e = summary_flush(a, s);
        e = e == OK ? buf_append(&s->name, row->name) : e;
    }
    return e == OK ? summary_instance(a, s, row) : e;
}

static enum err services_rows(struct fleet_answer *a)
{
    struct fleet_scan *scan = fleet_instances(a->view, (struct bytes){0});
    struct summary s = {0};
    summary_each(&s, summary_buf);
    enum err e = fleet_answer_put(a, BYTES("["));
    while (e == OK) {
        struct service_row row;
        e = fleet_read_service(scan, &row);
        e = e == OK ? services_row(a, &s, &row) : e;
    }
    e = e == ERR_NOT_FOUND ? summary_flush(a, &s) : e;
    fleet_scan_close(scan);
    summary_each(&s, buf_close);
    return e == OK ? fleet_answer_put(a, BYTES("]")) : e;
}

static const struct fleet_form SERVICES = {
    .index = FLEET_INDEX_CHECKS,
    .also = {FLEET_INDEX_NODES, FLEET_INDEX_SERVICES},
    .schema = &BEXPR_CATALOG,
    .rows = services_rows,
};

void api_ui_services(struct request *r)
{
    fleet_ask(r, &SERVICES);
}
