#include "core/base/mem.h"
#include "core/config.h"
#include "core/config_key.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config *config;
static struct reason why;
static char dir[] = "/tmp/herald-config-XXXXXX";

static void setup(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    why.text[0] = '\0';
}

static void teardown(void)
{
    char command[128];
    config_free(config);
    config = NULL;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(config, .init = setup, .fini = teardown);

static char *file(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static enum err validate(const char *text)
{
    char *path = file("a.json", text);
    config_free(config);
    config = NULL;
    return config_validate(1, &path, &config, &why);
}

static void good(const char *text)
{
    cr_assert_eq(validate(text), OK, "%s: %s", text, why.text);
}

/* `reason` is all of it but the file's path before it. */
static void bad(const char *text, const char *reason)
{
    cr_assert_neq(validate(text), OK, "%s", text);
    const char *said = strncmp(why.text, dir, strlen(dir)) == 0
                           ? why.text + strlen(dir) + strlen("/a.json")
                           : why.text;
    cr_assert_str_eq(said, reason, "%s", text);
    cr_assert_null(config);
}

static void load(int argc, const char *const *argv)
{
    config_free(config);
    config = NULL;
    cr_assert_eq(config_load(argc, (char **)argv, &config, &why), OK, "%s", why.text);
}

static void refuse(const char *flag, const char *reason)
{
    const char *argv[] = {flag};
    cr_assert_neq(config_load(1, (char **)argv, &config, &why), OK, "%s", flag);
    cr_assert_str_eq(why.text, reason);
    cr_assert_null(config);
}

#define LOAD(...)                                                                                  \
    load(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static bool warned(const char *words)
{
    for (size_t i = 0; i < config->warning_count; i++) {
        if (strstr(config->warnings[i], words) != NULL) {
            return true;
        }
    }
    return false;
}

Test(config, the_first_users_two_files_are_valid)
{
    good("{\"ui\": true, \"leave_on_terminate\": true, \"bootstrap_expect\": 5, \"server\": true}");
    cr_assert(config->server);
    cr_assert_eq(config->bootstrap_expect, 5);
    cr_assert(warned("ui: accepted, and not used by this build yet"));
    good("{\"server\": false, \"ui\": false, \"leave_on_terminate\": true,"
         " \"service\": {\"name\": \"api\", \"tags\": [\"api\", \"prod\"]}}");
    cr_assert_eq(config->definition_count, 1);
    cr_assert(config->definitions[0].service);
    cr_assert_not(warned("service"));
}

Test(config, every_mistake_is_named)
{
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"{\"foo\": 1}", ": foo: unknown key"},
        {"{\"ports\": {\"foo\": 1}}", ": ports.foo: unknown key"},
        {"{\"ports.http\": 1}", ": ports.http: unknown key"},
        {"{\"@service\": {}}", ": @service: unknown key"},
        {"{\"\": 1}", ": : unknown key"},
        {"{\"ports\": {\"\": 1}}", ": ports.: unknown key"},
        {"{\"service\": {\"check\": {\"zz\": 1}}}", ": service.check.zz: unknown key"},
        {"{\"services\": [{}, {\"checks\": [{\"zz\": 1}]}]}",
         ": services[1].checks[0].zz: unknown key"},
        {"{\"services\": [1]}", ": services[0]: expected an object"},
        {"{\"services\": {}}", ": services: expected an array of objects, got {}"},
        {"{\"ports\": 1}", ": ports: expected an object"},
        {"{\"server\": \"true\"}", ": server: expected true or false, got \"true\""},
        {"{\"ports\": {\"http\": \"8500\"}}",
         ": ports.http: expected a whole number, got \"8500\""},
        {"{\"ports\": {\"http\": 1.5}}", ": ports.http: expected a whole number, got 1.5"},
        {"{\"ports\": {\"http\": 65536}}", ": ports.http: must be from -1 to 65535, got 65536"},
        {"{\"ports\": {\"dns\": -2}}", ": ports.dns: must be from -1 to 65535, got -2"},
        {"{\"bootstrap_expect\": -1}", ": bootstrap_expect: must be from 0 to 1000, got -1"},
        {"{\"max_query_time\": 5}", ": max_query_time: expected a duration in quotes, such as "
                                    "\"30s\" or \"24h\", got 5"},
        {"{\"max_query_time\": \"-5s\"}", ": max_query_time: expected a duration in quotes, such "
                                          "as \"30s\" or \"24h\", got \"-5s\""},
        {"{\"max_query_time\": \"25h\"}",
         ": max_query_time: must be from 1 to 86400000 ms, got 90000000 ms"},
        {"{\"log_level\": \"loud\"}",
         ": log_level: expected one of \"trace\", \"debug\", \"info\", "
         "\"warn\", \"err\", got \"loud\""},
        {"{\"node_id\": \"x\"}", ": node_id: expected a UUID in quotes, got \"x\""},
        {"{\"unix_sockets\": {\"mode\": \"999\"}}",
         ": unix_sockets.mode: expected file permission "
         "bits in quotes, such as \"0660\", got \"999\""},
        {"{\"http_config\": {\"response_headers\": {\"a b\": \"x\"}}}",
         ": http_config.response_headers.a b: not a header that HTTP can carry"},
        {"{\"http_config\": {\"response_headers\": {\"a\": \"x\\ny\"}}}",
         ": http_config.response_headers.a: not a header that HTTP can carry"},
        {"{\"server\": true, \"server\": true}", ":1:25: duplicate object key near '\"server\"'"},
        {"{", ":1:1: string or '}' expected near end of file"},
        {"[]", ": expected an object, as in {\"server\": true}"},
        {"{", ":1:1: string or '}' expected near end of file"},
        {"{\"datacenter\": \"DC_1!\"}",
         "datacenter cannot be \"dc_1!\". Please use only [a-z0-9-_]"},
        {"{\"datacenter\": \"\"}", "datacenter cannot be empty"},
        {"{\"bind_addr\": \"zz\"}", "bind_addr: \"zz\" is not an IP address"},
        {"{\"bind_addr\": \"{{ GetPrivateIP }}\"}",
         "bind_addr: \"{{ GetPrivateIP }}\" is an address "
         "template; this build takes IP addresses only"},
        {"{\"advertise_addr\": \"::\"}",
         "advertise_addr: \"::\" is no address that others could reach"},
        {"{\"client_addr\": \"127.0.0.1 nowhere\"}",
         "client_addr: \"nowhere\" is not an IP address"},
        {"{\"bootstrap_expect\": 3}", "'bootstrap_expect > 0' requires 'server = true'"},
        {"{\"bootstrap\": true}", "'bootstrap = true' requires 'server = true'"},
        {"{\"server\": true, \"bootstrap\": true, \"bootstrap_expect\": 3}",
         "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"},
        {"{\"default_query_time\": \"700s\"}",
         "default_query_time must not be longer than max_query_time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bad(cases[i].text, cases[i].reason);
    }
}

Test(config, deep_and_large_files_are_refused)
{
    char deep[512] = "{\"connect\":";
    for (size_t i = 0; i < 100; i++) {
        strcat(deep, "[");
    }
    bad(deep, ":1: nested deeper than 64");
    char *large = mem_alloc(CONFIG_FILE_MAX + 2);
    memset(large, ' ', CONFIG_FILE_MAX + 1);
    large[CONFIG_FILE_MAX + 1] = '\0';
    bad(large, ": larger than 1048576 bytes");
    free(large);
}

Test(config, hcl_and_missing_files_are_said_plainly)
{
    char *path = file("a.hcl", "server = true");
    cr_assert_eq(config_validate(1, &path, &config, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "HCL is not supported"));
    path = file("gone.json", "");
    unlink(path);
    cr_assert_eq(config_validate(1, &path, &config, &why), ERR_IO);
    cr_assert_not_null(strstr(why.text, "gone.json: cannot be opened: No such file"));
}

Test(config, keys_are_read_in_any_case_and_parts_of_the_mesh_are_accepted)
{
    good("{\"Datacenter\": \"dc2\", \"connect\": {\"enabled\": true, \"x\": [1, {}]},"
         " \"telemetry\": {\"disable_compat_1.9\": true}}");
    cr_assert_str_eq(config->datacenter, "dc2");
    cr_assert(warned("connect: accepted"));
}

Test(config, a_directory_is_read_by_name_and_flags_win)
{
    file("b.json", "{\"datacenter\": \"b\", \"node_name\": \"b\"}");
    file("a.json", "{\"datacenter\": \"a\", \"log_level\": \"warn\"}");
    file("c.txt", "not read");
    char flag[160];
    snprintf(flag, sizeof flag, "-config-dir=%s", dir);
    LOAD("-node", "flag", flag);
    cr_assert_str_eq(config->datacenter, "b");
    cr_assert_str_eq(config->node_name, "flag");
    cr_assert_eq(config->log_level, LOG_WARN);
}

Test(config, dev_mode_is_a_server_on_loopback_in_memory)
{
    LOAD("-dev", "-data-dir=/x", "-log-level=err");
    cr_assert(config->server && config->bootstrap && config->dev);
    cr_assert_null(config->data_dir);
    cr_assert_str_eq(config->bind_addr, "127.0.0.1");
    cr_assert_eq(config->log_level, LOG_ERROR);
    cr_assert_eq(config->http_count, 1);
    cr_assert_str_eq(config->http[0].address, "127.0.0.1");
    cr_assert_eq(config->http[0].port, 8500);
    cr_assert_geq(config->front_threads, 1);
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
}

Test(config, listeners_are_every_address_with_the_port)
{
    LOAD("-dev", "-client", "127.0.0.1  ::1 unix:///run/h.sock", "-http-port", "8501");
    cr_assert_eq(config->http_count, 3);
    cr_assert_str_eq(config->http[1].address, "::1");
    cr_assert_eq(config->http[1].port, 8501);
    cr_assert_str_eq(config->http[2].address, "unix:///run/h.sock");
    LOAD("-dev", "-http-port=-1");
    cr_assert_eq(config->http_count, 0);
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
}

Test(config, bad_flags_are_named)
{
    refuse("-zz", "flag provided but not defined: -zz");
    refuse("---x", "bad flag syntax: ---x");
    refuse("-http-port", "flag needs an argument: -http-port");
    refuse("-http-port=x", "flag -http-port: expected a whole number, got \"x\"");
    refuse("-http-port=99999999999999999999",
           "flag -http-port: expected a whole number, got \"99999999999999999999\"");
    refuse("-http-port=70000", "flag: -http-port: must be from -1 to 65535, got 70000");
    refuse("-server=maybe", "flag -server: expected true or false, got \"maybe\"");
    refuse("-dev=maybe", "flag -dev: expected true or false, got \"maybe\"");
    refuse("-hcl=x", "flag -hcl: HCL is not supported: write a JSON file, with the same keys");
    refuse("-node-meta=x", "flag -node-meta: expected key:value, got \"x\"");
    refuse("extra", "Unexpected extra arguments: [extra]");
}

/* A flag that names no key would CHECK when it is used. */
Test(config, every_flag_names_a_key)
{
    struct buf help;
    buf_init(&help, KIB(64));
    cr_assert_eq(config_flags_help(&help), OK);
    buf_put_char(&help, '\0');
    size_t count = 0;
    for (char *at = help.ptr; (at = strstr(at, "\n  -")) != NULL; at++) {
        char name[64];
        char flag[80];
        sscanf(at, "\n  %63[a-z_-]", name);
        snprintf(flag, sizeof flag, "%s=1", name);
        const char *argv[] = {flag};
        enum err e = config_load(1, (char **)argv, &config, &why);
        cr_assert(e == OK || e == ERR_INVALID || e == ERR_IO, "%s", name);
        config_free(config);
        config = NULL;
        count++;
    }
    cr_assert_gt(count, 60);
    buf_close(&help);
}

Test(config, what_this_build_cannot_be_is_refused)
{
    LOAD("-data-dir=/x");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "encrypt is not set"));
    LOAD("-bind=127.0.0.1", "-serf-lan-port=-1");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "by gossip"));
    LOAD("-server", "-bootstrap-expect=1");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "data_dir cannot be empty");
    LOAD("-server", "-data-dir=/x");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=1");
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
}

