/* /v1/status/ and /v1/catalog/datacenters: who leads, who takes part. */
#include "core/api/cluster.h"
#include "core/config.h"

#include <stdlib.h>

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

void api_catalog_datacenters(struct request *r)
{
    api_reply_value(r, 200, json_pack("[s]", api_of(r)->config->datacenter));
}
