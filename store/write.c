#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "store/command.h"

#include <stdlib.h>

/* How often deadlines and refusals are looked at. */
#define WRITE_TICK_MS    100U
/* How long after the leader refused is it asked again. */
#define WRITE_REFUSED_MS 200U

/* --- queues ---------------------------------------------------------------------------------- */

static void write_queue_init(struct write_queue *q)
{
    *q = (struct write_queue){.last = &q->first};
}

static void write_push(struct write_queue *q, struct write *w)
{
    w->next = NULL;
    *q->last = w;
    q->last = &w->next;
    q->count++;
    q->bytes += w->len;
}

static struct write *write_pop(struct write_queue *q)
{
    struct write *w = q->first;
    CHECK(w != NULL);
    q->first = w->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    q->count--;
    q->bytes -= w->len;
    return w;
}

/* All of `from`, in its order, in front of what `q` holds. */
static void write_queue_prepend(struct write_queue *q, struct write_queue *from)
{
    if (from->count == 0) {
        return;
    }
    *from->last = q->first;
    if (q->first == NULL) {
        q->last = from->last;
    }
    q->first = from->first;
    q->count += from->count;
    q->bytes += from->bytes;
    write_queue_init(from);
}

static void write_free(struct write *w)
{
    free(w->command);
    free(w);
}

/* --- answers --------------------------------------------------------------------------------- */

/* What one loop is told at a time: one mail for many proposals. */
struct answers {
    struct mail mail;
    struct loop *loop;
    struct answers *next;
    struct mail *first;
    struct mail **last;
};

static void write_on_answers(struct mail *m)
{
    struct answers *a = LIST_OWNER(m, struct answers, mail);
    struct mail *at = a->first;
    while (at != NULL) {
        struct proposal *p = LIST_OWNER(at, struct proposal, mail);
        at = at->next;
        char *detail = p->command;
        p->command = NULL;
        p->done(p);
        free(detail);
    }
    free(a);
}

static struct answers *write_answers_for(struct answers **list, struct loop *loop)
{
    struct answers *a = *list;
    while (a != NULL && a->loop != loop) {
        a = a->next;
    }
    if (a == NULL) {
        a = mem_alloc(sizeof *a);
        *a = (struct answers){
            .mail.deliver = write_on_answers, .loop = loop, .next = *list, .last = &a->first};
        *list = a;
    }
    return a;
}

void writes_answer(struct store *s)
{
    struct writes *ws = &s->writes;
    struct answers *list = NULL;
    struct mail *at = ws->answered;
    uint64_t now_us = at != NULL ? env_real_now_us() : 0;
    ws->answered = NULL;
    ws->answered_last = &ws->answered;
    ws->answered_count = 0;
    while (at != NULL) {
        struct proposal *p = LIST_OWNER(at, struct proposal, mail);
        at = at->next;
        if (p->status == OK) {
            metric_observe(METRIC_RAFT_COMMIT_TIME, (double)(now_us - p->proposed_us) / 1000);
        }
        struct answers *a = write_answers_for(&list, p->loop);
        p->mail.next = NULL;
        *a->last = &p->mail;
        a->last = &p->mail.next;
    }
    while (list != NULL) {
        struct answers *next = list->next;
        mailbox_post(loop_mailbox(list->loop), &list->mail);
        list = next;
    }
}

/* The proposal carries what is said in its own memory: in the place of the command. */
static void write_set_detail(struct proposal *p, struct bytes detail)
{
    free(p->command);
    p->command = detail.len > 0 ? mem_dup(detail.ptr, detail.len) : NULL;
    p->command_len = 0;
    p->detail = (struct bytes){.ptr = p->command, .len = detail.len};
}

static void write_tell(struct store *s,
                       struct proposal *p,
                       enum err status,
                       uint64_t index,
                       struct bytes detail)
{
    struct writes *ws = &s->writes;
    if (p == NULL) {
        return;
    }
    p->status = status;
    p->index = index;
    if (status != OK && status != ERR_CONFLICT) {
        metric_add(METRIC_STORE_REFUSED, 1);
    }
    write_set_detail(p, detail);
    p->mail.next = NULL;
    *ws->answered_last = &p->mail;
    ws->answered_last = &p->mail.next;
    ws->answered_count++;
}

