/* watch: blocking queries, and a command for each change. */
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* After failure n in a row the next try comes after 5 s x n x n, as Consul's watch does it. */
#define WATCH_RETRY_S     5U
#define WATCH_RETRY_MAX_S 180U
/* The server ends a query after 5 minutes and a sixteenth; then it is asked again. */
#define WATCH_WAIT        "300s"
#define WATCH_TIMEOUT_MS  (300000U + 300000U / 16 + 15000U)

struct watcher {
    struct http_client *client;
    const char *key;    /* or NULL */
    const char *prefix; /* or NULL */
    /* Of the types that watch no key: the path, and what its query begins with. */
    struct buf path;
    struct buf query;
    int command_argc;
    char **command;
    bool shell;
    uint64_t index;
    struct buf last; /* what the previous answer printed */
    bool ran;
};

/* --- rendering ----------------------------------------------------------------------------------
 */

struct watch_style {
    const char *line;  /* before each field */
    const char *close; /* before the closing brace */
    const char *colon;
};

static enum err
render_number(struct buf *out, const struct watch_style *s, const char *name, uint64_t value)
{
    return buf_printf(out, ",%s\"%s\"%s%llu", s->line, name, s->colon, (unsigned long long)value);
}

/* The order of the fields is Go's struct's. */
static enum err
render_row(struct buf *out, const struct watch_style *s, const struct kv_entry *entry)
{
    enum err e = buf_printf(out, "{%s\"Key\"%s", s->line, s->colon);
    e = e != OK ? e : json_quote(out, entry->key);
    e = e != OK ? e : render_number(out, s, "CreateIndex", entry->create_index);
    e = e != OK ? e : render_number(out, s, "ModifyIndex", entry->modify_index);
    e = e != OK ? e : render_number(out, s, "LockIndex", entry->lock_index);
    e = e != OK ? e : render_number(out, s, "Flags", entry->flags);
    e = e != OK ? e : buf_printf(out, ",%s\"Value\"%s", s->line, s->colon);
    if (e == OK && entry->value64.len == 0) {
        e = buf_append_str(out, "null");
    } else if (e == OK) {
        e = json_quote(out, entry->value64);
    }
    e = e != OK ? e : buf_printf(out, ",%s\"Session\"%s", s->line, s->colon);
    e = e != OK ? e : json_quote(out, entry->session);
    return e != OK ? e : buf_printf(out, "%s}", s->close);
}

static enum err render(struct buf *out, const json_t *rows, bool list, bool pretty)
{
    const struct watch_style compact = {.line = "", .close = "", .colon = ":"};
    const struct watch_style one = {.line = "\n    ", .close = "\n", .colon = ": "};
    const struct watch_style item = {.line = "\n        ", .close = "\n    ", .colon = ": "};
    size_t count = json_array_size(rows);
    struct kv_entry entry;
    enum err e = OK;
    if (count == 0) {
        return buf_append_str(out, "null\n");
    }
    if (!list) {
        e = kv_entry_read(json_array_get(rows, 0), &entry);
        e = e != OK ? e : render_row(out, pretty ? &one : &compact, &entry);
        return e != OK ? e : buf_append_str(out, "\n");
    }
    e = buf_append_str(out, "[");
    for (size_t i = 0; i < count && e == OK; i++) {
        e = kv_entry_read(json_array_get(rows, i), &entry);
        e = e != OK ? e : buf_printf(out, "%s%s", i > 0 ? "," : "", pretty ? "\n    " : "");
        e = e != OK ? e : render_row(out, pretty ? &item : &compact, &entry);
    }
    return e != OK ? e : buf_append_str(out, pretty ? "\n]\n" : "]\n");
}

