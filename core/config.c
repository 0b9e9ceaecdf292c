#include "core/config.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/config_key.h"
#include "core/flag.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FRONT_THREADS_MAX 64
/* What the process needs besides client connections, as Consul counts it. */
#define FILES_RESERVED    20

/* --- flags --------------------------------------------------------------------------------------
 */

/* A flag is another way to say a key. Switches take no value. */
struct config_flag {
    const char *name;
    const char *path;
    const char *value; /* what the help calls it; NULL for a switch */
    const char *help;
};

static const struct config_flag flags[] = {
    {"advertise", "advertise_addr", "value",
     "Address that the other servers are told. The default is the bind address or, if that is "
     "0.0.0.0, the one private IPv4 address of this machine."},
    {"advertise-wan", "advertise_addr_wan", "value", "Accepted, not used yet."},
    {"allow-write-http-from", "http_config.allow_write_http_from", "value",
     "Accepted, not used yet."},
    {"alt-domain", "alt_domain", "value", "A second domain that DNS answers for."},
    {"auto-reload-config", "auto_reload_config", NULL, "Accepted, not used yet."},
    {"bind", "bind_addr", "value", "Address that servers meet on. The default is 0.0.0.0."},
    {"bootstrap", "bootstrap", NULL, "The server may elect itself: a cluster of one."},
    {"bootstrap-expect", "bootstrap_expect", "value",
     "How many servers make the cluster: it is founded once so many have met. 1: this server "
     "alone."},
    {"check_output_max_size", "check_output_max_size", "value",
     "How many bytes of a check's output are kept. The default is 4096."},
    {"client", "client_addr", "value",
     "Addresses where clients are answered, with spaces between them: IP addresses, or "
     "unix:// and a path. The default is 127.0.0.1."},
    {"data-dir", "data_dir", "value", "Path to a directory where the data is kept."},
    {"datacenter", "datacenter", "value", "Datacenter of the agent. The default is dc1."},
    {"default-query-time", "default_query_time", "value",
     "How long a blocking query without a 'wait' parameter waits. The default is 300s."},
    {"disable-host-node-id", "disable_host_node_id", NULL, "Accepted, not used yet."},
    {"disable-keyring-file", "disable_keyring_file", NULL, "Accepted, not used yet."},
    {"dns-port", "ports.dns", "value",
     "Port of DNS, UDP and TCP; 0: any free one, -1: none. The default is 8600."},
    {"domain", "domain", "value", "Domain that DNS answers for. The default is consul."},
    {"enable-local-script-checks", "enable_local_script_checks", NULL,
     "Checks that files define may run programs."},
    {"enable-script-checks", "enable_script_checks", NULL,
     "Checks may run programs, also those that are registered over HTTP: whoever reaches it can "
     "then run commands here."},
    {"encrypt", "encrypt", "value",
     "Key of the gossip, the same on all agents, as `keygen` makes it. Without one there is gossip "
     "on loopback only."},
    {"grpc-port", "ports.grpc", "value", "Accepted, not used yet."},
    {"grpc-tls-port", "ports.grpc_tls", "value", "Accepted, not used yet."},
    {"http-port", "ports.http", "value",
     "Port of the HTTP interface; 0: any free one, -1: none. The default is 8500."},
    {"https-port", "ports.https", "value", "Accepted, not used yet."},
    {"join", "start_join", "value",
     "Address of an agent to join at the start, host or host:port; the start fails if none can be "
     "joined. May be given several times."},
    {"join-wan", "start_join_wan", "value",
     "The same in the WAN pool: a server of another datacenter, by its port of that gossip."},
    {"log-file", "log_file", "value", "Accepted, not used yet."},
    {"log-json", "log_json", NULL, "Writes the log as JSON objects, one on a line."},
    {"log-level", "log_level", "value", "trace, debug, info (the default), warn or err."},
    {"log-rotate-bytes", "log_rotate_bytes", "value", "Accepted, not used yet."},
    {"log-rotate-duration", "log_rotate_duration", "value", "Accepted, not used yet."},
    {"log-rotate-max-files", "log_rotate_max_files", "value", "Accepted, not used yet."},
    {"max-query-time", "max_query_time", "value",
     "The longest that a blocking query may wait. The default is 600s."},
    {"node", "node_name", "value", "Name of this node. The default is the host's name."},
    {"node-id", "node_id", "value",
     "A UUID that names this node for ever. The default is made at the first start and kept in "
     "the data directory."},
    {"non-voting-server", "non_voting_server", NULL, "Accepted, not used yet."},
    {"pid-file", "pid_file", "value", "Path to a file that gets the process id."},
    {"primary-gateway", "primary_gateways", "value", "Accepted, not used yet."},
    {"protocol", "protocol", "value", "Accepted, not used yet."},
    {"raft-protocol", "raft_protocol", "value", "Accepted; it is 3."},
    {"recursor", "recursors", "value",
     "Address of a DNS server that is asked about other domains. May be given several times."},
    {"rejoin", "rejoin_after_leave", NULL, "Joins the members it knew again, although it left."},
    {"retry-interval", "retry_interval", "value",
     "Time between two tries of -retry-join. The default is 30s."},
    {"retry-interval-wan", "retry_interval_wan", "value",
     "Time between two tries of -retry-join-wan. The default is 30s."},
    {"retry-join", "retry_join", "value",
     "The same, tried until one answers. May be given several times."},
    {"retry-join-wan", "retry_join_wan", "value",
     "As -join-wan, tried until one answers. May be given several times."},
    {"retry-max", "retry_max", "value",
     "How often -retry-join is tried before the agent gives up and ends. The default is 0: for "
     "ever."},
    {"retry-max-wan", "retry_max_wan", "value", "As -retry-max, of -retry-join-wan."},
    {"segment", "segment", "value", "Accepted, not used yet."},
    {"serf-lan-allowed-cidrs", "serf_lan_allowed_cidrs", "value", "Accepted, not used yet."},
    {"serf-lan-bind", "serf_lan", "value", "Accepted, not used yet."},
    {"serf-lan-port", "ports.serf_lan", "value",
     "Port of the gossip; 0: any free one, -1: none. The default is 8301."},
    {"serf-wan-allowed-cidrs", "serf_wan_allowed_cidrs", "value", "Accepted, not used yet."},
    {"serf-wan-bind", "serf_wan", "value", "Accepted, not used yet."},
    {"serf-wan-port", "ports.serf_wan", "value",
     "Port of the gossip between the servers of all datacenters. The default is -1: none."},
    {"server", "server", NULL, "Switches agent to server mode."},
    {"server-port", "ports.server", "value",
     "Port where the other servers speak to this one; 0: any free one. The default is 8300."},
    {"syslog", "enable_syslog", NULL, "Accepted, not used yet."},
    {"ui", "ui", NULL, "Accepted, not used yet."},
    {"ui-content-path", "ui_content_path", "value", "Accepted, not used yet."},
    {"ui-dir", "ui_dir", "value", "Accepted, not used yet."},
};

