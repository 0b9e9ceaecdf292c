#include "gossip_lib.h"

static const char *const NAMES[AGENTS] = {"n0", "n1", "n2", "n3", "n4", "n5"};

/* Opens `count` agents and joins all to the first. */
static void yard_cluster(struct yard *y, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        struct gossip_options options = agent_options(y, NAMES[i]);
        options.keys = &key;
        options.key_count = key == NULL ? 0 : 1;
        cr_assert_eq(agent_open(y, i, &options), OK, "%s", y->why.text);
    }
    for (size_t i = 1; i < count; i++) {
        cr_assert_eq(agent_join(y, i, y->agents[0].address), 1, "%s", y->why.text);
    }
    for (size_t i = 0; i < count; i++) {
        yard_wait_status(y, NAMES[i], GOSSIP_ALIVE);
    }
}

/* Four agents find each other through the first one; in ascending order of names. */
Test(gossip, joined_agents_all_know_each_other)
{
    struct yard y;
    yard_open(&y);
    yard_cluster(&y, 4, NULL);
    cr_assert_eq(gossip_count(y.agents[3].gossip), 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_str_eq(gossip_at(y.agents[3].gossip, i)->name, NAMES[i]);
    }
    cr_assert(gossip_find(y.agents[3].gossip, "n3")->self);
    cr_assert_not(gossip_encrypted(y.agents[0].gossip));
    yard_close(&y);
}

/* A good-bye reaches all, and who left is not counted as failed. */
Test(gossip, who_leaves_is_left_everywhere)
{
    struct yard y;
    yard_open(&y);
    yard_cluster(&y, 3, NULL);
    agent_leave(&y, 2);
    yard_wait_status(&y, "n2", GOSSIP_LEFT);
    yard_close(&y);
}

/* Killed without a word: failed everywhere; back at another port with incarnation 1: alive. */
Test(gossip, who_is_killed_fails_and_comes_back_at_a_new_address)
{
    struct yard y;
    char before[64];
    yard_open(&y);
    yard_cluster(&y, 3, NULL);
    (void)snprintf(before, sizeof before, "%s", y.agents[2].address);
    agent_close(&y, 2);
    yard_wait_status(&y, "n2", GOSSIP_FAILED);
    struct gossip_options options = agent_options(&y, "n2");
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    cr_assert_str_neq(y.agents[2].address, before);
    cr_assert_eq(agent_join(&y, 2, y.agents[1].address), 1, "%s", y.why.text);
    yard_wait_status(&y, "n2", GOSSIP_ALIVE);
    cr_assert_eq(gossip_find(y.agents[0].gossip, "n2")->port, gossip_port(y.agents[2].gossip));
    yard_close(&y);
}
