/* info, leave, members, monitor, reload: about one running agent. */
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"
#include "core/cli/table.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int agent_put(const struct cli *cli,
                     const struct cli_help *help,
                     const struct cli_args *args,
                     const char *path,
                     const char *const texts[2])
{
    struct http_options options = {0};
    struct flag_rest rest;
    struct http_answer answer;
    int status = 0;
    if (!cli_flags(cli, help, &options, args, &rest, &status)) {
        return status;
    }
    struct http_call call = {
        .method = "PUT", .path = path, .query = "", .body = {.ptr = "", .len = 0}};
    if (!cli_call(&options, &call, texts[0], &answer, &status)) {
        return status;
    }
    http_answer_close(&answer);
    (void)puts(texts[1]);
    return 0;
}

int cli_leave(const struct cli *cli, int argc, char **argv)
{
    const struct cli_help help = {
        .usage = "leave [options]",
        .text = "  Makes the agent leave the cluster and end.\n",
        .http = true,
    };
    const char *const texts[2] = {"Error leaving", "Graceful leave complete"};
    struct cli_args args = {.argc = argc, .argv = argv};
    return agent_put(cli, &help, &args, "/v1/agent/leave", texts);
}

int cli_reload(const struct cli *cli, int argc, char **argv)
{
    const struct cli_help help = {
        .usage = "reload",
        .text = "  Makes the agent read its configuration again, as SIGHUP does.\n",
        .http = true,
    };
    const char *const texts[2] = {"Error reloading", "Configuration reload triggered"};
    struct cli_args args = {.argc = argc, .argv = argv};
    return agent_put(cli, &help, &args, "/v1/agent/reload", texts);
}

/* --- info ---------------------------------------------------------------------------------------
 */

