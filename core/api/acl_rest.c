/* The rest of /v1/acl: replication, the UI's question what it may, and what is not there. */
#include "core/agent/tokens.h"
#include "core/api/acl.h"
#include "core/base/limit.h"

/* Tokens of one cluster are in its log: there is nothing to replicate. */
void api_acl_replication(struct request *r)
{
    if (acl_is_on(r)) {
        api_reply_value(r, 200,
                        json_pack("{s:b, s:b, s:s, s:s, s:i, s:i, s:i, s:s, s:s}", "Enabled", 0,
                                  "Running", 0, "SourceDatacenter", "", "ReplicationType", "",
                                  "ReplicatedIndex", 0, "ReplicatedRoleIndex", 0,
                                  "ReplicatedTokenIndex", 0, "LastSuccess", "0001-01-01T00:00:00Z",
                                  "LastError", "0001-01-01T00:00:00Z"));
    }
}

/* One {Resource, Access, Segment}; NULL: answered. */
static json_t *authorize_one(struct request *r, const struct acl *a, const json_t *asked)
{
    struct bytes resource = acl_member_text(asked, "Resource");
    struct bytes access = acl_member_text(asked, "Access");
    struct bytes segment = acl_member_text(asked, "Segment");
    enum acl_resource kind = ACL_ACL;
    enum acl_access level = ACL_READ;
    if (acl_resource_parse(resource, &kind) != OK || acl_access_parse(access, &level) != OK ||
        level == ACL_DENY) {
        reply_text(r, 500, "Invalid access level or resource: \"%.*s\" of \"%.*s\"",
                   BYTES_FORMAT(access), BYTES_FORMAT(resource));
        return NULL;
    }
    json_t *row = json_object();
    (void)json_object_set_new(row, "Resource", json_stringn(resource.ptr, resource.len));
    if (segment.len > 0) {
        (void)json_object_set_new(row, "Segment", json_stringn(segment.ptr, segment.len));
    }
    (void)json_object_set_new(row, "Access", json_stringn(access.ptr, access.len));
    bool allow = level == ACL_LIST ? acl_allows_prefix(a, kind, segment, level)
                                   : acl_allows(a, kind, segment, level);
    (void)json_object_set_new(row, "Allow", json_boolean(allow));
    return row;
}

void api_internal_acl_authorize(struct request *r)
{
    json_error_t error;
    if (!acl_is_on(r)) {
        return;
    }
    json_t *body = r->body.len == 0 ? NULL : json_loadb(r->body.ptr, r->body.len, 0, &error);
    const struct acl *a = api_rights(r);
    json_t *list = json_array();
    json_t *row = NULL;
    if (!json_is_array(body)) {
        reply_text(r, 400, "Failed to decode request body: expected a list");
    } else if (json_array_size(body) > ACL_AUTHORIZE_MAX) {
        reply_text(r, 400, "Refusing to process more than %u authorizations at once",
                   ACL_AUTHORIZE_MAX);
    } else {
        size_t i = 0;
        for (; i < json_array_size(body); i++) {
            row = authorize_one(r, a, json_array_get(body, i));
            if (row == NULL) {
                break;
            }
            (void)json_array_append_new(list, row);
        }
        if (i == json_array_size(body)) {
            api_reply_value(r, 200, json_incref(list));
        }
    }
    json_decref(list);
    json_decref(body);
}

/* Auth methods and binding rules: lists are empty, the rest says that it is not there. */
void api_acl_none(struct request *r)
{
    if (acl_is_on(r)) {
        api_meta_headers(r, 1);
        api_reply_value(r, 200, json_array());
    }
}

void api_acl_not_there(struct request *r)
{
    if (acl_is_on(r)) {
        reply_text(r, r->method == METHOD_GET ? 404 : 501,
                   "auth methods, binding rules and logins are not available in Herald: create a "
                   "token (PUT /v1/acl/token)");
    }
}

/* --- the agent's own tokens ------------------------------------------------------------------- */

static bool agent_token_name(struct bytes word, enum token_name *ret_name)
{
    static const struct {
        const char *word;
        enum token_name name;
    } names[] = {
        {"default", TOKEN_DEFAULT},
        {"acl_token", TOKEN_DEFAULT},
        {"agent", TOKEN_AGENT},
        {"acl_agent_token", TOKEN_AGENT},
        {"agent_recovery", TOKEN_RECOVERY},
        {"agent_master", TOKEN_RECOVERY},
        {"acl_agent_master_token", TOKEN_RECOVERY},
        {"replication", TOKEN_REPLICATION},
        {"acl_replication_token", TOKEN_REPLICATION},
        {"config_file_service_registration", TOKEN_SERVICE},
        {"dns", TOKEN_DNS},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bytes_equal(word, bytes_of(names[i].word))) {
            *ret_name = names[i].name;
            return true;
        }
    }
    return false;
}

void api_agent_token(struct request *r)
{
    enum token_name name = TOKEN_DEFAULT;
    if (!acl_is_on(r)) {
        return;
    }
    json_t *body = acl_body(r);
    if (body == NULL) {
        return;
    }
    if (!agent_token_name(r->rest, &name)) {
        reply_text(r, 404, "Token \"%.*s\" is unknown", BYTES_FORMAT(r->rest));
    } else if (tokens_set(api_of(r)->tokens, name, acl_member_text(body, "Token")) != OK) {
        reply_text(r, 400, "the token is too long, or was set too often");
    } else {
        reply_shared(r, 200, NULL, NULL);
    }
    json_decref(body);
}
