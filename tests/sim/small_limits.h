/* Included before everything else in the simulator: the same limits, but so small that the little
 * data of a run reaches them: messages and snapshots come in many pieces, the log's end does not
 * stay in memory, and few entries may be on their way.
 *
 * Threads  constants.
 */
#ifndef TESTS_SIM_SMALL_LIMITS_H
#define TESTS_SIM_SMALL_LIMITS_H

#include "core/base/limit.h"

#undef TAIL_KEEP_BYTES
#define TAIL_KEEP_BYTES KIB(2)
#undef RPC_APPEND_BYTES
#define RPC_APPEND_BYTES 600U
#undef SNAPSHOT_CHUNK_BYTES
#define SNAPSHOT_CHUNK_BYTES 400U
#undef GROUP_ENTRIES_MAX
#define GROUP_ENTRIES_MAX 16U
#undef RAFT_INFLIGHT_MAX
#define RAFT_INFLIGHT_MAX 64U
#undef SERVERS_TRAIL_MAX
#define SERVERS_TRAIL_MAX 16U

#undef HISTORY_TRIM_IDLE_MS
#define HISTORY_TRIM_IDLE_MS 500U

#endif
