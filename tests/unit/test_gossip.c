#include "core/base/limit.h"
#include "gossip_lib.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

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
    agent_see(&y, 3, "n3");
    cr_assert_eq(y.count, 4);
    cr_assert(y.ascending);
    cr_assert(y.member.self);
    cr_assert_not(y.encrypted);
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
    cr_assert_neq(strcmp(y.agents[2].address, before), 0);
    cr_assert_eq(agent_join(&y, 2, y.agents[1].address), 1, "%s", y.why.text);
    yard_wait_status(&y, "n2", GOSSIP_ALIVE);
    agent_see(&y, 2, "n2");
    uint16_t port = y.port;
    agent_see(&y, 0, "n2");
    cr_assert_eq(y.member.port, port);
    yard_close(&y);
}

/* --- keys ------------------------------------------------------------------------------------- */

#define KEY_A "MDEyMzQ1Njc4OWFiY2RlZg=="
#define KEY_B "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="

/* Another key, or none, is a stranger: the join fails and nobody learns of anybody. */
Test(gossip, a_wrong_key_is_refused_on_streams_and_in_packets)
{
    struct yard y;
    const char *other = KEY_B;
    yard_open(&y);
    yard_cluster(&y, 2, KEY_A);
    struct gossip_options options = agent_options(&y, "wrong");
    options.keys = &other;
    options.key_count = 1;
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    cr_assert_eq(agent_join(&y, 2, y.agents[0].address), 0);
    cr_assert_not_null(strstr(y.why.text, "key"), "%s", y.why.text);
    options = agent_options(&y, "none");
    cr_assert_eq(agent_open(&y, 3, &options), OK);
    cr_assert_eq(agent_join(&y, 3, y.agents[0].address), 0);
    cr_assert_not_null(strstr(y.why.text, "has a gossip key"), "%s", y.why.text);
    cr_assert_eq(agent_join(&y, 0, y.agents[3].address), 0);
    cr_assert_not_null(strstr(y.why.text, "no gossip key"), "%s", y.why.text);
    agent_see(&y, 0, "n1");
    cr_assert(y.encrypted);
    cr_assert_eq(y.count, 2);
    agent_see(&y, 2, "wrong");
    cr_assert_eq(y.count, 1);
    agent_see(&y, 3, "none");
    cr_assert_eq(y.count, 1);
    yard_close(&y);
}

/* The same key and another label (datacenter) are strangers too. */
Test(gossip, another_label_is_refused)
{
    struct yard y;
    const char *key = KEY_A;
    yard_open(&y);
    for (size_t i = 0; i < 2; i++) {
        struct gossip_options options = agent_options(&y, NAMES[i]);
        options.keys = &key;
        options.key_count = 1;
        options.label = i == 0 ? "dc1" : "dc2";
        cr_assert_eq(agent_open(&y, i, &options), OK);
    }
    cr_assert_eq(agent_join(&y, 1, y.agents[0].address), 0);
    cr_assert_not_null(strstr(y.why.text, "another cluster"), "%s", y.why.text);
    yard_close(&y);
}

static void keys_are(struct yard *y, size_t count, const char *primary)
{
    agent_order(y, 1, GOSSIP_KEY_LIST, NULL);
    cr_assert_eq(y->keys.members, 3);
    cr_assert_eq(y->keys.answered, 3, "%s", y->keys.error);
    cr_assert_eq(y->keys.failed, 0, "%s", y->keys.error);
    cr_assert_eq(y->keys.key_count, count);
    for (size_t i = 0; i < count; i++) {
        bool first = strcmp(y->keys.keys[i].key, primary) == 0;
        cr_assert_eq(y->keys.keys[i].members, 3);
        cr_assert_eq(y->keys.keys[i].primary_members, first ? 3 : 0);
    }
}