static void write_end(struct store *s, struct write *w, enum err status, uint64_t index)
{
    write_tell(s, w->proposal, status, index, (struct bytes){0});
    write_free(w);
}

/* It was applied. */
static void write_end_applied(struct store *s, struct write *w, const struct apply_reply *reply)
{
    write_tell(s, w->proposal, reply->status, reply->index, reply->detail);
    write_free(w);
}

static void write_end_all(struct store *s, struct write_queue *q, enum err status)
{
    while (q->count > 0) {
        write_end(s, write_pop(q), status, 0);
    }
}

/* --- proposals ------------------------------------------------------------------------------- */

static size_t writes_count(const struct writes *ws)
{
    return ws->pending.count + ws->submitted.count + ws->forwarded.count;
}

static size_t writes_bytes(const struct writes *ws)
{
    return ws->pending.bytes + ws->submitted.bytes + ws->forwarded.bytes;
}

static enum err write_admit(struct store *s, const struct proposal *p)
{
    const struct writes *ws = &s->writes;
    if (atomic_load(&s->closing)) {
        return ERR_CLOSED;
    }
    if (p->command_len > COMMAND_MAX) {
        return ERR_TOO_BIG;
    }
    if (p->command_len == 0) {
        return ERR_INVALID;
    }
    if (s->removed) {
        return ERR_NOT_LEADER;
    }
    if ((s->full || s->parked) && engine_leads(s->engine)) {
        return ERR_NO_SPACE;
    }
    if (ws->refused && ws->refusal == ERR_NO_SPACE) {
        return ws->refusal;
    }
    if (writes_count(ws) >= PROPOSALS_MAX ||
        writes_bytes(ws) + p->command_len > PROPOSAL_BYTES_MAX) {
        return ERR_BUSY;
    }
    return OK;
}

/* All that the mailbox holds now comes before this mail to itself: it is one group. */
void writes_post_submit(struct store *s)
{
    if (!s->submit_posted) {
        s->submit_posted = true;
        mailbox_post(loop_mailbox(s->hub), &s->submit);
    }
}

void write_on_proposal(struct mail *m)
{
    struct proposal *p = LIST_OWNER(m, struct proposal, mail);
    struct store *s = p->store;
    enum err e = write_admit(s, p);
    if (e == OK) {
        struct write *w = mem_alloc(sizeof *w);
        *w = (struct write){
            .proposal = p,
            .command = p->command,
            .len = p->command_len,
            .deadline_ms = hub_now_ms(s) + s->hold_ms,
        };
        p->command = NULL;
        write_push(&s->writes.pending, w);
    } else {
        write_tell(s, p, e, 0, (struct bytes){0});
    }
    writes_post_submit(s);
}

/* --- into our own log ------------------------------------------------------------------------ */

/* A group's worth of what waits. */
static size_t writes_collect(struct writes *ws)
{
    size_t count = 0;
    size_t bytes = 0;
    size_t most = ws->pending.count < GROUP_ENTRIES_MAX ? ws->pending.count : GROUP_ENTRIES_MAX;
    if (most > ws->entries_cap) {
        ws->entries_cap = most * 2;
        ws->entries = mem_realloc(ws->entries, ws->entries_cap * sizeof *ws->entries);
    }
    const struct write *w = ws->pending.first;
    while (count < most && bytes < GROUP_BYTES_MAX) {
        ws->entries[count++] = (struct journal_entry){
            .type = JOURNAL_COMMAND,
            .data = {.ptr = w->command, .len = w->len},
        };
        bytes += w->len;
        w = w->next;
    }
    return count;
}

static void writes_append(struct store *s)
{
    struct writes *ws = &s->writes;
    if (ws->pending.count == 0 || s->group.busy) {
        return;
    }
    if (keep_disk_full(s)) {
        write_end_all(s, &ws->pending, ERR_NO_SPACE);
        return;
    }
    size_t count = writes_collect(ws);
    uint64_t first = engine_last(s->engine) + 1;
    uint64_t term = engine_term(s->engine);
    ws->submitting = true;
    enum err e = engine_submit(s->engine, ws->entries, count, hub_now_ms(s));
    ws->submitting = false;
    if (e != OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct write *w = write_pop(&ws->pending);
        /* The tail has it now. */
        w->command = NULL;
        w->index = first + i;
        w->term = term;
        if (w->proposal != NULL) {
            write_push(&ws->submitted, w);
        } else {
            write_free(w);
        }
    }
}

