/* services register, services deregister, maint: what the local agent has registered. */
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- what flags say -----------------------------------------------------------------------------
 */

struct service_flags {
    const char *id;
    const char *name;
    const char *address;
    const char *kind;
    const char *socket;
    uint64_t port;
    struct flag_texts tags;
    struct flag_texts meta;
};

static json_t *service_object(const struct service_flags *f, struct reason *why)
{
    json_t *object = json_pack("{s:s, s:s}", "Name", f->name == NULL ? "" : f->name, "Address",
                               f->address == NULL ? "" : f->address);
    json_t *tags = json_array();
    json_t *meta = json_object();
    bool good = true;
    for (size_t i = 0; i < f->tags.count; i++) {
        (void)json_array_append_new(tags, json_string(f->tags.items[i]));
    }
    for (size_t i = 0; good && i < f->meta.count; i++) {
        const char *mark = strchr(f->meta.items[i], '=');
        good = mark != NULL;
        if (good) {
            (void)json_object_setn_new(meta, f->meta.items[i], (size_t)(mark - f->meta.items[i]),
                                       json_string(mark + 1));
        } else {
            reason_set(why, "invalid value \"%s\" for flag -meta: expected key=value",
                       f->meta.items[i]);
        }
    }
    (void)json_object_set_new(object, "Tags", tags);
    (void)json_object_set_new(object, "Meta", meta);
    (void)json_object_set_new(object, "Port", json_integer((json_int_t)f->port));
    if (f->id != NULL) {
        (void)json_object_set_new(object, "ID", json_string(f->id));
    }
    if (f->kind != NULL) {
        (void)json_object_set_new(object, "Kind", json_string(f->kind));
    }
    if (f->socket != NULL) {
        (void)json_object_set_new(object, "SocketPath", json_string(f->socket));
    }
    if (!good) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* --- what files say -----------------------------------------------------------------------------
 */

/* `service` and `services` of a file, in one array; a new reference. NULL: why has been said. */
static json_t *services_of_file(const char *path)
{
    json_error_t error;
    char text[SYSTEM_TEXT_LEN];
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        cli_system_text(errno, text);
        (void)cli_fail("Error reading file: open %s: %s", path, text);
        return NULL;
    }
    json_t *root = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
    (void)fclose(in);
    if (!json_is_object(root)) {
        (void)cli_fail("Error reading %s: line %d: %s", path, error.line,
                       root == NULL ? error.text : "expected an object");
        json_decref(root);
        return NULL;
    }
    json_t *all = json_array();
    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i)) {
        const char *key = json_object_iter_key(i);
        json_t *value = json_object_iter_value(i);
        if (strcasecmp(key, "service") == 0) {
            (void)json_array_append(all, value);
        } else if (strcasecmp(key, "services") == 0 && json_is_array(value)) {
            (void)json_array_extend(all, value);
        }
    }
    json_decref(root);
    if (json_array_size(all) == 0) {
        (void)cli_fail("%s: neither service nor services is in it", path);
        json_decref(all);
        return NULL;
    }
    return all;
}

/* A member of a definition, in any case. */
static const char *member_text(json_t *object, const char *name)
{
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const json_t *value = json_object_iter_value(i);
        if (strcasecmp(json_object_iter_key(i), name) == 0 && json_is_string(value)) {
            return json_string_value(value);
        }
    }
    return "";
}

/* --- register and deregister --------------------------------------------------------------------
 */

static int register_one(const struct http_options *options, json_t *object)
{
    struct http_answer answer;
    int status = 0;
    char *text = json_dumps(object, JSON_COMPACT);
    char failed[ROW_NAME_MAX + 64];
    if (text == NULL) {
        return cli_fail("Error registering service: it cannot be written as JSON");
    }
    struct http_call call = {
        .method = "PUT",
        .path = "/v1/agent/service/register",
        .query = "",
        .body = bytes_of(text),
    };
    (void)snprintf(failed, sizeof failed, "Error registering service \"%s\"",
                   member_text(object, "name"));
    if (cli_call(options, &call, failed, &answer, &status)) {
        http_answer_close(&answer);
        (void)printf("Registered service: %s\n", member_text(object, "name"));
    }
    free(text);
    return status;
}

