/* The engine without disk, network or clock: one server, and three that talk through a queue. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/replica/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX     256
#define POST_MAX    1024
#define ELECTION_MS 1000

struct node {
    struct engine *engine;
    struct world *world;
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    uint64_t last;
    uint64_t unsynced; /* told to the engine after the step */
    bool lazy;         /* its disk is slow: nothing is synced */
    uint64_t commit;
    uint64_t applied;
    struct journal_snapshot snapshot;  /* its configuration is the node's own */
    uint64_t installed;                /* the last index an install named */
    struct journal_entry log[LOG_MAX]; /* by index */
};

struct letter {
    uint64_t from;
    uint64_t to;
    struct rpc_message message; /* its entries are the letter's own */
};

struct world {
    struct node nodes[3];
    unsigned count;
    uint64_t now_ms;
    uint64_t cut_off; /* this one hears nothing and is not heard */
    struct letter post[POST_MAX];
    size_t posted;
};

static void node_save_vote(void *ctx, uint64_t term, uint64_t vote)
{
    struct node *n = ctx;
    cr_assert(term > n->term || (term == n->term && (n->vote == 0 || n->vote == vote)));
    n->term = term;
    n->vote = vote;
}

static void node_clear(struct node *n, uint64_t from)
{
    for (uint64_t i = from; i <= n->last; i++) {
        free((void *)n->log[i].data.ptr);
        n->log[i] = (struct journal_entry){0};
    }
}

static void node_install(void *ctx, const struct journal_snapshot *snapshot)
{
    struct node *n = ctx;
    node_clear(n, 1);
    free((void *)n->snapshot.configuration.ptr);
    n->snapshot = *snapshot;
    n->snapshot.configuration.ptr =
        mem_dup(snapshot->configuration.ptr, snapshot->configuration.len);
    n->last = n->applied = n->installed = snapshot->index;
    n->unsynced = 0;
}

static void node_cut_tail(void *ctx, uint64_t from)
{
    struct node *n = ctx;
    cr_assert_gt(from, n->applied);
    node_clear(n, from);
    n->last = from - 1;
}

static void
node_append(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count)
{
    struct node *n = ctx;
    cr_assert_eq(first, n->last + 1);
    for (size_t i = 0; i < count; i++) {
        n->log[++n->last] = entries[i];
        n->log[n->last].data.ptr = mem_dup(entries[i].data.ptr, entries[i].data.len);
    }
    n->unsynced = n->last;
}

static void node_send(void *ctx, uint64_t to, const struct rpc_message *m)
{
    struct node *n = ctx;
    struct world *w = n->world;
    if (n->id == w->cut_off || to == w->cut_off || to > w->count) {
        return;
    }
    cr_assert_lt(w->posted, POST_MAX);
    struct letter *letter = &w->post[w->posted++];
    *letter = (struct letter){.from = n->id, .to = to, .message = *m};
    struct rpc_append *append = &letter->message.append;
    if (m->type == RPC_APPEND && append->count > 0) {
        append->entries = mem_zalloc(append->count, sizeof *append->entries);
        for (uint32_t i = 0; i < append->count; i++) {
            struct journal_entry *e = &append->entries[i];
            *e = n->log[append->prev_index + 1 + i];
            e->data.ptr = mem_dup(e->data.ptr, e->data.len);
        }
    } else if (m->type == RPC_INSTALL) {
        letter->message.install.configuration = (struct bytes){0};
    }
}

static void letter_free(struct letter *letter)
{
    struct rpc_append *append = &letter->message.append;
    if (letter->message.type == RPC_APPEND && append->count > 0) {
        for (uint32_t i = 0; i < append->count; i++) {
            free((void *)append->entries[i].data.ptr);
        }
        free(append->entries);
    }
}

static void node_commit(void *ctx, uint64_t through)
{
    struct node *n = ctx;
    cr_assert_leq(through, n->last);
    n->commit = through;
    n->applied = n->applied < through ? through : n->applied;
}