/* Clients leave however they end, unless told otherwise; servers stay. */
Test(config, clients_leave_by_default)
{
    LOAD("-bind=127.0.0.1");
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    cr_assert(config->leave_on_terminate && !config->skip_leave_on_interrupt);
    LOAD("-server", "-bootstrap", "-data-dir=/x");
    cr_assert(!config->leave_on_terminate && config->skip_leave_on_interrupt);
}

#define KEY "-encrypt=jvpf7z2li/R9GFlDoO7ZAi0HvRyXGUdGvedUYtuHQaw="

/* The first user's five servers need nothing but a key and addresses to meet at. */
Test(config, servers_that_meet_need_a_key_or_loopback)
{
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=5", "-advertise=10.0.0.1");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "encrypt is not set"));
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=5", "-advertise=10.0.0.1", KEY);
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=5", "-bind=127.0.0.2");
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    cr_assert_str_eq(config->advertise_addr, "127.0.0.2");
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=3", "-bind=127.0.0.2", "-serf-lan-port=-1");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "ports.serf_lan is off"));
    LOAD("-server", "-data-dir=/x", "-retry-join=10.0.0.2", "-advertise=10.0.0.1");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    LOAD("-server", "-data-dir=/x", "-retry-join=10.0.0.2", "-advertise=10.0.0.1", KEY);
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
}

