/* One node of the membership protocol in a world of a fuzzer's own: what it sends is read back, and
 * must be valid.
 *
 * Owner    fuzz_open() to fuzz_close().
 * Threads  none.
 */
#ifndef TESTS_FUZZ_GOSSIP_WORLD_H
#define TESTS_FUZZ_GOSSIP_WORLD_H

#include "core/base/check.h"
#include "core/base/env.h"
#include "core/gossip/swim.h"

#include <string.h>

struct fuzz_world {
    struct env env; /* first: its ops get it */
    uint64_t now_ms;
    uint64_t dice;
    struct swim *swim;
};

static inline uint64_t fuzz_now_ms(struct env *env)
{
    return ((struct fuzz_world *)(void *)env)->now_ms;
}

static inline void fuzz_random(struct env *env, void *ret_data, size_t len)
{
    struct fuzz_world *w = (struct fuzz_world *)(void *)env;
    unsigned char *at = ret_data;
    for (size_t i = 0; i < len; i++) {
        w->dice = w->dice * UINT64_C(6364136223846793005) + 1442695040888963407U;
        at[i] = (unsigned char)(w->dice >> 56);
    }
}

static inline struct packet_address fuzz_address(uint8_t number)
{
    struct packet_address a = {.port = 8301};
    a.ip[10] = a.ip[11] = 0xff;
    a.ip[12] = 10;
    a.ip[15] = number;
    return a;
}

/* Whatever the node says, it would have to take from another one. */
static inline void fuzz_send(void *ctx, const struct packet_address *to, struct bytes packet)
{
    struct packet_message m;
    (void)ctx;
    CHECK(to->port != 0);
    CHECK(packet.len >= 1 && packet.len <= PACKET_BODY_MAX && packet.ptr[0] == PACKET_VERSION);
    struct bytes rest = bytes_slice(packet, 1, packet.len);
    enum err e = OK;
    while (e == OK) {
        e = packet_next(&rest, &m);
    }
    CHECK(e == ERR_NOT_FOUND);
}

static inline void fuzz_exchange(void *ctx, const struct packet_address *to)
{
    (void)ctx;
    CHECK(to->port != 0);
}

static inline void
fuzz_ping(void *ctx, const struct packet_address *to, const char *name, uint32_t seq)
{
    (void)ctx;
    (void)seq;
    CHECK(to->port != 0);
    CHECK(packet_name_valid(bytes_of(name)));
}

static inline void fuzz_changed(void *ctx, const struct gossip_member *m)
{
    (void)ctx;
    CHECK(m->status >= GOSSIP_ALIVE && m->status <= GOSSIP_FAILED);
    CHECK(m->address[0] != '\0' && m->port != 0);
}

static inline void fuzz_reaped(void *ctx, const struct gossip_member *m)
{
    (void)ctx;
    CHECK(!m->self);
}

static inline void fuzz_note(void *ctx, enum swim_note note, const char *name)
{
    (void)ctx;
    (void)note;
    CHECK(packet_name_valid(bytes_of(name)));
}

static inline void
fuzz_order(void *ctx, const struct packet_address *from, const struct packet_message *m)
{
    (void)ctx;
    (void)from;
    CHECK(m->type == PACKET_ORDER || m->type == PACKET_ORDER_REPLY);
}

static const struct env_ops FUZZ_WORLD = {
    .now_ms = fuzz_now_ms,
    .wall_ms = fuzz_now_ms,
    .random = fuzz_random,
};

static const struct swim_ops FUZZ_OPS = {
    .send = fuzz_send,
    .exchange = fuzz_exchange,
    .ping = fuzz_ping,
    .changed = fuzz_changed,
    .reaped = fuzz_reaped,
    .note = fuzz_note,
    .order = fuzz_order,
};

static inline void fuzz_open(struct fuzz_world *w)
{
    struct reason why;
    struct gossip_tag tag = {.name = "role", .value = "node"};
    *w = (struct fuzz_world){.env.ops = &FUZZ_WORLD, .now_ms = 1000, .dice = 1};
    timers_init(&w->env.timers);
    struct swim_options options = {
        .env = &w->env,
        .name = "self",
        .address = fuzz_address(1),
        .tags = &tag,
        .tag_count = 1,
        .reconnect_ms = 60000,
        .ops = &FUZZ_OPS,
    };
    enum err e = swim_open(&options, &w->swim, &why);
    CHECK(e == OK);
}

static inline void fuzz_run(struct fuzz_world *w, uint64_t ms)
{
    uint64_t until_ms = w->now_ms + ms;
    uint64_t at_ms = 0;
    while (timers_next(&w->env.timers, &at_ms) && at_ms <= until_ms) {
        w->now_ms = at_ms > w->now_ms ? at_ms : w->now_ms;
        timers_run(&w->env.timers, w->now_ms);
    }
    w->now_ms = until_ms;
}

/* In order, whole, and the node itself alive in its own list. */
static inline void fuzz_close(struct fuzz_world *w)
{
    const struct gossip_member *self = swim_find(w->swim, BYTES("self"));
    CHECK(self != NULL && self->self && self->status == GOSSIP_ALIVE && self->port == 8301);
    CHECK(swim_count(w->swim) <= GOSSIP_MEMBERS_MAX);
    for (size_t i = 0; i + 1 < swim_count(w->swim); i++) {
        CHECK(strcmp(swim_at(w->swim, i)->name, swim_at(w->swim, i + 1)->name) < 0);
    }
    swim_close(w->swim);
    timers_close(&w->env.timers);
}

#endif
