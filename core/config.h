/* The configuration: defaults, then files (JSON, with Consul's keys), then flags. What may be said
 * is the table config.tbl.h; everything else is refused by name.
 *
 * Owner    config_load() and config_reload() give a config to the caller, config_free() ends it;
 *          all strings in it are its own. `argv` is borrowed until config_free().
 * Limits   CONFIG_*_MAX below and JSON_DEPTH_MAX; past one the file is refused.
 * Errors   ERR_INVALID with a reason that names the file or flag, the key's full path and what
 *          would be right; ERR_IO for a file that cannot be read. On failure nothing is returned.
 * Threads  any; nothing is shared. A config is constant once it is loaded.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/front/front.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_FILE_MAX        MIB(1)
#define CONFIG_FILES_MAX       256
#define CONFIG_LISTENERS_MAX   16
#define CONFIG_HEADERS_MAX     64
#define CONFIG_WARNINGS_MAX    256
#define CONFIG_TEXTS_MAX       64
#define CONFIG_SERVICES_MAX    4096 /* services and checks together */
#define CONFIG_DNS_PORT_UNSAID (-2)

/* A list of texts; the items are the config's. */
struct config_texts {
    char *items[CONFIG_TEXTS_MAX];
    size_t count;
};

/* An object of texts; the items are the config's. */
struct config_map {
    char *names[META_PAIRS_MAX];
    char *values[META_PAIRS_MAX];
    size_t count;
};

/* Whom to join, and how often to try, in one pool. */
struct config_join {
    struct config_texts start;
    struct config_texts retry;
    uint64_t interval_ms;
    uint64_t max; /* 0: for ever */
};

/* A service or a check that a file says; see core/definition.h. */
struct config_definition {
    bool service;
    char *json;
    char *source; /* file and path, for messages */
};

/* DNS, as it is configured; core/dns/settings.h makes it ready for use. */
struct config_dns {
    struct front_listen
        listen[CONFIG_LISTENERS_MAX]; /* client_addr x ports.dns, or addresses.dns */
    size_t listen_count;
    bool port_said; /* else it is the default: no reason to fail if somebody has it */
    char *domain;
    char *alt_domain; /* NULL: none */
    struct config_texts recursors;
    struct config_map service_ttl; /* durations */
    char *recursor_strategy;       /* sequential, random */
    uint64_t recursor_timeout_ms;
    uint64_t max_stale_ms;
    uint64_t node_ttl_ms;
    uint64_t udp_answer_limit;
    uint64_t a_record_limit; /* 0: none */
    uint64_t soa_refresh;    /* of the SOA: seconds */
    uint64_t soa_retry;
    uint64_t soa_expire;
    uint64_t soa_min_ttl;
    uint64_t rate_limit; /* herald.dns_rate_limit: 0: none */
    bool allow_stale;
    bool enable_truncate;
    bool only_passing;
    bool disable_compression;
    bool node_meta_txt;
    /* private */
    int64_t port; /* CONFIG_DNS_PORT_UNSAID: the default */
    char *addr;   /* addresses.dns */
};

struct config {
    bool dev; /* in memory, loopback, debug log */
    bool server;
    bool bootstrap;
    uint64_t bootstrap_expect;
    char *data_dir; /* NULL with -dev */
    char *node_name;
    char *node_id; /* NULL: <data_dir>/node-id says, or is made */
    char *datacenter;
    char *bind_addr;      /* a literal IP address */
    char *advertise_addr; /* a literal IP address; never 0.0.0.0 or :: */
    int64_t server_port;  /* 0: any free one */

    /* Membership (core/agent). Without gossip (config_gossips()) nobody can join this server. */
    int64_t serf_lan_port; /* 0: any free one; -1: no gossip */
    char *encrypt;         /* base64 of 16, 24 or 32 bytes; NULL: in clear */
    bool encrypt_verify_incoming;
    bool encrypt_verify_outgoing;
    bool gossip_allow_clear; /* herald.gossip_allow_clear: in clear beyond loopback too */
    struct config_join join;
    bool rejoin_after_leave;
    uint64_t reconnect_ms;
    /* The pool of the servers of all datacenters (core/agent/wan.h). */
    int64_t serf_wan_port; /* -1, 0: none */
    struct config_join join_wan;
    uint64_t reconnect_wan_ms;
    bool leave_on_terminate;
    bool skip_leave_on_interrupt;
    uint64_t leave_drain_ms;
    /* Servers: the election time is RAFT_ELECTION_MS times this. */
    uint64_t raft_multiplier;
    uint64_t rpc_hold_ms; /* how long a request that needs a leader waits for one */
    uint64_t raft_protocol;
    /* What autopilot begins with; what operators set later is replicated state. */
    bool autopilot_cleanup;
    uint64_t autopilot_contact_ms;
    uint64_t autopilot_trailing;
    uint64_t autopilot_min_quorum;
    uint64_t autopilot_stable_ms;

