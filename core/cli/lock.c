/* lock: runs a command while a lock is held, or one of several slots of it. The keys are laid out
 * as Consul's Go client lays them out, so that both may share a lock: a mutex is the key
 * <prefix>/.lock; a semaphore has a contender's key <prefix>/<session> for each who waits or holds,
 * and in <prefix>/.lock the limit and the holders. */
#include "core/base/env.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/cli/call.h"
#include "core/cli/cli.h"
#include "core/cli/json.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FLAGS      0x2ddccbc058a50c18ULL
#define SEMAPHORE_FLAGS 0xe0f69a2baa414de0ULL
#define LOCK_TTL        "15s"
#define LOCK_RENEW_MS   5000U
#define LOCK_TICK_MS    200U
/* How long one question waits for a change; a lock delay ends without one. */
#define LOCK_WAIT       "1s"
#define LOCK_CALL_MS    10000U
/* From the polite signal to the other. */
#define LOCK_KILL_MS    5000U

/* Where a lock is.
 *
 *     WAITING --> HELD --> LOST   (another has it, or the session is gone: the child is ended)
 *                     \--> DONE   (the child has ended)
 */
enum lock_state {
    LOCK_WAITING,
    LOCK_HELD,
    LOCK_LOST,
    LOCK_DONE,
};

struct locker {
    struct http_client *client;
    struct http_client *renewer; /* asks while `client` waits */
    const char *prefix;
    char key[KV_KEY_MAX + 1];
    char session[UUID_TEXT_LEN];
    uint64_t limit; /* 1: a mutex */
    uint64_t index; /* of the newest answer */
    uint64_t renew_at_ms;
    uint64_t give_up_at_ms; /* 0: never */
    enum lock_state state;
    bool verbose;
    bool gone;   /* the session */
    pid_t child; /* 0: none */
    int child_status;
};

/* SIGINT or SIGTERM came: the lock is given back first. */
static volatile sig_atomic_t lock_interrupted;

static void lock_on_signal(int number)
{
    (void)number;
    lock_interrupted = 1;
}

static void lock_say(const struct locker *l, const char *text)
{
    if (l->verbose) {
        (void)puts(text);
        (void)fflush(stdout);
    }
}

/* --- calls --------------------------------------------------------------------------------------
 */

/* `tick` of every waiting call: renews the session and looks after the child. */
static bool lock_tick(void *ctx)
{
    struct locker *l = ctx;
    struct http_answer answer;
    struct reason why;
    char path[64];
    if (l->child > 0 && waitpid(l->child, &l->child_status, WNOHANG) == l->child) {
        l->child = 0;
        l->state = LOCK_DONE;
    }
    uint64_t now_ms = env_real_now_ms();
    if (now_ms >= l->renew_at_ms && !l->gone) {
        (void)snprintf(path, sizeof path, "/v1/session/renew/%s", l->session);
        const struct http_call call = {.method = "PUT",
                                       .path = path,
                                       .query = "",
                                       .body = BYTES(""),
                                       .timeout_ms = LOCK_RENEW_MS};
        enum err e = http_client_call(l->renewer, &call, &answer, &why);
        l->gone = e == OK && answer.status == 404;
        http_answer_close(&answer);
        l->renew_at_ms = env_real_now_ms() + (e == OK ? LOCK_RENEW_MS : LOCK_TICK_MS);
    }
    bool late = l->state == LOCK_WAITING && l->give_up_at_ms > 0 && now_ms >= l->give_up_at_ms;
    bool stop = lock_interrupted != 0 && l->state != LOCK_LOST;
    return !l->gone && !late && !stop && l->state != LOCK_DONE;
}

/* One call; `answer` is to be closed whatever comes of it. */
static enum err lock_call(struct locker *l,
                          struct http_call call,
                          struct http_answer *ret_answer,
                          struct reason *why)
{
    call.tick = lock_tick;
    call.tick_ms = LOCK_TICK_MS;
    call.ctx = l;
    call.timeout_ms = LOCK_CALL_MS;
    return http_client_call(l->client, &call, ret_answer, why);
}