static int names_by_text(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* Keys of an object in the order of their text; the array is the caller's to free. */
static const char **names_sorted(json_t *object, size_t *ret_count)
{
    size_t count = 0;
    const char **names = calloc(json_object_size(object) + 1, sizeof *names);
    for (void *i = json_object_iter(object); names != NULL && i != NULL;
         i = json_object_iter_next(object, i)) {
        names[count++] = json_object_iter_key(i);
    }
    if (count > 0) {
        qsort(names, count, sizeof *names, names_by_text);
    }
    *ret_count = count;
    return names;
}

static void info_print_value(const json_t *value)
{
    if (json_is_string(value)) {
        (void)printf("%s\n", json_string_value(value));
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    (void)printf("%s\n", text == NULL ? "" : text);
    free(text);
}

static void info_print(json_t *stats)
{
    size_t count = 0;
    const char **blocks = names_sorted(stats, &count);
    for (size_t i = 0; i < count; i++) {
        json_t *block = json_object_get(stats, blocks[i]);
        size_t fields = 0;
        const char **names = names_sorted(block, &fields);
        (void)printf("%s:\n", blocks[i]);
        for (size_t j = 0; j < fields; j++) {
            (void)printf("\t%s = ", names[j]);
            info_print_value(json_object_get(block, names[j]));
        }
        free(names);
    }
    free(blocks);
}

int cli_info(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    struct http_answer answer;
    struct reason why;
    json_t *self = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "info [options]",
        .text = "  Prints what the agent says of itself, for operators.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    struct http_call call = {.method = "GET", .path = "/v1/agent/self", .query = ""};
    if (!cli_call(&options, &call, "Error querying agent", &answer, &status)) {
        return status;
    }
    if (json_parse(buf_view(&answer.body), &self, &why) != OK) {
        status = cli_fail("Error querying agent: %s", why.text);
    } else if (!json_is_object(json_object_get(self, "Stats"))) {
        status = cli_fail("Agent response did not contain 'Stats' key");
    } else {
        info_print(json_object_get(self, "Stats"));
    }
    json_decref(self);
    http_answer_close(&answer);
    return status;
}

/* --- members ------------------------------------------------------------------------------------
 */

static const char *member_status(const json_t *member)
{
    static const char *const names[] = {"none", "alive", "leaving", "left", "failed"};
    json_int_t status = json_integer_value(json_object_get(member, "Status"));
    return status >= 0 && status <= 4 ? names[status] : "unknown";
}

static const char *member_tag(const json_t *member, const char *name)
{
    const char *value = json_string_value(json_object_get(json_object_get(member, "Tags"), name));
    return value == NULL ? "" : value;
}

static void member_tags(json_t *tags, char *out, size_t len)
{
    size_t count = 0;
    size_t at = 0;
    const char **names = names_sorted(tags, &count);
    out[0] = '\0';
    for (size_t i = 0; i < count && at < len; i++) {
        const char *value = json_string_value(json_object_get(tags, names[i]));
        /* A server is in all segments, and Consul says so. */
        bool all = strcmp(names[i], "segment") == 0 && (value == NULL || value[0] == '\0');
        at += (size_t)snprintf(out + at, len - at, "%s%s=%s", i > 0 ? "," : "", names[i],
                               all             ? "<all>"
                               : value == NULL ? ""
                                               : value);
    }
    free(names);
}

static void member_fill(const json_t *member, bool detailed, struct table_row *row)
{
    const char *build = member_tag(member, "build");
    const char *role = member_tag(member, "role");
    const char *segment = member_tag(member, "segment");
    bool server = strcmp(role, "consul") == 0;
    const char *name = json_string_value(json_object_get(member, "Name"));
    const char *address = json_string_value(json_object_get(member, "Addr"));
    const size_t len = sizeof row->cells[0];
    (void)snprintf(row->cells[0], len, "%s", name == NULL ? "" : name);
    (void)snprintf(row->cells[1], len, "%s:%lld", address == NULL ? "" : address,
                   (long long)json_integer_value(json_object_get(member, "Port")));
    (void)snprintf(row->cells[2], len, "%s", member_status(member));
    if (detailed) {
        member_tags(json_object_get(member, "Tags"), row->cells[3], len);
        return;
    }
    (void)snprintf(row->cells[3], len, "%s",
                   server                      ? "server"
                   : strcmp(role, "node") == 0 ? "client"
                                               : "unknown");
    (void)snprintf(row->cells[4], len, "%.*s", (int)strcspn(build, ":"), build);
    (void)snprintf(row->cells[5], len, "%s", member_tag(member, "vsn"));
    (void)snprintf(row->cells[6], len, "%s", member_tag(member, "dc"));
    (void)snprintf(row->cells[7], len, "%s",
                   segment[0] != '\0' ? segment
                   : server           ? "<all>"
                                      : "<default>");
}

static int members_print(const json_t *members, const regex_t *status, bool detailed)
{
    static const struct table_row heads[2] = {
        {{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"}},
        {{"Node", "Address", "Status", "Tags"}},
    };
    size_t count = 1;
    struct table_row *rows = calloc(json_array_size(members) + 1, sizeof *rows);
    if (rows == NULL) {
        return cli_fail("Error retrieving members: no memory");
    }
    rows[0] = heads[detailed ? 1 : 0];
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        if (regexec(status, member_status(member), 0, NULL, 0) == 0) {
            member_fill(member, detailed, &rows[count++]);
        }
    }
    if (count > 1) {
        table_print(rows, count, detailed ? 4 : TABLE_COLUMNS_MAX);
    }
    free(rows);
    return count > 1 ? 0 : 2;
}

int cli_members(const struct cli *cli, int argc, char **argv)
{
    bool detailed = false;
    bool wan = false;
    const char *segment = NULL;
    const char *pattern = ".*";
    struct http_options options = {0};
    struct flag_rest rest;
    struct http_answer answer;
    struct reason why;
    json_t *members = NULL;
    regex_t status_regex;
    int status = 0;
    const struct flag flags[] = {
        {"detailed", FLAG_SWITCH, &detailed, NULL, "Prints each member's tags."},
        {"segment", FLAG_TEXT, &segment, "string", "Accepted, not used."},
        {"status", FLAG_TEXT, &pattern, "string",
         "Only members whose status matches this regular expression."},
        {"wan", FLAG_SWITCH, &wan, NULL, "The servers of all datacenters."},
    };
    const struct cli_help help = {
        .usage = "members [options]",
        .text = "  Lists the members of the cluster. Returns 2 if none matches.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (regcomp(&status_regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return cli_fail("Failed to compile status regexp: %s", pattern);
    }
    struct http_call call = {
        .method = "GET", .path = "/v1/agent/members", .query = wan ? "wan=1" : "segment=_all"};
    if (cli_call(&options, &call, "Error retrieving members", &answer, &status)) {
        if (json_parse(buf_view(&answer.body), &members, &why) != OK) {
            status = cli_fail("Error retrieving members: %s", why.text);
        } else {
            status = members_print(members, &status_regex, detailed);
        }
        json_decref(members);
        http_answer_close(&answer);
    }
    regfree(&status_regex);
    return status;
}

/* --- monitor ------------------------------------------------------------------------------------
 */

static bool monitor_data(void *ctx, struct bytes piece)
{
    (void)ctx;
    return fwrite(piece.ptr, 1, piece.len, stdout) == piece.len && fflush(stdout) == 0;
}

int cli_monitor(const struct cli *cli, int argc, char **argv)
{
    const char *level = "INFO";
    bool json = false;
    struct http_options options = {0};
    struct http_client *client = NULL;
    struct http_answer answer = {0};
    struct flag_rest rest;
    struct reason why;
    struct buf query;
    int status = 0;
    const struct flag flags[] = {
        {"log-json", FLAG_SWITCH, &json, NULL, "The log as JSON objects, one on a line."},
        {"log-level", FLAG_TEXT, &level, "string",
         "trace, debug, info (the default), warn or err; the agent's own level does not matter."},
    };
    const struct cli_help help = {
        .usage = "monitor [options]",
        .text = "  Prints the agent's log as it happens, until it is interrupted.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !cli_open(&options, &client, &status)) {
        return status;
    }
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = http_query(&query, "loglevel", bytes_of(level));
    if (e == OK && json) {
        e = buf_printf(&query, "&logjson=");
    }
    if (e == OK) {
        struct http_call call = {.method = "GET",
                                 .path = "/v1/agent/monitor",
                                 .query = query.ptr,
                                 .data = monitor_data,
                                 .endless = true};
        e = http_client_call(client, &call, &answer, &why);
        if (e == OK && answer.status != 200) {
            http_answer_reason(&answer, &why);
            e = ERR_IO;
        }
    } else {
        reason_set(&why, "-log-level is too long");
    }
    http_answer_close(&answer);
    http_client_close(client);
    buf_close(&query);
    if (e != OK) {
        return cli_fail("Error starting monitor: %s", why.text);
    }
    (void)fputs("Remote side ended the monitor! This usually means that the remote side has exited "
                "or crashed.\n",
                stderr);
    return 1;
}