/* Install, use, remove: the cluster talks all the time, and the old key is worth nothing then. */
Test(gossip, keys_are_changed_while_the_cluster_runs)
{
    struct yard y;
    char path[128];
    yard_open(&y);
    scratch_make();
    (void)snprintf(path, sizeof path, "%s/keyring", scratch);
    yard_cluster(&y, 2, KEY_A);
    struct gossip_options options = agent_options(&y, "n2");
    const char *key = KEY_A;
    options.keys = &key;
    options.key_count = 1;
    options.keyring_path = path;
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    cr_assert_eq(agent_join(&y, 2, y.agents[0].address), 1);
    yard_wait_status(&y, "n2", GOSSIP_ALIVE);
    keys_are(&y, 1, KEY_A);
    agent_order(&y, 0, GOSSIP_KEY_USE, KEY_B);
    cr_assert_eq(y.keys.failed, 3);
    cr_assert_not_null(strstr(y.keys.error, "install it first"), "%s", y.keys.error);
    agent_order(&y, 0, GOSSIP_KEY_INSTALL, KEY_B);
    cr_assert_eq(y.keys.answered, 3);
    cr_assert_eq(y.keys.failed, 0, "%s", y.keys.error);
    keys_are(&y, 2, KEY_A);
    agent_order(&y, 0, GOSSIP_KEY_USE, KEY_B);
    cr_assert_eq(y.keys.failed, 0, "%s", y.keys.error);
    keys_are(&y, 2, KEY_B);
    agent_order(&y, 1, GOSSIP_KEY_REMOVE, KEY_B);
    cr_assert_eq(y.keys.failed, 3);
    agent_order(&y, 1, GOSSIP_KEY_REMOVE, KEY_A);
    cr_assert_eq(y.keys.failed, 0, "%s", y.keys.error);
    keys_are(&y, 1, KEY_B);
    agent_order(&y, 1, GOSSIP_KEY_INSTALL, "short");
    cr_assert_neq(y.keys.error[0], '\0');
    /* The file counts, not the old key of the configuration. */
    agent_close(&y, 2);
    cr_assert_eq(agent_open(&y, 2, &options), OK, "%s", y.why.text);
    cr_assert_eq(agent_join(&y, 2, y.agents[0].address), 1, "%s", y.why.text);
    scratch_drop();
    yard_close(&y);
}

/* In clear there are no keys to change. */
Test(gossip, key_orders_in_clear_are_refused)
{
    struct yard y;
    yard_open(&y);
    yard_cluster(&y, 2, NULL);
    agent_order(&y, 0, GOSSIP_KEY_INSTALL, KEY_A);
    cr_assert_eq(y.keys.failed, 1);
    cr_assert_not_null(strstr(y.keys.error, "not encrypted"), "%s", y.keys.error);
    yard_close(&y);
}

/* --- where it may listen ------------------------------------------------------------------------
 */

Test(gossip, clear_text_beyond_loopback_is_refused)
{
    struct yard y;
    yard_open(&y);
    struct gossip_options options = agent_options(&y, "n0");
    options.bind_address = "0.0.0.0";
    options.advertise_address = "127.0.0.1";
    cr_assert_eq(agent_open(&y, 0, &options), ERR_DENIED);
    cr_assert_not_null(strstr(y.why.text, "encrypt"), "%s", y.why.text);
    options.allow_clear = true;
    cr_assert_eq(agent_open(&y, 0, &options), OK, "%s", y.why.text);
    options.name = "n1";
    options.advertise_address = NULL;
    cr_assert_eq(agent_open(&y, 1, &options), ERR_INVALID);
    cr_assert_not_null(strstr(y.why.text, "advertise"), "%s", y.why.text);
    options = agent_options(&y, "n1");
    agent_see(&y, 0, "n0");
    options.bind_port = y.port;
    options.bind_address = "127.0.0.1";
    cr_assert_eq(agent_open(&y, 1, &options), ERR_IN_USE);
    yard_close(&y);
}

/* IPv6, and IPv4 addresses on the same socket. */
Test(gossip, ipv6_works)
{
    struct yard y;
    char address[64];
    yard_open(&y);
    for (size_t i = 0; i < 2; i++) {
        struct gossip_options options = agent_options(&y, NAMES[i]);
        options.bind_address = "::1";
        cr_assert_eq(agent_open(&y, i, &options), OK, "%s", y.why.text);
    }
    agent_see(&y, 0, "n0");
    (void)snprintf(address, sizeof address, "[::1]:%u", y.port);
    cr_assert_eq(agent_join(&y, 1, address), 1, "%s", y.why.text);
    yard_wait_status(&y, "n1", GOSSIP_ALIVE);
    agent_see(&y, 0, "n1");
    cr_assert_str_eq(y.member.address, "::1");
    yard_close(&y);
}

