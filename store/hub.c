#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

/* A round of applying ends when its changes have grown so large. */
#define HUB_ROUND_BYTES MIB(4)

/* --- queues of proposals --------------------------------------------------------------------- */

void proposal_queue_init(struct proposal_queue *q)
{
    *q = (struct proposal_queue){.last = &q->first};
}

static void proposal_push(struct proposal_queue *q, struct proposal *p)
{
    p->mail.next = NULL;
    *q->last = &p->mail;
    q->last = &p->mail.next;
    q->count++;
    q->bytes += p->command_len;
}

static struct proposal *proposal_first(const struct proposal_queue *q)
{
    return q->first != NULL ? LIST_OWNER(q->first, struct proposal, mail) : NULL;
}

static struct proposal *proposal_pop(struct proposal_queue *q)
{
    struct proposal *p = proposal_first(q);
    CHECK(p != NULL);
    q->first = p->mail.next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    q->count--;
    q->bytes -= p->command_len;
    return p;
}

/* --- answers --------------------------------------------------------------------------------- */

/* What one loop is told at a time: one mail for many proposals. */
struct answers {
    struct mail mail;
    struct loop *loop;
    struct answers *next;
    struct proposal_queue proposals;
};

static void hub_on_answers(struct mail *m)
{
    struct answers *a = LIST_OWNER(m, struct answers, mail);
    while (a->proposals.count > 0) {
        struct proposal *p = proposal_pop(&a->proposals);
        p->done(p);
    }
    free(a);
}

static struct answers *hub_answers_for(struct answers **list, struct loop *loop)
{
    struct answers *a = *list;
    while (a != NULL && a->loop != loop) {
        a = a->next;
    }
    if (a == NULL) {
        a = mem_alloc(sizeof *a);
        *a = (struct answers){.mail.deliver = hub_on_answers, .loop = loop, .next = *list};
        proposal_queue_init(&a->proposals);
        *list = a;
    }
    return a;
}

/* After publish(): whoever is told finds its write in every view. */
static void hub_answer(struct store *s)
{
    struct answers *list = NULL;
    uint64_t now_us = s->answered.count > 0 ? env_real_now_us() : 0;
    while (s->answered.count > 0) {
        struct proposal *p = proposal_pop(&s->answered);
        if (p->status == OK) {
            metric_observe(METRIC_RAFT_COMMIT_TIME, (double)(now_us - p->proposed_us) / 1000);
        }
        free(p->command);
        p->command = NULL;
        p->command_len = 0;
        proposal_push(&hub_answers_for(&list, p->loop)->proposals, p);
    }
    while (list != NULL) {
        struct answers *next = list->next;
        mailbox_post(loop_mailbox(list->loop), &list->mail);
        list = next;
    }
}

void hub_refuse(struct store *s, struct proposal *p, enum err status)
{
    p->status = status;
    p->index = 0;
    metric_add(METRIC_STORE_REFUSED, 1);
    proposal_push(&s->answered, p);
}

static void hub_refuse_all(struct store *s, struct proposal_queue *q, enum err status)
{
    while (q->count > 0) {
        hub_refuse(s, proposal_pop(q), status);
    }
}

/* --- from proposals to a group --------------------------------------------------------------- */

static enum err hub_admit(struct store *s, const struct proposal *p)
{
    if (atomic_load(&s->closing)) {
        return ERR_CLOSED;
    }
    if (p->command_len > COMMAND_MAX) {
        return ERR_TOO_BIG;
    }
    if (p->command_len == 0) {
        return ERR_INVALID;
    }
    if (s->full || s->parked) {
        return ERR_NO_SPACE;
    }
    if (s->pending.count + s->submitted.count >= PROPOSALS_MAX ||
        s->pending.bytes + s->submitted.bytes + p->command_len > PROPOSAL_BYTES_MAX) {
        return ERR_BUSY;
    }
    return engine_leads(s->engine) ? OK : ERR_NOT_LEADER;
}

/* All that the mailbox holds now comes before this mail to itself: it is one group. */
void hub_post_submit(struct store *s)
{
    if (!s->submit_posted) {
        s->submit_posted = true;
        mailbox_post(loop_mailbox(s->hub), &s->submit);
    }
}

void hub_on_proposal(struct mail *m)
{
    struct proposal *p = LIST_OWNER(m, struct proposal, mail);
    struct store *s = p->store;
    enum err e = hub_admit(s, p);
    if (e == OK) {
        proposal_push(&s->pending, p);
    } else {
        hub_refuse(s, p, e);
    }
    hub_post_submit(s);
}

