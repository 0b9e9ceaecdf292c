#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "store/seeded.h"

#include <stdlib.h>

/* How often deadlines are looked at and lost messages sent again. */
#define READ_TICK_MS 50U

/* --- queues ---------------------------------------------------------------------------------- */

static void read_queue_init(struct read_queue *q)
{
    *q = (struct read_queue){.last = &q->first};
}

static void read_push(struct read_queue *q, struct read_ask *a)
{
    a->next = NULL;
    *q->last = a;
    q->last = &a->next;
}

static struct read_ask *read_pop(struct read_queue *q)
{
    struct read_ask *a = q->first;
    q->first = a->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    return a;
}

static void read_move_all(struct read_queue *to, struct read_queue *from)
{
    while (from->first != NULL) {
        read_push(to, read_pop(from));
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static void read_on_answer(struct mail *m)
{
    struct store_read *r = LIST_OWNER(m, struct store_read, mail);
    r->done(r);
}

/* The end of a question; frees it. */
static void read_end(struct store *s, struct read_ask *a, enum err status)
{
    if (a->read != NULL) {
        a->read->status = status;
        a->read->mail.deliver = read_on_answer;
        mailbox_post(loop_mailbox(a->read->loop), &a->read->mail);
    } else {
        struct rpc_message reply = {.type = RPC_READ_REPLY};
        reply.read_reply.id = a->id;
        reply.read_reply.status = (uint32_t)status;
        reply.read_reply.index = a->need;
        reply.read_reply.term = engine_term(s->engine);
        peers_send(s, a->peer, TRANSPORT_CONTROL, &reply);
    }
    free(a);
}

static void read_end_all(struct store *s, struct read_queue *q, enum err status)
{
    while (q->first != NULL) {
        read_end(s, read_pop(q), status);
    }
}

/* Its index is known. */
static void read_settle(struct store *s, struct read_ask *a, uint64_t index)
{
    if (a->need < index) {
        a->need = index;
    }
    /* A peer applies for itself. */
    if (a->read == NULL || s->applied >= a->need) {
        read_end(s, a, OK);
    } else {
        read_push(&s->reads.waiting, a);
    }
}

void reads_on_applied(struct store *s)
{
    struct read_queue still;
    read_queue_init(&still);
    while (s->reads.waiting.first != NULL) {
        struct read_ask *a = read_pop(&s->reads.waiting);
        if (s->applied >= a->need) {
            read_end(s, a, OK);
        } else {
            read_push(&still, a);
        }
    }
    read_queue_init(&s->reads.waiting);
    read_move_all(&s->reads.waiting, &still);
}

/* --- as the leader --------------------------------------------------------------------------- */

/* Until when nobody else can have been elected, if clocks run alike: followers that confirmed a
 * round do not vote before an election timeout has passed since. */
static bool reads_leased(struct store *s)
{
    return atomic_load(&s->alone) || hub_now_ms(s) < atomic_load(&s->lease_ms);
}

static void reads_send_round(struct store *s)
{
    const struct store_servers *servers = engine_servers(s->engine);
    struct rpc_message m = {.type = RPC_ROUND};
    m.round.term = engine_term(s->engine);
    m.round.round = s->reads.round;
    s->reads.round_sent_ms = hub_now_ms(s);
    for (size_t i = 0; i < servers->count; i++) {
        if (servers->servers[i].role == STORE_VOTER && servers->servers[i].id != s->id) {
            peers_send(s, servers->servers[i].id, TRANSPORT_CONTROL, &m);
        }
    }
}

static bool reads_round_won(struct store *s)
{
    struct store_servers servers = *engine_servers(s->engine);
    const struct store_server *self = members_find(&servers, s->id);
    unsigned yes = self != NULL && self->role == STORE_VOTER;
    for (unsigned i = 0; i < s->reads.round_voters; i++) {
        const struct store_server *voter = members_find(&servers, s->reads.round_confirmed[i]);
        yes += voter != NULL && voter->role == STORE_VOTER;
    }
    return yes > members_voters(&servers) / 2;
}

static void reads_begin_round(struct store *s);

static void reads_end_round(struct store *s)
{
    struct reads *r = &s->reads;
    r->round_open = false;
    atomic_store(&s->lease_ms, r->round_began_ms + s->election_ms - s->election_ms / 10);
    while (r->asked.first != NULL) {
        read_settle(s, read_pop(&r->asked), r->round_index);
    }
    if (r->fresh.first != NULL) {
        reads_begin_round(s);
    }
}

static void reads_begin_round(struct store *s)
{
    struct reads *r = &s->reads;
    if (SEEDED_BUG(SEEDED_ROUND_REUSED) && r->round_open) {
        read_move_all(&r->asked, &r->fresh);
    }
    if (r->round_open || !engine_settled(s->engine)) {
        return;
    }
    /* A number of its own, always: an answer to an older round must not confirm this one. */
    r->round++;
    r->round_open = true;
    r->round_voters = 0;
    r->round_index = s->commit;
    r->round_began_ms = hub_now_ms(s);
    read_move_all(&r->asked, &r->fresh);
    metric_add(METRIC_RAFT_ROUNDS, 1);
    reads_send_round(s);
    if (reads_round_won(s)) {
        reads_end_round(s);
    }
}

static void reads_on_round_reply(struct store *s, uint64_t from, const struct rpc_round *m)
{
    struct reads *r = &s->reads;
    if (!r->round_open || !engine_leads(s->engine) || m->term != engine_term(s->engine) ||
        m->round != r->round) {
        return;
    }
    for (unsigned i = 0; i < r->round_voters; i++) {
        if (r->round_confirmed[i] == from) {
            return;
        }
    }
    if (r->round_voters < STORE_SERVERS_MAX) {
        r->round_confirmed[r->round_voters++] = from;
    }
    if (reads_round_won(s)) {
        reads_end_round(s);
    }
}

/* --- as a follower --------------------------------------------------------------------------- */

static void reads_send_question(struct store *s)
{
    struct reads *r = &s->reads;
    struct rpc_message m = {.type = RPC_READ};
    m.read.id = r->question;
    for (const struct read_ask *a = r->asked.first; a != NULL; a = a->next) {
        m.read.consistent = m.read.consistent || a->confirm;
    }
    r->question_sent_ms = hub_now_ms(s);
    peers_send(s, s->leader, TRANSPORT_CONTROL, &m);
}

/* All that came so far share one question; what comes later waits for the next. */
static void reads_ask_leader(struct store *s)
{
    struct reads *r = &s->reads;
    /* A leader that cannot say yet is not asked again at the speed of the network. */
    bool refused = r->refused_ms != 0 && hub_now_ms(s) - r->refused_ms < READ_TICK_MS;
    if (r->question_open || r->fresh.first == NULL || refused) {
        return;
    }
    r->question_open = true;
    r->refused_ms = 0;
    r->question = ++r->questions;
    read_move_all(&r->asked, &r->fresh);
    reads_send_question(s);
}

static void reads_on_reply(struct store *s, uint64_t from, const struct rpc_read_reply *m)
{
    struct reads *r = &s->reads;
    if (repair_on_read_reply(s, from, m)) {
        return;
    }
    if (!r->question_open || m->id != r->question || from != s->leader) {
        return;
    }
    r->question_open = false;
    if (m->status == (uint32_t)OK) {
        while (r->asked.first != NULL) {
            read_settle(s, read_pop(&r->asked), m->index);
        }
    } else {
        /* It does not lead, or not yet for long enough: again, in front of those that came since.
         */
        struct read_queue later;
        read_queue_init(&later);
        read_move_all(&later, &r->fresh);
        read_move_all(&r->fresh, &r->asked);
        read_move_all(&r->fresh, &later);
        r->refused_ms = hub_now_ms(s);
        return;
    }
    reads_ask_leader(s);
}

/* --- questions ------------------------------------------------------------------------------- */

static void reads_move(struct store *s)
{
    if (engine_leads(s->engine)) {
        struct reads *r = &s->reads;
        struct read_queue confirm;
        read_queue_init(&confirm);
        while (r->fresh.first != NULL && engine_settled(s->engine)) {
            struct read_ask *a = read_pop(&r->fresh);
            if (atomic_load(&s->alone) || (!a->confirm && reads_leased(s))) {
                read_settle(s, a, s->commit);
            } else {
                read_push(&confirm, a);
            }
        }
        read_move_all(&confirm, &r->fresh);
        read_move_all(&r->fresh, &confirm);
        if (r->fresh.first != NULL) {
            reads_begin_round(s);
        }
    } else if (s->removed) {
        read_end_all(s, &s->reads.fresh, ERR_NOT_LEADER);
    } else if (s->leader != 0) {
        reads_ask_leader(s);
    }
}

static void reads_on_read(struct store *s, uint64_t from, const struct rpc_read *m)
{
    struct read_ask *a = mem_alloc(sizeof *a);
    *a = (struct read_ask){.peer = from, .id = m->id, .confirm = m->consistent};
    if (!engine_settled(s->engine)) {
        read_end(s, a, ERR_NOT_LEADER);
        return;
    }
    read_push(&s->reads.fresh, a);
    reads_move(s);
}

static void read_on_ask(struct mail *m)
{
    struct store_read *r = LIST_OWNER(m, struct store_read, mail);
    struct store *s = r->store;
    struct read_ask *a = mem_alloc(sizeof *a);
    *a = (struct read_ask){.read = r, .need = r->index, .confirm = r->mode == READ_CONSISTENT};
    r->deadline_ms = hub_now_ms(s) + s->hold_ms;
    if (atomic_load(&s->closing)) {
        read_end(s, a, ERR_CLOSED);
    } else if (r->mode == READ_STALE) {
        read_settle(s, a, 0);
    } else {
        read_push(&s->reads.fresh, a);
        reads_move(s);
    }
}

void store_read(struct store *s, struct loop *from, struct store_read *r)
{
    r->store = s;
    r->loop = from;
    r->status = OK;
    r->mail = (struct mail){.deliver = read_on_ask};
    mailbox_post(loop_mailbox(s->hub), &r->mail);
}

/* What is committed here others may have applied, and told their clients of, before this server
 * has: its disk is slower than theirs, or its hub was not yet there. */
static bool read_has_all(struct store *s)
{
    uint64_t commit = atomic_load(&s->facts.commit);
    return atomic_load(&s->facts.applied) >= commit;
}

bool store_read_now(struct store *s, enum read_mode mode)
{
    switch (mode) {
    case READ_STALE:
        return true;
    case READ_DEFAULT:
        return atomic_load(&s->alone) ||
               (env_real_now_ms() < atomic_load(&s->lease_ms) && read_has_all(s));
    case READ_CONSISTENT:
        if (SEEDED_BUG(SEEDED_LOCAL_READ)) {
            return atomic_load(&s->facts.leader);
        }
        break;
    }
    return atomic_load(&s->alone);
}

/* --- events ---------------------------------------------------------------------------------- */

void reads_on_leader(struct store *s)
{
    struct reads *r = &s->reads;
    struct read_queue again;
    read_queue_init(&again);
    atomic_store(&s->lease_ms, 0);
    r->round_open = false;
    r->question_open = false;
    r->refused_ms = 0;
    read_move_all(&again, &r->asked);
    read_move_all(&again, &r->fresh);
    while (again.first != NULL) {
        struct read_ask *a = read_pop(&again);
        if (a->read == NULL) {
            read_end(s, a, ERR_NOT_LEADER);
        } else {
            read_push(&r->fresh, a);
        }
    }
    reads_move(s);
}

void reads_on_commit(struct store *s)
{
    if (s->reads.fresh.first != NULL) {
        reads_move(s);
    }
}

void reads_on_message(struct store *s, uint64_t from, const struct rpc_message *m)
{
    struct rpc_message reply = {.type = RPC_ROUND_REPLY, .round = m->round};
    switch ((unsigned)m->type) {
    case RPC_ROUND:
        /* Whoever is still in this term has voted in no later one. */
        if (m->round.term == engine_term(s->engine)) {
            peers_send(s, from, TRANSPORT_CONTROL, &reply);
        }
        break;
    case RPC_ROUND_REPLY:
        reads_on_round_reply(s, from, &m->round);
        break;
    case RPC_READ:
        reads_on_read(s, from, &m->read);
        break;
    default:
        reads_on_reply(s, from, &m->read_reply);
        break;
    }
}

static void reads_expire(struct store *s, struct read_queue *q, uint64_t now_ms)
{
    struct read_queue still;
    read_queue_init(&still);
    while (q->first != NULL) {
        struct read_ask *a = read_pop(q);
        if (a->read != NULL && now_ms >= a->read->deadline_ms) {
            read_end(s, a, s->leader == 0 ? ERR_NOT_LEADER : ERR_TIMEOUT);
        } else {
            read_push(&still, a);
        }
    }
    read_queue_init(q);
    read_move_all(q, &still);
}

static void reads_on_tick(struct timer *t)
{
    struct reads *r = LIST_OWNER(t, struct reads, tick);
    struct store *s = LIST_OWNER(r, struct store, reads);
    uint64_t now_ms = hub_now_ms(s);
    uint64_t lost_ms = s->election_ms / RAFT_HEARTBEAT_PART;
    reads_expire(s, &r->fresh, now_ms);
    reads_expire(s, &r->asked, now_ms);
    reads_expire(s, &r->waiting, now_ms);
    if (r->round_open && now_ms - r->round_sent_ms >= lost_ms) {
        reads_send_round(s);
    } else if (r->question_open && now_ms - r->question_sent_ms >= lost_ms) {
        reads_send_question(s);
    } else {
        reads_move(s);
    }
    /* The lease is renewed while we lead, so that default reads need not wait. */
    if (engine_leads(s->engine) && !atomic_load(&s->alone) && engine_takes_entries(s->engine) &&
        !r->round_open && now_ms - r->round_began_ms >= lost_ms) {
        reads_begin_round(s);
    }
    timer_start(t, now_ms + READ_TICK_MS);
}

void reads_open(struct store *s)
{
    struct reads *r = &s->reads;
    read_queue_init(&r->fresh);
    read_queue_init(&r->asked);
    read_queue_init(&r->waiting);
    env_timer_init(loop_env(s->hub), &r->tick, reads_on_tick);
}

void reads_start(struct store *s)
{
    env_timer_start(loop_env(s->hub), &s->reads.tick, READ_TICK_MS);
}

void reads_close(struct store *s, enum err status)
{
    read_end_all(s, &s->reads.fresh, status);
    read_end_all(s, &s->reads.asked, status);
    read_end_all(s, &s->reads.waiting, status);
}