/* Writes a key; whether the answer was true. */
static enum err lock_put(struct locker *l,
                         const char *key,
                         const char *query,
                         struct bytes body,
                         bool *ret_done,
                         struct reason *why)
{
    struct buf path;
    struct http_answer answer = {0};
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, "/v1/kv/", bytes_of(key));
    e = e == OK ? lock_call(l,
                            (struct http_call){
                                .method = "PUT", .path = path.ptr, .query = query, .body = body},
                            &answer, why)
                : e;
    if (e == OK && answer.status != 200) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    *ret_done = e == OK && bytes_begins(buf_view(&answer.body), BYTES("true"));
    http_answer_close(&answer);
    buf_close(&path);
    return e;
}

/* The rows of the lock: of its key, or of all its keys; waits for news if `l->index` is not 0.
 * NULL: none. */
static enum err lock_rows(struct locker *l, json_t **ret_rows, struct reason *why)
{
    struct buf path;
    char query[96];
    struct http_answer answer = {0};
    *ret_rows = NULL;
    buf_init(&path, HTTP_TARGET_MAX);
    int len = snprintf(query, sizeof query, "&consistent=%s", l->limit > 1 ? "&recurse=" : "");
    if (l->index > 0) {
        (void)snprintf(query + len, sizeof query - (size_t)len, "&index=%llu&wait=" LOCK_WAIT,
                       (unsigned long long)l->index);
    }
    char folder[KV_KEY_MAX + 2];
    (void)snprintf(folder, sizeof folder, "%s/", l->prefix);
    enum err e = http_path(&path, "/v1/kv/", bytes_of(l->limit > 1 ? folder : l->key));
    e = e == OK
            ? lock_call(l, (struct http_call){.method = "GET", .path = path.ptr, .query = query},
                        &answer, why)
            : e;
    if (e == OK && answer.status == 200) {
        l->index = answer.index;
        e = json_parse(buf_view(&answer.body), ret_rows, why);
    } else if (e == OK && answer.status == 404) {
        l->index = answer.index;
    } else if (e == OK) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    http_answer_close(&answer);
    buf_close(&path);
    return e;
}

/* --- a mutex ------------------------------------------------------------------------------------
 */

static struct bytes row_text(const json_t *row, const char *name)
{
    return json_bytes(json_object_get(row, name));
}

/* Who holds the key, and whether it is a lock at all. */
static enum err mutex_look(struct locker *l, const json_t *rows, bool *ret_free, struct reason *why)
{
    const json_t *row = json_array_get(rows, 0);
    uint64_t flags = 0;
    *ret_free = row == NULL || row_text(row, "Session").len == 0;
    if (row != NULL && (json_u64(json_object_get(row, "Flags"), &flags) != OK ||
                        (flags != LOCK_FLAGS && flags != 0))) {
        reason_set(why, "Existing key does not match lock use");
        return ERR_CONFLICT;
    }
    if (l->state == LOCK_HELD &&
        (row == NULL || !bytes_equal(row_text(row, "Session"), bytes_of(l->session)))) {
        l->state = LOCK_LOST;
    }
    return OK;
}

static enum err mutex_try(struct locker *l, struct reason *why)
{
    json_t *rows = NULL;
    char query[128];
    bool free_now = false;
    bool done = false;
    enum err e = lock_rows(l, &rows, why);
    e = e == OK ? mutex_look(l, rows, &free_now, why) : e;
    if (e == OK && free_now && l->state == LOCK_WAITING) {
        (void)snprintf(query, sizeof query, "&acquire=%s&flags=%llu", l->session,
                       (unsigned long long)LOCK_FLAGS);
        e = lock_put(l, l->key, query, BYTES(""), &done, why);
        l->state = e == OK && done ? LOCK_HELD : l->state;
        l->index = done ? 0 : l->index;
    }
    json_decref(rows);
    return e;
}

/* --- a semaphore --------------------------------------------------------------------------------
 */

