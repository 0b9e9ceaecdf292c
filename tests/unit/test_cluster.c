/* Stores of several servers in one process, over real sockets and disks: founding, following,
 * elections, membership, snapshots. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "scratch.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#define NODES 5

struct node {
    char dir[256];
    char id[37];
    char address[STORE_ADDRESS_MAX];
    uint64_t trailing;
    struct store *store;
    struct loop *loop;
    struct store_reader reader;
};

static struct node nodes[NODES];

static void ignore_changes(struct store_reader *r, struct change_batch *b)
{
    (void)r;
    (void)b;
}

static void node_open(unsigned i)
{
    struct node *n = &nodes[i];
    struct reason why = {{0}};
    struct store_options options = {
        .data_dir = n->dir,
        .node_id = n->id,
        .address = n->address[0] != '\0' ? n->address : "127.0.0.1:0",
        .start = STORE_WAIT,
        .listen_address = "127.0.0.1",
        .history_bytes = HISTORY_BYTES_DEFAULT,
        .log_trailing = n->trailing,
    };
    if (n->address[0] != '\0') {
        options.listen_port = (uint16_t)strtoul(strrchr(n->address, ':') + 1, NULL, 10);
    }
    cr_assert_eq(store_open(&options, &n->store, &why), OK, "%s", why.text);
    snprintf(n->address, sizeof n->address, "%s", store_address(n->store));
    n->loop = loop_new("front");
    n->reader = (struct store_reader){.on_changes = ignore_changes};
    store_reader_open(&n->reader, n->store, n->loop);
    loop_start(n->loop);
}

static void node_close(unsigned i)
{
    struct node *n = &nodes[i];
    loop_stop(n->loop);
    loop_join(n->loop);
    store_reader_close(&n->reader);
    store_close(n->store);
    loop_drain(n->loop);
    loop_free(n->loop);
    n->store = NULL;
}

static void node_setup(unsigned count)
{
    scratch_make();
    for (unsigned i = 0; i < count; i++) {
        nodes[i] = (struct node){.trailing = LOG_TRAILING_DEFAULT};
        snprintf(nodes[i].dir, sizeof nodes[i].dir, "%s/%u", scratch, i);
        snprintf(nodes[i].id, sizeof nodes[i].id, "%08x-0000-4000-8000-%012x", i + 1, i + 1);
        node_open(i);
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < count; j++) {
            store_server_seen(nodes[i].store, nodes[j].id, nodes[j].address);
        }
    }
}

static void nodes_found(unsigned count)
{
    struct store_founder founders[NODES];
    for (unsigned i = 0; i < count; i++) {
        snprintf(founders[i].node_id, sizeof founders[i].node_id, "%s", nodes[i].id);
        snprintf(founders[i].address, sizeof founders[i].address, "%s", nodes[i].address);
    }
    for (unsigned i = 0; i < count; i++) {
        store_bootstrap(nodes[i].store, founders, count);
    }
}

static void nodes_end(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (nodes[i].store != NULL) {
            node_close(i);
        }
    }
    scratch_drop();
}

/* --- what a client does, waiting for the answer ---------------------------------------------- */

struct waiter {
    union {
        struct proposal proposal;
        struct store_read read;
        struct store_order order;
    };
    sem_t done;
};

static void proposal_done(struct proposal *p)
{
    sem_post(&((struct waiter *)p->ctx)->done);
}

static void read_done(struct store_read *r)
{
    sem_post(&((struct waiter *)r->ctx)->done);
}

static void order_done(struct store_order *o)
{
    sem_post(&((struct waiter *)o->ctx)->done);
}

static enum err put(unsigned i, const char *key, const char *value)
{
    struct waiter w = {0};
    struct buf data;
    struct command c = {.type = COMMAND_KV_SET,
                        .kv_set = {.key = bytes_of(key), .value = bytes_of(value)}};
    sem_init(&w.done, 0, 0);
    buf_init(&data, COMMAND_MAX);
    cr_assert_eq(command_encode(&data, &c), OK);
    w.proposal = (struct proposal){.done = proposal_done, .ctx = &w};
    store_propose(nodes[i].store, nodes[i].loop, &w.proposal, &data);
    sem_wait(&w.done);
    return w.proposal.status;
}

/* A refused write is tried again until there is a leader. */
static void must_put(unsigned i, const char *key, const char *value)
{
    enum err e = ERR_BUSY;
    for (int tries = 0; tries < 10 && e != OK; tries++) {
        e = put(i, key, value);
    }
    cr_assert_eq(e, OK, "put through %u: %s", i, err_text(e));
}

struct look {
    struct node *node;
    const char *key;
    char value[64];
};

static void look_on_loop(void *arg)
{
    struct look *l = arg;
    struct view *v = store_reader_view(&l->node->reader);
    struct view_pin pin = {0};
    struct kv_row row;
    l->value[0] = '\0';
    if (view_kv_get(v, bytes_of(l->key), &pin, &row) == OK && !row.dead) {
        snprintf(l->value, sizeof l->value, "%.*s", BYTES_FORMAT(row.value));
    }
    view_pin_close(&pin);
}

