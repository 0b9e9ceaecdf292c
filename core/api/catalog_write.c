#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/registration.h"
#include "store/fleet.h"

/* --- what is the same for both ---------------------------------------------------------------- */

/* The request's body as JSON; NULL: it is none, and that has been answered. */
static json_t *body_json(struct request *r)
{
    struct reason why = {{0}};
    json_t *json = NULL;
    if (decode_json(r->body, &json, &why) != OK) {
        reply_text(r, 400, "Request decode failed: %s", why.text);
        return NULL;
    }
    return json;
}

static bool known_datacenter(struct request *r, struct bytes dc)
{
    if (dc.len == 0 || bytes_equal_nocase(dc, bytes_of(api_of(r)->config->datacenter))) {
        return true;
    }
    reply_text(r, 500, "No path to datacenter");
    return false;
}

/* `true`, or what was wrong with it in the state at hand. */
static void write_done(struct request *r, const struct proposal *p)
{
    if (p->status == OK) {
        reply_bytes(r, 200, "application/json", BYTES("true"));
    } else if (p->detail.len > 0) {
        reply_text(r, 500, "%.*s", BYTES_FORMAT(p->detail));
    } else {
        reply_err(r, p->status);
    }
}

/* --- who may ---------------------------------------------------------------------------------- */

static bool judged(struct request *r, bool may)
{
    if (!may) {
        reply_text(r, 403, "Permission denied");
    }
    r->judged = may;
    return may;
}

/* What is deregistered, or the node with all that it has. What is not there is the node's. */
static bool deregister_may(struct request *r, const struct deregistration *d)
{
    bool node = rights_may(ACL_NODE, d->node, ACL_WRITE);
    struct view_pin pin = {0};
    struct service_row service;
    struct check_row check;
    struct view *v = store_reader_view(api_of(r)->reader);
    bool may = node;
    if (d->service_id.len > 0) {
        may = view_service(v, d->node, d->service_id, &pin, &service) == OK
                  ? node || rights_may(ACL_SERVICE, service.name, ACL_WRITE)
                  : node;
    } else if (d->check_id.len > 0 && view_check(v, d->node, d->check_id, &pin, &check) == OK) {
        may = node || (check.service_name.len > 0 &&
                       rights_may(ACL_SERVICE, check.service_name, ACL_WRITE));
    }
    view_pin_close(&pin);
    return judged(r, may);
}

/* --- registering ------------------------------------------------------------------------------ */

/* Completes what was left out; false: it cannot be, and that has been answered. */
static bool register_complete(struct request *r, struct registration *g)
{
    const struct node_row *node = &g->node.row;
    if (!known_datacenter(r, g->node.datacenter)) {
        return false;
    }
    if (node->name.len == 0) {
        reply_text(r, 500, "Must provide node");
        return false;
    }
    if (node->address.len == 0 && !g->skip_node_update) {
        reply_text(r, 500, "Must provide address if SkipNodeUpdate is not set");
        return false;
    }
    if (node->id.len > 0 && !uuid_valid(node->id)) {
        reply_text(r, 500, "Bad node ID: uuid string is wrong length");
        return false;
    }
    if (g->has_service && g->service.id.len > 0 && g->service.name.len == 0) {
        reply_text(r, 500, "Must provide service name with ID");
        return false;
    }
    if (g->has_service && g->service.name.len == 0) {
        reply_text(r, 500, "Must provide service name");
        return false;
    }
    registration_service_defaults(&g->service);
    g->service.node = node->name;
    for (size_t i = 0; i < g->check_count; i++) {
        struct check_row *check = &g->checks[i];
        if (check->node.len > 0 && !bytes_equal_nocase(check->node, node->name)) {
            reply_text(r, 500, "check node \"%.*s\" does not match node \"%.*s\"",
                       BYTES_FORMAT(check->node), BYTES_FORMAT(node->name));
            return false;
        }
        check->node = node->name;
        registration_check_defaults(check);
        if (check->id.len == 0) {
            reply_text(r, 500, "Must provide a check's CheckID or Name");
            return false;
        }
        /* Whose part a check is, apply knows; who writes it may not say when. */
        check->create_index = 0;
        check->modify_index = 0;
    }
    return true;
}

/* The rows as the command wants them, in the buffers. */
struct register_rows {
    struct buf node;
    struct buf service;
    struct buf checks;
    struct buf row;
};

static void register_rows_close(struct register_rows *rows)
{
    buf_close(&rows->node);
    buf_close(&rows->service);
    buf_close(&rows->checks);
    buf_close(&rows->row);
}

