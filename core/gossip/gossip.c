#include "core/gossip/gossip_priv.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a stream's first byte asks for. */
enum {
    REQUEST_EXCHANGE = 1,
    REQUEST_PING = 2,
};

/* Addresses of one join that are tried at the same time. */
#define JOIN_AT_ONCE 8

static const char *const STATUS_NAMES[] = {
    [GOSSIP_ALIVE] = "alive",
    [GOSSIP_LEAVING] = "leaving",
    [GOSSIP_LEFT] = "left",
    [GOSSIP_FAILED] = "failed",
};

const char *gossip_tag(const struct gossip_member *m, const char *name)
{
    for (size_t i = 0; i < m->tag_count; i++) {
        if (strcmp(m->tags[i].name, name) == 0) {
            return m->tags[i].value;
        }
    }
    return NULL;
}

static void address_port_text(const struct packet_address *a, char *ret_text, size_t size)
{
    char ip[GOSSIP_ADDRESS_LEN];
    packet_address_text(a, ip);
    (void)snprintf(ret_text, size, packet_address_v4(a) ? "%s:%u" : "[%s]:%u", ip, a->port);
}

/* --- state exchange -------------------------------------------------------------------------- */

struct exchange {
    struct socket_call call;
    struct gossip *g;
    exchange_done_fn done;
    void *ctx;
};

static void
exchange_done(struct socket_call *call, enum err e, struct bytes answer, const char *why)
{
    struct exchange *x = LIST_OWNER(call, struct exchange, call);
    struct gossip *g = x->g;
    if (e == OK) {
        bool good = answer.len >= 1 && answer.ptr[0] == REQUEST_EXCHANGE &&
                    swim_merge(g->swim, bytes_slice(answer, 1, answer.len)) == OK;
        why = good ? NULL : "its answer is malformed";
    }
    metric_add(why == NULL ? METRIC_GOSSIP_EXCHANGES : METRIC_GOSSIP_EXCHANGES_FAILED, 1);
    if (x->done != NULL && !g->closing) {
        x->done(x->ctx, &call->to, why);
    }
    free(x);
}

void gossip_exchange(struct gossip *g,
                     const struct packet_address *to,
                     exchange_done_fn done,
                     void *ctx)
{
    struct exchange *x = mem_zalloc(1, sizeof *x);
    struct buf request;
    *x = (struct exchange){
        .call = {.done = exchange_done, .to = *to},
        .g = g,
        .done = done,
        .ctx = ctx,
    };
    buf_init(&request, GOSSIP_STATE_MAX);
    buf_put_char(&request, REQUEST_EXCHANGE);
    swim_state(g->swim, &request);
    socket_call(g->socket, &x->call, buf_view(&request), GOSSIP_STREAM_MS);
    buf_close(&request);
}

static enum err on_request(void *ctx, struct bytes request, struct buf *answer)
{
    struct gossip *g = ctx;
    if (request.len < 1) {
        return ERR_INVALID;
    }
    struct bytes rest = bytes_slice(request, 1, request.len);
    enum err e = ERR_INVALID;
    if (request.ptr[0] == REQUEST_EXCHANGE) {
        e = swim_merge(g->swim, rest);
        if (e == OK) {
            buf_put_char(answer, REQUEST_EXCHANGE);
            swim_state(g->swim, answer);
        }
    } else if (request.ptr[0] == REQUEST_PING) {
        /* Meant for somebody else who lived here before: no answer. */
        e = bytes_equal(rest, bytes_of(swim_self(g->swim)->name)) ? OK : ERR_NOT_FOUND;
        if (e == OK) {
            buf_put_char(answer, REQUEST_PING);
        }
    }
    return e;
}

/* --- what the protocol wants ----------------------------------------------------------------- */

static void on_send(void *ctx, const struct packet_address *to, struct bytes packet)
{
    struct gossip *g = ctx;
    socket_send(g->socket, to, packet);
}

