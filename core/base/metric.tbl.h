/* Every metric: name in C, kind, name on the wire (behind the prefix `consul.`), unit, help.
 * Included with X defined. GAUGE is a level, COUNTER only rises, SAMPLE is a time or a size with
 * count, sum, min and max. */
X(METRIC_ALLOC_BYTES, GAUGE, "runtime.alloc_bytes", "bytes", "resident memory of the process")
X(METRIC_FDS, GAUGE, "runtime.open_fds", "descriptors", "open file descriptors")
X(METRIC_EXPIRED,
  COUNTER,
  "expire.ended",
  "things",
  "sessions, keys and lock delays that this leader ended because their time was over")
X(METRIC_HTTP_CONNECTIONS,
  GAUGE,
  "http.connections",
  "connections",
  "open HTTP and WebSocket connections")
X(METRIC_HTTP_REQUESTS, COUNTER, "http.requests", "requests", "requests answered")
X(METRIC_HTTP_ERRORS,
  COUNTER,
  "http.errors",
  "requests",
  "requests answered with a status of 400 or more")
X(METRIC_HTTP_BAD_REQUESTS,
  COUNTER,
  "http.bad_requests",
  "requests",
  "requests that were not well-formed HTTP or passed a limit")
X(METRIC_HTTP_CONNECTIONS_REFUSED,
  COUNTER,
  "http.connections_refused",
  "connections",
  "connections refused by a limit")
X(METRIC_HTTP_DEADLINES,
  COUNTER,
  "http.deadlines",
  "connections",
  "connections closed because a head, a body or a reader took too long")
X(METRIC_RPC_CONNECTIONS,
  GAUGE,
  "rpc.connections",
  "connections",
  "connections between client agents and servers")
X(METRIC_RPC_STREAMS, GAUGE, "rpc.streams", "streams", "requests and subscribers on them")
X(METRIC_RPC_REFUSED,
  COUNTER,
  "rpc.refused",
  "connections",
  "connections and requests of client agents that were refused by a limit")
X(METRIC_RPC_FAILOVERS,
  COUNTER,
  "rpc.failovers",
  "connections",
  "servers that this agent lost and replaced by another")
X(METRIC_FORWARDED, COUNTER, "forward.requests", "requests", "requests passed on to a server")
X(METRIC_FORWARD_STALE,
  COUNTER,
  "forward.stale",
  "requests",
  "requests answered with what was known before all servers were lost")
X(METRIC_SHARED_WATCHERS,
  GAUGE,
  "forward.watchers",
  "queries",
  "blocking queries that wait at this agent for a shared one")
X(METRIC_SHARED_UPSTREAM,
  GAUGE,
  "forward.upstream",
  "queries",
  "blocking queries of this agent that wait at a server for all of its own")
X(METRIC_QUERY_WAITING, GAUGE, "query.waiting", "queries", "blocking queries that wait")
X(METRIC_QUERY_GROUPS, GAUGE, "query.groups", "groups", "distinct blocking queries that wait")
X(METRIC_QUERY_WOKEN,
  COUNTER,
  "query.woken",
  "queries",
  "blocking queries answered because their answer changed")
X(METRIC_QUERY_EVALUATED,
  COUNTER,
  "query.evaluated",
  "evaluations",
  "evaluations of waiting queries after a change")
X(METRIC_QUERY_TIMED_OUT,
  COUNTER,
  "query.timed_out",
  "queries",
  "blocking queries answered at the end of their wait")
X(METRIC_QUERY_ABANDONED,
  COUNTER,
  "query.abandoned",
  "queries",
  "blocking queries whose client went away")
X(METRIC_STREAM_SUBSCRIBERS,
  GAUGE,
  "stream.subscribers",
  "connections",
  "open change stream connections")
X(METRIC_STREAM_SUBSCRIPTIONS, GAUGE, "stream.subscriptions", "subscriptions", "open subscriptions")
X(METRIC_STREAM_EVENTS, COUNTER, "stream.events", "events", "events delivered")
X(METRIC_STREAM_BYTES, COUNTER, "stream.bytes", "bytes", "bytes delivered")
X(METRIC_STREAM_PAUSED,
  COUNTER,
  "stream.paused",
  "pauses",
  "times a subscription paused because its reader was slow")