/* One server alone starts as it did before there were clusters, whatever its addresses. */
Test(config, a_server_alone_needs_no_key_and_is_told_what_that_means)
{
    LOAD("-server", "-data-dir=/x", "-bootstrap-expect=1");
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    cr_assert_not(config_gossips(config));
    cr_assert(warned("gossip is off"));
    good("{\"server\": true, \"bootstrap_expect\": 1, \"herald\": {\"gossip_allow_clear\": true}}");
    cr_assert(config_gossips(config));
    good("{\"server\": true, \"bootstrap_expect\": 4, \"bind_addr\": \"127.0.0.1\"}");
    cr_assert(warned("even number"));
}

Test(config, the_private_address_is_chosen_if_it_is_the_only_one)
{
    static const char *const one[] = {"127.0.0.1", "8.8.8.8", "172.31.255.1"};
    static const char *const none[] = {"127.0.0.1", "172.32.0.1", "100.128.0.1", "11.0.0.1"};
    static const char *const several[] = {"10.0.0.1", "192.168.3.4"};
    static const char *const twice[] = {"100.64.0.1", "100.64.0.1"};
    cr_assert_str_eq(config_private_address(one, 3, &why), "172.31.255.1");
    cr_assert_str_eq(config_private_address(twice, 2, &why), "100.64.0.1");
    cr_assert_null(config_private_address(none, 4, &why));
    cr_assert_not_null(strstr(why.text, "no private IPv4 address"));
    cr_assert_null(config_private_address(several, 2, &why));
    cr_assert_not_null(strstr(why.text, "(10.0.0.1, 192.168.3.4)"));
}

