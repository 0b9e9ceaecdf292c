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
#define SESSION_ID_MAX        64U    /* a UUID has 36 */
#define EVENT_PAYLOAD_MAX     512U   /* before encoding, as Consul; the answer names it */
#define EVENTS_KEPT           256U   /* for /v1/event/list; the change stream keeps all */
#define TXN_OPS_MAX           4096U  /* Consul takes 64, newer ones 128 */
#define TXN_RESULT_MAX        MIB(4) /* what the reads of one transaction may bring back */
#define REGISTER_CHECKS_MAX   256U   /* of one registration */
#define SESSION_TTL_MIN_MS    10000U
#define SESSION_TTL_MAX_MS    86400000U
#define LOCK_DELAY_DEFAULT_MS 15000U
#define LOCK_DELAY_MAX_MS     60000U
#define KEY_TTL_MIN_MS        1000U
#define KEY_TTL_MAX_MS        (366ULL * 86400000U)

/* --- definitions and the agent (core/definition, core/agent) -------------------------------- */

/* What one definition of a service or a check may take, as text and as values. */
#define DEFINITION_MAX            KIB(64)
#define DEFINITION_ARENA_MAX      KIB(512)
#define DEFINITION_LIST_MAX       1024U
#define CHECK_INTERVAL_MIN_MS     1000U /* Consul's: what is asked for more often gets this */
#define CHECK_DURATION_MAX_MS     (366ULL * 86400000U)

#endif