X(METRIC_STREAM_COMPACTED,
  COUNTER,
  "stream.compacted",
  "answers",
  "subscriptions told that their index is no longer kept")
X(METRIC_STREAM_STALLED,
  COUNTER,
  "stream.stalled",
  "connections",
  "subscribers disconnected because they read nothing")
X(METRIC_STREAM_BAD_MESSAGES, COUNTER, "stream.bad_messages", "messages", "client messages refused")
X(METRIC_RAFT_APPLIED, GAUGE, "raft.applied_index", "index", "newest index applied to the state")
X(METRIC_RAFT_COMMITTED, GAUGE, "raft.commit_index", "index", "newest index known to be committed")
X(METRIC_RAFT_TERM, GAUGE, "raft.term", "term", "current term")
X(METRIC_RAFT_APPLY, COUNTER, "raft.apply", "commands", "commands applied")
X(METRIC_RAFT_COMMIT_TIME, SAMPLE, "raft.commitTime", "ms", "from proposal to acknowledgement")
X(METRIC_RAFT_LEADER_CHANGES, COUNTER, "raft.state.leader", "times", "this server was elected")
X(METRIC_RAFT_ROUNDS, COUNTER, "raft.read_rounds", "rounds", "rounds that confirmed that this server leads")
X(METRIC_STORE_FORWARDED, COUNTER, "store.forwarded", "commands", "commands sent to the leader")
X(METRIC_LOG_SYNC, SAMPLE, "raft.fsync", "ms", "one synced write of the log")
X(METRIC_LOG_GROUP, SAMPLE, "raft.group", "entries", "entries in one synced write of the log")
X(METRIC_STORE_REFUSED,
  COUNTER,
  "store.refused",
  "commands",
  "commands refused: disk full, too many waiting, or no leader")
X(METRIC_HISTORY_OLDEST,
  GAUGE,
  "history.oldest_index",
  "index",
  "oldest index from which the change stream can be resumed")
X(METRIC_HISTORY_BYTES, GAUGE, "history.bytes", "bytes", "size of the kept change history")
X(METRIC_KV_WRITES, COUNTER, "kvs.apply", "writes", "KV writes and deletes applied")
X(METRIC_PEER_FRAMES_IN, COUNTER, "peer.frames_in", "frames", "messages received from servers")
X(METRIC_PEER_FRAMES_OUT, COUNTER, "peer.frames_out", "frames", "messages queued to servers")
X(METRIC_PEER_BYTES_IN, COUNTER, "peer.bytes_in", "bytes", "bytes received from servers")
X(METRIC_PEER_BYTES_OUT, COUNTER, "peer.bytes_out", "bytes", "bytes sent to servers")
X(METRIC_PEER_REFUSED,
  COUNTER,
  "peer.refused",
  "connections",
  "connections to the servers' port that were refused")
X(METRIC_PEER_DROPPED,
  COUNTER,
  "peer.dropped",
  "messages",
  "messages to servers lost: not connected, queue full, or the connection broke")
X(METRIC_GOSSIP_MEMBERS, GAUGE, "gossip.members", "members", "members known, in any status")
X(METRIC_GOSSIP_HEALTH, GAUGE, "gossip.health", "score", "local health score: 0 is healthy, 7 the worst")
X(METRIC_GOSSIP_WAN_MEMBERS, GAUGE, "gossip.wan_members", "members", "servers known in the WAN pool, in any status")
X(METRIC_GOSSIP_WAN_HEALTH, GAUGE, "gossip.wan_health", "score", "local health score in the WAN pool")
X(METRIC_GOSSIP_SENT, COUNTER, "gossip.sent", "bytes", "bytes sent in gossip packets")
X(METRIC_GOSSIP_RECEIVED, COUNTER, "gossip.received", "bytes", "bytes received in gossip packets")
X(METRIC_GOSSIP_DROPPED,
  COUNTER,
  "gossip.dropped",
  "packets",
  "gossip packets or streams that were malformed, of another protocol or cluster, or not sealed with a known key")
