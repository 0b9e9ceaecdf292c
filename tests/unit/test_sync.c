#include "core/cli/sync_feed.h"
#include "core/cli/sync_plan.h"
#include "core/client.h"
#include "core/server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The commands are linked with the agent's, which none of these tests runs. */
int server_main(struct config *config)
{
    (void)config;
    return 1;
}

int client_main(struct config *config)
{
    (void)config;
    return 1;
}

#define HEAD                                                                                       \
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "        \
    "srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health "   \
    "srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord "  \
    "srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
#define ROW(name, addr, admin, weight, port)                                                       \
    "3 api 1 " name " " addr " 2 " admin " " weight " 1 79 1 0 2 0 0 0 0 - " port " - 0 0 - - 0\n"

static struct sync_wish wish = {.backend = "api", .slots = "", .drain_ms = 1000, .now_ms = 50000};
static struct sync_servers servers;
static struct sync_instances list;
static struct buf commands;
static struct buf words;

static void setup(void)
{
    buf_init(&commands, UINT32_MAX);
    buf_init(&words, UINT32_MAX);
}

static void teardown(void)
{
    sync_servers_close(&servers);
    sync_instances_close(&list);
    buf_close(&commands);
    buf_close(&words);
}

TestSuite(sync, .init = setup, .fini = teardown);

static void shows(const char *text)
{
    struct sync_servers s;
    cr_assert_eq(sync_servers_read(bytes_of(text), &wish, &servers, &s), OK);
    sync_servers_close(&servers);
    servers = s;
}

static void has(const char *name, const char *addr, uint64_t port, uint64_t weight)
{
    struct sync_instance i = {.port = port, .weight = weight};
    (void)snprintf(i.addr, sizeof i.addr, "%s", addr);
    cr_assert_eq(sync_instances_set(&list, bytes_of(name), &i), OK);
}

static void plans(const char *want)
{
    buf_clear(&commands);
    buf_clear(&words);
    cr_assert_eq(sync_plan(&servers, &list, &wish, &commands, &words), OK);
    cr_assert(bytes_equal(buf_view(&commands), bytes_of(want)), "got\n%.*swant\n%s",
              (int)commands.len, commands.ptr, want);
}

/* Free slots are used in their order; done once, there is nothing more to do. */
Test(sync, instances_take_free_slots)
{
    shows(HEAD ROW("s1", "0.0.0.0", "1", "1", "80") ROW("s2", "-", "1", "1", "80"));
    has("n1/a", "10.0.0.1", 8080, 1);
    has("n1/b", "10.0.0.2", 8081, 7);
    plans("set server api/s1 addr 10.0.0.1 port 8080\nset server api/s1 state ready\n"
          "set server api/s2 addr 10.0.0.2 port 8081\nset server api/s2 weight 7\n"
          "set server api/s2 state ready\n");
    cr_assert(bytes_equal(buf_view(&words), BYTES("+ n1/a 10.0.0.1:8080 is server s1\n"
                                                  "+ n1/b 10.0.0.2:8081 is server s2\n")));
    plans("");
}

/* After a restart of this program, what HAProxy has already is left as it is. */
Test(sync, what_is_so_already_is_left_alone)
{
    shows(HEAD ROW("s1", "10.0.0.1", "4", "1", "80") ROW("s2", "0.0.0.0", "5", "1", "80"));
    has("n1/a", "10.0.0.1", 80, 1);
    plans("");
}

/* Drains first, is stopped when that has lasted long enough, and not sooner. */
Test(sync, who_goes_drains_first)
{
    shows(HEAD ROW("s1", "10.0.0.1", "0", "1", "80"));
    plans("set server api/s1 state drain\n");
    wish.now_ms += 999;
    plans("");
    shows(HEAD ROW("s1", "10.0.0.1", "8", "1", "80"));
    plans("");
    wish.now_ms += 1;
    plans("set server api/s1 state maint\n");
    plans("");
}

