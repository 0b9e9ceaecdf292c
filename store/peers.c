/* The other servers: who they are, what they say, and what is said to them. */
#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After so many in a row has a server lost what it had acknowledged. */
#define PEER_WIPED_REJECTIONS 5U

/* --- who ------------------------------------------------------------------------------------- */

struct peer *peers_find(struct store *s, uint64_t id)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (s->peers[i].id == id) {
            return &s->peers[i];
        }
    }
    return NULL;
}

static struct peer *peers_place(struct store *s, uint64_t id)
{
    struct peer *peer = peers_find(s, id);
    if (peer == NULL) {
        peer = peers_find(s, 0);
        if (peer != NULL) {
            *peer = (struct peer){.id = id};
        }
    }
    return peer;
}

static void peers_dial(struct store *s, struct peer *peer, const char *address)
{
    if (s->transport == NULL || peer->id == s->id || address[0] == '\0') {
        return;
    }
    if (strcmp(peer->address, address) == 0) {
        return;
    }
    (void)snprintf(peer->address, sizeof peer->address, "%s", address);
    if (transport_set_peer(s->transport, peer->id, address) != OK) {
        log_line(LOG_PEER_ADDRESS, "server=%016llx address=%s", (unsigned long long)peer->id,
                 address);
    }
}

static void peers_forget_if_gone(struct store *s, struct peer *peer)
{
    if (!peer->seen && !peer->configured) {
        if (s->transport != NULL) {
            transport_drop_peer(s->transport, peer->id);
        }
        *peer = (struct peer){0};
    }
}

void peers_refresh(struct store *s)
{
    const struct store_servers *servers = engine_servers(s->engine);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        s->peers[i].configured = false;
    }
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        struct peer *peer = server->id != s->id ? peers_place(s, server->id) : NULL;
        if (peer == NULL) {
            continue;
        }
        peer->configured = true;
        /* Gossip is newer than the log. */
        if (!peer->seen) {
            peers_dial(s, peer, server->address);
        }
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (s->peers[i].id != 0) {
            peers_forget_if_gone(s, &s->peers[i]);
        }
    }
}

struct peers_news {
    struct mail mail;
    struct store *store;
    bool seen;
    char node_id[37];
    char address[STORE_ADDRESS_MAX];
};

static void peers_on_news(struct mail *m)
{
    struct peers_news *news = LIST_OWNER(m, struct peers_news, mail);
    struct store *s = news->store;
    uint64_t id = store_server_id(news->node_id);
    struct peer *peer = id == 0 || id == s->id ? NULL
                        : news->seen           ? peers_place(s, id)
                                               : peers_find(s, id);
    if (peer != NULL && news->seen) {
        peer->seen = true;
        memcpy(peer->node_id, news->node_id, sizeof peer->node_id);
        peers_dial(s, peer, news->address);
    } else if (peer != NULL) {
        peer->seen = false;
        peers_forget_if_gone(s, peer);
    }
    free(news);
}

static void peers_tell(struct store *s, bool seen, const char *node_id, const char *address)
{
    struct peers_news *news = mem_zalloc(1, sizeof *news);
    news->mail.deliver = peers_on_news;
    news->store = s;
    news->seen = seen;
    (void)snprintf(news->node_id, sizeof news->node_id, "%s", node_id);
    (void)snprintf(news->address, sizeof news->address, "%s", address);
    mailbox_post(loop_mailbox(s->hub), &news->mail);
}

void store_server_seen(struct store *s, const char *node_id, const char *address)
{
    peers_tell(s, true, node_id, address);
}

void store_server_gone(struct store *s, const char *node_id)
{
    peers_tell(s, false, node_id, "");
}

