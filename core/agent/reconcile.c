#include "core/agent/reconcile.h"

#include "core/agent/members_priv.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pass goes over the members by name, then over the nodes that are none; one command at a time,
 * each from the view that has the one before. */
struct reconcile {
    struct members *members;
    struct store_reader reader;
    struct proposal proposal;
    struct buf command;
    struct timer tick;
    uint64_t term;                /* in which this server leads; 0: it does not */
    uint64_t led_ms;              /* since when */
    uint64_t due_ms;              /* when the next pass begins by itself */
    bool passing;                 /* a pass is under way */
    bool again;                   /* something changed since it began */
    char at[GOSSIP_NAME_MAX + 1]; /* the member that was looked at last; "": none */
    bool proposing;
    bool closing;
};

static uint64_t reconcile_now_ms(const struct reconcile *r)
{
    return env_now_ms(members_env(r->members));
}

static void reconcile_rest(struct reconcile *r, uint64_t delay_ms)
{
    if (!r->closing && !r->proposing) {
        env_timer_start(members_env(r->members), &r->tick, delay_ms);
    }
}

/* --- members ---------------------------------------------------------------------------------- */

/* The first member behind the one looked at last; false behind the last. */
static bool reconcile_next_member(const struct reconcile *r, struct gossip_member *ret_member)
{
    const struct members *m = r->members;
    if (m->lan.gossip == NULL) {
        members_self(m, ret_member);
        return r->at[0] == '\0';
    }
    for (size_t i = 0; i < gossip_count(m->lan.gossip); i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, i);
        if (strcmp(g->name, r->at) > 0) {
            *ret_member = *g;
            return true;
        }
    }
    return false;
}

/* Members of other datacenters have their own catalog. */
static bool reconcile_is_ours(const struct reconcile *r, const struct gossip_member *g)
{
    const char *dc = gossip_tag(g, "dc");
    return dc == NULL || strcmp(dc, r->members->options.config->datacenter) == 0;
}

static bool reconcile_is_member(void *ctx, struct bytes name)
{
    const struct reconcile *r = ctx;
    const struct members *m = r->members;
    if (m->lan.gossip == NULL) {
        return bytes_equal_nocase(name, bytes_of(m->options.config->node_name));
    }
    for (size_t i = 0; i < gossip_count(m->lan.gossip); i++) {
        if (bytes_equal_nocase(name, bytes_of(gossip_at(m->lan.gossip, i)->name))) {
            return true;
        }
    }
    return false;
}

/* --- a pass ----------------------------------------------------------------------------------- */

static void reconcile_on_done(struct proposal *p)
{
    struct reconcile *r = p->ctx;
    r->proposing = false;
    if (p->status == ERR_CONFLICT) {
        log_line(LOG_RECONCILE_REFUSED, "node=%s why=\"%.*s\"", r->at, BYTES_FORMAT(p->detail));
    } else if (p->status != OK) {
        /* What became of it, the next pass sees. */
        r->again = true;
    }
    reconcile_rest(r, p->status == OK || p->status == ERR_CONFLICT ? 0 : RECONCILE_RETRY_MS);
}

static void reconcile_propose(struct reconcile *r)
{
    r->proposing = true;
    r->proposal = (struct proposal){.done = reconcile_on_done, .ctx = r};
    store_propose(r->members->options.store, r->members->options.loop, &r->proposal, &r->command);
}

/* The next command of the pass; ERR_NOT_FOUND: the pass is at its end. */
static enum err reconcile_step(struct reconcile *r)
{
    struct view *v = store_reader_view(&r->reader);
    uint64_t wall_ms = env_wall_ms(members_env(r->members));
    struct gossip_member g;
    while (reconcile_next_member(r, &g)) {
        enum err e = ERR_NOT_FOUND;
        (void)snprintf(r->at, sizeof r->at, "%s", g.name);
        if (reconcile_is_ours(r, &g)) {
            e = reconcile_member(v, &g, wall_ms, &r->command);
        }
        if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    /* A new leader may not have heard of all the others yet. */
    if (reconcile_now_ms(r) - r->led_ms < LEAD_SETTLE_MS) {
        return ERR_NOT_FOUND;
    }
    return reconcile_reaped(v, reconcile_is_member, r, wall_ms, &r->command);
}

static void reconcile_begin_pass(struct reconcile *r)
{
    r->passing = true;
    r->again = false;
    r->at[0] = '\0';
}

static void reconcile_end_pass(struct reconcile *r)
{
    uint64_t now_ms = reconcile_now_ms(r);
    uint64_t settles_ms = r->led_ms + LEAD_SETTLE_MS;
    r->passing = false;
    r->due_ms = now_ms + RECONCILE_INTERVAL_MS;
    r->due_ms = now_ms < settles_ms ? settles_ms : r->due_ms;
}

/* Whether this server leads, and is to. */
static bool reconcile_leads(struct reconcile *r)
{
    struct store_facts facts;
    store_facts_get(r->members->options.store, &facts);
    if (!facts.leader || r->members->leave != LEAVE_STAYING) {
        r->term = 0;
        r->passing = false;
        return false;
    }
    if (facts.term != r->term) {
        r->term = facts.term;
        r->led_ms = reconcile_now_ms(r);
        reconcile_begin_pass(r);
    }
    return true;
}

static void reconcile_on_tick(struct timer *t)
{
    struct reconcile *r = LIST_OWNER(t, struct reconcile, tick);
    if (!reconcile_leads(r)) {
        reconcile_rest(r, RECONCILE_TICK_MS);
        return;
    }
    if (!r->passing && (r->again || reconcile_now_ms(r) >= r->due_ms)) {
        reconcile_begin_pass(r);
    }
    enum err e = r->passing ? reconcile_step(r) : ERR_NOT_FOUND;
    if (e == OK) {
        reconcile_propose(r);
        return;
    }
    if (e != ERR_NOT_FOUND) {
        log_line(LOG_RECONCILE_FAILED, "node=%s why=\"%s\"", r->at, err_text(e));
    }
    if (r->passing && e == ERR_NOT_FOUND) {
        reconcile_end_pass(r);
    }
    reconcile_rest(r, r->again ? RECONCILE_RETRY_MS : RECONCILE_TICK_MS);
}

void reconcile_look(struct reconcile *r)
{
    if (r != NULL && !r->closing) {
        r->again = true;
        reconcile_rest(r, 0);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* A restored backup has the nodes of another time. */
static void reconcile_on_changes(struct store_reader *reader, struct change_batch *b)
{
    if (b->replaced) {
        reconcile_look(reader->ctx);
    }
}

struct reconcile *reconcile_open(struct members *m)
{
    struct reconcile *r = mem_zalloc(1, sizeof *r);
    r->members = m;
    r->reader.on_changes = reconcile_on_changes;
    r->reader.ctx = r;
    buf_init(&r->command, COMMAND_MAX);
    store_reader_open(&r->reader, m->options.store, m->options.loop);
    env_timer_init(members_env(m), &r->tick, reconcile_on_tick);
    reconcile_rest(r, 0);
    return r;
}

void reconcile_close(struct reconcile *r)
{
    if (r != NULL && !r->closing) {
        r->closing = true;
        timer_stop(&r->tick);
        store_reader_close(&r->reader);
    }
}

void reconcile_free(struct reconcile *r)
{
    if (r != NULL) {
        CHECK(r->closing && !r->proposing);
        buf_close(&r->command);
        free(r);
    }
}