/* The flags that are no key. Files are read in the order they are named, before all flags. */
static const struct config_flag own_flags[] = {
    {"config-dir", NULL, "value",
     "Path to a directory whose files ending in '.json' are read in alphabetical order. May be "
     "given several times."},
    {"config-file", NULL, "value", "Path to a file in JSON format. May be given several times."},
    {"config-format", NULL, "string", "Format of the files: json."},
    {"dev", NULL, NULL,
     "Development mode: a server of its own, in memory, on 127.0.0.1, with a debug log."},
    {"hcl", NULL, "value", "Refused: HCL is not supported. Write a JSON file."},
    {"node-meta", "node_meta", "key:value",
     "Something to know of this node. May be given several times."},
};

#define FLAG_COUNT     (sizeof flags / sizeof flags[0])
#define OWN_FLAG_COUNT (sizeof own_flags / sizeof own_flags[0])

static const struct config_flag *flag_find(struct bytes name)
{
    for (size_t i = 0; i < FLAG_COUNT + OWN_FLAG_COUNT; i++) {
        const struct config_flag *f = i < FLAG_COUNT ? &flags[i] : &own_flags[i - FLAG_COUNT];
        if (bytes_equal(bytes_of(f->name), name)) {
            return f;
        }
    }
    return NULL;
}

