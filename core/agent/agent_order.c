/* What other threads ask of the agent, and the answers as HTTP has them (contracts/consul.md,
 * section 10; recorded ones in goldens/agent.txt). */
#include "core/agent/agent_priv.h"

#include "core/agent/local_json.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/json_why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAINTENANCE_NODE    "_node_maintenance"
#define MAINTENANCE_SERVICE "_service_maintenance:"

/* --- answers ------------------------------------------------------------------------------------
 */

static void order_say(struct agent_order *o, int status, const char *text)
{
    o->status = status;
    buf_clear(&o->answer);
    buf_put_str(&o->answer, text);
}

static void order_json(struct agent_order *o, enum err e)
{
    if (e != OK) {
        order_say(o, err_http_status(e), err_text(e));
    }
}

static void order_service(struct agent *a, struct agent_order *o)
{
    const struct local_service *s = local_service(&a->local, buf_view(&o->id));
    char text[ROW_NAME_MAX + 64];
    if (s == NULL) {
        (void)snprintf(text, sizeof text, "unknown service ID: %.*s",
                       BYTES_FORMAT(buf_view(&o->id)));
        order_say(o, 404, text);
        return;
    }
    buf_clear(&o->reason);
    buf_put(&o->reason, s->row.name);
    enum err e = local_json_service(&o->answer, &s->row, bytes_of(a->config->datacenter));
    (void)snprintf(o->hash, sizeof o->hash, "%llx",
                   (unsigned long long)local_hash_service(&s->row));
    if (e == OK) {
        buf_truncate(&o->answer, o->answer.len - 1);
        e = buf_printf(&o->answer, ",\"ContentHash\":\"%s\"}", o->hash);
    }
    order_json(o, e);
}

static void order_name(struct agent *a, struct agent_order *o)
{
    struct bytes id = buf_view(&o->id);
    if (o->verb == AGENT_NAME_OF_CHECK) {
        const struct local_check *c = local_check(&a->local, id);
        id = c == NULL ? BYTES("") : c->row.service_id;
    }
    const struct local_service *s = local_service(&a->local, id);
    if (s != NULL) {
        buf_put(&o->answer, s->row.name);
    }
}

/* --- health -------------------------------------------------------------------------------------
 */

static int health_status(const char *word)
{
    return strcmp(word, "passing") == 0 ? 200 : strcmp(word, "warning") == 0 ? 429 : 503;
}

/* Maintenance is worse than critical, and has the same status. */
static const char *health_word(const struct agent *a, struct bytes service_id)
{
    char id[ROW_NAME_MAX + 32];
    (void)snprintf(id, sizeof id, MAINTENANCE_SERVICE "%.*s", BYTES_FORMAT(service_id));
    if (local_check(&a->local, bytes_of(id)) != NULL ||
        local_check(&a->local, BYTES(MAINTENANCE_NODE)) != NULL) {
        return "maintenance";
    }
    return check_status_name(local_status(&a->local, service_id, true));
}

static enum err
health_json(struct agent *a, struct buf *out, const struct local_service *s, const char *word)
{
    enum err e = buf_printf(out, "{\"AggregatedStatus\":\"%s\",\"Service\":", word);
    e = e == OK ? local_json_service(out, &s->row, bytes_of(a->config->datacenter)) : e;
    e = e == OK ? buf_append_str(out, ",\"Checks\":") : e;
    e = e == OK ? local_json_health_checks(out, &a->local, &a->row, s->row.id) : e;
    return e == OK ? buf_append_char(out, '}') : e;
}

static void order_health_id(struct agent *a, struct agent_order *o)
{
    const struct local_service *s = local_service(&a->local, buf_view(&o->id));
    if (s == NULL) {
        order_say(o, 404, "{\"AggregatedStatus\":\"critical\",\"Service\":null,\"Checks\":null}");
        enum err e =
            buf_printf(&o->reason, "ServiceId %.*s not found", BYTES_FORMAT(buf_view(&o->id)));
        CHECK(e == OK);
        return;
    }
    const char *word = health_word(a, s->row.id);
    buf_put_str(&o->reason, word);
    buf_clear(&o->id);
    buf_put(&o->id, s->row.name);
    enum err e = health_json(a, &o->answer, s, word);
    o->status = health_status(word);
    order_json(o, e);
}