static const struct engine_ops NODE_OPS = {
    .save_vote = node_save_vote,
    .install = node_install,
    .cut_tail = node_cut_tail,
    .append = node_append,
    .send = node_send,
    .commit = node_commit,
};

static void node_sync(struct node *n)
{
    while (n->unsynced != 0 && !n->lazy) {
        uint64_t index = n->unsynced < n->last ? n->unsynced : n->last;
        n->unsynced = 0;
        engine_persisted(n->engine, index, n->world->now_ms);
    }
}

static enum err node_try_start(struct node *n)
{
    struct journal_facts facts = {.term = n->term,
                                  .vote = n->vote,
                                  .snapshot = n->snapshot,
                                  .first = n->snapshot.index + 1,
                                  .last = n->last,
                                  .entries = &n->log[n->snapshot.index + 1]};
    struct engine_options options = {
        .id = n->id,
        .seed = (unsigned)n->id * 77,
        .election_ms = ELECTION_MS,
        .guards = guards_on(),
        .ops = &NODE_OPS,
        .ctx = n,
    };
    struct reason why = {{0}};
    n->engine = engine_new(&options);
    return engine_start(n->engine, &facts, n->world->now_ms, &why);
}

static void node_start(struct node *n)
{
    cr_assert_eq(node_try_start(n), OK);
    node_sync(n);
}

/* As after a crash: the log is what was synced. */
static void node_restart(struct node *n)
{
    engine_free(n->engine);
    n->commit = 0;
    node_start(n);
}

/* Servers 1 to `voters`, and standbys behind them. */
static struct bytes members(unsigned voters, unsigned standbys)
{
    struct store_servers servers = {0};
    struct buf encoded;
    size_t len = 0;
    for (unsigned i = 1; i <= voters + standbys; i++) {
        struct store_server *s = &servers.servers[servers.count++];
        *s = (struct store_server){.id = i, .role = i <= voters ? STORE_VOTER : STORE_STANDBY};
        (void)snprintf(s->address, sizeof s->address, "node%u:1", i);
    }
    buf_init(&encoded, RAFT_CONFIGURATION_MAX);
    cr_assert_eq(members_encode(&servers, &encoded), OK);
    char *memory = buf_take(&encoded, &len);
    return (struct bytes){.ptr = memory, .len = len};
}

static void world_open(struct world *w, unsigned count)
{
    *w = (struct world){.count = count, .now_ms = 1000};
    for (unsigned i = 0; i < count; i++) {
        struct node *n = &w->nodes[i];
        n->world = w;
        n->id = i + 1;
        n->term = 1;
        n->last = 1;
        n->log[1] = (struct journal_entry){
            .term = 1, .type = JOURNAL_CONFIGURATION, .data = members(count, 0)};
        node_start(n);
    }
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->posted; i++) {
        letter_free(&w->post[i]);
    }
    for (unsigned i = 0; i < w->count; i++) {
        engine_free(w->nodes[i].engine);
        node_clear(&w->nodes[i], 1);
        free((void *)w->nodes[i].snapshot.configuration.ptr);
    }
}

static void letter_deliver(struct world *w, struct letter *letter)
{
    struct node *to = &w->nodes[letter->to - 1];
    if (letter->from != w->cut_off && letter->to != w->cut_off) {
        engine_receive(to->engine, letter->from, &letter->message, w->now_ms);
        node_sync(to);
    }
    letter_free(letter);
}

static void world_deliver(struct world *w)
{
    static struct letter now[POST_MAX];
    while (w->posted > 0) {
        size_t count = w->posted;
        memcpy(now, w->post, count * sizeof *now);
        w->posted = 0;
        for (size_t i = 0; i < count; i++) {
            letter_deliver(w, &now[i]);
        }
    }
}

/* Ten milliseconds pass; what is sent is there before the next ten. */
static void world_tick(struct world *w)
{
    w->now_ms += 10;
    for (unsigned i = 0; i < w->count; i++) {
        struct node *n = &w->nodes[i];
        if (engine_deadline(n->engine, w->now_ms - 10) <= w->now_ms) {
            engine_timeout(n->engine, w->now_ms);
            node_sync(n);
        }
    }
    world_deliver(w);
}