/* Where nobody answers, and what is no address, are named. */
Test(gossip, a_failed_join_says_why)
{
    struct yard y;
    char gone[64];
    yard_open(&y);
    struct gossip_options options = agent_options(&y, "n0");
    cr_assert_eq(agent_open(&y, 0, &options), OK);
    options = agent_options(&y, "n1");
    cr_assert_eq(agent_open(&y, 1, &options), OK);
    (void)snprintf(gone, sizeof gone, "%s", y.agents[1].address);
    agent_close(&y, 1);
    cr_assert_eq(agent_join(&y, 0, gone), 0);
    cr_assert_not_null(strstr(y.why.text, gone), "%s", y.why.text);
    cr_assert_not_null(strstr(y.why.text, "refused"), "%s", y.why.text);
    cr_assert_eq(agent_join(&y, 0, "example.com"), 0);
    cr_assert_not_null(strstr(y.why.text, "example.com"), "%s", y.why.text);
    cr_assert_eq(agent_join(&y, 0, "[fe80::1]:99"), 0);
    cr_assert_not_null(strstr(y.why.text, "IPv6"), "%s", y.why.text);
    yard_close(&y);
}

/* --- the file of members
 * --------------------------------------------------------------------------- */

/* It comes back without being told where the others are; not after it has left, unless it is told
 * to. */
Test(gossip, the_file_of_members_brings_it_back)
{
    struct yard y;
    char path[128];
    yard_open(&y);
    scratch_make();
    (void)snprintf(path, sizeof path, "%s/members", scratch);
    yard_cluster(&y, 2, NULL);
    struct gossip_options options = agent_options(&y, "n2");
    options.members_path = path;
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    cr_assert_eq(agent_join(&y, 2, y.agents[0].address), 1);
    yard_wait_status(&y, "n2", GOSSIP_ALIVE);
    agent_close(&y, 2);
    cr_assert_eq(agent_open(&y, 2, &options), OK, "%s", y.why.text);
    yard_wait_status(&y, "n1", GOSSIP_ALIVE);
    agent_leave(&y, 2);
    yard_wait_status(&y, "n2", GOSSIP_LEFT);
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    agent_close(&y, 2);
    options.rejoin_after_leave = true;
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    yard_wait_status(&y, "n2", GOSSIP_ALIVE);
    yard_wait_status(&y, "n0", GOSSIP_ALIVE);
    agent_close(&y, 2);
    file_flip(path, 3);
    /* What failing power may leave of it keeps nobody down. */
    cr_assert_eq(agent_open(&y, 2, &options), OK, "%s", y.why.text);
    agent_close(&y, 2);
    scratch_drop();
    yard_close(&y);
}

/* --- force-leave and tags
 * --------------------------------------------------------------------------- */

static void force_now(void *arg)
{
    struct yard *y = arg;
    y->e = gossip_force_leave(y->agents[y->who].gossip, y->text, y->flag);
}

static bool nobody_knows(struct yard *y)
{
    for (size_t i = 0; i < AGENTS; i++) {
        if (y->agents[i].gossip != NULL && gossip_find(y->agents[i].gossip, y->text) != NULL) {
            return false;
        }
    }
    return true;
}

Test(gossip, an_operator_can_write_off_the_failed)
{
    struct yard y;
    yard_open(&y);
    yard_cluster(&y, 3, NULL);
    agent_close(&y, 2);
    yard_wait_status(&y, "n2", GOSSIP_FAILED);
    y.who = 0;
    y.text = "n2";
    y.flag = false;
    loop_call(y.loop, force_now, &y);
    cr_assert_eq(y.e, OK);
    yard_wait_status(&y, "n2", GOSSIP_LEFT);
    y.flag = true;
    loop_call(y.loop, force_now, &y);
    cr_assert_eq(y.e, OK);
    yard_wait(&y, nobody_knows);
    agent_see(&y, 1, "n2");
    cr_assert_eq(y.reaps, 1);
    y.who = 0;
    loop_call(y.loop, force_now, &y);
    cr_assert_eq(y.e, ERR_NOT_FOUND);
    yard_close(&y);
}

