#include "core/gossip/swim_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>

/* --- local health (Lifeguard, section IV.A) -------------------------------------------------- */

void swim_health_add(struct swim *s, int delta)
{
    int health = (int)s->health + delta;
    if (s->plain || health < 0) {
        health = 0;
    }
    if (health > (int)GOSSIP_HEALTH_MAX - 1) {
        health = (int)GOSSIP_HEALTH_MAX - 1;
    }
    s->health = (unsigned)health;
    metric_set(s->wan ? METRIC_GOSSIP_WAN_HEALTH : METRIC_GOSSIP_HEALTH, s->health);
}

static uint64_t scaled(const struct swim *s, uint64_t ms)
{
    return ms * (s->health + 1);
}

/* --- one probe per protocol period (SWIM, section 3.1) --------------------------------------- */

static void order_shuffle(struct swim *s)
{
    for (size_t i = s->count; i > 1; i--) {
        size_t j = (size_t)env_random_below(s->env, i);
        struct swim_member *m = s->order[i - 1];
        s->order[i - 1] = s->order[j];
        s->order[j] = m;
    }
}

static struct swim_member *probe_next(struct swim *s)
{
    for (size_t tries = 0; tries < s->count; tries++) {
        if (s->next >= s->count) {
            s->next = 0;
            order_shuffle(s);
        }
        struct swim_member *m = s->order[s->next++];
        if (m != s->self && swim_there(m)) {
            return m;
        }
    }
    return NULL;
}

static void probe_ping(struct swim *s, struct swim_member *m, uint32_t seq)
{
    struct packet_message ping = {
        .type = PACKET_PING,
        .seq = seq,
        .name = swim_name(m),
        .from = swim_name(s->self),
    };
    swim_begin(s);
    swim_say(s, &ping);
    /* Buddy system: the suspect itself hears of it first. */
    if (m->state == SWIM_SUSPECT && !s->plain) {
        struct packet_message suspicion = {
            .type = PACKET_SUSPECT,
            .incarnation = m->shown.incarnation,
            .name = swim_name(m),
            .from = swim_name(s->self),
        };
        swim_say(s, &suspicion);
    }
    swim_send(s, &m->address);
}

static bool probe_helper(const struct swim *s, const struct swim_member *m)
{
    return m != s->probe.target && m->state == SWIM_ALIVE;
}

static void probe_timeout(struct timer *t)
{
    struct swim_probe *p = LIST_OWNER(t, struct swim_probe, timeout);
    struct swim *s = LIST_OWNER(p, struct swim, probe);
    struct swim_member *helpers[GOSSIP_INDIRECT];
    if (!p->running) {
        return;
    }
    size_t count = swim_pick(s, probe_helper, helpers, GOSSIP_INDIRECT);
    struct packet_message request = {
        .type = PACKET_PING_REQ,
        .seq = p->seq,
        .flags = s->plain ? 0 : PACKET_WANT_NACK,
        .name = swim_name(p->target),
    };
    for (size_t i = 0; i < count; i++) {
        swim_begin(s);
        swim_say(s, &request);
        swim_send(s, &helpers[i]->address);
    }
    p->nacks_wanted = s->plain ? 0 : (unsigned)count;
    s->ops->ping(s->ctx, &p->target->address, p->target->shown.name, p->seq);
}

/* The period is over, and nobody got an answer. */
static void probe_failed(struct swim *s)
{
    struct swim_probe *p = &s->probe;
    struct swim_member *m = p->target;
    p->running = false;
    if (p->stream) {
        s->ops->note(s->ctx, SWIM_ONLY_STREAM, m->shown.name);
        return;
    }
    /* Those who were asked and did not even say no: perhaps it is this node that hears nothing. */
    int missed = p->nacks_wanted > p->nacks ? (int)(p->nacks_wanted - p->nacks) : 0;
    swim_health_add(s, p->nacks_wanted > 0 ? missed : 1);
    if (swim_there(m)) {
        swim_on_suspect(s, m->shown.incarnation, swim_name(m), swim_name(s->self));
    }
}

static void probe_tick(struct timer *t)
{
    struct swim_probe *p = LIST_OWNER(t, struct swim_probe, tick);
    struct swim *s = LIST_OWNER(p, struct swim, probe);
    if (p->running) {
        probe_failed(s);
    }
    timer_stop(&p->timeout);
    struct swim_member *m = s->leave < SWIM_LEAVING ? probe_next(s) : NULL;
    if (m != NULL) {
        p->target = m;
        p->seq = s->seq++;
        p->running = true;
        p->stream = false;
        p->nacks = 0;
        p->nacks_wanted = 0;
        env_timer_start(s->env, &p->timeout, scaled(s, s->profile->probe_timeout_ms));
        env_timer_start(s->env, &p->tick, scaled(s, s->profile->probe_ms));
        probe_ping(s, m, p->seq);
        return;
    }
    env_timer_start(s->env, &p->tick, s->profile->probe_ms);
}

