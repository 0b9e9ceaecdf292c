/* The limits of a cluster: consensus, what servers say to each other, membership. Part of limit.h.
 *
 * Threads  constants.
 */
#ifndef CORE_BASE_LIMIT_CLUSTER_H
#define CORE_BASE_LIMIT_CLUSTER_H

#include "core/base/limit.h"

/* --- Raft (store/replica) ------------------------------------------------------------------- */

#define RAFT_ELECTION_MS       1000U
#define RAFT_HEARTBEAT_PART    10U /* of it: the heartbeat */
/* When the leader's connection is reset, an election begins after so long, and a random part of the
 * election timeout divided by this. */
#define RAFT_SUSPECT_MIN_MS    20U
#define RAFT_SUSPECT_PART      8U
/* A snapshot that was offered is offered again after so long. */
#define RAFT_INSTALL_MS        2000U
/* Entries on their way to one follower; the library's own 32 would stop every larger group. */
#define RAFT_INFLIGHT_MAX      8192U
/* An encoded configuration: far above what any cluster of ours has. */
#define RAFT_CONFIGURATION_MAX KIB(64)
/* Of the log's end so much stays in memory for followers, besides what is not applied or durable.
 */
#define TAIL_KEEP_BYTES        MIB(8)
/* A deadline of the engine is never nearer than this, so that it cannot spin. */
#define RAFT_TICK_MIN_MS       5U

/* --- between servers (store/replica) ---------------------------------------------------------- */

/* One message: a command of the largest size and its frame, or many small ones. */
#define RPC_MESSAGE_MAX           MIB(2)
#define RPC_ENTRIES_MAX           8192U
/* Entries of one AppendEntries on the wire; a larger one is sent in pieces. */
#define RPC_APPEND_BYTES          MIB(1)
/* A piece of a snapshot. */
#define SNAPSHOT_CHUNK_BYTES      KIB(256)
/* A snapshot that is being fetched is kept for so long after the last piece was asked for. */
#define SNAPSHOT_IDLE_MS          60000U
#define TRANSPORT_PENDING_MAX     MIB(32) /* queued to one peer on one channel */
#define TRANSPORT_HELLO_MS        5000U
#define TRANSPORT_CONNECTIONS_MAX 64U /* accepted ones */
#define TRANSPORT_RETRY_MIN_MS    50U
#define TRANSPORT_RETRY_MAX_MS    1000U
/* A SYN nobody answers: shorter than an election with its retries. */
#define TRANSPORT_CONNECT_MS      2000U
/* Bytes nobody acknowledges, and probes of a silent connection: then the peer is gone. */
#define TRANSPORT_DEAD_MS         5000U
/* Bytes read from, or written to, one connection in one turn of the loop. */
#define TRANSPORT_TURN_BYTES      KIB(256)
/* Connections accepted in one turn. */
#define TRANSPORT_ACCEPT_MAX      16U
/* Out of descriptors: the listener rests. */
#define TRANSPORT_REST_MS         100U
/* A receive buffer starts with this, grows to what one frame needs, and is given back when it is
 * empty and larger than four of them. */
#define TRANSPORT_BUFFER_BYTES    KIB(128)
/* Small messages are gathered in blocks of this size. */
#define TRANSPORT_BLOCK_BYTES     KIB(32)
/* One line of the log per address (or per peer that comes and goes) in this time, and for so many
 * addresses; more are only counted. */
#define TRANSPORT_QUIET_MS        60000U
#define TRANSPORT_QUIET_ADDRESSES 64U
/* A write, a read or an order that waits for a leader (Consul's rpc_hold_timeout). */
#define RPC_HOLD_MS               7000U
/* An order about the servers: a promotion waits for the newcomer to catch up. */
#define ORDER_HOLD_MS             30000U
/* A newcomer has caught up when so few entries are missing. */
#define SERVERS_TRAIL_MAX         256U
/* First wait before joining is tried again; it doubles up to retry_interval. */
#define JOIN_RETRY_MIN_MS         500U
#define JOIN_DOUBLINGS            10U
/* How often the leader looks after the servers; how soon when something changed; and how long a new
 * leader waits before it takes anybody for dead. */
#define LEAD_TICK_MS              500U
#define LEAD_SOON_MS              20U
#define LEAD_GONE_MS              10000U /* a removed one is not taken for a newcomer */
#define LEAD_SETTLE_MS            10000U
/* Without a leader: how often it is looked, when it is said first, and how often again. */
#define QUORUM_LOOK_MS            1000U
#define QUORUM_PATIENCE_MS        15000U
#define QUORUM_AGAIN_MS           60000U
/* How long a promise to take part in a new cluster holds. */
#define BOOTSTRAP_PROMISE_MS      10000U
/* raft/peers.json: far above STORE_SERVERS_MAX lines. */
#define PEERS_FILE_MAX            KIB(64)
/* Writers whose commands may come twice, as remembered by the state. */
#define PROPOSERS_MAX             64U

/* --- membership (core/gossip): memberlist's LAN profile ----------------------------------------
 */