/* What else is watched comes as it is to be shown. */
static enum err render_plain(struct buf *out, struct bytes json, bool pretty)
{
    json_t *value = json_loadb(json.ptr, json.len, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(value, pretty ? JSON_INDENT(4) | JSON_ENCODE_ANY
                                          : JSON_COMPACT | JSON_ENCODE_ANY);
    enum err e = text != NULL ? buf_printf(out, "%s\n", text) : ERR_INVALID;
    free(text);
    json_decref(value);
    return e;
}

/* --- one command per change ---------------------------------------------------------------------
 */

static _Noreturn void child_run(const struct watcher *w, int in)
{
    char index[32];
    (void)snprintf(index, sizeof index, "%llu", (unsigned long long)w->index);
    (void)setenv("CONSUL_INDEX", index, 1); /* NOLINT(concurrency-mt-unsafe): a child */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)dup2(in, STDIN_FILENO);
    if (!w->shell) {
        (void)execvp(w->command[0], w->command);
    } else {
        struct buf line;
        buf_init(&line, HTTP_TARGET_MAX);
        enum err e = OK;
        for (int i = 0; i < w->command_argc && e == OK; i++) {
            e = buf_printf(&line, "%s%s", i > 0 ? " " : "", w->command[i]);
        }
        const char *shell = getenv("SHELL"); /* NOLINT(concurrency-mt-unsafe): a child */
        shell = shell == NULL || shell[0] == '\0' ? "/bin/sh" : shell;
        if (e == OK) {
            (void)execlp(shell, shell, "-c", line.ptr, (char *)NULL);
        }
    }
    (void)fprintf(stderr, "Error starting handler: %s: %s\n", w->command[0], strerror(errno));
    _exit(127);
}

static void write_all(int fd, struct bytes data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* the command does not want its input: its own affair */
        }
        data = bytes_slice(data, (size_t)n, data.len);
    }
}

static int handler_run(const struct watcher *w, struct bytes data)
{
    int fds[2];
    int status = 0;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return cli_fail("Error starting handler: %s", strerror(errno));
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        return cli_fail("Error starting handler: %s", strerror(errno));
    }
    if (pid == 0) {
        child_run(w, fds[0]);
    }
    (void)close(fds[0]);
    write_all(fds[1], data);
    (void)close(fds[1]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        return cli_fail("Error executing handler: signal: %s", strsignal(WTERMSIG(status)));
    }
    if (WEXITSTATUS(status) != 0) {
        return cli_fail("Error executing handler: exit status %d", WEXITSTATUS(status));
    }
    return 0;
}

/* --- the query ----------------------------------------------------------------------------------
 */

/* Where to ask, and how. */
static enum err watch_target(const struct watcher *w, struct buf *path, struct buf *query)
{
    enum err e = OK;
    if (w->path.len > 0) {
        e = buf_append(path, buf_view(&w->path));
        e = e == OK ? buf_append(query, buf_view(&w->query)) : e;
    } else {
        e = http_path(path, "/v1/kv/", bytes_of(w->prefix != NULL ? w->prefix : w->key));
        e = e == OK && w->prefix != NULL ? buf_append_str(query, "recurse=") : e;
    }
    e = e == OK && query->len > 0 ? buf_append_char(query, '&') : e;
    e = e == OK ? buf_printf(query, "index=%llu&wait=" WATCH_WAIT, (unsigned long long)w->index)
                : e;
    /* Both are C strings to the client. */
    e = e == OK ? buf_append_char(path, '\0') : e;
    return e == OK ? buf_append_char(query, '\0') : e;
}

static enum err watch_render(const struct watcher *w,
                             const struct http_answer *answer,
                             struct buf *ret_body,
                             struct reason *why)
{
    bool pretty = w->command_argc == 0;
    json_t *rows = NULL;
    if (w->path.len > 0) {
        reason_set(why, "the answer cannot be read");
        return render_plain(ret_body, buf_view(&answer->body), pretty);
    }
    enum err e = answer->status == 200 ? json_parse(buf_view(&answer->body), &rows, why) : OK;
    if (e == OK) {
        e = render(ret_body, rows, w->prefix != NULL, pretty);
        reason_set(why, "the answer cannot be read");
    }
    json_decref(rows);
    return e;
}

static enum err watch_query(struct watcher *w, struct buf *ret_body, struct reason *why)
{
    struct http_answer answer = {0};
    struct buf path;
    struct buf query;
    buf_init(&path, HTTP_TARGET_MAX);
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = watch_target(w, &path, &query);
    if (e != OK) {
        reason_set(why, "the key is too long");
    } else {
        struct http_call call = {
            .method = "GET", .path = path.ptr, .query = query.ptr, .timeout_ms = WATCH_TIMEOUT_MS};
        e = http_client_call(w->client, &call, &answer, why);
        if (e == OK && answer.status != 200 && (answer.status != 404 || w->path.len > 0)) {
            http_answer_reason(&answer, why);
            e = ERR_IO;
        }
        e = e == OK ? watch_render(w, &answer, ret_body, why) : e;
        if (e == OK) {
            /* An index that went back means another history (restored, or a new cluster). */
            w->index = answer.index < w->index ? 0 : answer.index;
        }
        http_answer_close(&answer);
    }
    buf_close(&path);
    buf_close(&query);
    return e;
}

