#include "tests/sim/schedule.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/cluster.h"
#include "tests/sim/faults.h"
#include "tests/sim/follower.h"
#include "tests/sim/server.h"
#include "tests/sim/wire.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

/* When all faults have ended, a write must succeed within so long, and all servers must have
 * applied the same. */
#define HEAL_US  (60 * SECOND_US)
#define AGREE_US (30 * SECOND_US)
#define STEP_US  (SECOND_US / 5)

static void schedule_log(struct log_tap *tap, struct bytes line)
{
    (void)tap;
    /* Without the time of day and the newline. */
    if (line.len > 26) {
        world_tell(process_here(), "%.*s", (int)line.len - 26, line.ptr + 25);
    }
}

static struct log_tap story = {.level = LOG_DEBUG, .line = schedule_log};

static void schedule_begin(const struct plan *plan)
{
    servers_prepare();
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct server *s = &servers[i];
        s->options.election_ms = plan->election_ms;
        s->options.log_trailing = plan->log_trailing;
        if (plan->mood == MOOD_LATE && i % 2 == 1) {
            /* It still has what the others have cut. */
            s->options.log_trailing = 10240;
        }
        disks[i].total = plan->disk_total;
        disks[i].writeback = plan->writeback;
        s->options.start = plan->servers > 1 ? STORE_WAIT : STORE_ALONE;
        s->options.repair = plan->servers > 1;
        s->options.history_bytes = plan->history_bytes;
        if (i <= plan->servers) {
            s->used = true;
            server_start(s);
        }
    }
    cluster_open(plan->servers, plan->spares, plan->changes, plan->order_gap_us);
    cluster.calm = plan->mood == MOOD_CALM;
    followers_open(plan->followers);
    clients_open(plan->clients, plan->keys, plan->pause_us, plan->prefixes);
}

static void schedule_step(uint64_t until_us)
{
    while (world.now_us < until_us && !world.over) {
        uint64_t step_us = world.now_us + STEP_US;
        world_run(step_us < until_us ? step_us : until_us);
        check_progress();
    }
}

/* The first server that has not applied all of the log; NULL: all have. */
static const struct server *schedule_behind(uint64_t *ret_applied)
{
    uint64_t last = check_last();
    cluster_learn();
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        struct server *s = &servers[i];
        struct store_facts facts = {0};
        if (!s->used || !s->added || s->removed) {
            continue;
        }
        if (s->serving) {
            store_facts_get(s->store, &facts);
        }
        *ret_applied = facts.applied_index;
        if (!s->serving || facts.applied_index < last || disks[i].repair.phase != REPAIR_NONE) {
            return s;
        }
    }
    return NULL;
}

static void schedule_end(void)
{
    clients_stop();
    cluster_stop();
    faults_heal();
    uint64_t until_us = world.now_us + HEAL_US;
    uint64_t applied = 0;
    clients_probe();
    while (!clients_probe_done() && world.now_us < until_us && !world.over) {
        schedule_step(world.now_us + STEP_US);
    }
    if (!clients_probe_done()) {
        world_violate("no write succeeds within %llu s after all faults have ended",
                      (unsigned long long)(HEAL_US / SECOND_US));
    }
    until_us = world.now_us + AGREE_US;
    schedule_step(world.now_us + SECOND_US);
    followers_stop();
    while ((schedule_behind(&applied) != NULL || !followers_done(check_last())) &&
           world.now_us < until_us && !world.over) {
        schedule_step(world.now_us + STEP_US);
    }
    const struct server *behind = world.over ? NULL : schedule_behind(&applied);
    if (behind != NULL) {
        world_violate("server %u is at %llu of %llu, %llu s after all faults have ended",
                      behind->number, (unsigned long long)applied, (unsigned long long)check_last(),
                      (unsigned long long)(AGREE_US / SECOND_US));
    }
    if (!world.over && !followers_done(check_last())) {
        world_violate("a follower of the stream has not heard of %llu, %llu s after all faults "
                      "have ended",
                      (unsigned long long)check_last(), (unsigned long long)(AGREE_US / SECOND_US));
    }
    if (!world.over) {
        followers_check();
    }
    if (!world.over) {
        check_history();
    }
}

void schedule_run(const struct schedule *s, struct verdict *ret_verdict)
{
    struct plan plan;
    world_open(s->seed, s->verbose);
    log_set_level((enum log_level)(LOG_ERROR + 1));
    if (s->verbose) {
        log_tap_open(&story);
    }
    disks_open();
    wire_open();
    check_open();
    memset(&check_counts, 0, sizeof check_counts);
    CHECK(plan_draw(&plan, s->servers, s->faults, s->mood));
    world_tell(NULL, "seed %llu: %u servers, %u clients, %u keys, %llu s",
               (unsigned long long)s->seed, plan.servers, plan.clients, plan.keys,
               (unsigned long long)(plan.duration_us / SECOND_US));
    schedule_begin(&plan);
    faults_open(&plan);
    schedule_step(world.now_us + plan.duration_us);
    if (!world.over) {
        schedule_end();
    }
    *ret_verdict = (struct verdict){
        .seed = s->seed,
        .failed = world.over,
        .trace = world.trace,
        .steps = world.steps,
        .operations = clients.answered,
        .simulated_us = world.now_us - WORLD_BEGIN_US,
        .entries = check_last(),
        .heard = follower_counts.events,
        .resumes = follower_counts.resumes,
    };
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        ret_verdict->starts += servers[i].starts;
        /* Not a crash: nothing is told, the disks go as well. */
        servers[i].process.on_death = NULL;
        process_kill(&servers[i].process);
    }
    (void)snprintf(ret_verdict->violation, sizeof ret_verdict->violation, "%s", world.violation);
    if (s->verbose) {
        log_tap_close(&story);
    }
    followers_close();
    clients_close();
    check_close();
    wire_close();
    disks_close();
    world_close();
}