/* --- to the leader --------------------------------------------------------------------------- */

static void write_stamp(struct store *s, struct write *w)
{
    w->number = ++s->writes.numbers;
    command_stamp(w->command, w->len, s->proposer, w->number);
}

/* Sends those from `w` on, as many messages as it takes. */
static void writes_send(struct store *s, const struct write *w)
{
    struct writes *ws = &s->writes;
    while (w != NULL) {
        struct rpc_message m = {.type = RPC_FORWARD};
        size_t count = 0;
        size_t bytes = 0;
        while (w != NULL && count < RPC_ENTRIES_MAX && bytes < RPC_APPEND_BYTES) {
            if (count == ws->entries_cap) {
                ws->entries_cap = ws->entries_cap == 0 ? 64 : ws->entries_cap * 2;
                ws->entries = mem_realloc(ws->entries, ws->entries_cap * sizeof *ws->entries);
            }
            ws->entries[count++] = (struct journal_entry){
                .type = JOURNAL_COMMAND,
                .data = {.ptr = w->command, .len = w->len},
            };
            bytes += w->len;
            w = w->next;
        }
        m.forward.commands = ws->entries;
        m.forward.count = (uint32_t)count;
        metric_add(METRIC_STORE_FORWARDED, (int64_t)count);
        peers_send(s, s->leader, TRANSPORT_CONTROL, &m);
    }
}

static void writes_forward(struct store *s)
{
    struct writes *ws = &s->writes;
    if (ws->resend) {
        ws->resend = false;
        writes_send(s, ws->forwarded.first);
    }
    if (ws->pending.count == 0 || ws->refused) {
        return;
    }
    const struct write *first = ws->pending.first;
    while (ws->pending.count > 0) {
        struct write *w = write_pop(&ws->pending);
        write_stamp(s, w);
        write_push(&ws->forwarded, w);
    }
    writes_send(s, first);
}

/* We lead now: what we had sent to another goes into our own log, with the numbers it has. */
static void writes_take_back(struct store *s)
{
    struct writes *ws = &s->writes;
    struct write_queue again;
    write_queue_init(&again);
    for (const struct write *w = ws->forwarded.first; w != NULL; w = w->next) {
        struct write *copy = mem_alloc(sizeof *copy);
        *copy = (struct write){.command = mem_dup(w->command, w->len), .len = w->len};
        write_push(&again, copy);
    }
    write_queue_prepend(&ws->pending, &again);
    ws->resend = false;
}

void writes_submit(struct store *s)
{
    if (engine_takes_entries(s->engine)) {
        if (s->writes.resend) {
            writes_take_back(s);
        }
        writes_append(s);
    } else if (s->leader != 0 && s->leader != s->id) {
        writes_forward(s);
    }
}

void writes_on_forward(struct store *s, uint64_t from, const struct rpc_forward *m)
{
    struct writes *ws = &s->writes;
    struct rpc_message reply = {.type = RPC_FORWARD_REPLY};
    enum err e = engine_takes_entries(s->engine) ? OK : ERR_NOT_LEADER;
    if (e == OK && (s->full || s->parked)) {
        e = ERR_NO_SPACE;
    } else if (e == OK && writes_count(ws) + m->count > PROPOSALS_MAX) {
        e = ERR_BUSY;
    }
    if (e != OK) {
        reply.forward_reply.status = (uint32_t)e;
        peers_send(s, from, TRANSPORT_CONTROL, &reply);
        return;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        const struct bytes data = m->commands[i].data;
        if (data.len == 0 || data.len > COMMAND_MAX) {
            continue;
        }
        struct write *w = mem_alloc(sizeof *w);
        *w = (struct write){.command = mem_dup(data.ptr, data.len), .len = data.len};
        write_push(&ws->pending, w);
    }
    writes_post_submit(s);
}

