/* What a cluster of real stores does when servers die, come back, are wiped or founded twice. */
#include "cluster_lib.h"

#include <poll.h>
#include <pthread.h>
#include <time.h>

TestSuite(cluster_faults, .timeout = 120);

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void expect_soon(unsigned i, enum read_mode mode, const char *key, const char *value)
{
    enum err e = ERR_NOT_LEADER;
    for (int tries = 0; tries < 5 && e != OK; tries++) {
        e = read_of(i, mode);
    }
    cr_assert_eq(e, OK, "read on %u: %s", i, err_text(e));
    expect(i, mode, key, value);
}

static void *close_on_thread(void *arg)
{
    node_close(*(unsigned *)arg);
    return NULL;
}

/* --- elections ------------------------------------------------------------------------------- */

/* A new leader knows what is committed without anybody writing. */
Test(cluster_faults, a_cluster_that_nobody_wrote_to_answers)
{
    node_setup(3);
    nodes_found(3);
    while (facts_of(1).leader_id == 0) {
        (void)read_of(1, READ_CONSISTENT);
    }
    for (unsigned i = 0; i < 3; i++) {
        expect_soon(i, READ_CONSISTENT, "none", "");
    }
    unsigned heir = (leader(1) + 1) % 3;
    cr_assert_eq(order(1, about(heir, STORE_TRANSFER)).status, OK);
    for (unsigned i = 0; i < 3; i++) {
        expect_soon(i, READ_CONSISTENT, "none", "");
    }
    nodes_end();
}

/* Also a cluster of one that comes back. */
Test(cluster_faults, a_lone_server_answers_after_a_restart)
{
    node_setup(1);
    nodes_found(1);
    must_put(0, "a", "1");
    node_close(0);
    node_open(0);
    expect(0, READ_CONSISTENT, "a", "1");
    cr_assert(store_read_now(nodes[0].store, READ_CONSISTENT));
    nodes_end();
}

Test(cluster_faults, five_go_on_without_two)
{
    node_setup(5);
    nodes_found(5);
    must_put(0, "a", "1");
    unsigned first = leader(0);
    node_close(first);
    unsigned at = (first + 1) % 5;
    must_put(at, "a", "2");
    unsigned second = leader(at) == at ? (at + 1) % 5 : leader(at);
    node_close(second);
    must_put(at, "a", "3");
    for (unsigned i = 0; i < 5; i++) {
        if (nodes[i].store != NULL) {
            expect_soon(i, READ_CONSISTENT, "a", "3");
        }
    }
    node_open(first);
    node_meet(first, 5);
    expect_soon(first, READ_CONSISTENT, "a", "3");
    nodes_end();
}

/* A counter that is raised by compare-and-set: never by more than was answered or is unknown. */
Test(cluster_faults, a_write_whose_leader_dies_happens_once_or_not)
{
    unsigned ok = 0;
    unsigned unknown = 0;
    node_setup(3);
    nodes_found(3);
    must_put(0, "n", "0");
    unsigned gone = leader(0);
    unsigned at = (gone + 1) % 3;
    pthread_t closer;
    for (unsigned i = 0; i < 120; i++) {
        char text[32];
        struct look l = {.node = &nodes[at], .key = "n"};
        if (i == 40) {
            cr_assert_eq(pthread_create(&closer, NULL, close_on_thread, &gone), 0);
        }
        if (read_of(at, READ_CONSISTENT) != OK) {
            continue;
        }
        loop_call(nodes[at].loop, look_on_loop, &l);
        unsigned n = (unsigned)strtoul(l.value, NULL, 10);
        cr_assert_geq(n, ok, "a read that is consistent misses a write");
        cr_assert_leq(n, ok + unknown, "one happened twice");
        snprintf(text, sizeof text, "%u", n + 1);
        struct command c = {
            .type = COMMAND_KV_SET,
            .kv_set = {
                .key = BYTES("n"), .value = bytes_of(text), .check = true, .index = l.index}};
        enum err e = do_command(at, c);
        ok += e == OK;
        unknown += e == ERR_TIMEOUT;
        /* Nobody else writes, so a conflict could only be with itself. */
        cr_assert(e != ERR_CONFLICT || unknown > 0);
    }
    pthread_join(closer, NULL);
    cr_assert_gt(ok, 100);
    nodes_end();
}

