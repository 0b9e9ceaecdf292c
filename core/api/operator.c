/* /v1/operator/raft: the servers of the cluster, and orders about them. */
#include "core/api/cluster.h"
#include "core/base/limit.h"

#include <stdio.h>
#include <string.h>

/* --- configuration ------------------------------------------------------------------------------
 */

static json_t *raft_server_json(const struct world *w, const struct store_server *s)
{
    char scratch[20];
    const struct store_server *leader = world_leader(w);
    json_t *row = json_pack("{s:s, s:s, s:s, s:b, s:s, s:b}", "ID", server_id_text(s, scratch),
                            "Node", world_name(w, s), "Address", s->address, "Leader",
                            leader != NULL && leader->id == s->id, "ProtocolVersion", "3", "Voter",
                            s->role == STORE_VOTER);
    /* Only the leader knows how far the others are. */
    if (w->facts.leader) {
        uint64_t last = s->self ? w->facts.last_log_index : s->match_index;
        (void)json_object_set_new(row, "LastIndex", json_integer((json_int_t)last));
    }
    return row;
}

static void raft_configuration(struct request *r, const struct world *w)
{
    struct bytes value;
    if (!w->facts.known_leader && !request_arg(r, "stale", &value)) {
        api_reply_err(r, ERR_NOT_LEADER);
        return;
    }
    json_t *servers = json_array();
    for (size_t i = 0; i < w->servers->count; i++) {
        (void)json_array_append_new(servers, raft_server_json(w, &w->servers->servers[i]));
    }
    api_reply_value(r, 200,
                    json_pack("{s:o, s:I}", "Servers", servers, "Index",
                              (json_int_t)w->servers->configuration_index));
}

void api_operator_raft_configuration(struct request *r)
{
    api_world(r, raft_configuration);
}

/* --- orders -------------------------------------------------------------------------------------
 */

/* The server that `?id=` or `?address=` names; NULL: none, which has been answered. */
static const struct store_server *raft_named(struct request *r, const struct world *w)
{
    struct bytes id = {0};
    struct bytes address = {0};
    char scratch[20];
    (void)request_arg(r, "id", &id);
    (void)request_arg(r, "address", &address);
    for (size_t i = 0; i < w->servers->count; i++) {
        const struct store_server *s = &w->servers->servers[i];
        bool same = id.len > 0 ? bytes_equal_nocase(bytes_of(server_id_text(s, scratch)), id)
                               : bytes_equal(bytes_of(s->address), address);
        if (same) {
            return s;
        }
    }
    struct bytes named = id.len > 0 ? id : address;
    reply_text(r, 500, "%s \"%.*s\" was not found in the Raft configuration",
               id.len > 0 ? "id" : "address", BYTES_FORMAT(named));
    return NULL;
}

static void raft_order(struct request *r,
                       const struct store_server *s,
                       enum store_change change,
                       void (*done)(struct request *r))
{
    struct store_order o = {.change = change};
    char scratch[20];
    if (s != NULL) {
        o.id = s->id;
        (void)snprintf(o.node_id, sizeof o.node_id, "%s", server_id_text(s, scratch));
    }
    api_order(r, &o, done);
}

static void raft_done(struct request *r)
{
    reply_shared(r, 200, NULL, NULL);
}

static void raft_remove(struct request *r, const struct world *w)
{
    const struct store_server *s = raft_named(r, w);
    if (s != NULL) {
        raft_order(r, s, STORE_REMOVE, raft_done);
    }
}

void api_operator_raft_peer(struct request *r)
{
    struct bytes id = {0};
    struct bytes address = {0};
    (void)request_arg(r, "id", &id);
    (void)request_arg(r, "address", &address);
    if (id.len == 0 && address.len == 0) {
        reply_text(r, 400,
                   "Bad request: Must specify either ?id with the server's ID or ?address with "
                   "IP:port of peer to remove");
    } else if (id.len > 0 && address.len > 0) {
        reply_text(r, 400, "Bad request: Must specify only one of ?id or ?address");
    } else {
        api_world(r, raft_remove);
    }
}

static void raft_transferred(struct request *r)
{
    api_reply_json(r, BYTES("{\"Success\":true}"));
}

static void raft_transfer(struct request *r, const struct world *w)
{
    const struct store_server *s = raft_named(r, w);
    if (s != NULL) {
        raft_order(r, s, STORE_TRANSFER, raft_transferred);
    }
}

void api_operator_raft_transfer(struct request *r)
{
    struct bytes id;
    if (request_arg(r, "id", &id) && id.len > 0) {
        api_world(r, raft_transfer);
    } else {
        raft_order(r, NULL, STORE_TRANSFER, raft_transferred);
    }
}