static void world_run(struct world *w, unsigned ticks)
{
    for (unsigned i = 0; i < ticks; i++) {
        world_tick(w);
    }
}

static struct node *world_leader(struct world *w)
{
    for (unsigned ticks = 0; ticks < 1000; ticks++) {
        for (unsigned i = 0; i < w->count; i++) {
            struct node *n = &w->nodes[i];
            if (n->id != w->cut_off && engine_leads(n->engine)) {
                return n;
            }
        }
        world_tick(w);
    }
    cr_assert_fail("no leader in ten seconds");
    return NULL;
}

static enum err node_submit(struct node *n, const char *text)
{
    struct journal_entry entry = {.type = JOURNAL_COMMAND, .data = bytes_of(text)};
    enum err e = engine_submit(n->engine, &entry, 1, n->world->now_ms);
    node_sync(n);
    return e;
}

static enum err node_change(struct node *n, unsigned voters, unsigned standbys)
{
    struct journal_entry entry = {.type = JOURNAL_CONFIGURATION, .data = members(voters, standbys)};
    enum err e = engine_submit(n->engine, &entry, 1, n->world->now_ms);
    node_sync(n);
    free((void *)entry.data.ptr);
    return e;
}

/* --- one server ------------------------------------------------------------------------------- */

Test(engine, a_sole_voter_leads_at_once_in_a_term_of_its_own)
{
    struct world w;
    world_open(&w, 1);
    struct node *n = &w.nodes[0];
    cr_assert(engine_leads(n->engine));
    cr_assert_eq(n->term, 2);
    cr_assert_eq(n->vote, 1);
    cr_assert_eq(node_submit(n, "one"), OK);
    cr_assert_eq(node_submit(n, "two"), OK);
    cr_assert_eq(n->commit, 3);
    cr_assert_eq(n->log[3].term, 2);
    /* Again, as after a crash: what was written in term 2 is not written twice in term 2. */
    n->applied = 2;
    node_restart(n);
    cr_assert_eq(n->term, 3);
    cr_assert_eq(n->commit, 3);
    cr_assert_eq(node_submit(n, "three"), OK);
    cr_assert_eq(n->log[4].term, 3);
    cr_assert_eq(engine_term_of(n->engine, 3), 2);
    cr_assert_eq(engine_term_of(n->engine, 4), 3);
    world_close(&w);
}

Test(engine, many_entries_are_one_step)
{
    struct world w;
    struct journal_entry entries[50];
    world_open(&w, 1);
    struct node *n = &w.nodes[0];
    for (size_t i = 0; i < 50; i++) {
        entries[i] = (struct journal_entry){.type = JOURNAL_COMMAND, .data = BYTES("command")};
    }
    cr_assert_eq(engine_submit(n->engine, entries, 50, w.now_ms), OK);
    cr_assert_eq(n->last, 51);
    cr_assert_eq(n->commit, 1);
    /* Half of the group, then all of it, then a late completion. */
    engine_persisted(n->engine, 26, w.now_ms);
    cr_assert_eq(n->commit, 26);
    engine_persisted(n->engine, 51, w.now_ms);
    cr_assert_eq(n->commit, 51);
    engine_persisted(n->engine, 30, w.now_ms);
    cr_assert_eq(n->commit, 51);
    world_close(&w);
}

Test(engine, a_snapshot_drops_what_precedes_it_but_the_trailing_entries)
{
    struct world w;
    struct journal_snapshot snapshot;
    uint64_t first = 0;
    world_open(&w, 1);
    struct node *n = &w.nodes[0];
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(node_submit(n, "command"), OK);
    }
    cr_assert_eq(engine_snapshot(n->engine, 15, 5, w.now_ms, &snapshot, &first), OK);
    cr_assert_eq(first, 11);
    cr_assert_eq(snapshot.index, 15);
    cr_assert_eq(snapshot.configuration_index, 1);
    cr_assert(bytes_equal(snapshot.configuration, n->log[1].data));
    cr_assert_eq(engine_snapshot(n->engine, 15, 5, w.now_ms, &snapshot, &first), ERR_BUSY);
    cr_assert_eq(node_submit(n, "command"), OK);
    cr_assert_eq(engine_snapshot(n->engine, 22, 0, w.now_ms, &snapshot, &first), OK);
    cr_assert_eq(first, 23);
    cr_assert_eq(node_submit(n, "command"), OK);
    cr_assert_eq(n->commit, 23);
    world_close(&w);
}

