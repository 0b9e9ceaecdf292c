/* A check that runs: when, how often, how long; what it finds goes to the agent. One probe at a
 * time; its first comes at a random moment within the interval, so that a thousand checks that were
 * registered at once do not run at once.
 *
 *     WAITING --interval--> PROBING --result or timeout--> WAITING
 *
 * A TTL check waits to be told, and is critical when nobody does. Alias and maintenance checks do
 * not run: the agent knows their status from others.
 *
 * Owner    `definition` is borrowed until check_run_close(); outputs are borrowed for the call.
 * Threads  the agent's loop.
 */
#ifndef CORE_AGENT_CHECK_RUN_H
#define CORE_AGENT_CHECK_RUN_H

#include "core/base/loop.h"
#include "core/definition.h"

struct check_run;
struct check_http;

/* What all checks of an agent share. */
struct check_host {
    struct loop *loop; /* NULL: in tests, where nothing has sockets */
    struct env *env;
    struct check_http *http;
    uint64_t output_max_size; /* of checks that do not say */
    void *ctx;
    /* What a run has found, thresholds taken into account. The run may be closed in it. */
    void (*found)(void *ctx, struct check_run *run, enum check_status status, struct bytes output);
};

/* Any kind. `owner` is the caller's. */
struct check_run *check_run_open(const struct check_host *host,
                                 const struct check_definition *definition,
                                 void *owner);
/* A probe under way is ended. NULL is allowed. */
void check_run_close(struct check_run *run);
void *check_run_owner(const struct check_run *run);
/* A TTL check was told: its time begins anew. */
void check_run_renew(struct check_run *run);

/* How long one probe may take, and how often there is one, in milliseconds. */
uint64_t check_timeout_ms(const struct check_definition *d);
uint64_t check_interval_ms(const struct check_definition *d);

/* --- for the kinds ---------------------------------------------------------------------------- */

/* One try, which ends by probe_done() or by its kind's `cancel`. */
struct probe {
    const struct check_host *host;
    const struct check_definition *definition;
    size_t output_max; /* what is kept of the output; the rest is read and dropped */
    void (*done)(struct probe *p, enum check_status status, struct bytes output);
    struct check_run *run;
};

/* Each kind: begins one; NULL and a sentence if it cannot be. It calls `done` once, from the loop;
 * the memory is freed then. `cancel` frees without a word. */
struct probe_kind {
    struct probe *(*start)(const struct probe *p, struct reason *why);
    void (*cancel)(struct probe *p);
};

extern const struct probe_kind PROBE_HTTP; /* HTTP, TCP, gRPC, H2PING */
extern const struct probe_kind PROBE_SCRIPT;
extern const struct probe_kind PROBE_UDP;

#endif