uint64_t store_server_id(const char *node_id)
{
    uint64_t id = 0;
    unsigned digits = 0;
    for (const char *at = node_id; *at != '\0' && digits < 16; at++) {
        static const char HEX[] = "0123456789abcdef";
        char lower = (char)(*at >= 'A' && *at <= 'F' ? *at - 'A' + 'a' : *at);
        const char *found = strchr(HEX, lower);
        if (found != NULL) {
            id = id << 4 | (uint64_t)(found - HEX);
            digits++;
        }
    }
    return digits == 0 || id != 0 ? id : 1;
}

/* --- what is said to them -------------------------------------------------------------------- */

void peers_send(struct store *s,
                uint64_t to,
                enum transport_channel channel,
                const struct rpc_message *m)
{
    if (s->transport == NULL || s->muted || to == 0 || to == s->id) {
        return;
    }
    buf_clear(&s->outgoing);
    enum err e = rpc_encode(&s->outgoing, m);
    if (e == OK) {
        /* Lost messages are sent again by whoever needs them to arrive. */
        e = transport_send(s->transport, to, channel, buf_view(&s->outgoing));
    }
    (void)e;
}

/* One more entry of those that `m` names; from the disk it is copied. */
static enum err peers_gather(struct store *s, uint64_t index, struct journal_entry *ret_entry)
{
    const struct journal_entry *kept = tail_get(&s->tail, index);
    if (kept != NULL) {
        *ret_entry = *kept;
        return OK;
    }
    struct rocks_slice slice = {0};
    struct reason why;
    /* All of it at once: entries point into it. */
    enum err e = buf_reserve(&s->gathered, RPC_MESSAGE_MAX - buf_view(&s->gathered).len);
    e = e == OK ? journal_read(s->journal, index, &slice, ret_entry, &why) : e;
    if (e == OK) {
        size_t at = buf_view(&s->gathered).len;
        e = buf_append(&s->gathered, ret_entry->data);
        ret_entry->data.ptr = buf_view(&s->gathered).ptr + at;
    }
    rocks_slice_close(&slice);
    return e;
}

void peers_send_append(struct store *s, uint64_t to, const struct rpc_append *m)
{
    struct rpc_message piece = {.type = RPC_APPEND, .append = *m};
    uint64_t next = m->prev_index + 1;
    uint64_t end = m->prev_index + m->count;
    do {
        size_t bytes = 0;
        size_t count = 0;
        buf_clear(&s->gathered);
        while (next <= end && count < RPC_ENTRIES_MAX && bytes < RPC_APPEND_BYTES) {
            if (count == s->sending_cap) {
                s->sending_cap = s->sending_cap == 0 ? 256 : s->sending_cap * 2;
                s->sending = mem_realloc(s->sending, s->sending_cap * sizeof *s->sending);
            }
            if (peers_gather(s, next, &s->sending[count]) != OK) {
                /* Cut meanwhile: the engine will offer a snapshot. */
                end = next - 1;
                break;
            }
            bytes += s->sending[count].data.len;
            count++;
            next++;
        }
        piece.append.entries = s->sending;
        piece.append.count = (uint32_t)count;
        peers_send(s, to, TRANSPORT_CONTROL, &piece);
        if (count > 0) {
            piece.append.prev_index = next - 1;
            piece.append.prev_term = s->sending[count - 1].term;
        }
    } while (next <= end);
}

/* What is committed as far as this follower's log is known to be ours, unless it was told. */
static void peers_tell_one(struct store *s, struct peer *peer)
{
    uint64_t match = engine_match(s->engine, peer->id);
    uint64_t commit = engine_commit(s->engine);
    uint64_t more = commit < match ? commit : match;
    bool known = match == engine_snapshot_index(s->engine) || match >= engine_first(s->engine);
    if (more <= peer->told_commit || !known) {
        return;
    }
    struct rpc_message m = {.type = RPC_COMMIT};
    m.commit.term = engine_term(s->engine);
    m.commit.index = match;
    m.commit.index_term = engine_term_of(s->engine, match);
    m.commit.commit = more;
    peer->told_commit = more;
    peers_send(s, peer->id, TRANSPORT_CONTROL, &m);
}