/* All instances of a name: the worst of them. */
static void order_health_name(struct agent *a, struct agent_order *o)
{
    const char *worst = "passing";
    size_t count = 0;
    enum err e = buf_append_char(&o->answer, '[');
    for (size_t i = 0; e == OK && i < a->local.services.count; i++) {
        const struct local_service *s = local_service_at(&a->local, i);
        if (s->item.deleted || !bytes_equal_nocase(s->row.name, buf_view(&o->id))) {
            continue;
        }
        const char *word = health_word(a, s->row.id);
        bool worse = health_status(word) == 503 && health_status(worst) != 503;
        worse = worse || (health_status(word) == 429 && health_status(worst) == 200);
        worst = worse ? word : worst;
        e = count++ > 0 ? buf_append_char(&o->answer, ',') : OK;
        e = e == OK ? health_json(a, &o->answer, s, word) : e;
    }
    e = e == OK ? buf_append_char(&o->answer, ']') : e;
    if (count == 0) {
        order_say(o, 404, "[]");
        e = buf_printf(&o->reason, "ServiceName %.*s Not Found", BYTES_FORMAT(buf_view(&o->id)));
    } else {
        buf_put_str(&o->reason, worst);
        o->status = health_status(worst);
    }
    order_json(o, e);
}

/* --- registering --------------------------------------------------------------------------------
 */

static int refusal_status(enum err e)
{
    return e == ERR_INVALID || e == ERR_TOO_BIG ? 400 : 500;
}

/* The body as an object; NULL: it was answered. */
static json_t *order_object(struct agent_order *o)
{
    struct reason why = {{0}};
    char text[sizeof why.text + 32];
    json_error_t error;
    struct bytes body = buf_view(&o->text);
    json_t *object =
        json_loadb(body.len > 0 ? body.ptr : "", body.len, JSON_DISABLE_EOF_CHECK, &error);
    if (json_is_object(object)) {
        return object;
    }
    if (object != NULL) {
        json_decref(object);
        reason_set(&why, "json: expected an object");
    } else if (json_why(body, &why)) {
        reason_set(&why, "%s", error.text);
    }
    (void)snprintf(text, sizeof text, "Request decode failed: %s", why.text);
    order_say(o, 400, text);
    return NULL;
}

static void order_undecoded(struct agent_order *o, const struct reason *why)
{
    char text[sizeof why->text + 32];
    (void)snprintf(text, sizeof text, "Request decode failed: %s", why->text);
    order_say(o, 400, text);
}

static struct agent_add order_how(const struct agent *a, const struct agent_order *o)
{
    return (struct agent_add){
        .source = LOCAL_API,
        .replace = o->flag,
        .keep = true,
        .scripts = a->config->enable_script_checks,
    };
}

static void order_service_register(struct agent *a, struct agent_order *o)
{
    struct service_definition s;
    struct reason why = {{0}};
    struct arena arena;
    struct agent_add how = order_how(a, o);
    json_t *object = order_object(o);
    if (object == NULL) {
        return;
    }
    arena_init(&arena, DEFINITION_ARENA_MAX);
    enum err e = definition_service(&arena, object, &s, &why);
    if (e != OK) {
        order_undecoded(o, &why);
    } else if ((e = agent_add_service(a, &s, &how, &why)) != OK) {
        order_say(o, refusal_status(e), why.text);
    }
    arena_close(&arena);
    json_decref(object);
}

/* What a check must be beside its form; NULL: it is. */
static const char *check_wrong(const struct check_definition *d, char ret_text[])
{
    struct reason why = {{0}};
    if (d->name.len == 0) {
        return "Missing check name";
    }
    if (definition_status_wrong(d->status)) {
        return "Bad check status";
    }
    if (definition_check_valid(d, &why) != OK) {
        (void)snprintf(ret_text, sizeof why.text + 32, "Invalid check: %s", why.text);
        return ret_text;
    }
    return NULL;
}

