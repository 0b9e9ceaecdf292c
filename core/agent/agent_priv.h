/* What the files of the agent share; see agent.h.
 *
 * Threads  the agent's loop.
 */
#ifndef CORE_AGENT_AGENT_PRIV_H
#define CORE_AGENT_AGENT_PRIV_H

#include "core/agent/agent.h"
#include "core/agent/check/http.h"
#include "core/agent/check/run.h"
#include "core/agent/local_file.h"
#include "core/base/list.h"

#include <stdatomic.h>

struct agent {
    struct agent_options options;
    struct env *env;
    const struct config *config;
    struct local local;
    struct local_files files;
    struct sync *sync;
    struct check_host host;
    struct buf node; /* the node's row, encoded */
    struct node_row row;
    struct timer reap;
    struct timer aliases; /* those of other nodes are asked for */
    struct list alias_asks;
    struct list waiting; /* orders that want to see a change */
    struct timer wait_step;
    struct list telling; /* orders that are answered once the catalog knows what they changed */
    struct timer tell_step;
    bool refreshing; /* aliases are being looked at: their changes need no second look */
    bool stopped;
    struct mail reload_mail;
    _Atomic(const struct config *) next_config;
    atomic_bool reload_posted;
};

/* --- agent.c ---------------------------------------------------------------------------------- */

/* Everything was said of it: valid, allowed, registered, kept on disk (unless it came from there),
 * run and told. */
struct agent_add {
    enum local_source source;
    bool replace; /* the service's other checks go */
    bool keep;    /* on disk */
    bool scripts; /* may be run */
};

enum err agent_add_service(struct agent *a,
                           const struct service_definition *s,
                           const struct agent_add *how,
                           struct reason *why) ERR_MUST_USE;
/* A check of its own, or of a service that is here. */
enum err agent_add_check(struct agent *a,
                         const struct local_check_new *c,
                         const struct agent_add *how,
                         struct reason *why) ERR_MUST_USE;
/* From a definition alone: with defaults for what it does not say. */
enum err agent_add_check_definition(struct agent *a,
                                    const struct check_definition *d,
                                    const struct agent_add *how,
                                    struct reason *why) ERR_MUST_USE;
/* ERR_NOT_FOUND */
enum err agent_remove_service(struct agent *a, struct bytes id) ERR_MUST_USE;
enum err agent_remove_check(struct agent *a, struct bytes id) ERR_MUST_USE;

/* --- agent_status.c --------------------------------------------------------------------------- */

void agent_on_found(void *ctx,
                    struct check_run *run,
                    enum check_status status,
                    struct bytes output);
/* Sets, logs, tells. */
void agent_set_status(struct agent *a,
                      struct local_check *c,
                      enum check_status status,
                      struct bytes output);
/* Statuses that follow others. */
void agent_refresh_aliases(struct agent *a);
void agent_on_reap(struct timer *t);
void agent_on_aliases(struct timer *t);
void agent_close_aliases(struct agent *a);

/* --- agent_order.c ---------------------------------------------------------------------------- */

void agent_carry_out(struct agent *a, struct agent_order *o);
/* A service changed: those who wait for that look again. */
void agent_wake(struct agent *a);
/* Those who wait are answered as things are. */
void agent_wake_all(struct agent *a);
void agent_on_wait_step(struct timer *t);
/* The catalog knows, or will not know soon: who waits for that is answered. */
void agent_on_told(void *agent);
void agent_on_tell_step(struct timer *t);

#endif
