/* The engine without disk, network or clock: one server, and three that talk through a queue. */
#include "core/base/mem.h"
#include "store/replica/engine.h"

#include <criterion/criterion.h>
#include <raft.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX  256
#define POST_MAX 1024

struct node {
    struct engine *engine;
    struct world *world;
    uint64_t id;
    char address[16];
    uint64_t term;
    uint64_t vote;
    uint64_t last;
    uint64_t unsynced; /* told to the engine after the step */
    uint64_t commit;
    uint64_t applied;
    struct journal_entry log[LOG_MAX]; /* by index */
};

struct letter {
    uint64_t from;
    struct raft_message message;
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

static void node_cut_tail(void *ctx, uint64_t from)
{
    struct node *n = ctx;
    cr_assert_gt(from, n->applied);
    for (uint64_t i = from; i <= n->last; i++) {
        free((void *)n->log[i].data.ptr);
        n->log[i] = (struct journal_entry){0};
    }
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

static struct raft_entry *node_fill(struct node *n, uint64_t first, unsigned count)
{
    struct raft_entry *entries = mem_zalloc(count, sizeof *entries);
    size_t len = 1;
    for (unsigned i = 0; i < count; i++) {
        len += n->log[first + i].data.len;
    }
    char *payload = raft_malloc(len);
    for (unsigned i = 0; i < count; i++) {
        struct journal_entry *e = &n->log[first + i];
        memcpy(payload, e->data.ptr, e->data.len);
        entries[i] = (struct raft_entry){
            .term = e->term,
            .type = (unsigned)e->type,
            .buf = {.base = payload, .len = e->data.len},
            .batch = i == 0 ? payload : entries[0].batch,
        };
        payload += e->data.len;
    }
    return entries;
}

static void node_send(void *ctx, const struct raft_message *m)
{
    struct node *n = ctx;
    struct world *w = n->world;
    if (n->id == w->cut_off || m->server_id == w->cut_off) {
        return;
    }
    cr_assert_lt(w->posted, POST_MAX);
    struct letter *letter = &w->post[w->posted++];
    *letter = (struct letter){.from = n->id, .message = *m};
    struct raft_append_entries *append = &letter->message.append_entries;
    if (m->type == RAFT_APPEND_ENTRIES && append->n_entries > 0) {
        append->entries = node_fill(n, append->prev_log_index + 1, append->n_entries);
    }
}

static void node_commit(void *ctx, uint64_t through)
{
    struct node *n = ctx;
    n->commit = through;
    while (n->applied < n->commit) {
        struct journal_entry *e = &n->log[++n->applied];
        if (e->type == JOURNAL_CONFIGURATION) {
            engine_configuration_applied(n->engine, n->applied, e->data, n->world->now_ms);
        }
    }
}

static const struct engine_ops NODE_OPS = {
    .save_vote = node_save_vote,
    .cut_tail = node_cut_tail,
    .append = node_append,
    .send = node_send,
    .commit = node_commit,
};

static void node_sync(struct node *n)
{
    while (n->unsynced != 0) {
        uint64_t index = n->unsynced < n->last ? n->unsynced : n->last;
        n->unsynced = 0;
        engine_persisted(n->engine, index, n->world->now_ms);
    }
}

static void node_start(struct node *n)
{
    struct journal_facts facts = {
        .term = n->term, .vote = n->vote, .first = 1, .last = n->last, .entries = &n->log[1]};
    struct engine_options options = {
        .id = n->id,
        .address = n->address,
        .seed = (unsigned)n->id * 77,
        .guards = guards_on(),
        .ops = &NODE_OPS,
        .ctx = n,
    };
    struct reason why = {0};
    n->engine = engine_new(&options);
    cr_assert_eq(engine_start(n->engine, &facts, n->applied, n->world->now_ms, &why), OK);
    node_sync(n);
}

static void world_open(struct world *w, unsigned count)
{
    struct raft_configuration configuration;
    struct raft_buffer encoded;
    *w = (struct world){.count = count, .now_ms = 1000};
    raft_configuration_init(&configuration);
    for (unsigned i = 0; i < count; i++) {
        struct node *n = &w->nodes[i];
        n->world = w;
        n->id = i + 1;
        (void)snprintf(n->address, sizeof n->address, "node%u", i + 1);
        cr_assert_eq(raft_configuration_add(&configuration, n->id, n->address, RAFT_VOTER), 0);
    }
    cr_assert_eq(raft_configuration_encode(&configuration, &encoded), 0);
    raft_configuration_close(&configuration);
    for (unsigned i = 0; i < count; i++) {
        struct node *n = &w->nodes[i];
        n->term = 1;
        n->last = 1;
        n->log[1] = (struct journal_entry){
            .term = 1,
            .type = JOURNAL_CONFIGURATION,
            .data = {.ptr = mem_dup(encoded.base, encoded.len), .len = encoded.len}};
        node_start(n);
    }
    raft_free(encoded.base);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->posted; i++) {
        struct raft_append_entries *append = &w->post[i].message.append_entries;
        if (w->post[i].message.type == RAFT_APPEND_ENTRIES && append->n_entries > 0) {
            raft_free(append->entries[0].batch);
            free(append->entries);
        }
    }
    for (unsigned i = 0; i < w->count; i++) {
        engine_free(w->nodes[i].engine);
        for (uint64_t at = 1; at <= w->nodes[i].last; at++) {
            free((void *)w->nodes[i].log[at].data.ptr);
        }
    }
}

static void letter_deliver(struct world *w, struct letter *letter)
{
    struct raft_message *m = &letter->message;
    struct node *to = &w->nodes[m->server_id - 1];
    bool entries = m->type == RAFT_APPEND_ENTRIES && m->append_entries.n_entries > 0;
    struct raft_entry *array = entries ? m->append_entries.entries : NULL;
    m->server_id = letter->from;
    m->server_address = w->nodes[letter->from - 1].address;
    engine_receive(to->engine, m, w->now_ms);
    free(array);
    node_sync(to);
}

/* Ten milliseconds pass; what is sent is there before the next ten. */
static void world_tick(struct world *w)
{
    static struct letter now[POST_MAX];
    w->now_ms += 10;
    for (unsigned i = 0; i < w->count; i++) {
        struct node *n = &w->nodes[i];
        if (engine_deadline(n->engine, w->now_ms - 10) <= w->now_ms) {
            engine_timeout(n->engine, w->now_ms);
            node_sync(n);
        }
    }
    while (w->posted > 0) {
        size_t count = w->posted;
        memcpy(now, w->post, count * sizeof *now);
        w->posted = 0;
        for (size_t i = 0; i < count; i++) {
            letter_deliver(w, &now[i]);
        }
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
    engine_free(n->engine);
    n->applied = 2;
    n->commit = 0;
    node_start(n);
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
    for (int i = 0; i < 30; i++) {
        world_tick(&w);
    }
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
    for (int i = 0; i < 30; i++) {
        world_tick(&w);
    }
    w.cut_off = old->id;
    cr_assert_eq(node_submit(old, "lost one"), OK);
    cr_assert_eq(node_submit(old, "lost two"), OK);
    struct node *leader = world_leader(&w);
    cr_assert_neq(leader->id, old->id);
    cr_assert_eq(node_submit(leader, "kept"), OK);
    for (int i = 0; i < 300; i++) {
        world_tick(&w);
    }
    cr_assert_eq(node_submit(old, "refused"), ERR_NOT_LEADER);
    w.cut_off = 0;
    for (int i = 0; i < 300; i++) {
        world_tick(&w);
    }
    leader = world_leader(&w);
    cr_assert_eq(node_submit(leader, "after"), OK);
    for (int i = 0; i < 30; i++) {
        world_tick(&w);
    }
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
    for (int i = 0; i < 100; i++) {
        world_tick(&w);
    }
    cr_assert_eq(leader->commit, leader->last);
    cr_assert_eq(leader->log[leader->last].term, leader->term);
    world_close(&w);
}
