/* Anti-entropy: makes the catalog's rows of this node what the agent says they are
 * (contracts/consul.md, section 10). What has changed here is told at once; everything is compared
 * once in SYNC_INTERVAL_MS, more seldom in large clusters; an output that alone has changed waits
 * for check_update_interval. Service `consul` and check `serfHealth` are the leader's.
 *
 * Life     sync_open() -> sync_changed() whenever something changed -> sync_close(); the answers
 *          that are under way then may still come until the loop has been drained.
 * Owner    `local` and what `options` points to are borrowed until sync_close().
 * Threads  the agent's loop.
 */
#ifndef CORE_AGENT_SYNC_H
#define CORE_AGENT_SYNC_H

#include "core/agent/local.h"
#include "core/base/env.h"
#include "store/command.h"

/* What the catalog has of one node. */
struct sync_rows {
    bool has_node;
    struct node_row node;
    struct bytes services; /* texts, each an encoded row */
    struct bytes checks;   /* texts, each an encoded row */
};

/* One question; its memory is the asker's until `done`. */
struct sync_ask {
    /* `rows` is borrowed for the call; only with OK. */
    void (*done)(struct sync_ask *a, enum err status, const struct sync_rows *rows);
    struct bytes node; /* borrowed until `done` */
    void *server;      /* the server's, while it answers */
};

/* One command (COMMAND_REGISTER or COMMAND_DEREGISTER); its memory is the writer's until `done`. */
struct sync_write {
    void (*done)(struct sync_write *w, enum err status);
    const struct command *command; /* borrowed for the call of write() */
    struct bytes token;            /* borrowed for the call; empty: the agent's own */
    void *server;                  /* the server's, while it works */
};

/* Where the catalog is: the local store for servers (sync_store.h), another server for client
 * agents. `done` comes on the agent's loop, also from inside the call. */
struct sync_server {
    void *ctx;
    void (*ask)(void *ctx, struct sync_ask *a);
    void (*write)(void *ctx, struct sync_write *w);
};

struct sync;

struct sync_options {
    struct env *env;
    struct local *local;
    struct sync_server server;
    struct node_row node; /* as this agent wants it in the catalog */
    /* How many nodes the cluster has. */
    size_t (*nodes)(void *ctx);
    void *ctx;
    uint64_t check_update_interval_ms;
    /* What was to be told has been, or could not be for now. NULL: nobody waits for that. */
    void (*settled)(void *agent);
    void *agent; /* of `settled` */
};

struct sync *sync_open(const struct sync_options *options);
void sync_close(struct sync *s);
/* Frees; when no answer can come any more. NULL is allowed. */
void sync_free(struct sync *s);
/* Something is out of sync, or an output is deferred: see local_check.deferred_ms. */
void sync_changed(struct sync *s);
/* Nothing that changed here is on its way, or about to be sent. */
bool sync_is_settled(const struct sync *s);
/* Compares everything soon: the catalog was replaced. */
void sync_compare_soon(struct sync *s);
/* An output alone has changed. */
void sync_defer(struct sync *s, struct local_check *c);

/* --- pure parts, for sync.c and its tests ------------------------------------------------------
 */

/* Says of every item whether it is in sync with `rows`, buries what only the catalog has, and
 * takes over its tags where they win. */
enum err sync_compare(struct local *l,
                      const struct node_row *node,
                      const struct sync_rows *rows) ERR_MUST_USE;

/* One step towards sync. Its memory holds what the command borrows. */
struct sync_step {
    struct command command;
    struct bytes token;
    bool node;   /* the node's own row */
    bool check;  /* of a check, not of a service */
    bool checks; /* of a service with all its checks */
    struct buf id;
    uint64_t generation;
    struct buf memory;
};

/* The first of what is out of sync from (`*at`) on, and moves `*at` behind it; ERR_NOT_FOUND
 * behind the last. The step is the caller's to close whatever is returned. */
struct sync_cursor {
    unsigned phase;
    size_t at;
};
enum err sync_next(struct local *l,
                   const struct node_row *node,
                   struct sync_cursor *cursor,
                   struct sync_step *ret_step) ERR_MUST_USE;
void sync_step_close(struct sync_step *step);

/* SYNC_INTERVAL_MS times what so many nodes make of it. */
uint64_t sync_interval_ms(size_t nodes);

#endif
