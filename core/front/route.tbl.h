/* Every endpoint: path, exact or prefix, methods, right, consistency, handler (in core/api).
 * Included with X defined. OPTIONS is answered for each by the front. */
X("/v1/kv/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_KEY,
  ROUTE_REPLICATED,
  api_kv)
X("/v1/status/leader", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_status_leader)
X("/v1/status/peers", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_status_peers)
X("/v1/agent/self", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_self)
X("/v1/agent/metrics", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_metrics)
X("/v1/agent/monitor", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_monitor)
X("/v1/agent/reload", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_reload)
X("/v1/agent/leave", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_leave)
X("/v1/agent/join/", ROUTE_PREFIX, METHOD_PUT, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_join)
X("/v1/agent/force-leave/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_agent_force_leave)
X("/v1/operator/raft/configuration",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_operator_raft_configuration)
X("/v1/operator/raft/peer",
  ROUTE_EXACT,
  METHOD_DELETE,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_operator_raft_peer)
X("/v1/operator/raft/transfer-leader",
  ROUTE_EXACT,
  METHOD_PUT | METHOD_POST,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_operator_raft_transfer)
X("/v1/operator/autopilot/configuration",
  ROUTE_EXACT,
  METHOD_GET | METHOD_PUT,
  ROUTE_ACL_OPERATOR,
  ROUTE_REPLICATED,
  api_operator_autopilot_configuration)
X("/v1/operator/autopilot/health",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_operator_autopilot_health)
X("/v1/operator/autopilot/state",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_OPERATOR,
  ROUTE_LOCAL,
  api_operator_autopilot_state)
X("/v1/operator/keyring",
  ROUTE_EXACT,
  METHOD_GET | METHOD_POST | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_KEYRING,
  ROUTE_LOCAL,
  api_operator_keyring)
X("/v1/agent/members", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_LOCAL, api_agent_members)
X("/v1/catalog/datacenters",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_NONE,
  ROUTE_LOCAL,
  api_catalog_datacenters)
X("/v1/snapshot",
  ROUTE_EXACT,
  METHOD_GET | METHOD_PUT,
  ROUTE_ACL_ALL,
  ROUTE_REPLICATED,
  api_snapshot)
X("/v1/stream", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_stream)
X("/", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_root)