static int flag_order(const void *a, const void *b)
{
    const struct config_flag *const *x = a;
    const struct config_flag *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

enum err config_flags_help(struct buf *out)
{
    const struct config_flag *all[FLAG_COUNT + OWN_FLAG_COUNT];
    for (size_t i = 0; i < FLAG_COUNT + OWN_FLAG_COUNT; i++) {
        all[i] = i < FLAG_COUNT ? &flags[i] : &own_flags[i - FLAG_COUNT];
    }
    qsort(all, sizeof all / sizeof all[0], sizeof all[0], flag_order);
    enum err e = OK;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && e == OK; i++) {
        e = flag_help(out, all[i]->name, all[i]->value, all[i]->help);
    }
    return e;
}

static enum err flag_apply_key(struct config *c,
                               const struct config_flag *flag,
                               struct bytes value,
                               struct reason *why)
{
    bool object = false;
    char shown[64];
    const struct config_key *key = config_key_find(flag->path, &object);
    CHECK(key != NULL);
    (void)snprintf(shown, sizeof shown, "-%s", flag->name);
    struct config_origin origin = {.source = "flag", .path = shown};
    return config_key_set_text(c, key, value, &origin, why);
}

static enum err flag_apply_own(struct config *c,
                               const struct config_flag *flag,
                               struct bytes value,
                               struct reason *why)
{
    if (strcmp(flag->name, "dev") == 0) {
        return flag_bool(value, &c->dev);
    }
    if (strcmp(flag->name, "hcl") == 0 ||
        (strcmp(flag->name, "config-format") == 0 && !bytes_equal(value, BYTES("json")))) {
        reason_set(why, "flag -%s: HCL is not supported: write a JSON file, with the same keys",
                   flag->name);
        return ERR_INVALID;
    }
    if (strcmp(flag->name, "node-meta") == 0) {
        size_t colon = bytes_find(value, ':');
        if (colon == value.len || colon > META_NAME_MAX || value.len > META_VALUE_MAX ||
            config_map_add(&c->node_meta, bytes_slice(value, 0, colon),
                           bytes_slice(value, colon + 1, value.len)) != OK) {
            reason_set(why, "flag -node-meta: expected key:value, got \"%.*s\"",
                       BYTES_FORMAT(value));
            return ERR_INVALID;
        }
    }
    return OK;
}

/* What a pass over the flags does; `-dev` and files come before the keys, whatever their order. */
enum flags_pass {
    PASS_OWN,
    PASS_FILES,
    PASS_KEYS,
};

static enum err flag_apply(struct config *c,
                           const struct config_flag *flag,
                           struct bytes value,
                           enum flags_pass pass,
                           struct reason *why)
{
    if (pass == PASS_FILES) {
        if (strcmp(flag->name, "config-file") == 0) {
            return config_file_read(c, value.ptr, why);
        }
        return strcmp(flag->name, "config-dir") == 0 ? config_dir_read(c, value.ptr, why) : OK;
    }
    bool own = flag >= own_flags && flag < own_flags + OWN_FLAG_COUNT;
    if (own != (pass == PASS_OWN)) {
        return OK;
    }
    enum err e = own ? flag_apply_own(c, flag, value, why) : flag_apply_key(c, flag, value, why);
    if (e != OK && why->text[0] == '\0') {
        reason_set(why, "flag -%s: expected true or false, got \"%.*s\"", flag->name,
                   BYTES_FORMAT(value));
    }
    return e;
}

