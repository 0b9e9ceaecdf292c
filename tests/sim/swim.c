/* Membership in a simulated world: up to 128 nodes of the real protocol (core/gossip/swim), one
 * heap of timers, one seed. The network loses, delays, doubles, reorders and cuts one way; nodes
 * crash, come back with incarnation 1, or are slow: what they send and receive waits for 5 to 30 s
 * while their clocks run on (the Lifeguard paper's anomaly).
 *
 *     swim_sim [--quick] [SEED]
 *
 * Prints the figures, with Lifeguard and as plain SWIM in the same worlds, and one line `ok NAME`
 * or `not ok NAME` for each promise. The same seed gives the same run. */
#include "core/gossip/swim.h"
#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/gossip/packet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES          128
#define SAMPLES        4096
#define LATENCY_MS     2
#define SLOW_MIN_MS    5000
#define SLOW_MAX_MS    30000
#define SLOW_REST_MS   10000
#define STREAM_TIME_MS 10000

struct faults {
    unsigned loss;      /* of 1000 packets */
    unsigned duplicate; /* of 1000 */
    unsigned late;      /* of 1000: up to late_ms more */
    unsigned late_ms;
};

struct node {
    struct world *world;
    struct swim *swim;
    size_t number;
    bool up;
    bool slow; /* one of those that are so from time to time */
    uint64_t slow_until_ms;
    struct timer slowing;
    uint64_t bytes;
    uint64_t stream_bytes;
};

struct world {
    struct env env; /* first: ops get it */
    uint64_t now_ms;
    uint64_t dice;
    size_t count;
    bool plain;
    struct faults faults;
    struct node nodes[NODES];
    bool cut[NODES][NODES]; /* from, to */
    /* the crash that is being watched */
    size_t victim;
    uint64_t crash_ms;
    uint64_t suspected_ms;
    uint64_t failed_ms; /* by all */
    size_t failed_at;
    /* since counting began */
    uint64_t wrong;         /* healthy ones declared failed, by anybody */
    uint64_t wrong_healthy; /* by healthy ones */
    uint64_t wrong_slow;    /* slow ones declared failed */
    uint64_t suspicions;
    uint64_t events;
    struct list flights; /* what is on its way */
};

enum flight_kind {
    FLY_PACKET,
    FLY_STATE,
    FLY_STATE_ANSWER,
    FLY_PING,
    FLY_PING_ANSWER,
};

struct flight {
    struct timer timer;
    struct list link;
    struct world *world;
    enum flight_kind kind;
    bool landed; /* arrived, and waits for a slow node */
    size_t from;
    size_t to;
    uint32_t seq;
    uint64_t begun_ms;
    size_t len;
    char data[];
};

/* --- the world ------------------------------------------------------------------------------- */

static struct world *world_of(struct env *env)
{
    return (struct world *)(void *)env;
}

static uint64_t world_now_ms(struct env *env)
{
    return world_of(env)->now_ms;
}

