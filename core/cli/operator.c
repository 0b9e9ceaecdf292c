/* operator raft, operator autopilot: the servers of the cluster. */
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"
#include "core/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static const char *truth_of(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name)) ? "true" : "false";
}

/* GETs a JSON value; the reference is the caller's. False: what is wrong is said. */
static bool get_json(const struct http_options *options,
                     const char *path,
                     const char *failed,
                     json_t **ret_value,
                     int *ret_status)
{
    struct http_answer answer;
    struct reason why;
    struct http_call call = {.method = "GET", .path = path, .query = ""};
    if (!cli_call(options, &call, failed, &answer, ret_status)) {
        return false;
    }
    enum err e = json_parse(buf_view(&answer.body), ret_value, &why);
    http_answer_close(&answer);
    if (e != OK) {
        *ret_status = cli_fail("%s: %s", failed, why.text);
    }
    return e == OK;
}

/* --- raft ---------------------------------------------------------------------------------------
 */

static void peers_print(const json_t *servers)
{
    static const char *const heads[] = {"Node", "ID", "Address", "State", "Voter", "RaftProtocol"};
    size_t count = json_array_size(servers);
    struct table_row *rows = mem_zalloc(count + 1, sizeof *rows);
    for (size_t i = 0; i < 6; i++) {
        (void)snprintf(rows[0].cells[i], TABLE_CELL_LEN, "%s", heads[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *s = json_array_get(servers, i);
        bool leader = json_is_true(json_object_get(s, "Leader"));
        const char *cells[] = {
            text_of(s, "Node"),    text_of(s, "ID"),
            text_of(s, "Address"), leader ? "leader" : "follower",
            truth_of(s, "Voter"),  text_of(s, "ProtocolVersion"),
        };
        for (size_t j = 0; j < 6; j++) {
            (void)snprintf(rows[i + 1].cells[j], TABLE_CELL_LEN, "%s", cells[j]);
        }
    }
    table_print(rows, count + 1, 6);
    free(rows);
}

int cli_operator_raft_list_peers(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    json_t *value = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "operator raft list-peers [options]",
        .text = "  Lists the servers that keep the log, and who of them leads.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !get_json(&options, "/v1/operator/raft/configuration", "Error getting peers", &value,
                  &status)) {
        return status;
    }
    peers_print(json_object_get(value, "Servers"));
    json_decref(value);
    return 0;
}

static int
raft_call(const struct http_options *options, const struct http_call *call, const char *failed)
{
    struct http_answer answer;
    int status = 0;
    if (cli_call(options, call, failed, &answer, &status)) {
        http_answer_close(&answer);
    }
    return status;
}

int cli_operator_raft_remove_peer(const struct cli *cli, int argc, char **argv)
{
    const char *address = NULL;
    const char *id = NULL;
    int status = 0;
    struct http_options options = {0};
    struct flag_rest rest;
    struct buf query;
    const struct flag flags[] = {
        {"address", FLAG_TEXT, &address, "string",
         "The server's host:port, as list-peers shows it."},
        {"id", FLAG_TEXT, &id, "string", "The server's id."},
    };
    const struct cli_help help = {
        .usage = "operator raft remove-peer [options]",
        .text = "  Takes a server out of the cluster that will not come back.\n",
        .http = true,
        .flags = {.flags = flags, .count = 2},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if ((address == NULL) == (id == NULL)) {
        return cli_fail(id == NULL
                            ? "Error removing peer: an address or id is required for the peer to "
                              "remove"
                            : "Error removing peer: cannot give both an address and id");
    }
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e =
        http_query(&query, id != NULL ? "id" : "address", bytes_of(id != NULL ? id : address));
    struct http_call call = {
        .method = "DELETE", .path = "/v1/operator/raft/peer", .query = e == OK ? query.ptr : ""};
    status = e == OK ? raft_call(&options, &call, "Error removing peer")
                     : cli_fail("Error removing peer: the name is too long");
    buf_close(&query);
    if (status == 0) {
        (void)printf("Removed peer with %s \"%s\"\n", id != NULL ? "id" : "address",
                     id != NULL ? id : address);
    }
    return status;
}

int cli_operator_raft_transfer_leader(const struct cli *cli, int argc, char **argv)
{
    const char *id = NULL;
    int status = 0;
    struct http_options options = {0};
    struct flag_rest rest;
    struct buf query;
    const struct flag flags[] = {
        {"id", FLAG_TEXT, &id, "string",
         "The server that is to lead. The default is the one whose log is furthest."},
    };
    const struct cli_help help = {
        .usage = "operator raft transfer-leader [options]",
        .text = "  Makes another server lead.\n",
        .http = true,
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = id == NULL ? OK : http_query(&query, "id", bytes_of(id));
    struct http_call call = {
        .method = "POST",
        .path = "/v1/operator/raft/transfer-leader",
        .query = id == NULL || e != OK ? "" : query.ptr,
        .body = {.ptr = "", .len = 0},
    };
    status = e == OK ? raft_call(&options, &call, "Error transferring leadership")
                     : cli_fail("Error transferring leadership: the id is too long");
    buf_close(&query);
    if (status == 0) {
        (void)puts("Success");
    }
    return status;
}

/* --- autopilot ----------------------------------------------------------------------------------
 */

#define AUTOPILOT_PATH "/v1/operator/autopilot/configuration"

int cli_operator_autopilot_get(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    json_t *c = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "operator autopilot get-config [options]",
        .text = "  Prints what autopilot may do.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !get_json(&options, AUTOPILOT_PATH, "Error querying Autopilot configuration", &c,
                  &status)) {
        return status;
    }
    (void)printf("CleanupDeadServers = %s\nLastContactThreshold = %s\nMaxTrailingLogs = %lld\n"
                 "MinQuorum = %lld\nServerStabilizationTime = %s\nRedundancyZoneTag = \"%s\"\n"
                 "DisableUpgradeMigration = %s\nUpgradeVersionTag = \"%s\"\n",
                 truth_of(c, "CleanupDeadServers"), text_of(c, "LastContactThreshold"),
                 (long long)json_integer_value(json_object_get(c, "MaxTrailingLogs")),
                 (long long)json_integer_value(json_object_get(c, "MinQuorum")),
                 text_of(c, "ServerStabilizationTime"), text_of(c, "RedundancyZoneTag"),
                 truth_of(c, "DisableUpgradeMigration"), text_of(c, "UpgradeVersionTag"));
    json_decref(c);
    return 0;
}