static void pause_after(unsigned failures)
{
    unsigned seconds = failures > 6 ? WATCH_RETRY_MAX_S : WATCH_RETRY_S * failures * failures;
    seconds = seconds > WATCH_RETRY_MAX_S ? WATCH_RETRY_MAX_S : seconds;
    (void)fprintf(stderr, "watch: next try in %u s\n", seconds);
    struct timespec left = {.tv_sec = seconds};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static int watch_run(struct watcher *w)
{
    unsigned failures = 0;
    int status = 0;
    struct buf body;
    struct reason why;
    buf_init(&body, HTTP_ANSWER_MAX);
    buf_init(&w->last, HTTP_ANSWER_MAX);
    while (status == 0) {
        buf_clear(&body);
        if (watch_query(w, &body, &why) != OK) {
            status = cli_fail("Error querying Consul agent: %s", why.text);
            if (!w->ran) {
                break; /* nothing worked yet: somebody should look */
            }
            status = 0;
            pause_after(++failures);
            continue;
        }
        failures = 0;
        if (w->command_argc == 0) {
            (void)fwrite(body.ptr, 1, body.len, stdout);
            break;
        }
        if (!w->ran || !bytes_equal(buf_view(&body), buf_view(&w->last))) {
            status = handler_run(w, buf_view(&body));
            buf_clear(&w->last);
            buf_put(&w->last, buf_view(&body));
        }
        w->ran = true;
    }
    buf_close(&body);
    buf_close(&w->last);
    return status;
}

struct watch_flags {
    const char *type;
    const char *key;
    const char *prefix;
    const char *service;
    const char *name;
    const char *state;
    const char *passing;
    const char *filter;
    struct flag_texts tags;
    bool shell;
};

/* The types, and which flags each of them takes. */
enum watch_flag {
    WATCH_KEY = 1,
    WATCH_PREFIX = 2,
    WATCH_SERVICE = 4,
    WATCH_NAME = 8,
    WATCH_STATE = 16,
    WATCH_PASSING = 32,
    WATCH_TAG = 64,
};

struct watch_type {
    const char *name;
    unsigned flags;
    const char *path; /* NULL: a key or keys */
};

static const struct watch_type TYPES[] = {
    {"key", WATCH_KEY, NULL},
    {"keyprefix", WATCH_PREFIX, NULL},
    {"services", 0, "/v1/catalog/services"},
    {"nodes", 0, "/v1/catalog/nodes"},
    {"service", WATCH_SERVICE | WATCH_TAG | WATCH_PASSING, "/v1/health/service/"},
    {"checks", WATCH_SERVICE | WATCH_STATE, "/v1/health/state/"},
    {"event", WATCH_NAME, "/v1/event/list"},
};

/* A flag that this type does not take; NULL: there is none. */
static const char *watch_wrong(const struct watch_flags *f, unsigned taken)
{
    const struct {
        bool given;
        unsigned flag;
        const char *name;
    } all[] = {
        {f->key[0] != '\0', WATCH_KEY, "key"},
        {f->prefix[0] != '\0', WATCH_PREFIX, "prefix"},
        {f->service != NULL, WATCH_SERVICE, "service"},
        {f->name != NULL, WATCH_NAME, "name"},
        {f->state != NULL, WATCH_STATE, "state"},
        {f->passing != NULL, WATCH_PASSING, "passingonly"},
        {f->tags.count > 0, WATCH_TAG, "tag"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].given && (taken & all[i].flag) == 0) {
            return all[i].name;
        }
    }
    return NULL;
}

/* What is wrong, as an exit status; 0: nothing. */
static int watch_check(const struct watch_flags *f, const struct watch_type *type)
{
    bool passing = false;
    if (f->type[0] == '\0') {
        return cli_fail("Watch type must be specified");
    }
    if (type == NULL) {
        return cli_fail("Unsupported watch type: %s", f->type);
    }
    if (type->flags == WATCH_KEY && f->key[0] == '\0') {
        return cli_fail("Must specify a single key to watch");
    }
    if (type->flags == WATCH_PREFIX && f->prefix[0] == '\0') {
        return cli_fail("Must specify a single prefix to watch");
    }
    if ((type->flags & WATCH_TAG) != 0 && f->service == NULL) {
        return cli_fail("Must specify a single service to watch");
    }
    if (f->service != NULL && f->state != NULL && (type->flags & WATCH_STATE) != 0) {
        return cli_fail("Cannot specify service and state");
    }
    if (f->passing != NULL && flag_bool(bytes_of(f->passing), &passing) != OK) {
        return cli_fail("Failed to parse passingonly: %s", f->passing);
    }
    const char *wrong = watch_wrong(f, type->flags);
    return wrong == NULL ? 0 : cli_fail("Invalid parameters: [%s]", wrong);
}

