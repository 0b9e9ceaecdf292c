/* acl bootstrap; acl token create, list, read, update, clone, delete. */
#include "core/base/limit.h"
#include "core/cli/acl.h"

#include <stdio.h>
#include <string.h>

/* What the flags of these commands set. */
struct token_flags {
    const char *id;
    const char *description;
    const char *accessor;
    const char *secret;
    const char *ttl;
    const char *format;
    bool local;
    bool self;
    bool keep_policies;
    bool keep_roles;
    bool meta;
    struct flag_texts policy_ids;
    struct flag_texts policy_names;
    struct flag_texts role_ids;
    struct flag_texts role_names;
    struct flag_texts services;
    struct flag_texts nodes;
};

static void add_links(json_t *list, const struct flag_texts *texts, const char *member)
{
    for (size_t i = 0; i < texts->count; i++) {
        (void)json_array_append_new(list, json_pack("{s:s}", member, texts->items[i]));
    }
}

/* name:dc,dc */
static json_t *service_identity(const char *text)
{
    struct bytes rest = bytes_of(text);
    size_t colon = bytes_find(rest, ':');
    json_t *row = json_pack("{s:s%}", "ServiceName", rest.ptr, colon);
    json_t *list = json_array();
    rest = bytes_slice(rest, colon < rest.len ? colon + 1 : rest.len, rest.len);
    while (rest.len > 0) {
        size_t comma = bytes_find(rest, ',');
        (void)json_array_append_new(list, json_stringn(rest.ptr, comma));
        rest = bytes_slice(rest, comma < rest.len ? comma + 1 : comma, rest.len);
    }
    (void)json_object_set_new(row, "Datacenters", list);
    return row;
}

static json_t *node_identity(const char *text)
{
    struct bytes whole = bytes_of(text);
    size_t colon = bytes_find(whole, ':');
    struct bytes dc = bytes_slice(whole, colon < whole.len ? colon + 1 : colon, whole.len);
    return json_pack("{s:s%, s:s%}", "NodeName", whole.ptr, colon, "Datacenter", dc.ptr, dc.len);
}

/* Puts what the flags say into a token's body; lists that are there stay in front. */
static void token_links(json_t *body, const struct token_flags *f)
{
    static const char *const names[] = {"Policies", "Roles", "ServiceIdentities", "NodeIdentities"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!json_is_array(json_object_get(body, names[i]))) {
            (void)json_object_set_new(body, names[i], json_array());
        }
    }
    add_links(json_object_get(body, "Policies"), &f->policy_ids, "ID");
    add_links(json_object_get(body, "Policies"), &f->policy_names, "Name");
    add_links(json_object_get(body, "Roles"), &f->role_ids, "ID");
    add_links(json_object_get(body, "Roles"), &f->role_names, "Name");
    for (size_t i = 0; i < f->services.count; i++) {
        (void)json_array_append_new(json_object_get(body, "ServiceIdentities"),
                                    service_identity(f->services.items[i]));
    }
    for (size_t i = 0; i < f->nodes.count; i++) {
        (void)json_array_append_new(json_object_get(body, "NodeIdentities"),
                                    node_identity(f->nodes.items[i]));
    }
}

static bool token_has_links(const struct token_flags *f)
{
    return f->policy_ids.count + f->policy_names.count + f->role_ids.count + f->role_names.count +
               f->services.count + f->nodes.count >
           0;
}

#define LINK_FLAGS(f)                                                                              \
    {"description", FLAG_TEXT, &(f).description, "string", "What the token is for."},              \
        {"policy-id", FLAG_TEXTS, &(f).policy_ids, "value", "A policy of it; may be repeated."},   \
        {"policy-name", FLAG_TEXTS, &(f).policy_names, "value", "The same, by name."},             \
        {"role-id", FLAG_TEXTS, &(f).role_ids, "value", "A role of it; may be repeated."},         \
        {"role-name", FLAG_TEXTS, &(f).role_names, "value", "The same, by name."},                 \
        {"service-identity", FLAG_TEXTS, &(f).services, "value",                                   \
         "The rights of a service, `name` or `name:dc,dc`."},                                      \
        {"node-identity", FLAG_TEXTS, &(f).nodes, "value", "The rights of a node, `name:dc`."},    \
        {"format", FLAG_TEXT, &(f).format, "string", "pretty or json."},

