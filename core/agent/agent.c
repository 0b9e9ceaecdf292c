#include "core/agent/agent_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- adding -------------------------------------------------------------------------------------
 */

/* A label of a DNS name (RFC 1123): letters, digits, dashes inside. */
static bool is_label(struct bytes text)
{
    bool good =
        text.len > 0 && text.len <= 63 && text.ptr[0] != '-' && text.ptr[text.len - 1] != '-';
    for (size_t i = 0; good && i < text.len; i++) {
        char c = text.ptr[i];
        good =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    }
    return good;
}

static void warn_names(const struct service_definition *s)
{
    bool good = is_label(s->name);
    for (size_t i = 0; i < s->tags.count; i++) {
        good = good && is_label(s->tags.items[i]);
    }
    if (!good) {
        log_line(LOG_SERVICE_NAME, "service=\"%.*s\"", BYTES_FORMAT(s->name));
    }
}

static enum err scripts_check(const struct agent *a,
                              const struct check_definition *d,
                              const struct agent_add *how,
                              struct reason *why)
{
    if (d->kind != CHECK_SCRIPT || how->scripts) {
        return OK;
    }
    if (a->config->enable_local_script_checks) {
        reason_set(why,
                   "Scripts are disabled on this agent from remote calls; to enable, configure "
                   "'enable_script_checks' to true");
    } else {
        reason_set(why, "Scripts are disabled on this agent; to enable, configure "
                        "'enable_script_checks' or 'enable_local_script_checks' to true");
    }
    return ERR_DENIED;
}

/* The check is there; its run begins, or goes on where nothing has changed. */
static void check_begin(struct agent *a, struct local_check *c)
{
    c->critical_ms = c->row.status == CHECK_CRITICAL ? env_now_ms(a->env) : 0;
    c->run = check_run_open(&a->host, &c->definition, c);
    agent_refresh_aliases(a);
    sync_changed(a->sync);
}

/* The same check again: it keeps its status, and is not run anew. */
static bool check_same(const struct local_check *old, const struct local_check_new *c)
{
    return c->definition != NULL && old->item.source == c->source &&
           bytes_equal(old->item.json, c->definition->json) && bytes_equal(old->row.id, c->id) &&
           bytes_equal(old->row.name, c->name) && bytes_equal(old->row.service_id, c->service_id) &&
           bytes_equal(old->row.notes, c->notes);
}

enum err agent_add_check(struct agent *a,
                         const struct local_check_new *c,
                         const struct agent_add *how,
                         struct reason *why)
{
    struct local_check_new n = *c;
    struct local_check *old = local_check(&a->local, c->id);
    struct buf output;
    enum err e = c->definition == NULL ? OK : scripts_check(a, c->definition, how, why);
    if (e != OK) {
        return e;
    }
    if (old != NULL && check_same(old, c)) {
        if (old->definition.kind == CHECK_TTL) {
            check_run_renew(old->run);
        }
        return OK;
    }
    buf_init(&output, ROW_OUTPUT_MAX);
    if (old != NULL) {
        /* What is known of it holds until it is run again. */
        n.status = old->row.status;
        buf_put(&output, old->row.output);
        n.output = buf_view(&output);
        check_run_close(old->run);
        old->run = NULL;
    }
    e = local_add_check(&a->local, &n, why);
    buf_close(&output);
    if (e != OK) {
        if (old != NULL) {
            old->run = check_run_open(&a->host, &old->definition, old);
        }
        return e;
    }
    struct local_check *fresh = local_check(&a->local, c->id);
    CHECK(fresh != NULL);
    check_begin(a, fresh);
    if (how->keep) {
        local_files_put_check(&a->files, fresh);
    }
    return OK;
}

static enum check_status definition_status(const struct check_definition *d)
{
    enum check_status status = CHECK_CRITICAL;
    if (check_status_parse(d->status, &status) != OK) {
        status = CHECK_CRITICAL;
    }
    return status;
}

enum err agent_add_check_definition(struct agent *a,
                                    const struct check_definition *d,
                                    const struct agent_add *how,
                                    struct reason *why)
{
    struct local_check_new n = {
        .definition = d,
        .id = d->id.len > 0 ? d->id : d->name,
        .name = d->name.len > 0 ? d->name : d->id,
        .service_id = d->service_id,
        .kind = d->kind,
        .status = definition_status(d),
        .notes = d->notes,
        .source = how->source,
    };
    if (d->service_id.len > 0) {
        const struct local_service *s = local_service(&a->local, d->service_id);
        if (s == NULL) {
            reason_set(why, "ServiceID \"%.200s\" does not exist", d->service_id.ptr);
            return ERR_NOT_FOUND;
        }
        n.service_id = s->row.id;
    }
    return agent_add_check(a, &n, how, why);
}