static enum err flags_apply(struct config *c, enum flags_pass pass, struct reason *why)
{
    struct flag_cursor cursor = {.argc = c->argc, .argv = c->argv};
    struct bytes name = {0};
    struct bytes value = {0};
    enum err e = OK;
    why->text[0] = '\0';
    while ((e = flag_next(&cursor, &name, &value, why)) == OK) {
        const struct config_flag *flag = flag_find(name);
        if (flag == NULL) {
            reason_set(why, "flag provided but not defined: -%.*s", BYTES_FORMAT(name));
            return ERR_INVALID;
        }
        if (value.ptr == NULL && flag->value == NULL) {
            value = BYTES("true");
        } else if (value.ptr == NULL && (e = flag_value(&cursor, name, &value, why)) != OK) {
            return e;
        }
        if ((e = flag_apply(c, flag, value, pass, why)) != OK) {
            return e;
        }
    }
    if (e == ERR_NOT_FOUND && cursor.argc > 0) {
        reason_set(why, "Unexpected extra arguments: [%s]", cursor.argv[0]);
        return ERR_INVALID;
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

/* --- defaults and what follows from the rest ----------------------------------------------------
 */

static struct config *config_new(void)
{
    struct config *c = mem_zalloc(1, sizeof *c);
    *c = (struct config){
        .datacenter = mem_strdup("dc1"),
        .bind_addr = mem_strdup("0.0.0.0"),
        .client_addr = mem_strdup("127.0.0.1"),
        .server_port = 8300,
        .serf_lan_port = SERF_LAN_PORT,
        .serf_wan_port = -1,
        .http_port = 8500,
        .http_max_conns_per_client = HTTP_CONNECTIONS_PER_CLIENT,
        .kv_max_value_size = KV_VALUE_MAX,
        .txn_max_req_len = TXN_REQUEST_MAX,
        .txn_ops_max = TXN_OPS_MAX,
        .session_ttl_min_ms = SESSION_TTL_MIN_MS,
        .default_query_time_ms = QUERY_WAIT_DEFAULT_MS,
        .max_query_time_ms = QUERY_WAIT_MAX_MS,
        .log_level = LOG_INFO,
        .raft_trailing_logs = LOG_TRAILING_DEFAULT,
        .history_age_ms = HISTORY_AGE_DEFAULT_MS,
        .history_bytes = HISTORY_BYTES_DEFAULT,
        .encrypt_verify_incoming = true,
        .encrypt_verify_outgoing = true,
        .join.interval_ms = JOIN_RETRY_DEFAULT_MS,
        .join_wan.interval_ms = JOIN_RETRY_DEFAULT_MS,
        .reconnect_ms = RECONNECT_DEFAULT_MS,
        .reconnect_wan_ms = RECONNECT_DEFAULT_MS,
        .skip_leave_on_interrupt = true,
        .leave_drain_ms = LEAVE_DRAIN_DEFAULT_MS,
        .raft_multiplier = 1,
        .rpc_hold_ms = RPC_HOLD_MS,
        .raft_protocol = 3,
        .autopilot_cleanup = true,
        .autopilot_contact_ms = AUTOPILOT_CONTACT_MS,
        .autopilot_trailing = AUTOPILOT_TRAILING,
        .autopilot_stable_ms = AUTOPILOT_STABLE_MS,
        .stream_heartbeat_ms = STREAM_HEARTBEAT_MS,
        .shutdown_ms = SHUTDOWN_DEFAULT_MS,
        .check_update_interval_ms = CHECK_UPDATE_DEFAULT_MS,
        .check_output_max_size = CHECK_OUTPUT_MAX,
    };
    config_default_dns(c);
    return c;
}

static void text_replace(char **text, const char *with)
{
    char *copy = with == NULL ? NULL : mem_strdup(with);
    free(*text);
    *text = copy;
}

static void config_set_dev(struct config *c)
{
    c->server = true;
    c->bootstrap = true;
    c->log_level = LOG_DEBUG;
    text_replace(&c->bind_addr, "127.0.0.1");
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    config_keys_close(c);
    config_definitions_close(c);
    free(c->advertise_problem);
    for (size_t i = 0; i < c->http_count; i++) {
        free((char *)(uintptr_t)c->http[i].address);
    }
    config_close_dns(c);
    for (size_t i = 0; i < c->warning_count; i++) {
        free(c->warnings[i]);
    }
    free(c);
}

static enum err listen_add(struct config *c, const char *key, struct bytes item, struct reason *why)
{
    char text[128];
    bool local = bytes_begins(item, BYTES("unix://"));
    /* sockaddr_un has room for 107 bytes of path. */
    if (item.len >= sizeof text || (local && (item.len < 8 || item.len > 7 + 107))) {
        reason_set(why, "%s: \"%.60s...\" is not an address, or too long for one", key, item.ptr);
        return ERR_INVALID;
    }
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FORMAT(item));
    enum err e = local ? OK : config_ip_check(key, text, why);
    if (e != OK || (!local && c->http_port < 0)) {
        return e;
    }
    if (c->http_count == CONFIG_LISTENERS_MAX) {
        reason_set(why, "%s: more than %d addresses", key, CONFIG_LISTENERS_MAX);
        return ERR_INVALID;
    }
    c->http[c->http_count++] = (struct front_listen){
        .address = mem_strdup(text),
        .port = local ? 0 : (uint16_t)c->http_port,
        .mode = local ? (unsigned)c->unix_mode : 0,
    };
    return OK;
}

static enum err config_listen(struct config *c, struct reason *why)
{
    const char *key = c->http_addr == NULL ? "client_addr" : "addresses.http";
    struct bytes rest = bytes_of(c->http_addr == NULL ? c->client_addr : c->http_addr);
    enum err e = OK;
    for (size_t i = 0; i < c->http_count; i++) {
        free((char *)(uintptr_t)c->http[i].address);
    }
    c->http_count = 0;
    if (strstr(rest.ptr, "{{") != NULL) {
        return config_ip_check(key, rest.ptr, why);
    }
    while (e == OK && rest.len > 0) {
        size_t end = bytes_find(rest, ' ');
        if (end > 0) {
            e = listen_add(c, key, bytes_slice(rest, 0, end), why);
        }
        rest = bytes_slice(rest, end < rest.len ? end + 1 : end, rest.len);
    }
    return e;
}

/* Cores that this process may use. */
static unsigned cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > FRONT_THREADS_MAX ? FRONT_THREADS_MAX : (unsigned)count;
}