/* Parses, checks the format. */
static bool acl_flags(const struct cli *cli,
                      const struct cli_help *help,
                      struct http_options *options,
                      const struct cli_args *args,
                      const char *const *format,
                      int *ret_status)
{
    struct flag_rest rest;
    if (!cli_flags(cli, help, options, args, &rest, ret_status)) {
        return false;
    }
    if (rest.argc > 0) {
        *ret_status = cli_fail("Too many arguments (expected 0, got %d)", rest.argc);
        return false;
    }
    return acl_format_fits(*format, ret_status);
}

static int call_and_print(const struct http_options *options,
                          const struct acl_call *call,
                          const char *format,
                          void (*print)(const json_t *row))
{
    int status = 0;
    json_t *row = acl_call(options, call, &status);
    if (row != NULL) {
        status = acl_print(row, format, print);
        json_decref(row);
    }
    return status;
}

int cli_acl_bootstrap(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
    };
    const struct cli_help help = {
        .usage = "acl bootstrap [options]",
        .text = "  Makes the first management token. This works once.\n",
        .http = true,
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    const struct acl_call call = {
        .method = "PUT", .path = "/v1/acl/bootstrap", .failed = "Failed ACL bootstrapping"};
    return call_and_print(&options, &call, f.format, acl_print_token);
}

int cli_acl_token_create(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty", .description = ""};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        LINK_FLAGS(f){"accessor", FLAG_TEXT, &f.accessor, "string", "The AccessorID, a UUID."},
        {"secret", FLAG_TEXT, &f.secret, "string", "The SecretID, a UUID."},
        {"local", FLAG_SWITCH, &f.local, NULL, "Of this datacenter alone."},
        {"expires-ttl", FLAG_TEXT, &f.ttl, "duration", "It ends so long from now, as 24h."},
    };
    const struct cli_help help = {
        .usage = "acl token create [options]",
        .text = "  Creates a token. It may what its policies, roles and identities allow.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    if (!token_has_links(&f)) {
        return cli_fail("Cannot create a token without specifying -policy-name, -policy-id, "
                        "-role-name, -role-id, -service-identity, or -node-identity at least "
                        "once");
    }
    json_t *body = json_pack("{s:s, s:b}", "Description", f.description, "Local", f.local);
    if (f.accessor != NULL) {
        (void)json_object_set_new(body, "AccessorID", json_string(f.accessor));
    }
    if (f.secret != NULL) {
        (void)json_object_set_new(body, "SecretID", json_string(f.secret));
    }
    if (f.ttl != NULL) {
        (void)json_object_set_new(body, "ExpirationTTL", json_string(f.ttl));
    }
    token_links(body, &f);
    const struct acl_call call = {.method = "PUT",
                                  .path = "/v1/acl/token",
                                  .body = body,
                                  .failed = "Failed to create new token"};
    status = call_and_print(&options, &call, f.format, acl_print_token);
    json_decref(body);
    return status;
}

int cli_acl_token_list(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
        {"meta", FLAG_SWITCH, &f.meta, NULL, "Accepted, not used."},
    };
    const struct cli_help help = {
        .usage = "acl token list [options]",
        .text = "  Lists all tokens, without their secrets.\n",
        .http = true,
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    const struct acl_call call = {
        .method = "GET", .path = "/v1/acl/tokens", .failed = "Failed to retrieve the token list"};
    return call_and_print(&options, &call, f.format, acl_print_tokens);
}

int cli_acl_token_read(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &f.id, "string", "The AccessorID."},
        {"self", FLAG_SWITCH, &f.self, NULL, "The token of this call."},
        {"meta", FLAG_SWITCH, &f.meta, NULL, "Accepted, not used."},
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
    };
    const struct cli_help help = {
        .usage = "acl token read [options]",
        .text = "  Shows one token.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    if (f.id == NULL && !f.self) {
        return cli_fail("Must specify the -id parameter");
    }
    const struct acl_call call = {.method = "GET",
                                  .path = "/v1/acl/token/",
                                  .tail = f.self ? "self" : f.id,
                                  .failed = "Error reading token"};
    return call_and_print(&options, &call, f.format, acl_print_token);
}

