#include "tests/sim/cluster.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "store/store_priv.h"
#include "tests/sim/server.h"

#include <stdio.h>

#define FOUND_US     (SECOND_US / 4)
#define GOSSIP_US    20000U
/* A hand-over that is not heard takes an election timeout, a second. */
#define HANDOVER_US  (SECOND_US * 8 / 10)
#define ORDER_END_US (30 * SECOND_US)

struct cluster cluster;

/* One order on its way. Lives until the end of the run: a server's threads may hold it. */
struct task {
    struct task *next;
    struct store_order order;
    struct server *on;     /* who was asked */
    struct server *target; /* whom it is about; NULL: nobody */
    uint64_t begin_us;
    struct mail mail;
    bool timed;
    bool over;
};

static struct {
    struct task *tasks;
    struct task *current;
    bool stopped;
} orders;

/* --- founding, gossip ------------------------------------------------------------------------ */

static void cluster_found(void *ctx)
{
    struct server *s = ctx;
    struct store_facts facts;
    struct store_founder founders[SERVERS_MAX];
    if (s->serving) {
        store_facts_get(s->store, &facts);
        if (facts.bootstrapped && facts.last_log_index > 0) {
            s->joined = true;
            return;
        }
        for (unsigned i = 0; i < cluster.founders; i++) {
            const struct server *f = &servers[i + 1];
            (void)snprintf(founders[i].node_id, sizeof founders[i].node_id, "%s", f->node_id);
            (void)snprintf(founders[i].address, sizeof founders[i].address, "%s", f->address);
        }
        if (dice_below(3) == 0) {
            store_bootstrap(s->store, founders, cluster.founders);
        }
    }
    world_at(world.now_us + dice_between(1000, FOUND_US), cluster_found, s);
}

static void cluster_gossip(void *ctx)
{
    const struct server *s = ctx;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct server *other = &servers[i];
        if (other == s || !other->used || other->removed) {
            continue;
        }
        if (s->serving) {
            store_server_seen(s->store, other->node_id, other->address);
        }
        if (other->serving && !s->removed) {
            store_server_seen(other->store, s->node_id, s->address);
        }
    }
}

void cluster_on_serving(struct server *s)
{
    if (s->options.start == STORE_WAIT) {
        world_at(world.now_us + dice_below(GOSSIP_US), cluster_gossip, s);
    }
}

/* As the newest leader has it; nobody leads: none. */
static struct store_servers cluster_servers(void)
{
    struct store_servers now = {0};
    uint64_t term = 0;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct store_facts facts = {0};
        if (servers[i].serving) {
            store_facts_get(servers[i].store, &facts);
        }
        if (facts.leader && facts.term > term) {
            term = facts.term;
            now = *engine_servers_committed(servers[i].store->engine);
        }
    }
    return now;
}

void cluster_learn(void)
{
    struct store_servers now = cluster_servers();
    for (unsigned i = 1; i <= SERVERS_MAX && now.count > 0; i++) {
        struct server *s = &servers[i];
        bool member = members_find(&now, store_server_id(s->node_id)) != NULL;
        s->removed = s->removed || (s->added && !member);
        s->added = s->added || member;
    }
}

/* --- orders ---------------------------------------------------------------------------------- */

static void task_end(struct task *t)
{
    if (!t->over) {
        t->over = true;
        orders.current = orders.current == t ? NULL : orders.current;
    }
}

static void task_kill_removed(void *ctx)
{
    struct server *s = ctx;
    struct store_servers now = cluster_servers();
    /* An older order to add it may have been carried out since: then it counts again. */
    if (members_find(&now, store_server_id(s->node_id)) != NULL) {
        s->removed = false;
        return;
    }
    server_crash(s, false);
}

static void task_on_done(struct store_order *o)
{
    struct task *t = o->ctx;
    world_tell(&t->on->process, "order %u about server %u: %s", (unsigned)o->change,
               t->target != NULL ? t->target->number : 0, err_name(o->status));
    if (t->timed && o->change == STORE_TRANSFER && o->status == OK &&
        world.now_us - t->begin_us > HANDOVER_US) {
        world_violate("a hand-over took %llu ms though nothing was in its way",
                      (unsigned long long)((world.now_us - t->begin_us) / 1000));
    }
    if (o->status == OK) {
        cluster.carried_out++;
    }
    if (o->status == OK && o->change == STORE_REMOVE) {
        t->target->removed = true;
        world_at(world.now_us + dice_below(2 * SECOND_US), task_kill_removed, t->target);
    }
    if (o->status == OK && o->change == STORE_ADD) {
        t->target->added = true;
    }
    task_end(t);
}

