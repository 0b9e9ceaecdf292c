/* The agent's own tokens: what it was configured with, and what was set since
 * (/v1/agent/token/{name}). They are not kept over a restart.
 *
 * Owner    a text that tokens_get() gave stays until tokens_close(): what is replaced is kept.
 * Threads  tokens_get() any; tokens_set() any, one at a time wins.
 */
#ifndef CORE_AGENT_TOKENS_H
#define CORE_AGENT_TOKENS_H

#include "core/base/buf.h"

struct config;
struct tokens;

enum token_name {
    TOKEN_DEFAULT,     /* of requests without one, and of DNS */
    TOKEN_AGENT,       /* of what the agent does itself; else the default one */
    TOKEN_RECOVERY,    /* may do all with this agent, even without a leader */
    TOKEN_REPLICATION, /* kept only */
    TOKEN_SERVICE,     /* registers what the configuration defines; else the default one */
    TOKEN_DNS,         /* of DNS; else the default one */
};
#define TOKEN_NAMES 6

struct tokens *tokens_new(const struct config *c);
void tokens_free(struct tokens *t);
/* Empty: there is none. */
struct bytes tokens_get(const struct tokens *t, enum token_name name);
/* ERR_LIMIT: too often since the start. */
enum err tokens_set(struct tokens *t, enum token_name name, struct bytes secret) ERR_MUST_USE;

#endif
