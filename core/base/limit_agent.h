/* The limits of the agent: its own services and checks, and how they are run and told; included by
 * limit.h.
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_AGENT_H
#define CORE_BASE_LIMIT_AGENT_H

/* What one agent may have registered with it. */
#define LOCAL_SERVICES_MAX      16384U
#define LOCAL_CHECKS_MAX        32768U
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
/* The checks of other nodes are asked for so often, for aliases of them. */
#define ALIAS_REMOTE_MS         5000U
/* A request that waits for a local service to change is asked again so often. */
#define AGENT_WAIT_STEP_MS      2000U
/* A change is answered once the catalog has it, or after so long without servers that take it. */
#define AGENT_TELL_MS           500U
/* One answer about all services or checks. */
#define AGENT_ANSWER_MAX        MIB(128)

#endif
