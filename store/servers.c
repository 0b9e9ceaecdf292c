/* Orders about the servers: one configuration entry at a time, by the leader; other servers pass
 * theirs on. Every order may be repeated: what is so already is done. */
#include "store/store_priv.h"

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

#define SERVERS_RESEND_MS 250U

static const char *servers_change_name(enum store_change change)
{
    static const char *const NAMES[] = {"", "add", "promote", "demote", "remove", "transfer"};
    return (unsigned)change < sizeof NAMES / sizeof NAMES[0] ? NAMES[change] : "";
}

/* --- answers --------------------------------------------------------------------------------- */

static void servers_fill(struct store *s, struct store_servers *ret_servers)
{
    uint64_t now_ms = hub_now_ms(s);
    bool leads = engine_leads(s->engine);
    *ret_servers = *engine_servers_committed(s->engine);
    for (size_t i = 0; i < ret_servers->count; i++) {
        struct store_server *server = &ret_servers->servers[i];
        const struct peer *peer = peers_find(s, server->id);
        server->self = server->id == s->id;
        server->leader = server->id == s->leader;
        server->last_contact_ms = 0;
        if (!leads) {
            continue;
        }
        if (server->self) {
            server->match_index = engine_last(s->engine);
        } else {
            server->match_index = engine_match(s->engine, server->id);
            server->last_contact_ms =
                peer != NULL && peer->heard_ms != 0 ? now_ms - peer->heard_ms : UINT64_MAX;
        }
    }
}

static void servers_on_answer(struct mail *m)
{
    struct store_order *o = LIST_OWNER(m, struct store_order, mail);
    o->done(o);
}

static void servers_answer(struct store *s, struct store_order *o, enum err status)
{
    o->status = status;
    servers_fill(s, &o->servers);
    o->mail.deliver = servers_on_answer;
    mailbox_post(loop_mailbox(o->loop), &o->mail);
}

/* The order at hand: a peer's goes first, it cannot wait long. */
static struct store_order *servers_current(struct store *s)
{
    return s->orders.remote_taken ? &s->orders.remote : s->orders.first;
}

static void servers_end(struct store *s, struct store_order *o, enum err status)
{
    struct orders *os = &s->orders;
    os->running = false;
    os->entry = 0;
    os->sent_ms = 0;
    os->sends = 0;
    if (o == &os->remote) {
        struct rpc_message reply = {.type = RPC_CHANGE_REPLY};
        reply.change_reply.id = os->remote_number;
        reply.change_reply.status = (uint32_t)status;
        os->remote_taken = false;
        peers_send(s, os->remote_peer, TRANSPORT_CONTROL, &reply);
        return;
    }
    CHECK(o == os->first);
    if (status == OK && o->change == STORE_REMOVE && o->id == s->id) {
        s->removed = true;
        writes_on_removed(s);
        reads_on_leader(s);
    }
    os->first = o->next;
    if (os->first == NULL) {
        os->last = &os->first;
    }
    servers_answer(s, o, status);
}

/* --- as the leader --------------------------------------------------------------------------- */

static enum err servers_submit(struct store *s, const struct store_servers *servers)
{
    struct buf encoded;
    buf_init(&encoded, RAFT_CONFIGURATION_MAX);
    enum err e = members_encode(servers, &encoded);
    struct journal_entry entry = {.type = JOURNAL_CONFIGURATION, .data = buf_view(&encoded)};
    if (e == OK) {
        e = engine_submit(s->engine, &entry, 1, hub_now_ms(s));
    }
    buf_close(&encoded);
    if (e == OK) {
        s->orders.entry = engine_last(s->engine);
        /* From here on another server may count. */
        hub_refresh_facts(s);
    }
    return e;
}

static bool servers_caught_up(struct store *s, uint64_t id)
{
    const struct peer *peer = peers_find(s, id);
    uint64_t match = engine_match(s->engine, id);
    return match > 0 && match + SERVERS_TRAIL_MAX >= engine_last(s->engine) && peer != NULL &&
           peer->heard_ms != 0 && hub_now_ms(s) - peer->heard_ms < s->election_ms;
}