#define GOSSIP_PROBE_MS           1000U /* one member is probed so often */
#define GOSSIP_PROBE_TIMEOUT_MS   500U  /* then others are asked to try */
#define GOSSIP_INDIRECT           3U    /* so many of them */
#define GOSSIP_NACK_PERCENT       80U /* of the timeout: an asked one says that it got no answer */
#define GOSSIP_SUSPICION_MULT     4U
#define GOSSIP_SUSPICION_MAX_MULT 6U
#define GOSSIP_HEALTH_MAX         8U /* the slowest node probes so many times slower */
#define GOSSIP_TICK_MS            200U
#define GOSSIP_FANOUT             3U
#define GOSSIP_DEAD_MS            30000U /* the dead are told so long: they may refute */
#define GOSSIP_PUSH_PULL_MS       30000U
#define GOSSIP_PUSH_PULL_SCALE    32U /* above so many members the exchange becomes rarer */
#define GOSSIP_RETRANSMIT_MULT    4U
#define GOSSIP_RETRANSMIT_MAX     32U /* 4 x ceil(log10(members + 1)) stays far below */
#define GOSSIP_RECONNECT_MS       30000U
/* Who left is remembered for so long (Serf's tombstone timeout). */
#define GOSSIP_TOMBSTONE_MS       (24ULL * 3600 * 1000)
/* Good-bye: at most so long for the intent and for the leaving each. */
#define GOSSIP_LEAVE_MS           2500U
/* One datagram, all included: fits every link (Ethernet 1500 less tunnels). */
#define GOSSIP_PACKET_MAX         1400U
/* What sealing adds: form (1), nonce (12), sender and counter (16), tag (16). */
#define GOSSIP_SEAL_MAX           45U
/* Names and values of all tags of one member together, with 2 bytes for each tag: with the longest
 * name its alive message then still fits a packet. */
#define GOSSIP_TAGS_BYTES_MAX     900U
/* A name that nobody knows is not taken in past this; 16,384 x 1.2 KB fit GOSSIP_STATE_MAX. */
#define GOSSIP_MEMBERS_MAX        16384U
/* An incarnation that is further ahead of what is known is a lie: a node refutes a few at a time.
 */
#define GOSSIP_INCARNATION_JUMP   (1ULL << 20)
#define GOSSIP_INCARNATION_MAX    (1ULL << 48)
/* Of a member that is not known yet: leaves room above that no lie can use up. */
#define GOSSIP_INCARNATION_FIRST  (1ULL << 47)
#define GOSSIP_RELAYS_MAX         1024U /* probes in flight for others */
#define GOSSIP_STATE_MAX          MIB(20)
/* A stream is sealed in pieces of this size: a stranger cannot make a node hold more than one. */
#define GOSSIP_CHUNK_MAX          KIB(64)
/* Accepted and opened streams; twice as many when this node opens them. */
#define GOSSIP_STREAMS_MAX        128U
/* An accepted one is closed unless a first good piece came in this time. */
#define GOSSIP_HELLO_MS           3000U
#define GOSSIP_STREAM_MS          10000U
#define GOSSIP_STREAM_PING_MS     900U
/* Per sender, the counters of so many packets are remembered; older ones are refused. */
#define GOSSIP_REPLAY_WINDOW      1024U
#define GOSSIP_SENDERS_MAX        4096U
#define GOSSIP_KEYS_MAX           16U
#define GOSSIP_ORDER_MS           5000U /* how long the answers to a key order are waited for */
#define GOSSIP_ORDER_RETRY_MS     500U
/* Packets read in one turn of the loop. */
#define GOSSIP_TURN_PACKETS       256U
/* The members' file is written so long after a change. */
#define GOSSIP_MEMBERS_SAVE_MS    500U
/* One line of the log for so long, however often the same is said: a claimed name, a refutation. */
#define GOSSIP_QUIET_MS           10000U
#define GOSSIP_LABEL_MAX          64U

/* Between datacenters: what memberlist's WAN profile has otherwise. */
#define GOSSIP_WAN_PROBE_MS         5000U
#define GOSSIP_WAN_PROBE_TIMEOUT_MS 3000U
#define GOSSIP_WAN_SUSPICION_MULT   6U
#define GOSSIP_WAN_TICK_MS          500U
#define GOSSIP_WAN_FANOUT           4U
#define GOSSIP_WAN_DEAD_MS          60000U
#define GOSSIP_WAN_PUSH_PULL_MS     60000U
#define GOSSIP_WAN_STREAM_PING_MS   4500U

/* --- gossip and servers, as configured (core/config) ---------------------------------------- */

/* Failed members are tried again for so long (Consul's reconnect_timeout, and its least). */
#define RECONNECT_DEFAULT_MS   (72ULL * 3600 * 1000)
#define RECONNECT_MIN_MS       (8ULL * 3600 * 1000)
#define JOIN_RETRY_DEFAULT_MS  30000U
#define SERF_LAN_PORT          8301U
#define SERF_WAN_PORT          8302U
/* Servers of this datacenter that are missing in the WAN pool are looked for so often. */
#define WAN_FLOOD_MS           30000U
/* Addresses that one try to join asks; names may have several. */
#define JOIN_ADDRESSES_MAX     64U
/* Servers that wait for their cluster look again for the others so often. */
#define FOUND_RETRY_MS         1000U
/* A server that leaves tries for so long to get out of the voters; while another change is under
 * way it asks again so often. */
#define LEAVE_TRY_MS           30000U
#define LEAVE_AGAIN_MS         200U
/* ... and gives up once nobody has led for so long: the others are fewer than half by then. */
#define LEAVE_LEADERLESS_MS    5000U
/* A server that leaves stays so long behind its good-bye, for those who still ask it. */
#define LEAVE_DRAIN_DEFAULT_MS 5000U
/* Consul's autopilot. */
#define AUTOPILOT_CONTACT_MS   200U
#define AUTOPILOT_TRAILING     250U
#define AUTOPILOT_STABLE_MS    10000U

#endif
