#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/gossip/swim.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Nodes in a world without surprises: every packet arrives after a millisecond, unless the test
 * takes a node's network away. The clock is the test's. */

#define NODES 8

struct node {
    struct world *world;
    struct swim *swim;
    bool deaf; /* nothing reaches it, nothing leaves it */
    unsigned changes;
    unsigned notes[SWIM_ONLY_STREAM + 1];
    unsigned left;
};

struct world {
    struct env env; /* first: its ops get it */
    uint64_t now_ms;
    uint64_t dice;
    bool plain;
    bool wan;
    bool streams;
    struct node nodes[NODES];
    unsigned seen[PACKET_ORDER_REPLY + 1]; /* messages that were sent, by type */
};

struct flight {
    struct timer timer;
    struct world *world;
    size_t from;
    size_t to;
    size_t len;
    bool state;
    char data[];
};

static uint64_t world_now_ms(struct env *env)
{
    return ((struct world *)(void *)env)->now_ms;
}

static void world_random(struct env *env, void *ret_data, size_t len)
{
    struct world *w = (struct world *)(void *)env;
    unsigned char *at = ret_data;
    for (size_t i = 0; i < len; i++) {
        w->dice = w->dice * 6364136223846793005ULL + 1442695040888963407ULL;
        at[i] = (unsigned char)(w->dice >> 56);
    }
}

static const struct env_ops WORLD = {
    .now_ms = world_now_ms,
    .wall_ms = world_now_ms,
    .random = world_random,
};

static struct packet_address address_of(size_t i)
{
    struct packet_address a = {.port = (uint16_t)(i + 1)};
    a.ip[10] = a.ip[11] = 0xff;
    a.ip[12] = 10;
    return a;
}

static void flight_land(struct timer *t)
{
    struct flight *f = LIST_OWNER(t, struct flight, timer);
    struct node *to = &f->world->nodes[f->to];
    struct packet_address from = address_of(f->from);
    struct bytes data = {f->data, f->len};
    if (to->swim != NULL && !to->deaf) {
        cr_assert_eq(f->state ? swim_merge(to->swim, data) : swim_receive(to->swim, &from, data),
                     OK);
    }
    free(f);
}

static void fly(struct node *n, size_t to, struct bytes data, bool state)
{
    struct world *w = n->world;
    if (n->deaf || to >= NODES) {
        return;
    }
    struct flight *f = mem_alloc(sizeof *f + data.len);
    *f = (struct flight){
        .world = w, .from = (size_t)(n - w->nodes), .to = to, .len = data.len, .state = state};
    memcpy(f->data, data.ptr, data.len);
    timer_init(&f->timer, &w->env.timers, flight_land);
    timer_start(&f->timer, w->now_ms + 1);
}

static void on_send(void *ctx, const struct packet_address *to, struct bytes packet)
{
    struct node *n = ctx;
    struct packet_message m;
    struct bytes rest = bytes_slice(packet, 1, packet.len);
    while (packet_next(&rest, &m) == OK) {
        n->world->seen[m.type]++;
    }
    fly(n, to->port - 1U, packet, false);
}

static void send_state(struct node *n, size_t to)
{
    struct buf state;
    buf_init(&state, GOSSIP_STATE_MAX);
    swim_state(n->swim, &state);
    fly(n, to, buf_view(&state), true);
    buf_close(&state);
}

static void on_exchange(void *ctx, const struct packet_address *to)
{
    struct node *n = ctx;
    struct node *other = &n->world->nodes[to->port - 1];
    send_state(n, to->port - 1U);
    if (other->swim != NULL && !other->deaf && !n->deaf) {
        send_state(other, (size_t)(n - n->world->nodes));
    }
}

static void on_ping(void *ctx, const struct packet_address *to, const char *name, uint32_t seq)
{
    struct node *n = ctx;
    (void)name;
    if (n->world->streams && n->world->nodes[to->port - 1].swim != NULL) {
        swim_stream_ack(n->swim, seq);
    }
}

