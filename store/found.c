/* The first configuration. All of its servers promise to take part before it is written anywhere,
 * and a server promises to one at a time: so no server is ever founded into two clusters, however
 * many start at once and whoever sees whom.
 *
 *     proposer (least id)          each other server
 *        | ---- propose ---------------> | no log, no other promise: promise
 *        | <--- promised --------------- |
 *        |  all of them, and soon enough |
 *        | writes entry 1, durable       |
 *        | ---- commit ----------------> | writes entry 1, durable
 *        | <--- written ---------------- |   (who misses it gets it from the leader)
 *
 * One that wrote and knows of no leader asks again: its word may not have reached enough others to
 * elect one. */
#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FOUND_RESEND_MS 200U
#define FOUND_AGAIN_MS  1000U

struct found_write {
    struct store *store;
    uint64_t cluster;
    struct bytes configuration;
    enum err result;
    struct reason why;
};

static void found_on_disk(void *arg)
{
    struct found_write *w = arg;
    w->result = journal_bootstrap(w->store->journal, w->cluster, w->configuration, &w->why);
}

/* Entry 1, durable; from here on this server is part of the cluster. */
static enum err found_write(struct store *s, uint64_t cluster, struct bytes configuration)
{
    struct found_write w = {.store = s, .cluster = cluster, .configuration = configuration};
    if (!disk_insist(s, found_on_disk, &w, &w.result)) {
        return ERR_CLOSED;
    }
    if (w.result != OK) {
        log_line(LOG_RAFT_BOOTSTRAP, "error=\"%s\"", w.why.text);
        return w.result;
    }
    hub_adopt_cluster(s, cluster);
    enum err e = hub_start_engine(s, &w.why);
    if (e != OK) {
        fatal("cannot start with the first configuration: %s", w.why.text);
    }
    log_line(LOG_RAFT_BOOTSTRAP, "cluster=%016llx servers=%zu", (unsigned long long)cluster,
             engine_servers(s->engine)->count);
    hub_turn(s);
    return OK;
}

/* --- the proposer ---------------------------------------------------------------------------- */

static void found_send(struct store *s)
{
    struct founding *f = &s->founding;
    struct rpc_message m = {.type = RPC_BOOTSTRAP};
    m.bootstrap.cluster = f->cluster;
    m.bootstrap.commit = f->committed;
    m.bootstrap.configuration = buf_view(&f->configuration);
    f->sent_ms = hub_now_ms(s);
    for (size_t i = 0; i < f->servers.count; i++) {
        bool done = f->committed ? f->written[i] : f->promised[i];
        if (!done && f->servers.servers[i].id != s->id) {
            peers_send(s, f->servers.servers[i].id, TRANSPORT_CONTROL, &m);
        }
    }
}

static bool found_all(const struct founding *f, const bool *flags)
{
    for (size_t i = 0; i < f->servers.count; i++) {
        if (!flags[i]) {
            return false;
        }
    }
    return true;
}

static void found_maybe_commit(struct store *s)
{
    struct founding *f = &s->founding;
    if (f->committed || !found_all(f, f->promised)) {
        return;
    }
    /* A promise that may have run out does not count. */
    if (hub_now_ms(s) - f->began_ms >= BOOTSTRAP_PROMISE_MS / 2) {
        f->proposing = false;
        return;
    }
    if (s->cluster != f->cluster && found_write(s, f->cluster, buf_view(&f->configuration)) != OK) {
        f->proposing = false;
        return;
    }
    f->committed = true;
    found_send(s);
}

/* Asks all of them. */
static void found_begin(struct store *s, const struct store_servers *servers)
{
    struct founding *f = &s->founding;
    f->proposing = true;
    f->committed = false;
    f->servers = *servers;
    f->began_ms = hub_now_ms(s);
    memset(f->written, 0, sizeof f->written);
    memset(f->promised, 0, sizeof f->promised);
    for (size_t i = 0; i < servers->count; i++) {
        f->promised[i] = f->written[i] = servers->servers[i].id == s->id;
    }
    found_send(s);
    found_maybe_commit(s);
}

static void found_propose(struct store *s, const struct store_servers *servers)
{
    struct founding *f = &s->founding;
    if (s->cluster != 0 || f->proposing || f->promise != 0 || s->repair.kept.phase != REPAIR_NONE) {
        return;
    }
    for (size_t i = 0; i < servers->count; i++) {
        if (servers->servers[i].id < s->id) {
            /* That one proposes. */
            return;
        }
    }
    do {
        env_random(loop_env(s->hub), &f->cluster, sizeof f->cluster);
    } while (f->cluster == 0);
    f->promise = f->cluster;
    f->promise_ms = hub_now_ms(s);
    buf_clear(&f->configuration);
    if (members_encode(servers, &f->configuration) == OK) {
        found_begin(s, servers);
    }
}

/* We wrote the first entry, and ended before the others were told: they have forgotten what they
 * promised, and would wait for a leader that we cannot become without them. */
