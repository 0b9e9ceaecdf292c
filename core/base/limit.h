/* Every limit: its name, its number, and the sum or the reason it comes from.
 * What the operator may change is only a default here (core/config.tbl.h says which).
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_H
#define CORE_BASE_LIMIT_H

#define KIB(n) ((size_t)(n)*1024)
#define MIB(n) (KIB(n) * 1024)

/* --- HTTP (core/front) ------------------------------------------------------------------- */

/* Request line and headers together; Go's server, which Consul is, takes 1 MiB, common proxies
 * 8..32 KiB.  431 past it. */
#define HTTP_HEAD_MAX               KIB(32)
#define HTTP_HEADERS_MAX            100 /* 431 past it */
#define HTTP_QUERY_ARGS_MAX         256 /* 400 past it */
/* A body; the KV limit plus what the other endpoints need. 413 past it. */
#define HTTP_BODY_MAX               MIB(2)
/* Bytes of pipelined requests that wait behind a parked one; then the socket is not read. */
#define HTTP_PIPELINE_MAX           KIB(16)
/* A whole head, a whole body, and silence between requests. */
#define HTTP_HEAD_DEADLINE_MS       10000
#define HTTP_BODY_DEADLINE_MS       60000
#define HTTP_IDLE_DEADLINE_MS       120000
/* No byte of an answer was taken for so long: the connection is closed. */
#define HTTP_WRITE_STALL_MS         60000
/* Connections of one client address (Consul's http_max_conns_per_client); 429 past it. */
#define HTTP_CONNECTIONS_PER_CLIENT 200
/* Memory that one request may take besides its body: head, arguments, answer's head. */
#define HTTP_REQUEST_ARENA_MAX      KIB(256)

/* --- KV ---------------------------------------------------------------------------------- */

#define KV_VALUE_MAX 524288U /* Consul's kv_max_value_size */
#define KV_KEY_MAX                                                                                 \
    4096U /* what a request line of ours can carry, escaped threefold, twice over                  \
           */
/* One read answers at most so much; base64 and JSON stay below a 1 GiB buffer. 413 past it. */
#define KV_ANSWER_MAX MIB(512)

#define HISTORY_ANSWER_MAX 1000U /* changes in one answer to ?history */

/* --- blocking queries -------------------------------------------------------------------- */

#define QUERY_WAIT_DEFAULT_MS 300000U
#define QUERY_WAIT_MAX_MS     600000U
#define QUERY_WAIT_JITTER     16U /* plus a random part of wait/16, as Consul does */

/* --- change stream (contracts/streaming.md) ------------------------------------------------ */

#define STREAM_SUBSCRIPTIONS_MAX 1024U /* per connection */
#define STREAM_FILTER_MAX        KIB(4)
#define STREAM_MESSAGE_MAX       KIB(64) /* from a client */
#define STREAM_MESSAGES_PER_S    100U
#define STREAM_OUTBOUND_MAX      KIB(256) /* per connection: 2 x the largest batch */
#define STREAM_BATCH_MAX         KIB(128)
#define STREAM_HEARTBEAT_MS      15000U
#define STREAM_PING_MS           30000U
#define STREAM_STALL_MS          60000U
#define STREAM_HELLO_MS          10000U
#define STREAM_AHEAD_WAIT_MS     5000U /* how long an index of the future is waited for */
#define STREAM_CLOSE_REASON_MAX  123   /* RFC 6455 section 5.5 */
#define STREAM_SNAPSHOT_PIN_MS   60000U

/* --- log and history (store) ---------------------------------------------------------------- */

#define HISTORY_AGE_DEFAULT_MS (24ULL * 3600 * 1000)
#define HISTORY_BYTES_DEFAULT  MIB(1024)
/* Changes that one step of trimming takes, so that it never holds up a write for long. */
#define HISTORY_TRIM_STEP      4096U
#define LOG_TRAILING_DEFAULT   10240U /* raft_trailing_logs */
#define TOMBSTONE_AGE_MS       (15ULL * 60 * 1000)
#define TOMBSTONE_REAP_MS      (30ULL * 1000)
/* Longest encoded command: a key, a value and their frame. */
#define COMMAND_MAX            (KV_VALUE_MAX + KV_KEY_MAX + 256U)
/* Commands that wait for the disk at one time; ERR_BUSY past it. */
#define PROPOSALS_MAX          65536U
#define PROPOSAL_BYTES_MAX     MIB(256)

/* --- JSON ----------------------------------------------------------------------------------- */

#define JSON_DEPTH_MAX 64U

#endif