/* Who comes back while its server drains, or after, has it again. */
Test(sync, who_comes_back_has_its_server_again)
{
    shows(HEAD ROW("s1", "10.0.0.9", "1", "1", "80") ROW("s2", "10.0.0.1", "8", "1", "80"));
    has("n1/a", "10.0.0.1", 80, 1);
    plans("set server api/s2 state ready\n");
    plans("");
}

/* Nobody's server is given to another one, whichever comes first. */
Test(sync, no_server_is_taken_from_who_has_it)
{
    shows(HEAD ROW("s1", "10.0.0.2", "8", "1", "80") ROW("s2", "0.0.0.0", "1", "1", "80"));
    has("n1/a", "10.0.0.1", 80, 1);
    has("n1/b", "10.0.0.2", 80, 1);
    plans("set server api/s2 addr 10.0.0.1 port 80\nset server api/s2 state ready\n"
          "set server api/s1 state ready\n");
}

/* With no slot free a draining one is stopped; with none at all servers are added, and deleted. */
Test(sync, without_slots_servers_are_added)
{
    shows(HEAD ROW("s1", "10.0.0.8", "8", "1", "80"));
    has("n1/a", "10.0.0.1", 80, 1);
    has("n1/b", "fd00::2", 80, 2);
    plans("set server api/s1 state maint\nset server api/s1 addr 10.0.0.1 port 80\n"
          "set server api/s1 state ready\n"
          "add server api/herald-1 ipv6@fd00::2:80 weight 2\n"
          "set server api/herald-1 state ready\n");
    cr_assert(sync_instances_remove(&list, BYTES("n1/b")));
    plans("set server api/herald-1 state drain\n");
    wish.now_ms += 1000;
    plans("set server api/herald-1 state maint\ndel server api/herald-1\n");
}

/* Only slots of the prefix, and what we have added, are anybody's to change. */
Test(sync, other_servers_are_not_touched)
{
    wish.slots = "slot";
    shows(HEAD ROW("own", "10.0.0.8", "0", "1", "80") ROW("slot1", "0.0.0.0", "1", "1", "80")
              ROW("herald-3", "10.0.0.3", "0", "1", "80"));
    cr_assert_eq(servers.count, 2);
    plans("set server api/herald-3 state drain\n");
    has("n1/a", "10.0.0.8", 80, 1);
    plans("set server api/slot1 addr 10.0.0.8 port 80\nset server api/slot1 state ready\n");
    wish.slots = "";
}

/* Weights follow while a server is in use; HAProxy's largest is 256. */
Test(sync, weights_follow)
{
    shows(HEAD ROW("s1", "10.0.0.1", "0", "1", "80"));
    has("n1/a", "10.0.0.1", 80, 10);
    plans("set server api/s1 weight 10\n");
    has("n1/a", "10.0.0.1", 80, 100000);
    plans("set server api/s1 weight 256\n");
    has("n2/b", "10.0.0.1", 80, 3);
    plans("");
}

/* What was registered is never a command: only addresses and numbers go there. */
Test(sync, only_addresses_reach_haproxy)
{
    static const char *const bad[] = {"web1.local", "10.0.0.1; shutdown", "", "10.0.0",
                                      "::g",        "10.0.0.1 port 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sync_instance one = {.port = 80, .weight = 1};
        (void)snprintf(one.addr, sizeof one.addr, "%s", bad[i]);
        cr_assert_eq(sync_instances_set(&list, BYTES("n/a"), &one), ERR_INVALID, "%s", bad[i]);
    }
    struct sync_instance far = {.addr = "10.0.0.1", .port = 65536};
    cr_assert_eq(sync_instances_set(&list, BYTES("n/a"), &far), ERR_INVALID);
    cr_assert_eq(list.count, 0);
}

