#include "core/agent/lead.h"

#include "core/agent/members_priv.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a server has kept up. */
struct lead_watch {
    uint64_t id;       /* 0: this place is free */
    uint64_t since_ms; /* it was well at every look since then; 0: it is not */
};

struct lead {
    struct members *members;
    struct store_reader reader; /* autopilot's configuration */
    struct store_order order;
    bool ordering;
    struct proposal settings; /* the first configuration of autopilot */
    bool setting;
    bool closing;
    bool again; /* something changed while an order was under way */
    struct timer tick;
    uint64_t settled_ms; /* since when this server has led */
    struct lead_watch watches[STORE_SERVERS_MAX];
    /* Who was just removed, and until when that holds: it still gossips while it leaves. */
    struct lead_watch gone[STORE_SERVERS_MAX];
    size_t gone_next;
};

static void lead_on_changes(struct store_reader *r, struct change_batch *b)
{
    (void)r;
    (void)b;
}

static uint64_t lead_now_ms(const struct lead *l)
{
    return env_now_ms(members_env(l->members));
}

static void lead_on_set(struct proposal *p)
{
    struct lead *l = p->ctx;
    l->setting = false;
}

/* So that there is a row to compare with, for whoever changes it under a condition. */
static void lead_set(struct lead *l, const struct autopilot *a)
{
    struct loop *loop = l->members->options.loop;
    struct command c = {
        .type = COMMAND_AUTOPILOT_SET,
        .time_ms = env_wall_ms(loop_env(loop)),
        .autopilot_set = {.autopilot = *a, .check = true},
    };
    struct buf command;
    if (l->setting) {
        return;
    }
    buf_init(&command, COMMAND_MAX);
    enum err e = command_encode(&command, &c);
    CHECK(e == OK);
    l->setting = true;
    l->settings = (struct proposal){.done = lead_on_set, .ctx = l};
    store_propose(l->members->options.store, loop, &l->settings, &command);
}

static void lead_settings(struct lead *l, struct autopilot *ret_autopilot)
{
    const struct config *c = l->members->options.config;
    enum err e = view_autopilot(store_reader_view(&l->reader), ret_autopilot);
    if (e != OK) {
        *ret_autopilot = (struct autopilot){
            .cleanup_dead_servers = c->autopilot_cleanup,
            .last_contact_threshold_ms = c->autopilot_contact_ms,
            .max_trailing_logs = c->autopilot_trailing,
            .server_stabilization_ms = c->autopilot_stable_ms,
            .min_quorum = c->autopilot_min_quorum,
        };
    }
    if (e == ERR_NOT_FOUND) {
        lead_set(l, ret_autopilot);
    }
}

/* --- who is well ----------------------------------------------------------------------------- */

static const struct gossip_member *lead_member(const struct lead *l, uint64_t id)
{
    const struct members *m = l->members;
    const struct gossip_member *found = NULL;
    for (size_t i = 0; i < gossip_count(m->lan.gossip); i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        if (member_is_server(m, g) && store_server_id(gossip_tag(g, "id")) == id &&
            /* A server may come back under another name. */
            (found == NULL || g->status == GOSSIP_ALIVE)) {
            found = g;
        }
    }
    return found;
}

static bool lead_is_well(const struct lead *l,
                         const struct store_server *server,
                         uint64_t last,
                         const struct autopilot *a)
{
    const struct gossip_member *g = lead_member(l, server->id);
    return server->self || (g != NULL && g->status == GOSSIP_ALIVE &&
                            server->last_contact_ms <= a->last_contact_threshold_ms &&
                            server->match_index + a->max_trailing_logs >= last);
}

static struct lead_watch *lead_watch(struct lead *l, uint64_t id)
{
    struct lead_watch *free_place = NULL;
    for (size_t i = 0; i < STORE_SERVERS_MAX; i++) {
        if (l->watches[i].id == id) {
            return &l->watches[i];
        }
        if (l->watches[i].id == 0 && free_place == NULL) {
            free_place = &l->watches[i];
        }
    }
    if (free_place != NULL) {
        *free_place = (struct lead_watch){.id = id};
    }
    return free_place;
}

