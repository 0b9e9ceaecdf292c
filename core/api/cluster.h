/* What the handlers about the cluster share: one question that brings together what the store and
 * the gossip know, and orders about the servers.
 *
 * Owner    a `struct world` is borrowed for the call that is given it.
 * Threads  the front's loop.
 */
#ifndef CORE_API_CLUSTER_H
#define CORE_API_CLUSTER_H

#include "core/agent/members.h"
#include "core/api/api.h"
#include "core/base/text.h"

#include <jansson.h>

struct world {
    struct store_facts facts;
    const struct store_servers *servers;
    const struct gossip_member *members;
    size_t member_count;
};

/* Calls `answer`, which answers `r`, with what is known now. */
void api_world(struct request *r, void (*answer)(struct request *r, const struct world *w));
/* NULL: gossip does not know that server. */
const struct gossip_member *world_member(const struct world *w, const struct store_server *s);
/* Its name, or its id where gossip does not know it. */
const char *world_name(const struct world *w, const struct store_server *s);
/* NULL: nobody leads, or who leads is not in the configuration. */
const struct store_server *world_leader(const struct world *w);
/* Its node id, or as much of it as is known; borrowed from `s` or `scratch`. */
const char *server_id_text(const struct store_server *s, char scratch[20]);

/* Carries out `o` (its `change`, `id`, `node_id`, `address`), then answers: `done` on OK, else the
 * failure in words. `o` is copied. */
void api_order(struct request *r, const struct store_order *o, void (*done)(struct request *r));
/* The same for the members; copied. NULL: 200 and nothing. */
void api_members_order(struct request *r,
                       const struct members_order *o,
                       void (*done)(struct request *r, const struct members_order *o));
/* Proposes `c`, which is encoded at once, and answers true or, where its condition did not hold,
 * false. */
void api_propose(struct request *r, struct command *c);
/* The same, and `done` answers whatever became of it but for errors, which are answered: `p` has
 * status OK or ERR_CONFLICT, and is borrowed for the call. */
void api_propose_then(struct request *r,
                      struct command *c,
                      void (*done)(struct request *r, const struct proposal *p));

/* Compact JSON, indented with `?pretty`; takes `json`. */
void api_reply_value(struct request *r, int status, json_t *json);
/* "alive", "leaving", "left", "failed". */
const char *member_status_text(enum gossip_status status);
/* A member as /v1/agent/members shows it. */
json_t *member_json(const struct gossip_member *m);

#endif
