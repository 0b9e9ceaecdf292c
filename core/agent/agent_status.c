/* How the statuses of the agent's checks change: by what runs have found, by others that they
 * follow, by time. */
#include "core/agent/agent_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* Aliases may follow aliases; so deep they are followed at once, and no circle is endless. */
#define ALIAS_DEPTH_MAX 8

void agent_set_status(struct agent *a,
                      struct local_check *c,
                      enum check_status status,
                      struct bytes output)
{
    bool changed = false;
    output = a->config->discard_check_output ? BYTES("") : output;
    enum check_status before = c->row.status;
    if (!local_check_set(&a->local, c, status, output, &changed)) {
        return;
    }
    if (!changed) {
        sync_defer(a->sync, c);
        return;
    }
    if (status != CHECK_CRITICAL) {
        c->critical_ms = 0;
    } else if (before != CHECK_CRITICAL) {
        c->critical_ms = env_now_ms(a->env);
    }
    c->deferred_ms = 0;
    log_line(LOG_CHECK_STATUS, "check=\"%.*s\" status=%s", BYTES_FORMAT(c->row.id),
             check_status_name(status));
    if (c->item.source == LOCAL_API && c->definition.kind == CHECK_TTL) {
        local_files_put_check(&a->files, c);
    }
    sync_changed(a->sync);
    agent_refresh_aliases(a);
}

void agent_on_found(void *ctx, struct check_run *run, enum check_status status, struct bytes output)
{
    agent_set_status(ctx, check_run_owner(run), status, output);
}

/* --- aliases ------------------------------------------------------------------------------------
 */

static bool alias_is_remote(const struct agent *a, const struct local_check *c)
{
    return c->definition.kind == CHECK_ALIAS && c->definition.alias_node.len > 0 &&
           !bytes_equal_nocase(c->definition.alias_node, a->row.name);
}

static const char *alias_text(bool any, enum check_status worst)
{
    if (!any) {
        return "No checks found.";
    }
    return worst == CHECK_PASSING ? "All checks passing." : "A followed check is not passing.";
}

/* The worst of what it follows: the service's checks, or else the node's. */
static void alias_look(struct agent *a, struct local_check *c)
{
    struct bytes service = c->definition.alias_service;
    enum check_status worst = CHECK_PASSING;
    bool any = false;
    if (service.len > 0 && local_service(&a->local, service) == NULL) {
        char text[ROW_NAME_MAX + 64];
        (void)snprintf(text, sizeof text, "Service %.*s could not be found on this node",
                       BYTES_FORMAT(service));
        agent_set_status(a, c, CHECK_CRITICAL, bytes_of(text));
        return;
    }
    for (size_t i = 0; i < a->local.checks.count; i++) {
        const struct local_check *other = local_check_at(&a->local, i);
        bool counts = other->row.service_id.len == 0 || local_check_of(other, service);
        if (!other->item.deleted && other != c && counts) {
            any = true;
            worst = other->row.status > worst ? other->row.status : worst;
        }
    }
    agent_set_status(a, c, worst, bytes_of(alias_text(any, worst)));
}

void agent_refresh_aliases(struct agent *a)
{
    if (a->refreshing) {
        return;
    }
    a->refreshing = true;
    uint64_t before = 0;
    for (unsigned depth = 0; depth < ALIAS_DEPTH_MAX && before != a->local.generation; depth++) {
        before = a->local.generation;
        for (size_t i = 0; i < a->local.checks.count; i++) {
            struct local_check *c = local_check_at(&a->local, i);
            if (!c->item.deleted && c->definition.kind == CHECK_ALIAS && !alias_is_remote(a, c)) {
                alias_look(a, c);
            }
        }
    }
    a->refreshing = false;
}

/* A question about another node, for one check. */
struct alias_ask {
    struct sync_ask ask;
    struct list link;
    struct agent *agent;
    struct buf check_id;
    struct buf node;
};