/* `service:<id>`, or `service:<id>:<n>` of several. */
static enum err add_service_check(struct agent *a,
                                  const struct service_definition *s,
                                  size_t at,
                                  const struct agent_add *how,
                                  struct reason *why)
{
    const struct check_definition *d = &s->checks[at];
    struct bytes service_id = s->id.len > 0 ? s->id : s->name;
    char id[ROW_NAME_MAX + 64];
    char name[ROW_NAME_MAX + 64];
    (void)snprintf(id, sizeof id, s->check_count > 1 ? "service:%.*s:%zu" : "service:%.*s",
                   BYTES_FORMAT(service_id), at + 1);
    (void)snprintf(name, sizeof name, "Service '%.*s' check", BYTES_FORMAT(s->name));
    struct local_check_new n = {
        .definition = d,
        .id = d->id.len > 0 ? d->id : bytes_of(id),
        .name = d->name.len > 0 ? d->name : bytes_of(name),
        .service_id = service_id,
        .kind = d->kind,
        .status = definition_status(d),
        .notes = d->notes,
        .source = how->source,
    };
    return agent_add_check(a, &n, how, why);
}

/* Whether that check is of the definition. */
static bool service_says(const struct service_definition *s, const struct local_check *c)
{
    char id[ROW_NAME_MAX + 64];
    struct bytes service_id = s->id.len > 0 ? s->id : s->name;
    for (size_t i = 0; i < s->check_count; i++) {
        (void)snprintf(id, sizeof id, s->check_count > 1 ? "service:%.*s:%zu" : "service:%.*s",
                       BYTES_FORMAT(service_id), i + 1);
        struct bytes want = s->checks[i].id.len > 0 ? s->checks[i].id : bytes_of(id);
        if (bytes_equal_nocase(want, c->row.id)) {
            return true;
        }
    }
    return false;
}

/* Drops the checks of a service that `s` does not name; NULL: all of them. */
static void
drop_checks(struct agent *a, struct bytes service_id, const struct service_definition *s)
{
    for (size_t i = 0; i < a->local.checks.count; i++) {
        const struct local_check *c = local_check_at(&a->local, i);
        if (!c->item.deleted && local_check_of(c, service_id) &&
            (s == NULL || !service_says(s, c))) {
            enum err e = agent_remove_check(a, c->row.id);
            CHECK(e == OK);
        }
    }
}

enum err agent_add_service(struct agent *a,
                           const struct service_definition *s,
                           const struct agent_add *how,
                           struct reason *why)
{
    enum err e = definition_service_valid(s, why);
    for (size_t i = 0; e == OK && i < s->check_count; i++) {
        e = scripts_check(a, &s->checks[i], how, why);
    }
    e = e == OK ? local_add_service(&a->local, s, how->source, why) : e;
    if (e != OK) {
        return e;
    }
    struct bytes id = s->id.len > 0 ? s->id : s->name;
    if (how->replace) {
        drop_checks(a, id, s);
    }
    for (size_t i = 0; e == OK && i < s->check_count; i++) {
        e = add_service_check(a, s, i, how, why);
    }
    if (how->keep) {
        local_files_put_service(&a->files, local_service(&a->local, id));
    }
    warn_names(s);
    log_line(LOG_SERVICE_ADDED, "service=\"%.*s\"", BYTES_FORMAT(id));
    sync_changed(a->sync);
    agent_wake(a);
    return e;
}

/* --- removing -----------------------------------------------------------------------------------
 */

enum err agent_remove_check(struct agent *a, struct bytes id)
{
    struct local_check *c = local_check(&a->local, id);
    if (c == NULL) {
        return ERR_NOT_FOUND;
    }
    check_run_close(c->run);
    c->run = NULL;
    local_files_remove(&a->files, true, c->row.id);
    enum err e = local_remove_check(&a->local, id);
    agent_refresh_aliases(a);
    sync_changed(a->sync);
    return e;
}

