/* Peers by their id, and the calls. What happens is collected and done once a turn: writing,
 * telling the user, freeing. So no call calls back, and what is sent in one turn goes out at once.
 */
#include "store/replica/transport.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/metric.h"
#include "store/replica/transport_priv.h"

#include <stdlib.h>
#include <string.h>

struct peer *transport_peer(const struct transport *t, uint64_t id)
{
    LIST_FOREACH (at, &t->peers) {
        struct peer *p = LIST_OWNER(at, struct peer, link);
        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

/* --- once a turn -------------------------------------------------------------------------------
 */

void transport_turn(struct transport *t)
{
    if (!timer_armed(&t->turn)) {
        env_timer_start(t->env, &t->turn, 0);
    }
}

/* A connection that broke and came back in one turn is told as down, then up. */
static void transport_tell(struct transport *t, struct peer *p)
{
    const struct out *control = &p->out[TRANSPORT_CONTROL];
    bool lost = p->lost || control->state.state != OUT_UP;
    p->lost = false;
    if (p->told_up && lost) {
        p->told_up = false;
        t->options.linked(t->options.ctx, p->id, false);
    }
    if (!p->dropped && !p->told_up && control->state.state == OUT_UP) {
        p->told_up = true;
        t->options.linked(t->options.ctx, p->id, true);
    }
}

static void transport_peer_free(struct peer *p)
{
    list_remove(&p->link);
    free(p->address);
    free(p);
}

static void transport_reap(struct transport *t)
{
    in_reap(t);
    LIST_FOREACH (at, &t->dead_peers) {
        transport_peer_free(LIST_OWNER(at, struct peer, link));
    }
}

static void transport_on_turn(struct timer *timer)
{
    struct transport *t = LIST_OWNER(timer, struct transport, turn);
    transport_reap(t);
    while (!list_empty(&t->dirty)) {
        struct out *o = LIST_OWNER(t->dirty.next, struct out, dirty);
        list_remove(&o->dirty);
        out_flush(o);
    }
    struct list news;
    list_init(&news);
    list_move_all(&news, &t->news);
    while (!list_empty(&news)) {
        struct peer *p = LIST_OWNER(news.next, struct peer, news);
        list_remove(&p->news);
        transport_tell(t, p);
    }
}

/* --- life --------------------------------------------------------------------------------------
 */

enum err transport_open(const struct transport_options *options,
                        struct transport **ret_transport,
                        struct reason *why)
{
    CHECK(options->id != 0);
    int fd = -1;
    uint16_t port = 0;
    enum err e = wire_listen(options->listen_address, options->listen_port, &fd, &port, why);
    if (e != OK) {
        return e;
    }
    struct transport *t = mem_zalloc(1, sizeof *t);
    t->options = *options;
    t->options.listen_address = NULL; /* borrowed for the call */
    t->env = loop_env(options->loop);
    t->port = port;
    list_init(&t->peers);
    list_init(&t->dead_peers);
    list_init(&t->incoming);
    list_init(&t->dead_incoming);
    list_init(&t->dirty);
    list_init(&t->news);
    env_timer_init(t->env, &t->turn, transport_on_turn);
    in_listen(t, fd);
    *ret_transport = t;
    return OK;
}

void transport_close(struct transport *t)
{
    if (t == NULL) {
        return;
    }
    LIST_FOREACH (at, &t->peers) {
        transport_drop_peer(t, LIST_OWNER(at, struct peer, link)->id);
    }
    in_close_all(t);
    transport_reap(t);
    timer_stop(&t->turn);
    CHECK(list_empty(&t->dirty) && list_empty(&t->news));
    free(t);
}

uint16_t transport_port(const struct transport *t)
{
    return t->port;
}

struct transport_counts transport_counts(const struct transport *t)
{
    return t->counts;
}

/* --- peers -------------------------------------------------------------------------------------
 */

void transport_set_cluster(struct transport *t, uint64_t cluster)
{
    if (cluster == t->cluster) {
        return;
    }
    t->cluster = cluster;
    in_close_cluster(t);
    LIST_FOREACH (at, &t->peers) {
        struct peer *p = LIST_OWNER(at, struct peer, link);
        for (unsigned c = 0; c < CHANNELS; c++) {
            if (p->out[c].state.state == OUT_UP && p->out[c].cluster != cluster) {
                out_restart(&p->out[c]);
            }
        }
    }
}

enum err transport_set_peer(struct transport *t, uint64_t id, const char *address)
{
    struct wire_address to;
    if (id == 0 || id == t->options.id || wire_address_parse(address, &to) != OK) {
        return ERR_INVALID;
    }
    struct peer *p = transport_peer(t, id);
    if (p != NULL && strcmp(p->address, address) == 0) {
        return OK;
    }
    if (p != NULL) {
        in_close_peer(t, id);
        for (unsigned c = 0; c < CHANNELS; c++) {
            out_restart(&p->out[c]);
        }
        free(p->address);
        p->address = mem_strdup(address);
        p->to = to;
        return OK;
    }
    p = mem_zalloc(1, sizeof *p);
    p->transport = t;
    p->id = id;
    p->address = mem_strdup(address);
    p->to = to;
    list_init(&p->news);
    list_append(&t->peers, &p->link);
    for (unsigned c = 0; c < CHANNELS; c++) {
        out_init(&p->out[c], p, (enum transport_channel)c);
    }
    return OK;
}

void transport_drop_peer(struct transport *t, uint64_t id)
{
    struct peer *p = transport_peer(t, id);
    if (p == NULL) {
        return;
    }
    in_close_peer(t, id);
    for (unsigned c = 0; c < CHANNELS; c++) {
        out_close(&p->out[c]);
    }
    p->dropped = true;
    list_remove(&p->news);
    list_remove(&p->link);
    list_append(&t->dead_peers, &p->link);
    transport_turn(t);
}

/* --- sending -----------------------------------------------------------------------------------
 */

enum err transport_send(struct transport *t,
                        uint64_t id,
                        enum transport_channel channel,
                        struct bytes message)
{
    CHECK(message.len > 0 && message.len <= RPC_MESSAGE_MAX);
    CHECK(channel < CHANNELS);
    struct peer *p = transport_peer(t, id);
    if (p == NULL) {
        return ERR_NOT_FOUND;
    }
    struct out *o = &p->out[channel];
    if (o->state.state != OUT_UP ||
        o->queue.bytes + FRAME_HEAD_LEN + message.len > TRANSPORT_PENDING_MAX) {
        metric_add(METRIC_PEER_DROPPED, 1);
        return ERR_BUSY;
    }
    out_put(o, message);
    return OK;
}

size_t transport_pending(const struct transport *t, uint64_t id, enum transport_channel channel)
{
    CHECK(channel < CHANNELS);
    const struct peer *p = transport_peer(t, id);
    return p == NULL ? 0 : p->out[channel].queue.bytes;
}