static void on_changed(void *ctx, const struct gossip_member *m)
{
    struct node *n = ctx;
    n->changes += m->name[0] != '\0';
}

static void on_note(void *ctx, enum swim_note note, const char *name)
{
    struct node *n = ctx;
    n->notes[note] += name[0] != '\0';
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
    .reaped = on_changed,
    .note = on_note,
    .order = on_order,
};

static void run_for(struct world *w, uint64_t ms)
{
    uint64_t until_ms = w->now_ms + ms;
    uint64_t at_ms = 0;
    while (timers_next(&w->env.timers, &at_ms) && at_ms <= until_ms) {
        w->now_ms = at_ms > w->now_ms ? at_ms : w->now_ms;
        timers_run(&w->env.timers, w->now_ms);
    }
    w->now_ms = until_ms;
}

static void name_of(size_t i, char ret_name[8])
{
    (void)snprintf(ret_name, 8, "n%zu", i);
}

static void node_open(struct world *w, size_t i, size_t join)
{
    struct reason why;
    char name[8];
    name_of(i, name);
    struct swim_options options = {
        .env = &w->env,
        .name = name,
        .address = address_of(i),
        .reconnect_ms = 3600000,
        .wan = w->wan,
        .plain = w->plain,
        .ctx = &w->nodes[i],
        .ops = &OPS,
    };
    w->nodes[i] = (struct node){.world = w};
    cr_assert_eq(swim_open(&options, &w->nodes[i].swim, &why), OK, "%s", why.text);
    struct packet_address to = address_of(join);
    if (join != i) {
        on_exchange(&w->nodes[i], &to);
    }
}

static void node_close(struct world *w, size_t i)
{
    swim_close(w->nodes[i].swim);
    w->nodes[i].swim = NULL;
}

/* `count` nodes that know each other; `wan`: over long ways. */
static struct world *world_of(size_t count, bool wan)
{
    struct world *w = mem_zalloc(1, sizeof *w);
    w->wan = wan;
    w->env.ops = &WORLD;
    w->now_ms = 1000;
    w->dice = 42;
    w->streams = true;
    timers_init(&w->env.timers);
    for (size_t i = 0; i < count; i++) {
        node_open(w, i, 0);
        run_for(w, 10);
    }
    run_for(w, 3000);
    return w;
}

static struct world *world_open(size_t count)
{
    return world_of(count, false);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < NODES; i++) {
        if (w->nodes[i].swim != NULL) {
            node_close(w, i);
        }
    }
    while (w->env.timers.count > 0) {
        struct timer *t = w->env.timers.items[1];
        timer_stop(t);
        free(LIST_OWNER(t, struct flight, timer));
    }
    timers_close(&w->env.timers);
    free(w);
}

static const struct gossip_member *member(struct world *w, size_t who, size_t whom)
{
    char name[8];
    name_of(whom, name);
    return swim_find(w->nodes[who].swim, bytes_of(name));
}

static enum gossip_status status(struct world *w, size_t who, size_t whom)
{
    const struct gossip_member *m = member(w, who, whom);
    return m == NULL ? 0 : m->status;
}

/* Packets of one message from node `from`, as a test wants it. */
static void say(struct world *w, size_t from, size_t to, const struct packet_message *m)
{
    struct packet_address a = address_of(from);
    struct buf packet;
    buf_init(&packet, PACKET_BODY_MAX);
    buf_put_char(&packet, PACKET_VERSION);
    cr_assert_eq(packet_append(&packet, m), OK);
    cr_assert_eq(swim_receive(w->nodes[to].swim, &a, buf_view(&packet)), OK);
    buf_close(&packet);
}

/* --- probing ------------------------------------------------------------------------------------
 */