static void on_exchange(void *ctx, const struct packet_address *to)
{
    gossip_exchange(ctx, to, NULL, NULL);
}

struct stream_ping {
    struct socket_call call;
    struct gossip *g;
    uint32_t seq;
};

static void ping_done(struct socket_call *call, enum err e, struct bytes answer, const char *why)
{
    struct stream_ping *p = LIST_OWNER(call, struct stream_ping, call);
    (void)why;
    if (e == OK && answer.len == 1 && answer.ptr[0] == REQUEST_PING) {
        swim_stream_ack(p->g->swim, p->seq);
    }
    free(p);
}

static void on_ping(void *ctx, const struct packet_address *to, const char *name, uint32_t seq)
{
    struct gossip *g = ctx;
    struct stream_ping *p = mem_zalloc(1, sizeof *p);
    struct buf request;
    *p = (struct stream_ping){.call = {.done = ping_done, .to = *to}, .g = g, .seq = seq};
    buf_init(&request, GOSSIP_NAME_MAX + 1);
    buf_put_char(&request, REQUEST_PING);
    buf_put_str(&request, name);
    socket_call(g->socket, &p->call, buf_view(&request),
                g->wan ? GOSSIP_WAN_STREAM_PING_MS : GOSSIP_STREAM_PING_MS);
    buf_close(&request);
}

static void gossip_metric(const struct gossip *g, size_t members)
{
    metric_set(g->wan ? METRIC_GOSSIP_WAN_MEMBERS : METRIC_GOSSIP_MEMBERS, members);
}

static void on_changed(void *ctx, const struct gossip_member *m)
{
    struct gossip *g = ctx;
    gossip_metric(g, swim_count(g->swim));
    log_line(LOG_GOSSIP_MEMBER, "name=%s address=%s port=%u status=%s", m->name, m->address,
             m->port, STATUS_NAMES[m->status]);
    if (!m->self && g->members_path != NULL && !timer_armed(&g->save)) {
        env_timer_start(g->env, &g->save, GOSSIP_MEMBERS_SAVE_MS);
    }
    if (g->changed != NULL) {
        g->changed(g->ctx, m);
    }
}

static void on_reaped(void *ctx, const struct gossip_member *m)
{
    struct gossip *g = ctx;
    log_line(LOG_GOSSIP_REAPED, "name=%s", m->name);
    gossip_metric(g, swim_count(g->swim) - 1);
    if (g->reaped != NULL) {
        g->reaped(g->ctx, m);
    }
}

static void on_note(void *ctx, enum swim_note note, const char *name)
{
    struct gossip *g = ctx;
    uint64_t now_ms = env_now_ms(g->env);
    /* One rumour comes from many, and whoever means ill repeats it. */
    if (note != SWIM_SUSPECTED && now_ms < g->quiet_until_ms[note]) {
        return;
    }
    g->quiet_until_ms[note] = now_ms + GOSSIP_QUIET_MS;
    switch (note) {
    case SWIM_SUSPECTED:
        log_line(LOG_GOSSIP_SUSPECT, "name=%s", name);
        break;
    case SWIM_REFUTED:
        log_line(LOG_GOSSIP_REFUTED, "health=%u", swim_health(g->swim));
        break;
    case SWIM_CONFLICT:
        log_line(LOG_GOSSIP_CONFLICT, "name=%s", name);
        break;
    case SWIM_JUMP:
        log_line(LOG_GOSSIP_REFUSED, "name=%s reason=\"incarnation too far ahead\"", name);
        break;
    case SWIM_FULL:
        log_line(LOG_GOSSIP_REFUSED, "reason=\"too many members\"");
        break;
    case SWIM_ONLY_STREAM:
        log_line(LOG_GOSSIP_ONLY_TCP, "name=%s", name);
        break;
    }
}

static void on_order(void *ctx, const struct packet_address *from, const struct packet_message *m)
{
    order_heard(ctx, from, m);
}

