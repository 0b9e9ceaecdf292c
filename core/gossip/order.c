/* Key orders to all members: asked of each directly, asked again until it answers or the time is
 * over. An order may come twice: it does nothing the second time. */
#include "core/gossip/gossip_priv.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct order_member {
    struct packet_address address;
    bool answered;
};

struct order {
    struct list link;
    struct gossip *g;
    struct timer timer;
    enum gossip_key_order what;
    char key[GOSSIP_KEY_MAX];
    size_t key_len;
    uint64_t id; /* of the first member's question; the next ones count on */
    uint64_t until_ms;
    size_t pending;
    size_t count;
    struct order_member *members;
    struct gossip_key_result result;
    void (*done)(void *ctx, const struct gossip_key_result *result);
    void *ctx;
};

static const char *const ORDER_NAMES[] = {
    [GOSSIP_KEY_LIST] = "list",
    [GOSSIP_KEY_INSTALL] = "install",
    [GOSSIP_KEY_USE] = "use",
    [GOSSIP_KEY_REMOVE] = "remove",
};

/* --- obeying --------------------------------------------------------------------------------- */

static enum err
order_change(struct gossip *g, enum gossip_key_order what, struct bytes key, struct reason *why)
{
    switch (what) {
    case GOSSIP_KEY_LIST:
        return OK;
    case GOSSIP_KEY_INSTALL:
        return keyring_install(g->keyring, key, why);
    case GOSSIP_KEY_USE:
        return keyring_use(g->keyring, key, why);
    case GOSSIP_KEY_REMOVE:
        return keyring_remove(g->keyring, key, why);
    }
    return ERR_INVALID;
}

static enum err
order_obey(struct gossip *g, enum gossip_key_order what, struct bytes key, struct reason *why)
{
    /* A node in clear cannot begin to seal: the others would not hear it, nor it them. */
    if (!seal_closed(g->seal)) {
        reason_set(why, "gossip is not encrypted on this node");
        return ERR_DENIED;
    }
    enum err e = order_change(g, what, key, why);
    if (e != OK || what == GOSSIP_KEY_LIST) {
        return e;
    }
    log_line(LOG_GOSSIP_KEYS, "order=%s keys=%zu", ORDER_NAMES[what], keyring_count(g->keyring));
    return g->keyring_path == NULL ? OK : keyring_save(g->keyring, g->keyring_path, why);
}

/* Each key with its length in front; the first one seals. */
static void order_keys(const struct gossip *g, struct buf *out)
{
    for (size_t i = 0; i < keyring_count(g->keyring); i++) {
        struct bytes key = keyring_at(g->keyring, i);
        buf_put_char(out, (char)key.len);
        buf_put(out, key);
    }
}

#define ORDER_KEYS_MAX ((size_t)GOSSIP_KEYS_MAX * (GOSSIP_KEY_MAX + 1))
#define ORDER_TEXT_MAX 200

static void
order_asked(struct gossip *g, const struct packet_address *from, const struct packet_message *m)
{
    struct reason why = {{0}};
    struct buf keys;
    buf_init(&keys, ORDER_KEYS_MAX);
    enum err e = order_obey(g, (enum gossip_key_order)m->order, m->text, &why);
    if (m->order == GOSSIP_KEY_LIST) {
        order_keys(g, &keys);
    }
    struct packet_message reply = {
        .type = PACKET_ORDER_REPLY,
        .id = m->id,
        .flags = e == OK ? 0 : PACKET_FAILED,
        .text = {why.text, strnlen(why.text, ORDER_TEXT_MAX)},
        .keys = buf_view(&keys),
    };
    swim_send_order(g->swim, from, &reply);
    buf_close(&keys);
}

/* --- counting the answers -------------------------------------------------------------------- */

static void count_key(struct gossip_key_result *r, struct bytes key, bool primary)
{
    char text[48];
    size_t at = 0;
    keyring_text(key, text);
    while (at < r->key_count && strcmp(r->keys[at].key, text) != 0) {
        at++;
    }
    if (at == sizeof r->keys / sizeof r->keys[0]) {
        return;
    }
    if (at == r->key_count) {
        r->key_count++;
        r->keys[at] = (struct gossip_key_count){0};
        memcpy(r->keys[at].key, text, sizeof text);
    }
    r->keys[at].members++;
    r->keys[at].primary_members += primary;
}

static void count_answer(struct order *o, bool failed, struct bytes text, struct bytes keys)
{
    struct gossip_key_result *r = &o->result;
    r->answered++;
    if (failed) {
        r->failed++;
    }
    if (failed && r->error[0] == '\0') {
        (void)snprintf(r->error, sizeof r->error, "%.*s", BYTES_FORMAT(text));
    }
    for (bool first = true; keys.len > 0; first = false) {
        size_t len = (unsigned char)keys.ptr[0];
        if (len == 0 || len > GOSSIP_KEY_MAX || len + 1 > keys.len) {
            return;
        }
        count_key(r, bytes_slice(keys, 1, len + 1), first);
        keys = bytes_slice(keys, len + 1, keys.len);
    }
}

