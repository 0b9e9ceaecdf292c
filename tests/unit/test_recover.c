/* Stores whose majority is lost: who is left is told so, and goes on. */
#include "cluster_lib.h"

static unsigned recoveries;

static enum err recovery_done(void *ctx, struct reason *why)
{
    (void)ctx;
    (void)why;
    recoveries++;
    return OK;
}

/* These are the cluster from now on. */
static struct store_recovery recovery_of(const unsigned *numbers, size_t count)
{
    struct store_recovery r = {.done = recovery_done, .servers.count = count};
    for (size_t i = 0; i < count; i++) {
        struct store_server *server = &r.servers.servers[i];
        server->id = store_server_id(nodes[numbers[i]].id);
        snprintf(server->node_id, sizeof server->node_id, "%s", nodes[numbers[i]].id);
        snprintf(server->address, sizeof server->address, "%s", nodes[numbers[i]].address);
    }
    return r;
}

static void nodes_recover(const struct store_recovery *r, const unsigned *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        nodes[numbers[i]].recovery = r;
        node_open(numbers[i]);
        nodes[numbers[i]].recovery = NULL;
    }
}

static void nodes_meet(unsigned a, unsigned b)
{
    store_server_seen(nodes[a].store, nodes[b].id, nodes[b].address);
    store_server_seen(nodes[b].store, nodes[a].id, nodes[a].address);
}

/* Two of five are left. One of them has a write that no other got, the other has what came later:
 * after the recovery both have the later history, and only that. */
Test(recover, recovered_servers_agree_though_their_logs_differ)
{
    node_setup(5);
    nodes_found(5);
    must_put(0, "a", "1");
    unsigned odd = leader(0);
    unsigned next = (odd + 1) % 5;
    for (unsigned i = 0; i < 5; i++) {
        if (i != odd) {
            node_close(i);
        }
    }
    cr_assert_neq(put(odd, "a", "nobody knows"), OK);
    cr_assert_neq(put(odd, "b", "nobody knows"), OK);
    node_close(odd);
    for (unsigned i = 0; i < 5; i++) {
        if (i != odd) {
            node_open(i);
        }
    }
    must_put(next, "a", "2");
    for (unsigned i = 0; i < 5; i++) {
        if (i != odd) {
            node_close(i);
        }
    }
    const unsigned left[] = {odd, next};
    struct store_recovery r = recovery_of(left, 2);
    nodes_recover(&r, left, 2);
    cr_assert_eq(recoveries, 2);
    must_put(odd, "c", "3");
    for (size_t i = 0; i < 2; i++) {
        expect(left[i], READ_CONSISTENT, "a", "2");
        expect(left[i], READ_STALE, "b", "");
        expect(left[i], READ_CONSISTENT, "c", "3");
    }
    cr_assert_eq(order(next, (struct store_order){.change = STORE_LIST}).servers.count, 2);
    nodes_end();
}

/* The last one of three goes on alone, has all that was acknowledged, and gets others again. */
Test(recover, a_single_survivor_goes_on)
{
    const unsigned left[] = {1};
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    expect(1, READ_CONSISTENT, "a", "1");
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
    }
    struct store_recovery r = recovery_of(left, 1);
    nodes_recover(&r, left, 1);
    expect(1, READ_CONSISTENT, "a", "1");
    must_put(1, "b", "2");
    snprintf(nodes[3].dir, sizeof nodes[3].dir, "%s/new", scratch);
    snprintf(nodes[3].id, sizeof nodes[3].id, "00000009-0000-4000-8000-000000000009");
    nodes[3].trailing = LOG_TRAILING_DEFAULT;
    node_open(3);
    nodes_meet(1, 3);
    cr_assert_eq(order(1, about(3, STORE_ADD)).status, OK);
    cr_assert_eq(order(1, about(3, STORE_PROMOTE)).status, OK);
    expect(3, READ_CONSISTENT, "a", "1");
    must_put(3, "b", "3");
    /* The recovery is in the log: a start without it knows the same servers. */
    node_close(1);
    node_open(1);
    nodes_meet(1, 3);
    expect(1, READ_CONSISTENT, "b", "3");
    cr_assert_eq(order(1, (struct store_order){.change = STORE_LIST}).servers.count, 2);
    nodes_end();
}