/* splitmix64 */
static uint64_t dice_next(uint64_t *dice)
{
    uint64_t z = *dice += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void world_random(struct env *env, void *ret_data, size_t len)
{
    char *at = ret_data;
    while (len > 0) {
        uint64_t value = dice_next(&world_of(env)->dice);
        size_t part = len < sizeof value ? len : sizeof value;
        memcpy(at, &value, part);
        at += part;
        len -= part;
    }
}

static const struct env_ops WORLD_OPS = {
    .now_ms = world_now_ms,
    .wall_ms = world_now_ms,
    .random = world_random,
};

static uint64_t below(struct world *w, uint64_t limit)
{
    return env_random_below(&w->env, limit);
}

static bool chance(struct world *w, unsigned of_1000)
{
    return of_1000 > 0 && below(w, 1000) < of_1000;
}

static void run_until(struct world *w, uint64_t until_ms)
{
    uint64_t at_ms = 0;
    while (timers_next(&w->env.timers, &at_ms) && at_ms <= until_ms) {
        w->now_ms = at_ms > w->now_ms ? at_ms : w->now_ms;
        timers_run(&w->env.timers, w->now_ms);
    }
    w->now_ms = until_ms;
}

static void run_for(struct world *w, uint64_t ms)
{
    run_until(w, w->now_ms + ms);
}

/* --- the network ----------------------------------------------------------------------------- */

static struct packet_address address_of(size_t number)
{
    struct packet_address a = {.port = (uint16_t)(number + 1)};
    a.ip[10] = 0xff;
    a.ip[11] = 0xff;
    a.ip[12] = 10;
    a.ip[15] = 1;
    return a;
}

static uint64_t held_ms(const struct node *n)
{
    uint64_t now_ms = n->world->now_ms;
    return n->slow_until_ms > now_ms ? n->slow_until_ms - now_ms : 0;
}

static uint64_t latency_ms(struct world *w)
{
    uint64_t ms = 1 + below(w, LATENCY_MS);
    return chance(w, w->faults.late) ? ms + below(w, w->faults.late_ms + 1) : ms;
}

static void flight_land(struct timer *t);

static void
fly(struct node *from, size_t to, enum flight_kind kind, struct bytes data, struct flight like)
{
    struct world *w = from->world;
    struct flight *f = mem_alloc(sizeof *f + data.len);
    *f = like;
    f->world = w;
    f->kind = kind;
    f->from = from->number;
    f->to = to;
    f->len = data.len;
    if (data.len > 0) {
        memcpy(f->data, data.ptr, data.len);
    }
    uint64_t delay_ms = held_ms(from) + latency_ms(w);
    /* A stream sends again what was lost, later and later. */
    for (uint64_t again_ms = 200; kind != FLY_PACKET && chance(w, w->faults.loss); again_ms *= 2) {
        delay_ms += again_ms;
    }
    from->bytes += kind == FLY_PACKET ? data.len + GOSSIP_SEAL_MAX : 0;
    from->stream_bytes += kind == FLY_PACKET ? 0 : data.len;
    list_append(&w->flights, &f->link);
    timer_init(&f->timer, &w->env.timers, flight_land);
    timer_start(&f->timer, w->now_ms + delay_ms);
}

static void node_state(struct node *n, size_t to, enum flight_kind kind, uint64_t begun_ms)
{
    struct buf state;
    buf_init(&state, GOSSIP_STATE_MAX);
    swim_state(n->swim, &state);
    fly(n, to, kind, buf_view(&state), (struct flight){.begun_ms = begun_ms});
    buf_close(&state);
}

static void node_takes(struct node *n, const struct flight *f)
{
    struct packet_address from = address_of(f->from);
    struct bytes data = {f->data, f->len};
    enum err e = OK;
    uint64_t took_ms = n->world->now_ms - f->begun_ms;
    switch (f->kind) {
    case FLY_PACKET:
        e = swim_receive(n->swim, &from, data);
        break;
    case FLY_STATE:
        e = swim_merge(n->swim, data);
        node_state(n, f->from, FLY_STATE_ANSWER, f->begun_ms);
        break;
    case FLY_STATE_ANSWER:
        e = took_ms <= STREAM_TIME_MS ? swim_merge(n->swim, data) : OK;
        break;
    case FLY_PING:
        fly(n, f->from, FLY_PING_ANSWER, (struct bytes){0}, *f);
        break;
    case FLY_PING_ANSWER:
        if (took_ms <= GOSSIP_STREAM_PING_MS) {
            swim_stream_ack(n->swim, f->seq);
        }
        break;
    }
    CHECK(e == OK);
}

static void flight_over(struct flight *f)
{
    timer_stop(&f->timer);
    list_remove(&f->link);
    free(f);
}

static void flight_land(struct timer *t)
{
    struct flight *f = LIST_OWNER(t, struct flight, timer);
    struct world *w = f->world;
    struct node *to = &w->nodes[f->to];
    bool lost = w->cut[f->from][f->to] || !to->up ||
                (!f->landed && f->kind == FLY_PACKET && chance(w, w->faults.loss));
    if (!lost && held_ms(to) > 0) {
        f->landed = true;
        timer_start(t, to->slow_until_ms);
        return;
    }
    if (!lost) {
        w->events++;
        node_takes(to, f);
        if (f->kind == FLY_PACKET && chance(w, w->faults.duplicate)) {
            node_takes(to, f);
        }
    }
    flight_over(f);
}

/* --- what the nodes do and say --------------------------------------------------------------- */

static size_t number_of(const char *name)
{
    return (size_t)strtoul(name + 1, NULL, 10);
}

static size_t number_at(const struct packet_address *a)
{
    return a->port - 1U;
}

static void on_send(void *ctx, const struct packet_address *to, struct bytes packet)
{
    CHECK(packet.len <= PACKET_BODY_MAX);
    fly(ctx, number_at(to), FLY_PACKET, packet, (struct flight){0});
}

static void on_exchange(void *ctx, const struct packet_address *to)
{
    struct node *n = ctx;
    node_state(n, number_at(to), FLY_STATE, n->world->now_ms);
}

static void on_ping(void *ctx, const struct packet_address *to, const char *name, uint32_t seq)
{
    struct node *n = ctx;
    CHECK(number_of(name) == number_at(to));
    fly(n, number_at(to), FLY_PING, (struct bytes){0},
        (struct flight){.seq = seq, .begun_ms = n->world->now_ms});
}

static void on_changed(void *ctx, const struct gossip_member *m)
{
    struct node *n = ctx;
    struct world *w = n->world;
    struct node *about = &w->nodes[number_of(m->name)];
    if (m->status != GOSSIP_FAILED) {
        return;
    }
    if (!about->up) {
        w->failed_at += about->number == w->victim;
        w->failed_ms = w->now_ms;
        return;
    }
    w->wrong_slow += about->slow;
    w->wrong += !about->slow;
    w->wrong_healthy += !about->slow && !n->slow;
}

static void on_reaped(void *ctx, const struct gossip_member *m)
{
    (void)ctx;
    (void)m;
}

static void on_note(void *ctx, enum swim_note note, const char *name)
{
    struct node *n = ctx;
    struct world *w = n->world;
    if (note == SWIM_SUSPECTED) {
        w->suspicions++;
        if (number_of(name) == w->victim && !w->nodes[w->victim].up && w->suspected_ms == 0) {
            w->suspected_ms = w->now_ms;
        }
    }
}

static void on_order(void *ctx, const struct packet_address *from, const struct packet_message *m)
{
    (void)ctx;
    (void)from;
    (void)m;
}

static const struct swim_ops OPS = {
    .send = on_send,
    .exchange = on_exchange,
    .ping = on_ping,
    .changed = on_changed,
    .reaped = on_reaped,
    .note = on_note,
    .order = on_order,
};

static void node_start(struct node *n)
{
    char name[16];
    struct reason why;
    struct gossip_tag tags[2] = {{.name = "role", .value = "node"}, {.name = "dc", .value = "dc1"}};
    (void)snprintf(name, sizeof name, "n%03zu", n->number);
    struct swim_options options = {
        .env = &n->world->env,
        .name = name,
        .address = address_of(n->number),
        .tags = tags,
        .tag_count = 2,
        .reconnect_ms = 3600ULL * 1000 * 72,
        .plain = n->world->plain,
        .ctx = n,
        .ops = &OPS,
    };
    enum err e = swim_open(&options, &n->swim, &why);
    CHECK(e == OK);
    n->up = true;
    /* Any other that is there will do to join. */
    for (size_t i = 1; n->world->count > 1 && i < n->world->count; i++) {
        struct packet_address to = address_of((n->number + i) % n->world->count);
        if (n->world->nodes[number_at(&to)].up) {
            on_exchange(n, &to);
            break;
        }
    }
}

static void node_stop(struct node *n)
{
    swim_close(n->swim);
    n->swim = NULL;
    n->up = false;
}

/* A slow time, a rest, and again. */
static void node_slowing(struct timer *t)
{
    struct node *n = LIST_OWNER(t, struct node, slowing);
    struct world *w = n->world;
    uint64_t slow_ms = SLOW_MIN_MS + below(w, SLOW_MAX_MS - SLOW_MIN_MS + 1);
    n->slow_until_ms = w->now_ms + slow_ms;
    timer_start(t, n->slow_until_ms + 1 + below(w, SLOW_REST_MS));
}

static struct world *world_open(uint64_t seed, size_t count, bool plain)
{
    struct world *w = mem_zalloc(1, sizeof *w);
    w->env.ops = &WORLD_OPS;
    w->dice = seed;
    w->now_ms = 1000;
    w->count = count;
    w->plain = plain;
    timers_init(&w->env.timers);
    list_init(&w->flights);
    for (size_t i = 0; i < count; i++) {
        w->nodes[i] = (struct node){.world = w, .number = i};
        timer_init(&w->nodes[i].slowing, &w->env.timers, node_slowing);
    }
    for (size_t i = 0; i < count; i++) {
        node_start(&w->nodes[i]);
        run_for(w, 50);
    }
    run_for(w, 60000);
    w->wrong = w->wrong_healthy = w->wrong_slow = w->suspicions = w->events = 0;
    return w;
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        timer_stop(&w->nodes[i].slowing);
        if (w->nodes[i].up) {
            node_stop(&w->nodes[i]);
        }
    }
    LIST_FOREACH (at, &w->flights) {
        flight_over(LIST_OWNER(at, struct flight, link));
    }
    timers_close(&w->env.timers);
    free(w);
}