static const struct swim_ops SWIM_OPS = {
    .send = on_send,
    .exchange = on_exchange,
    .ping = on_ping,
    .changed = on_changed,
    .reaped = on_reaped,
    .note = on_note,
    .order = on_order,
};

static void on_packet(void *ctx, const struct packet_address *from, struct bytes packet)
{
    struct gossip *g = ctx;
    if (swim_receive(g->swim, from, packet) != OK) {
        metric_add(METRIC_GOSSIP_DROPPED, 1);
    }
}

/* --- joining --------------------------------------------------------------------------------- */

struct join {
    struct list link;
    struct gossip *g;
    struct timer end;
    struct packet_address *addresses;
    size_t count;
    size_t next;
    size_t pending;
    size_t joined;
    struct reason why; /* the first failure; empty: none */
    void (*done)(void *ctx, size_t joined, const char *why);
    void *ctx;
};

static void join_free(struct join *j)
{
    timer_stop(&j->end);
    list_remove(&j->link);
    free(j->addresses);
    free(j);
}

static void join_end(struct timer *t)
{
    struct join *j = LIST_OWNER(t, struct join, end);
    struct join said = *j;
    join_free(j);
    said.done(said.ctx, said.joined, said.why.text);
}

static void join_some(struct join *j);

static void join_one_done(void *ctx, const struct packet_address *to, const char *why)
{
    struct join *j = ctx;
    char text[GOSSIP_ADDRESS_LEN + 16];
    j->pending--;
    if (why == NULL) {
        j->joined++;
    } else if (j->why.text[0] == '\0') {
        address_port_text(to, text, sizeof text);
        reason_set(&j->why, "%s: %s", text, why);
    }
    join_some(j);
}

static void join_some(struct join *j)
{
    while (j->next < j->count && j->pending < JOIN_AT_ONCE) {
        j->pending++;
        gossip_exchange(j->g, &j->addresses[j->next++], join_one_done, j);
    }
    if (j->pending == 0) {
        env_timer_start(j->g->env, &j->end, 0);
    }
}

static struct join *join_new(struct gossip *g, size_t count)
{
    struct join *j = mem_zalloc(1, sizeof *j);
    j->g = g;
    j->addresses = mem_zalloc(count, sizeof(struct packet_address));
    env_timer_init(g->env, &j->end, join_end);
    list_append(&g->joins, &j->link);
    return j;
}

void gossip_join_addresses(struct gossip *g,
                           const struct packet_address *addresses,
                           size_t count,
                           void (*done)(void *ctx, size_t joined, const char *why),
                           void *ctx)
{
    struct join *j = join_new(g, count);
    j->done = done;
    j->ctx = ctx;
    memcpy(j->addresses, addresses, count * sizeof *addresses);
    j->count = count;
    join_some(j);
}

void gossip_join(struct gossip *g,
                 const char *const *addresses,
                 size_t count,
                 void (*done)(void *ctx, size_t joined, const char *why),
                 void *ctx)
{
    struct join *j = join_new(g, count);
    j->done = done;
    j->ctx = ctx;
    for (size_t i = 0; i < count; i++) {
        struct packet_address *a = &j->addresses[j->count];
        if (packet_address_parse(addresses[i], gossip_port(g), a) == OK) {
            j->count++;
        } else if (j->why.text[0] == '\0') {
            reason_set(&j->why, "%.100s: not a literal IP address, with a port or without",
                       addresses[i]);
        }
    }
    join_some(j);
}

static void rejoin_done(void *ctx, size_t joined, const char *why)
{
    struct gossip *g = ctx;
    if (joined > 0) {
        log_line(LOG_GOSSIP_JOINED, "from=members-file answered=%zu", joined);
        return;
    }
    log_line(LOG_GOSSIP_JOIN_FAILED, "from=members-file error=\"%s\"", why);
    env_timer_start(g->env, &g->rejoin, GOSSIP_RECONNECT_MS);
}

