/* The agent's own services and checks, alive: keeps them (local.h), runs the checks (check/),
 * tells the catalog (sync.h), keeps what was registered by the API on disk, and takes orders from
 * other threads. The same for a server and for a client agent: they differ in `server`.
 *
 * Life     agent_open() -> its loop runs -> the loop has stopped -> agent_stop() -> what others had
 *          for the loop has been drained -> agent_close().
 * Owner    an order's memory is the caller's until `done`; what is in it goes with
 *          agent_order_close().
 * Errors   an order's are in its `status`, as HTTP says them.
 * Threads  agent_order() and agent_reload() from any; all else the thread that runs no loop of it,
 *          before and after.
 */
#ifndef CORE_AGENT_AGENT_H
#define CORE_AGENT_AGENT_H

#include "core/agent/sync.h"
#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/config.h"

struct agent;

struct agent_options {
    struct loop *loop;
    const struct config *config; /* a later one comes by agent_reload() */
    const char *node_id;
    struct sync_server server;
    /* How many nodes the cluster has; NULL: few. On the agent's loop. */
    size_t (*nodes)(void *ctx);
    void *ctx;
};

/* Registers what the configuration and the disk say. ERR_IO: the directory cannot be made. */
enum err agent_open(const struct agent_options *options,
                    struct agent **ret_agent,
                    struct reason *why) ERR_MUST_USE;
/* Checks end, nothing is told any more; orders that still come are answered with 503. NULL is
 * allowed. */
void agent_stop(struct agent *a);
/* NULL is allowed. */
void agent_close(struct agent *a);

/* The configuration from now on; its definitions replace those of the one before. It must live as
 * long as the agent does. */
void agent_reload(struct agent *a, const struct config *config);
/* The catalog is another one (a snapshot came, a backup was restored): compared soon. On the
 * agent's loop. */
void agent_compare_soon(struct agent *a);

/* --- orders -------------------------------------------------------------------------------------
 */

enum agent_verb {
    AGENT_NOTHING,         /* has been reached when it is done: what came before is done too */
    AGENT_SERVICES,        /* all: texts, each an encoded row (store/row.h) */
    AGENT_SERVICE,         /* `id`, as JSON; `hash` of the answer; while that is `text` it waits,
                              AGENT_WAIT_STEP_MS at most */
    AGENT_CHECKS,          /* all: texts, each an encoded row */
    AGENT_NAME_OF_SERVICE, /* `id` -> the service's name; nothing: there is none */
    AGENT_NAME_OF_CHECK,   /* `id` -> the name of its service; nothing: it is the node's, or none */
    AGENT_HEALTH_ID,       /* `id`: of a service */
    AGENT_HEALTH_NAME,     /* `id`: a service's name */
    AGENT_SERVICE_REGISTER, /* `text`: JSON; `flag`: its other checks go */
    AGENT_SERVICE_DEREGISTER,
    AGENT_SERVICE_MAINTENANCE, /* `id`, `flag`: on, `text`: why */
    AGENT_CHECK_REGISTER,      /* `text`: JSON */
    AGENT_CHECK_DEREGISTER,
    AGENT_CHECK_UPDATE, /* `id`, `check_status`, `text`: the output */
    AGENT_NODE_MAINTENANCE,
};

struct agent_order {
    /* On the loop it came from. */
    void (*done)(struct agent_order *o);
    void *ctx; /* the caller's */
    enum agent_verb verb;
    struct buf id;
    struct buf text;
    bool flag;
    enum check_status check_status;
    /* read-only, in `done` */
    int status;        /* 200, or an error with `answer` as its sentence */
    struct buf answer; /* JSON, a sentence, or nothing */
    struct buf reason; /* of health: one word, or what is not there; of SERVICE: its name */
    char hash[17];
    /* private */
    struct mail mail;
    struct agent *agent;
    struct loop *loop;
    struct list link;
    bool waiting;
};

void agent_order_init(struct agent_order *o, enum agent_verb verb);
void agent_order_close(struct agent_order *o);
void agent_order(struct agent *a, struct loop *from, struct agent_order *o);

#endif
