#include "core/api/agent_local.h"

#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/config.h"
#include "core/flag.h"

#include <stdlib.h>

/* An order on its way. It outlives a client that goes away. */
struct local_asked {
    struct agent_order order;
    struct agent_order name; /* first: which service it is about, to judge by */
    struct request *request; /* NULL: nobody waits any more */
    struct api *api;
    local_answer_fn answer;
};

static void asked_cancelled(struct request *r)
{
    struct local_asked *k = r->ctx;
    k->request = NULL;
}

struct local_asked *
local_new(struct request *r, enum agent_verb verb, struct bytes id, struct bytes text)
{
    struct local_asked *k = mem_zalloc(1, sizeof *k);
    agent_order_init(&k->order, verb);
    agent_order_init(&k->name, AGENT_NOTHING);
    k->request = r;
    k->api = api_of(r);
    if (buf_append(&k->order.id, id) != OK) {
        reply_text(r, 400, "an id has at most %u bytes", ROW_NAME_MAX);
    } else if (buf_append(&k->order.text, text) != OK) {
        reply_err(r, ERR_TOO_BIG);
    } else {
        return k;
    }
    local_free(k);
    return NULL;
}

struct agent_order *local_order(struct local_asked *k)
{
    return &k->order;
}

void local_free(struct local_asked *k)
{
    agent_order_close(&k->order);
    agent_order_close(&k->name);
    free(k);
}

bool local_refused(struct request *r, const struct agent_order *o)
{
    if (o->status == 200) {
        return false;
    }
    reply_text(r, o->status, "%.*s", BYTES_FORMAT(buf_view(&o->answer)));
    return true;
}

static void local_on_done(struct agent_order *o)
{
    struct local_asked *k = o->ctx;
    struct request *r = k->request;
    const struct acl *before = NULL;
    if (r != NULL) {
        r->cancelled = NULL;
    }
    if (r != NULL && api_resume(r, &before)) {
        if (k->answer != NULL) {
            k->answer(r, o);
        } else if (!local_refused(r, o)) {
            reply_shared(r, 200, NULL, NULL);
        }
        rights_leave(before);
    }
    local_free(k);
}

static void local_go(struct local_asked *k)
{
    k->order.done = local_on_done;
    k->order.ctx = k;
    agent_order(k->api->agent, k->api->loop, &k->order);
}

/* Which service: of its id, or of a check's; empty: it is the node's. */
static void local_on_name(struct agent_order *o)
{
    struct local_asked *k = o->ctx;
    struct request *r = k->request;
    const struct acl *before = NULL;
    bool may = false;
    if (r != NULL && api_resume(r, &before)) {
        struct bytes name = buf_view(&o->answer);
        if (name.len > 0) {
            may = api_may(r, ACL_SERVICE, name,
                          k->order.verb == AGENT_HEALTH_ID ? ACL_READ : ACL_WRITE);
        } else {
            /* A new service was judged by the name it is to have. */
            may = k->order.verb == AGENT_SERVICE_REGISTER || k->order.verb == AGENT_HEALTH_ID ||
                  api_may(r, ACL_NODE, bytes_of(k->api->config->node_name), ACL_WRITE);
        }
        rights_leave(before);
    }
    if (may) {
        local_go(k);
    } else {
        local_free(k);
    }
}

void local_send(struct local_asked *k, local_answer_fn answer)
{
    struct request *r = k->request;
    bool check = k->order.verb == AGENT_CHECK_DEREGISTER || k->order.verb == AGENT_CHECK_UPDATE;
    /* A check's registration carries the id of its service; none: it is the node's. */
    bool service = k->order.verb == AGENT_SERVICE_DEREGISTER ||
                   k->order.verb == AGENT_SERVICE_MAINTENANCE ||
                   k->order.verb == AGENT_SERVICE_REGISTER ||
                   k->order.verb == AGENT_CHECK_REGISTER || k->order.verb == AGENT_HEALTH_ID;
    k->answer = answer;
    r->ctx = k;
    r->cancelled = asked_cancelled;
    if ((check || service) && rights_enabled()) {
        k->name.verb = check ? AGENT_NAME_OF_CHECK : AGENT_NAME_OF_SERVICE;
        k->name.done = local_on_name;
        k->name.ctx = k;
        buf_put(&k->name.id, buf_view(&k->order.id));
        agent_order(k->api->agent, k->api->loop, &k->name);
        return;
    }
    if (check || service) {
        /* Nobody is asked about anything. */
        (void)api_may(r, ACL_NODE, BYTES(""), ACL_WRITE);
    }
    local_go(k);
}

bool local_filter(struct request *r, const struct bexpr_schema *schema, struct bexpr **ret_filter)
{
    struct bytes text;
    struct reason why = {{0}};
    if (!request_arg(r, "filter", &text) || text.len == 0) {
        *ret_filter = NULL;
        return true;
    }
    if (bexpr_new(text, schema, ret_filter, &why) == OK) {
        return true;
    }
    reply_text(r, 500, "Failed to create boolean expression evaluator: %s", why.text);
    return false;
}

bool local_switch(struct request *r, const char *name, bool *ret_on)
{
    struct bytes value;
    if (!request_arg(r, name, &value) || value.len == 0) {
        reply_text(r, 400, "Missing value for %s", name);
        return false;
    }
    if (flag_bool(value, ret_on) != OK) {
        reply_text(r, 400, "Invalid value for %s: \"%.*s\"", name, BYTES_FORMAT(value));
        return false;
    }
    return true;
}