enum err agent_remove_service(struct agent *a, struct bytes id)
{
    const struct local_service *s = local_service(&a->local, id);
    if (s == NULL) {
        return ERR_NOT_FOUND;
    }
    log_line(LOG_SERVICE_REMOVED, "service=\"%.*s\"", BYTES_FORMAT(s->row.id));
    drop_checks(a, s->row.id, NULL);
    local_files_remove(&a->files, false, s->row.id);
    enum err e = local_remove_service(&a->local, id);
    agent_refresh_aliases(a);
    sync_changed(a->sync);
    agent_wake(a);
    return e;
}

/* --- the configuration --------------------------------------------------------------------------
 */

/* What the configuration says, decoded; NULL where it does not hold. */
struct wanted {
    struct arena arena;
    struct service_definition *services;
    size_t service_count;
    struct check_definition *checks;
    size_t check_count;
};

static void wanted_read(struct wanted *w, const struct config *config)
{
    struct reason why = {{0}};
    json_error_t error;
    arena_init(&w->arena, MIB(64));
    w->services = mem_zalloc(config->definition_count + 1, sizeof *w->services);
    w->checks = mem_zalloc(config->definition_count + 1, sizeof *w->checks);
    for (size_t i = 0; i < config->definition_count; i++) {
        const struct config_definition *d = &config->definitions[i];
        json_t *object = json_loads(d->json, 0, &error);
        enum err e = ERR_INVALID;
        if (d->service) {
            e = definition_service(&w->arena, object, &w->services[w->service_count], &why);
            w->service_count += e == OK;
        } else {
            e = definition_check(&w->arena, object, &w->checks[w->check_count], &why);
            w->check_count += e == OK;
        }
        json_decref(object);
        if (e != OK) {
            log_line(LOG_AGENT_DEFINITION, "%s: %s", d->source, why.text);
        }
    }
}

static void wanted_close(struct wanted *w)
{
    free(w->services);
    free(w->checks);
    arena_close(&w->arena);
}

static bool wanted_has_service(const struct wanted *w, struct bytes id)
{
    for (size_t i = 0; i < w->service_count; i++) {
        const struct service_definition *s = &w->services[i];
        if (bytes_equal_nocase(s->id.len > 0 ? s->id : s->name, id)) {
            return true;
        }
    }
    return false;
}

static bool wanted_has_check(const struct wanted *w, struct bytes id)
{
    for (size_t i = 0; i < w->check_count; i++) {
        const struct check_definition *d = &w->checks[i];
        if (bytes_equal_nocase(d->id.len > 0 ? d->id : d->name, id)) {
            return true;
        }
    }
    return false;
}

/* What a file said once and no file says any more. Checks of services go with them, or are replaced
 * when the service is added. */
static void wanted_drop(struct agent *a, const struct wanted *w)
{
    for (size_t i = a->local.services.count; i-- > 0;) {
        const struct local_service *s = local_service_at(&a->local, i);
        if (!s->item.deleted && s->item.source == LOCAL_FILE && !wanted_has_service(w, s->row.id)) {
            enum err e = agent_remove_service(a, s->row.id);
            CHECK(e == OK);
        }
    }
    for (size_t i = a->local.checks.count; i-- > 0;) {
        const struct local_check *c = local_check_at(&a->local, i);
        bool own = c->row.service_id.len == 0 || !wanted_has_service(w, c->row.service_id);
        if (!c->item.deleted && c->item.source == LOCAL_FILE && own &&
            !wanted_has_check(w, c->row.id)) {
            enum err e = agent_remove_check(a, c->row.id);
            CHECK(e == OK);
        }
    }
}

static void agent_configure(struct agent *a)
{
    const struct config *c = a->config;
    struct wanted w = {0};
    struct reason why = {{0}};
    struct agent_add how = {
        .source = LOCAL_FILE,
        .scripts = c->enable_script_checks || c->enable_local_script_checks,
    };
    wanted_read(&w, c);
    wanted_drop(a, &w);
    for (size_t i = 0; i < w.service_count; i++) {
        if (agent_add_service(a, &w.services[i], &how, &why) != OK) {
            log_line(LOG_AGENT_DEFINITION, "service=\"%.*s\" %s", BYTES_FORMAT(w.services[i].name),
                     why.text);
        }
    }
    for (size_t i = 0; i < w.check_count; i++) {
        if (agent_add_check_definition(a, &w.checks[i], &how, &why) != OK) {
            log_line(LOG_AGENT_DEFINITION, "check=\"%.*s\" %s", BYTES_FORMAT(w.checks[i].name),
                     why.text);
        }
    }
    wanted_close(&w);
}

/* --- what was kept ------------------------------------------------------------------------------
 */