/* What set-config was given, as text; NULL: stays as it is. */
struct autopilot_flags {
    const char *cleanup;
    const char *contact;
    const char *trailing;
    const char *quorum;
    const char *stable;
};

/* False: a value that cannot be, which is said. */
static bool autopilot_apply(json_t *c, const struct autopilot_flags *f)
{
    const struct {
        const char *given;
        const char *name;
        const char *flag;
        bool duration;
    } rows[] = {
        {f->contact, "LastContactThreshold", "last-contact-threshold", true},
        {f->stable, "ServerStabilizationTime", "server-stabilization-time", true},
        {f->trailing, "MaxTrailingLogs", "max-trailing-logs", false},
        {f->quorum, "MinQuorum", "min-quorum", false},
    };
    bool cleanup = false;
    if (f->cleanup != NULL && flag_bool(bytes_of(f->cleanup), &cleanup) != OK) {
        (void)cli_fail("invalid boolean value \"%s\" for -cleanup-dead-servers", f->cleanup);
        return false;
    }
    if (f->cleanup != NULL) {
        (void)json_object_set_new(c, "CleanupDeadServers", json_boolean(cleanup));
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t number = 0;
        if (rows[i].given == NULL) {
            continue;
        }
        struct bytes text = bytes_of(rows[i].given);
        enum err e = rows[i].duration ? duration_parse(text, &number) : bytes_to_u64(text, &number);
        if (e != OK || number > INT64_MAX) {
            (void)cli_fail("invalid value \"%s\" for flag -%s", rows[i].given, rows[i].flag);
            return false;
        }
        (void)json_object_set_new(c, rows[i].name,
                                  rows[i].duration ? json_string(rows[i].given)
                                                   : json_integer((json_int_t)number));
    }
    return true;
}

/* Writes it if nobody has changed it since it was read. */
static int autopilot_put(const struct http_options *options, const json_t *c)
{
    struct http_answer answer;
    char query[40];
    int status = 0;
    char *body = json_dumps(c, JSON_COMPACT);
    (void)snprintf(query, sizeof query, "cas=%lld",
                   (long long)json_integer_value(json_object_get(c, "ModifyIndex")));
    struct http_call call = {
        .method = "PUT",
        .path = AUTOPILOT_PATH,
        .query = query,
        .body = bytes_of(body == NULL ? "" : body),
    };
    if (cli_call(options, &call, "Error setting Autopilot configuration", &answer, &status)) {
        bool done = bytes_equal(buf_view(&answer.body), BYTES("true"));
        http_answer_close(&answer);
        if (done) {
            (void)puts("Configuration updated!");
        } else {
            status = cli_fail("Configuration could not be atomically updated, please try again");
        }
    }
    free(body);
    return status;
}