void writes_on_forward_reply(struct store *s, uint64_t from, const struct rpc_forward_reply *m)
{
    struct writes *ws = &s->writes;
    if (from != s->leader || ws->forwarded.count == 0) {
        return;
    }
    ws->refused = true;
    ws->refusal = (enum err)m->status;
    ws->refused_ms = hub_now_ms(s);
}

/* --- what became of them --------------------------------------------------------------------- */

void writes_on_leader(struct store *s)
{
    struct writes *ws = &s->writes;
    ws->refused = false;
    ws->refusal = OK;
    ws->resend = ws->forwarded.count > 0;
    writes_post_submit(s);
}

void writes_on_deposed(struct store *s)
{
    struct writes *ws = &s->writes;
    struct write_queue kept;
    /* Another's commands wait at their own server. */
    write_queue_init(&kept);
    while (ws->pending.count > 0) {
        struct write *w = write_pop(&ws->pending);
        if (w->proposal != NULL) {
            write_push(&kept, w);
        } else {
            write_free(w);
        }
    }
    ws->pending = kept;
    if (kept.first == NULL) {
        write_queue_init(&ws->pending);
    }
}

/* The writer is told; the write itself stays where it is. */
static void writes_give_up(struct store *s, struct write_queue *q, uint64_t now_ms)
{
    for (struct write *w = q->first; w != NULL; w = w->next) {
        if (w->proposal != NULL && w->deadline_ms <= now_ms) {
            write_tell(s, w->proposal, ERR_TIMEOUT, 0, (struct bytes){0});
            w->proposal = NULL;
        }
    }
}

void writes_on_removed(struct store *s)
{
    struct writes *ws = &s->writes;
    write_end_all(s, &ws->pending, ERR_NOT_LEADER);
    writes_give_up(s, &ws->submitted, UINT64_MAX);
    writes_give_up(s, &ws->forwarded, UINT64_MAX);
}

/* What is in our log may still be committed, or be replaced: then it goes again. */
void writes_on_cut(struct store *s, uint64_t from)
{
    for (struct write *w = s->writes.submitted.first; w != NULL; w = w->next) {
        const struct journal_entry *entry = tail_get(&s->tail, w->index);
        if (w->index >= from && entry != NULL && entry->term == w->term && w->command == NULL) {
            w->command = mem_dup(entry->data.ptr, entry->data.len);
        }
    }
}

/* Those of ours that were to stand at `index` and before. */
static void writes_on_applied_submitted(struct store *s,
                                        uint64_t index,
                                        uint64_t term,
                                        const struct apply_reply *reply)
{
    struct writes *ws = &s->writes;
    struct write_queue again;
    write_queue_init(&again);
    while (ws->submitted.first != NULL && ws->submitted.first->index <= index) {
        struct write *w = write_pop(&ws->submitted);
        if (w->index == index && w->term == term) {
            write_end_applied(s, w, reply);
        } else if (w->command != NULL) {
            /* Another leader's entry is committed in its place: it never happened. */
            write_push(&again, w);
        } else {
            write_end(s, w, ERR_TIMEOUT, 0);
        }
    }
    if (again.count > 0) {
        write_queue_prepend(&ws->pending, &again);
        writes_post_submit(s);
    }
}

/* The state has forgotten us: what it does not know by the old name begins anew under another. */
static void writes_rename(struct store *s)
{
    struct writes *ws = &s->writes;
    env_random(loop_env(s->hub), &s->proposer, sizeof s->proposer);
    s->proposer |= 1;
    ws->numbers = 0;
    for (struct write *w = ws->forwarded.first; w != NULL; w = w->next) {
        write_stamp(s, w);
    }
}

/* A command of ours that came by way of a leader. */
static void writes_on_applied_forwarded(struct store *s, const struct apply_reply *reply)
{
    struct writes *ws = &s->writes;
    if (reply->status == ERR_IN_USE) {
        return;
    }
    if (reply->status == ERR_AHEAD) {
        /* Something before it was lost on the way. */
        if (ws->forwarded.count > 0 && state_proposed(s->state, s->proposer) == 0 &&
            ws->forwarded.first->number > 1) {
            writes_rename(s);
        }
        ws->resend = ws->forwarded.count > 0;
        writes_post_submit(s);
        return;
    }
    while (ws->forwarded.first != NULL && ws->forwarded.first->number <= reply->number) {
        struct write *w = write_pop(&ws->forwarded);
        if (w->number == reply->number) {
            write_end_applied(s, w, reply);
        } else {
            write_end(s, w, ERR_TIMEOUT, reply->index);
        }
    }
}