Test(engine, it_never_asks_to_be_called_at_once)
{
    struct world w;
    world_open(&w, 1);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t deadline_ms = engine_deadline(w.nodes[0].engine, w.now_ms);
        cr_assert_gt(deadline_ms, w.now_ms);
        w.now_ms = deadline_ms;
        engine_timeout(w.nodes[0].engine, w.now_ms);
        cr_assert(engine_leads(w.nodes[0].engine));
    }
    world_close(&w);
}

/* Nobody else has anything that it does not know of. */
Test(engine, a_sole_voter_is_settled_before_it_writes)
{
    struct world w;
    world_open(&w, 1);
    struct node *n = &w.nodes[0];
    cr_assert(engine_settled(n->engine));
    cr_assert_eq(node_submit(n, "one"), OK);
    node_restart(n);
    cr_assert(engine_settled(n->engine));
    n->lazy = true;
    cr_assert_eq(node_submit(n, "two"), OK);
    cr_assert(engine_settled(n->engine));
    world_close(&w);
}

/* --- three servers ---------------------------------------------------------------------------- */

static void assert_same_logs(struct world *w, uint64_t through)
{
    for (unsigned i = 0; i < w->count; i++) {
        cr_assert_geq(w->nodes[i].applied, through);
        for (uint64_t at = 1; at <= through; at++) {
            struct journal_entry *a = &w->nodes[0].log[at];
            struct journal_entry *b = &w->nodes[i].log[at];
            cr_assert_eq(a->term, b->term);
            cr_assert(bytes_equal(a->data, b->data));
        }
    }
}

Test(engine, three_servers_elect_and_agree)
{
    struct world w;
    world_open(&w, 3);
    struct node *leader = world_leader(&w);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(node_submit(leader, "command"), OK);
        world_tick(&w);
    }
    world_run(&w, 30);
    cr_assert_eq(leader->commit, leader->last);
    assert_same_logs(&w, leader->last);
    world_close(&w);
}

/* A leader that is cut off loses what nobody else has, and takes over the others' entries. */
Test(engine, a_cut_off_leader_gives_way_and_its_lone_entries_are_replaced)
{
    struct world w;
    world_open(&w, 3);
    struct node *old = world_leader(&w);
    cr_assert_eq(node_submit(old, "before"), OK);
    world_run(&w, 30);
    w.cut_off = old->id;
    cr_assert_eq(node_submit(old, "lost one"), OK);
    cr_assert_eq(node_submit(old, "lost two"), OK);
    struct node *leader = world_leader(&w);
    cr_assert_neq(leader->id, old->id);
    cr_assert_eq(node_submit(leader, "kept"), OK);
    world_run(&w, 300);
    cr_assert_eq(node_submit(old, "refused"), ERR_NOT_LEADER);
    w.cut_off = 0;
    world_run(&w, 300);
    leader = world_leader(&w);
    cr_assert_eq(node_submit(leader, "after"), OK);
    world_run(&w, 30);
    assert_same_logs(&w, leader->last);
    world_close(&w);
}

Test(engine, a_new_leader_commits_its_own_first_entry)
{
    struct world w;
    world_open(&w, 3);
    struct node *old = world_leader(&w);
    /* An entry that reached the followers' logs but was not committed for them. */
    cr_assert_eq(node_submit(old, "half way"), OK);
    world_tick(&w);
    w.cut_off = old->id;
    struct node *leader = world_leader(&w);
    world_run(&w, 100);
    cr_assert_eq(leader->commit, leader->last);
    cr_assert_eq(leader->log[leader->last].term, leader->term);
    world_close(&w);
}

/* --- the set of servers ------------------------------------------------------------------------
 */

