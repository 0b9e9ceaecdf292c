/* What client agents ask and write of their own rows in the catalog (core/api/forward_sync.c). Only
 * for what an agent has forwarded, with the rights of the token it sends. */
#include "core/agent/sync_store.h"
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/pack.h"
#include "store/command.h"

static bool serve_is_agent(struct request *r)
{
    if (r->agent.len == 0) {
        reply_text(r, 403, "only agents ask for this");
        return false;
    }
    return true;
}

/* --- asking ------------------------------------------------------------------------------------
 */

struct served {
    struct sync_ask ask;
    struct request *request;
};

static void served_done(struct sync_ask *a, enum err e, const struct sync_rows *rows)
{
    struct served *s = LIST_OWNER(a, struct served, ask);
    struct request *r = s->request;
    struct buf node;
    struct buf out;
    buf_init(&node, COMMAND_MAX);
    buf_init(&out, RPC_ANSWER_HOLD_MAX);
    if (e == OK && rows->has_node) {
        e = row_node_encode(&node, &rows->node);
    }
    if (e == OK) {
        e = buf_reserve(&out, node.len + rows->services.len + rows->checks.len + 16);
    }
    if (e == OK) {
        pack_u8(&out, rows->has_node ? 1 : 0);
        pack_bytes(&out, buf_view(&node));
        pack_bytes(&out, rows->services);
        pack_bytes(&out, rows->checks);
        reply_bytes(r, 200, "application/octet-stream", buf_view(&out));
    } else {
        reply_err(r, e);
    }
    buf_close(&node);
    buf_close(&out);
}

static void serve_rows(struct request *r)
{
    struct api *api = api_of(r);
    struct sync_store store = {.store = api->store, .reader = api->reader, .loop = api->loop};
    struct served s = {.ask = {.done = served_done, .node = r->rest}, .request = r};
    if (rights_see(ACL_NODE, r->rest)) {
        sync_store_ask(&store, &s.ask); /* answers from inside */
    } else {
        reply_text(r, 403, "Permission denied");
    }
}

void api_sync_rows(struct request *r)
{
    struct read_options options = {.mode = READ_DEFAULT};
    if (serve_is_agent(r)) {
        api_read_ready(r, &options, serve_rows);
    }
}

/* --- writing -----------------------------------------------------------------------------------
 */

static bool service_may(struct view *v, struct bytes node, const struct service_row *row)
{
    return rights_may(ACL_SERVICE, row->name, ACL_WRITE) &&
           rights_service_id(v, node, row->id, ACL_WRITE);
}

static bool checks_may(struct view *v, struct bytes node, struct bytes checks)
{
    struct bytes one;
    struct check_row row;
    while (texts_next(&checks, &one)) {
        bool may = row_check_decode(one, &row) == OK &&
                   (row.service_name.len > 0 ? rights_may(ACL_SERVICE, row.service_name, ACL_WRITE)
                                             : rights_may(ACL_NODE, node, ACL_WRITE)) &&
                   rights_check_id(v, node, row.id, ACL_WRITE);
        if (!may) {
            return false;
        }
    }
    return true;
}

/* All that it writes is this agent's own, and may be written. */
static bool register_may(struct request *r, const struct command_register *g)
{
    struct view *v = store_reader_view(api_of(r)->reader);
    struct node_row node;
    struct service_row service;
    if (row_node_decode(g->node, &node) != OK || !bytes_equal_nocase(node.name, r->agent) ||
        !texts_valid(g->checks)) {
        return false;
    }
    if (!g->skip_node && !rights_may(ACL_NODE, node.name, ACL_WRITE)) {
        return false;
    }
    if (g->service.len > 0 &&
        (row_service_decode(g->service, &service) != OK || !service_may(v, node.name, &service))) {
        return false;
    }
    return checks_may(v, node.name, g->checks);
}

static bool deregister_may(struct request *r, const struct command_deregister *d)
{
    struct view *v = store_reader_view(api_of(r)->reader);
    if (!bytes_equal_nocase(d->node, r->agent) ||
        (d->service_id.len == 0) == (d->check_id.len == 0)) {
        return false; /* its node goes with the leader's care, not at its own word */
    }
    return rights_may(ACL_NODE, d->node, ACL_WRITE) ||
           (d->service_id.len > 0 ? rights_service_id(v, d->node, d->service_id, ACL_WRITE)
                                  : rights_check_id(v, d->node, d->check_id, ACL_WRITE));
}

static bool command_may(struct request *r, const struct command *c)
{
    bool may = false;
    if (c->type == COMMAND_REGISTER) {
        may = register_may(r, &c->registration);
    } else if (c->type == COMMAND_DEREGISTER) {
        may = deregister_may(r, &c->deregistration);
    }
    r->judged = may;
    return may;
}

static void serve_written(struct request *r, const struct proposal *p)
{
    if (p->status == OK) {
        reply_bytes(r, 200, NULL, (struct bytes){0});
    } else {
        reply_text(r, 409, "%.*s", BYTES_FORMAT(p->detail));
    }
}

void api_sync_command(struct request *r)
{
    struct command c;
    if (!serve_is_agent(r)) {
        return;
    }
    if (command_decode(r->body, &c) != OK) {
        reply_text(r, 400, "not a command");
    } else if (!command_may(r, &c)) {
        reply_text(r, 403, "Permission denied");
    } else {
        c.proposer = 0;
        c.number = 0;
        api_propose_then(r, &c, serve_written);
    }
}
