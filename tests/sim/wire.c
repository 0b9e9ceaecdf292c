#include "tests/sim/wire.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "store/replica/transport.h"
#include "tests/sim/wire_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_MAX    64U
#define DELAY_US     2000U
#define CHANNELS     2U
#define ADDRESS_MAX  128U
#define STALL_MIN_US (SECOND_US / 2)
#define STALL_MAX_US (10 * SECOND_US)
#define RETRY_US     50000U /* a stalled connection tries again */

/* What waits for the receiver's loop: a message, or news of a link. */
struct item {
    struct item *next;
    uint64_t peer;
    bool link;
    bool up;
    struct bytes message; /* behind the struct */
};

struct parcel {
    struct parcel *next;
    struct conn *conn;
    uint64_t due_us;
    struct bytes message; /* behind the struct */
};

/* One connection, in the direction of the one who dialled. Lives until wire_close(). */
struct conn {
    struct conn *next;
    struct transport *from;
    struct transport *to;
    uint64_t peer; /* whom `from` knows by this id */
    enum transport_channel channel;
    uint64_t cluster; /* that `from` named when it dialled */
    bool broken;
    uint64_t last_us;  /* when the newest parcel is due */
    uint64_t stall_us; /* since when nothing gets through; 0: it does */
    uint64_t patience_us;
    struct parcel *first;
    struct parcel **tail;
    size_t pending;
};

struct peer {
    struct transport *transport;
    uint64_t id;
    char address[ADDRESS_MAX];
    bool known;
    struct conn *conns[CHANNELS];
    bool dialling[CHANNELS];
    uint64_t backoff_us[CHANNELS];
};

struct dial {
    struct peer *peer;
    enum transport_channel channel;
};

struct transport {
    struct transport *next;
    struct transport_options options;
    struct process *process;
    unsigned number;
    uint64_t cluster;
    bool closed;
    struct peer peers[PEERS_MAX];
    struct dial dials[PEERS_MAX][CHANNELS];
    struct item *first;
    struct item **tail;
    struct mail mail;
    bool posted;
    struct transport_counts counts;
};

struct wire wire;

static struct transport *listening[PROCESS_MAX];
static struct transport *transports;
static struct conn *conns;

static void peer_dial(struct peer *p, enum transport_channel channel, uint64_t after_us);

/* --- to the loop ----------------------------------------------------------------------------- */

static void transport_on_mail(struct mail *m)
{
    struct transport *t = LIST_OWNER(m, struct transport, mail);
    t->posted = false;
    while (t->first != NULL && !t->closed) {
        struct item *item = t->first;
        t->first = item->next;
        if (t->first == NULL) {
            t->tail = &t->first;
        }
        if (item->link) {
            t->options.linked(t->options.ctx, item->peer, item->up);
        } else {
            t->options.receive(t->options.ctx, item->peer, item->message);
        }
        free(item);
    }
}

static void transport_tell(struct transport *t, struct item item)
{
    if (t->closed) {
        return;
    }
    struct item *kept = mem_alloc(sizeof *kept + item.message.len);
    *kept = item;
    if (item.message.len > 0) {
        memcpy(kept + 1, item.message.ptr, item.message.len);
    }
    kept->message.ptr = (const char *)(kept + 1);
    kept->next = NULL;
    *t->tail = kept;
    t->tail = &kept->next;
    if (!t->posted) {
        t->posted = true;
        t->mail.deliver = transport_on_mail;
        mailbox_post(loop_mailbox(t->options.loop), &t->mail);
    }
}

/* --- connections ----------------------------------------------------------------------------- */

static bool cut(const struct transport *from, const struct transport *to)
{
    return wire.cut[from->number][to->number];
}

static struct peer *peer_find(struct transport *t, uint64_t id)
{
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        if (t->peers[i].known && t->peers[i].id == id) {
            return &t->peers[i];
        }
    }
    return NULL;
}

static void conn_drop(struct conn *c)
{
    while (c->first != NULL) {
        struct parcel *p = c->first;
        c->first = p->next;
        free(p);
        wire.lost++;
    }
    c->tail = &c->first;
    c->pending = 0;
}

/* Its sender hears of it and dials again. */
static void conn_break(struct conn *c)
{
    if (c->broken) {
        return;
    }
    c->broken = true;
    conn_drop(c);
    struct transport *t = c->from;
    struct peer *p = t->closed ? NULL : peer_find(t, c->peer);
    if (p == NULL || p->conns[c->channel] != c) {
        return;
    }
    p->conns[c->channel] = NULL;
    if (c->channel == TRANSPORT_CONTROL) {
        transport_tell(t, (struct item){.link = true, .peer = c->peer});
    }
    peer_dial(p, c->channel, TRANSPORT_RETRY_MIN_MS * 1000);
}