/* In one round of n - 1 periods each other node is probed exactly once (SWIM, section 4.3). */
Test(swim, each_member_is_probed_once_per_round)
{
    struct world *w = world_open(5);
    run_for(w, 20000);
    memset(w->seen, 0, sizeof w->seen);
    run_for(w, 40000);
    cr_assert_eq(w->seen[PACKET_PING], 5 * 40);
    cr_assert_eq(w->seen[PACKET_ACK], 5 * 40);
    cr_assert_eq(w->seen[PACKET_PING_REQ], 0);
    cr_assert_eq(w->seen[PACKET_SUSPECT], 0);
    world_close(w);
}

/* With five nodes a crash is suspected within a round and confirmed 4 s later. */
Test(swim, a_crash_is_failed_after_the_suspicion)
{
    struct world *w = world_open(5);
    node_close(w, 4);
    run_for(w, 4000);
    cr_assert_eq(status(w, 0, 4), GOSSIP_ALIVE, "it has its time to refute");
    run_for(w, 12000);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(status(w, i, 4), GOSSIP_FAILED, "node %zu", i);
    }
    cr_assert_gt(w->seen[PACKET_PING_REQ], 0);
    cr_assert_gt(w->seen[PACKET_NACK], 0);
    world_close(w);
}

/* Between datacenters one is probed in 5 s, and who does not answer has 30 s at least. */
Test(swim, far_nodes_are_given_more_time)
{
    struct world *w = world_of(5, true);
    run_for(w, 20000);
    memset(w->seen, 0, sizeof w->seen);
    run_for(w, 40000);
    cr_assert_eq(w->seen[PACKET_PING], 5 * 8);
    node_close(w, 4);
    run_for(w, 30000);
    cr_assert_eq(status(w, 0, 4), GOSSIP_ALIVE, "it has its time to refute");
    run_for(w, 60000);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(status(w, i, 4), GOSSIP_FAILED, "node %zu", i);
    }
    world_close(w);
}

/* A node that hears nobody thinks worse of itself than of them: it probes more slowly, and its
 * suspicions of all others last until it hears again. Nobody is lost. */
Test(swim, a_deaf_node_doubts_itself)
{
    struct world *w = world_open(8);
    w->streams = false;
    w->nodes[7].deaf = true;
    run_for(w, 3500);
    cr_assert_gt(swim_health(w->nodes[7].swim), 1);
    w->nodes[7].deaf = false;
    run_for(w, 30000);
    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(status(w, 7, i), GOSSIP_ALIVE, "node %zu", i);
        cr_assert_eq(status(w, i, 7), GOSSIP_ALIVE, "node %zu", i);
    }
    run_for(w, 30000);
    cr_assert_eq(swim_health(w->nodes[7].swim), 0);
    world_close(w);
}

/* Its packets are lost, its streams are not: it is not suspected. */
Test(swim, a_stream_saves_who_loses_packets)
{
    struct world *w = world_open(3);
    w->nodes[2].deaf = true;
    run_for(w, 20000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_ALIVE);
    cr_assert_gt(w->nodes[0].notes[SWIM_ONLY_STREAM], 0);
    world_close(w);
}

/* Nobody but the addressee answers, and nobody is aimed at strangers. */
Test(swim, pings_for_others_are_not_answered)
{
    struct world *w = world_open(2);
    memset(w->seen, 0, sizeof w->seen);
    say(w, 1, 0,
        &(struct packet_message){.type = PACKET_PING, .name = BYTES("n9"), .from = BYTES("n1")});
    say(w, 1, 0, &(struct packet_message){.type = PACKET_PING_REQ, .name = BYTES("n9")});
    cr_assert_eq(w->seen[PACKET_ACK], 0);
    cr_assert_eq(w->seen[PACKET_PING], 0);
    say(w, 1, 0,
        &(struct packet_message){.type = PACKET_PING, .name = BYTES("n0"), .from = BYTES("n1")});
    cr_assert_eq(w->seen[PACKET_ACK], 1);
    world_close(w);
}

/* --- rumours
 * -------------------------------------------------------------------------------------- */

static struct packet_message about(enum packet_type type, const char *name, uint64_t incarnation)
{
    return (struct packet_message){
        .type = type,
        .incarnation = incarnation,
        .name = bytes_of(name),
        .from = BYTES("n1"),
        .address = address_of(6),
    };
}