/* Whether a majority of its voters has been heard lately and knows the newest configuration: one
 * without could never be changed back, since the library lets only those vote who know that they
 * may. */
static bool servers_healthy(struct store *s, const struct store_servers *servers)
{
    unsigned heard = 0;
    uint64_t known = engine_servers(s->engine)->configuration_index;
    for (size_t i = 0; i < servers->count; i++) {
        const struct store_server *server = &servers->servers[i];
        const struct peer *peer = peers_find(s, server->id);
        bool lately = peer != NULL && peer->heard_ms != 0 &&
                      hub_now_ms(s) - peer->heard_ms < s->election_ms &&
                      engine_match(s->engine, server->id) >= known;
        heard += server->role == STORE_VOTER && (server->id == s->id || lately);
    }
    return heard > members_voters(servers) / 2;
}

static void servers_put_address(struct store_server *server, const struct store_order *o)
{
    (void)snprintf(server->address, sizeof server->address, "%s", o->address);
    if (o->node_id[0] != '\0') {
        (void)snprintf(server->node_id, sizeof server->node_id, "%s", o->node_id);
    }
}

static enum err servers_add(struct store_servers *servers,
                            struct store_server *known,
                            const struct store_order *o,
                            bool *ret_needed)
{
    if (known != NULL) {
        *ret_needed = strcmp(known->address, o->address) != 0 ||
                      (o->node_id[0] != '\0' && strcmp(known->node_id, o->node_id) != 0);
        servers_put_address(known, o);
        return OK;
    }
    if (servers->count == STORE_SERVERS_MAX) {
        return ERR_LIMIT;
    }
    struct store_server *server = &servers->servers[servers->count++];
    *server = (struct store_server){.id = o->id, .role = STORE_STANDBY};
    servers_put_address(server, o);
    return OK;
}

/* The configuration that the order asks for. `ret_needed` false: it is so already. ERR_BUSY: not
 * yet. */
static enum err servers_plan(struct store *s,
                             const struct store_order *o,
                             struct store_servers *servers,
                             bool *ret_needed)
{
    struct store_server *known = members_find(servers, o->id);
    unsigned before = members_voters(servers);
    *ret_needed = true;
    if (o->change == STORE_ADD) {
        return servers_add(servers, known, o, ret_needed);
    }
    if (known == NULL) {
        return ERR_NOT_FOUND;
    }
    switch (o->change) {
    case STORE_PROMOTE:
        *ret_needed = known->role != STORE_VOTER;
        known->role = STORE_VOTER;
        return *ret_needed && !servers_caught_up(s, o->id) ? ERR_BUSY : OK;
    case STORE_DEMOTE:
        *ret_needed = known->role == STORE_VOTER;
        known->role = STORE_STANDBY;
        break;
    case STORE_REMOVE:
        memmove(known, known + 1,
                (size_t)(servers->servers + servers->count - known - 1) * sizeof *known);
        servers->count--;
        break;
    case STORE_ADD:
    case STORE_TRANSFER:
    case STORE_LIST:
    default:
        return ERR_INVALID;
    }
    struct guards guards = guards_on();
    if (!guard_sole_allowed(&guards, before, members_voters(servers))) {
        return ERR_CONFLICT;
    }
    return members_voters(servers) == before || servers_healthy(s, servers) ? OK : ERR_BUSY;
}

static void servers_transfer(struct store *s, struct store_order *o, uint64_t to)
{
    if (to == s->id) {
        servers_end(s, o, OK);
        return;
    }
    atomic_store(&s->lease_ms, 0);
    enum err e = engine_transfer(s->engine, to, hub_now_ms(s));
    log_line(LOG_RAFT_TRANSFER, "to=%016llx status=\"%s\"", (unsigned long long)to, err_text(e));
    if (e != OK) {
        servers_end(s, o, e);
        return;
    }
    s->orders.running = true;
}

