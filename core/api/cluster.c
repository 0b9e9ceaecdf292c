#include "core/api/cluster.h"

#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what is known ------------------------------------------------------------------------------
 */

/* A question on its way: first to the store, then to the main loop. It outlives a client that goes
 * away. */
struct asked {
    struct store_order list;
    struct members_order members;
    struct request *request; /* NULL: nobody waits any more */
    struct api *api;
    void (*answer)(struct request *r, const struct world *w);
};

static void asked_cancelled(struct request *r)
{
    struct asked *a = r->ctx;
    a->request = NULL;
}

static void asked_answer(struct request *r, const struct asked *a, const struct world *w)
{
    const struct acl *before = NULL;
    if (api_resume(r, &before)) {
        a->answer(r, w);
        rights_leave(before);
    }
}

static void asked_members(struct members_order *o)
{
    struct asked *a = o->ctx;
    struct request *r = a->request;
    if (r != NULL && o->status != OK) {
        r->cancelled = NULL;
        reply_err(r, o->status);
    } else if (r != NULL) {
        struct world w = {
            .servers = &a->list.servers,
            .members = o->members,
            .member_count = o->count,
        };
        if (a->api->store != NULL) {
            store_facts_get(a->api->store, &w.facts);
        }
        r->cancelled = NULL;
        asked_answer(r, a, &w);
    }
    members_order_close(o);
    free(a);
}

static void asked_servers(struct store_order *o)
{
    struct asked *a = o->ctx;
    if (o->status != OK || a->request == NULL) {
        if (a->request != NULL) {
            a->request->cancelled = NULL;
            reply_err(a->request, o->status);
        }
        free(a);
        return;
    }
    a->members = (struct members_order){.done = asked_members, .ctx = a, .verb = MEMBERS_LIST};
    members_order(a->api->members, a->api->loop, &a->members);
}

void api_world(struct request *r, void (*answer)(struct request *r, const struct world *w))
{
    struct api *api = api_of(r);
    struct asked *a = mem_zalloc(1, sizeof *a);
    a->request = r;
    a->api = api;
    a->answer = answer;
    a->list.done = asked_servers;
    a->list.ctx = a;
    a->list.change = STORE_LIST;
    r->ctx = a;
    r->cancelled = asked_cancelled;
    if (api->store == NULL) {
        asked_servers(&a->list); /* a client agent: what gossip knows */
        return;
    }
    store_order(api->store, api->loop, &a->list);
}

const struct gossip_member *world_member(const struct world *w, const struct store_server *s)
{
    for (size_t i = 0; i < w->member_count; i++) {
        const char *id = gossip_tag(&w->members[i], "id");
        if (id != NULL && store_server_id(id) == s->id) {
            return &w->members[i];
        }
    }
    return NULL;
}

const char *server_id_text(const struct store_server *s, char scratch[20])
{
    if (s->node_id[0] != '\0') {
        return s->node_id;
    }
    (void)snprintf(scratch, 20, "%016llx", (unsigned long long)s->id);
    return scratch;
}

const char *world_name(const struct world *w, const struct store_server *s)
{
    const struct gossip_member *m = world_member(w, s);
    return m != NULL ? m->name : "(unknown)";
}

const struct store_server *world_leader(const struct world *w)
{
    for (size_t i = 0; w->facts.known_leader && i < w->servers->count; i++) {
        if (w->servers->servers[i].id == w->facts.leader_id) {
            return &w->servers->servers[i];
        }
    }
    return NULL;
}

/* --- orders -------------------------------------------------------------------------------------
 */

struct ordered {
    struct store_order order;
    struct request *request;
    void (*done)(struct request *r);
};

static void ordered_cancelled(struct request *r)
{
    struct ordered *a = r->ctx;
    a->request = NULL;
}

static void order_refuse(struct request *r, const struct store_order *o)
{
    if (o->status == ERR_CONFLICT) {
        reply_text(r, 500,
                   "the change was refused: it would leave fewer than two voters. The last server "
                   "of a cluster is simply stopped");
    } else if (o->status == ERR_BUSY) {
        reply_text(r, 500, "another change of the servers is under way, try again");
    } else if (o->status == ERR_NOT_FOUND) {
        reply_text(r, 500, "id \"%s\" was not found in the Raft configuration", o->node_id);
    } else if (o->status == ERR_TIMEOUT) {
        reply_text(r, 500, "the change was not confirmed in time: it may have happened or not");
    } else {
        reply_err(r, o->status);
    }
}

static void ordered_done(struct store_order *o)
{
    struct ordered *a = o->ctx;
    struct request *r = a->request;
    if (r != NULL) {
        r->cancelled = NULL;
        if (o->status == OK) {
            a->done(r);
        } else {
            order_refuse(r, o);
        }
    }
    free(a);
}

