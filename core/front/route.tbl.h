/* Every endpoint: path, exact or prefix, methods, right, consistency, handler (in core/api).
 * Included with X defined. OPTIONS is answered for each by the front. */
X("/v1/kv/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_KEY,
  ROUTE_REPLICATED,
  api_kv)
X("/v1/txn", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_SELF, ROUTE_REPLICATED, api_txn)
X("/v1/session/create",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_session_create)
X("/v1/session/destroy/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_session_destroy)
X("/v1/session/renew/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_session_renew)
X("/v1/session/info/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_session_info)
X("/v1/session/node/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_session_node)
X("/v1/session/list", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_session_list)
X("/v1/event/fire/", ROUTE_PREFIX, METHOD_PUT, ROUTE_ACL_EVENT, ROUTE_REPLICATED, api_event_fire)
X("/v1/event/list", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_event_list)
X("/v1/coordinate/nodes",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_coordinate_nodes)
X("/v1/coordinate/node/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_coordinate_node)
X("/v1/coordinate/datacenters",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_coordinate_datacenters)
X("/v1/coordinate/update",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_coordinate_update)
X("/v1/status/leader", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_status_leader)
X("/v1/status/peers", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_status_peers)
X("/v1/agent/self", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_self)
X("/v1/agent/metrics", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_metrics)
X("/v1/agent/monitor", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_monitor)
X("/v1/agent/reload", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_reload)
X("/v1/agent/services", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_LOCAL, api_agent_services)
X("/v1/agent/service/", ROUTE_PREFIX, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_LOCAL, api_agent_service)
X("/v1/agent/service/register",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_service_register)
X("/v1/agent/service/deregister/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_service_deregister)
X("/v1/agent/service/maintenance/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_service_maintenance)
X("/v1/agent/maintenance",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_maintenance)
X("/v1/agent/health/service/id/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_LOCAL,
  api_agent_health_id)
X("/v1/agent/health/service/name/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_LOCAL,
  api_agent_health_name)
X("/v1/agent/checks", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_LOCAL, api_agent_checks)
X("/v1/agent/check/register",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_register)
X("/v1/agent/check/deregister/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_deregister)
X("/v1/agent/check/pass/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_pass)
X("/v1/agent/check/warn/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_warn)
X("/v1/agent/check/fail/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_fail)
X("/v1/agent/check/update/",
  ROUTE_PREFIX,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_agent_check_update)
X("/v1/agent/host", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_OPERATOR, ROUTE_LOCAL, api_agent_host)
X("/v1/agent/version", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_version)
X("/v1/agent/connect/ca/roots",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_NONE,
  ROUTE_LOCAL,
  api_agent_connect_roots)
X("/v1/agent/connect/ca/leaf/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_NONE,
  ROUTE_LOCAL,
  api_agent_connect_leaf)
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
X("/v1/catalog/nodes",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_nodes)
X("/v1/catalog/services",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_services)
X("/v1/catalog/service/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_service)
X("/v1/catalog/connect/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_connect)
X("/v1/catalog/node/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_node)
X("/v1/catalog/node-services/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_catalog_node_services)
X("/v1/health/node/", ROUTE_PREFIX, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_health_node)
X("/v1/health/checks/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_health_checks)
X("/v1/health/service/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_health_service)
X("/v1/health/connect/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_health_connect)
X("/v1/health/ingress/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_health_ingress)
X("/v1/health/state/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_health_state)
X("/v1/internal/ui/nodes",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_ui_nodes)
X("/v1/internal/ui/node/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_ui_node)
X("/v1/internal/ui/services",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_ui_services)
X("/v1/catalog/register",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_catalog_register)
X("/v1/catalog/deregister",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_catalog_deregister)
X("/v1/snapshot",
  ROUTE_EXACT,
  METHOD_GET | METHOD_PUT,
  ROUTE_ACL_ALL,
  ROUTE_REPLICATED,
  api_snapshot)
X("/v1/acl/bootstrap", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_NONE, ROUTE_REPLICATED, api_acl_bootstrap)
X("/v1/acl/tokens", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_tokens)
X("/v1/acl/token", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_token)
X("/v1/acl/token/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_token)
X("/v1/acl/token/self",
  ROUTE_EXACT,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_acl_token_self)
X("/v1/acl/policies", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_policies)
X("/v1/acl/policy", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_policy)
X("/v1/acl/policy/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_policy)
X("/v1/acl/policy/name/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_policy_name)
X("/v1/acl/roles", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_roles)
X("/v1/acl/role", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_role)
X("/v1/acl/role/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_role)
X("/v1/acl/role/name/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_role_name)
X("/v1/acl/replication", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_LOCAL, api_acl_replication)
X("/v1/internal/acl/authorize",
  ROUTE_EXACT,
  METHOD_POST,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_internal_acl_authorize)
X("/v1/acl/create", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_create)
X("/v1/acl/update", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_update)
X("/v1/acl/destroy/", ROUTE_PREFIX, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_destroy)
X("/v1/acl/clone/", ROUTE_PREFIX, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_REPLICATED, api_acl_clone)
X("/v1/acl/info/", ROUTE_PREFIX, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_acl_info)
X("/v1/acl/list", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ALL, ROUTE_REPLICATED, api_acl_list)
X("/v1/acl/rules/translate",
  ROUTE_EXACT,
  METHOD_POST,
  ROUTE_ACL_SELF,
  ROUTE_LOCAL,
  api_acl_translate)
X("/v1/acl/rules/translate/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_ACL,
  ROUTE_REPLICATED,
  api_acl_translate_token)
X("/v1/acl/auth-methods", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_LOCAL, api_acl_none)
X("/v1/acl/binding-rules", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_ACL, ROUTE_LOCAL, api_acl_none)
X("/v1/acl/auth-method", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_LOCAL, api_acl_not_there)
X("/v1/acl/auth-method/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_ACL,
  ROUTE_LOCAL,
  api_acl_not_there)
X("/v1/acl/binding-rule", ROUTE_EXACT, METHOD_PUT, ROUTE_ACL_ACL, ROUTE_LOCAL, api_acl_not_there)
X("/v1/acl/binding-rule/",
  ROUTE_PREFIX,
  METHOD_GET | METHOD_PUT | METHOD_DELETE,
  ROUTE_ACL_ACL,
  ROUTE_LOCAL,
  api_acl_not_there)
X("/v1/acl/login", ROUTE_EXACT, METHOD_POST, ROUTE_ACL_NONE, ROUTE_LOCAL, api_acl_not_there)
X("/v1/acl/logout", ROUTE_EXACT, METHOD_POST, ROUTE_ACL_NONE, ROUTE_LOCAL, api_acl_not_there)
X("/v1/agent/token/", ROUTE_PREFIX, METHOD_PUT, ROUTE_ACL_AGENT, ROUTE_LOCAL, api_agent_token)
X("/v1/internal/agent/rows/",
  ROUTE_PREFIX,
  METHOD_GET,
  ROUTE_ACL_FILTER,
  ROUTE_REPLICATED,
  api_sync_rows)
X("/v1/internal/agent/command",
  ROUTE_EXACT,
  METHOD_PUT,
  ROUTE_ACL_SELF,
  ROUTE_REPLICATED,
  api_sync_command)
X("/v1/internal/agent/dns",
  ROUTE_EXACT,
  METHOD_POST,
  ROUTE_ACL_NONE,
  ROUTE_LOCAL,
  api_dns)
X("/v1/stream", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_FILTER, ROUTE_REPLICATED, api_stream)
X("/", ROUTE_EXACT, METHOD_GET, ROUTE_ACL_NONE, ROUTE_LOCAL, api_root)
