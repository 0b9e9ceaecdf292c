#include "core/agent/members_priv.h"

#include "core/agent/wan.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tags --------------------------------------------------------------------------------------
 */

void members_tag(struct members *m, const char *name, const char *format, ...)
{
    va_list args;
    CHECK(m->tag_count < GOSSIP_TAGS_MAX);
    struct gossip_tag *tag = &m->tags[m->tag_count++];
    (void)snprintf(tag->name, sizeof tag->name, "%s", name);
    va_start(args, format);
    (void)vsnprintf(tag->value, sizeof tag->value, format, args);
    va_end(args);
}

void members_untag(struct members *m, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->tag_count; i++) {
        if (strcmp(m->tags[i].name, name) != 0) {
            m->tags[kept++] = m->tags[i];
        }
    }
    if (kept == m->tag_count) {
        return;
    }
    m->tag_count = kept;
    if (m->lan.gossip != NULL && gossip_set_tags(m->lan.gossip, m->tags, m->tag_count) != OK) {
        log_line(LOG_MEMBERS_TAGS, "count=%zu", m->tag_count);
    }
}

/* Their names and forms are what clients of Consul read. */
static void members_make_tags(struct members *m)
{
    const struct config *c = m->options.config;
    members_tag(m, "dc", "%s", c->datacenter);
    members_tag(m, "id", "%s", m->options.node_id);
    members_tag(m, "build", CONSUL_API_VERSION ":");
    members_tag(m, "herald", HERALD_VERSION);
    members_tag(m, "segment", "%s", "");
    members_tag(m, "acls", "0");
    members_tag(m, "vsn", "2");
    members_tag(m, "vsn_min", "2");
    members_tag(m, "vsn_max", "3");
    m->role->tag(m);
}

void members_self(const struct members *m, struct gossip_member *ret_member)
{
    const struct config *c = m->options.config;
    *ret_member = (struct gossip_member){
        .port = (uint16_t)(c->serf_lan_port > 0 ? c->serf_lan_port : 0),
        .status = GOSSIP_ALIVE,
        .self = true,
        .tag_count = m->tag_count,
    };
    (void)snprintf(ret_member->name, sizeof ret_member->name, "%s", c->node_name);
    (void)snprintf(ret_member->address, sizeof ret_member->address, "%s", c->advertise_addr);
    memcpy(ret_member->tags, m->tags, sizeof m->tags);
}

/* --- what gossip says ----------------------------------------------------------------------------
 */

bool member_is_server(const struct members *m, const struct gossip_member *g)
{
    const char *role = gossip_tag(g, "role");
    const char *dc = gossip_tag(g, "dc");
    const char *id = gossip_tag(g, "id");
    const char *port = gossip_tag(g, "port");
    return role != NULL && strcmp(role, "consul") == 0 && dc != NULL &&
           strcmp(dc, m->options.config->datacenter) == 0 && id != NULL &&
           store_server_id(id) != 0 && port != NULL;
}

void member_rpc_address(const struct gossip_member *g, char ret_address[STORE_ADDRESS_MAX])
{
    (void)snprintf(ret_address, STORE_ADDRESS_MAX,
                   strchr(g->address, ':') != NULL ? "[%s]:%s" : "%s:%s", g->address,
                   gossip_tag(g, "port"));
}

static void members_on_changed(void *ctx, const struct gossip_member *g)
{
    struct members *m = ctx;
    m->role->changed(m, g);
    /* Not before gossip_open() has returned. */
    if (m->lan.gossip != NULL) {
        m->role->look(m);
        if (m->options.changed != NULL) {
            m->options.changed(m->options.ctx);
        }
    }
}

static void members_on_reaped(void *ctx, const struct gossip_member *g)
{
    struct members *m = ctx;
    m->role->reaped(m, g);
    if (m->options.changed != NULL) {
        m->options.changed(m->options.ctx);
    }
}

/* --- orders -------------------------------------------------------------------------------------
 */

static void order_answered(struct mail *mail)
{
    struct members_order *o = LIST_OWNER(mail, struct members_order, mail);
    o->done(o);
}

void members_answer(struct members_order *o, enum err status)
{
    o->status = status;
    o->mail = (struct mail){.deliver = order_answered};
    mailbox_post(loop_mailbox(o->loop), &o->mail);
}