Test(cluster_faults, a_minority_refuses_in_time_and_reads_what_it_has)
{
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    for (unsigned i = 0; i < 3; i++) {
        expect_soon(i, READ_CONSISTENT, "a", "1");
    }
    unsigned last = leader(0);
    node_close((last + 1) % 3);
    node_close((last + 2) % 3);
    for (int i = 0; i < 2; i++) {
        uint64_t began_ms = now_ms();
        enum err e = put(last, "a", "2");
        cr_assert(e == ERR_NOT_LEADER || e == ERR_TIMEOUT, "%s", err_text(e));
        cr_assert_lt(now_ms() - began_ms, 3 * RPC_HOLD_MS);
        expect(last, READ_STALE, "a", "1");
    }
    enum err e = read_of(last, READ_CONSISTENT);
    cr_assert(e == ERR_NOT_LEADER || e == ERR_TIMEOUT, "%s", err_text(e));
    cr_assert_neq(read_of(last, READ_DEFAULT), OK);
    nodes_end();
}

/* --- who comes back -------------------------------------------------------------------------- */

Test(cluster_faults, a_server_moves_to_another_port)
{
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    unsigned moved = (leader(0) + 1) % 3;
    unsigned other = leader(0);
    node_close(moved);
    must_put(other, "a", "2");
    nodes[moved].address[0] = '\0';
    node_open(moved);
    node_meet(moved, 3);
    expect_soon(moved, READ_CONSISTENT, "a", "2");
    cr_assert_eq(order(moved, about(moved, STORE_ADD)).status, OK);
    struct store_order o = order(other, (struct store_order){.change = STORE_LIST});
    bool found = false;
    for (size_t i = 0; i < o.servers.count; i++) {
        found = found || strcmp(o.servers.servers[i].address, nodes[moved].address) == 0;
    }
    cr_assert(found, "its new address is in the configuration");
    cr_assert_eq(o.servers.count, 3);
    nodes_end();
}

Test(cluster_faults, a_wiped_follower_learns_all_again)
{
    char line[512];
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    unsigned wiped = (leader(0) + 1) % 3;
    unsigned other = leader(0);
    node_close(wiped);
    snprintf(line, sizeof line, "rm -rf '%s'", nodes[wiped].dir);
    cr_assert_eq(system(line), 0);
    must_put(other, "b", "2");
    node_open(wiped);
    node_meet(wiped, 3);
    must_put(other, "c", "3");
    while (facts_of(wiped).applied_index < facts_of(other).applied_index) {
        (void)read_of(wiped, READ_CONSISTENT);
    }
    expect_soon(wiped, READ_CONSISTENT, "a", "1");
    expect(wiped, READ_CONSISTENT, "b", "2");
    cr_assert_eq(facts_of(wiped).cluster, facts_of(other).cluster);
    nodes_end();
}

/* --- founding -------------------------------------------------------------------------------- */

static void found_through(const unsigned *who, size_t count)
{
    struct store_founder founders[NODES];
    for (size_t i = 0; i < count; i++) {
        memcpy(founders[i].node_id, nodes[who[i]].id, sizeof founders[i].node_id);
        memcpy(founders[i].address, nodes[who[i]].address, sizeof founders[i].address);
    }
    for (size_t i = 0; i < count; i++) {
        store_bootstrap(nodes[who[i]].store, founders, count);
    }
}

