#include "core/gossip/swim_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the table ------------------------------------------------------------------------------- */

struct bytes swim_name(const struct swim_member *m)
{
    return bytes_of(m->shown.name);
}

bool swim_there(const struct swim_member *m)
{
    return m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
}

/* Where `name` is or would be. */
static size_t table_place(const struct swim *s, struct bytes name)
{
    size_t low = 0;
    size_t high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(swim_name(s->members[middle]), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct swim_member *swim_lookup(const struct swim *s, struct bytes name)
{
    size_t at = table_place(s, name);
    bool found = at < s->count && bytes_equal(swim_name(s->members[at]), name);
    return found ? s->members[at] : NULL;
}

static void suspicion_over(struct timer *t);

struct swim_member *swim_add(struct swim *s, struct bytes name)
{
    size_t at = table_place(s, name);
    CHECK(name.len >= 1 && name.len <= GOSSIP_NAME_MAX);
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 16 : s->cap * 2;
        s->members = mem_realloc((void *)s->members, s->cap * sizeof(struct swim_member *));
        s->order = mem_realloc((void *)s->order, s->cap * sizeof(struct swim_member *));
    }
    struct swim_member *m = mem_zalloc(1, sizeof *m);
    m->swim = s;
    /* Set by who adds it; until then it counts as not there. */
    m->state = SWIM_LEFT;
    list_init(&m->link);
    env_timer_init(s->env, &m->suspicion.timer, suspicion_over);
    memcpy(m->shown.name, name.ptr, name.len);
    memmove((void *)(s->members + at + 1), (void *)(s->members + at),
            (s->count - at) * sizeof(struct swim_member *));
    s->members[at] = m;
    /* A random place in what is left of the round, so that its turn comes in this one. */
    size_t turn = s->next + (size_t)env_random_below(s->env, s->count + 1 - s->next);
    s->order[s->count] = m;
    s->order[s->count] = s->order[turn];
    s->order[turn] = m;
    s->count++;
    return m;
}

void swim_free_member(struct swim_member *m)
{
    timer_stop(&m->suspicion.timer);
    free(m->tags);
    free(m);
}

void swim_erase(struct swim *s, struct swim_member *m)
{
    size_t at = table_place(s, swim_name(m));
    CHECK(at < s->count && s->members[at] == m && m != s->self);
    CHECK(!swim_there(m));
    memmove((void *)(s->members + at), (void *)(s->members + at + 1),
            (s->count - at - 1) * sizeof(struct swim_member *));
    size_t turn = 0;
    while (s->order[turn] != m) {
        turn++;
    }
    memmove((void *)(s->order + turn), (void *)(s->order + turn + 1),
            (s->count - turn - 1) * sizeof(struct swim_member *));
    s->count--;
    if (s->next > turn) {
        s->next--;
    }
    if (s->probe.target == m) {
        s->probe.target = NULL;
        s->probe.running = false;
    }
    timer_stop(&m->suspicion.timer);
    m->erased = true;
    if (!m->queued) {
        swim_free_member(m);
    }
}

size_t swim_pick(struct swim *s, swim_fits_fn fits, struct swim_member **picked, size_t want)
{
    size_t got = 0;
    /* Three times round finds them unless few fit; then fewer will do. */
    for (size_t tries = 0; got < want && tries < 3 * s->count; tries++) {
        struct swim_member *m = s->members[env_random_below(s->env, s->count)];
        bool good = m != s->self && fits(s, m);
        for (size_t i = 0; good && i < got; i++) {
            good = picked[i] != m;
        }
        if (good) {
            picked[got++] = m;
        }
    }
    return got;
}

/* --- what is shown --------------------------------------------------------------------------- */

void swim_set_state(struct swim_member *m, enum swim_state state)
{
    struct swim *s = m->swim;
    uint64_t now_ms = env_now_ms(s->env);
    bool before = swim_there(m);
    enum gossip_status status = GOSSIP_FAILED;
    m->state = state;
    m->state_ms = now_ms;
    if (state != SWIM_SUSPECT) {
        timer_stop(&m->suspicion.timer);
    }
    if (m != s->self) {
        s->others = s->others + (swim_there(m) ? 1 : 0) - (before ? 1 : 0);
    }
    if (swim_there(m)) {
        status = m->leaving ? GOSSIP_LEAVING : GOSSIP_ALIVE;
    } else if (state == SWIM_LEFT) {
        status = GOSSIP_LEFT;
    }
    if (status != m->shown.status) {
        m->shown.status = status;
        m->shown.since_ms = now_ms;
    }
}

void swim_show(struct swim_member *m)
{
    struct swim *s = m->swim;
    s->ops->changed(s->ctx, &m->shown);
}

struct packet_message swim_alive_of(const struct swim_member *m)
{
    return (struct packet_message){
        .type = PACKET_ALIVE,
        .flags = m->leaving ? PACKET_LEAVING : 0,
        .incarnation = m->shown.incarnation,
        .name = swim_name(m),
        .address = m->address,
        .tags = {m->tags, m->tags_len},
    };
}

bool swim_take_tags(struct swim_member *m, struct bytes wire)
{
    if (bytes_equal(wire, (struct bytes){m->tags, m->tags_len})) {
        return false;
    }
    enum err e = packet_tags_decode(wire, m->shown.tags, &m->shown.tag_count);
    CHECK(e == OK);
    free(m->tags);
    m->tags = mem_dup(wire.ptr, wire.len);
    m->tags_len = wire.len;
    return true;
}

/* --- suspicion (Lifeguard, section IV.B) ----------------------------------------------------- */

static void suspicion_over(struct timer *t)
{
    struct swim_member *m = LIST_OWNER(t, struct swim_member, suspicion.timer);
    struct swim *s = m->swim;
    CHECK(m->state == SWIM_SUSPECT);
    swim_on_dead(s, m->shown.incarnation, swim_name(m), swim_name(s->self));
}

/* From max_ms down to min_ms with the logarithm of the confirmations. */
static void suspicion_arm(struct swim *s, struct swim_suspicion *u)
{
    double part = 1;
    if (u->wanted > 0) {
        part = log((double)u->accusers) / log((double)u->wanted + 1);
    }
    uint64_t whole_ms = u->max_ms - (uint64_t)((double)(u->max_ms - u->min_ms) * part);
    uint64_t end_ms = u->start_ms + (whole_ms > u->min_ms ? whole_ms : u->min_ms);
    uint64_t now_ms = env_now_ms(s->env);
    timer_start(&u->timer, end_ms > now_ms ? end_ms : now_ms);
}

static void suspicion_start(struct swim_member *m, struct bytes from)
{
    struct swim *s = m->swim;
    struct swim_suspicion *u = &m->suspicion;
    double nodes = (double)(s->others + 1);
    double scale = fmax(1, log10(nodes));
    u->start_ms = env_now_ms(s->env);
    u->min_ms = (uint64_t)(s->profile->suspicion_mult * scale * (double)s->profile->probe_ms);
    u->max_ms = u->min_ms * GOSSIP_SUSPICION_MAX_MULT;
    /* Without enough who could confirm, nobody is waited for. */
    u->wanted = s->profile->suspicion_mult - 2;
    if (s->plain || s->others < u->wanted + 1) {
        u->wanted = 0;
    }
    u->accusers = 1;
    memcpy(u->who[0], from.ptr, from.len);
    u->who[0][from.len] = '\0';
    suspicion_arm(s, u);
}

/* True if `from` had not accused it yet, and its word counts. */
static bool suspicion_confirm(struct swim_member *m, struct bytes from)
{
    struct swim_suspicion *u = &m->suspicion;
    if (u->accusers > u->wanted) {
        return false;
    }
    for (unsigned i = 0; i < u->accusers; i++) {
        if (bytes_equal(bytes_of(u->who[i]), from)) {
            return false;
        }
    }
    memcpy(u->who[u->accusers], from.ptr, from.len);
    u->who[u->accusers][from.len] = '\0';
    u->accusers++;
    suspicion_arm(m->swim, u);
    return true;
}

/* --- which rumour wins (SWIM, section 4.2) --------------------------------------------------- */

static void refused(struct swim *s, enum swim_note note, const char *name)
{
    metric_add(METRIC_GOSSIP_REFUSED, 1);
    s->ops->note(s->ctx, note, name);
}

/* Whether `incarnation` is news of `m`, or as new as what is known. */
static bool rumour_fits(struct swim *s, const struct swim_member *m, uint64_t incarnation)
{
    if (incarnation < m->shown.incarnation) {
        return false;
    }
    /* A node that has just started does not know how far it was before. */
    uint64_t most = m == s->self && s->fresh ? GOSSIP_INCARNATION_FIRST
                                             : m->shown.incarnation + GOSSIP_INCARNATION_JUMP;
    if (incarnation > most || incarnation >= GOSSIP_INCARNATION_MAX) {
        refused(s, SWIM_JUMP, m->shown.name);
        return false;
    }
    return true;
}

static void refute(struct swim *s, uint64_t incarnation)
{
    s->fresh = false;
    s->self->shown.incarnation = incarnation + 1;
    swim_queue_add(s, s->self, PACKET_ALIVE, swim_name(s->self));
    /* Who must refute was slow to answer: it should judge others more slowly. */
    swim_health_add(s, 1);
    metric_add(METRIC_GOSSIP_REFUTED, 1);
    s->ops->note(s->ctx, SWIM_REFUTED, s->self->shown.name);
}

/* Something bad was said of this node. */
static void accused(struct swim *s, uint64_t incarnation)
{
    if (s->leave == SWIM_STAYING && rumour_fits(s, s->self, incarnation)) {
        refute(s, incarnation);
    }
}

static void on_alive_self(struct swim *s, const struct packet_message *m)
{
    struct swim_member *self = s->self;
    if (!packet_address_equal(&m->address, &self->address)) {
        /* Another node of this name, or this one's past: if that is over, it will be declared dead,
         * and that is refuted. To outbid the other would be a war of incarnations. */
        refused(s, SWIM_CONFLICT, self->shown.name);
        return;
    }
    bool same = m->incarnation == self->shown.incarnation &&
                (m->flags & PACKET_LEAVING) == (self->leaving ? PACKET_LEAVING : 0) &&
                bytes_equal(m->tags, (struct bytes){self->tags, self->tags_len});
    if (!same) {
        accused(s, m->incarnation);
    }
}

void swim_on_alive(struct swim *s, const struct packet_message *m)
{
    struct swim_member *known = swim_lookup(s, m->name);
    if (known != NULL && known == s->self) {
        on_alive_self(s, m);
        return;
    }
    if (known == NULL) {
        if (s->count >= GOSSIP_MEMBERS_MAX) {
            refused(s, SWIM_FULL, s->self->shown.name);
            return;
        }
        if (m->incarnation > GOSSIP_INCARNATION_FIRST) {
            refused(s, SWIM_JUMP, s->self->shown.name);
            return;
        }
        known = swim_add(s, m->name);
    } else if (m->incarnation == known->shown.incarnation ||
               !rumour_fits(s, known, m->incarnation)) {
        return;
    } else if (swim_there(known) && !packet_address_equal(&m->address, &known->address)) {
        refused(s, SWIM_CONFLICT, known->shown.name);
        return;
    }
    enum gossip_status before = known->shown.status;
    bool moved = !packet_address_equal(&m->address, &known->address);
    bool leaving = (m->flags & PACKET_LEAVING) != 0;
    known->address = m->address;
    packet_address_text(&m->address, known->shown.address);
    known->shown.port = m->address.port;
    known->shown.incarnation = m->incarnation;
    known->leaving = leaving;
    known->forced = false;
    known->prune = false;
    bool changed = swim_take_tags(known, m->tags);
    swim_set_state(known, SWIM_ALIVE);
    swim_queue_add(s, known, PACKET_ALIVE, m->name);
    if (changed || moved || before != known->shown.status) {
        swim_show(known);
    }
}

void swim_on_suspect(struct swim *s, uint64_t incarnation, struct bytes name, struct bytes from)
{
    struct swim_member *m = swim_lookup(s, name);
    if (m != NULL && m == s->self) {
        accused(s, incarnation);
        return;
    }
    if (m == NULL || !swim_there(m) || !rumour_fits(s, m, incarnation)) {
        return;
    }
    if (m->state == SWIM_SUSPECT) {
        if (suspicion_confirm(m, from)) {
            swim_queue_add(s, m, PACKET_SUSPECT, from);
        }
        return;
    }
    m->shown.incarnation = incarnation;
    swim_set_state(m, SWIM_SUSPECT);
    suspicion_start(m, from);
    swim_queue_add(s, m, PACKET_SUSPECT, from);
    metric_add(METRIC_GOSSIP_SUSPECTED, 1);
    s->ops->note(s->ctx, SWIM_SUSPECTED, m->shown.name);
}

void swim_on_dead(struct swim *s, uint64_t incarnation, struct bytes name, struct bytes from)
{
    struct swim_member *m = swim_lookup(s, name);
    bool own_word = bytes_equal(name, from);
    if (m != NULL && m == s->self) {
        accused(s, incarnation);
        return;
    }
    if (m == NULL || m->state == SWIM_LEFT || (m->state == SWIM_DEAD && !own_word) ||
        !rumour_fits(s, m, incarnation)) {
        return;
    }
    bool left = own_word || m->leaving || m->forced;
    m->shown.incarnation = incarnation;
    swim_set_state(m, left ? SWIM_LEFT : SWIM_DEAD);
    swim_queue_add(s, m, PACKET_DEAD, from);
    if (m->prune) {
        env_timer_start(s->env, &s->reap, 0);
    }
    if (!left) {
        metric_add(METRIC_GOSSIP_FAILED, 1);
    }
    swim_show(m);
}

void swim_on_remove(struct swim *s, const struct packet_message *m)
{
    struct swim_member *known = swim_lookup(s, m->name);
    bool prune = (m->flags & PACKET_PRUNE) != 0;
    if (known != NULL && known == s->self) {
        accused(s, m->incarnation);
        return;
    }
    if (known == NULL || !rumour_fits(s, known, m->incarnation)) {
        return;
    }
    bool news = prune ? !known->prune : known->state != SWIM_LEFT && !known->forced;
    if (!news) {
        return;
    }
    bool dead = known->state == SWIM_DEAD;
    known->forced = true;
    known->prune = prune;
    if (dead) {
        swim_set_state(known, SWIM_LEFT);
    }
    swim_queue_add(s, known, PACKET_REMOVE, m->from);
    if (prune && !swim_there(known)) {
        env_timer_start(s->env, &s->reap, 0);
    }
    if (dead) {
        swim_show(known);
    }
}