/* Moves a group's worth of proposals into `s->entries`; they are `submitted` from here on. */
static size_t hub_collect(struct store *s)
{
    size_t count = 0;
    size_t bytes = 0;
    size_t most = s->pending.count < GROUP_ENTRIES_MAX ? s->pending.count : GROUP_ENTRIES_MAX;
    if (most > s->entries_cap) {
        s->entries_cap = most * 2;
        s->entries = mem_realloc(s->entries, s->entries_cap * sizeof *s->entries);
    }
    while (count < most && bytes < GROUP_BYTES_MAX) {
        struct proposal *p = proposal_pop(&s->pending);
        s->entries[count++] = (struct journal_entry){
            .type = JOURNAL_COMMAND,
            .data = {.ptr = p->command, .len = p->command_len},
        };
        bytes += p->command_len;
        p->index = engine_last(s->engine) + count;
        proposal_push(&s->submitted, p);
    }
    s->group.bytes = bytes;
    return count;
}

static void hub_submit(struct store *s)
{
    if (s->pending.count == 0 || s->group.busy) {
        return;
    }
    if (keep_disk_full(s)) {
        hub_refuse_all(s, &s->pending, ERR_NO_SPACE);
        return;
    }
    if (!engine_leads(s->engine)) {
        hub_refuse_all(s, &s->pending, ERR_NOT_LEADER);
        return;
    }
    size_t count = hub_collect(s);
    enum err e = engine_submit(s->engine, s->entries, count, env_now_ms(loop_env(s->hub)));
    CHECK(e == OK);
}

static void hub_on_submit(struct mail *m)
{
    struct store *s = LIST_OWNER(m, struct store, submit);
    s->submit_posted = false;
    hub_submit(s);
    hub_answer(s);
}

/* --- applying -------------------------------------------------------------------------------- */

/* An entry that no proposal of ours carries: from before a restart, or not a command. */
static enum err hub_apply_stored(struct store *s, uint64_t index, struct reason *why)
{
    struct rocks_slice slice = {0};
    struct journal_entry entry;
    struct apply_reply reply;
    enum err e = journal_read(s->journal, index, &slice, &entry, why);
    if (e == ERR_NOT_FOUND) {
        reason_set(why, "the log does not hold entry %llu, which the state needs",
                   (unsigned long long)index);
        e = ERR_CORRUPT;
    } else if (e == OK && entry.type == JOURNAL_COMMAND) {
        e = state_apply(s->state, index, entry.data, &s->collect, &reply, why);
        s->dirty_bytes += entry.data.len;
    } else if (e == OK) {
        e = state_skip(s->state, index, why);
        if (e == OK && entry.type == JOURNAL_CONFIGURATION) {
            engine_configuration_applied(s->engine, index, entry.data,
                                         env_now_ms(loop_env(s->hub)));
        }
    }
    rocks_slice_close(&slice);
    return e;
}

static enum err hub_apply_next(struct store *s, struct reason *why)
{
    uint64_t index = s->applied + 1;
    struct proposal *p = proposal_first(&s->submitted);
    struct apply_reply reply = {0};
    if (p == NULL || p->index != index) {
        enum err e = hub_apply_stored(s, index, why);
        s->applied += e == OK ? 1 : 0;
        return e;
    }
    struct bytes command = {.ptr = p->command, .len = p->command_len};
    enum err e = state_apply(s->state, index, command, &s->collect, &reply, why);
    if (e != OK) {
        return e;
    }
    s->applied = index;
    p->status = reply.status;
    p->index = reply.index;
    proposal_push(&s->answered, proposal_pop(&s->submitted));
    return OK;
}

static void hub_park(struct store *s, enum err e, const struct reason *why)
{
    if (e != ERR_NO_SPACE) {
        fatal("cannot apply entry %llu: %s", (unsigned long long)s->applied + 1, why->text);
    }
    if (!s->parked) {
        log_line(LOG_STORE_NO_SPACE, "dir=%s what=state", s->dir.path);
    }
    s->parked = true;
    env_timer_start(loop_env(s->hub), &s->retry, STATE_RETRY_MS);
}

/* What is committed, in rounds: each ends in one view and one batch of changes for all readers. */
static void hub_apply(struct store *s)
{
    struct reason why = {0};
    enum err e = OK;
    while (e == OK && s->applied < s->commit) {
        uint64_t after = s->applied;
        size_t bytes = s->submitted.bytes;
        while (e == OK && s->applied < s->commit && s->collect.bytes < HUB_ROUND_BYTES) {
            e = hub_apply_next(s, &why);
        }
        if (s->applied > after) {
            metric_add(METRIC_RAFT_APPLY, (int64_t)(s->applied - after));
            metric_add(METRIC_KV_WRITES, (int64_t)s->collect.count);
            publish(s, after);
            keep_on_applied(s, bytes - s->submitted.bytes);
        }
        hub_answer(s);
    }
    if (e != OK) {
        hub_park(s, e, &why);
    } else if (s->parked) {
        s->parked = false;
        log_line(LOG_STORE_SPACE_BACK, "dir=%s what=state", s->dir.path);
    }
    hub_refresh_facts(s);
}

static void hub_on_retry(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, retry);
    hub_apply(s);
}

enum err hub_replay(struct store *s, struct reason *why)
{
    enum err e = OK;
    while (e == OK && s->applied < s->commit) {
        e = hub_apply_next(s, why);
        collect_truncate(&s->collect, 0);
    }
    return e;
}