static void cr_assert_members(const struct store_servers *servers, uint64_t index, size_t count)
{
    cr_assert_eq(servers->configuration_index, index, "index %llu, want %llu",
                 (unsigned long long)servers->configuration_index, (unsigned long long)index);
    cr_assert_eq(servers->count, count);
}

Test(engine, a_configuration_counts_at_once_and_settles_when_it_is_committed)
{
    struct world w;
    struct bytes encoded;
    world_open(&w, 3);
    struct node *leader = world_leader(&w);
    world_run(&w, 30);
    cr_assert(engine_settled(leader->engine));
    cr_assert_not(engine_changing(leader->engine));
    uint64_t at = leader->last + 1;
    cr_assert_eq(node_change(leader, 3, 1), OK);
    cr_assert(engine_changing(leader->engine));
    cr_assert_members(engine_servers(leader->engine), at, 4);
    cr_assert_members(engine_servers_committed(leader->engine), 1, 3);
    cr_assert_eq(node_change(leader, 3, 0), ERR_BUSY);
    world_run(&w, 30);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_not(engine_changing(w.nodes[i].engine));
        cr_assert_members(engine_servers_committed(w.nodes[i].engine), at, 4);
        cr_assert_eq(engine_configuration(w.nodes[i].engine, &encoded), at);
        cr_assert(bytes_equal(encoded, leader->log[at].data));
    }
    world_close(&w);
}

/* A configuration that only a cut-off leader had is taken back with its entry. */
Test(engine, a_configuration_that_is_cut_is_rolled_back)
{
    struct world w;
    world_open(&w, 3);
    struct node *old = world_leader(&w);
    world_run(&w, 30);
    w.cut_off = old->id;
    cr_assert_eq(node_change(old, 3, 1), OK);
    cr_assert_members(engine_servers(old->engine), old->last, 4);
    struct node *leader = world_leader(&w);
    cr_assert_neq(leader->id, old->id);
    world_run(&w, 200);
    w.cut_off = 0;
    world_run(&w, 300);
    cr_assert_members(engine_servers(old->engine), 1, 3);
    cr_assert_not(engine_changing(old->engine));
    leader = world_leader(&w);
    uint64_t at = leader->last + 1;
    cr_assert_eq(node_change(leader, 3, 1), OK);
    world_run(&w, 30);
    cr_assert_members(engine_servers_committed(old->engine), at, 4);
    assert_same_logs(&w, leader->last);
    world_close(&w);
}

/* Server 1 of three, which never stands for election here: 2 speaks to it. */
struct talk {
    struct world w;
    struct journal_entry entries[8];
    uint32_t count;
    uint64_t term;
};

static void talk_open(struct talk *t)
{
    *t = (struct talk){.term = 2};
    world_open(&t->w, 3);
    t->w.cut_off = 1;
}

static void talk_add(struct talk *t, enum journal_type type, struct bytes data)
{
    t->entries[t->count++] = (struct journal_entry){.term = t->term, .type = type, .data = data};
}

/* What 2 sends: the entries so far, behind `prev`. */
static void talk_send(struct talk *t, uint64_t prev, uint64_t prev_term, uint64_t commit)
{
    struct rpc_message m = {.type = RPC_APPEND};
    m.append = (struct rpc_append){.term = t->term,
                                   .prev_index = prev,
                                   .prev_term = prev_term,
                                   .commit = commit,
                                   .entries = t->entries,
                                   .count = t->count};
    engine_receive(t->w.nodes[0].engine, 2, &m, t->w.now_ms);
    node_sync(&t->w.nodes[0]);
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->entries[i].type == JOURNAL_CONFIGURATION) {
            free((void *)t->entries[i].data.ptr);
        }
    }
    t->count = 0;
}

/* 2: command, 3: four servers, 4: command, 5: three servers, 6: five servers. */
static void talk_many(struct talk *t, uint64_t commit)
{
    talk_add(t, JOURNAL_COMMAND, BYTES("one"));
    talk_add(t, JOURNAL_CONFIGURATION, members(3, 1));
    talk_add(t, JOURNAL_COMMAND, BYTES("two"));
    talk_add(t, JOURNAL_CONFIGURATION, members(3, 0));
    talk_add(t, JOURNAL_CONFIGURATION, members(3, 2));
    talk_send(t, 1, 1, commit);
}