static enum err
name_check(const char *key, const char *text, const char *allowed, struct reason *why)
{
    if (text[0] == '\0') {
        reason_set(why, "%s cannot be empty", key);
        return ERR_INVALID;
    }
    if (strlen(text) > 128) {
        reason_set(why, "%s: longer than 128 bytes", key);
        return ERR_INVALID;
    }
    for (const char *p = text; *p != '\0'; p++) {
        bool fits = allowed != NULL ? strchr(allowed, *p) != NULL : (unsigned char)*p >= 0x20;
        if (!fits) {
            reason_set(why, "%s cannot be \"%s\". Please use only %s", key, text,
                       allowed != NULL ? "[a-z0-9-_]" : "printable characters");
            return ERR_INVALID;
        }
    }
    return OK;
}

static enum err config_finish_names(struct config *c, struct reason *why)
{
    char host[256] = "";
    if (c->node_name == NULL) {
        (void)gethostname(host, sizeof host - 1);
        text_replace(&c->node_name, host[0] == '\0' ? "herald" : host);
    }
    for (char *p = c->datacenter; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    }
    enum err e =
        name_check("datacenter", c->datacenter, "abcdefghijklmnopqrstuvwxyz0123456789-_", why);
    return e != OK ? e : name_check("node_name", c->node_name, NULL, why);
}

