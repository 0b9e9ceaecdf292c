/* /v1/status/ and /v1/catalog/datacenters: who leads, who takes part. */
#include "core/api/cluster.h"
#include "core/config.h"

#include <stdlib.h>
#include <string.h>

static void status_leader(struct request *r, const struct world *w)
{
    const struct store_server *leader = world_leader(w);
    json_t *text = json_string(leader == NULL ? "" : leader->address);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY);
    json_decref(text);
    api_reply_json(r, bytes_of(quoted == NULL ? "\"\"" : quoted));
    free(quoted);
}

void api_status_leader(struct request *r)
{
    if (api_datacenter(r)) {
        api_world(r, status_leader);
    }
}

static void status_peers(struct request *r, const struct world *w)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->servers->count; i++) {
        (void)json_array_append_new(list, json_string(w->servers->servers[i].address));
    }
    api_reply_value(r, 200, list);
}

void api_status_peers(struct request *r)
{
    if (api_datacenter(r)) {
        api_world(r, status_peers);
    }
}

/* The next one by name that a server of the WAN pool is in, but `own`; NULL: no more. */
static const char *
datacenter_after(const struct members_order *o, const char *last, const char *own)
{
    const char *next = NULL;
    for (size_t i = 0; i < o->count; i++) {
        const struct gossip_member *m = &o->members[i];
        const char *dc = gossip_tag(m, "dc");
        if (dc != NULL && m->status != GOSSIP_LEFT && strcmp(dc, own) != 0 &&
            strcmp(dc, last) > 0 && (next == NULL || strcmp(dc, next) < 0)) {
            next = dc;
        }
    }
    return next;
}

/* This one, then those of the WAN pool by name. */
static void datacenters_answer(struct request *r, const struct members_order *o)
{
    json_t *list = json_array();
    const char *own = api_of(r)->config->datacenter;
    (void)json_array_append_new(list, json_string(own));
    for (const char *dc = datacenter_after(o, "", own); dc != NULL;
         dc = datacenter_after(o, dc, own)) {
        (void)json_array_append_new(list, json_string(dc));
    }
    api_reply_value(r, 200, list);
}

void api_catalog_datacenters(struct request *r)
{
    const struct members_order o = {.verb = MEMBERS_LIST, .wan = true};
    api_members_order(r, &o, datacenters_answer);
}