/* Path and query of a type that watches no key. */
static enum err
watch_prepare(struct watcher *w, const struct watch_flags *f, const struct watch_type *type)
{
    bool passing = false;
    bool of_service = f->service != NULL && (type->flags & WATCH_STATE) != 0;
    const char *path = of_service ? "/v1/health/checks/" : type->path;
    const char *tail = f->service != NULL                 ? f->service
                       : (type->flags & WATCH_STATE) == 0 ? ""
                       : f->state != NULL                 ? f->state
                                                          : "any";
    enum err e = http_path(&w->path, path, bytes_of(tail));
    if (e == OK && f->passing != NULL && flag_bool(bytes_of(f->passing), &passing) == OK &&
        passing) {
        e = http_query(&w->query, "passing", BYTES("1"));
    }
    if (e == OK && f->name != NULL) {
        e = http_query(&w->query, "name", bytes_of(f->name));
    }
    for (size_t i = 0; i < f->tags.count && e == OK; i++) {
        e = http_query(&w->query, "tag", bytes_of(f->tags.items[i]));
    }
    if (e == OK && f->filter != NULL) {
        e = http_query(&w->query, "filter", bytes_of(f->filter));
    }
    return e;
}

int cli_watch(const struct cli *cli, int argc, char **argv)
{
    struct watch_flags f = {.type = "", .key = "", .prefix = "", .shell = true};
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"filter", FLAG_TEXT, &f.filter, "string", "An expression that filters what is watched."},
        {"key", FLAG_TEXT, &f.key, "string", "The key to watch. Only for type key."},
        {"name", FLAG_TEXT, &f.name, "string", "The event. Only for type event."},
        {"passingonly", FLAG_TEXT, &f.passing, "[true|false]",
         "Only instances all of whose checks pass. Only for type service."},
        {"prefix", FLAG_TEXT, &f.prefix, "string", "The prefix to watch. Only for type keyprefix."},
        {"service", FLAG_TEXT, &f.service, "string",
         "The service. Only for types service and checks."},
        {"shell", FLAG_SWITCH, &f.shell, NULL,
         "Runs the command by a shell ($SHELL or /bin/sh). The default is true."},
        {"state", FLAG_TEXT, &f.state, "string", "The state. Only for type checks."},
        {"tag", FLAG_TEXTS, &f.tags, "value", "A tag, may be repeated. Only for type service."},
        {"type", FLAG_TEXT, &f.type, "string",
         "What is watched: key, keyprefix, services, nodes, service, checks or event."},
    };
    const struct cli_help help = {
        .usage = "watch [options] [child...]",
        .text = "  Prints what a query answers and ends. With a command: runs it now and at each\n"
                "  change, with the JSON on its standard input and CONSUL_INDEX in its\n"
                "  environment, until it fails or is interrupted.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    const struct watch_type *type = NULL;
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        type = strcmp(f.type, TYPES[i].name) == 0 ? &TYPES[i] : type;
    }
    if ((status = watch_check(&f, type)) != 0) {
        return status;
    }
    struct watcher w = {
        .key = type->flags == WATCH_KEY ? f.key : NULL,
        .prefix = type->flags == WATCH_PREFIX ? f.prefix : NULL,
        .command_argc = rest.argc,
        .command = rest.argv,
        .shell = f.shell,
    };
    buf_init(&w.path, HTTP_TARGET_MAX);
    buf_init(&w.query, HTTP_TARGET_MAX);
    if (type->path != NULL && watch_prepare(&w, &f, type) != OK) {
        status = cli_fail("The query is too long");
    } else if (cli_open(&options, &w.client, &status)) {
        (void)signal(SIGPIPE, rest.argc > 0 ? SIG_IGN : SIG_DFL);
        status = watch_run(&w);
        http_client_close(w.client);
    }
    buf_close(&w.path);
    buf_close(&w.query);
    return status;
}