Test(config, names_to_join_add_up_and_are_checked)
{
    file("a.json", "{\"retry_join\": [\"a\", \"b:1\"], \"retry_interval\": \"5s\","
                   " \"retry_max\": 3}");
    char flag[160];
    snprintf(flag, sizeof flag, "-config-dir=%s", dir);
    LOAD(flag, "-retry-join", "c", "-retry-join=[::1]:8301", "-join=d");
    cr_assert_eq(config->join.retry.count, 4);
    cr_assert_str_eq(config->join.retry.items[1], "b:1");
    cr_assert_str_eq(config->join.retry.items[3], "[::1]:8301");
    cr_assert_eq(config->join.start.count, 1);
    cr_assert_eq(config->join.interval_ms, 5000);
    cr_assert_eq(config->join.max, 3);
    bad("{\"retry_join\": [\"provider=gce project_name=a\"]}",
        "retry_join: provider=gce is not there in this build: aws, dns (host=...) and exec "
        "(cmd=..., a program that prints addresses) are");
    bad("{\"start_join\": \"a:b\"}",
        "start_join: \"a:b\" is no address: the port is a number from 1 to 65535");
}

/* The second pool: only where its port is said, and only servers. */
Test(config, the_wan_pool_is_off_unless_its_port_is_said)
{
    LOAD("-dev");
    cr_assert_not(config_gossips_wan(config));
    LOAD("-dev", "-serf-wan-port=0");
    cr_assert_not(config_gossips_wan(config));
    LOAD("-dev", "-serf-wan-port=8302", "-retry-join-wan=a", "-join-wan=b:1",
         "-retry-interval-wan=5s", "-retry-max-wan=3");
    cr_assert(config_gossips_wan(config));
    cr_assert_str_eq(config->join_wan.retry.items[0], "a");
    cr_assert_str_eq(config->join_wan.start.items[0], "b:1");
    cr_assert_eq(config->join_wan.interval_ms, 5000);
    cr_assert_eq(config->join_wan.max, 3);
    cr_assert_eq(config->join.retry.count + config->join.start.count, 0);
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    LOAD("-dev", "-retry-join-wan=a");
    cr_assert_eq(config_check_agent(config, &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "retry_join_wan, start_join_wan: this server has no WAN pool: set "
                               "ports.serf_wan (8302 is usual)");
    LOAD("-data-dir=/tmp", "-server", "-bootstrap", "-bind=10.0.0.1", "-serf-wan-port=8302");
    cr_assert_not(config_gossips_wan(config), "in clear, where others can hear it");
    LOAD("-data-dir=/tmp", "-bind=127.0.0.1", "-serf-wan-port=8302", "-retry-join-wan=a");
    cr_assert_not(config_gossips_wan(config), "a client");
    cr_assert_eq(config_check_agent(config, &why), OK, "%s", why.text);
    bad("{\"retry_join_wan\": [\"a:b\"]}",
        "retry_join_wan: \"a:b\" is no address: the port is a number from 1 to 65535");
}

Test(config, an_address_to_join_is_a_host_and_perhaps_a_port)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1", 0},
        {"10.0.0.1:8301", "10.0.0.1", 8301},
        {"a.example", "a.example", 0},
        {"a.example:1", "a.example", 1},
        {"::1", "::1", 0},
        {"[::1]", "::1", 0},
        {"[fe80::1]:65535", "fe80::1", 65535},
        {"", NULL, 0},
        {":8301", NULL, 0},
        {"a:", NULL, 0},
        {"a:0", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:-1", NULL, 0},
        {"a b", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]x", NULL, 0},
        {"http://a", NULL, 0},
        {"{{ GetPrivateIP }}", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct join_address address = {.port = 7};
        enum err e = join_address_parse(cases[i].text, &address, &why);
        cr_assert_eq(e, cases[i].host == NULL ? ERR_INVALID : OK, "%s", cases[i].text);
        if (e == OK) {
            cr_assert_str_eq(address.host, cases[i].host);
            cr_assert_eq(address.port, cases[i].port, "%s", cases[i].text);
        }
    }
}

Test(config, the_key_is_checked_and_never_repeated)
{
    static const char *const wrong[] = {"x", "c2hvcnQ=", "jvpf7z2li/R9GFlDoO7ZAi0HvRyXGUdG",
                                        "jvpf7z2li/R9GFlDoO7ZAi0HvRyXGUdGvedUYtuHQawA"};
    char text[160];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "{\"encrypt\": \"%s\"}", wrong[i]);
        cr_assert_eq(validate(text), i == 2 ? OK : ERR_INVALID, "%s", wrong[i]);
        cr_assert(i == 2 || strcmp(why.text, "encrypt: expected 16, 24 or 32 bytes in base64, as "
                                             "`keygen` prints them") == 0,
                  "%s", why.text);
    }
    good("{\"encrypt\": \"AAAAAAAAAAAAAAAAAAAAAA==\", \"encrypt_verify_incoming\": false}");
    cr_assert(warned("encrypt_verify_incoming"));
}

