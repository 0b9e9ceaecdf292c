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
/* The body of an operator's request: a backup. 413 past it. */
#define HTTP_OPERATOR_BODY_MAX      MIB(256)
/* Chunk extensions and trailers, which nobody reads. 413 past it. */
#define HTTP_CHUNK_EXTRA_MAX        KIB(8)
/* Bytes of pipelined requests that wait behind a parked one; then the socket is not read. */
#define HTTP_PIPELINE_MAX           KIB(16)
/* A whole head, a whole body, and silence between requests. */
#define HTTP_HEAD_DEADLINE_MS       10000
#define HTTP_BODY_DEADLINE_MS       60000
#define HTTP_IDLE_DEADLINE_MS       120000
/* No byte of an answer was taken for so long: the connection is closed. */
#define HTTP_WRITE_STALL_MS         60000
/* After the last answer the client's bytes are read away for so long, so that it sees the answer
 * and not a reset. */
#define HTTP_LINGER_MS              2000
/* One read of a socket. */
#define HTTP_READ_MAX               KIB(64)
/* Smaller answers are not worth compressing: they fit one packet. */
#define HTTP_GZIP_MIN               1400
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
/* What the kernel may hold for one subscriber (it doubles the number): left to itself it takes
 * megabytes for a reader that stalls, which nobody sees and 10,000 of them fill the machine with.
 */
#define STREAM_KERNEL_MAX        (128 * 1024)
#define STREAM_BATCH_MAX         KIB(128)
#define STREAM_HEARTBEAT_MS      15000U
#define STREAM_EPOCH_MAX         16U /* 64 bits as hex */
#define STREAM_PING_MS           30000U
#define STREAM_STALL_MS          60000U
#define STREAM_HELLO_MS          10000U
#define STREAM_AHEAD_WAIT_MS     5000U  /* how long an index of the future is waited for */
#define STREAM_CLOSE_REASON_MAX  123    /* RFC 6455 section 5.5 */
#define STREAM_SNAPSHOT_PIN_MS   60000U /* a snapshot of which no page was taken for so long ends */
/* What the front keeps of the newest changes so that a tail never touches the disk. The age keeps
 * an idle server from holding old views. */
#define STREAM_RING_BATCHES      1024U
#define STREAM_RING_BYTES        MIB(8)
#define STREAM_RING_AGE_MS       10000U
/* A client that asks for smaller frames than this still gets these. */
#define STREAM_FRAME_MIN         KIB(4)
/* One subscriber's share of a turn of the loop: bytes sent, changes read (also those filtered). */
#define STREAM_TURN_BYTES        KIB(128)
#define STREAM_TURN_CHANGES      2048U
#define STREAM_FILTER_TERMS      256U
#define STREAM_FILTER_DEPTH      64U
#define STREAM_TAGS_MAX          16U /* that one subscription asks for */
#define STREAM_URL_SUBSCRIBES    64U /* `subscribe=` in one URL */
#define STREAM_PING_DATA_MAX     256U

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
/* Rows of one command that restores a backup: one of the largest size and its frame at least. */
#define RESTORE_CHUNK_MAX      (KV_VALUE_MAX + KV_KEY_MAX + 160U)
/* The rows of a backup that one archive may hold when it is read: it is all in memory then. */
#define ARCHIVE_STATE_MAX      MIB(1024)
#define ARCHIVE_META_MAX       KIB(64)
/* Commands that wait for the disk at one time; ERR_BUSY past it. */
#define PROPOSALS_MAX          65536U
#define PROPOSAL_BYTES_MAX     MIB(256)

/* Entries of one group commit: what one synced write and one round of applying take. */
#define GROUP_ENTRIES_MAX 8192U
#define GROUP_BYTES_MAX   MIB(16)

/* --- the data disk (store/datadir) ---------------------------------------------------------- */

/* Writes are refused when less than a 16th of the disk is free, within these bounds. */
#define DISK_RESERVE_PART    16U
#define DISK_RESERVE_MIN     MIB(1)
#define DISK_RESERVE_MAX     MIB(256)
/* How often the disk is asked for its free space while nothing is written; before each group it is
 * asked anyway. */
#define DISK_LOOK_MS         1000U
/* How long after a log write that found no room it is tried again. */
#define DISK_RETRY_MS        200U
/* A synced write that takes longer is worth a line of the log: at an election timeout nobody can be
 * elected for it. */
#define DISK_SLOW_MS         500U
/* Of a slow disk, and of damaged data, one line in so long. */
#define DISK_QUIET_MS        10000U
/* The state is made durable after so many bytes of commands (a 16th of the disk at most), or so
 * long after the first command that is not. */
#define STATE_FLUSH_BYTES    MIB(64)
#define STATE_FLUSH_MS       30000U
/* How long after a full disk the state database is tried again. */
#define STATE_RETRY_MS       100U
/* Steps of trimming the history follow each other at this distance while there is more to do. */
#define HISTORY_TRIM_MORE_MS 20U
#define HISTORY_TRIM_IDLE_MS 5000U

/* --- process ------------------------------------------------------------------------------- */

/* How long clients may take to finish what they do when the server ends. */
#define SHUTDOWN_DEFAULT_MS 5000U

/* --- expressions ---------------------------------------------------------------------------- */

/* A pattern (core/base/pattern.h) and the machine it becomes: with a text of 64 KiB at most 32
 * million steps. */
#define PATTERN_TEXT_MAX   1024U
#define PATTERN_STEPS_MAX  512U
#define PATTERN_RANGES_MAX 1024U
#define PATTERN_DEPTH_MAX  32U
#define PATTERN_REPEAT_MAX 1000U
/* A filter (core/api/bexpr.h). */
#define BEXPR_TEXT_MAX     KIB(8)
#define BEXPR_TESTS_MAX    64U
#define BEXPR_DEPTH_MAX    64U

/* --- JSON ----------------------------------------------------------------------------------- */

#define JSON_DEPTH_MAX     64U
/* Of a text that is looked at for what is wrong with it; jansson itself stops at 2048. */
#define JSON_WHY_DEPTH_MAX 2048U

#include "core/base/limit_agent.h"
#include "core/base/limit_cluster.h"
#include "core/base/limit_dns.h"
#include "core/base/limit_fleet.h"
#include "core/base/limit_rpc.h"

#endif