static void order_list(struct members *m, struct members_order *o)
{
    if (o->wan) {
        wan_list(m, o);
        members_answer(o, OK);
        return;
    }
    o->count = m->lan.gossip == NULL ? 1 : gossip_count(m->lan.gossip);
    o->members = mem_zalloc(o->count, sizeof *o->members);
    if (m->lan.gossip == NULL) {
        members_self(m, &o->members[0]);
    }
    for (size_t i = 0; m->lan.gossip != NULL && i < o->count; i++) {
        o->members[i] = *gossip_at(m->lan.gossip, i);
    }
    members_answer(o, OK);
}

static void order_force_leave(struct pool *pool, struct members_order *o)
{
    enum err e = gossip_force_leave(pool->gossip, o->text, o->prune);
    if (e == ERR_NOT_FOUND) {
        reason_set(&o->why, "agent: No node found with name '%s'", o->text);
    } else if (e != OK) {
        reason_set(&o->why, "agent: %s: %s", o->text, err_text(e));
    }
    members_answer(o, e);
}

/* OK, or what `o` is answered with. */
static enum err order_key_judge(struct members_order *o, const struct gossip_key_result *result)
{
    if (result->failed > 0 || result->error[0] != '\0') {
        reason_set(&o->why, "%u/%u nodes reported failure: %s", result->failed, result->members,
                   result->error);
        return ERR_CONFLICT;
    }
    if (result->answered < result->members) {
        reason_set(&o->why, "%u/%u nodes reported success", result->answered, result->members);
        return ERR_TIMEOUT;
    }
    return OK;
}

static void order_key_wan_done(void *ctx, const struct gossip_key_result *result)
{
    struct members_order *o = ctx;
    o->wan_keys = *result;
    members_answer(o, order_key_judge(o, result));
}

/* Then the same in the WAN pool: its members have the same key, each in a ring of its own. */
static void order_key_done(void *ctx, const struct gossip_key_result *result)
{
    struct members_order *o = ctx;
    struct gossip *wan = o->owner->wan.gossip;
    enum err e = order_key_judge(o, result);
    o->keys = *result;
    if (e != OK || wan == NULL || !gossip_encrypted(wan)) {
        members_answer(o, e);
        return;
    }
    gossip_key(wan, o->key_order, o->key_order == GOSSIP_KEY_LIST ? NULL : o->text,
               order_key_wan_done, o);
}

static void order_key(struct members *m, struct members_order *o)
{
    if (!gossip_encrypted(m->lan.gossip)) {
        reason_set(&o->why, "Keyring is empty (encryption not enabled)");
        members_answer(o, ERR_DENIED);
        return;
    }
    gossip_key(m->lan.gossip, o->key_order, o->key_order == GOSSIP_KEY_LIST ? NULL : o->text,
               order_key_done, o);
}

static void order_left(void *ctx)
{
    members_answer(ctx, OK);
}

static void members_on_order(struct mail *mail)
{
    struct members_order *o = LIST_OWNER(mail, struct members_order, mail);
    struct members *m = o->owner;
    if (m->closing) {
        members_answer(o, ERR_CLOSED);
        return;
    }
    if (o->verb == MEMBERS_LIST) {
        order_list(m, o);
        return;
    }
    if (o->verb == MEMBERS_LEAVE) {
        members_leave(m, order_left, o);
        return;
    }
    struct pool *pool = o->wan ? &m->wan : &m->lan;
    if (pool->gossip == NULL) {
        reason_set(&o->why, "%s",
                   o->verb == MEMBERS_KEY ? "Keyring is empty (encryption not enabled)"
                   : o->wan               ? wan_missing(m)
                                          : "this agent does not gossip: it was started without "
                                            "encrypt and without herald.gossip_allow_clear");
        members_answer(o, ERR_DENIED);
        return;
    }
    switch (o->verb) {
    case MEMBERS_JOIN:
        join_order(pool, o);
        break;
    case MEMBERS_FORCE_LEAVE:
        order_force_leave(pool, o);
        break;
    case MEMBERS_KEY:
        order_key(m, o);
        break;
    case MEMBERS_LIST:
    case MEMBERS_LEAVE:
        break;
    }
}