static int deregister_one(const struct http_options *options, const char *id)
{
    struct http_answer answer;
    struct buf path;
    int status = 0;
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, "/v1/agent/service/deregister/", bytes_of(id));
    if (e != OK) {
        buf_close(&path);
        return cli_fail("Error deregistering service: its id is too long");
    }
    struct http_call call = {.method = "PUT", .path = path.ptr, .query = "", .body = BYTES("")};
    char failed[ROW_NAME_MAX + 64];
    (void)snprintf(failed, sizeof failed, "Error deregistering service \"%.400s\"", id);
    if (cli_call(options, &call, failed, &answer, &status)) {
        http_answer_close(&answer);
        (void)printf("Deregistered service: %s\n", id);
    }
    buf_close(&path);
    return status;
}

/* Each service of each file; the first failure ends it. */
static int
each_of_files(const struct http_options *options, const struct flag_rest *rest, bool registering)
{
    int status = 0;
    for (int i = 0; status == 0 && i < rest->argc; i++) {
        json_t *all = services_of_file(rest->argv[i]);
        if (all == NULL) {
            return 1;
        }
        for (size_t j = 0; status == 0 && j < json_array_size(all); j++) {
            json_t *object = json_array_get(all, j);
            const char *id = member_text(object, "id");
            if (registering) {
                status = register_one(options, object);
            } else {
                status = deregister_one(options, id[0] != '\0' ? id : member_text(object, "name"));
            }
        }
        json_decref(all);
    }
    return status;
}

