/* Definitions of services and checks, as the API's bodies and the configuration's files have them:
 * JSON -> values, strictly. Names of members are taken in any case and with or without
 * underscores ("ServiceID", "service_id"), as Consul's users write all of them.
 *
 * Owner    what a definition points to lives in the arena it was decoded into.
 * Limits   DEFINITION_* and META_* in core/base/limit_fleet.h.
 * Errors   ERR_INVALID with a sentence: an unknown member, a wrong type, what no check can be;
 *          ERR_TOO_BIG when the arena is full.
 * Threads  any; nothing is shared.
 */
#ifndef CORE_DEFINITION_H
#define CORE_DEFINITION_H

#include "core/base/arena.h"
#include "store/row.h"

#include <jansson.h>

enum check_kind {
    CHECK_NONE, /* says nothing of how to check */
    CHECK_TTL,
    CHECK_HTTP,
    CHECK_TCP,
    CHECK_UDP,
    CHECK_GRPC,
    CHECK_H2PING,
    CHECK_SCRIPT,
    CHECK_ALIAS,
    CHECK_DOCKER,
    CHECK_OS_SERVICE,
    CHECK_MAINTENANCE, /* of no definition: made by the agent */
};

struct texts_list {
    const struct bytes *items;
    size_t count;
};

struct pairs_list {
    const struct pair *items;
    size_t count;
};

struct check_definition {
    enum check_kind kind;
    struct bytes id;
    struct bytes name;
    struct bytes notes;
    struct bytes service_id;
    struct bytes token;
    struct bytes status; /* as written; empty: none */
    struct bytes http;
    struct bytes method;
    struct bytes body;
    struct bytes tcp;
    struct bytes udp;
    struct bytes grpc;
    struct bytes h2ping;
    struct bytes alias_node;
    struct bytes alias_service;
    struct bytes shell;
    struct bytes docker;
    struct bytes os_service;
    struct bytes script; /* the old single text; refused */
    struct bytes tls_server_name;
    struct texts_list args;
    struct pairs_list headers; /* one name may come several times */
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t ttl_ms;
    uint64_t deregister_ms;   /* 0: never */
    uint64_t output_max_size; /* 0: the agent's */
    uint64_t success_before_passing;
    uint64_t failures_before_warning;
    uint64_t failures_before_critical;
    uint64_t exposed_port;
    bool disable_redirects;
    bool tls_skip_verify;
    bool grpc_use_tls;
    bool tcp_use_tls;
    bool h2ping_use_tls;
    struct bytes json; /* the object itself, compact */
};

struct service_definition {
    struct bytes id;
    struct bytes name;
    struct bytes kind;
    struct bytes address;
    struct bytes socket_path;
    struct bytes token;
    struct texts_list tags;
    struct pairs_list meta;
    struct pairs_list tagged; /* value: `port address` (store/row.h) */
    struct bytes extra;       /* {"Proxy", "Connect", "Locality"}: what there is of it, or empty */
    uint64_t port;
    uint64_t weight_passing;
    uint64_t weight_warning;
    bool enable_tag_override;
    const struct check_definition *checks;
    size_t check_count;
    struct bytes json;
};

/* Reads one object. The form alone is checked: what it must say is for the two below. */
enum err definition_service(struct arena *a,
                            const json_t *object,
                            struct service_definition *ret_service,
                            struct reason *why) ERR_MUST_USE;
enum err definition_check(struct arena *a,
                          const json_t *object,
                          struct check_definition *ret_check,
                          struct reason *why) ERR_MUST_USE;

/* Whether it can be: a name, an address, meta within the limits, checks that can be run. */
enum err definition_service_valid(const struct service_definition *s,
                                  struct reason *why) ERR_MUST_USE;
/* Whether it can be run; `why` is what stands behind "Invalid check: ". */
enum err definition_check_valid(const struct check_definition *c, struct reason *why) ERR_MUST_USE;
/* The sentence about a status that is none; false: it is one, or none was given. */
bool definition_status_wrong(struct bytes status);

/* "ttl", "http", ...; "" for none. */
const char *check_kind_name(enum check_kind kind);

#endif
