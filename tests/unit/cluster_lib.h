/* Stores of several servers in one process, over real sockets and disks, and what clients do to
 * them, waiting for the answer.
 *
 * Threads  one test is one process.
 */
#ifndef TESTS_UNIT_CLUSTER_LIB_H
#define TESTS_UNIT_CLUSTER_LIB_H

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
    const struct store_recovery *recovery; /* NULL: none */
    struct store *store;
    struct loop *loop;
    struct store_reader reader;
};

static struct node nodes[NODES];

static inline void ignore_changes(struct store_reader *r, struct change_batch *b)
{
    (void)r;
    (void)b;
}

static inline enum err node_try_open(unsigned i, struct reason *why)
{
    struct node *n = &nodes[i];
    struct store_options options = {
        .data_dir = n->dir,
        .node_id = n->id,
        .address = n->address[0] != '\0' ? n->address : "127.0.0.1:0",
        .start = STORE_WAIT,
        .listen_address = "127.0.0.1",
        .history_bytes = HISTORY_BYTES_DEFAULT,
        .log_trailing = n->trailing,
        .recovery = n->recovery,
    };
    if (n->address[0] != '\0') {
        options.listen_port = (uint16_t)strtoul(strrchr(n->address, ':') + 1, NULL, 10);
    }
    return store_open(&options, &n->store, why);
}

static inline void node_open(unsigned i)
{
    struct node *n = &nodes[i];
    struct reason why = {{0}};
    cr_assert_eq(node_try_open(i, &why), OK, "%s", why.text);
    snprintf(n->address, sizeof n->address, "%s", store_address(n->store));
    n->loop = loop_new("front");
    n->reader = (struct store_reader){.on_changes = ignore_changes};
    store_reader_open(&n->reader, n->store, n->loop);
    loop_start(n->loop);
}

static inline void node_close(unsigned i)
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

static inline void node_setup(unsigned count)
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

static inline void nodes_found(unsigned count)
{
    struct store_founder founders[NODES];
    for (unsigned i = 0; i < count; i++) {
        memcpy(founders[i].node_id, nodes[i].id, sizeof founders[i].node_id);
        memcpy(founders[i].address, nodes[i].address, sizeof founders[i].address);
    }
    for (unsigned i = 0; i < count; i++) {
        store_bootstrap(nodes[i].store, founders, count);
    }
}

static inline void nodes_end(void)
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

static inline void proposal_done(struct proposal *p)
{
    sem_post(&((struct waiter *)p->ctx)->done);
}

static inline void read_done(struct store_read *r)
{
    sem_post(&((struct waiter *)r->ctx)->done);
}

static inline void order_done(struct store_order *o)
{
    sem_post(&((struct waiter *)o->ctx)->done);
}

static inline enum err put(unsigned i, const char *key, const char *value)
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
static inline void must_put(unsigned i, const char *key, const char *value)
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
    uint64_t index; /* the key's; 0: there is none */
};

static inline void look_on_loop(void *arg)
{
    struct look *l = arg;
    struct view *v = store_reader_view(&l->node->reader);
    struct view_pin pin = {0};
    struct kv_row row;
    l->value[0] = '\0';
    l->index = 0;
    if (view_kv_get(v, bytes_of(l->key), &pin, &row) == OK && !row.dead) {
        snprintf(l->value, sizeof l->value, "%.*s", BYTES_FORMAT(row.value));
        l->index = row.modify_index;
    }
    view_pin_close(&pin);
}

static inline void expect(unsigned i, enum read_mode mode, const char *key, const char *value)
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

static inline struct store_order order(unsigned i, struct store_order o)
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

static inline struct store_order about(unsigned i, enum store_change change)
{
    struct store_order o = {.change = change, .id = store_server_id(nodes[i].id)};
    snprintf(o.node_id, sizeof o.node_id, "%s", nodes[i].id);
    snprintf(o.address, sizeof o.address, "%s", nodes[i].address);
    return o;
}

static inline unsigned leader(unsigned i)
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

static inline struct store_facts facts_of(unsigned i)
{
    struct store_facts facts;
    store_facts_get(nodes[i].store, &facts);
    return facts;
}

/* To the servers that are open, in both directions. */
static inline void node_meet(unsigned i, unsigned count)
{
    for (unsigned j = 0; j < count; j++) {
        if (j != i && nodes[j].store != NULL) {
            store_server_seen(nodes[i].store, nodes[j].id, nodes[j].address);
            store_server_seen(nodes[j].store, nodes[i].id, nodes[i].address);
        }
    }
}

static inline enum err do_command(unsigned i, struct command c)
{
    struct waiter w = {0};
    struct buf data;
    sem_init(&w.done, 0, 0);
    buf_init(&data, COMMAND_MAX);
    cr_assert_eq(command_encode(&data, &c), OK);
    w.proposal = (struct proposal){.done = proposal_done, .ctx = &w};
    store_propose(nodes[i].store, nodes[i].loop, &w.proposal, &data);
    sem_wait(&w.done);
    return w.proposal.status;
}

static inline enum err read_of(unsigned i, enum read_mode mode)
{
    struct waiter w = {0};
    sem_init(&w.done, 0, 0);
    w.read = (struct store_read){.done = read_done, .ctx = &w, .mode = mode};
    store_read(nodes[i].store, nodes[i].loop, &w.read);
    sem_wait(&w.done);
    return w.read.status;
}

#endif