X(METRIC_GOSSIP_REPLAYED,
  COUNTER,
  "gossip.replayed",
  "packets",
  "gossip packets dropped because they were seen before or are too old")
X(METRIC_GOSSIP_REFUSED,
  COUNTER,
  "gossip.refused",
  "messages",
  "gossip messages not obeyed: another's name, an incarnation too far ahead, a limit")
X(METRIC_GOSSIP_SUSPECTED, COUNTER, "gossip.suspected", "members", "members suspected of having failed")
X(METRIC_GOSSIP_FAILED, COUNTER, "gossip.failed", "members", "members declared failed")
X(METRIC_GOSSIP_REFUTED, COUNTER, "gossip.refuted", "messages", "times this node refuted what was said of it")
X(METRIC_GOSSIP_EXCHANGES, COUNTER, "gossip.exchanges", "exchanges", "push/pull exchanges finished")
X(METRIC_GOSSIP_EXCHANGES_FAILED,
  COUNTER,
  "gossip.exchanges_failed",
  "exchanges",
  "push/pull exchanges that failed")
X(METRIC_DNS_QUERIES, COUNTER, "dns.queries", "questions", "DNS questions that came")
X(METRIC_DNS_SERVICE, COUNTER, "dns.service_queries", "questions", "DNS questions for services")
X(METRIC_DNS_NODE, COUNTER, "dns.node_queries", "questions", "DNS questions for nodes")
X(METRIC_DNS_PTR, COUNTER, "dns.ptr_queries", "questions", "DNS questions for who has an address")
X(METRIC_DNS_OTHER,
  COUNTER,
  "dns.other_queries",
  "questions",
  "DNS questions for anything else in the domain")
X(METRIC_DNS_NXDOMAIN, COUNTER, "dns.nxdomain", "answers", "DNS names that do not exist")
X(METRIC_DNS_BAD, COUNTER, "dns.bad_queries", "questions", "DNS questions that cannot be read or obeyed")
X(METRIC_DNS_SERVFAIL, COUNTER, "dns.servfail", "answers", "DNS questions that could not be answered")
X(METRIC_DNS_DROPPED,
  COUNTER,
  "dns.dropped",
  "packets",
  "DNS packets and connections dropped: no question, too long, no room")
X(METRIC_DNS_LIMITED, COUNTER, "dns.rate_limited", "answers", "DNS answers held back by the rate limit")
X(METRIC_DNS_RECURSIONS,
  COUNTER,
  "dns.recursions",
  "questions",
  "DNS questions passed on to recursors")
X(METRIC_DNS_RECURSION_FAILED,
  COUNTER,
  "dns.recursion_failures",
  "questions",
  "times that a recursor did not answer")
X(METRIC_DNS_STALE,
  COUNTER,
  "dns.leader_queries",
  "questions",
  "DNS questions that had to wait for the leader")
X(METRIC_DNS_RELAYED,
  COUNTER,
  "dns.relayed",
  "questions",
  "DNS questions that a client agent handed to a server")
X(METRIC_DNS_RELAY_FAILED,
  COUNTER,
  "dns.relay_failures",
  "questions",
  "DNS questions handed to a server that came to nothing")
X(METRIC_DNS_CONNECTIONS, GAUGE, "dns.connections", "connections", "open DNS connections")
X(METRIC_SYNC_WRITES, COUNTER, "agent.sync.writes", "commands", "services and checks told to the servers")
X(METRIC_SYNC_FAILED, COUNTER, "agent.sync.failed", "commands", "of these, refused or not answered")
X(METRIC_CHECK_RUNS, COUNTER, "agent.check.runs", "runs", "checks that were run")
X(METRIC_CHECK_TIMEOUTS, COUNTER, "agent.check.timeouts", "runs", "of these, ended by their timeout")