static void found_again(struct store *s)
{
    struct founding *f = &s->founding;
    struct bytes configuration;
    if (s->cluster == 0 || s->leader != 0 || engine_last(s->engine) != 1 || f->proposing ||
        engine_configuration(s->engine, &configuration) != 1 ||
        hub_now_ms(s) - f->began_ms < FOUND_AGAIN_MS) {
        return;
    }
    const struct store_servers *servers = engine_servers_committed(s->engine);
    if (servers->count > 1) {
        f->cluster = s->cluster;
        buf_clear(&f->configuration);
        buf_put(&f->configuration, configuration);
        found_begin(s, servers);
    }
}

void found_on_reply(struct store *s, uint64_t from, const struct rpc_bootstrap_reply *m)
{
    struct founding *f = &s->founding;
    if (!f->proposing || m->cluster != f->cluster) {
        return;
    }
    for (size_t i = 0; i < f->servers.count; i++) {
        if (f->servers.servers[i].id == from && m->status == (uint32_t)OK) {
            f->promised[i] = true;
            f->written[i] = f->committed;
        } else if (f->servers.servers[i].id == from && !f->committed) {
            log_line(LOG_RAFT_BOOTSTRAP, "refused_by=%s why=%s", f->servers.servers[i].address,
                     m->status == (uint32_t)ERR_CONFLICT ? "has-data" : "promised-to-another");
            f->proposing = false;
            return;
        } else if (f->servers.servers[i].id == from) {
            f->written[i] = true;
        }
    }
    found_maybe_commit(s);
    if (f->committed && found_all(f, f->written)) {
        f->proposing = false;
    }
}

/* --- those who are asked --------------------------------------------------------------------- */

static enum err found_asked(struct store *s, const struct rpc_bootstrap *m)
{
    struct founding *f = &s->founding;
    struct store_servers servers;
    uint64_t now_ms = hub_now_ms(s);
    if (s->cluster != 0) {
        return s->cluster == m->cluster ? OK : ERR_CONFLICT;
    }
    if (m->cluster == 0 || members_decode(m->configuration, &servers) != OK ||
        members_find(&servers, s->id) == NULL) {
        return ERR_INVALID;
    }
    bool promised = f->promise != 0 && now_ms - f->promise_ms < BOOTSTRAP_PROMISE_MS;
    if (promised ? f->promise != m->cluster : m->commit) {
        return ERR_IN_USE;
    }
    if (m->commit) {
        return found_write(s, m->cluster, m->configuration);
    }
    if (!promised) {
        f->promise = m->cluster;
        f->promise_ms = now_ms;
    }
    return OK;
}

void found_on_message(struct store *s, uint64_t from, const struct rpc_bootstrap *m)
{
    struct rpc_message reply = {.type = RPC_BOOTSTRAP_REPLY};
    reply.bootstrap_reply.cluster = m->cluster;
    reply.bootstrap_reply.status = (uint32_t)found_asked(s, m);
    peers_send(s, from, TRANSPORT_CONTROL, &reply);
}

/* --- life ------------------------------------------------------------------------------------ */

void found_tick(struct store *s)
{
    struct founding *f = &s->founding;
    uint64_t now_ms = hub_now_ms(s);
    uint64_t patience_ms = f->committed ? 6 * BOOTSTRAP_PROMISE_MS : BOOTSTRAP_PROMISE_MS / 2;
    if (f->proposing && now_ms - f->began_ms >= patience_ms) {
        f->proposing = false;
    }
    if (f->promise != 0 && now_ms - f->promise_ms >= BOOTSTRAP_PROMISE_MS && !f->proposing) {
        f->promise = 0;
    }
    if (f->proposing && now_ms - f->sent_ms >= FOUND_RESEND_MS) {
        found_send(s);
    }
    found_again(s);
}

struct found_request {
    struct mail mail;
    struct store *store;
    struct store_servers servers;
};

static void found_on_request(struct mail *m)
{
    struct found_request *request = LIST_OWNER(m, struct found_request, mail);
    found_propose(request->store, &request->servers);
    free(request);
}

static int found_compare(const void *a, const void *b)
{
    const struct store_server *x = a;
    const struct store_server *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

void store_bootstrap(struct store *s, const struct store_founder *founders, size_t count)
{
    if (count == 0 || count > STORE_SERVERS_MAX) {
        return;
    }
    struct found_request *request = mem_zalloc(1, sizeof *request);
    request->mail.deliver = found_on_request;
    request->store = s;
    request->servers.count = count;
    for (size_t i = 0; i < count; i++) {
        struct store_server *server = &request->servers.servers[i];
        *server = (struct store_server){
            .id = store_server_id(founders[i].node_id),
            .role = STORE_VOTER,
        };
        memcpy(server->node_id, founders[i].node_id, sizeof server->node_id);
        memcpy(server->address, founders[i].address, sizeof server->address);
    }
    qsort(request->servers.servers, count, sizeof request->servers.servers[0], found_compare);
    mailbox_post(loop_mailbox(s->hub), &request->mail);
}

void found_open(struct store *s)
{
    buf_init(&s->founding.configuration, RAFT_CONFIGURATION_MAX);
}

void found_close(struct store *s)
{
    buf_close(&s->founding.configuration);
}
