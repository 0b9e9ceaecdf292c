/* /v1/status/ and /v1/catalog/datacenters: who leads, who takes part. */
#include "core/api/api.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/server.h"

/* A JSON string, or a list with just it. */
static void
status_reply(struct request *r, const char *before, struct bytes text, const char *after)
{
    struct buf out;
    buf_init(&out, KIB(4));
    enum err e = buf_append_str(&out, before);
    e = e == OK ? json_quote(&out, text) : e;
    e = e == OK ? buf_append_str(&out, after) : e;
    if (e == OK) {
        api_reply_json(r, buf_view(&out));
    } else {
        reply_err(r, e);
    }
    buf_close(&out);
}

void api_status_leader(struct request *r)
{
    struct store_facts facts;
    store_facts_get(api_of(r)->store, &facts);
    const char *address = facts.leader ? server_address(api_of(r)->server) : "";
    status_reply(r, "", bytes_of(address), "");
}

void api_status_peers(struct request *r)
{
    status_reply(r, "[", bytes_of(server_address(api_of(r)->server)), "]");
}

void api_catalog_datacenters(struct request *r)
{
    status_reply(r, "[", bytes_of(api_of(r)->config->datacenter), "]");
}