/* What the lock's key says: {"Limit", "Holders"}; `*ret_index` its ModifyIndex, 0 without one. */
static enum err semaphore_read(struct locker *l,
                               const json_t *rows,
                               json_t **ret_value,
                               uint64_t *ret_index,
                               struct reason *why)
{
    struct buf text;
    enum err e = OK;
    *ret_index = 0;
    *ret_value = NULL;
    buf_init(&text, HTTP_BODY_MAX);
    for (size_t i = 0; e == OK && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        uint64_t flags = 0;
        if (!bytes_equal(row_text(row, "Key"), bytes_of(l->key))) {
            continue;
        }
        e = json_u64(json_object_get(row, "Flags"), &flags);
        if (e != OK || flags != SEMAPHORE_FLAGS) {
            reason_set(why, "Existing key does not match semaphore use");
            e = ERR_CONFLICT;
            break;
        }
        e = json_u64(json_object_get(row, "ModifyIndex"), ret_index);
        e = e == OK ? base64_decode(&text, row_text(row, "Value")) : e;
        e = e == OK ? json_parse(buf_view(&text), ret_value, why) : e;
    }
    buf_close(&text);
    return e;
}

static bool semaphore_lives(const json_t *rows, const char *session)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (bytes_equal(row_text(json_array_get(rows, i), "Session"), bytes_of(session))) {
            return true;
        }
    }
    return false;
}

/* The value with this session as a holder besides those who live; NULL: there is no room. */
static json_t *semaphore_joined(struct locker *l, const json_t *rows, const json_t *value)
{
    json_t *holders = json_object();
    json_t *old = json_object_get(value, "Holders");
    const char *name = NULL;
    json_t *at = NULL;
    json_object_foreach(old, name, at)
    {
        if (semaphore_lives(rows, name)) {
            (void)json_object_set_new(holders, name, json_true());
        }
    }
    if (json_object_size(holders) >= l->limit) {
        json_decref(holders);
        return NULL;
    }
    (void)json_object_set_new(holders, l->session, json_true());
    return json_pack("{s:I, s:o}", "Limit", (json_int_t)l->limit, "Holders", holders);
}

/* Writes the holders; true if nobody else wrote them meanwhile. */
static enum err semaphore_write(struct locker *l,
                                const json_t *value,
                                uint64_t index,
                                bool *ret_done,
                                struct reason *why)
{
    char query[96];
    char *text = json_dumps(value, JSON_COMPACT);
    if (text == NULL) {
        return ERR_INVALID;
    }
    (void)snprintf(query, sizeof query, "&cas=%llu&flags=%llu", (unsigned long long)index,
                   (unsigned long long)SEMAPHORE_FLAGS);
    enum err e = lock_put(l, l->key, query, bytes_of(text), ret_done, why);
    free(text);
    return e;
}

static enum err semaphore_take(struct locker *l,
                               const json_t *rows,
                               const json_t *value,
                               uint64_t index,
                               struct reason *why)
{
    uint64_t limit = l->limit;
    bool done = false;
    if (value != NULL && json_u64(json_object_get(value, "Limit"), &limit) == OK &&
        limit != l->limit) {
        reason_set(why, "Semaphore limit conflict (lock: %llu, local: %llu)",
                   (unsigned long long)limit, (unsigned long long)l->limit);
        return ERR_CONFLICT;
    }
    json_t *joined = semaphore_joined(l, rows, value);
    if (joined == NULL) {
        return OK;
    }
    enum err e = semaphore_write(l, joined, index, &done, why);
    json_decref(joined);
    l->state = e == OK && done ? LOCK_HELD : l->state;
    /* Somebody was faster: look again at once. */
    l->index = 0;
    return e;
}

static enum err semaphore_try(struct locker *l, struct reason *why)
{
    json_t *rows = NULL;
    json_t *value = NULL;
    uint64_t index = 0;
    enum err e = lock_rows(l, &rows, why);
    e = e == OK ? semaphore_read(l, rows, &value, &index, why) : e;
    if (e == OK && l->state == LOCK_WAITING) {
        e = semaphore_take(l, rows, value, index, why);
    } else if (e == OK && (json_object_get(json_object_get(value, "Holders"), l->session) == NULL ||
                           !semaphore_lives(rows, l->session))) {
        l->state = LOCK_LOST;
    }
    json_decref(value);
    json_decref(rows);
    return e;
}

