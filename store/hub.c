#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

/* How often what waits for other servers is looked at. */
#define HUB_TICK_MS 100U

/* --- facts ----------------------------------------------------------------------------------- */

/* The only server leads whatever happens, and nobody else applies what it has committed. */
static bool hub_alone(struct store *s)
{
    const struct store_servers *servers = engine_servers(s->engine);
    return servers->count == 1 && members_voters(servers) == 1 && engine_settled(s->engine) &&
           !engine_changing(s->engine);
}

void hub_refresh_facts(struct store *s)
{
    atomic_store(&s->alone, hub_alone(s));
    atomic_store(&s->facts.term, engine_term(s->engine));
    atomic_store(&s->facts.last, engine_last(s->engine));
    atomic_store(&s->facts.last_term, engine_term_of(s->engine, engine_last(s->engine)));
    atomic_store(&s->facts.commit, s->commit);
    atomic_store(&s->facts.applied, s->applied);
    atomic_store(&s->facts.snapshot_index, engine_snapshot_index(s->engine));
    atomic_store(&s->facts.snapshot_term, engine_snapshot_term(s->engine));
    atomic_store(&s->facts.history_bytes, state_history_bytes(s->state));
    atomic_store(&s->facts.leader, engine_leads(s->engine));
    atomic_store(&s->facts.leader_id, engine_leader(s->engine));
    atomic_store(&s->facts.voters, members_voters(engine_servers_committed(s->engine)));
    atomic_store(&s->facts.cluster, s->cluster);
    atomic_store(&s->facts.disk_full, s->full || s->parked);
    metric_set(METRIC_RAFT_TERM, engine_term(s->engine));
    metric_set(METRIC_RAFT_COMMITTED, s->commit);
    metric_set(METRIC_RAFT_APPLIED, s->applied);
}

static void hub_on_listened(struct mail *m)
{
    struct store *s = LIST_OWNER(m, struct store, listener_mail);
    atomic_store(&s->listener_posted, false);
    s->listener(s->listener_ctx);
}

static void hub_tell_listener(struct store *s)
{
    if (s->listener != NULL && !atomic_exchange(&s->listener_posted, true)) {
        s->listener_mail.deliver = hub_on_listened;
        mailbox_post(loop_mailbox(s->listener_loop), &s->listener_mail);
    }
}

/* --- what the engine asks for ---------------------------------------------------------------- */

struct hub_vote {
    struct store *store;
    uint64_t term;
    uint64_t vote;
    enum err result;
    struct reason why;
};

static void hub_vote_on_disk(void *arg)
{
    struct hub_vote *v = arg;
    v->result = journal_save_vote(v->store->journal, v->term, v->vote, &v->why);
}

static void hub_op_save_vote(void *ctx, uint64_t term, uint64_t vote)
{
    struct hub_vote v = {.store = ctx, .term = term, .vote = vote};
    if (disk_insist(ctx, hub_vote_on_disk, &v, &v.result) && v.result != OK) {
        fatal("cannot write term and vote: %s", v.why.text);
    }
}

static void hub_op_install(void *ctx, const struct journal_snapshot *snapshot)
{
    fetch_install(ctx, snapshot);
}

static void hub_op_cut_tail(void *ctx, uint64_t from)
{
    struct store *s = ctx;
    struct disk_group *g = &s->group;
    log_line(LOG_RAFT_CUT, "from=%llu last=%llu", (unsigned long long)from,
             (unsigned long long)engine_last(s->engine));
    CHECK(from > s->applied);
    writes_on_cut(s, from);
    if (s->written >= from) {
        s->cut_from = s->cut_from == 0 || s->cut_from > from ? from : s->cut_from;
        s->written = from - 1;
    }
    if (g->busy && g->clip >= from) {
        g->clip = from - 1;
    }
    tail_cut(&s->tail, from, g->busy);
}

static void
hub_op_append(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count)
{
    struct store *s = ctx;
    if (tail_last(&s->tail) + 1 != first) {
        /* A tail that was empty, behind what a start found in the log. */
        CHECK(tail_last(&s->tail) < tail_first(&s->tail));
        tail_reset(&s->tail, first - 1, s->group.busy);
    }
    for (size_t i = 0; i < count; i++) {
        char *memory = s->writes.submitting ? (char *)(uintptr_t)entries[i].data.ptr : NULL;
        tail_append(&s->tail, &entries[i], memory);
        s->uncut_bytes += entries[i].data.len;
        s->uncompacted_bytes += entries[i].data.len;
    }
    disk_append(s);
}

