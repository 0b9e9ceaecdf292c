#include "store/repair.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "store/seeded.h"
#include "store/store_priv.h"

#include <string.h>

/* An order or a question without an answer is sent again. */
#define REPAIR_RESEND_MS 500U

/* --- beginning ------------------------------------------------------------------------------- */

enum err repair_begin(struct store *s, const struct reason *damage, struct reason *why)
{
    s->repair.kept = (struct datadir_repair){.phase = REPAIR_ASIDE};
    log_line(LOG_STORE_REPAIR, "dir=%s phase=aside why=\"%s\"", s->dir.path, damage->text);
    enum err e = datadir_set_repair(&s->dir, &s->repair.kept, why);
    e = e == OK ? datadir_set_aside(&s->dir, why) : e;
    s->repair.kept.phase = REPAIR_APART;
    return e == OK ? datadir_set_repair(&s->dir, &s->repair.kept, why) : e;
}

void repair_doom(struct store *s, const struct reason *damage)
{
    struct reason why;
    struct datadir_repair kept = {.phase = REPAIR_ASIDE};
    if (s->repairs && datadir_set_repair(&s->dir, &kept, &why) == OK) {
        fatal("%s; start again: what is damaged is fetched from the other servers", damage->text);
    }
    fatal("%s", damage->text);
}

struct repair_save {
    struct store *store;
    struct datadir_repair kept;
    enum err result;
    struct reason why;
};

static void repair_on_disk(void *arg)
{
    struct repair_save *save = arg;
    save->result = datadir_set_repair(&save->store->dir, &save->kept, &save->why);
}

/* The next phase, durable before anybody acts on it. */
static void repair_enter(struct store *s, const struct datadir_repair *next)
{
    struct repair_save save = {.store = s, .kept = *next};
    if (!disk_insist(s, repair_on_disk, &save, &save.result)) {
        return;
    }
    if (save.result != OK) {
        fatal("cannot write how far the repair is: %s", save.why.text);
    }
    s->repair.kept = *next;
    s->repair.sent_ms = 0;
    s->repair.number = 0;
    log_line(LOG_STORE_REPAIR, "dir=%s phase=%s index=%llu term=%llu", s->dir.path,
             next->phase == REPAIR_BACK ? "back" : "whole", (unsigned long long)next->floor_index,
             (unsigned long long)next->floor_term);
}

/* --- what is heard and said ------------------------------------------------------------------ */

static bool repair_is_vote(enum rpc_type type)
{
    return type == RPC_VOTE || type == RPC_VOTE_REPLY || type == RPC_TIMEOUT_NOW;
}

/* The term of what only a leader says; 0 for anything else. */
static uint64_t repair_leader_term(const struct rpc_message *m)
{
    switch ((unsigned)m->type) {
    case RPC_APPEND:
        return m->append.term;
    case RPC_COMMIT:
        return m->commit.term;
    case RPC_INSTALL:
        return m->install.term;
    case RPC_ROUND:
        return m->round.term;
    default:
        return 0;
    }
}

bool repair_hears(struct store *s, uint64_t from, const struct rpc_message *m)
{
    struct repair *r = &s->repair;
    uint64_t term = repair_leader_term(m);
    if (r->kept.phase == REPAIR_NONE) {
        return true;
    }
    if (repair_is_vote(m->type) || m->type == RPC_BOOTSTRAP || m->type == RPC_BOOTSTRAP_REPLY) {
        return SEEDED_BUG(SEEDED_REPAIR_AT_ONCE);
    }
    if (r->kept.phase == REPAIR_BACK) {
        return term == 0 || term >= r->kept.floor_term || SEEDED_BUG(SEEDED_REPAIR_AT_ONCE);
    }
    if (term >= r->leader_term && term > 0) {
        r->demoted = r->demoted && r->leader == from;
        r->leader = from;
        r->leader_term = term;
    }
    return term == 0 || SEEDED_BUG(SEEDED_REPAIR_AT_ONCE);
}

bool repair_says(const struct store *s, const struct rpc_message *m)
{
    return s->repair.kept.phase == REPAIR_NONE || !repair_is_vote(m->type) ||
           SEEDED_BUG(SEEDED_REPAIR_AT_ONCE);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void repair_order(struct store *s, uint64_t to, enum store_change change)
{
    struct rpc_message m = {.type = RPC_CHANGE};
    m.change.id = s->repair.number;
    m.change.kind = (uint32_t)change;
    m.change.server = s->id;
    m.change.node_id = bytes_of(s->node_id);
    m.change.address = bytes_of(s->address);
    peers_send(s, to, TRANSPORT_CONTROL, &m);
}

static void repair_question(struct store *s, uint64_t to)
{
    struct rpc_message m = {.type = RPC_READ};
    m.read.id = s->repair.number;
    m.read.consistent = true;
    peers_send(s, to, TRANSPORT_CONTROL, &m);
}

/* A number that nothing else of this server has: orders and questions count from elsewhere. */
static void repair_draw(struct store *s)
{
    struct repair *r = &s->repair;
    do {
        env_random(loop_env(s->hub), &r->number, sizeof r->number);
    } while (r->number == 0);
    r->sent_ms = hub_now_ms(s);
}

bool repair_on_change_reply(struct store *s, uint64_t from, const struct rpc_change_reply *m)
{
    struct repair *r = &s->repair;
    if (r->kept.phase == REPAIR_NONE || r->number == 0 || m->id != r->number) {
        return false;
    }
    if (r->kept.phase == REPAIR_APART && from == r->leader && m->status == (uint32_t)OK) {
        r->demoted = true;
        r->sent_ms = 0;
    }
    r->number = 0;
    return true;
}

bool repair_on_read_reply(struct store *s, uint64_t from, const struct rpc_read_reply *m)
{
    struct repair *r = &s->repair;
    if (r->kept.phase != REPAIR_APART || r->number == 0 || m->id != r->number) {
        return false;
    }
    r->number = 0;
    if (r->demoted && from == r->leader && m->status == (uint32_t)OK && m->index > 0 &&
        m->term > 0) {
        repair_enter(s, &(struct datadir_repair){
                            .phase = REPAIR_BACK, .floor_index = m->index, .floor_term = m->term});
    }
    return true;
}

/* --- time ------------------------------------------------------------------------------------ */

static bool repair_votes(struct store *s)
{
    struct store_servers servers = *engine_servers_committed(s->engine);
    const struct store_server *self = members_find(&servers, s->id);
    return self != NULL && self->role == STORE_VOTER;
}

void repair_tick(struct store *s)
{
    struct repair *r = &s->repair;
    bool waits = r->sent_ms != 0 && hub_now_ms(s) - r->sent_ms < REPAIR_RESEND_MS;
    if (r->kept.phase == REPAIR_APART && r->leader != 0 && !waits) {
        repair_draw(s);
        if (r->demoted) {
            repair_question(s, r->leader);
        } else {
            repair_order(s, r->leader, STORE_DEMOTE);
        }
    } else if (r->kept.phase == REPAIR_BACK && s->applied >= r->kept.floor_index) {
        if (repair_votes(s)) {
            repair_enter(s, &(struct datadir_repair){.phase = REPAIR_NONE});
        } else if (s->leader != 0 && s->leader != s->id && !waits) {
            repair_draw(s);
            repair_order(s, s->leader, STORE_PROMOTE);
        }
    }
}
