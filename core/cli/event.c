/* event: fires a user event. */
#include "core/base/limit.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"

#include <stdio.h>
#include <string.h>

struct event_flags {
    const char *name;
    const char *node;
    const char *service;
    const char *tag;
};

static int
event_fire(const struct http_options *options, const struct event_flags *f, struct bytes payload)
{
    struct buf path;
    struct buf query;
    struct http_answer answer;
    struct reason why;
    json_t *json = NULL;
    int status = 0;
    buf_init(&path, HTTP_TARGET_MAX);
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = http_path(&path, "/v1/event/fire/", bytes_of(f->name));
    e = e == OK && f->node[0] != '\0' ? http_query(&query, "node", bytes_of(f->node)) : e;
    e = e == OK && f->service[0] != '\0' ? http_query(&query, "service", bytes_of(f->service)) : e;
    e = e == OK && f->tag[0] != '\0' ? http_query(&query, "tag", bytes_of(f->tag)) : e;
    const struct http_call call = {
        .method = "PUT",
        .path = path.ptr,
        .query = query.len > 0 ? query.ptr : "",
        .body = payload,
    };
    if (e != OK) {
        status = cli_fail("Error firing event: %s", err_text(e));
    } else if (cli_call(options, &call, "Error firing event", &answer, &status)) {
        e = json_parse(buf_view(&answer.body), &json, &why);
        if (e == OK) {
            (void)printf("Event ID: %.*s\n", BYTES_FORMAT(json_bytes(json_object_get(json, "ID"))));
        } else {
            status = cli_fail("Error firing event: %s", why.text);
        }
        json_decref(json);
        http_answer_close(&answer);
    }
    buf_close(&path);
    buf_close(&query);
    return status;
}

int cli_event(const struct cli *cli, int argc, char **argv)
{
    struct event_flags f = {.name = "", .node = "", .service = "", .tag = ""};
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"name", FLAG_TEXT, &f.name, "string", "Name of the event; needed."},
        {"node", FLAG_TEXT, &f.node, "string", "Regular expression that nodes' names meet."},
        {"service", FLAG_TEXT, &f.service, "string", "Regular expression of services' names."},
        {"tag", FLAG_TEXT, &f.tag, "string", "Regular expression of tags; with -service."},
    };
    const struct cli_help help = {
        .usage = "event [options] [payload]",
        .text = "  Fires an event for whoever watches events of that name.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (f.name[0] == '\0') {
        return cli_fail("Event name must be specified");
    }
    if (f.tag[0] != '\0' && f.service[0] == '\0') {
        return cli_fail("Cannot provide tag filter without service filter.");
    }
    if (rest.argc > 1) {
        return cli_fail("Too many command line arguments");
    }
    return event_fire(&options, &f, rest.argc == 1 ? bytes_of(rest.argv[0]) : BYTES(""));
}
