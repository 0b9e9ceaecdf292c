#include "core/gossip/swim_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct swim_profile PROFILE_LAN = {
    .probe_ms = GOSSIP_PROBE_MS,
    .probe_timeout_ms = GOSSIP_PROBE_TIMEOUT_MS,
    .suspicion_mult = GOSSIP_SUSPICION_MULT,
    .tick_ms = GOSSIP_TICK_MS,
    .fanout = GOSSIP_FANOUT,
    .dead_ms = GOSSIP_DEAD_MS,
    .push_pull_ms = GOSSIP_PUSH_PULL_MS,
};

static const struct swim_profile PROFILE_WAN = {
    .probe_ms = GOSSIP_WAN_PROBE_MS,
    .probe_timeout_ms = GOSSIP_WAN_PROBE_TIMEOUT_MS,
    .suspicion_mult = GOSSIP_WAN_SUSPICION_MULT,
    .tick_ms = GOSSIP_WAN_TICK_MS,
    .fanout = GOSSIP_WAN_FANOUT,
    .dead_ms = GOSSIP_WAN_DEAD_MS,
    .push_pull_ms = GOSSIP_WAN_PUSH_PULL_MS,
};

/* --- packets --------------------------------------------------------------------------------- */

void swim_begin(struct swim *s)
{
    buf_clear(&s->out);
    buf_put_char(&s->out, PACKET_VERSION);
}

void swim_say(struct swim *s, const struct packet_message *m)
{
    /* What is said in one packet on purpose (a ping, and a suspicion) always fits. */
    enum err e = packet_append(&s->out, m);
    CHECK(e == OK);
}

void swim_send(struct swim *s, const struct packet_address *to)
{
    swim_queue_fill(s, &s->out);
    s->ops->send(s->ctx, to, buf_view(&s->out));
}

void swim_send_order(struct swim *s,
                     const struct packet_address *to,
                     const struct packet_message *m)
{
    swim_begin(s);
    swim_say(s, m);
    swim_send(s, to);
}

static void
receive_one(struct swim *s, const struct packet_address *from, const struct packet_message *m)
{
    switch (m->type) {
    case PACKET_PING:
        swim_on_ping(s, from, m);
        break;
    case PACKET_PING_REQ:
        swim_on_ping_req(s, from, m);
        break;
    case PACKET_ACK:
        swim_on_ack(s, m->seq);
        break;
    case PACKET_NACK:
        swim_on_nack(s, m->seq);
        break;
    case PACKET_ALIVE:
        swim_on_alive(s, m);
        break;
    case PACKET_SUSPECT:
        swim_on_suspect(s, m->incarnation, m->name, m->from);
        break;
    case PACKET_DEAD:
        swim_on_dead(s, m->incarnation, m->name, m->from);
        break;
    case PACKET_REMOVE:
        swim_on_remove(s, m);
        break;
    case PACKET_ORDER:
    case PACKET_ORDER_REPLY:
        s->ops->order(s->ctx, from, m);
        break;
    }
}

enum err swim_receive(struct swim *s, const struct packet_address *from, struct bytes packet)
{
    struct packet_message m;
    enum err e = OK;
    if (packet.len < 1 || packet.ptr[0] != PACKET_VERSION) {
        return ERR_INVALID;
    }
    struct bytes body = bytes_slice(packet, 1, packet.len);
    struct bytes rest = body;
    while (e == OK) {
        e = packet_next(&rest, &m);
    }
    if (e != ERR_NOT_FOUND) {
        return ERR_INVALID;
    }
    for (rest = body; packet_next(&rest, &m) == OK;) {
        receive_one(s, from, &m);
    }
    return OK;
}

/* --- state exchange -------------------------------------------------------------------------- */

void swim_state(struct swim *s, struct buf *out)
{
    enum err e = buf_append_char(out, PACKET_VERSION);
    for (size_t i = 0; e == OK && i < s->count; i++) {
        const struct swim_member *m = s->members[i];
        struct packet_record r = {
            .status = m->shown.status,
            .suspect = m->state == SWIM_SUSPECT,
            .alive = swim_alive_of(m),
        };
        e = packet_record_append(out, &r);
    }
    CHECK(e == OK);
}

static void merge_one(struct swim *s, const struct packet_record *r)
{
    const struct packet_message *m = &r->alive;
    struct bytes self = swim_name(s->self);
    switch (r->status) {
    case GOSSIP_ALIVE:
    case GOSSIP_LEAVING:
        swim_on_alive(s, m);
        if (r->suspect) {
            swim_on_suspect(s, m->incarnation, m->name, self);
        }
        break;
    case GOSSIP_LEFT:
        swim_on_dead(s, m->incarnation, m->name, m->name);
        break;
    case GOSSIP_FAILED:
        /* Hearsay: it is suspected, so that it has the time to refute. */
        swim_on_suspect(s, m->incarnation, m->name, self);
        break;
    }
}