/* What is said of this very node is outbid, whatever it is, and all hear it. */
Test(swim, rumours_about_oneself_are_refuted)
{
    static const enum packet_type bad[] = {PACKET_SUSPECT, PACKET_DEAD, PACKET_REMOVE};
    struct world *w = world_open(3);
    for (size_t i = 0; i < 3; i++) {
        uint64_t now = swim_self(w->nodes[0].swim)->incarnation;
        struct packet_message m = about(bad[i], "n0", now + 5);
        say(w, 1, 0, &m);
        cr_assert_eq(swim_self(w->nodes[0].swim)->incarnation, now + 6);
        cr_assert_eq(swim_self(w->nodes[0].swim)->status, GOSSIP_ALIVE);
        /* An old one is not worth an answer. */
        m.incarnation = now;
        say(w, 1, 0, &m);
        cr_assert_eq(swim_self(w->nodes[0].swim)->incarnation, now + 6);
        run_for(w, 2000);
        cr_assert_eq(member(w, 2, 0)->incarnation, now + 6);
    }
    cr_assert_eq(w->nodes[0].notes[SWIM_REFUTED], 3);
    world_close(w);
}

/* The order of rumours (SWIM, section 4.2): a newer incarnation wins; at the same one the worse. */
Test(swim, newer_incarnations_win)
{
    struct world *w = world_open(2);
    struct packet_message m = about(PACKET_ALIVE, "n6", 3);
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_ALIVE);
    m = about(PACKET_DEAD, "n6", 2);
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_ALIVE, "an old death is none");
    m = about(PACKET_DEAD, "n6", 3);
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_FAILED);
    m = about(PACKET_ALIVE, "n6", 3);
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_FAILED, "nobody rises without a new incarnation");
    m = about(PACKET_ALIVE, "n6", 4);
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_ALIVE);
    m = about(PACKET_DEAD, "n6", 4);
    m.from = BYTES("n6");
    say(w, 1, 0, &m);
    cr_assert_eq(status(w, 0, 6), GOSSIP_LEFT, "its own word");
    world_close(w);
}

/* An incarnation out of reach would silence its owner for ever. */
Test(swim, incarnations_do_not_jump)
{
    struct world *w = world_open(3);
    struct packet_message m = about(PACKET_ALIVE, "n2", 2 + GOSSIP_INCARNATION_JUMP);
    m.address = address_of(2);
    say(w, 1, 0, &m);
    cr_assert_lt(member(w, 0, 2)->incarnation, 100);
    m = about(PACKET_DEAD, "n0", GOSSIP_INCARNATION_MAX);
    say(w, 1, 0, &m);
    cr_assert_lt(swim_self(w->nodes[0].swim)->incarnation, 100);
    m = about(PACKET_ALIVE, "new", GOSSIP_INCARNATION_MAX);
    say(w, 1, 0, &m);
    cr_assert_null(swim_find(w->nodes[0].swim, BYTES("new")));
    cr_assert_eq(w->nodes[0].notes[SWIM_JUMP], 3);
    world_close(w);
}

/* Who claims the name of a living member at another address is noted, not obeyed; no war of
 * incarnations begins. */
Test(swim, a_claimed_name_is_not_given_away)
{
    struct world *w = world_open(3);
    struct packet_message m = about(PACKET_ALIVE, "n2", 7);
    say(w, 1, 0, &m);
    cr_assert_eq(member(w, 0, 2)->port, 3);
    m = about(PACKET_ALIVE, "n0", 7);
    say(w, 1, 0, &m);
    cr_assert_lt(swim_self(w->nodes[0].swim)->incarnation, 7);
    cr_assert_eq(w->nodes[0].notes[SWIM_CONFLICT], 2);
    run_for(w, 10000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_ALIVE);
    world_close(w);
}

/* It starts again with incarnation 1 where the others know a higher one: it learns that and outbids
 * it at once. */