static void hub_op_send(void *ctx, uint64_t to, const struct rpc_message *m)
{
    struct store *s = ctx;
    if (!repair_says(s, m)) {
        return;
    }
    if (m->type == RPC_APPEND && m->append.count > 0) {
        struct peer *peer = peers_find(s, to);
        if (peer != NULL) {
            peer->told_commit = m->append.commit;
        }
        peers_send_append(s, to, &m->append);
    } else {
        peers_send(s, to, TRANSPORT_CONTROL, m);
    }
}

static void hub_op_commit(void *ctx, uint64_t through)
{
    struct store *s = ctx;
    if (s->commit < through) {
        s->commit = through;
        /* At once: a follower may tell its clients of it before this turn ends. */
        atomic_store(&s->facts.commit, through);
    }
}

const struct engine_ops HUB_OPS = {
    .save_vote = hub_op_save_vote,
    .install = hub_op_install,
    .cut_tail = hub_op_cut_tail,
    .append = hub_op_append,
    .send = hub_op_send,
    .commit = hub_op_commit,
};

/* --- behind every event ---------------------------------------------------------------------- */

static void hub_notice_leader(struct store *s)
{
    bool leads = engine_leads(s->engine);
    uint64_t leader = engine_leader(s->engine);
    uint64_t term = engine_term(s->engine);
    if (leads == s->led && leader == s->leader && (!leads || term == s->led_term)) {
        return;
    }
    if (s->led) {
        writes_on_deposed(s);
        /* Nobody was nearer to the leader than itself. */
        s->heard_ms = hub_now_ms(s);
        atomic_store(&s->facts.heard_ms, s->heard_ms);
    }
    if (leads && !s->led) {
        s->removed = false;
        log_line(LOG_RAFT_LEADER, "term=%llu", (unsigned long long)term);
        metric_add(METRIC_RAFT_LEADER_CHANGES, 1);
        for (size_t i = 0; i < PEERS_MAX; i++) {
            s->peers[i].heard_ms = 0;
            s->peers[i].told_commit = 0;
        }
    } else if (!leads && leader == 0 && s->leader != 0) {
        log_line(LOG_RAFT_LEADERLESS, "term=%llu before=%016llx", (unsigned long long)term,
                 (unsigned long long)s->leader);
    } else if (!leads && leader != s->leader) {
        log_line(LOG_RAFT_FOLLOWER, "term=%llu leader=%016llx", (unsigned long long)term,
                 (unsigned long long)leader);
    }
    s->led = leads;
    s->leader = leader;
    s->led_term = term;
    hub_refresh_facts(s);
    writes_on_leader(s);
    reads_on_leader(s);
    hub_tell_listener(s);
}

static void hub_notice_servers(struct store *s)
{
    const struct store_servers *servers = engine_servers(s->engine);
    uint64_t told = servers->configuration_index * 2 + !engine_changing(s->engine);
    if (told != s->told_configuration) {
        s->told_configuration = told;
        peers_refresh(s);
        hub_refresh_facts(s);
        hub_tell_listener(s);
    }
}

void hub_turn(struct store *s)
{
    hub_notice_leader(s);
    hub_notice_servers(s);
    if (s->applied < round_limit(s) && !s->parked) {
        round_apply(s);
    }
    if (s->led) {
        peers_tell_commit(s);
    }
    disk_append(s);
    reads_on_commit(s);
    servers_turn(s);
    writes_answer(s);
    hub_refresh_facts(s);
    if (timer_armed(&s->engine_timer)) {
        timer_start(&s->engine_timer, engine_deadline(s->engine, hub_now_ms(s)));
    }
}

/* A group is durable. The next one goes to the disk first, and is synced while this is applied. */
void hub_on_appended(struct store *s)
{
    struct disk_group *g = &s->group;
    uint64_t first = g->first;
    uint64_t last = first + g->count - 1;
    uint64_t durable = last < g->clip ? last : g->clip;
    if (g->result != OK && !atomic_load(&s->closing)) {
        env_timer_start(loop_env(s->hub), &s->disk_retry, DISK_RETRY_MS);
        return;
    }
    g->busy = false;
    tail_settled(&s->tail);
    if (g->result == OK) {
        writes_submit(s);
        disk_append(s);
        /* Of what was replaced meanwhile nothing counts. */
        if (durable >= first && durable <= engine_last(s->engine)) {
            engine_persisted(s->engine, durable, hub_now_ms(s));
        }
        hub_turn(s);
    }
    if (atomic_load(&s->closing)) {
        hub_on_close(&s->close_mail);
    }
}

/* The disk was filled by somebody else between our look and our write. The write failed before any
 * sync, so nothing is in doubt: the log is opened anew, which cuts off what was half written, and
 * the group is written again when there is room. Reads go on meanwhile. */
static void hub_on_disk_retry(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, disk_retry);
    if (disk_reopen(s) == OK) {
        disk_resend(s);
    } else {
        env_timer_start(loop_env(s->hub), t, DISK_RETRY_MS);
    }
}

