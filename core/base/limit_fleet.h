/* The limits of the fleet: nodes, services, checks, sessions, events; included by limit.h.
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_FLEET_H
#define CORE_BASE_LIMIT_FLEET_H

/* A name or an id of a node, service, check or session. Four of them and a table fit a key. */
#define ROW_NAME_MAX          512U
#define ROW_ADDRESS_MAX       512U
#define ROW_TEXT_MAX          4096U  /* notes, kinds, paths, filters */
#define ROW_OUTPUT_MAX        65536U /* of a check; agents cut theirs at check_output_max_size */
#define ROW_JSON_MAX          65536U /* a definition, what is kept unread */
#define ROW_LIST_MAX          65536U /* bytes of a list of tags, of meta, of addresses */
/* Consul's: pairs of meta, and the bytes of a name and a value of it. */
#define META_PAIRS_MAX        64U
#define META_NAME_MAX         128U
#define META_VALUE_MAX        512U
#define SESSION_ID_MAX        64U  /* a UUID has 36 */
#define EVENT_PAYLOAD_MAX     512U /* before encoding, as Consul; the answer names it */
#define EVENTS_KEPT           256U /* for /v1/event/list; the change stream keeps all */
/* A node with at most so many checks is read in one pass, whatever is asked of it. */
#define NODE_CHECKS_FEW       64U
/* An answer about the fleet. */
#define FLEET_ANSWER_MAX      MIB(512)
#define TXN_OPS_MAX           4096U  /* Consul takes 64, newer ones 128 */
#define TXN_REQUEST_MAX       MIB(1) /* bytes of JSON; twice what Consul takes */
#define TXN_RESULT_MAX        MIB(4) /* what the reads of one transaction may bring back */
/* Of all changes of one command, and of the checks in one of them: those past the first are shown
 * without their texts, those past both not at all. */
#define APPLY_CHANGES_MAX     MIB(64)
#define INSTANCE_CHECKS_WHOLE KIB(192)
#define INSTANCE_CHECKS_MAX   KIB(256)
#define REGISTER_CHECKS_MAX   256U /* of one registration */
#define SESSION_TTL_MIN_MS    10000U
#define SESSION_TTL_MAX_MS    86400000U
#define LOCK_DELAY_DEFAULT_MS 15000U
#define LOCK_DELAY_MAX_MS     60000U
/* What expires ends so much later than it says: whoever counts from our answer is never early. */
#define EXPIRE_SLACK_MS       50U
#define EXPIRE_RETRY_MS       1000U /* between two tries to end what is due */
#define RECONCILE_TICK_MS     500U  /* between two looks whether this server leads */
#define RECONCILE_RETRY_MS    100U
#define RECONCILE_INTERVAL_MS 60000U /* between two comparisons of all nodes */
#define EXPIRE_TICK_MS        500U   /* between two looks whether this server leads */
#define KEY_TTL_MIN_MS        1000U
#define KEY_TTL_MAX_MS        (366ULL * 86400000U)

/* --- definitions and the agent (core/definition, core/agent) -------------------------------- */

/* What one definition of a service or a check may take, as text and as values. */
#define DEFINITION_MAX        KIB(64)
#define DEFINITION_ARENA_MAX  KIB(512)
#define DEFINITION_LIST_MAX   1024U
#define CHECK_INTERVAL_MIN_MS 1000U /* Consul's: what is asked for more often gets this */
#define CHECK_DURATION_MAX_MS (366ULL * 86400000U)
/* Access control: the text of one policy, and the rules of one token altogether. */
#define ACL_RULES_LEN_MAX     65536U
#define ACL_RULES_MAX         8192U
#define ACL_NAME_MAX          256U /* of a policy or a role; Consul takes 128 and 256 */
#define ACL_SECRET_MAX        256U
#define ACL_LINKS_MAX         4096U /* bytes of one kind of links of a token */
#define ACL_CACHE_MAX         1024U /* tokens whose rights a thread remembers */
#define ACL_AUTHORIZE_MAX     64U   /* questions of one /v1/internal/acl/authorize */
#define ACL_BEGIN_SOON_MS     20U   /* the leader looks for what must be there, until it is */
#define ACL_BEGIN_TICK_MS     5000U
/* How often the agent's own tokens may be set until it is restarted. */
#define AGENT_TOKEN_SETS_MAX  100000U
#define TOKEN_TTL_MIN_MS      60000U /* Consul's bounds */
#define TOKEN_TTL_MAX_MS      86400000U

#endif
