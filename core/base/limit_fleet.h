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
#define DEFINITION_MAX        KIB(64)
#define DEFINITION_ARENA_MAX  KIB(512)
#define DEFINITION_LIST_MAX   1024U
#define CHECK_INTERVAL_MIN_MS 1000U /* Consul's: what is asked for more often gets this */
/* What one agent may have registered with it. */
#define LOCAL_SERVICES_MAX    16384U
#define LOCAL_CHECKS_MAX      32768U
#define CHECK_DURATION_MAX_MS (366ULL * 86400000U)

/* Everything is compared with the catalog so often in a cluster of up to so many nodes. */
#define SYNC_INTERVAL_MS        60000U
#define SYNC_SCALE_NODES        128U
/* What was refused or not answered is tried again, later each time. */
#define SYNC_RETRY_MIN_MS       500U
#define SYNC_RETRY_MAX_MS       15000U
#define SYNC_IN_FLIGHT          16U /* commands at one time */
/* Once the catalog was replaced, or looks new. */
#define SYNC_SOON_MS            1000U
#define CHECK_TIMEOUT_MS        10000U
#define CHECK_OUTPUT_MAX        4096U
/* The first probe comes within its interval, and within this. */
#define CHECK_START_SPREAD_MS   10000U
/* Consul's: a service is critical for at least so long before it is deregistered for it, and so
 * often it is looked for. */
#define CHECK_DEREGISTER_MIN_MS 60000U
#define CHECK_REAP_MS           30000U
#define CHECK_UPDATE_DEFAULT_MS 300000U
/* What a script may have printed and not been read. */
#define SCRIPT_READ_MAX         KIB(64)

#endif