enum err swim_merge(struct swim *s, struct bytes state)
{
    struct packet_record r;
    enum err e = OK;
    if (state.len < 1 || state.ptr[0] != PACKET_VERSION) {
        return ERR_INVALID;
    }
    struct bytes body = bytes_slice(state, 1, state.len);
    struct bytes rest = body;
    while (e == OK) {
        e = packet_record_next(&rest, &r);
    }
    if (e != ERR_NOT_FOUND) {
        return ERR_INVALID;
    }
    for (rest = body; packet_record_next(&rest, &r) == OK;) {
        merge_one(s, &r);
    }
    s->fresh = false;
    return OK;
}

static bool fits_alive(const struct swim *s, const struct swim_member *m)
{
    (void)s;
    return m->state == SWIM_ALIVE;
}

static void exchange_tick(struct timer *t)
{
    struct swim *s = LIST_OWNER(t, struct swim, exchange);
    struct swim_member *m = NULL;
    uint64_t interval_ms = s->profile->push_pull_ms;
    if (s->count > GOSSIP_PUSH_PULL_SCALE) {
        double over = log2((double)s->count) - log2((double)GOSSIP_PUSH_PULL_SCALE);
        interval_ms *= (uint64_t)ceil(over) + 1;
    }
    env_timer_start(s->env, &s->exchange, interval_ms);
    if (s->leave < SWIM_LEAVING && swim_pick(s, fits_alive, &m, 1) == 1) {
        s->ops->exchange(s->ctx, &m->address);
    }
}

/* --- failed members: tried again, then forgotten --------------------------------------------- */

static bool fits_dead(const struct swim *s, const struct swim_member *m)
{
    (void)s;
    return m->state == SWIM_DEAD;
}

/* Each of the living tries so rarely that together they try each of the dead once per interval. */
static void reconnect_tick(struct timer *t)
{
    struct swim *s = LIST_OWNER(t, struct swim, reconnect);
    struct swim_member *m = NULL;
    size_t dead = 0;
    env_timer_start(s->env, &s->reconnect, GOSSIP_RECONNECT_MS);
    for (size_t i = 0; i < s->count; i++) {
        dead += s->members[i]->state == SWIM_DEAD;
    }
    if (s->leave != SWIM_STAYING || env_random_below(s->env, s->others + 1) >= dead) {
        return;
    }
    if (swim_pick(s, fits_dead, &m, 1) == 1) {
        s->ops->exchange(s->ctx, &m->address);
    }
}

static bool reap_due(const struct swim *s, const struct swim_member *m, uint64_t now_ms)
{
    if (swim_there(m) || m == s->self) {
        return false;
    }
    uint64_t keep_ms = m->state == SWIM_DEAD ? s->reconnect_ms : GOSSIP_TOMBSTONE_MS;
    return m->prune || now_ms - m->state_ms >= keep_ms;
}

static void reap_tick(struct timer *t)
{
    struct swim *s = LIST_OWNER(t, struct swim, reap);
    uint64_t now_ms = env_now_ms(s->env);
    env_timer_start(s->env, &s->reap, GOSSIP_RECONNECT_MS);
    for (size_t i = s->count; i > 0; i--) {
        struct swim_member *m = s->members[i - 1];
        if (reap_due(s, m, now_ms)) {
            s->ops->reaped(s->ctx, &m->shown);
            swim_erase(s, m);
        }
    }
}

/* --- gossip (SWIM, section 4.1) and leaving -------------------------------------------------- */

static bool fits_gossip(const struct swim *s, const struct swim_member *m)
{
    return swim_there(m) || env_now_ms(s->env) - m->state_ms < s->profile->dead_ms;
}

/* One step further once what was to be said is said often enough, or its time is over. */
static void leave_step(struct swim *s)
{
    uint64_t now_ms = env_now_ms(s->env);
    bool waiting = s->self->queued && s->others > 0 && now_ms < s->leave_until_ms;
    if (waiting) {
        return;
    }
    if (s->leave == SWIM_INTENT) {
        s->leave = SWIM_LEAVING;
        s->leave_until_ms = now_ms + GOSSIP_LEAVE_MS;
        swim_set_state(s->self, SWIM_LEFT);
        swim_queue_add(s, s->self, PACKET_DEAD, swim_name(s->self));
        swim_show(s->self);
    } else if (s->leave == SWIM_LEAVING) {
        s->leave = SWIM_GONE;
        s->left(s->left_ctx);
    }
}

static void gossip_tick(struct timer *t)
{
    struct swim *s = LIST_OWNER(t, struct swim, gossip);
    struct swim_member *to[GOSSIP_WAN_FANOUT];
    env_timer_start(s->env, &s->gossip, s->profile->tick_ms);
    size_t count = s->queue.count > 0 ? swim_pick(s, fits_gossip, to, s->profile->fanout) : 0;
    for (size_t i = 0; i < count && s->queue.count > 0; i++) {
        swim_begin(s);
        swim_send(s, &to[i]->address);
    }
    if (s->leave == SWIM_INTENT || s->leave == SWIM_LEAVING) {
        leave_step(s);
    }
}