static void rejoin_tick(struct timer *t)
{
    struct gossip *g = LIST_OWNER(t, struct gossip, rejoin);
    if (swim_count(g->swim) == 1 && !g->left) {
        gossip_join_addresses(g, g->known, g->known_count, rejoin_done, g);
    }
}

static void save_tick(struct timer *t)
{
    members_save(LIST_OWNER(t, struct gossip, save));
}

/* --- life ------------------------------------------------------------------------------------ */

static bool address_loopback(const struct packet_address *a)
{
    static const uint8_t LOOPBACK6[16] = {[15] = 1};
    return packet_address_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, LOOPBACK6, 16) == 0;
}

static bool address_any(const struct packet_address *a)
{
    static const uint8_t ANY6[16] = {0};
    static const uint8_t ANY4[4] = {0};
    return packet_address_v4(a) ? memcmp(a->ip + 12, ANY4, 4) == 0 : memcmp(a->ip, ANY6, 16) == 0;
}

static enum err
open_keys(struct gossip *g, const struct gossip_options *options, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < options->key_count; i++) {
        char key[GOSSIP_KEY_MAX];
        size_t len = 0;
        e = keyring_parse(options->keys[i], key, &len, why);
        if (e == OK) {
            e = keyring_install(g->keyring, (struct bytes){key, len}, why);
        }
        explicit_bzero(key, sizeof key);
    }
    if (e == OK && g->keyring_path != NULL) {
        e = keyring_load(g->keyring, g->keyring_path, why);
        e = e == ERR_NOT_FOUND ? OK : e;
    }
    return e;
}

static enum err open_addresses(const struct gossip_options *options,
                               struct packet_address *ret_bind,
                               struct packet_address *ret_advertise,
                               struct reason *why)
{
    enum err e = packet_address_parse(options->bind_address, options->bind_port, ret_bind);
    ret_bind->port = options->bind_port;
    const char *advertise =
        options->advertise_address != NULL ? options->advertise_address : options->bind_address;
    if (e == OK) {
        e = packet_address_parse(advertise, 0, ret_advertise);
    }
    if (e != OK) {
        reason_set(why, "gossip needs literal IP addresses, not \"%.100s\" and \"%.100s\"",
                   options->bind_address, advertise);
        return e;
    }
    if (address_any(ret_advertise)) {
        reason_set(why, "\"%.100s\" is no address that others can reach: say which to advertise",
                   advertise);
        return ERR_INVALID;
    }
    return OK;
}

static enum err open_socket(struct gossip *g,
                            const struct gossip_options *options,
                            struct packet_address *ret_advertise,
                            struct reason *why)
{
    struct socket_options so = {
        .loop = g->loop,
        .seal = g->seal,
        .ctx = g,
        .packet = on_packet,
        .request = on_request,
    };
    enum err e = open_addresses(options, &so.bind, ret_advertise, why);
    if (e == OK && !seal_closed(g->seal) && !address_loopback(&so.bind) && !options->allow_clear) {
        reason_set(why,
                   "gossip on %s would be in clear, and whoever reaches it could change the "
                   "membership: set \"encrypt\" to a key (make one with keygen), the same on all "
                   "nodes; or bind to a loopback address; or allow clear text explicitly",
                   options->bind_address);
        return ERR_DENIED;
    }
    if (e == OK) {
        e = socket_open(&so, &g->socket, why);
    }
    if (e == OK) {
        ret_advertise->port =
            options->advertise_port != 0 ? options->advertise_port : socket_port(g->socket);
    }
    return e;
}