static enum err register_encode(struct register_rows *rows, const struct registration *g)
{
    struct node_row node = g->node.row;
    struct service_row service = g->service;
    node.create_index = node.modify_index = 0;
    service.create_index = service.modify_index = 0;
    enum err e = row_node_encode(&rows->node, &node);
    if (e == OK && g->has_service) {
        e = row_service_encode(&rows->service, &service);
    }
    for (size_t i = 0; i < g->check_count && e == OK; i++) {
        buf_clear(&rows->row);
        e = row_check_encode(&rows->row, &g->checks[i]);
        e = e == OK ? texts_add(&rows->checks, buf_view(&rows->row)) : e;
    }
    return e;
}

static void register_propose(struct request *r, const struct registration *g)
{
    struct register_rows rows;
    buf_init(&rows.node, COMMAND_MAX);
    buf_init(&rows.service, COMMAND_MAX);
    buf_init(&rows.checks, COMMAND_MAX);
    buf_init(&rows.row, COMMAND_MAX);
    enum err e = register_encode(&rows, g);
    if (e == ERR_INVALID) {
        reply_text(r, 400, "Names of nodes, services and checks hold no NUL");
    } else if (e != OK) {
        reply_err(r, e);
    } else {
        struct command c = {
            .type = COMMAND_REGISTER,
            .registration =
                {
                    .node = buf_view(&rows.node),
                    .service = buf_view(&rows.service),
                    .checks = buf_view(&rows.checks),
                    .skip_node = g->skip_node_update,
                },
        };
        api_propose_then(r, &c, write_done);
    }
    register_rows_close(&rows);
}

/* Who registers a service may write the service, and the one that has this id now; all else is the
 * node's. */
static bool register_may(struct request *r, const struct registration *g)
{
    struct view *v = store_reader_view(api_of(r)->reader);
    struct bytes node = g->node.row.name;
    bool may = true;
    if (!g->has_service || !g->skip_node_update) {
        may = rights_may(ACL_NODE, node, ACL_WRITE) && rights_node_id(v, g->node.row.id, ACL_WRITE);
    }
    if (g->has_service) {
        may = may && rights_may(ACL_SERVICE, g->service.name, ACL_WRITE) &&
              rights_service_id(v, node, g->service.id, ACL_WRITE);
    }
    for (size_t i = 0; may && i < g->check_count; i++) {
        const struct check_row *check = &g->checks[i];
        bool its = g->has_service && bytes_equal_nocase(check->service_id, g->service.id);
        may = check->service_id.len == 0
                  ? rights_may(ACL_NODE, node, ACL_WRITE)
                  : its || rights_service_id(v, node, check->service_id, ACL_WRITE);
        may = may && rights_check_id(v, node, check->id, ACL_WRITE);
    }
    return judged(r, may);
}

void api_catalog_register(struct request *r)
{
    struct read_options options;
    struct registration g;
    struct reason why = {{0}};
    struct arena arena;
    json_t *json = api_read_options(r, &options) ? body_json(r) : NULL;
    if (json == NULL) {
        return;
    }
    arena_init(&arena, REGISTRATION_ARENA_MAX);
    if (registration_decode(&arena, json, &g, &why) != OK) {
        reply_text(r, 400, "Request decode failed: %s", why.text);
    } else if (register_complete(r, &g) && register_may(r, &g)) {
        register_propose(r, &g);
    }
    arena_close(&arena);
    json_decref(json);
}

/* --- deregistering ---------------------------------------------------------------------------- */

void api_catalog_deregister(struct request *r)
{
    struct read_options options;
    struct deregistration d;
    struct reason why = {{0}};
    struct arena arena;
    json_t *json = api_read_options(r, &options) ? body_json(r) : NULL;
    if (json == NULL) {
        return;
    }
    arena_init(&arena, REGISTRATION_ARENA_MAX);
    if (deregistration_decode(&arena, json, &d, &why) != OK) {
        reply_text(r, 400, "Request decode failed: %s", why.text);
    } else if (d.node.len == 0) {
        reply_text(r, 500, "Must provide node");
    } else if (known_datacenter(r, d.datacenter) && deregister_may(r, &d)) {
        struct command c = {
            .type = COMMAND_DEREGISTER,
            .deregistration = {.node = d.node, .service_id = d.service_id, .check_id = d.check_id},
        };
        api_propose_then(r, &c, write_done);
    }
    arena_close(&arena);
    json_decref(json);
}