static void order_answered(struct gossip *g, const struct packet_message *m)
{
    LIST_FOREACH (at, &g->orders) {
        struct order *o = LIST_OWNER(at, struct order, link);
        uint64_t i = m->id - o->id;
        if (i < o->count && !o->members[i].answered) {
            o->members[i].answered = true;
            o->pending--;
            count_answer(o, (m->flags & PACKET_FAILED) != 0, m->text, m->keys);
            if (o->pending == 0) {
                env_timer_start(g->env, &o->timer, 0);
            }
            return;
        }
    }
}

void order_heard(struct gossip *g,
                 const struct packet_address *from,
                 const struct packet_message *m)
{
    if (m->type == PACKET_ORDER) {
        order_asked(g, from, m);
    } else {
        order_answered(g, m);
    }
}

/* --- asking ---------------------------------------------------------------------------------- */

static void order_free(struct order *o)
{
    timer_stop(&o->timer);
    list_remove(&o->link);
    free(o->members);
    explicit_bzero(o->key, sizeof o->key);
    free(o);
}

/* This node comes last: as long as it seals with the old key, all others can hear it. */
static void order_finish(struct order *o)
{
    struct gossip *g = o->g;
    struct reason why = {{0}};
    struct buf keys;
    buf_init(&keys, ORDER_KEYS_MAX);
    enum err e = order_obey(g, o->what, (struct bytes){o->key, o->key_len}, &why);
    if (o->what == GOSSIP_KEY_LIST) {
        order_keys(g, &keys);
    }
    count_answer(o, e != OK, bytes_of(why.text), buf_view(&keys));
    buf_close(&keys);
    if (o->pending > 0 && o->result.error[0] == '\0') {
        (void)snprintf(o->result.error, sizeof o->result.error, "%zu members did not answer",
                       o->pending);
    }
    struct gossip_key_result result = o->result;
    void (*done)(void *, const struct gossip_key_result *) = o->done;
    void *ctx = o->ctx;
    order_free(o);
    done(ctx, &result);
}

static void order_tick(struct timer *t)
{
    struct order *o = LIST_OWNER(t, struct order, timer);
    struct gossip *g = o->g;
    if (o->pending == 0 || env_now_ms(g->env) >= o->until_ms) {
        order_finish(o);
        return;
    }
    for (size_t i = 0; i < o->count; i++) {
        struct packet_message ask = {
            .type = PACKET_ORDER,
            .id = o->id + i,
            .order = (uint8_t)o->what,
            .text = {o->key, o->key_len},
        };
        if (!o->members[i].answered) {
            swim_send_order(g->swim, &o->members[i].address, &ask);
        }
    }
    env_timer_start(g->env, &o->timer, GOSSIP_ORDER_RETRY_MS);
}

static void order_members(struct order *o)
{
    struct gossip *g = o->g;
    o->members = mem_zalloc(swim_count(g->swim), sizeof(struct order_member));
    for (size_t i = 0; i < swim_count(g->swim); i++) {
        const struct gossip_member *m = swim_at(g->swim, i);
        bool there = m->status == GOSSIP_ALIVE || m->status == GOSSIP_LEAVING;
        if (there && !m->self) {
            enum err e = packet_address_parse(m->address, m->port, &o->members[o->count++].address);
            CHECK(e == OK);
        }
    }
    o->pending = o->count;
    o->result.members = (unsigned)o->count + 1;
}

void gossip_key(struct gossip *g,
                enum gossip_key_order order,
                const char *key,
                void (*done)(void *ctx, const struct gossip_key_result *result),
                void *ctx)
{
    struct order *o = mem_zalloc(1, sizeof *o);
    struct reason why = {{0}};
    *o = (struct order){
        .g = g,
        .what = order,
        .until_ms = env_now_ms(g->env) + GOSSIP_ORDER_MS,
        .done = done,
        .ctx = ctx,
    };
    env_random(g->env, &o->id, sizeof o->id);
    list_append(&g->orders, &o->link);
    env_timer_init(g->env, &o->timer, order_tick);
    order_members(o);
    bool wrong = order != GOSSIP_KEY_LIST && keyring_parse(key, o->key, &o->key_len, &why) != OK;
    if (wrong || !seal_closed(g->seal)) {
        /* Nobody is asked; order_finish() then refuses it here too, and says why. */
        o->pending = 0;
        o->count = 0;
    }
    env_timer_start(g->env, &o->timer, 0);
}

void order_close_all(struct gossip *g)
{
    LIST_FOREACH (at, &g->orders) {
        order_free(LIST_OWNER(at, struct order, link));
    }
}