static void
lead_watch_all(struct lead *l, const struct store_servers *servers, const struct autopilot *a)
{
    struct store_facts facts;
    store_facts_get(l->members->options.store, &facts);
    for (size_t i = 0; i < STORE_SERVERS_MAX; i++) {
        bool there = false;
        for (size_t j = 0; j < servers->count; j++) {
            there = there || servers->servers[j].id == l->watches[i].id;
        }
        if (!there && l->watches[i].id != 0) {
            l->gone[l->gone_next++ % STORE_SERVERS_MAX] = (struct lead_watch){
                .id = l->watches[i].id, .since_ms = lead_now_ms(l) + LEAD_GONE_MS};
            l->watches[i] = (struct lead_watch){0};
        }
    }
    for (size_t i = 0; i < servers->count; i++) {
        struct lead_watch *w = lead_watch(l, servers->servers[i].id);
        if (w == NULL) {
            continue;
        }
        if (!lead_is_well(l, &servers->servers[i], facts.last_log_index, a)) {
            w->since_ms = 0;
        } else if (w->since_ms == 0) {
            w->since_ms = lead_now_ms(l);
        }
    }
}

/* --- what is to be done ---------------------------------------------------------------------- */

static void lead_address(const struct gossip_member *g, char ret_address[STORE_ADDRESS_MAX])
{
    (void)snprintf(ret_address, STORE_ADDRESS_MAX,
                   strchr(g->address, ':') != NULL ? "[%s]:%s" : "%s:%s", g->address,
                   gossip_tag(g, "port"));
}

static const struct store_server *lead_find(const struct store_servers *servers, uint64_t id)
{
    for (size_t i = 0; i < servers->count; i++) {
        if (servers->servers[i].id == id) {
            return &servers->servers[i];
        }
    }
    return NULL;
}

static bool lead_is_gone(const struct lead *l, uint64_t id)
{
    for (size_t i = 0; i < STORE_SERVERS_MAX; i++) {
        if (l->gone[i].id == id && lead_now_ms(l) < l->gone[i].since_ms) {
            return true;
        }
    }
    return false;
}

/* A server that is not part of the cluster, or has moved. */
static bool
lead_plan_add(const struct lead *l, const struct store_servers *servers, struct store_order *o)
{
    const struct members *m = l->members;
    for (size_t i = 0; i < gossip_count(m->lan.gossip); i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        if (!member_is_server(m, g) || g->status != GOSSIP_ALIVE) {
            continue;
        }
        const char *node_id = gossip_tag(g, "id");
        const struct store_server *known = lead_find(servers, store_server_id(node_id));
        char address[STORE_ADDRESS_MAX];
        lead_address(g, address);
        bool gone = known == NULL && lead_is_gone(l, store_server_id(node_id));
        if (!gone && (known == NULL || strcmp(known->address, address) != 0)) {
            o->change = STORE_ADD;
            o->id = store_server_id(node_id);
            (void)snprintf(o->node_id, sizeof o->node_id, "%s", node_id);
            (void)snprintf(o->address, sizeof o->address, "%s", address);
            return true;
        }
    }
    return false;
}

static bool lead_plan_promote(struct lead *l,
                              const struct store_servers *servers,
                              const struct autopilot *a,
                              struct store_order *o)
{
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        const struct lead_watch *w = lead_watch(l, server->id);
        if (server->role == STORE_STANDBY && w != NULL && w->since_ms != 0 &&
            lead_now_ms(l) - w->since_ms >= a->server_stabilization_ms) {
            o->change = STORE_PROMOTE;
            o->id = server->id;
            return true;
        }
    }
    return false;
}

/* Whoever left goes at once. Whoever died goes when there are others in its place: as many voters
 * live as this cluster was founded for, or as it has without the dead. */
static bool lead_plan_remove(const struct lead *l,
                             const struct store_servers *servers,
                             const struct autopilot *a,
                             struct store_order *o)
{
    const struct store_server *dead = NULL;
    size_t alive = 0;
    size_t voters = 0;
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        const struct gossip_member *g = lead_member(l, server->id);
        bool left = g != NULL && g->status == GOSSIP_LEFT;
        bool here = server->self || (g != NULL && g->status == GOSSIP_ALIVE);
        voters += server->role == STORE_VOTER;
        alive += server->role == STORE_VOTER && here;
        if (left && !server->self) {
            o->change = STORE_REMOVE;
            o->id = server->id;
            return true;
        }
        dead = !here && (g == NULL || g->status == GOSSIP_FAILED) ? server : dead;
    }
    size_t meant = (size_t)l->members->options.config->bootstrap_expect;
    meant = meant > 0 ? meant : voters;
    /* A new leader may not have heard of all the others yet. */
    bool settled = lead_now_ms(l) - l->settled_ms >= LEAD_SETTLE_MS;
    if (dead == NULL || !a->cleanup_dead_servers || !settled || alive < a->min_quorum ||
        (dead->role == STORE_VOTER && alive < meant)) {
        return false;
    }
    o->change = STORE_REMOVE;
    o->id = dead->id;
    return true;
}

