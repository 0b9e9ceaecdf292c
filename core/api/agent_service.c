/* /v1/agent/service*, /v1/agent/health/service/, /v1/agent/maintenance: the agent's own services.
 */
#include "core/api/agent_local.h"

#include "core/agent/local_json.h"
#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/flag.h"

#include <stdlib.h>
#include <strings.h>

/* --- all of them --------------------------------------------------------------------------------
 */

static enum err
services_json(struct request *r, struct bytes rows, const struct bexpr *filter, struct buf *out)
{
    struct bytes text;
    struct service_row row;
    bool more = false;
    enum err e = buf_append_char(out, '{');
    while (e == OK && texts_next(&rows, &text)) {
        e = row_service_decode(text, &row);
        const struct bexpr_row record = {.service = &row};
        if (e != OK || !rights_see(ACL_SERVICE, row.name) || !bexpr_matches(filter, &record)) {
            continue;
        }
        e = more ? buf_append_char(out, ',') : OK;
        e = e == OK ? json_quote(out, row.id) : e;
        e = e == OK ? buf_append_char(out, ':') : e;
        e = e == OK ? local_json_service(out, &row, bytes_of(api_of(r)->config->datacenter)) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

static void services_answer(struct request *r, struct agent_order *o)
{
    struct buf out;
    struct bexpr *filter = NULL;
    if (local_refused(r, o) || !local_filter(r, &BEXPR_SERVICE, &filter)) {
        return;
    }
    buf_init(&out, AGENT_ANSWER_MAX);
    enum err e = services_json(r, buf_view(&o->answer), filter, &out);
    bexpr_free(filter);
    if (e == OK) {
        api_reply_json(r, buf_view(&out));
    } else {
        reply_err(r, e);
    }
    buf_close(&out);
}

void api_agent_services(struct request *r)
{
    struct local_asked *k = local_new(r, AGENT_SERVICES, BYTES(""), BYTES(""));
    if (k != NULL) {
        local_send(k, services_answer);
    }
}

/* --- one, when it changes -----------------------------------------------------------------------
 *
 * `?hash=` waits until the answer has another hash. The agent is asked again in steps, so that
 * nothing is left with it for long when the client goes away. */

struct service_wait {
    struct agent_order order;
    struct request *request; /* NULL: nobody waits any more */
    struct api *api;
    uint64_t until_ms;
};

static void service_cancelled(struct request *r)
{
    struct service_wait *w = r->ctx;
    w->request = NULL;
}

static void service_free(struct service_wait *w)
{
    agent_order_close(&w->order);
    free(w);
}

/* For whoever may read it; others do not learn whether it is there. */
static void service_answer(struct request *r, const struct agent_order *o)
{
    const struct acl *before = NULL;
    if (!api_resume(r, &before)) {
        return;
    }
    struct bytes name = o->status == 200 ? buf_view(&o->reason) : buf_view(&o->id);
    if (api_may(r, ACL_SERVICE, name, ACL_READ) && !local_refused(r, o)) {
        reply_header(r, "X-Consul-Contenthash", "%s", o->hash);
        api_reply_json(r, buf_view(&o->answer));
    }
    rights_leave(before);
}

static void service_on_done(struct agent_order *o)
{
    struct service_wait *w = o->ctx;
    struct request *r = w->request;
    bool same = o->status == 200 && bytes_equal(buf_view(&o->text), bytes_of(o->hash));
    if (r != NULL && same && env_now_ms(loop_env(w->api->loop)) < w->until_ms) {
        buf_clear(&o->answer);
        buf_clear(&o->reason);
        agent_order(w->api->agent, w->api->loop, o);
        return;
    }
    if (r != NULL) {
        r->cancelled = NULL;
        service_answer(r, o);
    }
    service_free(w);
}

void api_agent_service(struct request *r)
{
    struct api *api = api_of(r);
    struct bytes hash = BYTES("");
    struct bytes wait = BYTES("");
    uint64_t wait_ms = api->config->default_query_time_ms;
    (void)request_arg(r, "hash", &hash);
    if (request_arg(r, "wait", &wait) && duration_parse(wait, &wait_ms) != OK) {
        reply_text(r, 400, "Invalid wait time");
        return;
    }
    struct service_wait *w = mem_zalloc(1, sizeof *w);
    agent_order_init(&w->order, AGENT_SERVICE);
    if (buf_append(&w->order.id, r->rest) != OK || buf_append(&w->order.text, hash) != OK) {
        service_free(w);
        reply_text(r, 404, "unknown service ID: %.*s", BYTES_FORMAT(r->rest));
        return;
    }
    wait_ms = wait_ms > api->config->max_query_time_ms ? api->config->max_query_time_ms : wait_ms;
    w->request = r;
    w->api = api;
    w->until_ms = env_now_ms(loop_env(api->loop)) + wait_ms;
    w->order.done = service_on_done;
    w->order.ctx = w;
    r->ctx = w;
    r->cancelled = service_cancelled;
    agent_order(api->agent, api->loop, &w->order);
}

/* --- changing them ------------------------------------------------------------------------------
 */

/* A text member of a JSON object, in any case, with or without underscores; empty: there is none.
 * Valid as long as `object`. */
static struct bytes body_text(json_t *object, const char *name, const char *snake)
{
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        if ((strcasecmp(key, name) == 0 || strcasecmp(key, snake) == 0) && json_is_string(value)) {
            return (struct bytes){.ptr = json_string_value(value),
                                  .len = json_string_length(value)};
        }
    }
    return BYTES("");
}

/* Who registers a service may write its name, and that of the one whose id it takes; what cannot be
 * read is refused by the agent. */
void api_agent_service_register(struct request *r)
{
    json_error_t error;
    struct bytes replace;
    json_t *body = rights_enabled() && r->body.len > 0
                       ? json_loadb(r->body.ptr, r->body.len, JSON_DISABLE_EOF_CHECK, &error)
                       : NULL;
    struct bytes name = body_text(body, "name", "name");
    struct bytes id = body_text(body, "id", "id");
    struct local_asked *k = NULL;
    if (api_may(r, ACL_SERVICE, name, ACL_WRITE)) {
        k = local_new(r, AGENT_SERVICE_REGISTER, id.len > 0 ? id : name, r->body);
    }
    if (k != NULL) {
        bool on = false;
        bool said = request_arg(r, "replace-existing-checks", &replace);
        local_order(k)->flag = said && (replace.len == 0 || (flag_bool(replace, &on) == OK && on));
        local_send(k, NULL);
    }
    json_decref(body);
}

void api_agent_service_deregister(struct request *r)
{
    struct local_asked *k = local_new(r, AGENT_SERVICE_DEREGISTER, r->rest, BYTES(""));
    if (k != NULL) {
        local_send(k, NULL);
    }
}

static void maintenance(struct request *r, enum agent_verb verb)
{
    bool on = false;
    struct bytes reason = BYTES("");
    if (!local_switch(r, "enable", &on)) {
        return;
    }
    (void)request_arg(r, "reason", &reason);
    struct local_asked *k = local_new(r, verb, r->rest, reason);
    if (k != NULL) {
        local_order(k)->flag = on;
        local_send(k, NULL);
    }
}

void api_agent_service_maintenance(struct request *r)
{
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing service ID");
        return;
    }
    maintenance(r, AGENT_SERVICE_MAINTENANCE);
}