void hub_refresh_facts(struct store *s)
{
    atomic_store(&s->facts.term, engine_term(s->engine));
    atomic_store(&s->facts.last, engine_last(s->engine));
    atomic_store(&s->facts.last_term, engine_term_of(s->engine, engine_last(s->engine)));
    atomic_store(&s->facts.commit, s->commit);
    atomic_store(&s->facts.applied, s->applied);
    atomic_store(&s->facts.snapshot_index, engine_snapshot_index(s->engine));
    atomic_store(&s->facts.snapshot_term, engine_snapshot_term(s->engine));
    atomic_store(&s->facts.history_bytes, state_history_bytes(s->state));
    atomic_store(&s->facts.leader, engine_leads(s->engine));
    atomic_store(&s->facts.disk_full, s->full || s->parked);
    metric_set(METRIC_RAFT_TERM, engine_term(s->engine));
    metric_set(METRIC_RAFT_COMMITTED, s->commit);
    metric_set(METRIC_RAFT_APPLIED, s->applied);
}

/* --- what the engine asks for ---------------------------------------------------------------- */

static void hub_op_save_vote(void *ctx, uint64_t term, uint64_t vote)
{
    struct store *s = ctx;
    struct reason why;
    enum err e = journal_save_vote(s->journal, term, vote, &why);
    if (e != OK) {
        fatal("cannot write term and vote: %s", why.text);
    }
}

static void hub_op_cut_tail(void *ctx, uint64_t from)
{
    (void)ctx;
    /* Another leader's entries: there is no other server yet. */
    fatal("raft: entries from %llu on were replaced", (unsigned long long)from);
}

static void
hub_op_append(void *ctx, uint64_t first, const struct journal_entry *entries, size_t count)
{
    struct store *s = ctx;
    struct disk_group *g = &s->group;
    CHECK(!g->busy);
    if (count > g->entries_cap) {
        g->entries_cap = count * 2;
        g->entries = mem_realloc(g->entries, g->entries_cap * sizeof *g->entries);
    }
    for (size_t i = 0; i < count; i++) {
        g->entries[i] = entries[i];
    }
    g->first = first;
    g->count = count;
    disk_append(s);
}

static void hub_op_send(void *ctx, const struct raft_message *m)
{
    (void)ctx;
    (void)m;
    /* A cluster of one has nobody to send to. */
    CHECK(false);
}

static void hub_op_commit(void *ctx, uint64_t through)
{
    struct store *s = ctx;
    CHECK(through >= s->commit);
    s->commit = through;
}

const struct engine_ops HUB_OPS = {
    .save_vote = hub_op_save_vote,
    .cut_tail = hub_op_cut_tail,
    .append = hub_op_append,
    .send = hub_op_send,
    .commit = hub_op_commit,
};

/* A group is durable. The next one goes to the disk first, and is synced while this is applied. */
void hub_on_appended(struct store *s)
{
    struct disk_group *g = &s->group;
    uint64_t last = g->first + g->count - 1;
    g->busy = false;
    if (g->count == 0) {
        hub_refuse_all(s, &s->submitted, ERR_CLOSED);
    } else {
        s->uncut_bytes += g->bytes;
        s->uncompacted_bytes += g->bytes;
        hub_submit(s);
        engine_persisted(s->engine, last, env_now_ms(loop_env(s->hub)));
        hub_apply(s);
    }
    hub_answer(s);
    if (atomic_load(&s->closing)) {
        hub_on_close(&s->close_mail);
    }
}

static void hub_on_engine_timer(struct timer *t)
{
    struct store *s = LIST_OWNER(t, struct store, engine_timer);
    struct env *env = loop_env(s->hub);
    uint64_t now_ms = env_now_ms(env);
    engine_timeout(s->engine, now_ms);
    timer_start(t, engine_deadline(s->engine, now_ms));
}

/* --- life ------------------------------------------------------------------------------------ */

void hub_open(struct store *s)
{
    struct env *env = loop_env(s->hub);
    proposal_queue_init(&s->pending);
    proposal_queue_init(&s->submitted);
    proposal_queue_init(&s->answered);
    s->submit.deliver = hub_on_submit;
    s->close_mail.deliver = hub_on_close;
    env_timer_init(env, &s->retry, hub_on_retry);
    env_timer_init(env, &s->engine_timer, hub_on_engine_timer);
}

void hub_start_timers(struct store *s)
{
    timer_start(&s->engine_timer, engine_deadline(s->engine, env_now_ms(loop_env(s->hub))));
}

void hub_on_close(struct mail *m)
{
    struct store *s = LIST_OWNER(m, struct store, close_mail);
    hub_refuse_all(s, &s->pending, ERR_CLOSED);
    if (s->parked) {
        hub_refuse_all(s, &s->submitted, ERR_CLOSED);
    }
    hub_answer(s);
    if (s->group.busy || s->flush.busy || s->cut.busy) {
        return;
    }
    timer_stop(&s->retry);
    timer_stop(&s->engine_timer);
    keep_stop(s);
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