static void alias_ask_free(struct alias_ask *k)
{
    list_remove(&k->link);
    buf_close(&k->check_id);
    buf_close(&k->node);
    free(k);
}

static void alias_answer(struct agent *a, struct local_check *c, const struct sync_rows *rows)
{
    struct bytes service = c->definition.alias_service;
    struct bytes checks = rows->checks;
    struct bytes text;
    enum check_status worst = CHECK_PASSING;
    bool any = false;
    if (!rows->has_node) {
        agent_set_status(a, c, CHECK_CRITICAL, BYTES("The followed node is not there"));
        return;
    }
    while (texts_next(&checks, &text)) {
        struct check_row row;
        if (row_check_decode(text, &row) == OK &&
            (row.service_id.len == 0 || bytes_equal_nocase(row.service_id, service))) {
            any = true;
            worst = row.status > worst ? row.status : worst;
        }
    }
    agent_set_status(a, c, worst, bytes_of(alias_text(any, worst)));
}

static void alias_on_rows(struct sync_ask *ask, enum err status, const struct sync_rows *rows)
{
    struct alias_ask *k = LIST_OWNER(ask, struct alias_ask, ask);
    struct agent *a = k->agent;
    struct local_check *c = a->stopped ? NULL : local_check(&a->local, buf_view(&k->check_id));
    if (c != NULL && status == OK && alias_is_remote(a, c)) {
        alias_answer(a, c, rows);
    }
    alias_ask_free(k);
}

static void alias_ask(struct agent *a, const struct local_check *c)
{
    struct alias_ask *k = mem_zalloc(1, sizeof *k);
    k->agent = a;
    buf_init(&k->check_id, ROW_NAME_MAX);
    buf_init(&k->node, DEFINITION_MAX);
    buf_put(&k->check_id, c->row.id);
    buf_put(&k->node, c->definition.alias_node);
    k->ask = (struct sync_ask){.done = alias_on_rows, .node = buf_view(&k->node)};
    list_append(&a->alias_asks, &k->link);
    a->options.server.ask(a->options.server.ctx, &k->ask);
}

void agent_on_aliases(struct timer *t)
{
    struct agent *a = LIST_OWNER(t, struct agent, aliases);
    env_timer_start(a->env, &a->aliases, ALIAS_REMOTE_MS);
    if (!list_empty(&a->alias_asks)) {
        return;
    }
    for (size_t i = 0; i < a->local.checks.count; i++) {
        const struct local_check *c = local_check_at(&a->local, i);
        if (!c->item.deleted && alias_is_remote(a, c)) {
            alias_ask(a, c);
        }
    }
}

void agent_close_aliases(struct agent *a)
{
    LIST_FOREACH (at, &a->alias_asks) {
        alias_ask_free(LIST_OWNER(at, struct alias_ask, link));
    }
}

/* --- what is critical for too long ---------------------------------------------------------------
 */

void agent_on_reap(struct timer *t)
{
    struct agent *a = LIST_OWNER(t, struct agent, reap);
    uint64_t now = env_now_ms(a->env);
    env_timer_start(a->env, &a->reap, CHECK_REAP_MS);
    for (size_t i = a->local.checks.count; i-- > 0;) {
        if (i >= a->local.checks.count) {
            continue;
        }
        const struct local_check *c = local_check_at(&a->local, i);
        uint64_t after = c->definition.deregister_ms;
        if (c->item.deleted || after == 0 || c->critical_ms == 0 || c->row.service_id.len == 0) {
            continue;
        }
        after = after < CHECK_DEREGISTER_MIN_MS ? CHECK_DEREGISTER_MIN_MS : after;
        if (now - c->critical_ms >= after) {
            log_line(LOG_CHECK_REAPED, "check=\"%.*s\" service=\"%.*s\"", BYTES_FORMAT(c->row.id),
                     BYTES_FORMAT(c->row.service_id));
            enum err e = agent_remove_service(a, c->row.service_id);
            (void)e;
        }
    }
}
