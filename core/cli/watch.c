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

static enum err watch_query(struct watcher *w, struct buf *ret_body, struct reason *why)
{
    struct http_answer answer = {0};
    struct buf path;
    char query[96];
    json_t *rows = NULL;
    bool list = w->prefix != NULL;
    buf_init(&path, HTTP_TARGET_MAX);
    (void)snprintf(query, sizeof query, "%s%sindex=%llu&wait=" WATCH_WAIT, list ? "recurse=" : "",
                   list ? "&" : "", (unsigned long long)w->index);
    enum err e = http_path(&path, "/v1/kv/", bytes_of(list ? w->prefix : w->key));
    if (e != OK) {
        reason_set(why, "the key is too long");
        return e;
    }
    struct http_call call = {
        .method = "GET", .path = path.ptr, .query = query, .timeout_ms = WATCH_TIMEOUT_MS};
    e = http_client_call(w->client, &call, &answer, why);
    if (e == OK && answer.status != 200 && answer.status != 404) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    if (e == OK && answer.status == 200) {
        e = json_parse(buf_view(&answer.body), &rows, why);
    }
    if (e == OK) {
        e = render(ret_body, rows, list, w->command_argc == 0);
        reason_set(why, "the answer cannot be read");
    }
    if (e == OK) {
        /* An index that went back means another history (restored, or a new cluster). */
        w->index = answer.index < w->index ? 0 : answer.index;
    }
    json_decref(rows);
    http_answer_close(&answer);
    buf_close(&path);
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

/* What is wrong, as an exit status; 0: nothing. */
static int watch_check(const struct watch_flags *f)
{
    static const char *const later[] = {"services", "nodes", "service", "checks", "event"};
    bool key = strcmp(f->type, "key") == 0;
    if (f->type[0] == '\0') {
        return cli_fail("Watch type must be specified");
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (strcmp(f->type, later[i]) == 0) {
            return cli_fail("Error! Watches of type %s are not available in this build yet",
                            f->type);
        }
    }
    if (!key && strcmp(f->type, "keyprefix") != 0) {
        return cli_fail("Unsupported watch type: %s", f->type);
    }
    if (key && f->key[0] == '\0') {
        return cli_fail("Must specify a single key to watch");
    }
    if (!key && f->prefix[0] == '\0') {
        return cli_fail("Must specify a single prefix to watch");
    }
    const char *wrong = key && f->prefix[0] != '\0' ? "prefix"
                        : !key && f->key[0] != '\0' ? "key"
                        : f->service != NULL        ? "service"
                        : f->name != NULL           ? "name"
                        : f->state != NULL          ? "state"
                        : f->passing != NULL        ? "passingonly"
                        : f->tags.count > 0         ? "tag"
                                                    : NULL;
    return wrong == NULL ? 0 : cli_fail("Invalid parameters: [%s]", wrong);
}

int cli_watch(const struct cli *cli, int argc, char **argv)
{
    struct watch_flags f = {.type = "", .key = "", .prefix = "", .shell = true};
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"filter", FLAG_TEXT, &f.filter, "string", "Accepted, not used yet."},
        {"key", FLAG_TEXT, &f.key, "string", "The key to watch. Only for type key."},
        {"name", FLAG_TEXT, &f.name, "string", "Only for type event, not available yet."},
        {"passingonly", FLAG_TEXT, &f.passing, "[true|false]",
         "Only for type service, not available yet."},
        {"prefix", FLAG_TEXT, &f.prefix, "string", "The prefix to watch. Only for type keyprefix."},
        {"service", FLAG_TEXT, &f.service, "string", "Only for type service, not available yet."},
        {"shell", FLAG_SWITCH, &f.shell, NULL,
         "Runs the command by a shell ($SHELL or /bin/sh). The default is true."},
        {"state", FLAG_TEXT, &f.state, "string", "Only for type checks, not available yet."},
        {"tag", FLAG_TEXTS, &f.tags, "value", "Only for type service, not available yet."},
        {"type", FLAG_TEXT, &f.type, "string", "What is watched: key or keyprefix."},
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
    if ((status = watch_check(&f)) != 0) {
        return status;
    }
    bool key = strcmp(f.type, "key") == 0;
    struct watcher w = {
        .key = key ? f.key : NULL,
        .prefix = key ? NULL : f.prefix,
        .command_argc = rest.argc,
        .command = rest.argv,
        .shell = f.shell,
    };
    if (!cli_open(&options, &w.client, &status)) {
        return status;
    }
    (void)signal(SIGPIPE, rest.argc > 0 ? SIG_IGN : SIG_DFL);
    status = watch_run(&w);
    http_client_close(w.client);
    return status;
}