void api_order(struct request *r, const struct store_order *o, void (*done)(struct request *r))
{
    struct api *api = api_of(r);
    struct ordered *a = mem_zalloc(1, sizeof *a);
    a->order = *o;
    a->order.done = ordered_done;
    a->order.ctx = a;
    a->request = r;
    a->done = done;
    r->ctx = a;
    r->cancelled = ordered_cancelled;
    store_order(api->store, api->loop, &a->order);
}

struct members_ordered {
    struct members_order order;
    struct request *request;
    void (*done)(struct request *r, const struct members_order *o);
};

static void members_ordered_cancelled(struct request *r)
{
    struct members_ordered *a = r->ctx;
    a->request = NULL;
}

static void members_ordered_done(struct members_order *o)
{
    struct members_ordered *a = o->ctx;
    struct request *r = a->request;
    if (r != NULL) {
        r->cancelled = NULL;
    }
    const struct acl *before = NULL;
    if (r != NULL && o->status == OK && a->done != NULL) {
        if (api_resume(r, &before)) {
            a->done(r, o);
            rights_leave(before);
        }
    } else if (r != NULL && o->status == OK) {
        reply_shared(r, 200, NULL, NULL);
    } else if (r != NULL && o->why.text[0] != '\0') {
        reply_text(r, 500, "%s", o->why.text);
    } else if (r != NULL) {
        reply_err(r, o->status);
    }
    members_order_close(o);
    free(a);
}

void api_members_order(struct request *r,
                       const struct members_order *o,
                       void (*done)(struct request *r, const struct members_order *o))
{
    struct api *api = api_of(r);
    struct members_ordered *a = mem_zalloc(1, sizeof *a);
    a->order = *o;
    a->order.done = members_ordered_done;
    a->order.ctx = a;
    a->request = r;
    a->done = done;
    r->ctx = a;
    r->cancelled = members_ordered_cancelled;
    members_order(api->members, api->loop, &a->order);
}

/* --- commands -----------------------------------------------------------------------------------
 */

/* A write between its request and its acknowledgement. It outlives a client that goes away. */
struct proposed {
    struct proposal proposal;
    struct request *request; /* NULL: nobody waits any more */
    void (*done)(struct request *r, const struct proposal *p);
};

static void proposed_cancelled(struct request *r)
{
    struct proposed *a = r->ctx;
    a->request = NULL;
}

static void proposed_done(struct proposal *p)
{
    struct proposed *a = p->ctx;
    struct request *r = a->request;
    if (r != NULL) {
        r->cancelled = NULL;
        if (p->status == OK || p->status == ERR_CONFLICT) {
            a->done(r, p);
        } else {
            api_reply_err(r, p->status);
        }
    }
    free(a);
}

static void propose_answer(struct request *r, const struct proposal *p)
{
    reply_bytes(r, 200, "application/json", p->status == OK ? BYTES("true") : BYTES("false"));
}

void api_propose(struct request *r, struct command *c)
{
    api_propose_then(r, c, propose_answer);
}

void api_propose_then(struct request *r,
                      struct command *c,
                      void (*done)(struct request *r, const struct proposal *p))
{
    struct api *api = api_of(r);
    struct buf command;
    if (!api_is_judged(r)) {
        return;
    }
    buf_init(&command, COMMAND_MAX);
    c->time_ms = env_wall_ms(loop_env(api->loop));
    enum err e = command_encode(&command, c);
    if (e != OK) {
        buf_close(&command);
        reply_err(r, e);
        return;
    }
    struct proposed *a = mem_zalloc(1, sizeof *a);
    a->request = r;
    a->done = done;
    a->proposal.done = proposed_done;
    a->proposal.ctx = a;
    r->ctx = a;
    r->cancelled = proposed_cancelled;
    store_propose(api->store, api->loop, &a->proposal, &command);
}

/* --- as JSON ------------------------------------------------------------------------------------
 */

void api_reply_value(struct request *r, int status, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL) {
        reply_err(r, ERR_INVALID);
        return;
    }
    if (status == 200) {
        api_reply_json(r, bytes_of(text));
    } else {
        reply_bytes(r, status, "application/json", bytes_of(text));
    }
    free(text);
}

const char *member_status_text(enum gossip_status status)
{
    switch (status) {
    case GOSSIP_ALIVE:
        return "alive";
    case GOSSIP_LEAVING:
        return "leaving";
    case GOSSIP_LEFT:
        return "left";
    case GOSSIP_FAILED:
        return "failed";
    }
    return "none";
}

json_t *member_json(const struct gossip_member *m)
{
    json_t *tags = json_object();
    for (size_t i = 0; i < m->tag_count; i++) {
        (void)json_object_set_new(tags, m->tags[i].name, json_string(m->tags[i].value));
    }
    return json_pack("{s:s, s:s, s:i, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "Name", m->name,
                     "Addr", m->address, "Port", (int)m->port, "Tags", tags, "Status",
                     (int)m->status, "ProtocolMin", 1, "ProtocolMax", 5, "ProtocolCur", 2,
                     "DelegateMin", 2, "DelegateMax", 5, "DelegateCur", 4);
}
