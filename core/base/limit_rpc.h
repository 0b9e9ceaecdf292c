/* The limits between client agents and servers, and of joining through a cloud; included by
 * limit.h.
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_RPC_H
#define CORE_BASE_LIMIT_RPC_H

/* --- one connection of an agent to a server (core/rpc) ----------------------------------------
 */

/* Bytes of one frame behind its length and checksum. */
#define RPC_FRAME_MAX         KIB(64)
/* Data of one frame: small enough that many streams take turns. */
#define RPC_DATA_MAX          KIB(32)
/* What the other side may send on a stream before it hears that room was made. */
#define RPC_WINDOW            KIB(256)
/* Streams of one connection: requests that wait, subscribers. */
#define RPC_STREAMS_MAX       8192U
/* Connections of agents to one front thread. */
#define RPC_CONNECTIONS_MAX   4096U
/* Above so much that waits for the socket, streams send nothing more; they go on at half of it. */
#define RPC_OUT_FULL          MIB(1)
/* Above so much, small frames too: the other side reads nothing, and is let go. */
#define RPC_OUT_MAX           MIB(16)
/* Silence until a ping; silence until the other side is gone. */
#define RPC_PING_MS           3000U
#define RPC_DEAD_MS           9000U
#define RPC_HELLO_MS          3000U /* connecting and both hellos */
/* All servers were tried: a rest, doubling, before the next round. */
#define RPC_RETRY_MIN_MS      100U
#define RPC_RETRY_MAX_MS      2000U
/* An agent moves to another server, chosen at random, so often (and up to twice that). */
#define RPC_BALANCE_MS        120000U
#define RPC_SERVERS_MAX       64U
/* The head of an answer; an answer up to this is held whole, a larger one is passed on as it
 * comes. */
#define RPC_ANSWER_HEAD_MAX   KIB(32)
#define RPC_ANSWER_FIELDS_MAX 64U
#define RPC_ANSWER_HOLD_MAX   MIB(4)

/* --- shared queries of a client agent (core/agent/shared_query) --------------------------------
 */

/* Distinct queries that are known, and the bytes of their last answers. */
#define SHARED_QUERIES_MAX 16384U
#define SHARED_ANSWERS_MAX MIB(128)
/* An upstream query waits so long at the server, and is kept so long when nobody waits any more. */
#define SHARED_UPSTREAM_MS 300000U
#define SHARED_LINGER_MS   5000U
/* After a failed upstream query the next try. */
#define SHARED_RETRY_MS    1000U

/* --- joining through a cloud (core/agent/cloud) ------------------------------------------------
 */

#define CLOUD_TEXT_MAX        KIB(4) /* a provider string */
#define CLOUD_ARGS_MAX        32U
#define CLOUD_ADDRESSES_MAX   64U
#define CLOUD_HTTP_MS         10000U /* one request */
#define CLOUD_ANSWER_MAX      MIB(4)
#define CLOUD_PAGES_MAX       64U /* of DescribeInstances */
#define CLOUD_XML_DEPTH_MAX   32U
#define CLOUD_EXEC_MS         10000U
#define CLOUD_EXEC_OUTPUT_MAX KIB(64)
#define CLOUD_EXEC_ARGS_MAX   32U

#endif
