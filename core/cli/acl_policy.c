/* acl policy create, list, read, update, delete; acl, acl token, acl policy by themselves. */
#include "core/base/limit.h"
#include "core/cli/acl.h"

#include <stdio.h>
#include <string.h>

struct policy_flags {
    const char *id;
    const char *name;
    const char *description;
    const char *rules;
    const char *format;
    bool no_merge;
    bool meta;
    struct flag_texts datacenters;
};

static bool policy_flags(const struct cli *cli,
                         const struct cli_help *help,
                         struct http_options *options,
                         const struct cli_args *args,
                         const struct policy_flags *f,
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
    return acl_format_fits(f->format, ret_status);
}

/* Sets what the flags say. False: the rules cannot be read; said. */
static bool policy_fill(json_t *body, const struct policy_flags *f, int *ret_status)
{
    struct buf rules;
    struct reason why;
    bool fits = true;
    if (f->name != NULL) {
        (void)json_object_set_new(body, "Name", json_string(f->name));
    }
    if (f->description != NULL) {
        (void)json_object_set_new(body, "Description", json_string(f->description));
    }
    if (f->datacenters.count > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < f->datacenters.count; i++) {
            (void)json_array_append_new(list, json_string(f->datacenters.items[i]));
        }
        (void)json_object_set_new(body, "Datacenters", list);
    }
    if (f->rules != NULL) {
        buf_init(&rules, MIB(1));
        fits = data_read(f->rules, &rules, &why) == OK;
        if (fits) {
            (void)json_object_set_new(body, "Rules",
                                      json_stringn(rules.len == 0 ? "" : rules.ptr, rules.len));
        } else {
            *ret_status = cli_fail("Error loading rules: %s", why.text);
        }
        buf_close(&rules);
    }
    return fits;
}

#define POLICY_FLAGS(f)                                                                            \
    {"name", FLAG_TEXT, &(f).name, "string", "The policy's name."},                                \
        {"description", FLAG_TEXT, &(f).description, "string", "What it is for."},                 \
        {"rules", FLAG_TEXT, &(f).rules, "string",                                                 \
         "The rules; `@file` reads a file, `-` standard input."},                                  \
        {"valid-datacenter", FLAG_TEXTS, &(f).datacenters, "value",                                \
         "Where it holds; may be repeated. Without it everywhere."},                               \
        {"format", FLAG_TEXT, &(f).format, "string", "pretty or json."},

int cli_acl_policy_create(const struct cli *cli, int argc, char **argv)
{
    struct policy_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {POLICY_FLAGS(f)};
    const struct cli_help help = {
        .usage = "acl policy create [options]",
        .text = "  Creates a policy.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!policy_flags(cli, &help, &options, &args, &f, &status)) {
        return status;
    }
    if (f.name == NULL) {
        return cli_fail("Missing require '-name' flag");
    }
    json_t *body = json_object();
    json_t *row = NULL;
    const struct acl_call call = {.method = "PUT",
                                  .path = "/v1/acl/policy",
                                  .body = body,
                                  .failed = "Failed to create new policy"};
    if (policy_fill(body, &f, &status)) {
        row = acl_call(&options, &call, &status);
    }
    if (row != NULL) {
        status = acl_print(row, f.format, acl_print_policy);
        json_decref(row);
    }
    json_decref(body);
    return status;
}

int cli_acl_policy_list(const struct cli *cli, int argc, char **argv)
{
    struct policy_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
        {"meta", FLAG_SWITCH, &f.meta, NULL, "Accepted, not used."},
    };
    const struct cli_help help = {
        .usage = "acl policy list [options]",
        .text = "  Lists all policies.\n",
        .http = true,
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!policy_flags(cli, &help, &options, &args, &f, &status)) {
        return status;
    }
    const struct acl_call call = {.method = "GET",
                                  .path = "/v1/acl/policies",
                                  .failed = "Failed to retrieve the policy list"};
    json_t *rows = acl_call(&options, &call, &status);
    if (rows != NULL) {
        status = acl_print(rows, f.format, acl_print_policies);
        json_decref(rows);
    }
    return status;
}