static void tags_now(void *arg)
{
    struct yard *y = arg;
    struct gossip_tag tags[2] = {{"role", "server"}, {"build", "0.1.0"}};
    y->e = gossip_set_tags(y->agents[0].gossip, tags, 2);
}

static void too_many_tags_now(void *arg)
{
    struct yard *y = arg;
    struct gossip_tag tags[GOSSIP_TAGS_MAX];
    for (size_t i = 0; i < GOSSIP_TAGS_MAX; i++) {
        (void)snprintf(tags[i].name, sizeof tags[i].name, "tag%zu", i);
        (void)memset(tags[i].value, 'x', 100);
        tags[i].value[100] = '\0';
    }
    y->e = gossip_set_tags(y->agents[0].gossip, tags, GOSSIP_TAGS_MAX);
}

static bool tags_known(struct yard *y)
{
    const struct gossip_member *m = gossip_find(y->agents[1].gossip, "n0");
    const char *role = gossip_tag(m, "role");
    return role != NULL && strcmp(role, "server") == 0 && gossip_tag(m, "nope") == NULL;
}

Test(gossip, changed_tags_spread_and_too_many_are_refused)
{
    struct yard y;
    yard_open(&y);
    yard_cluster(&y, 2, KEY_A);
    loop_call(y.loop, tags_now, &y);
    cr_assert_eq(y.e, OK);
    yard_wait(&y, tags_known);
    loop_call(y.loop, too_many_tags_now, &y);
    cr_assert_eq(y.e, ERR_TOO_BIG);
    yard_close(&y);
}

/* --- strangers on the port
 * ------------------------------------------------------------------------- */

static int stranger(uint16_t port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type, 0);
    cr_assert_geq(fd, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool closed_by_the_other(int fd)
{
    char data[512];
    ssize_t got = 0;
    while ((got = recv(fd, data, sizeof data, 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
}

/* Garbage in packets and on streams, lengths that lie, and more silent connections than there is
 * room for: the members notice nothing, and a newcomer still gets in. */
Test(gossip, strangers_are_survived)
{
    enum {
        SILENT = GOSSIP_STREAMS_MAX + 40
    };
    static char junk[70000];
    struct yard y;
    int silent[SILENT];
    yard_open(&y);
    yard_cluster(&y, 2, KEY_A);
    agent_see(&y, 0, "n1");
    uint16_t port = y.port;
    unsigned before = y.changes;
    int fd = stranger(port, SOCK_DGRAM);
    for (size_t len = 0; len < 2000; len++) {
        memset(junk, (int)len & 3, len);
        (void)send(fd, junk, len, 0);
    }
    (void)close(fd);
    fd = stranger(port, SOCK_STREAM);
    memset(junk, 'x', sizeof junk);
    cr_assert_gt(send(fd, junk, sizeof junk, MSG_NOSIGNAL), 0);
    cr_assert(closed_by_the_other(fd));
    (void)close(fd);
    /* A good hello as the other one's, then a piece of 4 GiB. */
    fd = stranger(port, SOCK_STREAM);
    char hello[28];
    cr_assert_eq(recv(fd, hello, 24, MSG_WAITALL), 24);
    memset(hello + 24, 0xff, 4);
    cr_assert_eq(send(fd, hello, sizeof hello, MSG_NOSIGNAL), sizeof hello);
    cr_assert(closed_by_the_other(fd));
    (void)close(fd);
    for (size_t i = 0; i < SILENT; i++) {
        silent[i] = stranger(port, SOCK_STREAM);
    }
    const char *key = KEY_A;
    struct gossip_options options = agent_options(&y, "n2");
    options.keys = &key;
    options.key_count = 1;
    cr_assert_eq(agent_open(&y, 2, &options), OK);
    cr_assert_eq(agent_join(&y, 2, y.agents[0].address), 1, "%s", y.why.text);
    for (size_t i = 0; i < SILENT; i++) {
        cr_assert(closed_by_the_other(silent[i]), "silent ones are not kept");
        (void)close(silent[i]);
    }
    agent_see(&y, 0, "n2");
    cr_assert_eq(y.count, 3);
    cr_assert_eq(y.changes, before + 1, "the strangers changed nothing");
    yard_close(&y);
}
