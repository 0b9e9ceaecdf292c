#include "tests/sim/server.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "stream/stream.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/cluster.h"
#include "tests/sim/follower.h"
#include "tests/sim/wire.h"

#include <stdio.h>
#include <string.h>

struct server servers[SERVERS_MAX + 1];

struct server *server_of(const struct process *p)
{
    return p != NULL ? &servers[p->number] : NULL;
}

static void server_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct server *s = r->ctx;
    check_published(s, b);
    stream_publish(s->stream, b);
}

/* The store would not open: right when its disk is full, a failure otherwise. */
static void server_refused(struct server *s, enum err e, const struct reason *why)
{
    world_tell(&s->process, "does not start: %s: %s", err_name(e), why->text);
    s->refusals++;
    if (e == ERR_NO_SPACE) {
        return;
    }
    world_violate("server %u does not start: %s", s->number, why->text);
}

static void server_main(void *arg)
{
    struct server *s = arg;
    struct reason why = {{0}};
    s->main = fiber_here();
    enum err e = store_open(&s->options, &s->store, &why);
    if (e != OK) {
        server_refused(s, e, &why);
        process_kill(&s->process);
    }
    s->front = loop_new("front");
    s->reader = (struct store_reader){.on_changes = server_on_changes, .ctx = s};
    store_reader_open(&s->reader, s->store, s->front);
    followers_on_opened(s);
    check_opened(s);
    loop_start(s->front);
    s->serving = true;
    world_tell(&s->process, "serves");
    cluster_on_serving(s);
    while (!s->stopping) {
        fiber_sleep(WORLD_NEVER);
    }
    s->serving = false;
    followers_on_closing(s);
    loop_stop(s->front);
    loop_join(s->front);
    stream_free(s->stream);
    s->stream = NULL;
    store_reader_close(&s->reader);
    store_close(s->store);
    loop_free(s->front);
    world_tell(&s->process, "has ended");
    process_kill(&s->process);
}

static void server_on_death(struct process *p)
{
    struct server *s = server_of(p);
    if (p->died[0] != '\0' && !s->may_fail && !s->damaged) {
        world_violate("server %u gives up: %s", s->number, p->died);
    }
    s->serving = false;
    s->store = NULL;
    s->front = NULL;
    s->main = NULL;
    wire_on_death(p);
    followers_on_death(s);
    disk_crash(&disks[s->number], s->power);
    clients_on_death(s);
    s->power = false;
}

void servers_prepare(void)
{
    for (unsigned i = 0; i <= SERVERS_MAX; i++) {
        struct server *s = &servers[i];
        *s = (struct server){
            .number = i,
            .process = {.number = i, .on_death = server_on_death},
        };
        (void)snprintf(s->path, sizeof s->path, "/s%u", i);
        (void)snprintf(s->node_id, sizeof s->node_id, "%08x-0000-4000-8000-%012u", 0x10000000U + i,
                       i);
        (void)snprintf(s->host, sizeof s->host, "10.0.0.%u", i);
        (void)snprintf(s->address, sizeof s->address, "10.0.0.%u:8300", i);
        s->options = (struct store_options){
            .data_dir = s->path,
            .node_id = s->node_id,
            .address = s->address,
            .start = STORE_ALONE,
            .listen_address = s->host,
            .listen_port = 8300,
            .history_age_ms = 3600ULL * 1000,
            .history_bytes = 1ULL << 30,
            .log_trailing = 10240,
        };
    }
}

void server_start(struct server *s)
{
    if (s->process.alive || s->removed) {
        return;
    }
    world_tell(&s->process, "starts");
    s->starts++;
    s->stopping = false;
    process_start(&s->process, server_main, s);
}

void server_crash(struct server *s, bool power)
{
    if (s->process.alive) {
        world_tell(&s->process, power ? "loses power" : "is killed");
        s->power = power;
        process_kill(&s->process);
    }
}

void server_stop(struct server *s)
{
    if (s->process.alive && s->main != NULL && !s->stopping) {
        world_tell(&s->process, "is told to stop");
        s->stopping = true;
        fiber_wake(s->main, world.now_us + 1);
    }
}