static void expect(unsigned i, enum read_mode mode, const char *key, const char *value)
{
    struct waiter w = {0};
    struct look l = {.node = &nodes[i], .key = key};
    sem_init(&w.done, 0, 0);
    w.read = (struct store_read){.done = read_done, .ctx = &w, .mode = mode};
    store_read(nodes[i].store, nodes[i].loop, &w.read);
    sem_wait(&w.done);
    cr_assert_eq(w.read.status, OK, "read on %u: %s", i, err_text(w.read.status));
    loop_call(nodes[i].loop, look_on_loop, &l);
    cr_assert_str_eq(l.value, value, "server %u, %s", i, key);
}

static struct store_order order(unsigned i, struct store_order o)
{
    struct waiter w = {0};
    sem_init(&w.done, 0, 0);
    w.order = o;
    w.order.done = order_done;
    w.order.ctx = &w;
    store_order(nodes[i].store, nodes[i].loop, &w.order);
    sem_wait(&w.done);
    return w.order;
}

static struct store_order about(unsigned i, enum store_change change)
{
    struct store_order o = {.change = change, .id = store_server_id(nodes[i].id)};
    snprintf(o.node_id, sizeof o.node_id, "%s", nodes[i].id);
    snprintf(o.address, sizeof o.address, "%s", nodes[i].address);
    return o;
}

static unsigned leader(unsigned i)
{
    struct store_facts facts;
    store_facts_get(nodes[i].store, &facts);
    for (unsigned j = 0; j < NODES; j++) {
        if (nodes[j].id[0] != '\0' && store_server_id(nodes[j].id) == facts.leader_id) {
            return j;
        }
    }
    cr_assert_fail("no leader is known");
    return 0;
}

/* --- tests ----------------------------------------------------------------------------------- */

/* Three find each other, and a write through any of them can be read on all. */
Test(cluster, three_are_founded_and_agree)
{
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    must_put(1, "b", "2");
    must_put(2, "c", "3");
    for (unsigned i = 0; i < 3; i++) {
        expect(i, READ_CONSISTENT, "a", "1");
        expect(i, READ_DEFAULT, "b", "2");
        expect(i, READ_CONSISTENT, "c", "3");
    }
    struct store_order o = order(1, (struct store_order){.change = STORE_LIST});
    cr_assert_eq(o.servers.count, 3);
    nodes_end();
}

/* The leader goes; the others elect one and go on; it comes back and learns what it missed. */
Test(cluster, leader_goes_and_comes_back)
{
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    unsigned gone = leader(0);
    unsigned other = (gone + 1) % 3;
    node_close(gone);
    must_put(other, "a", "2");
    node_open(gone);
    for (unsigned i = 0; i < 3; i++) {
        store_server_seen(nodes[gone].store, nodes[i].id, nodes[i].address);
    }
    expect(gone, READ_CONSISTENT, "a", "2");
    must_put(gone, "a", "3");
    expect(other, READ_CONSISTENT, "a", "3");
    nodes_end();
}

/* A fourth joins as standby, is promoted, takes over, and another leaves. */
Test(cluster, servers_join_and_leave)
{
    node_setup(4);
    nodes_found(3);
    must_put(0, "a", "1");
    cr_assert_eq(order(0, about(3, STORE_ADD)).status, OK);
    cr_assert_eq(order(1, about(3, STORE_PROMOTE)).status, OK);
    cr_assert_eq(order(2, about(3, STORE_TRANSFER)).status, OK);
    must_put(0, "a", "2");
    cr_assert_eq(leader(0), 3);
    cr_assert_eq(order(3, about(0, STORE_REMOVE)).status, OK);
    cr_assert_eq(order(1, about(3, STORE_REMOVE)).status, OK, "the leader itself");
    must_put(1, "a", "3");
    expect(2, READ_CONSISTENT, "a", "3");
    struct store_order o = order(2, (struct store_order){.change = STORE_LIST});
    cr_assert_eq(o.servers.count, 2);
    cr_assert_eq(order(2, about(1, STORE_REMOVE)).status, ERR_CONFLICT, "never down to one");
    nodes_end();
}

/* Who comes when the log does not reach back any more gets the state. */
Test(cluster, newcomer_gets_a_snapshot)
{
    static char value[32768];
    memset(value, 'x', sizeof value - 1);
    node_setup(3);
    nodes[0].trailing = nodes[1].trailing = nodes[2].trailing = 4;
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
        node_open(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 3; j++) {
            store_server_seen(nodes[i].store, nodes[j].id, nodes[j].address);
        }
    }
    nodes_found(3);
    must_put(0, "first", "1");
    unsigned gone = leader(0) == 2 ? 1 : 2;
    node_close(gone);
    struct store_facts facts = {0};
    unsigned at = leader(0);
    for (unsigned i = 0; i < 4000 && facts.snapshot_index < 20; i++) {
        char key[32];
        snprintf(key, sizeof key, "k/%u", i);
        must_put(at, key, value);
        store_facts_get(nodes[at].store, &facts);
    }
    cr_assert_geq(facts.snapshot_index, 20, "the log was cut");
    node_open(gone);
    for (unsigned i = 0; i < 3; i++) {
        store_server_seen(nodes[gone].store, nodes[i].id, nodes[i].address);
    }
    must_put(at, "last", "2");
    expect(gone, READ_CONSISTENT, "last", "2");
    expect(gone, READ_STALE, "first", "1");
    must_put(gone, "more", "3");
    expect(at, READ_CONSISTENT, "more", "3");
    nodes_end();
}