int cli_operator_autopilot_set(const struct cli *cli, int argc, char **argv)
{
    struct autopilot_flags f = {0};
    struct http_options options = {0};
    struct flag_rest rest;
    json_t *c = NULL;
    int status = 0;
    const struct flag flags[] = {
        {"cleanup-dead-servers", FLAG_TEXT, &f.cleanup, "bool",
         "Whether a dead server is removed once another is there for it."},
        {"last-contact-threshold", FLAG_TEXT, &f.contact, "duration",
         "A healthy server has answered the leader within this time."},
        {"max-trailing-logs", FLAG_TEXT, &f.trailing, "number",
         "A healthy server is at most so many entries behind the leader."},
        {"min-quorum", FLAG_TEXT, &f.quorum, "number",
         "Cleaning up leaves at least so many servers."},
        {"server-stabilization-time", FLAG_TEXT, &f.stable, "duration",
         "How long a new server must be healthy before it may vote."},
    };
    const struct cli_help help = {
        .usage = "operator autopilot set-config [options]",
        .text = "  Changes what autopilot may do; what is not said stays.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !get_json(&options, AUTOPILOT_PATH, "Error querying Autopilot configuration", &c,
                  &status)) {
        return status;
    }
    status = autopilot_apply(c, &f) ? autopilot_put(&options, c) : 1;
    json_decref(c);
    return status;
}

static void state_print_server(const char *id, const json_t *s)
{
    static const struct {
        const char *title;
        const char *name;
    } rows[] = {
        {"Name:", "Name"},
        {"Address:", "Address"},
        {"Version:", "Version"},
        {"Status:", "Status"},
        {"Node Type:", "NodeType"},
        {"Node Status:", "NodeStatus"},
        {"Healthy:", "Healthy"},
        {"Last Contact:", "LastContact"},
        {"Last Term:", "LastTerm"},
        {"Last Index:", "LastIndex"},
        {"Stable Since:", "StableSince"},
    };
    (void)printf("   %s\n", id);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const json_t *value = json_object_get(s, rows[i].name);
        if (json_is_integer(value)) {
            (void)printf("      %-15s %lld\n", rows[i].title, (long long)json_integer_value(value));
        } else {
            (void)printf("      %-15s %s\n", rows[i].title,
                         json_is_boolean(value) ? truth_of(s, rows[i].name)
                                                : text_of(s, rows[i].name));
        }
    }
}

static void state_print(json_t *state)
{
    json_t *servers = json_object_get(state, "Servers");
    const json_t *voters = json_object_get(state, "Voters");
    (void)printf(
        "Healthy:                      %s\n"
        "Failure Tolerance:            %lld\n"
        "Optimistic Failure Tolerance: %lld\n"
        "Leader:                       %s\n"
        "Voters:\n",
        truth_of(state, "Healthy"),
        (long long)json_integer_value(json_object_get(state, "FailureTolerance")),
        (long long)json_integer_value(json_object_get(state, "OptimisticFailureTolerance")),
        text_of(state, "Leader"));
    for (size_t i = 0; i < json_array_size(voters); i++) {
        const char *id = json_string_value(json_array_get(voters, i));
        (void)printf("   %s\n", id == NULL ? "" : id);
    }
    (void)puts("Servers:");
    for (void *i = json_object_iter(servers); i != NULL; i = json_object_iter_next(servers, i)) {
        state_print_server(json_object_iter_key(i), json_object_iter_value(i));
    }
}

int cli_operator_autopilot_state(const struct cli *cli, int argc, char **argv)
{
    const char *format = "pretty";
    struct http_options options = {0};
    struct flag_rest rest;
    json_t *state = NULL;
    int status = 0;
    const struct flag flags[] = {
        {"format", FLAG_TEXT, &format, "string", "pretty (the default) or json."},
    };
    const struct cli_help help = {
        .usage = "operator autopilot state [options]",
        .text = "  Prints how the leader finds the servers: who is healthy, and how many may be\n"
                "  lost before nothing can be written.\n",
        .http = true,
        .flags = {.flags = flags, .count = 1},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    bool json = strcmp(format, "json") == 0;
    if (!json && strcmp(format, "pretty") != 0) {
        return cli_fail("Unknown format: %s", format);
    }
    if (!get_json(&options, "/v1/operator/autopilot/state", "Error querying Autopilot state",
                  &state, &status)) {
        return status;
    }
    char *text = json ? json_dumps(state, JSON_INDENT(4) | JSON_PRESERVE_ORDER) : NULL;
    if (text != NULL) {
        (void)puts(text);
        free(text);
    } else {
        state_print(state);
    }
    json_decref(state);
    return 0;
}