void peers_tell_commit(struct store *s)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (s->peers[i].configured) {
            peers_tell_one(s, &s->peers[i]);
        }
    }
}

/* --- what they say --------------------------------------------------------------------------- */

/* A server without a cluster follows the first leader that speaks to it. */
static bool peers_belong(struct store *s, uint64_t from, const struct rpc_message *m)
{
    if (s->cluster != 0) {
        return true;
    }
    uint64_t theirs = transport_peer_cluster(s->transport, from);
    if ((m->type != RPC_APPEND && m->type != RPC_INSTALL) || theirs == 0) {
        return false;
    }
    hub_adopt_cluster(s, theirs);
    return true;
}

/* A server that acknowledged entries has come back without any: it was wiped. The library never
 * goes back behind what was acknowledged (G3), but a new leader begins anew with everybody. It is
 * one that has all of the log, so that what the wiped server had promised is not lost. */
static void peers_on_wiped(struct store *s, uint64_t wiped)
{
    const struct store_servers *servers = engine_servers(s->engine);
    uint64_t heir = 0;
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        const struct peer *peer = peers_find(s, server->id);
        if (server->id != wiped && server->id != s->id && server->role == STORE_VOTER &&
            peer != NULL && peer->linked &&
            (heir == 0 || engine_match(s->engine, server->id) > engine_match(s->engine, heir))) {
            heir = server->id;
        }
    }
    if (heir != 0) {
        atomic_store(&s->lease_ms, 0);
        enum err e = engine_transfer(s->engine, heir, hub_now_ms(s));
        log_line(LOG_RAFT_TRANSFER, "to=%016llx wiped=%016llx status=\"%s\"",
                 (unsigned long long)heir, (unsigned long long)wiped, err_text(e));
    }
}

/* One rejection may be late; a server that is well says something else in between. */
static void
peers_on_append_reply(struct store *s, struct peer *peer, const struct rpc_append_reply *m)
{
    bool behind = m->term == engine_term(s->engine) && m->rejected > 0 &&
                  m->last_index < engine_match(s->engine, peer->id);
    peer->rejections = behind ? peer->rejections + 1 : 0;
    if (peer->rejections >= PEER_WIPED_REJECTIONS && engine_takes_entries(s->engine)) {
        peer->rejections = 0;
        peers_on_wiped(s, peer->id);
    }
}

static void peers_on_raft(struct store *s, uint64_t from, const struct rpc_message *m)
{
    uint64_t now_ms = hub_now_ms(s);
    if (!peers_belong(s, from, m)) {
        return;
    }
    struct peer *peer = peers_find(s, from);
    if (m->type == RPC_APPEND_REPLY && peer != NULL) {
        peer->heard_ms = now_ms;
        peers_on_append_reply(s, peer, &m->append_reply);
    }
    if (m->type == RPC_INSTALL) {
        if (m->install.term >= engine_term(s->engine)) {
            fetch_begin(s, from);
        }
    } else {
        engine_receive(s->engine, from, m, now_ms);
    }
    if ((m->type == RPC_APPEND || m->type == RPC_COMMIT) && engine_leader(s->engine) == from) {
        s->heard_ms = now_ms;
        s->removed = false;
        atomic_store(&s->facts.heard_ms, now_ms);
    }
}

/* Once a minute for each. */
static void peers_complain(struct store *s, uint64_t from, size_t len)
{
    struct peer *peer = peers_find(s, from);
    uint64_t now_ms = hub_now_ms(s);
    if (peer != NULL &&
        (peer->complained_ms == 0 || now_ms - peer->complained_ms >= TRANSPORT_QUIET_MS)) {
        peer->complained_ms = now_ms;
        log_line(LOG_PEER_MESSAGE, "server=%016llx bytes=%zu", (unsigned long long)from, len);
    }
}

