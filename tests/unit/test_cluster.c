/* Stores of several servers in one process, over real sockets and disks: founding, following,
 * elections, membership, snapshots. */
#include "cluster_lib.h"

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