static void conn_on_break(void *ctx)
{
    conn_break(ctx);
}

/* The receiver would not take it any more. */
static bool conn_refused(struct conn *c)
{
    struct transport *to = c->to;
    return to->closed || listening[to->number] != to ||
           peer_find(to, c->from->options.id) == NULL ||
           (to->cluster != 0 && c->cluster != 0 && to->cluster != c->cluster);
}

/* Nothing gets through, or no answer comes back: for how long already? */
static bool conn_stalls(struct conn *c)
{
    if (!cut(c->from, c->to) && !cut(c->to, c->from)) {
        c->stall_us = 0;
        return false;
    }
    if (c->stall_us == 0) {
        c->stall_us = world.now_us;
        c->patience_us = dice_skewed(STALL_MIN_US, STALL_MAX_US);
    }
    if (world.now_us - c->stall_us > c->patience_us) {
        conn_break(c);
    }
    return cut(c->from, c->to);
}

static void conn_deliver(struct conn *c, struct parcel *p)
{
    wire_show(c->to->process, c->from->number, "<-", p->message);
    c->to->counts.received_bytes += p->message.len + 8;
    transport_tell(c->to, (struct item){.peer = c->from->options.id, .message = p->message});
}

static void conn_on_due(void *ctx)
{
    struct conn *c = ctx;
    bool stalls = !c->broken && conn_stalls(c);
    if (c->broken || c->first == NULL) {
        return;
    }
    if (stalls) {
        world_at(world.now_us + RETRY_US, conn_on_due, c);
        return;
    }
    if (conn_refused(c)) {
        conn_break(c);
        return;
    }
    struct parcel *p = c->first;
    c->first = p->next;
    if (c->first == NULL) {
        c->tail = &c->first;
    }
    c->pending -= p->message.len;
    conn_deliver(c, p);
    free(p);
    if (c->first != NULL) {
        uint64_t due_us = c->first->due_us > world.now_us ? c->first->due_us : world.now_us;
        world_at(due_us, conn_on_due, c);
    }
}

/* --- messages by themselves ------------------------------------------------------------------ */

static void parcel_on_due(void *ctx)
{
    struct parcel *p = ctx;
    struct conn *c = p->conn;
    if (!c->broken && !cut(c->from, c->to) && !conn_refused(c)) {
        conn_deliver(c, p);
    } else {
        wire.lost++;
        if (!cut(c->from, c->to) && conn_refused(c)) {
            conn_break(c);
        }
    }
    free(p);
}

static uint64_t wire_delay(const struct conn *c)
{
    return dice_skewed(wire.delay_min_us, wire.delay_max_us) +
           dice_skewed(0, wire.slow_us[c->from->number][c->to->number]);
}

static struct parcel *parcel_new(struct conn *c, struct bytes message)
{
    struct parcel *p = mem_alloc(sizeof *p + message.len);
    memcpy(p + 1, message.ptr, message.len);
    *p = (struct parcel){
        .conn = c,
        .due_us = world.now_us + wire_delay(c),
        .message = {.ptr = (const char *)(p + 1), .len = message.len},
    };
    return p;
}

static void conn_send_unordered(struct conn *c, struct bytes message)
{
    unsigned copies = dice_ppm(wire.repeat_ppm) ? 2 : 1;
    for (unsigned i = 0; i < copies; i++) {
        if (dice_ppm(wire.loss_ppm)) {
            wire.lost++;
            continue;
        }
        struct parcel *p = parcel_new(c, message);
        world_at(p->due_us, parcel_on_due, p);
    }
}

static void conn_send(struct conn *c, struct bytes message)
{
    wire.sent++;
    wire_show(c->from->process, c->to->number, "->", message);
    if (wire.unordered) {
        conn_send_unordered(c, message);
        return;
    }
    struct parcel *p = parcel_new(c, message);
    if (p->due_us < c->last_us) {
        p->due_us = c->last_us;
    }
    c->last_us = p->due_us;
    if (c->first == NULL) {
        world_at(p->due_us, conn_on_due, c);
    }
    *c->tail = p;
    c->tail = &p->next;
    c->pending += message.len;
    if (dice_ppm(wire.loss_ppm)) {
        world_at(world.now_us + dice_below(100000), conn_on_break, c);
    }
}