static struct agent_add kept_how(const struct agent *a)
{
    return (struct agent_add){.source = LOCAL_API, .scripts = a->config->enable_script_checks};
}

static void kept_service(void *ctx, json_t *object)
{
    struct agent *a = ctx;
    struct service_definition s;
    struct arena arena;
    struct reason why = {{0}};
    struct agent_add how = kept_how(a);
    arena_init(&arena, DEFINITION_ARENA_MAX);
    enum err e = definition_service(&arena, object, &s, &why);
    if (e == OK) {
        /* Its checks have files of their own: those that are still there. */
        s.check_count = 0;
        const struct local_service *there = local_service(&a->local, s.id.len > 0 ? s.id : s.name);
        if (there == NULL) {
            e = agent_add_service(a, &s, &how, &why);
        }
    }
    if (e != OK) {
        log_line(LOG_AGENT_FILE_BAD, "%s", why.text);
    }
    arena_close(&arena);
}

static struct bytes object_text(json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value)
               ? (struct bytes){.ptr = json_string_value(value), .len = json_string_length(value)}
               : BYTES("");
}

static void kept_check(void *ctx, json_t *object)
{
    struct agent *a = ctx;
    struct check_definition d = {0};
    struct arena arena;
    struct reason why = {{0}};
    struct agent_add how = kept_how(a);
    json_t *definition = json_object_get(object, "Definition");
    struct local_check_new n = {
        .definition = json_is_object(definition) ? &d : NULL,
        .id = object_text(object, "ID"),
        .name = object_text(object, "Name"),
        .service_id = object_text(object, "ServiceID"),
        .kind = CHECK_MAINTENANCE,
        .status = CHECK_CRITICAL,
        .notes = object_text(object, "Notes"),
        .output = object_text(object, "Output"),
        .source = LOCAL_API,
    };
    arena_init(&arena, DEFINITION_ARENA_MAX);
    enum err e = n.definition == NULL ? OK : definition_check(&arena, definition, &d, &why);
    if (e == OK && n.definition != NULL) {
        n.kind = d.kind;
    }
    if (e == OK && check_status_parse(object_text(object, "Status"), &n.status) != OK) {
        n.status = CHECK_CRITICAL;
    }
    if (e == OK && n.service_id.len > 0 && local_service(&a->local, n.service_id) == NULL) {
        reason_set(&why, "check=\"%.*s\": its service is not there", BYTES_FORMAT(n.id));
        e = ERR_NOT_FOUND;
    }
    if (e == OK && local_check(&a->local, n.id) == NULL) {
        e = agent_add_check(a, &n, &how, &why);
    }
    if (e != OK) {
        log_line(LOG_AGENT_FILE_BAD, "%s", why.text);
    }
    arena_close(&arena);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static enum err agent_node(struct agent *a, struct reason *why)
{
    const struct config *c = a->config;
    bool v6 = strchr(c->advertise_addr, ':') != NULL;
    struct bytes address = bytes_of(c->advertise_addr);
    struct pair tagged[4] = {{BYTES("lan"), address},
                             {v6 ? BYTES("lan_ipv6") : BYTES("lan_ipv4"), address},
                             {BYTES("wan"), address},
                             {v6 ? BYTES("wan_ipv6") : BYTES("wan_ipv4"), address}};
    struct pair meta[META_PAIRS_MAX + 1];
    struct buf lists[2];
    size_t count = c->node_meta.count;
    for (size_t i = 0; i < count; i++) {
        meta[i] = (struct pair){bytes_of(c->node_meta.names[i]), bytes_of(c->node_meta.values[i])};
    }
    meta[count++] = (struct pair){BYTES("consul-network-segment"), BYTES("")};
    buf_init(&lists[0], ROW_LIST_MAX);
    buf_init(&lists[1], ROW_LIST_MAX);
    buf_init(&a->node, COMMAND_MAX);
    enum err e = pairs_add(&lists[0], tagged, 4);
    e = e == OK ? pairs_add(&lists[1], meta, count) : e;
    struct node_row row = {
        .id = bytes_of(a->options.node_id),
        .name = bytes_of(c->node_name),
        .address = address,
        .tagged = buf_view(&lists[0]),
        .meta = buf_view(&lists[1]),
    };
    e = e == OK ? row_node_encode(&a->node, &row) : e;
    e = e == OK ? row_node_decode(buf_view(&a->node), &a->row) : e;
    buf_close(&lists[0]);
    buf_close(&lists[1]);
    if (e != OK) {
        reason_set(why, "this node cannot be described to the others: %s", err_text(e));
    }
    return e;
}

static void agent_on_reload(struct mail *m)
{
    struct agent *a = LIST_OWNER(m, struct agent, reload_mail);
    atomic_store(&a->reload_posted, false);
    if (!a->stopped) {
        a->config = atomic_load(&a->next_config);
        a->host.output_max_size = a->config->check_output_max_size;
        agent_configure(a);
    }
}

void agent_reload(struct agent *a, const struct config *config)
{
    atomic_store(&a->next_config, config);
    if (!atomic_exchange(&a->reload_posted, true)) {
        mailbox_post(loop_mailbox(a->options.loop), &a->reload_mail);
    }
}

/* Whoever can reach the API could run commands: that is said where it cannot be overlooked. */
static void agent_warn_scripts(const struct config *c)
{
    bool far = false;
    for (size_t i = 0; i < c->http_count; i++) {
        const char *address = c->http[i].address;
        far = far || (strchr(address, '/') == NULL && strncmp(address, "127.", 4) != 0 &&
                      strcmp(address, "::1") != 0);
    }
    if (c->enable_script_checks && far) {
        log_line(LOG_CHECK_SCRIPTS, "%s", "");
    }
}

static void agent_begin(struct agent *a)
{
    const struct agent_options *o = &a->options;
    struct sync_options options = {
        .env = a->env,
        .local = &a->local,
        .server = o->server,
        .node = a->row,
        .nodes = o->nodes,
        .ctx = o->ctx,
        .check_update_interval_ms = a->config->check_update_interval_ms,
        .settled = agent_on_told,
        .agent = a,
    };
    a->host = (struct check_host){
        .loop = o->loop,
        .env = a->env,
        .http = check_http_open(o->loop),
        .output_max_size = a->config->check_output_max_size,
        .ctx = a,
        .found = agent_on_found,
    };
    a->sync = sync_open(&options);
    env_timer_init(a->env, &a->reap, agent_on_reap);
    env_timer_init(a->env, &a->aliases, agent_on_aliases);
    env_timer_start(a->env, &a->reap, CHECK_REAP_MS);
    env_timer_start(a->env, &a->aliases, 0);
    agent_warn_scripts(a->config);
    agent_configure(a);
    local_files_each(&a->files, false, kept_service, a);
    local_files_each(&a->files, true, kept_check, a);
}

enum err
agent_open(const struct agent_options *options, struct agent **ret_agent, struct reason *why)
{
    struct agent *a = mem_zalloc(1, sizeof *a);
    a->options = *options;
    a->env = loop_env(options->loop);
    a->config = options->config;
    a->reload_mail = (struct mail){.deliver = agent_on_reload};
    atomic_store(&a->next_config, options->config);
    list_init(&a->alias_asks);
    list_init(&a->waiting);
    list_init(&a->telling);
    env_timer_init(a->env, &a->tell_step, agent_on_tell_step);
    env_timer_init(a->env, &a->wait_step, agent_on_wait_step);
    local_init(&a->local);
    enum err e = agent_node(a, why);
    e = e == OK ? local_files_open(&a->files, options->config->data_dir, why) : e;
    if (e != OK) {
        a->stopped = true;
        agent_close(a);
        return e;
    }
    agent_begin(a);
    *ret_agent = a;
    return OK;
}

void agent_stop(struct agent *a)
{
    if (a == NULL || a->stopped) {
        return;
    }
    a->stopped = true;
    timer_stop(&a->reap);
    timer_stop(&a->aliases);
    timer_stop(&a->wait_step);
    timer_stop(&a->tell_step);
    agent_on_told(a);
    agent_wake_all(a);
    sync_close(a->sync);
    for (size_t i = 0; i < a->local.checks.count; i++) {
        struct local_check *c = local_check_at(&a->local, i);
        check_run_close(c->run);
        c->run = NULL;
    }
    check_http_close(a->host.http);
    a->host.http = NULL;
}

void agent_close(struct agent *a)
{
    if (a == NULL) {
        return;
    }
    agent_stop(a);
    sync_free(a->sync);
    agent_close_aliases(a);
    local_close(&a->local);
    local_files_close(&a->files);
    buf_close(&a->node);
    free(a);
}

void agent_compare_soon(struct agent *a)
{
    if (!a->stopped) {
        sync_compare_soon(a->sync);
    }
}