static void peers_receive(void *ctx, uint64_t from, struct bytes data)
{
    struct store *s = ctx;
    struct rpc_message m;
    if (rpc_decode(data, &s->room, &m) != OK) {
        peers_complain(s, from, data.len);
        return;
    }
    if (!repair_hears(s, from, &m)) {
        return;
    }
    switch (m.type) {
    case RPC_VOTE:
    case RPC_VOTE_REPLY:
    case RPC_APPEND:
    case RPC_APPEND_REPLY:
    case RPC_INSTALL:
    case RPC_TIMEOUT_NOW:
    case RPC_COMMIT:
        peers_on_raft(s, from, &m);
        break;
    case RPC_ROUND:
    case RPC_ROUND_REPLY:
    case RPC_READ:
    case RPC_READ_REPLY:
        reads_on_message(s, from, &m);
        break;
    case RPC_FORWARD:
        writes_on_forward(s, from, &m.forward);
        break;
    case RPC_FORWARD_REPLY:
        writes_on_forward_reply(s, from, &m.forward_reply);
        break;
    case RPC_FETCH:
        fetch_on_fetch(s, from, &m.fetch);
        break;
    case RPC_CHUNK:
        fetch_on_chunk(s, from, &m.chunk);
        break;
    case RPC_CHANGE:
        servers_on_change(s, from, &m.change);
        break;
    case RPC_CHANGE_REPLY:
        servers_on_change_reply(s, from, &m.change_reply);
        break;
    case RPC_BOOTSTRAP:
        found_on_message(s, from, &m.bootstrap);
        break;
    case RPC_BOOTSTRAP_REPLY:
        found_on_reply(s, from, &m.bootstrap_reply);
        break;
    }
    hub_turn(s);
}

static void peers_linked(void *ctx, uint64_t id, bool up)
{
    struct store *s = ctx;
    struct peer *peer = peers_find(s, id);
    if (peer != NULL) {
        peer->linked = up;
    }
    if (up && id == s->leader) {
        /* What was on its way when the connection broke is lost. */
        writes_on_leader(s);
    }
    if (up) {
        return;
    }
    if (id == s->leader) {
        uint64_t now_ms = hub_now_ms(s);
        /* Not all at the same moment, or they split the votes. */
        uint64_t spread_ms = s->election_ms / RAFT_SUSPECT_PART;
        engine_suspect(s->engine,
                       RAFT_SUSPECT_MIN_MS + env_random_below(loop_env(s->hub), spread_ms), now_ms);
        hub_turn(s);
    } else if (engine_leads(s->engine)) {
        /* Those who lost sight of us may elect another sooner than the lease reckons. */
        atomic_store(&s->lease_ms, 0);
    }
}

static bool peers_other(void *ctx, int fd, struct bytes begun, const char *from)
{
    struct store *s = ctx;
    return s->other(s->other_ctx, fd, begun, from);
}

enum err peers_open(struct store *s, const struct store_options *options, struct reason *why)
{
    buf_init(&s->outgoing, RPC_MESSAGE_MAX);
    buf_init(&s->gathered, RPC_MESSAGE_MAX);
    if (options->listen_address == NULL) {
        return OK;
    }
    s->other = options->other;
    s->other_ctx = options->other_ctx;
    struct transport_options t = {
        .loop = s->hub,
        .id = s->id,
        .listen_address = options->listen_address,
        .listen_port = options->listen_port,
        .ctx = s,
        .receive = peers_receive,
        .linked = peers_linked,
        .other = options->other == NULL ? NULL : peers_other,
    };
    enum err e = transport_open(&t, &s->transport, why);
    if (e != OK) {
        return e;
    }
    transport_set_cluster(s->transport, s->cluster);
    /* Port 0 is named only now. */
    char *colon = strrchr(s->address, ':');
    if (colon != NULL && strcmp(colon, ":0") == 0) {
        size_t len = (size_t)(colon - s->address) + 8;
        char *address = mem_alloc(len);
        (void)snprintf(address, len, "%.*s:%u", (int)(colon - s->address), s->address,
                       transport_port(s->transport));
        free(s->address);
        s->address = address;
    }
    return OK;
}