void swim_leave(struct swim *s, void (*done)(void *ctx), void *ctx)
{
    s->left = done;
    s->left_ctx = ctx;
    if (s->leave != SWIM_STAYING) {
        /* Asked twice: the second one gets its answer with the first or, if that was, at once. */
        s->leave = s->leave == SWIM_GONE ? SWIM_LEAVING : s->leave;
        return;
    }
    s->leave = SWIM_INTENT;
    s->leave_until_ms = env_now_ms(s->env) + GOSSIP_LEAVE_MS;
    s->self->leaving = true;
    s->self->shown.incarnation++;
    swim_set_state(s->self, SWIM_ALIVE);
    swim_queue_add(s, s->self, PACKET_ALIVE, swim_name(s->self));
    swim_show(s->self);
}

enum err swim_force_leave(struct swim *s, struct bytes name, bool prune)
{
    struct swim_member *m = swim_lookup(s, name);
    if (m == NULL) {
        return ERR_NOT_FOUND;
    }
    struct packet_message remove = {
        .type = PACKET_REMOVE,
        .flags = prune ? PACKET_PRUNE : 0,
        .incarnation = m->shown.incarnation,
        .name = swim_name(m),
        .from = swim_name(s->self),
    };
    swim_on_remove(s, &remove);
    return OK;
}

enum err
swim_set_tags(struct swim *s, const struct gossip_tag *tags, size_t count, struct reason *why)
{
    struct buf wire;
    buf_init(&wire, GOSSIP_TAGS_BYTES_MAX);
    enum err e = packet_tags_encode(&wire, tags, count, why);
    if (e == OK && swim_take_tags(s->self, buf_view(&wire))) {
        s->self->shown.incarnation++;
        swim_queue_add(s, s->self, PACKET_ALIVE, swim_name(s->self));
        swim_show(s->self);
    }
    buf_close(&wire);
    return e;
}

/* --- life ------------------------------------------------------------------------------------ */

static void start_timer(struct swim *s, struct timer *t, timer_fn fire, uint64_t interval_ms)
{
    /* Somewhere in the first interval, so that the nodes of a cluster do not march in step. */
    env_timer_init(s->env, t, fire);
    env_timer_start(s->env, t, env_random_below(s->env, interval_ms));
}

enum err swim_open(const struct swim_options *options, struct swim **ret_swim, struct reason *why)
{
    struct buf wire;
    buf_init(&wire, GOSSIP_TAGS_BYTES_MAX);
    enum err e = packet_tags_encode(&wire, options->tags, options->tag_count, why);
    if (e == OK && !packet_name_valid(bytes_of(options->name))) {
        reason_set(why, "a node's name has 1 to %d bytes of UTF-8 and no control characters",
                   GOSSIP_NAME_MAX);
        e = ERR_INVALID;
    }
    if (e != OK) {
        buf_close(&wire);
        return e;
    }
    struct swim *s = mem_zalloc(1, sizeof *s);
    *s = (struct swim){
        .env = options->env,
        .ops = options->ops,
        .ctx = options->ctx,
        .profile = options->wan ? &PROFILE_WAN : &PROFILE_LAN,
        .reconnect_ms = options->reconnect_ms,
        .wan = options->wan,
        .plain = options->plain,
        .fresh = true,
    };
    buf_init(&s->out, PACKET_BODY_MAX);
    swim_queue_init(&s->queue);
    swim_probe_init(s);
    s->self = swim_add(s, bytes_of(options->name));
    s->self->address = options->address;
    packet_address_text(&options->address, s->self->shown.address);
    s->self->shown.port = options->address.port;
    s->self->shown.self = true;
    s->self->shown.incarnation = 1;
    (void)swim_take_tags(s->self, buf_view(&wire));
    swim_set_state(s->self, SWIM_ALIVE);
    buf_close(&wire);
    start_timer(s, &s->gossip, gossip_tick, s->profile->tick_ms);
    start_timer(s, &s->exchange, exchange_tick, s->profile->push_pull_ms);
    start_timer(s, &s->reconnect, reconnect_tick, GOSSIP_RECONNECT_MS);
    start_timer(s, &s->reap, reap_tick, GOSSIP_RECONNECT_MS);
    *ret_swim = s;
    return OK;
}

void swim_close(struct swim *s)
{
    if (s == NULL) {
        return;
    }
    swim_probe_close(s);
    timer_stop(&s->gossip);
    timer_stop(&s->exchange);
    timer_stop(&s->reconnect);
    timer_stop(&s->reap);
    swim_queue_close(s);
    for (size_t i = 0; i < s->count; i++) {
        swim_free_member(s->members[i]);
    }
    free((void *)s->members);
    free((void *)s->order);
    buf_close(&s->out);
    free(s);
}

size_t swim_count(const struct swim *s)
{
    return s->count;
}

const struct gossip_member *swim_at(const struct swim *s, size_t i)
{
    CHECK(i < s->count);
    return &s->members[i]->shown;
}

const struct gossip_member *swim_find(const struct swim *s, struct bytes name)
{
    const struct swim_member *m = swim_lookup(s, name);
    return m == NULL ? NULL : &m->shown;
}

const struct gossip_member *swim_self(const struct swim *s)
{
    return &s->self->shown;
}

unsigned swim_health(const struct swim *s)
{
    return s->health;
}