void members_order(struct members *m, struct loop *from, struct members_order *o)
{
    CHECK(o->done != NULL);
    o->owner = m;
    o->loop = from;
    o->status = OK;
    o->why.text[0] = '\0';
    o->members = NULL;
    o->count = 0;
    o->mail = (struct mail){.deliver = members_on_order};
    mailbox_post(loop_mailbox(m->options.loop), &o->mail);
}

void members_order_close(struct members_order *o)
{
    free(o->members);
    o->members = NULL;
    o->count = 0;
}

/* --- life ---------------------------------------------------------------------------------------
 */

char *members_path(const struct config *c, const char *name)
{
    if (c->data_dir == NULL) {
        return NULL;
    }
    struct buf path;
    size_t len = 0;
    buf_init(&path, KIB(8));
    enum err e = buf_printf(&path, "%s/%s", c->data_dir, name);
    CHECK(e == OK);
    buf_put_char(&path, '\0');
    return buf_take(&path, &len);
}

static enum err members_open_gossip(struct members *m, struct reason *why)
{
    const struct config *c = m->options.config;
    char *keyring = members_path(c, "gossip-keyring");
    char *known = members_path(c, "gossip-members");
    const char *keys[1] = {c->encrypt};
    struct gossip_options options = {
        .loop = m->options.loop,
        .name = c->node_name,
        .bind_address = c->bind_addr,
        .bind_port = (uint16_t)c->serf_lan_port,
        .advertise_address = c->advertise_addr,
        .tags = m->tags,
        .tag_count = m->tag_count,
        .keys = keys,
        .key_count = c->encrypt != NULL ? 1 : 0,
        .allow_clear = c->gossip_allow_clear,
        .keyring_path = keyring,
        .members_path = known,
        .rejoin_after_leave = c->rejoin_after_leave,
        .reconnect_ms = c->reconnect_ms,
        .ctx = m,
        .changed = members_on_changed,
        .reaped = members_on_reaped,
    };
    enum err e = gossip_open(&options, &m->lan.gossip, why);
    if (e == ERR_IN_USE && c->dev) {
        /* Several of them on one machine are no mistake. */
        options.bind_port = 0;
        e = gossip_open(&options, &m->lan.gossip, why);
    }
    free(keyring);
    free(known);
    return e;
}

enum err members_open(const struct members_options *options,
                      struct members **ret_members,
                      struct reason *why)
{
    struct members *m = mem_zalloc(1, sizeof *m);
    m->options = *options;
    list_init(&m->jobs);
    list_init(&m->leavers);
    m->role = options->store == NULL ? &MEMBERS_CLIENT : &MEMBERS_SERVER;
    members_make_tags(m);
    m->role->open(m);
    leave_open(m);
    join_open(m);
    wan_init(m);
    enum err e = config_gossips(options->config) ? members_open_gossip(m, why) : OK;
    if (e == OK && config_gossips_wan(options->config)) {
        e = wan_open(m, why);
    }
    if (e != OK) {
        members_stop(m);
        members_close(m);
        return e;
    }
    m->role->begin(m);
    *ret_members = m;
    return OK;
}

void members_stop(struct members *m)
{
    if (m == NULL) {
        return;
    }
    m->closing = true;
    m->role->end(m);
    timer_stop(&m->leave_timer);
    gossip_close(m->lan.gossip);
    m->lan.gossip = NULL;
    wan_close(m);
    join_close(m);
}

void members_close(struct members *m)
{
    if (m == NULL) {
        return;
    }
    CHECK(m->closing);
    CHECK(!m->removing && !m->counting);
    leave_close(m);
    lead_free(m->lead);
    expire_free(m->expire);
    reconcile_free(m->reconcile);
    free(m);
}

struct gossip *members_gossip(const struct members *m)
{
    return m->lan.gossip;
}

bool members_hint(const struct members *m, char ret_address[MEMBERS_HINT_LEN])
{
    size_t count = m->lan.gossip == NULL ? 0 : gossip_count(m->lan.gossip);
    /* Not the same one for all who leave at one time. */
    size_t first = env_random_below(members_env(m), count);
    for (size_t i = 0; i < count; i++) {
        const struct gossip_member *g = gossip_at(m->lan.gossip, (first + i) % count);
        const char *http = gossip_tag(g, "http");
        if (!g->self && g->status == GOSSIP_ALIVE && member_is_server(m, g) && http != NULL) {
            (void)snprintf(ret_address, MEMBERS_HINT_LEN, "%s", http);
            return true;
        }
    }
    return false;
}