/* --- dialling -------------------------------------------------------------------------------- */

static struct transport *transport_at(const char *address)
{
    for (unsigned i = 0; i < PROCESS_MAX; i++) {
        struct transport *t = listening[i];
        char own[ADDRESS_MAX];
        if (t == NULL) {
            continue;
        }
        (void)snprintf(own, sizeof own, "%s:%u", t->options.listen_address, transport_port(t));
        if (strcmp(own, address) == 0) {
            return t;
        }
    }
    return NULL;
}

static bool dial_succeeds(const struct peer *p, struct transport *to)
{
    struct transport *from = p->transport;
    if (to == NULL || to->options.id != p->id || cut(from, to) || cut(to, from) ||
        to->process->paused_until_us > world.now_us + TRANSPORT_HELLO_MS * 1000) {
        return false;
    }
    return peer_find(to, from->options.id) != NULL &&
           (from->cluster == 0 || to->cluster == 0 || from->cluster == to->cluster);
}

static void dial_on_try(void *ctx)
{
    struct dial *d = ctx;
    struct peer *p = d->peer;
    struct transport *t = p->transport;
    p->dialling[d->channel] = false;
    if (t->closed || !p->known || p->conns[d->channel] != NULL) {
        return;
    }
    struct transport *to = transport_at(p->address);
    if (!dial_succeeds(p, to)) {
        world_show(t->process, "cannot reach %s", p->address);
        uint64_t *backoff_us = &p->backoff_us[d->channel];
        *backoff_us = *backoff_us * 2;
        if (*backoff_us > TRANSPORT_RETRY_MAX_MS * 1000) {
            *backoff_us = TRANSPORT_RETRY_MAX_MS * 1000;
        }
        peer_dial(p, d->channel, *backoff_us);
        return;
    }
    struct conn *c = mem_zalloc(1, sizeof *c);
    *c = (struct conn){
        .next = conns,
        .from = t,
        .to = to,
        .peer = p->id,
        .channel = d->channel,
        .cluster = t->cluster,
    };
    c->tail = &c->first;
    conns = c;
    p->conns[d->channel] = c;
    p->backoff_us[d->channel] = TRANSPORT_RETRY_MIN_MS * 1000;
    if (d->channel == TRANSPORT_CONTROL) {
        transport_tell(t, (struct item){.link = true, .up = true, .peer = p->id});
    }
}

static void peer_dial(struct peer *p, enum transport_channel channel, uint64_t after_us)
{
    if (p->dialling[channel]) {
        return;
    }
    p->dialling[channel] = true;
    uint64_t at_us =
        world.now_us + after_us + dice_skewed(2 * wire.delay_min_us, 2 * wire.delay_max_us);
    struct dial *d = &p->transport->dials[p - p->transport->peers][channel];
    *d = (struct dial){.peer = p, .channel = channel};
    world_at_process(at_us, p->transport->process, dial_on_try, d);
}

/* --- store/replica/transport.h --------------------------------------------------------------- */

enum err transport_open(const struct transport_options *options,
                        struct transport **ret_transport,
                        struct reason *why)
{
    struct process *p = process_here();
    CHECK(p != NULL);
    if (listening[p->number] != NULL) {
        reason_set(why, "%s:%u: in use", options->listen_address, options->listen_port);
        return ERR_IN_USE;
    }
    struct transport *t = mem_zalloc(1, sizeof *t);
    t->options = *options;
    t->options.listen_address = mem_strdup(options->listen_address);
    t->process = p;
    t->number = p->number;
    t->tail = &t->first;
    t->next = transports;
    transports = t;
    listening[p->number] = t;
    *ret_transport = t;
    return OK;
}

static void transport_end(struct transport *t, bool heard)
{
    t->closed = true;
    if (listening[t->number] == t) {
        listening[t->number] = NULL;
    }
    for (struct conn *c = conns; c != NULL; c = c->next) {
        if (c->from == t && !heard) {
            conn_break(c);
        } else if (c->to == t && !c->broken && !cut(t, c->from)) {
            world_at(world.now_us + wire_delay(c), conn_on_break, c);
        }
    }
}

void transport_close(struct transport *t)
{
    if (t != NULL) {
        transport_end(t, true);
    }
}

void wire_on_death(struct process *p)
{
    if (listening[p->number] != NULL) {
        transport_end(listening[p->number], dice_below(2) == 0);
    }
}

uint16_t transport_port(const struct transport *t)
{
    return t->options.listen_port != 0 ? t->options.listen_port : 8300;
}

