/* What the handlers of the agent's services and checks share: an order to the agent and its answer,
 * with the rights that it takes.
 *
 * Owner    `local_new()` gives an order that belongs to the request until local_send() takes it.
 * Threads  the front's loop.
 */
#ifndef CORE_API_AGENT_LOCAL_H
#define CORE_API_AGENT_LOCAL_H

#include "core/agent/agent.h"
#include "core/api/bexpr_rows.h"
#include "core/api/cluster.h"

struct local_asked;

/* Called with what the agent has said; answers `r`. The request's rights are in force. */
typedef void (*local_answer_fn)(struct request *r, struct agent_order *o);

/* `id` and `text` are copied. NULL: one was too long, and the request has been answered. */
struct local_asked *
local_new(struct request *r, enum agent_verb verb, struct bytes id, struct bytes text);
struct agent_order *local_order(struct local_asked *k);
/* Sends it; `answer` NULL: 200 and nothing, or the agent's sentence. An order that changes
 * something is judged first, by the service that it is about. */
void local_send(struct local_asked *k, local_answer_fn answer);
/* Instead of sending it. */
void local_free(struct local_asked *k);

/* The agent's sentence, if it is no 200. */
bool local_refused(struct request *r, const struct agent_order *o);
/* `?filter=`; NULL where there is none. False: it is wrong, and has been answered. */
bool local_filter(struct request *r, const struct bexpr_schema *schema, struct bexpr **ret_filter);
/* Whether `?name=` says true, Go's way. False: it has been answered. */
bool local_switch(struct request *r, const char *name, bool *ret_on);

#endif
