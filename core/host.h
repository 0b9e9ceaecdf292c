/* What every agent process has, server or client: its configurations, the main loop, signals, the
 * node's id, and the order in which it begins and ends. What else it is made of, its host_ops know.
 *
 *     RUNNING --signal--> DRAINING --host_drained()--> STOPPED
 *        \--> LEAVING (leave_on_terminate) --^
 *
 * A second signal in any but RUNNING ends the process at once.
 *
 * Owner    a `struct host` is embedded in who fills its ops; a config lives until the end of
 *          host_main(): a thread may still read the one before.
 * Threads  host_stop(), host_reload(), host_node_id(), host_machine() from any; the rest, and all
 *          ops, the main thread's.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include "core/base/loop.h"
#include "core/base/text.h"

#include <stdatomic.h>
#include <sys/utsname.h>

struct config;
struct host;

struct host_ops {
    /* Builds all parts. When it fails, `close` ends what there is. */
    enum err (*open)(struct host *h, struct reason *why);
    /* Its threads run from here on; says so in the log. */
    void (*start)(struct host *h);
    /* host_left() follows once the others know. */
    void (*leave)(struct host *h);
    /* Clients are to finish; host_drained() follows. */
    void (*drain)(struct host *h);
    /* `config` is the one from now on. */
    void (*reload)(struct host *h, const struct config *config);
    /* The main loop has stopped: ends the threads. */
    void (*join)(struct host *h);
    /* Whatever there is. */
    void (*close)(struct host *h);
};

enum host_state {
    HOST_RUNNING,
    HOST_LEAVING,
    HOST_DRAINING,
    HOST_STOPPED,
};

struct host_config;

struct host {
    /* read-only */
    struct loop *loop; /* the main thread's */
    char node_id[UUID_TEXT_LEN];
    /* private */
    const struct host_ops *ops;
    struct host_config *configs; /* newest first */
    struct io signal_io;
    enum host_state state;
    int exit_status;
    atomic_bool stop_posted;
    atomic_bool reload_posted;
    struct mail stop_mail;
    struct mail reload_mail;
    struct utsname machine;
};

/* Runs until SIGTERM, SIGINT or host_stop(); returns the exit status. Takes `config`. */
int host_main(struct host *h, const struct host_ops *ops, struct config *config);

const struct config *host_config(const struct host *h);
/* The node's id is kept in its data directory, if there is one. */
enum err host_keep_id(struct host *h, struct reason *why) ERR_MUST_USE;

void host_left(void *host);
void host_drained(struct host *h);
/* Something that cannot go on: says why, ends with status 1. */
void host_failed(void *host, const char *why);

/* Asks for a clean end: subscribers get `bye`, waiting queries an answer. */
void host_stop(struct host *h);
/* Asks for the configuration to be read again (SIGHUP). */
void host_reload(struct host *h);

/* This node's UUID, and the machine's architecture. */
const char *host_node_id(const struct host *h);
const char *host_machine(const struct host *h);

#endif