int cli_services_register(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct service_flags f = {0};
    struct flag_rest rest;
    struct reason why = {{0}};
    int status = 0;
    const struct flag flags[] = {
        {"address", FLAG_TEXT, &f.address, "string", "Address of the service."},
        {"id", FLAG_TEXT, &f.id, "string", "ID of the service. The default is its name."},
        {"kind", FLAG_TEXT, &f.kind, "string", "Kind of the service."},
        {"meta", FLAG_TEXTS, &f.meta, "key=value",
         "Something to know of the service. May be given several times."},
        {"name", FLAG_TEXT, &f.name, "string", "Name of the service."},
        {"port", FLAG_U64, &f.port, "uint", "Port of the service."},
        {"socket", FLAG_TEXT, &f.socket, "string", "Path of the service's unix socket."},
        {"tag", FLAG_TEXTS, &f.tags, "string", "Tag of the service. May be given several times."},
    };
    const struct cli_help help = {
        .usage = "services register [options] [FILE...]",
        .text =
            "  Registers services with the local agent: one by flags, or those of JSON files.\n",
        .http = true,
        .flags = {flags, sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc > 0) {
        return f.name != NULL ? cli_fail("Service Registration by flags and by files are exclusive")
                              : each_of_files(&options, &rest, true);
    }
    if (f.name == NULL) {
        return cli_fail("Service registration requires at least one argument or flags.");
    }
    json_t *object = service_object(&f, &why);
    if (object == NULL) {
        return cli_fail("%s", why.text);
    }
    status = register_one(&options, object);
    json_decref(object);
    return status;
}

int cli_services_deregister(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    const char *id = NULL;
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &id, "string", "ID of the service; without files."},
    };
    const struct cli_help help = {
        .usage = "services deregister [options] [FILE...]",
        .text = "  Takes services from the local agent: one by its id, or those of JSON files.\n",
        .http = true,
        .flags = {flags, sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (id != NULL) {
        return rest.argc > 0 ? cli_fail("-id and files are exclusive")
                             : deregister_one(&options, id);
    }
    if (rest.argc == 0) {
        return cli_fail("Service deregistration requires at least one argument or -id.");
    }
    return each_of_files(&options, &rest, false);
}

int cli_services(const struct cli *cli, int argc, char **argv)
{
    const struct cli_help help = {
        .usage = "services <subcommand> [options] [args]",
        .text = "  Registers services with the local agent, and takes them from it:\n\n"
                "      deregister\n"
                "      register\n",
    };
    (void)argc;
    (void)argv;
    (void)cli_help(cli, &help);
    return 1;
}

/* --- maintenance --------------------------------------------------------------------------------
 */

struct maint_flags {
    bool enable;
    bool disable;
    const char *reason;
    const char *service;
};

static void maint_print(json_t *checks)
{
    for (void *i = json_object_iter(checks); i != NULL; i = json_object_iter_next(checks, i)) {
        json_t *check = json_object_iter_value(i);
        const char *id = member_text(check, "CheckID");
        if (strcmp(id, "_node_maintenance") == 0) {
            (void)printf("Node:\n  Name:   %s\n  Reason: %s\n\n", member_text(check, "Node"),
                         member_text(check, "Notes"));
        } else if (strncmp(id, "_service_maintenance:", 21) == 0) {
            (void)printf("Service:\n  ID:     %s\n  Reason: %s\n\n",
                         member_text(check, "ServiceID"), member_text(check, "Notes"));
        }
    }
}

static int maint_list(const struct http_options *options)
{
    struct http_answer answer;
    struct reason why;
    json_t *checks = NULL;
    int status = 0;
    struct http_call call = {.method = "GET", .path = "/v1/agent/checks", .query = ""};
    if (!cli_call(options, &call, "Error getting checks", &answer, &status)) {
        return status;
    }
    if (json_parse(buf_view(&answer.body), &checks, &why) == OK) {
        maint_print(checks);
    } else {
        status = cli_fail("Error getting checks: %s", why.text);
    }
    http_answer_close(&answer);
    json_decref(checks);
    return status;
}

static int maint_set(const struct http_options *options, const struct maint_flags *f)
{
    struct http_answer answer;
    struct buf path;
    struct buf query;
    int status = 0;
    const char *word = f->enable ? "enabled" : "disabled";
    buf_init(&path, HTTP_TARGET_MAX);
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = f->service != NULL
                     ? http_path(&path, "/v1/agent/service/maintenance/", bytes_of(f->service))
                     : http_path(&path, "/v1/agent/maintenance", BYTES(""));
    e = e == OK ? http_query(&query, "enable", f->enable ? BYTES("true") : BYTES("false")) : e;
    if (e == OK && f->reason != NULL) {
        e = http_query(&query, "reason", bytes_of(f->reason));
    }
    char failed[64];
    (void)snprintf(failed, sizeof failed, "Error %s %s maintenance",
                   f->enable ? "enabling" : "disabling", f->service != NULL ? "service" : "node");
    if (e != OK) {
        status = cli_fail("%s: the reason or the id is too long", failed);
    } else {
        struct http_call call = {
            .method = "PUT", .path = path.ptr, .query = query.ptr, .body = BYTES("")};
        if (cli_call(options, &call, failed, &answer, &status)) {
            http_answer_close(&answer);
            if (f->service != NULL) {
                (void)printf("Service maintenance is now %s for \"%s\"\n", word, f->service);
            } else {
                (void)printf("Node maintenance is now %s\n", word);
            }
        }
    }
    buf_close(&path);
    buf_close(&query);
    return status;
}

int cli_maint(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct maint_flags f = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"disable", FLAG_SWITCH, &f.disable, NULL, "Ends maintenance."},
        {"enable", FLAG_SWITCH, &f.enable, NULL, "Begins maintenance."},
        {"reason", FLAG_TEXT, &f.reason, "string", "Why, for others to read."},
        {"service", FLAG_TEXT, &f.service, "string",
         "ID of the service that is meant; without it the node is."},
    };
    const struct cli_help help = {
        .usage = "maint [options]",
        .text = "  Takes the node or one of its services out of use for a while, and back; shows\n"
                "  what is out of use.\n",
        .http = true,
        .flags = {flags, sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (f.enable && f.disable) {
        return cli_fail("Only one of -enable or -disable may be provided");
    }
    if (!f.enable && !f.disable) {
        if (f.reason != NULL) {
            return cli_fail("Reason may only be provided with -enable");
        }
        if (f.service != NULL) {
            return cli_fail("Service requires either -enable or -disable");
        }
        return maint_list(&options);
    }
    if (f.disable && f.reason != NULL) {
        return cli_fail("Reason may only be provided with -enable");
    }
    return maint_set(&options, &f);
}