/* The same with a log that does not reach back to its first entry; newcomers get the state. */
Test(recover, a_cut_log_is_recovered)
{
    static char value[32768];
    const unsigned left[] = {0, 1};
    memset(value, 'x', sizeof value - 1);
    node_setup(3);
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
        nodes[i].trailing = 4;
        node_open(i);
    }
    nodes_meet(0, 1);
    nodes_meet(0, 2);
    nodes_meet(1, 2);
    nodes_found(3);
    must_put(0, "a", "1");
    for (unsigned i = 0; i < 2; i++) {
        struct store_facts facts = {0};
        for (unsigned n = 0; n < 4000 && facts.snapshot_index < 20; n++) {
            char key[32];
            snprintf(key, sizeof key, "k/%u", n % 50);
            must_put(0, key, value);
            store_facts_get(nodes[i].store, &facts);
        }
        cr_assert_geq(facts.snapshot_index, 20, "the log was cut");
    }
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
    }
    struct store_recovery r = recovery_of(left, 2);
    nodes_recover(&r, left, 2);
    must_put(1, "b", "2");
    snprintf(nodes[3].dir, sizeof nodes[3].dir, "%s/new", scratch);
    snprintf(nodes[3].id, sizeof nodes[3].id, "00000009-0000-4000-8000-000000000009");
    nodes[3].trailing = LOG_TRAILING_DEFAULT;
    node_open(3);
    nodes_meet(0, 3);
    nodes_meet(1, 3);
    cr_assert_eq(order(1, about(3, STORE_ADD)).status, OK);
    cr_assert_eq(order(1, about(3, STORE_PROMOTE)).status, OK);
    expect(3, READ_CONSISTENT, "b", "2");
    expect(3, READ_STALE, "a", "1");
    cr_assert_eq(order(0, (struct store_order){.change = STORE_LIST}).servers.count, 3);
    nodes_end();
}

/* Named by their addresses alone, servers are who the log says they are. */
Test(recover, recovery_knows_servers_by_address)
{
    const unsigned left[] = {0, 2};
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    for (unsigned i = 0; i < 3; i++) {
        node_close(i);
    }
    struct store_recovery r = recovery_of(left, 2);
    for (size_t i = 0; i < 2; i++) {
        r.servers.servers[i].id = 0;
        r.servers.servers[i].node_id[0] = '\0';
    }
    nodes_recover(&r, left, 2);
    must_put(2, "b", "2");
    expect(0, READ_CONSISTENT, "b", "2");
    struct store_order o = order(0, (struct store_order){.change = STORE_LIST});
    cr_assert_eq(o.servers.count, 2);
    cr_assert_str_eq(o.servers.servers[1].node_id, nodes[2].id);
    nodes_end();
}

/* A list that cannot be is refused with what is wrong, and the server is as it was. */
Test(recover, a_wrong_recovery_changes_nothing)
{
    struct reason why = {{0}};
    const unsigned all[] = {0, 1, 2};
    node_setup(3);
    nodes_found(3);
    must_put(0, "a", "1");
    node_close(0);
    struct store_recovery r = recovery_of(all + 1, 2);
    nodes[0].recovery = &r;
    cr_assert_eq(node_try_open(0, &why), ERR_INVALID, "without itself");
    cr_assert(strstr(why.text, nodes[0].id) != NULL, "%s", why.text);
    r = recovery_of(all, 1);
    r.servers.servers[0].role = STORE_STANDBY;
    cr_assert_eq(node_try_open(0, &why), ERR_INVALID, "nobody votes");
    r = recovery_of(all, 2);
    r.servers.servers[1] = r.servers.servers[0];
    cr_assert_eq(node_try_open(0, &why), ERR_INVALID, "one twice");
    r = recovery_of(all, 2);
    r.servers.servers[1].id = 0;
    snprintf(r.servers.servers[1].address, STORE_ADDRESS_MAX, "127.0.0.1:1");
    cr_assert_eq(node_try_open(0, &why), ERR_INVALID, "nobody's address");
    cr_assert(strstr(why.text, "127.0.0.1:1") != NULL, "%s", why.text);
    cr_assert_eq(recoveries, 0);
    nodes[0].recovery = NULL;
    nodes[0].store = NULL;
    node_open(0);
    nodes_meet(0, 1);
    nodes_meet(0, 2);
    expect(0, READ_CONSISTENT, "a", "1");
    cr_assert_eq(order(0, (struct store_order){.change = STORE_LIST}).servers.count, 3);
    nodes_end();
}

/* A server without a log has nothing to recover. */
Test(recover, recovery_needs_a_log)
{
    struct reason why = {{0}};
    const unsigned self[] = {0};
    node_setup(1);
    node_close(0);
    struct store_recovery r = recovery_of(self, 1);
    nodes[0].recovery = &r;
    cr_assert_eq(node_try_open(0, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "no log") != NULL, "%s", why.text);
    nodes_end();
}