static enum err open_all(struct gossip *g, const struct gossip_options *options, struct reason *why)
{
    struct swim_options so = {
        .env = g->env,
        .name = options->name,
        .tags = options->tags,
        .tag_count = options->tag_count,
        .reconnect_ms = options->reconnect_ms,
        .wan = options->wan,
        .ctx = g,
        .ops = &SWIM_OPS,
    };
    enum err e = open_keys(g, options, why);
    if (e == OK && g->members_path != NULL) {
        e = members_load(g, options->rejoin_after_leave, why);
        e = e == ERR_NOT_FOUND ? OK : e;
    }
    if (e == OK) {
        e = open_socket(g, options, &so.address, why);
    }
    if (e == OK) {
        e = swim_open(&so, &g->swim, why);
    }
    return e;
}

enum err
gossip_open(const struct gossip_options *options, struct gossip **ret_gossip, struct reason *why)
{
    const char *label = options->label == NULL ? "" : options->label;
    if (strlen(label) > GOSSIP_LABEL_MAX) {
        reason_set(why, "the label has at most %u bytes", GOSSIP_LABEL_MAX);
        return ERR_INVALID;
    }
    struct gossip *g = mem_zalloc(1, sizeof *g);
    g->loop = options->loop;
    g->env = loop_env(options->loop);
    g->ctx = options->ctx;
    g->wan = options->wan;
    g->changed = options->changed;
    g->reaped = options->reaped;
    g->keyring_path = options->keyring_path == NULL ? NULL : mem_strdup(options->keyring_path);
    g->members_path = options->members_path == NULL ? NULL : mem_strdup(options->members_path);
    g->keyring = keyring_new(g->env);
    g->seal = seal_new(g->env, g->keyring, label);
    list_init(&g->joins);
    list_init(&g->orders);
    env_timer_init(g->env, &g->save, save_tick);
    env_timer_init(g->env, &g->rejoin, rejoin_tick);
    enum err e = open_all(g, options, why);
    if (e != OK) {
        gossip_close(g);
        return e;
    }
    if (g->known_count > 0) {
        env_timer_start(g->env, &g->rejoin, 0);
    }
    log_line(LOG_GOSSIP_LISTENING, "address=%s port=%u encrypted=%s pool=%s",
             swim_self(g->swim)->address, gossip_port(g), gossip_encrypted(g) ? "true" : "false",
             g->wan ? "wan" : "lan");
    *ret_gossip = g;
    return OK;
}

void gossip_close(struct gossip *g)
{
    if (g == NULL) {
        return;
    }
    g->closing = true;
    if (g->swim != NULL && timer_armed(&g->save)) {
        members_save(g);
    }
    order_close_all(g);
    socket_close(g->socket);
    LIST_FOREACH (at, &g->joins) {
        join_free(LIST_OWNER(at, struct join, link));
    }
    swim_close(g->swim);
    timer_stop(&g->save);
    timer_stop(&g->rejoin);
    seal_free(g->seal);
    keyring_free(g->keyring);
    free(g->keyring_path);
    free(g->members_path);
    free(g->known);
    free(g);
}

void gossip_leave(struct gossip *g, void (*done)(void *ctx), void *ctx)
{
    g->left = true;
    members_save(g);
    swim_leave(g->swim, done, ctx);
}

/* --- questions ------------------------------------------------------------------------------- */

uint16_t gossip_port(const struct gossip *g)
{
    return socket_port(g->socket);
}

size_t gossip_count(const struct gossip *g)
{
    return swim_count(g->swim);
}

const struct gossip_member *gossip_at(const struct gossip *g, size_t i)
{
    return swim_at(g->swim, i);
}

const struct gossip_member *gossip_find(const struct gossip *g, const char *name)
{
    return swim_find(g->swim, bytes_of(name));
}

enum err gossip_set_tags(struct gossip *g, const struct gossip_tag *tags, size_t count)
{
    struct reason why;
    return swim_set_tags(g->swim, tags, count, &why);
}

enum err gossip_force_leave(struct gossip *g, const char *name, bool prune)
{
    return swim_force_leave(g->swim, bytes_of(name), prune);
}

bool gossip_encrypted(const struct gossip *g)
{
    return seal_closed(g->seal);
}