Test(swim, a_restart_with_a_forgotten_incarnation_is_back_at_once)
{
    struct world *w = world_open(3);
    struct packet_message m = about(PACKET_SUSPECT, "n2", 1000);
    say(w, 1, 2, &m);
    run_for(w, 2000);
    cr_assert_eq(member(w, 0, 2)->incarnation, 1001);
    node_close(w, 2);
    run_for(w, 20000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_FAILED);
    node_open(w, 2, 0);
    run_for(w, 2000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_ALIVE);
    cr_assert_eq(status(w, 1, 2), GOSSIP_ALIVE);
    cr_assert_eq(member(w, 1, 2)->incarnation, 1002);
    world_close(w);
}

/* Independent accusations shorten the suspicion from 24 s to 4 s; the same accuser does not count
 * twice (Lifeguard, section IV.B). */
Test(swim, confirmations_shorten_a_suspicion)
{
    /* Its own probe may fail too, and is one confirmation then. */
    static const uint64_t earliest_ms[] = {11000, 4000, 4000};
    static const uint64_t latest_ms[] = {24100, 11500, 4100};
    for (unsigned confirmations = 0; confirmations < 3; confirmations++) {
        struct world *w = world_open(5);
        const char *who[] = {"n1", "n2", "n3"};
        /* Nobody else notices: the accused is there for all but the first, who is told. */
        struct packet_message m = about(PACKET_ALIVE, "n7", 1);
        w->streams = false;
        node_close(w, 1);
        node_close(w, 2);
        node_close(w, 3);
        node_close(w, 4);
        m.address = address_of(7);
        w->nodes[0].deaf = true;
        say(w, 1, 0, &m);
        uint64_t start_ms = w->now_ms;
        for (unsigned i = 0; i <= confirmations; i++) {
            m = about(PACKET_SUSPECT, "n7", 1);
            m.from = bytes_of(who[i]);
            say(w, 1, 0, &m);
            say(w, 1, 0, &m);
        }
        while (status(w, 0, 7) == GOSSIP_ALIVE && w->now_ms < start_ms + 30000) {
            run_for(w, 10);
        }
        cr_assert_leq(w->now_ms - start_ms, latest_ms[confirmations], "%u", confirmations);
        cr_assert_geq(w->now_ms - start_ms, earliest_ms[confirmations], "%u", confirmations);
        world_close(w);
    }
}

/* Between datacenters more accusers count than on a LAN, and past the last of them nothing more. */
Test(swim, far_nodes_have_room_for_every_accuser)
{
    static const char *const who[] = {"n1", "n2", "n3", "n4", "n5", "n6"};
    struct world *w = world_of(7, true);
    struct packet_message m = about(PACKET_ALIVE, "n7", 1);
    m.address = address_of(7);
    say(w, 1, 0, &m);
    w->nodes[0].deaf = true;
    for (size_t i = 0; i < sizeof who / sizeof who[0]; i++) {
        m = about(PACKET_SUSPECT, "n7", 1);
        m.from = bytes_of(who[i]);
        say(w, 1, 0, &m);
    }
    run_for(w, 29000);
    cr_assert_eq(status(w, 0, 7), GOSSIP_ALIVE);
    run_for(w, 1500);
    cr_assert_eq(status(w, 0, 7), GOSSIP_FAILED);
    world_close(w);
}

/* --- leaving, tags, forgetting
 * --------------------------------------------------------------------- */

static void on_left(void *ctx)
{
    struct node *n = ctx;
    n->left++;
}