static void servers_begin(struct store *s, struct store_order *o)
{
    struct store_servers servers = *engine_servers(s->engine);
    bool needed = false;
    if (!engine_settled(s->engine) || engine_changing(s->engine) ||
        !engine_takes_entries(s->engine)) {
        return;
    }
    if (o->change == STORE_TRANSFER) {
        servers_transfer(s, o, o->id);
        return;
    }
    enum err e = servers_plan(s, o, &servers, &needed);
    if (e == ERR_BUSY) {
        return;
    }
    if (e == ERR_NOT_FOUND && o->change == STORE_REMOVE && o == s->orders.first &&
        s->orders.sends > 0) {
        e = OK;
        needed = false;
    }
    if (e != OK || !needed) {
        servers_end(s, o, e);
        return;
    }
    if (o->id == s->id && o->change != STORE_ADD) {
        /* A leader does not vote itself out: the next one does. */
        atomic_store(&s->lease_ms, 0);
        if (engine_transfer(s->engine, 0, hub_now_ms(s)) != OK) {
            servers_end(s, o, ERR_CONFLICT);
        }
        return;
    }
    e = servers_submit(s, &servers);
    if (e == ERR_INVALID || e == ERR_TOO_BIG) {
        /* Two servers at one address, for one. */
        servers_end(s, o, e);
    } else if (e == OK) {
        s->orders.running = true;
        log_line(LOG_RAFT_CHANGE, "change=%s server=%016llx address=%s index=%llu",
                 servers_change_name(o->change), (unsigned long long)o->id, o->address,
                 (unsigned long long)s->orders.entry);
    }
}

static void servers_lead(struct store *s)
{
    struct orders *os = &s->orders;
    struct store_order *o = servers_current(s);
    while (o != NULL) {
        if (os->running && o->change == STORE_TRANSFER && engine_takes_entries(s->engine)) {
            /* It was given up: the other was not ready. */
            os->running = false;
        }
        if (!os->running) {
            servers_begin(s, o);
        } else if (os->entry != 0 && !engine_changing(s->engine) &&
                   engine_commit(s->engine) >= os->entry) {
            servers_end(s, o, OK);
        }
        struct store_order *next = servers_current(s);
        if (next == o) {
            return;
        }
        o = next;
    }
}

/* --- as another ------------------------------------------------------------------------------ */

static void servers_send(struct store *s, struct store_order *o)
{
    struct orders *os = &s->orders;
    uint64_t now_ms = hub_now_ms(s);
    if (os->sent_ms != 0 && now_ms - os->sent_ms < SERVERS_RESEND_MS) {
        return;
    }
    struct rpc_message m = {.type = RPC_CHANGE};
    m.change.id = o->number;
    m.change.kind = (uint32_t)o->change;
    m.change.server = o->id;
    m.change.node_id = bytes_of(o->node_id);
    m.change.address = bytes_of(o->address);
    os->sent_ms = now_ms;
    os->sent_to = s->leader;
    os->sends++;
    peers_send(s, s->leader, TRANSPORT_CONTROL, &m);
}

/* We do not lead (any more). */
static void servers_follow(struct store *s)
{
    struct orders *os = &s->orders;
    if (os->remote_taken) {
        bool handed = os->running && os->remote.change == STORE_TRANSFER;
        if (handed && s->leader == 0) {
            /* Nobody has taken over yet. */
            return;
        }
        servers_end(s, &os->remote, handed ? OK : ERR_NOT_LEADER);
    }
    if (os->first != NULL && os->running && os->first->change == STORE_TRANSFER) {
        if (s->leader != 0) {
            servers_end(s, os->first, OK);
        }
        return;
    }
    os->running = false;
    os->entry = 0;
    if (os->first != NULL && s->leader != 0) {
        servers_send(s, os->first);
    }
}