Test(config, cluster_keys_have_consuls_bounds)
{
    good("{\"server\": true, \"performance\": {\"raft_multiplier\": 5, \"leave_drain_time\": "
         "\"1s\"},"
         " \"autopilot\": {\"cleanup_dead_servers\": false, \"last_contact_threshold\": \"1s\","
         " \"max_trailing_logs\": 9, \"min_quorum\": 3, \"server_stabilization_time\": \"2s\"},"
         " \"leave_on_terminate\": true, \"reconnect_timeout\": \"8h\"}");
    cr_assert_eq(config->raft_multiplier, 5);
    cr_assert_eq(config->leave_drain_ms, 1000);
    cr_assert_not(config->autopilot_cleanup);
    cr_assert_eq(config->autopilot_contact_ms, 1000);
    cr_assert_eq(config->autopilot_trailing, 9);
    cr_assert_eq(config->autopilot_min_quorum, 3);
    cr_assert_eq(config->autopilot_stable_ms, 2000);
    cr_assert(config->leave_on_terminate && config->skip_leave_on_interrupt);
    bad("{\"reconnect_timeout\": \"7h\"}", ": reconnect_timeout: must be from 28800000 to "
                                           "31536000000 ms, got 25200000 ms");
    bad("{\"performance\": {\"raft_multiplier\": 11}}",
        ": performance.raft_multiplier: must be from 1 to 10, got 11");
}