/* --- doing it -------------------------------------------------------------------------------- */

static void lead_on_done(struct store_order *o);

static void lead_begin(struct lead *l, const struct store_order *o)
{
    l->order = *o;
    l->order.done = lead_on_done;
    l->order.ctx = l;
    l->ordering = true;
    store_order(l->members->options.store, l->members->options.loop, &l->order);
}

static void lead_rest(struct lead *l, uint64_t delay_ms)
{
    if (!l->closing) {
        env_timer_start(members_env(l->members), &l->tick, delay_ms);
    }
}

static void lead_plan(struct lead *l, const struct store_servers *servers)
{
    struct autopilot a;
    struct store_order o = {0};
    lead_settings(l, &a);
    lead_watch_all(l, servers, &a);
    if (lead_plan_remove(l, servers, &a, &o) || lead_plan_add(l, servers, &o) ||
        lead_plan_promote(l, servers, &a, &o)) {
        const struct gossip_member *g = lead_member(l, o.id);
        log_line(LOG_LEAD_ORDER, "change=%s node=%s server=%016llx",
                 o.change == STORE_ADD       ? "add"
                 : o.change == STORE_PROMOTE ? "promote"
                                             : "remove",
                 g != NULL ? g->name : "(unknown)", (unsigned long long)o.id);
        lead_begin(l, &o);
    } else {
        lead_rest(l, l->again ? LEAD_SOON_MS : LEAD_TICK_MS);
        l->again = false;
    }
}

static void lead_on_done(struct store_order *o)
{
    struct lead *l = o->ctx;
    l->ordering = false;
    if (l->closing) {
        return;
    }
    struct store_facts facts;
    store_facts_get(l->members->options.store, &facts);
    if (!facts.leader || l->members->lan.gossip == NULL) {
        lead_rest(l, LEAD_TICK_MS);
    } else if (o->change == STORE_LIST) {
        struct store_servers servers = o->servers;
        lead_plan(l, &servers);
    } else {
        if (o->status != OK) {
            log_line(LOG_LEAD_FAILED, "server=%016llx why=\"%s\"", (unsigned long long)o->id,
                     err_text(o->status));
        }
        lead_rest(l, o->status == OK ? LEAD_SOON_MS : LEAD_TICK_MS);
    }
}

static void lead_on_tick(struct timer *t)
{
    struct lead *l = LIST_OWNER(t, struct lead, tick);
    struct members *m = l->members;
    struct store_facts facts;
    store_facts_get(m->options.store, &facts);
    if (!facts.leader || m->lan.gossip == NULL || m->leave != LEAVE_STAYING) {
        l->settled_ms = 0;
        memset(l->watches, 0, sizeof l->watches);
        lead_rest(l, LEAD_TICK_MS);
        return;
    }
    if (l->settled_ms == 0) {
        l->settled_ms = lead_now_ms(l);
    }
    lead_begin(l, &(struct store_order){.change = STORE_LIST});
}

void lead_look(struct lead *l)
{
    if (l == NULL || l->closing) {
        return;
    }
    l->again = true;
    if (!l->ordering) {
        lead_rest(l, LEAD_SOON_MS);
    }
}

static void lead_on_store(void *ctx)
{
    struct lead *l = ctx;
    lead_look(l);
    reconcile_look(l->members->reconcile);
}

struct lead *lead_open(struct members *m)
{
    struct lead *l = mem_zalloc(1, sizeof *l);
    l->members = m;
    l->reader.on_changes = lead_on_changes;
    store_reader_open(&l->reader, m->options.store, m->options.loop);
    store_on_change(m->options.store, m->options.loop, lead_on_store, l);
    env_timer_init(members_env(m), &l->tick, lead_on_tick);
    lead_rest(l, LEAD_TICK_MS);
    return l;
}

void lead_close(struct lead *l)
{
    if (l != NULL && !l->closing) {
        l->closing = true;
        timer_stop(&l->tick);
        store_reader_close(&l->reader);
    }
}

void lead_free(struct lead *l)
{
    if (l != NULL) {
        CHECK(l->closing && !l->ordering && !l->setting);
        free(l);
    }
}