void servers_on_change(struct store *s, uint64_t from, const struct rpc_change *m)
{
    struct orders *os = &s->orders;
    struct rpc_message reply = {.type = RPC_CHANGE_REPLY};
    reply.change_reply.id = m->id;
    if (!engine_leads(s->engine)) {
        reply.change_reply.status = (uint32_t)ERR_NOT_LEADER;
    } else if (os->remote_taken && os->remote_peer == from && os->remote_number == m->id) {
        return;
    } else if (os->remote_taken || (os->first != NULL && os->running)) {
        reply.change_reply.status = (uint32_t)ERR_BUSY;
    } else if (m->kind < STORE_ADD || m->kind > STORE_TRANSFER ||
               m->node_id.len >= sizeof os->remote.node_id ||
               m->address.len >= sizeof os->remote.address) {
        reply.change_reply.status = (uint32_t)ERR_INVALID;
    } else {
        os->remote = (struct store_order){
            .change = (enum store_change)m->kind,
            .id = m->server,
            .deadline_ms = hub_now_ms(s) + ORDER_HOLD_MS,
        };
        memcpy(os->remote.node_id, m->node_id.ptr, m->node_id.len);
        memcpy(os->remote.address, m->address.ptr, m->address.len);
        os->remote_taken = true;
        os->remote_peer = from;
        os->remote_number = m->id;
        servers_turn(s);
        return;
    }
    peers_send(s, from, TRANSPORT_CONTROL, &reply);
}

void servers_on_change_reply(struct store *s, uint64_t from, const struct rpc_change_reply *m)
{
    struct orders *os = &s->orders;
    if (repair_on_change_reply(s, from, m)) {
        return;
    }
    if (from != os->sent_to || os->first == NULL || os->first->number != m->id) {
        return;
    }
    enum err status = (enum err)m->status;
    if (status == ERR_NOT_FOUND && os->first->change == STORE_REMOVE && os->sends > 1) {
        /* An earlier leader has done it, and could not say so. */
        status = OK;
    }
    if (status != ERR_NOT_LEADER && status != ERR_BUSY) {
        servers_end(s, os->first, status);
    }
}

/* --- events ---------------------------------------------------------------------------------- */

void servers_turn(struct store *s)
{
    if (servers_current(s) == NULL) {
        return;
    }
    if (engine_leads(s->engine)) {
        servers_lead(s);
    } else {
        servers_follow(s);
    }
}

void servers_tick(struct store *s)
{
    uint64_t now_ms = hub_now_ms(s);
    struct store_order *o = servers_current(s);
    bool sent = s->orders.running || s->orders.sent_ms != 0;
    /* Nobody leads, and it was said to nobody: that need not take so long. */
    uint64_t lonely_ms = s->leader == 0 && !sent ? ORDER_HOLD_MS - s->hold_ms : 0;
    if (o != NULL && now_ms + lonely_ms >= o->deadline_ms) {
        servers_end(s, o, sent ? ERR_TIMEOUT : s->leader != 0 ? ERR_BUSY : ERR_NOT_LEADER);
    }
    servers_turn(s);
}

static void servers_on_order(struct mail *m)
{
    struct store_order *o = LIST_OWNER(m, struct store_order, mail);
    struct store *s = o->store;
    struct orders *os = &s->orders;
    if (atomic_load(&s->closing)) {
        servers_answer(s, o, ERR_CLOSED);
    } else if (o->change == STORE_LIST) {
        servers_answer(s, o, OK);
    } else if (s->cluster == 0 || s->transport == NULL) {
        servers_answer(s, o, ERR_NOT_LEADER);
    } else {
        o->next = NULL;
        o->number = ++os->numbers;
        o->deadline_ms = hub_now_ms(s) + ORDER_HOLD_MS;
        *os->last = o;
        os->last = &o->next;
        servers_turn(s);
        hub_turn(s);
    }
}

void store_order(struct store *s, struct loop *from, struct store_order *o)
{
    o->store = s;
    o->loop = from;
    o->status = OK;
    o->mail = (struct mail){.deliver = servers_on_order};
    mailbox_post(loop_mailbox(s->hub), &o->mail);
}

void servers_open(struct store *s)
{
    s->orders.last = &s->orders.first;
    /* Numbers of an earlier run are not taken for ours. */
    env_random(loop_env(s->hub), &s->orders.numbers, sizeof s->orders.numbers);
    s->orders.numbers >>= 1;
}

void servers_close(struct store *s, enum err status)
{
    s->orders.remote_taken = false;
    while (s->orders.first != NULL) {
        servers_end(s, s->orders.first, status);
    }
}