Test(config, a_reload_changes_what_may_change_and_warns_of_the_rest)
{
    char flag[160];
    char *path = file("a.json", "{\"datacenter\": \"one\", \"log_level\": \"info\","
                                " \"ports\": {\"http\": 1234},"
                                " \"http_config\": {\"response_headers\": {\"A\": \"1\"}}}");
    snprintf(flag, sizeof flag, "-config-file=%s", path);
    LOAD("-dev", flag);
    const char *argv[] = {"-dev", flag};
    struct config *old = NULL;
    config_free(config);
    config = NULL;
    cr_assert_eq(config_load(2, (char **)argv, &old, &why), OK);
    file("a.json", "{\"datacenter\": \"two\", \"log_level\": \"warn\", \"ports\": {\"http\": 5678},"
                   " \"herald\": {\"history_age\": \"1h\"},"
                   " \"http_config\": {\"response_headers\": {\"A\": \"2\"}}}");
    cr_assert_eq(config_reload(old, &config, &why), OK, "%s", why.text);
    cr_assert_eq(config->log_level, LOG_WARN);
    cr_assert_eq(config->history_age_ms, 3600000);
    cr_assert_str_eq(config->datacenter, "one");
    cr_assert_eq(config->http[0].port, 1234);
    cr_assert_str_eq(config->headers[0].value, "1");
    cr_assert(warned("datacenter: changed, and takes effect at the next start only"));
    cr_assert(warned("ports.http: changed"));
    cr_assert(warned("http_config.response_headers: changed"));
    file("a.json", "{\"bogus\": 1}");
    struct config *next = NULL;
    cr_assert_neq(config_reload(old, &next, &why), OK);
    cr_assert_null(next);
    config_free(old);
}