Test(engine, a_follower_takes_several_configurations_of_one_message)
{
    struct talk t;
    talk_open(&t);
    struct node *n = &t.w.nodes[0];
    talk_many(&t, 5);
    cr_assert_eq(n->last, 6);
    cr_assert_eq(n->commit, 5);
    cr_assert_members(engine_servers(n->engine), 6, 5);
    cr_assert_members(engine_servers_committed(n->engine), 5, 3);
    talk_send(&t, 6, 2, 6);
    cr_assert_members(engine_servers_committed(n->engine), 6, 5);
    cr_assert_not(engine_changing(n->engine));
    world_close(&t.w);
}

/* The same from a new leader that has not learnt yet how far its log is committed: but whoever made
 * the second configuration knew that the first was. */
Test(engine, a_newer_configuration_says_that_the_older_one_is_committed)
{
    struct talk t;
    struct journal_snapshot snapshot;
    uint64_t first = 0;
    talk_open(&t);
    struct node *n = &t.w.nodes[0];
    talk_many(&t, 1);
    cr_assert_eq(n->commit, 1);
    cr_assert_members(engine_servers(n->engine), 6, 5);
    cr_assert_members(engine_servers_committed(n->engine), 5, 3);
    talk_send(&t, 6, 2, 5);
    cr_assert_eq(n->commit, 5);
    /* A snapshot there has the configuration of that index. */
    cr_assert_eq(engine_snapshot(n->engine, 5, 0, t.w.now_ms, &snapshot, &first), OK);
    cr_assert_eq(snapshot.configuration_index, 5);
    /* Another leader has other entries behind 5. */
    t.term = 3;
    talk_add(&t, JOURNAL_COMMAND, BYTES("other"));
    talk_send(&t, 5, 2, 6);
    cr_assert_members(engine_servers(n->engine), 5, 3);
    cr_assert_eq(n->commit, 6);
    world_close(&t.w);
}

Test(engine, a_restart_finds_the_configurations_of_its_log)
{
    struct talk t;
    talk_open(&t);
    struct node *n = &t.w.nodes[0];
    talk_many(&t, 4);
    n->applied = 4;
    node_restart(n);
    cr_assert_members(engine_servers(n->engine), 6, 5);
    cr_assert_members(engine_servers_committed(n->engine), 5, 3);
    cr_assert(engine_changing(n->engine));
    talk_send(&t, 6, 2, 6);
    cr_assert_members(engine_servers_committed(n->engine), 6, 5);
    /* One that cannot be read is said, not guessed. */
    engine_free(n->engine);
    n->log[3].data.len -= 16;
    cr_assert_eq(node_try_start(n), ERR_CORRUPT);
    world_close(&t.w);
}

/* --- snapshots of others ------------------------------------------------------------------------
 */

static struct journal_snapshot snapshot_at(uint64_t index, uint64_t term, struct bytes members_then)
{
    return (struct journal_snapshot){.index = index,
                                     .term = term,
                                     .configuration_index = index > 3 ? 3 : 1,
                                     .configuration = members_then};
}

Test(engine, a_snapshot_ahead_of_the_log_replaces_it)
{
    struct talk t;
    talk_open(&t);
    struct node *n = &t.w.nodes[0];
    struct bytes four = members(3, 1);
    struct journal_snapshot snapshot = snapshot_at(40, 2, four);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), ERR_NOT_LEADER);
    /* A lone entry of nobody else's. */
    talk_add(&t, JOURNAL_COMMAND, BYTES("old"));
    talk_send(&t, 1, 1, 1);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), OK);
    cr_assert_eq(n->installed, 40);
    cr_assert_eq(engine_first(n->engine), 41);
    cr_assert_eq(engine_last(n->engine), 40);
    cr_assert_eq(n->commit, 40);
    cr_assert_members(engine_servers_committed(n->engine), 3, 4);
    /* The same again, and one before it: nothing to do. */
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), ERR_CONFLICT);
    snapshot = snapshot_at(39, 2, four);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), ERR_CONFLICT);
    /* It goes on from there, also after a restart. */
    talk_add(&t, JOURNAL_COMMAND, BYTES("next"));
    talk_send(&t, 40, 2, 41);
    cr_assert_eq(n->commit, 41);
    node_restart(n);
    cr_assert_eq(engine_last(n->engine), 41);
    cr_assert_members(engine_servers(n->engine), 3, 4);
    free((void *)four.ptr);
    world_close(&t.w);
}