/* This session's own key, which says that it waits. */
static enum err semaphore_enter(struct locker *l, struct reason *why)
{
    char key[KV_KEY_MAX + UUID_TEXT_LEN + 2];
    char query[128];
    bool done = false;
    (void)snprintf(key, sizeof key, "%s/%s", l->prefix, l->session);
    (void)snprintf(query, sizeof query, "&acquire=%s&flags=%llu", l->session,
                   (unsigned long long)SEMAPHORE_FLAGS);
    enum err e = lock_put(l, key, query, BYTES(""), &done, why);
    if (e == OK && !done) {
        reason_set(why, "failed to make contender entry");
        e = ERR_CONFLICT;
    }
    return e;
}

static enum err semaphore_leave(struct locker *l, struct reason *why)
{
    bool done = false;
    enum err e = OK;
    while (e == OK && !done) {
        json_t *rows = NULL;
        json_t *value = NULL;
        uint64_t index = 0;
        l->index = 0;
        e = lock_rows(l, &rows, why);
        e = e == OK ? semaphore_read(l, rows, &value, &index, why) : e;
        done = value == NULL;
        if (e == OK && !done) {
            (void)json_object_del(json_object_get(value, "Holders"), l->session);
            e = semaphore_write(l, value, index, &done, why);
        }
        json_decref(value);
        json_decref(rows);
    }
    return e;
}

/* --- the child ----------------------------------------------------------------------------------
 */

static pid_t child_start(char **command, int argc, bool shell, bool input)
{
    struct buf line;
    buf_init(&line, HTTP_TARGET_MAX);
    enum err e = OK;
    for (int i = 0; i < argc && e == OK; i++) {
        e = buf_printf(&line, "%s%s", i > 0 ? " " : "", command[i]);
    }
    pid_t pid = e == OK ? fork() : -1;
    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        int nothing = input ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (nothing >= 0) {
            (void)dup2(nothing, STDIN_FILENO);
        }
        (void)setenv("CONSUL_LOCK_HELD", "true", 1); /* NOLINT(concurrency-mt-unsafe): a child */
        if (shell) {
            (void)execl("/bin/sh", "/bin/sh", "-c", line.ptr, (char *)NULL);
        } else {
            (void)execvp(command[0], command);
        }
        _exit(127);
    }
    buf_close(&line);
    return pid;
}

/* Politely, then not. The ticks of a call that waits are the clock. */
static void child_end(struct locker *l)
{
    uint64_t kill_at_ms = env_real_now_ms() + LOCK_KILL_MS;
    (void)kill(-l->child, SIGTERM);
    while (waitpid(l->child, &l->child_status, WNOHANG) == 0) {
        if (env_real_now_ms() >= kill_at_ms) {
            (void)kill(-l->child, SIGKILL);
            (void)waitpid(l->child, &l->child_status, 0);
            break;
        }
        (void)usleep(LOCK_TICK_MS * 100);
    }
    l->child = 0;
}

/* --- all of it ----------------------------------------------------------------------------------
 */

struct lock_flags {
    uint64_t n;
    const char *name;
    const char *try_for;
    const char *timeout;
    uint64_t monitor_retry;
    bool pass_stdin;
    bool child_exit_code;
    bool verbose;
    bool shell;
};

static enum err lock_session(struct locker *l, const char *name, struct reason *why)
{
    struct http_answer answer = {0};
    json_t *json = NULL;
    json_t *body = json_pack("{s:s, s:s}", "Name", name, "TTL", LOCK_TTL);
    char *text = json_dumps(body, JSON_COMPACT);
    const struct http_call call = {.method = "PUT",
                                   .path = "/v1/session/create",
                                   .query = "",
                                   .body = bytes_of(text != NULL ? text : ""),
                                   .timeout_ms = LOCK_CALL_MS};
    enum err e = http_client_call(l->client, &call, &answer, why);
    if (e == OK && answer.status != 200) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    e = e == OK ? json_parse(buf_view(&answer.body), &json, why) : e;
    struct bytes id = json_bytes(json_object_get(json, "ID"));
    if (e == OK && id.len == UUID_TEXT_LEN - 1) {
        memcpy(l->session, id.ptr, id.len);
        l->session[id.len] = '\0';
        l->renew_at_ms = env_real_now_ms() + LOCK_RENEW_MS;
    }
    json_decref(json);
    json_decref(body);
    free(text);
    http_answer_close(&answer);
    return e;
}