void transport_set_cluster(struct transport *t, uint64_t cluster)
{
    if (cluster == t->cluster) {
        return;
    }
    t->cluster = cluster;
    for (struct conn *c = conns; c != NULL; c = c->next) {
        if (c->from == t && c->cluster != cluster) {
            conn_break(c);
        } else if (c->to == t && !c->broken && c->cluster != 0 && c->cluster != cluster) {
            world_at(world.now_us + wire_delay(c), conn_on_break, c);
        }
    }
}

uint64_t transport_peer_cluster(struct transport *t, uint64_t id)
{
    for (const struct conn *c = conns; c != NULL; c = c->next) {
        if (c->to == t && !c->broken && c->from->options.id == id) {
            return c->cluster;
        }
    }
    return 0;
}

enum err transport_set_peer(struct transport *t, uint64_t id, const char *address)
{
    struct peer *p = peer_find(t, id);
    if (strrchr(address, ':') == NULL || strlen(address) >= ADDRESS_MAX) {
        return ERR_INVALID;
    }
    if (p != NULL && strcmp(p->address, address) == 0) {
        return OK;
    }
    if (p != NULL) {
        transport_drop_peer(t, id);
    }
    unsigned free_place = 0;
    while (free_place < PEERS_MAX &&
           (t->peers[free_place].known || t->peers[free_place].dialling[0] ||
            t->peers[free_place].dialling[1])) {
        free_place++;
    }
    CHECK(free_place < PEERS_MAX);
    p = &t->peers[free_place];
    *p = (struct peer){.transport = t, .id = id, .known = true};
    (void)snprintf(p->address, sizeof p->address, "%s", address);
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        p->backoff_us[channel] = TRANSPORT_RETRY_MIN_MS * 1000;
        peer_dial(p, (enum transport_channel)channel, 0);
    }
    return OK;
}

void transport_drop_peer(struct transport *t, uint64_t id)
{
    struct peer *p = peer_find(t, id);
    if (p == NULL) {
        return;
    }
    p->known = false;
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        if (p->conns[channel] != NULL) {
            conn_break(p->conns[channel]);
            p->conns[channel] = NULL;
        }
    }
}

enum err transport_send(struct transport *t,
                        uint64_t id,
                        enum transport_channel channel,
                        struct bytes message)
{
    struct peer *p = peer_find(t, id);
    CHECK(!t->closed);
    CHECK(message.len > 0 && message.len <= RPC_MESSAGE_MAX);
    if (p == NULL) {
        return ERR_NOT_FOUND;
    }
    struct conn *c = p->conns[channel];
    if (c == NULL || c->pending + message.len > TRANSPORT_PENDING_MAX) {
        return ERR_BUSY;
    }
    t->counts.sent_bytes += message.len + 8;
    conn_send(c, message);
    return OK;
}

size_t transport_pending(const struct transport *t, uint64_t id, enum transport_channel channel)
{
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        const struct peer *p = &t->peers[i];
        if (p->known && p->id == id && p->conns[channel] != NULL) {
            return p->conns[channel]->pending;
        }
    }
    return 0;
}

struct transport_counts transport_counts(const struct transport *t)
{
    return t->counts;
}

/* --- the whole ------------------------------------------------------------------------------- */

void wire_open(void)
{
    wire = (struct wire){.delay_min_us = 50, .delay_max_us = DELAY_US};
}

void wire_heal(void)
{
    memset(wire.cut, 0, sizeof wire.cut);
    memset(wire.slow_us, 0, sizeof wire.slow_us);
    wire.loss_ppm = 0;
    wire.repeat_ppm = 0;
    wire.delay_max_us = wire.delay_max_us < DELAY_US ? wire.delay_max_us : DELAY_US;
}

void wire_reset(unsigned a, unsigned b)
{
    for (struct conn *c = conns; c != NULL; c = c->next) {
        if ((c->from->number == a && c->to->number == b) ||
            (c->from->number == b && c->to->number == a)) {
            conn_break(c);
        }
    }
}

void wire_close(void)
{
    while (conns != NULL) {
        struct conn *c = conns;
        conns = c->next;
        conn_drop(c);
        free(c);
    }
    while (transports != NULL) {
        struct transport *t = transports;
        transports = t->next;
        while (t->first != NULL) {
            struct item *item = t->first;
            t->first = item->next;
            free(item);
        }
        free((void *)(uintptr_t)t->options.listen_address);
        free(t);
    }
    memset((void *)listening, 0, sizeof listening);
}