/* Server 1 has data: the others do not get into a cluster with it, but may found one without. */
Test(cluster_faults, a_founder_with_data_refuses)
{
    static const unsigned ONE[] = {1};
    static const unsigned ALL[] = {0, 1, 2};
    static const unsigned REST[] = {0, 2};
    node_setup(3);
    found_through(ONE, 1);
    must_put(1, "mine", "1");
    uint64_t cluster = facts_of(1).cluster;
    found_through(ALL, 3);
    uint64_t began_ms = now_ms();
    /* Each try asks anew when the promises of the one before have run out. */
    while (!facts_of(0).bootstrapped || !facts_of(2).bootstrapped) {
        cr_assert_lt(now_ms() - began_ms, 60000);
        found_through(REST, 2);
        (void)read_of(0, READ_STALE);
        (void)poll(NULL, 0, 20);
    }
    must_put(0, "theirs", "2");
    cr_assert_eq(facts_of(1).cluster, cluster);
    cr_assert_neq(facts_of(0).cluster, cluster);
    cr_assert_eq(facts_of(2).cluster, facts_of(0).cluster);
    cr_assert_eq(facts_of(0).voters, 2);
    expect(1, READ_CONSISTENT, "mine", "1");
    expect(1, READ_CONSISTENT, "theirs", "");
    nodes_end();
}

/* Two sets that share a server: it is in one cluster, and the other set is in none. */
Test(cluster_faults, founder_sets_that_overlap_make_one_cluster)
{
    static const unsigned LEFT[] = {0, 1, 2};
    static const unsigned RIGHT[] = {2, 3, 4};
    node_setup(5);
    found_through(RIGHT, 3);
    found_through(LEFT, 3);
    while (!facts_of(2).bootstrapped) {
        (void)poll(NULL, 0, 20);
    }
    bool left = facts_of(0).bootstrapped || facts_of(1).bootstrapped;
    unsigned in = left ? 0 : 3;
    must_put(2, "a", "1");
    for (int i = 0; i < 20; i++) {
        found_through(left ? RIGHT : LEFT, 3);
        cr_assert_eq(read_of(2, READ_CONSISTENT), OK);
    }
    cr_assert_eq(facts_of(2).cluster, facts_of(in).cluster);
    for (unsigned i = left ? 3 : 0; i < (left ? 5U : 2U); i++) {
        cr_assert_not(facts_of(i).bootstrapped, "server %u", i);
        cr_assert_eq(facts_of(i).last_log_index, 0);
    }
    nodes_end();
}

/* --- load ------------------------------------------------------------------------------------ */

struct flood {
    struct proposal proposals[400];
    unsigned count;
    atomic_uint answered;
};

static struct flood floods[NODES];

static void flood_done(struct proposal *p)
{
    struct flood *f = p->ctx;
    atomic_fetch_add(&f->answered, 1);
}

static void flood_send(unsigned i, size_t value_len)
{
    static char value[65536];
    struct flood *f = &floods[i];
    for (unsigned k = 0; k < 400; k++) {
        struct buf data;
        char key[32];
        snprintf(key, sizeof key, "flood/%u/%u", i, f->count);
        struct command c = {.type = COMMAND_KV_SET,
                            .kv_set = {.key = bytes_of(key), .value = {value, value_len}}};
        buf_init(&data, COMMAND_MAX);
        cr_assert_eq(command_encode(&data, &c), OK);
        struct proposal *p = &f->proposals[f->count++];
        *p = (struct proposal){.done = flood_done, .ctx = f};
        store_propose(nodes[i].store, nodes[i].loop, p, &data);
    }
}

/* Every proposal, read and order is answered, whoever closes first. */
Test(cluster_faults, closing_answers_everything)
{
    static struct waiter reads[3];
    static struct waiter orders[3];
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    unsigned first = leader(0);
    for (unsigned i = 0; i < 3; i++) {
        sem_init(&reads[i].done, 0, 0);
        sem_init(&orders[i].done, 0, 0);
        flood_send(i, 4000);
        reads[i].read =
            (struct store_read){.done = read_done, .ctx = &reads[i], .mode = READ_CONSISTENT};
        store_read(nodes[i].store, nodes[i].loop, &reads[i].read);
        orders[i].order = about(i, STORE_DEMOTE);
        orders[i].order.done = order_done;
        orders[i].order.ctx = &orders[i];
        store_order(nodes[i].store, nodes[i].loop, &orders[i].order);
    }
    for (unsigned i = 0; i < 3; i++) {
        unsigned at = (first + i) % 3;
        node_close(at);
        cr_assert_eq(atomic_load(&floods[at].answered), floods[at].count);
        cr_assert_eq(sem_trywait(&reads[at].done), 0);
        cr_assert_eq(sem_trywait(&orders[at].done), 0);
    }
    nodes_end();
}