static void lock_destroy(struct locker *l)
{
    struct http_answer answer = {0};
    struct reason why;
    char path[64];
    (void)snprintf(path, sizeof path, "/v1/session/destroy/%s", l->session);
    const struct http_call call = {
        .method = "PUT", .path = path, .query = "", .body = BYTES(""), .timeout_ms = LOCK_CALL_MS};
    /* Where it cannot be told, the session's time will pass. */
    (void)(http_client_call(l->client, &call, &answer, &why) == OK);
    http_answer_close(&answer);
}

/* Gives the lock back without a delay, so that the next one has it at once. */
static void lock_release(struct locker *l)
{
    char query[128];
    bool done = false;
    struct reason why;
    l->state = LOCK_LOST; /* no tick ends these calls */
    if (l->limit > 1) {
        (void)(semaphore_leave(l, &why) == OK);
        return;
    }
    (void)snprintf(query, sizeof query, "&release=%s&flags=%llu", l->session,
                   (unsigned long long)LOCK_FLAGS);
    (void)(lock_put(l, l->key, query, BYTES(""), &done, &why) == OK);
}

static enum err lock_try(struct locker *l, struct reason *why)
{
    return l->limit > 1 ? semaphore_try(l, why) : mutex_try(l, why);
}

static int lock_acquire(struct locker *l)
{
    struct reason why = {0};
    lock_say(l, "Attempting lock acquisition");
    enum err e = l->limit > 1 ? semaphore_enter(l, &why) : OK;
    while (e == OK && l->state == LOCK_WAITING) {
        e = lock_try(l, &why);
        if (l->gone || lock_interrupted != 0 ||
            (l->give_up_at_ms > 0 && l->state == LOCK_WAITING &&
             env_real_now_ms() >= l->give_up_at_ms)) {
            return cli_fail("Shutdown triggered or timeout during lock acquisition");
        }
    }
    return e == OK ? 0 : cli_fail("Lock acquisition failed: %s", why.text);
}

/* Until the child has ended or the lock is lost; a server that cannot be asked takes nothing away
 * before the session's time is over. */
static void lock_watch(struct locker *l)
{
    uint64_t heard_ms = env_real_now_ms();
    l->index = 0;
    while (l->state == LOCK_HELD && !l->gone && lock_interrupted == 0) {
        struct reason why;
        enum err e = lock_try(l, &why);
        uint64_t now_ms = env_real_now_ms();
        if (e == OK) {
            heard_ms = now_ms;
        } else {
            l->index = 0;
            (void)lock_tick(l);
            (void)usleep(LOCK_TICK_MS * 1000);
        }
        if (e == ERR_CONFLICT || now_ms - heard_ms > SESSION_TTL_MIN_MS) {
            l->state = l->state == LOCK_HELD ? LOCK_LOST : l->state;
        }
    }
}

static int lock_run(struct locker *l, const struct lock_flags *f, char **command, int argc)
{
    int status = lock_acquire(l);
    if (status != 0) {
        return status;
    }
    lock_say(l, "Starting handler");
    l->child = child_start(command, argc, f->shell, f->pass_stdin);
    if (l->child < 0) {
        l->child = 0;
        return cli_fail("Error starting the command");
    }
    lock_watch(l);
    if (l->child > 0) {
        bool lost = l->state == LOCK_LOST || l->gone;
        (void)cli_fail(lost ? "Lock lost, killing child" : "Shutdown triggered, killing child");
        child_end(l);
        if (!lost) {
            lock_release(l);
        }
        return 1;
    }
    lock_say(l, "Child terminated, releasing lock");
    lock_release(l);
    bool failed = !WIFEXITED(l->child_status) || WEXITSTATUS(l->child_status) != 0;
    return failed && f->child_exit_code ? 2 : 0;
}