static void hub_on_engine_timer(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, engine_timer);
    uint64_t now_ms = hub_now_ms(s);
    engine_timeout(s->engine, now_ms);
    timer_start(t, engine_deadline(s->engine, now_ms));
    hub_turn(s);
}

static void hub_on_retry(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, retry);
    round_apply(s);
    hub_turn(s);
}

static void hub_on_peers_tick(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, peers_tick);
    servers_tick(s);
    found_tick(s);
    fetch_tick(s);
    repair_tick(s);
    hub_turn(s);
    timer_start(t, hub_now_ms(s) + HUB_TICK_MS);
}

/* --- life ------------------------------------------------------------------------------------ */

struct hub_adoption {
    struct store *store;
    enum err result;
    struct reason why;
};

static void hub_adopt_on_disk(void *arg)
{
    struct hub_adoption *a = arg;
    a->result = journal_adopt(a->store->journal, a->store->cluster, &a->why);
}

void hub_adopt_cluster(struct store *s, uint64_t cluster)
{
    struct hub_adoption a = {.store = s};
    s->cluster = cluster;
    if (!disk_insist(s, hub_adopt_on_disk, &a, &a.result)) {
        return;
    }
    if (a.result == OK) {
        a.result = state_set_cluster(s->state, cluster, &a.why);
    }
    if (a.result != OK) {
        fatal("cannot join the cluster: %s", a.why.text);
    }
    if (s->transport != NULL) {
        transport_set_cluster(s->transport, cluster);
    }
}

enum err hub_start_engine(struct store *s, struct reason *why)
{
    unsigned seed = 0;
    const struct journal_facts *facts = journal_facts(s->journal);
    env_random(loop_env(s->hub), &seed, sizeof seed);
    struct engine_options options = {
        .id = s->id,
        .seed = seed,
        .election_ms = s->election_ms,
        .guards = guards_on(),
        .ops = &HUB_OPS,
        .ctx = s,
    };
    engine_free(s->engine);
    s->engine = engine_new(&options);
    tail_reset(&s->tail, facts->last, false);
    s->written = facts->last;
    enum err e = engine_start(s->engine, facts, hub_now_ms(s), why);
    journal_forget_facts(s->journal);
    return e;
}

void hub_open(struct store *s)
{
    struct env *env = loop_env(s->hub);
    s->close_mail.deliver = hub_on_close;
    env_timer_init(env, &s->retry, hub_on_retry);
    env_timer_init(env, &s->engine_timer, hub_on_engine_timer);
    env_timer_init(env, &s->peers_tick, hub_on_peers_tick);
    env_timer_init(env, &s->disk_retry, hub_on_disk_retry);
    tail_init(&s->tail, 0);
    writes_open(s);
    reads_open(s);
    servers_open(s);
    found_open(s);
    fetch_open(s);
}

void hub_start_timers(struct store *s)
{
    timer_start(&s->engine_timer, engine_deadline(s->engine, hub_now_ms(s)));
    env_timer_start(loop_env(s->hub), &s->peers_tick, HUB_TICK_MS);
    writes_start(s);
    reads_start(s);
}

void hub_on_close(struct mail *m)
{
    struct store *s = LIST_OWNER(m, struct store, close_mail);
    reads_close(s, ERR_CLOSED);
    servers_close(s, ERR_CLOSED);
    if (timer_armed(&s->disk_retry)) {
        /* Nobody is told that it was written. */
        timer_stop(&s->disk_retry);
        s->group.busy = false;
        tail_settled(&s->tail);
    }
    /* What the disk has may still be acknowledged: a clean end loses no answer. */
    if (s->parked || !s->group.busy) {
        writes_close(s);
    }
    writes_answer(s);
    if (s->group.busy || s->flush.busy || s->cut.busy || !fetch_idle(s)) {
        return;
    }
    timer_stop(&s->retry);
    timer_stop(&s->engine_timer);
    timer_stop(&s->peers_tick);
    timer_stop(&s->writes.tick);
    timer_stop(&s->reads.tick);
    keep_stop(s);
    transport_close(s->transport);
    s->transport = NULL;
    loop_stop(s->hub);
}

struct hub_request {
    struct store *store;
    void (*fn)(struct store *s, void *arg);
    void *arg;
};

static void hub_on_call(void *arg)
{
    const struct hub_request *request = arg;
    request->fn(request->store, request->arg);
}

void hub_call(struct store *s, void (*fn)(struct store *s, void *arg), void *arg)
{
    struct hub_request request = {.store = s, .fn = fn, .arg = arg};
    loop_call(s->hub, hub_on_call, &request);
}