Test(engine, a_snapshot_behind_the_log_is_not_wanted)
{
    struct talk t;
    talk_open(&t);
    struct node *n = &t.w.nodes[0];
    struct bytes three = members(3, 0);
    talk_many(&t, 4);
    struct journal_snapshot snapshot = snapshot_at(3, 2, three);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), ERR_CONFLICT);
    snapshot = snapshot_at(6, 2, three);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), ERR_CONFLICT);
    cr_assert_eq(n->last, 6);
    cr_assert_eq(n->installed, 0);
    /* Of the same index, but what is there is another leader's. */
    t.term = 5;
    talk_send(&t, 4, 2, 4);
    snapshot = snapshot_at(6, 4, three);
    cr_assert_eq(engine_install(n->engine, &snapshot, t.w.now_ms), OK);
    cr_assert_eq(n->last, 6);
    cr_assert_eq(engine_term_of(n->engine, 6), 4);
    free((void *)three.ptr);
    world_close(&t.w);
}

/* --- hand-over ---------------------------------------------------------------------------------
 */

static struct node *world_follower(struct world *w, const struct node *leader)
{
    return &w->nodes[leader->id % w->count];
}

static size_t world_words(const struct world *w, uint64_t to)
{
    size_t count = 0;
    for (size_t i = 0; i < w->posted; i++) {
        count += w->post[i].to == to && w->post[i].message.type == RPC_TIMEOUT_NOW;
    }
    return count;
}

Test(engine, leadership_is_handed_over)
{
    struct world w;
    world_open(&w, 3);
    struct node *old = world_leader(&w);
    struct node *heir = world_follower(&w, old);
    world_run(&w, 30);
    cr_assert_eq(engine_transfer(heir->engine, old->id, w.now_ms), ERR_NOT_LEADER);
    cr_assert_eq(engine_transfer(old->engine, 77, w.now_ms), ERR_NOT_FOUND);
    cr_assert_eq(engine_match(old->engine, heir->id), old->last);
    cr_assert_eq(engine_transfer(old->engine, heir->id, w.now_ms), OK);
    cr_assert_not(engine_takes_entries(old->engine));
    world_run(&w, 30);
    cr_assert(engine_leads(heir->engine));
    /* Though all was committed: a new leader writes to know. */
    cr_assert(engine_settled(heir->engine));
    cr_assert_eq(engine_term_of(heir->engine, heir->commit), heir->term);
    cr_assert_not(engine_leads(old->engine));
    cr_assert_eq(engine_leader(old->engine), heir->id);
    world_close(&w);
}

/* G8: an heir whose disk is behind is not told before all of the log is on it. */
Test(engine, the_word_waits_until_the_heir_has_all)
{
    struct world w;
    world_open(&w, 3);
    struct node *old = world_leader(&w);
    struct node *heir = world_follower(&w, old);
    world_run(&w, 30);
    heir->lazy = true;
    cr_assert_eq(node_submit(old, "late"), OK);
    world_deliver(&w);
    cr_assert_eq(engine_transfer(old->engine, heir->id, w.now_ms), OK);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(world_words(&w, heir->id), 0);
        world_tick(&w);
        cr_assert(engine_leads(old->engine));
    }
    cr_assert_lt(engine_match(old->engine, heir->id), old->last);
    heir->lazy = false;
    node_sync(heir);
    world_run(&w, 5);
    cr_assert(engine_leads(heir->engine));
    world_close(&w);
}