Test(swim, leaving_is_announced_and_then_done)
{
    struct world *w = world_open(4);
    swim_leave(w->nodes[3].swim, on_left, &w->nodes[3]);
    cr_assert_eq(w->nodes[3].left, 0, "never from inside");
    for (unsigned i = 0; i < 300 && status(w, 0, 3) == GOSSIP_ALIVE; i++) {
        run_for(w, 10);
    }
    cr_assert_eq(status(w, 0, 3), GOSSIP_LEAVING);
    run_for(w, 3000);
    cr_assert_eq(w->nodes[3].left, 1);
    node_close(w, 3);
    run_for(w, 30000);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(status(w, i, 3), GOSSIP_LEFT);
    }
    node_open(w, 3, 1);
    run_for(w, 2000);
    cr_assert_eq(status(w, 0, 3), GOSSIP_ALIVE);
    world_close(w);
}

/* Alone, nobody is waited for. */
Test(swim, leaving_alone_is_quick)
{
    struct world *w = world_open(1);
    swim_leave(w->nodes[0].swim, on_left, &w->nodes[0]);
    run_for(w, 500);
    cr_assert_eq(w->nodes[0].left, 1);
    world_close(w);
}

Test(swim, new_tags_are_heard_once)
{
    struct world *w = world_open(3);
    struct gossip_tag tag = {.name = "role", .value = "server"};
    struct reason why;
    unsigned before = w->nodes[2].changes;
    cr_assert_eq(swim_set_tags(w->nodes[0].swim, &tag, 1, &why), OK);
    run_for(w, 3000);
    cr_assert_eq(w->nodes[2].changes, before + 1);
    cr_assert_eq(member(w, 2, 0)->tag_count, 1);
    cr_assert_str_eq(member(w, 2, 0)->tags[0].value, "server");
    cr_assert_eq(member(w, 2, 0)->incarnation, 2);
    /* The same again is no news. */
    cr_assert_eq(swim_set_tags(w->nodes[0].swim, &tag, 1, &why), OK);
    cr_assert_eq(swim_self(w->nodes[0].swim)->incarnation, 2);
    world_close(w);
}

/* Failed members are tried again and, after reconnect_ms (here an hour), forgotten. */
Test(swim, the_failed_are_reaped_after_their_time)
{
    struct world *w = world_open(3);
    node_close(w, 2);
    run_for(w, 30000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_FAILED);
    run_for(w, 3500000);
    cr_assert_eq(status(w, 0, 2), GOSSIP_FAILED);
    run_for(w, 200000);
    cr_assert_null(member(w, 0, 2));
    cr_assert_null(member(w, 1, 2));
    world_close(w);
}

/* Two halves that took each other for dead find each other again by themselves. */
Test(swim, a_long_partition_heals)
{
    struct world *w = world_open(2);
    w->streams = false;
    w->nodes[1].deaf = true;
    run_for(w, 300000);
    cr_assert_eq(status(w, 0, 1), GOSSIP_FAILED);
    cr_assert_eq(status(w, 1, 0), GOSSIP_FAILED);
    w->nodes[1].deaf = false;
    run_for(w, 120000);
    cr_assert_eq(status(w, 0, 1), GOSSIP_ALIVE);
    cr_assert_eq(status(w, 1, 0), GOSSIP_ALIVE);
    world_close(w);
}

Test(swim, a_broken_packet_changes_nothing)
{
    struct world *w = world_open(2);
    struct packet_address from = address_of(1);
    struct packet_message m = about(PACKET_ALIVE, "n5", 1);
    struct buf packet;
    buf_init(&packet, PACKET_BODY_MAX);
    buf_put_char(&packet, PACKET_VERSION);
    cr_assert_eq(packet_append(&packet, &m), OK);
    buf_put_str(&packet, "\5x");
    cr_assert_eq(swim_receive(w->nodes[0].swim, &from, buf_view(&packet)), ERR_INVALID);
    cr_assert_null(member(w, 0, 5));
    packet.ptr[0] = PACKET_VERSION + 1;
    buf_truncate(&packet, packet.len - 2);
    cr_assert_eq(swim_receive(w->nodes[0].swim, &from, buf_view(&packet)), ERR_INVALID);
    cr_assert_eq(swim_merge(w->nodes[0].swim, BYTES("\1\1garbage")), ERR_INVALID);
    buf_close(&packet);
    world_close(w);
}