static int lock_open(struct locker *l,
                     const struct http_options *options,
                     const struct lock_flags *f,
                     const char *command)
{
    int status = 0;
    struct reason why = {0};
    char name[512];
    if (!cli_open(options, &l->client, &status)) {
        return status;
    }
    if (!cli_open(options, &l->renewer, &status)) {
        return status;
    }
    (void)snprintf(name, sizeof name, "Consul lock for '%.300s' at '%.150s'", command, l->key);
    if (lock_session(l, f->name[0] != '\0' ? f->name : name, &why) != OK) {
        return cli_fail("Lock setup failed: %s", why.text);
    }
    return 0;
}

/* The flags, and what cannot be; true: go on. */
static bool lock_begin(struct locker *l, const struct lock_flags *f, const struct flag_rest *rest)
{
    uint64_t try_ms = 0;
    const char *limit = f->try_for[0] != '\0' ? f->try_for : f->timeout;
    if (f->n < 1) {
        (void)cli_fail("Lock holder limit must be positive");
        return false;
    }
    if (rest->argc < 2) {
        (void)cli_fail("Key prefix and child command must be specified");
        return false;
    }
    if (limit[0] != '\0' && duration_parse(bytes_of(limit), &try_ms) != OK) {
        (void)cli_fail("Error parsing a duration: %s", limit);
        return false;
    }
    l->prefix = rest->argv[0] + strspn(rest->argv[0], "/");
    if (l->prefix[0] == '\0' || strlen(l->prefix) > KV_KEY_MAX - 64) {
        (void)cli_fail("The key prefix must have 1 to %u bytes", KV_KEY_MAX - 64);
        return false;
    }
    (void)snprintf(l->key, sizeof l->key, "%s/.lock", l->prefix);
    l->limit = f->n;
    l->verbose = f->verbose;
    l->give_up_at_ms = try_ms > 0 ? env_real_now_ms() + try_ms : 0;
    return true;
}

int cli_lock(const struct cli *cli, int argc, char **argv)
{
    struct lock_flags f = {
        .n = 1, .name = "", .try_for = "", .timeout = "", .monitor_retry = 3, .shell = true};
    struct locker l = {.state = LOCK_WAITING};
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"child-exit-code", FLAG_SWITCH, &f.child_exit_code, NULL,
         "Exits with 2 if the command failed."},
        {"monitor-retry", FLAG_U64, &f.monitor_retry, "int",
         "Accepted: it is asked again until the session's time is over."},
        {"n", FLAG_U64, &f.n, "int", "How many may hold it at one time; 1 is a lock."},
        {"name", FLAG_TEXT, &f.name, "string", "Name of the session."},
        {"pass-stdin", FLAG_SWITCH, &f.pass_stdin, NULL, "The command may read standard input."},
        {"shell", FLAG_SWITCH, &f.shell, NULL, "Runs the command by a shell; the default."},
        {"timeout", FLAG_TEXT, &f.timeout, "duration", "An old name of -try."},
        {"try", FLAG_TEXT, &f.try_for, "duration", "Gives up after this time."},
        {"verbose", FLAG_SWITCH, &f.verbose, NULL, "Says what it does."},
    };
    const struct cli_help help = {
        .usage = "lock [options] prefix child...",
        .text = "  Runs the command while it holds the lock at prefix, or one of -n slots of it.\n"
                "  When the lock is lost the command is ended.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (!lock_begin(&l, &f, &rest)) {
        return 1;
    }
    if (f.verbose) {
        (void)printf("Setting up lock at path: %s\n", l.key);
    }
    (void)signal(SIGINT, lock_on_signal);
    (void)signal(SIGTERM, lock_on_signal);
    status = lock_open(&l, &options, &f, rest.argv[1]);
    if (status == 0) {
        status = lock_run(&l, &f, rest.argv + 1, rest.argc - 1);
    }
    if (l.session[0] != '\0') {
        lock_destroy(&l);
    }
    http_client_close(l.client);
    http_client_close(l.renewer);
    return status;
}