void writes_on_applied(struct store *s,
                       uint64_t index,
                       uint64_t term,
                       const struct apply_reply *reply)
{
    if (s->writes.submitted.first != NULL && s->writes.submitted.first->index <= index) {
        writes_on_applied_submitted(s, index, term, reply);
    }
    if (reply->proposer == s->proposer) {
        writes_on_applied_forwarded(s, reply);
    }
}

void writes_on_installed(struct store *s, uint64_t index)
{
    struct writes *ws = &s->writes;
    while (ws->submitted.first != NULL && ws->submitted.first->index <= index) {
        write_end(s, write_pop(&ws->submitted), ERR_TIMEOUT, 0);
    }
    uint64_t number = state_proposed(s->state, s->proposer);
    while (ws->forwarded.first != NULL && ws->forwarded.first->number <= number) {
        write_end(s, write_pop(&ws->forwarded), ERR_TIMEOUT, 0);
    }
}

/* --- time ------------------------------------------------------------------------------------ */

/* Those that never went out are refused; of those that did nobody knows. */
static void writes_expire(struct store *s, uint64_t now_ms)
{
    struct writes *ws = &s->writes;
    struct write_queue still;
    write_queue_init(&still);
    while (ws->pending.first != NULL) {
        struct write *w = write_pop(&ws->pending);
        if (w->proposal != NULL && w->deadline_ms <= now_ms) {
            write_end(s, w, ws->refused && ws->refusal != OK ? ws->refusal : ERR_NOT_LEADER, 0);
        } else {
            write_push(&still, w);
        }
    }
    write_queue_prepend(&ws->pending, &still);
    writes_give_up(s, &ws->submitted, now_ms);
    writes_give_up(s, &ws->forwarded, now_ms);
}

static void writes_on_tick(struct timer *t)
{
    struct writes *ws = LIST_OWNER(t, struct writes, tick);
    struct store *s = LIST_OWNER(ws, struct store, writes);
    uint64_t now_ms = hub_now_ms(s);
    /* A single server answers when its disk does. */
    if (!atomic_load(&s->alone)) {
        writes_expire(s, now_ms);
    }
    if (ws->refused && now_ms - ws->refused_ms >= WRITE_REFUSED_MS) {
        ws->refused = false;
        ws->resend = ws->forwarded.count > 0;
        ws->refusal = ws->resend ? ws->refusal : OK;
        writes_submit(s);
    }
    writes_answer(s);
    timer_start(t, now_ms + WRITE_TICK_MS);
}

static void writes_on_submit(struct mail *m)
{
    struct store *s = LIST_OWNER(m, struct store, submit);
    s->submit_posted = false;
    writes_submit(s);
    hub_turn(s);
}

void writes_open(struct store *s)
{
    struct writes *ws = &s->writes;
    write_queue_init(&ws->pending);
    write_queue_init(&ws->submitted);
    write_queue_init(&ws->forwarded);
    ws->answered_last = &ws->answered;
    s->submit.deliver = writes_on_submit;
    env_timer_init(loop_env(s->hub), &ws->tick, writes_on_tick);
}

void writes_start(struct store *s)
{
    env_timer_start(loop_env(s->hub), &s->writes.tick, WRITE_TICK_MS);
}

void writes_close(struct store *s)
{
    write_end_all(s, &s->writes.pending, ERR_CLOSED);
    write_end_all(s, &s->writes.submitted, ERR_CLOSED);
    write_end_all(s, &s->writes.forwarded, ERR_CLOSED);
    writes_answer(s);
}

void writes_free(struct store *s)
{
    CHECK(writes_count(&s->writes) == 0);
    free(s->writes.entries);
}

bool writes_idle(const struct store *s)
{
    return writes_count(&s->writes) == 0;
}

size_t writes_pending_bytes(const struct store *s)
{
    return s->writes.pending.bytes;
}
