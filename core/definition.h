/* Services and checks as users write them: in requests to the agent and in configuration files
 * (definition_*), and as rows of the catalog in requests to the servers (catalog_*).
 *
 * Names    of members as core/decode.h has them; the agent's also in snake case (`check_id`), and
 *          its checks by ID or CheckID. A duration is "10s" or a number of nanoseconds.
 * Checks   what is decoded has the right types and fits a row (store/row.h, limit_fleet.h); whether
 *          it makes sense (a name, an interval, an address) is the caller's to judge, and so are
 *          defaults: what was not given is empty or 0.
 * Owner    everything lives in the arena; the json_t may go at once.
 * Errors   ERR_INVALID, ERR_TOO_BIG; `why` stands behind `Request decode failed: `.
 * Threads  none; one thread at a time.
 */
#ifndef CORE_DEFINITION_H
#define CORE_DEFINITION_H

#include "core/decode.h"
#include "store/row.h"

/* What one request may take: its largest body, taken apart. */
#define DEFINITION_ARENA_MAX (2 * HTTP_BODY_MAX)

/* --- the agent's ------------------------------------------------------------------------------ */

/* A check with how it is run. */
struct definition_check {
    struct bytes id;
    struct bytes name;
    struct bytes notes;
    struct bytes service_id;
    enum check_status status; /* 0: not given */
    struct bytes status_text; /* as it was written, also where it is no status */
    struct bytes token;

    uint64_t ttl_ms;
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t deregister_after_ms; /* DeregisterCriticalServiceAfter */

    struct bytes http;
    struct bytes method;
    struct bytes body;
    struct bytes header; /* texts: name and value in turn; a name once for each of its values */
    struct bytes tcp;
    struct bytes udp;
    struct bytes grpc;
    struct bytes h2ping;
    struct bytes args; /* texts; Args or ScriptArgs */
    struct bytes shell;
    struct bytes docker_container_id;
    struct bytes alias_node;
    struct bytes alias_service;
    struct bytes os_service;
    struct bytes tls_server_name;
    bool tls_skip_verify;
    bool tcp_use_tls;
    bool grpc_use_tls;
    bool h2ping_use_tls; /* true unless said otherwise */
    bool disable_redirects;

    uint32_t success_before_passing;
    uint32_t failures_before_warning;
    uint32_t failures_before_critical;
    uint32_t output_max_size; /* 0: not given */
};

struct definition_service {
    /* `node` is empty, indexes are 0, weights are 1 and 1 unless given. */
    struct service_row row;
    struct definition_check *checks; /* Check, then Checks */
    size_t check_count;
    struct bytes token;
};

enum err definition_service(struct arena *a,
                            const json_t *json,
                            struct definition_service *ret_service,
                            struct reason *why) ERR_MUST_USE;
enum err definition_check(struct arena *a,
                          const json_t *json,
                          struct definition_check *ret_check,
                          struct reason *why) ERR_MUST_USE;
/* How it is run: http, tcp, udp, ttl, grpc, h2ping, script, docker, alias, os_service; empty where
 * it says nothing of the kind. */
struct bytes definition_check_type(const struct definition_check *c);

/* --- the catalog's ---------------------------------------------------------------------------- */

/* A node; its datacenter too, which no row keeps. */
struct catalog_node {
    struct node_row row;
    struct bytes datacenter;
};

/* A request to register (PUT /v1/catalog/register). */
struct catalog_registration {
    struct catalog_node node;
    bool skip_node_update;
    bool has_service;
    struct service_row service;
    struct check_row *checks; /* Check, then Checks; `status` 0: not given */
    size_t check_count;
};

struct catalog_deregistration {
    struct bytes node;
    struct bytes service_id;
    struct bytes check_id;
    struct bytes datacenter;
};

enum err catalog_registration(struct arena *a,
                              const json_t *json,
                              struct catalog_registration *ret_registration,
                              struct reason *why) ERR_MUST_USE;
enum err catalog_deregistration(struct arena *a,
                                const json_t *json,
                                struct catalog_deregistration *ret_deregistration,
                                struct reason *why) ERR_MUST_USE;

/* Rows as the operations of a transaction name them; `modify_index` is what they said. A service's
 * weights are 1 and 1 unless given; a check's Definition is kept as JSON in Consul's order, its
 * `type` is made from it where none was given, its `status` is 0 where none was. */
enum err catalog_node(struct arena *a,
                      const json_t *json,
                      struct catalog_node *ret_node,
                      struct reason *why) ERR_MUST_USE;
enum err catalog_service(struct arena *a,
                         const json_t *json,
                         struct service_row *ret_service,
                         struct reason *why) ERR_MUST_USE;
enum err catalog_check(struct arena *a,
                       const json_t *json,
                       struct check_row *ret_check,
                       struct reason *why) ERR_MUST_USE;

/* What stands where nothing was given: an id is the name; a check is critical. */
void catalog_service_defaults(struct service_row *s);
void catalog_check_defaults(struct check_row *c);

#endif