Test(sync, answers_that_are_none_are_refused)
{
    struct sync_servers s;
    cr_assert_eq(sync_servers_read(BYTES("Can't find backend.\n"), &wish, &servers, &s),
                 ERR_NOT_FOUND);
    cr_assert_eq(sync_servers_read(BYTES(""), &wish, &servers, &s), ERR_INVALID);
    cr_assert_eq(sync_servers_read(BYTES("2\n"), &wish, &servers, &s), ERR_INVALID);
    cr_assert_eq(sync_servers_read(BYTES("1\n3 api 1 s1\n"), &wish, &servers, &s), ERR_INVALID);
    cr_assert_eq(sync_servers_read(BYTES(HEAD ROW("s1", "-", "x", "1", "80")), &wish, &servers, &s),
                 ERR_INVALID);
}

/* --- the feed ----------------------------------------------------------------------------------
 */

static unsigned changes;
static uint64_t change_ms;

static bool changed(void *ctx, uint64_t time_ms)
{
    (void)ctx;
    changes++;
    change_ms = time_ms;
    return true;
}

#define ITEM(id, status, addr)                                                                     \
    "\"service\":\"api\",\"node\":\"n1\",\"id\":\"" id "\",\"status\":\"" status "\",\"row\":{"    \
    "\"Node\":{\"Address\":\"10.9.9.9\"},\"Service\":{\"Address\":\"" addr "\",\"Port\":80,"       \
    "\"Weights\":{\"Passing\":5,\"Warning\":2}}}"

static void line(struct sync_feed *f, const char *text)
{
    cr_assert_eq(sync_feed_line(f, bytes_of(text)), OK, "%s", text);
}

/* Pages are kept aside until all are there; events change the list; a second snapshot replaces it
 * in one step. */
Test(sync, the_feed_keeps_the_list)
{
    struct sync_feed f = {.changed = changed};
    line(&f, "{\"type\":\"subscribed\",\"epoch\":\"e1\",\"index\":7}");
    line(&f, "{\"type\":\"snapshot\",\"index\":7,\"items\":[{" ITEM("a", "passing",
                                                                    "") "}],\"more\":true}");
    cr_assert_eq(changes, 0);
    cr_assert(!f.ready);
    line(&f, "{\"type\":\"snapshot\",\"index\":7,\"items\":[{" ITEM(
                 "b", "warning", "10.0.0.2") "}],\"more\":false}");
    cr_assert_eq(changes, 1);
    cr_assert_eq(f.list.count, 2);
    cr_assert_str_eq(f.list.items[0].name, "n1/a");
    cr_assert_str_eq(f.list.items[0].addr, "10.9.9.9");
    cr_assert_eq(f.list.items[0].weight, 5);
    cr_assert_eq(f.list.items[1].weight, 2);
    cr_assert_eq(f.index, 7);
    line(&f, "{\"type\":\"events\",\"after\":7,\"through\":9,\"events\":[{\"index\":9,\"op\":"
             "\"removed\",\"time_ms\":1700000000123,\"node\":\"n1\",\"id\":\"a\"},{\"op\":"
             "\"added\"," ITEM("c", "passing", "not an address") "}]}");
    cr_assert_eq(changes, 2);
    cr_assert_eq(change_ms, 1700000000123U);
    cr_assert_eq(f.list.count, 1);
    cr_assert_eq(f.index, 9);
    line(&f, "{\"type\":\"mark\",\"through\":12}");
    line(&f, "{\"type\":\"heartbeat\",\"index\":13}");
    line(&f, "{\"type\":\"something new\"}");
    cr_assert_eq(f.index, 12);
    line(&f, "{\"type\":\"compacted\",\"asked\":12,\"oldest\":20}");
    line(&f, "{\"type\":\"subscribed\",\"epoch\":\"e1\",\"index\":21}");
    cr_assert_eq(f.list.count, 1);
    line(&f, "{\"type\":\"snapshot\",\"index\":21,\"items\":[],\"more\":false}");
    cr_assert_eq(f.list.count, 0);
    cr_assert_eq(sync_feed_line(&f, BYTES("{\"type\":")), ERR_INVALID);
    cr_assert_eq(sync_feed_line(&f, BYTES("{\"type\":\"events\",\"events\":[{}]}")), ERR_INVALID);
    sync_feed_close(&f);
}