/* --- probes for others ----------------------------------------------------------------------- */

static void relay_drop(struct swim_relay *r)
{
    timer_stop(&r->timer);
    list_remove(&r->link);
    r->swim->relay_count--;
    free(r);
}

static void relay_timeout(struct timer *t)
{
    struct swim_relay *r = LIST_OWNER(t, struct swim_relay, timer);
    struct swim *s = r->swim;
    if (!r->nack) {
        relay_drop(r);
        return;
    }
    struct packet_message nack = {.type = PACKET_NACK, .seq = r->their_seq};
    swim_begin(s);
    swim_say(s, &nack);
    swim_send(s, &r->to);
    /* The answer may still come, and then it is passed on. */
    r->nack = false;
    env_timer_start(s->env, &r->timer, GOSSIP_HEALTH_MAX * s->profile->probe_ms);
}

void swim_on_ping_req(struct swim *s,
                      const struct packet_address *from,
                      const struct packet_message *m)
{
    struct swim_member *target = swim_lookup(s, m->name);
    /* Only to where we would probe ourselves: nobody aims our packets. */
    if (target == NULL || target == s->self || s->relay_count >= GOSSIP_RELAYS_MAX) {
        return;
    }
    struct swim_relay *r = mem_zalloc(1, sizeof *r);
    *r = (struct swim_relay){
        .swim = s,
        .to = *from,
        .seq = s->seq++,
        .their_seq = m->seq,
        .nack = (m->flags & PACKET_WANT_NACK) != 0,
    };
    list_append(&s->relays, &r->link);
    s->relay_count++;
    env_timer_init(s->env, &r->timer, relay_timeout);
    env_timer_start(s->env, &r->timer,
                    r->nack ? s->profile->probe_timeout_ms * GOSSIP_NACK_PERCENT / 100
                            : s->profile->probe_ms);
    probe_ping(s, target, r->seq);
}

/* --- answers --------------------------------------------------------------------------------- */

/* Whoever asks and is thought to be gone hears it with the answer, and can refute at once. */
static void hint(struct swim *s, struct bytes name)
{
    struct swim_member *m = swim_lookup(s, name);
    if (s->plain || m == NULL || m == s->self || m->state == SWIM_ALIVE) {
        return;
    }
    struct packet_message message = {
        .type = m->state == SWIM_SUSPECT ? PACKET_SUSPECT : PACKET_DEAD,
        .incarnation = m->shown.incarnation,
        .name = swim_name(m),
        .from = swim_name(m->state == SWIM_LEFT ? m : s->self),
    };
    swim_say(s, &message);
}

void swim_on_ping(struct swim *s, const struct packet_address *from, const struct packet_message *m)
{
    struct packet_message ack = {.type = PACKET_ACK, .seq = m->seq};
    /* Meant for somebody who lived here before: silence is the truth. */
    if (!bytes_equal(m->name, swim_name(s->self))) {
        return;
    }
    swim_begin(s);
    swim_say(s, &ack);
    hint(s, m->from);
    swim_send(s, from);
}

void swim_on_ack(struct swim *s, uint32_t seq)
{
    struct swim_probe *p = &s->probe;
    if (p->running && p->seq == seq) {
        p->running = false;
        timer_stop(&p->timeout);
        swim_health_add(s, -1);
        return;
    }
    LIST_FOREACH (at, &s->relays) {
        struct swim_relay *r = LIST_OWNER(at, struct swim_relay, link);
        if (r->seq == seq) {
            struct packet_message ack = {.type = PACKET_ACK, .seq = r->their_seq};
            swim_begin(s);
            swim_say(s, &ack);
            swim_send(s, &r->to);
            relay_drop(r);
            return;
        }
    }
}

void swim_on_nack(struct swim *s, uint32_t seq)
{
    struct swim_probe *p = &s->probe;
    if (!p->running || p->seq != seq || p->nacks >= p->nacks_wanted) {
        return;
    }
    p->nacks++;
    /* All who were asked are well and heard nothing either: the rest of the period brings no more.
     */
    if (p->nacks == p->nacks_wanted) {
        probe_failed(s);
    }
}

void swim_stream_ack(struct swim *s, uint32_t seq)
{
    if (s->probe.running && s->probe.seq == seq) {
        s->probe.stream = true;
    }
}

void swim_probe_init(struct swim *s)
{
    list_init(&s->relays);
    env_random(s->env, &s->seq, sizeof s->seq);
    env_timer_init(s->env, &s->probe.timeout, probe_timeout);
    env_timer_init(s->env, &s->probe.tick, probe_tick);
    env_timer_start(s->env, &s->probe.tick, env_random_below(s->env, s->profile->probe_ms));
}

void swim_probe_close(struct swim *s)
{
    timer_stop(&s->probe.timeout);
    timer_stop(&s->probe.tick);
    LIST_FOREACH (at, &s->relays) {
        relay_drop(LIST_OWNER(at, struct swim_relay, link));
    }
    CHECK(s->relay_count == 0);
}