    /* The agent's own services and checks (core/agent). */
    struct config_definition *definitions;
    size_t definition_count;
    struct config_map node_meta;
    uint64_t check_update_interval_ms; /* an output that alone has changed waits so long */
    uint64_t check_output_max_size;
    bool discard_check_output;
    bool enable_script_checks; /* of the API too */
    bool enable_local_script_checks;
    /* Access control. Old names were merged into these when the configuration is loaded. */
    bool acl_enabled;
    bool acl_key_list;        /* listing keys needs `list`, not only `read` */
    char *acl_default_policy; /* "allow" or "deny" */
    char *acl_token_initial;  /* the management token that the first leader writes; NULL: none */
    char *acl_token_agent;
    char *acl_token_recovery;
    char *acl_token_default;
    char *acl_token_replication;
    char *acl_token_service;
    char *acl_token_dns;

    char *pid_file; /* NULL: none */

    /* Where HTTP is answered: client_addr x ports.http, or addresses.http. May be empty
     * (ports.http -1). */
    struct front_listen http[CONFIG_LISTENERS_MAX];
    size_t http_count;
    struct front_header headers[CONFIG_HEADERS_MAX]; /* http_config.response_headers */
    size_t header_count;
    uint64_t http_max_conns_per_client;
    uint64_t kv_max_value_size;
    uint64_t txn_max_req_len;
    uint64_t txn_ops_max; /* herald.txn_ops_max */
    uint64_t session_ttl_min_ms;
    uint64_t default_query_time_ms;
    uint64_t max_query_time_ms;
    uint64_t prometheus_retention_ms; /* 0: the Prometheus form is off, as in Consul */

    struct config_dns dns;

    enum log_level log_level;
    bool log_json;

    uint64_t raft_trailing_logs;
    uint64_t history_age_ms;
    uint64_t history_bytes;
    uint64_t front_threads;       /* at least 1 */
    uint64_t stream_heartbeat_ms; /* herald.stream_heartbeat */
    /* herald.stream_allow_origins: sites whose pages may subscribe, with spaces between; `*` is
     * any; NULL: this server's own pages alone. */
    char *stream_allow_origins;
    uint64_t shutdown_ms; /* herald.shutdown_timeout: how long clients may take to finish */

    /* Sentences without a newline: what was accepted and is not used, and the like. */
    char *warnings[CONFIG_WARNINGS_MAX];
    size_t warning_count;

    /* private */
    char *acl_token_master;
    char *acl_token_agent_master;
    char *acl_old_datacenter;
    char *acl_old_default_policy;
    bool acl_old_key_list;
    char *acl_old_master;
    char *acl_old_agent_master;
    char *acl_old_agent;
    char *acl_old_replication;
    char *acl_old_default;
    char *client_addr; /* as given: addresses with spaces between */
    char *http_addr;   /* addresses.http, the same form */
    int64_t http_port;
    uint64_t unix_mode;
    char *advertise_problem; /* why no address could be chosen; NULL: none, or one was given */
    int argc;
    char **argv;
};

/* `argv` holds the flags alone (no program or command name). */
enum err
config_load(int argc, char **argv, struct config **ret_config, struct reason *why) ERR_MUST_USE;
/* Reads flags and files again (SIGHUP). The result has `old`'s value wherever a running server
 * cannot change it, and a warning for each such key that differs. `old` stays as it is, and so
 * does the world when this fails. What a reload may change is RELOAD in config.tbl.h. */
enum err config_reload(const struct config *old,
                       struct config **ret_config,
                       struct reason *why) ERR_MUST_USE;
/* The check of `validate`: as config_load() of these files and directories, without flags. */
enum err config_validate(int path_count,
                         char **paths,
                         struct config **ret_config,
                         struct reason *why) ERR_MUST_USE;
/* NULL is allowed. */
void config_free(struct config *c);

/* Whether this build can be the agent that `c` describes: a server, with an address for the others
 * and a gossip key if it has others. Raises the limit of open files to what the system allows and
 * checks that limits.http_max_conns_per_client fits. */
enum err config_check_agent(const struct config *c, struct reason *why) ERR_MUST_USE;

/* Whether this agent gossips: it has a key, or only loopback hears it, or the operator said that
 * clear text will do. */
bool config_gossips(const struct config *c);
/* Whether it takes part in the WAN pool: a server that may gossip, with a port for it. */
bool config_gossips_wan(const struct config *c);

/* `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address, as in retry_join; the port is 0
 * if none is said. ERR_INVALID with a sentence. */
#define JOIN_HOST_LEN 256
struct join_address {
    char host[JOIN_HOST_LEN];
    uint16_t port;
};
enum err join_address_parse(const char *text,
                            struct join_address *ret_address,
                            struct reason *why) ERR_MUST_USE;

/* The flags as the help of `agent` shows them, one paragraph each. */
enum err config_flags_help(struct buf *out) ERR_MUST_USE;

#endif