int cli_acl_token_delete(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &f.id, "string", "The AccessorID."},
    };
    const struct cli_help help = {
        .usage = "acl token delete [options] -id TOKEN",
        .text = "  Deletes a token; who uses it is refused from then on.\n",
        .http = true,
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    if (f.id == NULL) {
        return cli_fail("Must specify the -id parameter");
    }
    const struct acl_call call = {.method = "DELETE",
                                  .path = "/v1/acl/token/",
                                  .tail = f.id,
                                  .failed = "Error deleting token"};
    json_t *done = acl_call(&options, &call, &status);
    if (done != NULL) {
        (void)printf("Token \"%s\" deleted successfully\n", f.id);
        json_decref(done);
    }
    return status;
}

int cli_acl_token_clone(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty", .description = ""};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &f.id, "string", "The AccessorID."},
        {"description", FLAG_TEXT, &f.description, "string", "Of the new token."},
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
    };
    const struct cli_help help = {
        .usage = "acl token clone [options]",
        .text = "  Makes another token that may the same.\n",
        .http = true,
        .flags = {.flags = flags, .count = 3},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    if (f.id == NULL) {
        return cli_fail("Cannot perform a clone of a token without specifying the -id parameter");
    }
    json_t *body = json_pack("{s:s}", "Description", f.description);
    const struct acl_call call = {.method = "PUT",
                                  .path = "/v1/acl/token/",
                                  .tail = f.id,
                                  .after = "/clone",
                                  .body = body,
                                  .failed = "Error cloning token"};
    json_t *row = acl_call(&options, &call, &status);
    if (row != NULL) {
        if (strcmp(f.format, "json") != 0) {
            (void)printf("Token cloned successfully.\n");
        }
        status = acl_print(row, f.format, acl_print_token);
        json_decref(row);
    }
    json_decref(body);
    return status;
}

/* What the flags leave out stays: the description; with -merge-policies and -merge-roles the
 * lists. */
static void token_change(json_t *token, const struct token_flags *f)
{
    if (f->description != NULL) {
        (void)json_object_set_new(token, "Description", json_string(f->description));
    }
    if (!f->keep_policies) {
        (void)json_object_del(token, "Policies");
    }
    if (!f->keep_roles) {
        (void)json_object_del(token, "Roles");
    }
    token_links(token, f);
}

int cli_acl_token_update(const struct cli *cli, int argc, char **argv)
{
    struct token_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        LINK_FLAGS(f){"id", FLAG_TEXT, &f.id, "string", "The AccessorID."},
        {"merge-policies", FLAG_SWITCH, &f.keep_policies, NULL, "Adds to its policies."},
        {"merge-roles", FLAG_SWITCH, &f.keep_roles, NULL, "Adds to its roles."},
    };
    const struct cli_help help = {
        .usage = "acl token update [options]",
        .text = "  Changes what a token may. Its policies and roles are replaced, unless merged.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!acl_flags(cli, &help, &options, &args, &f.format, &status)) {
        return status;
    }
    if (f.id == NULL) {
        return cli_fail("Cannot update a token without specifying the -id parameter");
    }
    struct acl_call call = {.method = "GET",
                            .path = "/v1/acl/token/",
                            .tail = f.id,
                            .failed = "Error when retrieving current token"};
    json_t *token = acl_call(&options, &call, &status);
    if (token == NULL) {
        return status;
    }
    token_change(token, &f);
    call.method = "PUT";
    call.body = token;
    call.failed = "Failed to update token";
    json_t *row = acl_call(&options, &call, &status);
    if (row != NULL) {
        if (strcmp(f.format, "json") != 0) {
            (void)printf("Token updated successfully.\n");
        }
        status = acl_print(row, f.format, acl_print_token);
        json_decref(row);
    }
    json_decref(token);
    return status;
}