void api_agent_maintenance(struct request *r)
{
    if (api_may(r, ACL_NODE, bytes_of(api_of(r)->config->node_name), ACL_WRITE)) {
        maintenance(r, AGENT_NODE_MAINTENANCE);
    }
}

/* --- health -------------------------------------------------------------------------------------
 */

static bool wants_text(const struct request *r)
{
    struct bytes value;
    return request_arg(r, "format", &value) && bytes_equal(value, BYTES("text"));
}

static void health_answer(struct request *r, struct agent_order *o)
{
    struct bytes reason = buf_view(&o->reason);
    if (!api_may(r, ACL_SERVICE, buf_view(&o->id), ACL_READ)) {
        return;
    }
    reply_header(r, "X-Consul-Reason", "%.*s", BYTES_FORMAT(reason));
    if (o->flag || wants_text(r)) {
        reply_bytes(r, o->status, "text/plain", reason);
    } else {
        reply_bytes(r, o->status, "application/json", buf_view(&o->answer));
    }
}

/* An id that could end a header's line is no id: what is not there is said without it. */
static void health(struct request *r, enum agent_verb verb)
{
    struct bytes accept;
    if (verb == AGENT_HEALTH_NAME && !api_may(r, ACL_SERVICE, r->rest, ACL_READ)) {
        return;
    }
    for (size_t i = 0; i < r->rest.len; i++) {
        if ((unsigned char)r->rest.ptr[i] < 0x20 || r->rest.ptr[i] == 0x7f) {
            reply_text(r, 404, "no such service");
            return;
        }
    }
    struct local_asked *k = local_new(r, verb, r->rest, BYTES(""));
    if (k != NULL) {
        if (request_header(r, "Accept", &accept) && bytes_equal(accept, BYTES("text/plain"))) {
            local_order(k)->flag = true;
        }
        local_send(k, health_answer);
    }
}

void api_agent_health_id(struct request *r)
{
    health(r, AGENT_HEALTH_ID);
}

void api_agent_health_name(struct request *r)
{
    health(r, AGENT_HEALTH_NAME);
}