/* The policy that -id or -name names. NULL: said. */
static json_t *policy_of(const struct http_options *options,
                         const struct policy_flags *f,
                         const char *failed,
                         int *ret_status)
{
    if (f->id == NULL && f->name == NULL) {
        *ret_status = cli_fail("Must specify either the -id or -name parameters");
        return NULL;
    }
    const struct acl_call call = {
        .method = "GET",
        .path = f->id != NULL ? "/v1/acl/policy/" : "/v1/acl/policy/name/",
        .tail = f->id != NULL ? f->id : f->name,
        .failed = failed,
    };
    return acl_call(options, &call, ret_status);
}

int cli_acl_policy_read(const struct cli *cli, int argc, char **argv)
{
    struct policy_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &f.id, "string", "The policy's ID."},
        {"name", FLAG_TEXT, &f.name, "string", "Or its name."},
        {"meta", FLAG_SWITCH, &f.meta, NULL, "Accepted, not used."},
        {"format", FLAG_TEXT, &f.format, "string", "pretty or json."},
    };
    const struct cli_help help = {
        .usage = "acl policy read [options]",
        .text = "  Shows one policy.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!policy_flags(cli, &help, &options, &args, &f, &status)) {
        return status;
    }
    json_t *row = policy_of(&options, &f, "Error reading policy", &status);
    if (row != NULL) {
        status = acl_print(row, f.format, acl_print_policy);
        json_decref(row);
    }
    return status;
}

int cli_acl_policy_delete(const struct cli *cli, int argc, char **argv)
{
    struct policy_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &f.id, "string", "The policy's ID."},
        {"name", FLAG_TEXT, &f.name, "string", "Or its name."},
    };
    const struct cli_help help = {
        .usage = "acl policy delete [options]",
        .text = "  Deletes a policy; tokens that have it lose what it allowed.\n",
        .http = true,
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!policy_flags(cli, &help, &options, &args, &f, &status)) {
        return status;
    }
    json_t *row = policy_of(&options, &f, "Error deleting policy", &status);
    if (row == NULL) {
        return status;
    }
    const char *id = json_string_value(json_object_get(row, "ID"));
    const struct acl_call call = {.method = "DELETE",
                                  .path = "/v1/acl/policy/",
                                  .tail = id,
                                  .failed = "Error deleting policy"};
    json_t *done = acl_call(&options, &call, &status);
    if (done != NULL) {
        (void)printf("Policy \"%s\" deleted successfully\n", id);
        json_decref(done);
    }
    json_decref(row);
    return status;
}

int cli_acl_policy_update(const struct cli *cli, int argc, char **argv)
{
    struct policy_flags f = {.format = "pretty"};
    struct http_options options = {0};
    int status = 0;
    const struct flag flags[] = {
        POLICY_FLAGS(f){"id", FLAG_TEXT, &f.id, "string", "The policy's ID."},
        {"no-merge", FLAG_SWITCH, &f.no_merge, NULL, "What no flag says becomes empty."},
    };
    const struct cli_help help = {
        .usage = "acl policy update [options]",
        .text = "  Changes a policy. What no flag says stays, unless -no-merge.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!policy_flags(cli, &help, &options, &args, &f, &status)) {
        return status;
    }
    json_t *row = policy_of(&options, &f, "Error when retrieving current policy", &status);
    if (row == NULL) {
        return status;
    }
    json_t *body = f.no_merge ? json_pack("{s:O, s:O}", "ID", json_object_get(row, "ID"), "Name",
                                          json_object_get(row, "Name"))
                              : json_incref(row);
    const struct acl_call call = {.method = "PUT",
                                  .path = "/v1/acl/policy/",
                                  .tail = json_string_value(json_object_get(row, "ID")),
                                  .body = body,
                                  .failed = "Error updating policy"};
    json_t *changed = policy_fill(body, &f, &status) ? acl_call(&options, &call, &status) : NULL;
    if (changed != NULL) {
        if (strcmp(f.format, "json") != 0) {
            (void)printf("Policy updated successfully\n");
        }
        status = acl_print(changed, f.format, acl_print_policy);
        json_decref(changed);
    }
    json_decref(body);
    json_decref(row);
    return status;
}