Test(cluster_faults, servers_that_wait_for_a_cluster_close)
{
    struct waiter w = {0};
    node_setup(2);
    sem_init(&w.done, 0, 0);
    w.read = (struct store_read){.done = read_done, .ctx = &w, .mode = READ_CONSISTENT};
    store_read(nodes[0].store, nodes[0].loop, &w.read);
    flood_send(0, 10);
    cr_assert_eq(order(0, about(1, STORE_ADD)).status, ERR_NOT_LEADER);
    expect(0, READ_STALE, "a", "");
    node_close(0);
    cr_assert_eq(atomic_load(&floods[0].answered), 400);
    cr_assert_eq(sem_trywait(&w.done), 0);
    node_open(0);
    cr_assert_not(facts_of(0).bootstrapped);
    nodes_end();
}

struct writer {
    unsigned at;
    atomic_bool stop;
    unsigned written;
};

static void *writer_on_thread(void *arg)
{
    static char value[16384];
    struct writer *w = arg;
    memset(value, 'v', sizeof value - 1);
    while (!atomic_load(&w->stop)) {
        char key[32];
        snprintf(key, sizeof key, "w/%u", w->written % 500);
        w->written += put(w->at, key, value) == OK;
    }
    return NULL;
}

/* The log runs away from a server that fetches a snapshot; it gets there all the same. */
Test(cluster_faults, a_snapshot_is_fetched_while_the_leader_is_written_to)
{
    struct writer w = {0};
    pthread_t thread;
    node_setup(3);
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
        nodes[i].trailing = 4;
        node_open(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        node_meet(i, 3);
    }
    nodes_found(3);
    must_put(0, "first", "1");
    w.at = leader(0);
    unsigned gone = (w.at + 1) % 3;
    node_close(gone);
    uint64_t missed = facts_of(w.at).last_log_index + 20;
    cr_assert_eq(pthread_create(&thread, NULL, writer_on_thread, &w), 0);
    while (facts_of(w.at).snapshot_index < missed) {
        (void)poll(NULL, 0, 20);
    }
    node_open(gone);
    node_meet(gone, 3);
    uint64_t now = facts_of(w.at).commit_index;
    while (facts_of(gone).applied_index < now + 50) {
        (void)poll(NULL, 0, 20);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    cr_assert_gt(w.written, 0);
    must_put(w.at, "last", "2");
    expect_soon(gone, READ_CONSISTENT, "last", "2");
    expect(gone, READ_STALE, "first", "1");
    cr_assert_str_eq(facts_of(gone).epoch, facts_of(w.at).epoch);
    nodes_end();
}

/* A backup that takes the place of the state does so on all, under a new epoch. */
Test(cluster_faults, a_restore_shows_on_all)
{
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    for (unsigned i = 0; i < 3; i++) {
        expect_soon(i, READ_CONSISTENT, "a", "1");
    }
    char before[17];
    snprintf(before, sizeof before, "%s", facts_of(0).epoch);
    cr_assert_str_eq(facts_of(1).epoch, before);
    unsigned at = (leader(0) + 1) % 3;
    struct command c = {.type = COMMAND_RESTORE_BEGIN, .restore = {.id = 9}};
    cr_assert_eq(do_command(at, c), OK);
    c = (struct command){.type = COMMAND_RESTORE_COMMIT, .restore = {.id = 9}};
    cr_assert_eq(do_command(at, c), OK);
    for (unsigned i = 0; i < 3; i++) {
        expect_soon(i, READ_CONSISTENT, "a", "");
        cr_assert(strcmp(facts_of(i).epoch, before) != 0);
        cr_assert_str_eq(facts_of(i).epoch, facts_of(at).epoch);
    }
    must_put(0, "a", "2");
    expect_soon(2, READ_CONSISTENT, "a", "2");
    nodes_end();
}
