/* The catalog of a server's own store, for its agent's anti-entropy.
 *
 * Owner    `reader` is borrowed: one of the agent's loop.
 * Threads  the agent's loop.
 */
#ifndef CORE_AGENT_SYNC_STORE_H
#define CORE_AGENT_SYNC_STORE_H

#include "core/agent/sync.h"
#include "store/store.h"

struct sync_store {
    struct store *store;
    struct store_reader *reader;
    struct loop *loop;
};

/* `ctx` is a struct sync_store. */
void sync_store_ask(void *ctx, struct sync_ask *a);
void sync_store_write(void *ctx, struct sync_write *w);

#endif