/* --- the promises (contracts: reliability, row 18) ------------------------------------------- */

static unsigned broken;

static void promise(bool held, const char *name)
{
    printf("%s %s\n", held ? "ok" : "not ok", name);
    broken += !held;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct samples {
    size_t count;
    uint64_t ms[SAMPLES];
};

static uint64_t percentile(struct samples *s, unsigned percent)
{
    qsort(s->ms, s->count, sizeof s->ms[0], compare_u64);
    return s->count == 0 ? UINT64_MAX : s->ms[(s->count * percent + 99) / 100 - 1];
}

struct detection {
    struct samples first;
    struct samples all;
    size_t missed;
};

/* One after another: a node crashes, is noticed, and comes back with incarnation 1. */
static void detect(uint64_t seed, bool plain, size_t crashes, struct detection *d)
{
    struct world *w = world_open(seed, NODES, plain);
    *d = (struct detection){0};
    for (size_t i = 0; i < crashes; i++) {
        run_for(w, 1000 + below(w, 1000));
        w->victim = (size_t)below(w, NODES);
        w->suspected_ms = w->failed_ms = w->failed_at = 0;
        node_stop(&w->nodes[w->victim]);
        w->crash_ms = w->now_ms;
        while (w->failed_at < NODES - 1 && w->now_ms < w->crash_ms + 120000) {
            run_for(w, 100);
        }
        if (w->failed_at < NODES - 1) {
            d->missed++;
        } else {
            d->first.ms[d->first.count++] = w->suspected_ms - w->crash_ms;
            d->all.ms[d->all.count++] = w->failed_ms - w->crash_ms;
        }
        node_start(&w->nodes[w->victim]);
    }
    world_close(w);
}

static void detect_show(const char *name, struct detection *d)
{
    printf("# %s: %zu crashes of %d nodes: known to the first p50 %" PRIu64 " ms, p99 %" PRIu64
           " ms; failed at all p50 %" PRIu64 " ms, p99 %" PRIu64 " ms; missed %zu\n",
           name, d->first.count, NODES, percentile(&d->first, 50), percentile(&d->first, 99),
           percentile(&d->all, 50), percentile(&d->all, 99), d->missed);
}

static void check_detection(uint64_t seed, size_t crashes)
{
    struct detection *d = mem_zalloc(2, sizeof *d);
    detect(seed, false, crashes, &d[0]);
    detect(seed, true, crashes / 2, &d[1]);
    detect_show("Lifeguard", &d[0]);
    detect_show("plain SWIM", &d[1]);
    promise(d[0].missed == 0, "every crash is noticed by every node");
    promise(percentile(&d[0].first, 50) <= 2000 && percentile(&d[0].first, 99) <= 6000,
            "a crash is known to the first node within 2 s (p50) and 6 s (p99)");
    promise(percentile(&d[0].all, 99) <= 15000, "and to all as failed within 15 s (p99)");
    free(d);
}

/* Healthy nodes on a network that loses 5 of 100 packets. */
static void check_loss(uint64_t seed, uint64_t minutes)
{
    for (unsigned plain = 0; plain < 2; plain++) {
        struct world *w = world_open(seed, NODES, plain == 1);
        w->faults = (struct faults){.loss = 50};
        run_for(w, minutes * 60000);
        printf("# %s: 5 %% loss, %" PRIu64 " node-hours: %" PRIu64
               " declared failed wrongly, %" PRIu64 " suspicions\n",
               w->plain ? "plain SWIM" : "Lifeguard", minutes * NODES / 60, w->wrong,
               w->suspicions);
        if (plain == 0) {
            promise(w->wrong == 0, "5 % loss makes no false positive");
        }
        world_close(w);
    }
}

/* Eight nodes whose processing stands still for 5 to 30 s again and again. */
static void check_slow(uint64_t seed, uint64_t minutes)
{
    uint64_t wrong[2] = {0};
    for (unsigned plain = 0; plain < 2; plain++) {
        struct world *w = world_open(seed, NODES, plain == 1);
        for (size_t i = 0; i < 8; i++) {
            w->nodes[i * 16].slow = true;
            timer_start(&w->nodes[i * 16].slowing, w->now_ms + below(w, SLOW_REST_MS));
        }
        run_for(w, minutes * 60000);
        printf("# %s: 8 slow nodes, %" PRIu64 " min: healthy ones declared failed %" PRIu64
               " times (%" PRIu64 " by healthy ones), slow ones %" PRIu64 " times, %" PRIu64
               " suspicions\n",
               w->plain ? "plain SWIM" : "Lifeguard", minutes, w->wrong, w->wrong_healthy,
               w->wrong_slow, w->suspicions);
        wrong[plain] = w->wrong;
        world_close(w);
    }
    promise(wrong[1] > 0 && wrong[1] >= 20 * wrong[0],
            "8 slow nodes make 20 times fewer false positives than in plain SWIM");
}

static void load(uint64_t seed, size_t count, double *ret_packets, double *ret_streams)
{
    struct world *w = world_open(seed, count, false);
    uint64_t bytes = 0;
    uint64_t streams = 0;
    for (size_t i = 0; i < count; i++) {
        w->nodes[i].bytes = w->nodes[i].stream_bytes = 0;
    }
    run_for(w, 600000);
    for (size_t i = 0; i < count; i++) {
        bytes += w->nodes[i].bytes;
        streams += w->nodes[i].stream_bytes;
    }
    *ret_packets = (double)bytes / 600 / (double)count;
    *ret_streams = (double)streams / 600 / (double)count;
    printf("# %zu nodes: each sends %.0f bytes/s in packets, %.0f bytes/s in state exchanges\n",
           count, *ret_packets, *ret_streams);
    world_close(w);
}

static void check_load(uint64_t seed)
{
    double packets[4];
    double streams[4];
    for (size_t i = 0; i < 4; i++) {
        load(seed, 16U << i, &packets[i], &streams[i]);
    }
    promise(packets[3] <= packets[0] * 1.1, "bytes/s of a node are flat from 16 to 128 nodes");
}

/* --- churn: all faults together, then peace, then all must agree ----------------------------- */

static void churn_some(struct world *w)
{
    size_t i = (size_t)below(w, w->count);
    size_t j = (size_t)below(w, w->count);
    struct node *n = &w->nodes[i];
    switch (below(w, 4)) {
    case 0:
        if (n->up) {
            node_stop(n);
        } else {
            node_start(n);
        }
        break;
    case 1:
        w->cut[i][j] = !w->cut[i][j];
        break;
    case 2:
        n->slow_until_ms = w->now_ms + SLOW_MIN_MS + below(w, SLOW_MAX_MS - SLOW_MIN_MS);
        break;
    default:
        /* One way: all hear it, it hears nobody. */
        for (size_t k = 0; k < w->count; k++) {
            w->cut[k][i] = below(w, 2) == 0;
        }
        break;
    }
}

static size_t disagreements(const struct world *w)
{
    size_t wrong = 0;
    for (size_t i = 0; i < w->count; i++) {
        for (size_t j = 0; w->nodes[i].up && j < w->count; j++) {
            char name[16];
            (void)snprintf(name, sizeof name, "n%03zu", j);
            const struct gossip_member *m = swim_find(w->nodes[i].swim, bytes_of(name));
            if (w->nodes[j].up) {
                const struct gossip_member *self = swim_self(w->nodes[j].swim);
                wrong +=
                    m == NULL || m->status != GOSSIP_ALIVE || m->incarnation != self->incarnation;
            } else {
                wrong += m != NULL && m->status == GOSSIP_ALIVE;
            }
        }
    }
    return wrong;
}

static void check_churn(uint64_t seed, uint64_t minutes)
{
    struct world *w = world_open(seed, NODES, false);
    w->faults = (struct faults){.loss = 50, .duplicate = 20, .late = 50, .late_ms = 500};
    for (uint64_t i = 0; i < minutes * 30; i++) {
        churn_some(w);
        run_for(w, 2000);
    }
    memset(w->cut, 0, sizeof w->cut);
    w->faults = (struct faults){0};
    uint64_t healed_ms = w->now_ms;
    while (disagreements(w) > 0 && w->now_ms < healed_ms + 600000) {
        run_for(w, 1000);
    }
    printf("# churn: %" PRIu64
           " min of loss, delay, duplicates, cuts, crashes and slow nodes, %" PRIu64
           " messages; all agreed %" PRIu64 " s after peace\n",
           minutes, w->events, (w->now_ms - healed_ms) / 1000);
    promise(disagreements(w) == 0, "after any churn all nodes agree again");
    world_close(w);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const char *text = argc > 1 + quick ? argv[1 + quick] : "1";
    uint64_t seed = strtoull(text, NULL, 10);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# seed %" PRIu64 "%s\n", seed, quick ? ", quick" : "");
    check_detection(seed, quick ? 100 : 4000);
    check_slow(seed, quick ? 5 : 20);
    check_loss(seed, quick ? 10 : 47);
    check_load(seed);
    check_churn(seed, quick ? 10 : 30);
    return broken > 0;
}