static enum err config_finish(struct config *c, struct reason *why)
{
    enum err e = config_finish_names(c, why);
    e = e == OK ? config_finish_acl(c, why) : e;
    if (e == OK) {
        e = config_finish_cluster(c, why);
    }
    if (e == OK) {
        e = config_listen(c, why);
    }
    if (e == OK) {
        e = config_finish_dns(c, why);
    }
    if (e == OK) {
        e = config_definitions_check(c, why);
    }
    if (e != OK) {
        return e;
    }
    if (c->bootstrap_expect > 0 && !c->server) {
        reason_set(why, "'bootstrap_expect > 0' requires 'server = true'");
        return ERR_INVALID;
    }
    if (c->bootstrap && !c->server) {
        reason_set(why, "'bootstrap = true' requires 'server = true'");
        return ERR_INVALID;
    }
    if (c->bootstrap && c->bootstrap_expect > 1) {
        reason_set(why, "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
        return ERR_INVALID;
    }
    if (c->default_query_time_ms > c->max_query_time_ms) {
        reason_set(why, "default_query_time must not be longer than max_query_time");
        return ERR_INVALID;
    }
    if (c->dev || (c->data_dir != NULL && c->data_dir[0] == '\0')) {
        text_replace(&c->data_dir, NULL);
    }
    if (c->front_threads == 0) {
        c->front_threads = cores();
    }
    return OK;
}

/* --- the door -----------------------------------------------------------------------------------
 */

/* Clients leave whenever they end; a server that restarts is to be a member all the while. */
static void config_set_client(struct config *c)
{
    c->leave_on_terminate = true;
    c->skip_leave_on_interrupt = false;
}

static enum err
config_load_as(int argc, char **argv, bool client, struct config **ret_config, struct reason *why)
{
    struct config *c = config_new();
    c->argc = argc;
    c->argv = argv;
    if (client) {
        config_set_client(c);
    }
    enum err e = flags_apply(c, PASS_OWN, why);
    if (e == OK && c->dev) {
        config_set_dev(c);
    }
    if (e == OK) {
        e = flags_apply(c, PASS_FILES, why);
    }
    if (e == OK) {
        e = flags_apply(c, PASS_KEYS, why);
    }
    if (e == OK) {
        e = config_finish(c, why);
    }
    if (e != OK) {
        config_free(c);
        return e;
    }
    *ret_config = c;
    return OK;
}

/* Some defaults depend on what the agent is, which only the whole configuration says: it is read as
 * a server's, and once more if it is none. */
enum err config_load(int argc, char **argv, struct config **ret_config, struct reason *why)
{
    struct config *c = NULL;
    enum err e = config_load_as(argc, argv, false, &c, why);
    if (e == OK && !c->server) {
        config_free(c);
        e = config_load_as(argc, argv, true, &c, why);
    }
    if (e == OK) {
        *ret_config = c;
    }
    return e;
}

enum err config_reload(const struct config *old, struct config **ret_config, struct reason *why)
{
    struct config *c = NULL;
    enum err e = config_load(old->argc, old->argv, &c, why);
    if (e != OK) {
        return e;
    }
    config_keys_keep(c, old);
    if ((e = config_listen(c, why)) != OK || (e = config_finish_dns(c, why)) != OK) {
        config_free(c);
        return e;
    }
    *ret_config = c;
    return OK;
}

enum err
config_validate(int path_count, char **paths, struct config **ret_config, struct reason *why)
{
    struct config *c = config_new();
    enum err e = OK;
    for (int i = 0; i < path_count && e == OK; i++) {
        e = config_dir_read(c, paths[i], why);
    }
    if (e == OK) {
        e = config_finish(c, why);
    }
    if (e != OK) {
        config_free(c);
        return e;
    }
    if (c->data_dir == NULL) {
        config_warn(c, "data_dir is not set: the agent will need -data-dir");
    }
    *ret_config = c;
    return OK;
}

static enum err files_check(const struct config *c, struct reason *why)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return OK;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    unsigned long long need = c->http_max_conns_per_client + FILES_RESERVED;
    if (limit.rlim_cur != RLIM_INFINITY && need > limit.rlim_cur) {
        reason_set(why,
                   "system allows a max of %llu file descriptors, but "
                   "limits.http_max_conns_per_client: %llu needs at least %llu",
                   (unsigned long long)limit.rlim_cur,
                   (unsigned long long)c->http_max_conns_per_client, need);
        return ERR_INVALID;
    }
    return OK;
}

enum err config_check_agent(const struct config *c, struct reason *why)
{
    if (c->server && !c->dev && c->data_dir == NULL) {
        reason_set(why, "data_dir cannot be empty");
        return ERR_INVALID;
    }
    enum err e = config_check_cluster(c, why);
    if (e != OK) {
        return e;
    }
    if (c->http_count == 0) {
        reason_set(why, "ports.http is off and there is no unix:// address: nobody could reach "
                        "this server");
        return ERR_INVALID;
    }
    return files_check(c, why);
}