static void task_on_mail(struct mail *m)
{
    struct task *t = LIST_OWNER(m, struct task, mail);
    store_order(t->on->store, t->on->front, &t->order);
}

static void task_on_patience(void *ctx)
{
    task_end(ctx);
}

static struct server *order_pick(bool (*fits)(const struct server *s))
{
    struct server *found[SERVERS_MAX];
    unsigned count = 0;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        if (fits(&servers[i])) {
            found[count++] = &servers[i];
        }
    }
    return count > 0 ? found[dice_below(count)] : NULL;
}

static bool is_serving(const struct server *s)
{
    return s->serving;
}

static bool is_member(const struct server *s)
{
    return s->used && s->added && !s->removed;
}

static bool is_spare(const struct server *s)
{
    return s->number > 0 && s->number <= cluster.founders + cluster.spares && !s->removed &&
           !s->added;
}

static struct server *order_target(enum store_change change)
{
    if (change == STORE_ADD) {
        struct server *s = order_pick(is_spare);
        if (s != NULL && !s->used) {
            s->used = true;
            server_start(s);
        }
        return s;
    }
    return order_pick(is_member);
}

static enum store_change order_choose(void)
{
    if (cluster.calm) {
        return STORE_TRANSFER;
    }
    static const enum store_change LIKELY[] = {
        STORE_ADD,    STORE_ADD,      STORE_PROMOTE,  STORE_PROMOTE,  STORE_PROMOTE,
        STORE_DEMOTE, STORE_TRANSFER, STORE_TRANSFER, STORE_TRANSFER, STORE_REMOVE,
    };
    return LIKELY[dice_below(sizeof LIKELY / sizeof LIKELY[0])];
}

static unsigned members(void)
{
    unsigned count = 0;
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        count += is_member(&servers[i]) ? 1 : 0;
    }
    return count;
}

static void order_give(void)
{
    struct store_facts facts;
    struct server *on = order_pick(is_serving);
    enum store_change change = order_choose();
    if (on == NULL || (change == STORE_REMOVE && members() <= 3)) {
        return;
    }
    struct server *target = order_target(change);
    if (target == NULL) {
        return;
    }
    struct task *t = mem_zalloc(1, sizeof *t);
    t->next = orders.tasks;
    orders.tasks = t;
    t->on = on;
    t->target = target;
    t->begin_us = world.now_us;
    store_facts_get(on->store, &facts);
    t->timed = cluster.calm && facts.known_leader;
    t->order.done = task_on_done;
    t->order.ctx = t;
    t->order.change = change;
    t->order.id = store_server_id(target->node_id);
    (void)snprintf(t->order.node_id, sizeof t->order.node_id, "%s", target->node_id);
    (void)snprintf(t->order.address, sizeof t->order.address, "%s", target->address);
    t->mail.deliver = task_on_mail;
    orders.current = t;
    world_tell(&on->process, "is ordered: change %u, server %u", (unsigned)change, target->number);
    mailbox_post(loop_mailbox(on->front), &t->mail);
    world_at(world.now_us + ORDER_END_US, task_on_patience, t);
}

static void order_next(void *ctx)
{
    (void)ctx;
    if (orders.stopped) {
        return;
    }
    /* Seldom while another one is under way. */
    if (orders.current == NULL || (!cluster.calm && dice_below(10) == 0)) {
        order_give();
    }
    world_at(world.now_us + dice_skewed(1000, cluster.gap_us), order_next, NULL);
}

void cluster_stop(void)
{
    orders.stopped = true;
}

void cluster_open(unsigned founders, unsigned spares, bool changes, uint64_t gap_us)
{
    cluster = (struct cluster){
        .founders = founders,
        .spares = spares,
        .changes = changes,
        .gap_us = gap_us,
    };
    orders.tasks = NULL;
    orders.current = NULL;
    orders.stopped = false;
    for (unsigned i = 1; i <= founders; i++) {
        servers[i].added = true;
        if (founders > 1) {
            world_at(world.now_us + dice_below(FOUND_US), cluster_found, &servers[i]);
        }
    }
    if (changes && founders > 1) {
        world_at(world.now_us + dice_below(5 * SECOND_US), order_next, NULL);
    }
}