static void order_check_register(struct agent *a, struct agent_order *o)
{
    struct check_definition d;
    struct reason why = {{0}};
    struct arena arena;
    char text[sizeof why.text + 32];
    struct agent_add how = order_how(a, o);
    json_t *object = order_object(o);
    if (object == NULL) {
        return;
    }
    arena_init(&arena, DEFINITION_ARENA_MAX);
    enum err e = definition_check(&arena, object, &d, &why);
    if (e != OK) {
        order_undecoded(o, &why);
    } else if (check_wrong(&d, text) != NULL) {
        order_say(o, 400, check_wrong(&d, text));
    } else if ((e = agent_add_check_definition(a, &d, &how, &why)) != OK) {
        order_say(o, refusal_status(e), why.text);
    }
    arena_close(&arena);
    json_decref(object);
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static void order_check_update(struct agent *a, struct agent_order *o)
{
    struct local_check *c = local_check(&a->local, buf_view(&o->id));
    struct bytes output = buf_view(&o->text);
    char text[ROW_NAME_MAX + 64];
    if (c == NULL || c->definition.kind != CHECK_TTL) {
        (void)snprintf(text, sizeof text, "CheckID \"%.*s\" does not have associated TTL",
                       BYTES_FORMAT(buf_view(&o->id)));
        order_say(o, 500, text);
        return;
    }
    uint64_t max = c->definition.output_max_size;
    max = max == 0 ? a->config->check_output_max_size : max;
    if (output.len > max) {
        output = bytes_slice(output, 0, (size_t)max);
    }
    check_run_renew(c->run);
    agent_set_status(a, c, o->check_status, output);
}

static void maintenance_set(struct agent *a, struct agent_order *o, struct local_check_new *n)
{
    struct reason why = {{0}};
    struct agent_add how = {.source = LOCAL_API, .keep = true};
    bool there = local_check(&a->local, n->id) != NULL;
    enum err e = OK;
    if (o->flag && !there) {
        n->kind = CHECK_MAINTENANCE;
        n->status = CHECK_CRITICAL;
        n->source = LOCAL_API;
        e = agent_add_check(a, n, &how, &why);
    } else if (!o->flag && there) {
        e = agent_remove_check(a, n->id);
    }
    if (e != OK) {
        order_say(o, 500, why.text);
    }
}

static void order_node_maintenance(struct agent *a, struct agent_order *o)
{
    struct local_check_new n = {
        .id = BYTES(MAINTENANCE_NODE),
        .name = BYTES("Node Maintenance Mode"),
        .notes = o->text.len > 0 ? buf_view(&o->text)
                                 : BYTES("Maintenance mode is enabled for this node, but no reason "
                                         "was provided. This is a default message."),
    };
    maintenance_set(a, o, &n);
}

static void order_service_maintenance(struct agent *a, struct agent_order *o)
{
    const struct local_service *s = local_service(&a->local, buf_view(&o->id));
    char text[ROW_NAME_MAX + 64];
    if (s == NULL) {
        (void)snprintf(text, sizeof text, "No service registered with ID \"%.*s\"",
                       BYTES_FORMAT(buf_view(&o->id)));
        order_say(o, 404, text);
        return;
    }
    (void)snprintf(text, sizeof text, MAINTENANCE_SERVICE "%.*s", BYTES_FORMAT(s->row.id));
    struct local_check_new n = {
        .id = bytes_of(text),
        .name = BYTES("Service Maintenance Mode"),
        .service_id = s->row.id,
        .notes = o->text.len > 0
                     ? buf_view(&o->text)
                     : BYTES("Maintenance mode is enabled for this service, but no reason was "
                             "provided. This is a default message."),
    };
    maintenance_set(a, o, &n);
}

/* What is not there is gone, as in Consul 1.8. */
static void order_deregister(struct agent *a, struct agent_order *o)
{
    enum err e = o->verb == AGENT_CHECK_DEREGISTER ? agent_remove_check(a, buf_view(&o->id))
                                                   : agent_remove_service(a, buf_view(&o->id));
    CHECK(e == OK || e == ERR_NOT_FOUND);
}

void agent_carry_out(struct agent *a, struct agent_order *o)
{
    switch (o->verb) {
    case AGENT_NOTHING:
        break;
    case AGENT_SERVICES:
        order_json(o, local_rows_services(&o->answer, &a->local, &a->row));
        break;
    case AGENT_SERVICE:
        order_service(a, o);
        break;
    case AGENT_CHECKS:
        order_json(o, local_rows_checks(&o->answer, &a->local, &a->row));
        break;
    case AGENT_NAME_OF_SERVICE:
    case AGENT_NAME_OF_CHECK:
        order_name(a, o);
        break;
    case AGENT_HEALTH_ID:
        order_health_id(a, o);
        break;
    case AGENT_HEALTH_NAME:
        order_health_name(a, o);
        break;
    case AGENT_SERVICE_REGISTER:
        order_service_register(a, o);
        break;
    case AGENT_CHECK_REGISTER:
        order_check_register(a, o);
        break;
    case AGENT_SERVICE_DEREGISTER:
    case AGENT_CHECK_DEREGISTER:
        order_deregister(a, o);
        break;
    case AGENT_CHECK_UPDATE:
        order_check_update(a, o);
        break;
    case AGENT_SERVICE_MAINTENANCE:
        order_service_maintenance(a, o);
        break;
    case AGENT_NODE_MAINTENANCE:
        order_node_maintenance(a, o);
        break;
    }
}

/* --- orders between threads ---------------------------------------------------------------------
 */

static void order_on_back(struct mail *m)
{
    struct agent_order *o = LIST_OWNER(m, struct agent_order, mail);
    o->done(o);
}

static void order_back(struct agent_order *o)
{
    o->mail = (struct mail){.deliver = order_on_back};
    mailbox_post(loop_mailbox(o->loop), &o->mail);
}

/* Whoever is told that this is done finds it in the catalog, too, if the servers are well. */
static bool order_changes(enum agent_verb verb)
{
    return verb == AGENT_SERVICE_REGISTER || verb == AGENT_SERVICE_DEREGISTER ||
           verb == AGENT_SERVICE_MAINTENANCE || verb == AGENT_CHECK_REGISTER ||
           verb == AGENT_CHECK_DEREGISTER || verb == AGENT_CHECK_UPDATE ||
           verb == AGENT_NODE_MAINTENANCE;
}

void agent_on_told(void *agent)
{
    struct agent *a = agent;
    timer_stop(&a->tell_step);
    while (!list_empty(&a->telling)) {
        struct agent_order *o = LIST_OWNER(a->telling.next, struct agent_order, link);
        list_remove(&o->link);
        order_back(o);
    }
}

void agent_on_tell_step(struct timer *t)
{
    agent_on_told(LIST_OWNER(t, struct agent, tell_step));
}

static void order_on_agent(struct mail *m)
{
    struct agent_order *o = LIST_OWNER(m, struct agent_order, mail);
    struct agent *a = o->agent;
    if (a->stopped) {
        order_say(o, 503, err_text(ERR_CLOSED));
    } else {
        agent_carry_out(a, o);
    }
    if (!a->stopped && o->status == 200 && order_changes(o->verb) && !sync_is_settled(a->sync)) {
        list_append(&a->telling, &o->link);
        if (!timer_armed(&a->tell_step)) {
            env_timer_start(a->env, &a->tell_step, AGENT_TELL_MS);
        }
        return;
    }
    o->waiting = !a->stopped && o->verb == AGENT_SERVICE && o->status == 200 &&
                 bytes_equal(buf_view(&o->text), bytes_of(o->hash));
    if (!o->waiting) {
        order_back(o);
        return;
    }
    list_append(&a->waiting, &o->link);
    if (!timer_armed(&a->wait_step)) {
        env_timer_start(a->env, &a->wait_step, AGENT_WAIT_STEP_MS);
    }
}

void agent_wake_all(struct agent *a)
{
    LIST_FOREACH (at, &a->waiting) {
        struct agent_order *o = LIST_OWNER(at, struct agent_order, link);
        list_remove(&o->link);
        order_back(o);
    }
}

void agent_wake(struct agent *a)
{
    LIST_FOREACH (at, &a->waiting) {
        struct agent_order *o = LIST_OWNER(at, struct agent_order, link);
        buf_clear(&o->answer);
        agent_carry_out(a, o);
        if (o->status != 200 || !bytes_equal(buf_view(&o->text), bytes_of(o->hash))) {
            list_remove(&o->link);
            order_back(o);
        }
    }
}

/* Whoever asks may have gone away meanwhile. */
void agent_on_wait_step(struct timer *t)
{
    agent_wake_all(LIST_OWNER(t, struct agent, wait_step));
}

void agent_order_init(struct agent_order *o, enum agent_verb verb)
{
    *o = (struct agent_order){.verb = verb, .status = 200};
    buf_init(&o->id, ROW_NAME_MAX);
    buf_init(&o->text, DEFINITION_MAX * 2);
    buf_init(&o->answer, AGENT_ANSWER_MAX);
    buf_init(&o->reason, ROW_NAME_MAX + 64);
}

void agent_order_close(struct agent_order *o)
{
    buf_close(&o->id);
    buf_close(&o->text);
    buf_close(&o->answer);
    buf_close(&o->reason);
}

void agent_order(struct agent *a, struct loop *from, struct agent_order *o)
{
    o->agent = a;
    o->loop = from;
    o->mail = (struct mail){.deliver = order_on_agent};
    mailbox_post(loop_mailbox(a->options.loop), &o->mail);
}
