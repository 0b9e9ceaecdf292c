/* sync haproxy: keeps the servers of an HAProxy backend equal to the instances of a service.
 *
 *     change stream --list--> plan against the servers as they are known --commands--> HAProxy
 *                               ^                                                      |
 *                               '---- `show servers state`, after each of our commands -'
 *
 * The servers are read again when another HAProxy answers on the socket (it was restarted) and the
 * whole list is applied; nothing is kept between runs of this program. */
#include "core/base/env.h"
#include "core/cli/cli.h"
#include "core/cli/http_client.h"
#include "core/cli/kv.h"
#include "core/cli/sync_feed.h"
#include "core/cli/sync_plan.h"
#include "core/cli/sync_socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYNC_SOCKET   "/run/haproxy/admin.sock"
#define SYNC_TICK_MS  200U
#define SYNC_AGAIN_MS 5000U
#define SYNC_PLAN_MAX ((size_t)16 * 1024 * 1024)

struct syncer {
    struct sync_feed feed;
    struct sync_wish wish;
    const char *socket;
    bool once;
    struct sync_servers servers; /* as HAProxy has them */
    uint64_t pid;                /* of HAProxy; 0: it does not answer */
    bool away;                   /* that was said */
    bool worked;                 /* HAProxy has been read: what is wrong now may get right again */
    uint64_t again_ms;           /* what HAProxy did not do is not tried again before */
    int status;
    struct buf commands;
    struct buf words;
    struct buf answer;
};

/* `why` is on standard error. False: it will not get better. */
static bool sync_trouble(struct syncer *s, enum err e, const struct reason *why)
{
    s->pid = 0;
    if (e == ERR_INVALID && !s->worked) {
        s->status = cli_fail("Error! %s", why->text);
        return false;
    }
    if (!s->away) {
        (void)fprintf(stderr, "sync: %s; waits for HAProxy\n", why->text);
        s->away = true;
    }
    return true;
}

static enum err sync_read(struct syncer *s, struct reason *why)
{
    struct buf command;
    struct sync_servers servers;
    buf_init(&command, SYNC_LINE_MAX);
    buf_clear(&s->answer);
    enum err e = buf_printf(&command, "show servers state %s", s->wish.backend);
    e = e == OK ? sync_socket_call(s->socket, buf_view(&command), &s->answer, why) : e;
    buf_close(&command);
    if (e != OK) {
        return e;
    }
    s->wish.now_ms = env_real_now_ms();
    e = sync_servers_read(buf_view(&s->answer), &s->wish, &s->servers, &servers);
    if (e != OK) {
        reason_set(why,
                   e == ERR_NOT_FOUND ? "HAProxy has no backend \"%s\""
                                      : "HAProxy's `show servers state %s` cannot be read",
                   s->wish.backend);
        return ERR_INVALID;
    }
    sync_servers_close(&s->servers);
    s->servers = servers;
    return OK;
}

/* Each line of what was done, with how long after the commit. */
static void sync_say(const struct syncer *s, uint64_t time_ms)
{
    struct bytes rest = buf_view(&s->words);
    uint64_t now = env_real_wall_ms();
    while (rest.len > 0) {
        size_t end = bytes_find(rest, '\n');
        (void)printf("%s %.*s", s->feed.service, (int)end, rest.ptr);
        if (time_ms > 0 && now >= time_ms) {
            (void)printf(", %llu ms after it was known", (unsigned long long)(now - time_ms));
        }
        (void)printf("\n");
        rest = bytes_slice(rest, end < rest.len ? end + 1 : end, rest.len);
    }
    (void)fflush(stdout);
}

/* HAProxy has what it was told: a plan for what it shows now has nothing to say. */
static bool sync_verify(struct syncer *s)
{
    struct buf again;
    struct buf answers = s->answer;
    struct reason why;
    buf_init(&s->answer, SYNC_ANSWER_MAX);
    buf_init(&again, SYNC_PLAN_MAX);
    buf_clear(&s->commands);
    enum err e = sync_read(s, &why);
    if (e == OK) {
        e = sync_plan(&s->servers, &s->feed.list, &s->wish, &s->commands, &again);
        reason_set(&why, "HAProxy did not do all that it was told, and is told again: %.*s",
                   BYTES_FORMAT(buf_view(&answers)));
    }
    bool done = e == OK && again.len == 0;
    if (!done) {
        (void)fprintf(stderr, "sync: %s\n", why.text);
    }
    /* The plan was not carried out. */
    if (s->commands.len > 0 && sync_read(s, &why) != OK) {
        s->pid = 0;
    }
    buf_close(&answers);
    buf_close(&again);
    return done;
}

/* Plans and tells. False: it will not get better. */
static bool sync_apply(struct syncer *s, uint64_t time_ms)
{
    struct reason why;
    if (s->pid == 0 || !s->feed.ready) {
        return true;
    }
    buf_clear(&s->commands);
    buf_clear(&s->words);
    buf_clear(&s->answer);
    s->wish.now_ms = env_real_now_ms();
    enum err e = sync_plan(&s->servers, &s->feed.list, &s->wish, &s->commands, &s->words);
    if (e != OK) {
        s->status = cli_fail("Error! the list of instances is too long");
        return false;
    }
    if (s->commands.len == 0) {
        return true;
    }
    reason_set(&why, "HAProxy does not answer");
    e = sync_socket_call(s->socket, buf_view(&s->commands), &s->answer, &why);
    if (e != OK) {
        return sync_trouble(s, e, &why);
    }
    if (sync_verify(s)) {
        sync_say(s, time_ms);
        s->again_ms = 0;
    } else {
        s->again_ms = s->wish.now_ms + SYNC_AGAIN_MS;
    }
    return true;
}

static bool sync_changed(void *ctx, uint64_t time_ms)
{
    struct syncer *s = ctx;
    bool on = sync_apply(s, time_ms);
    return on && !(s->once && s->pid != 0);
}

/* Whether it is the HAProxy we know; one that is not is read, and given the whole list. */
static bool sync_tick(void *ctx)
{
    struct syncer *s = ctx;
    struct reason why;
    uint64_t pid = 0;
    enum err e = sync_socket_pid(s->socket, &pid, &why);
    if (e == OK && pid != s->pid) {
        bool first = s->pid == 0 && !s->away;
        e = sync_read(s, &why);
        if (e == OK && !first) {
            (void)fprintf(stderr, "sync: HAProxy is process %llu now and gets the whole list\n",
                          (unsigned long long)pid);
        }
    }
    if (e != OK) {
        return sync_trouble(s, e, &why);
    }
    s->pid = pid;
    s->away = false;
    s->worked = true;
    bool on = env_real_now_ms() < s->again_ms || sync_apply(s, 0);
    return on && !(s->once && s->feed.ready);
}

static int sync_run(struct syncer *s)
{
    struct reason why;
    buf_init(&s->commands, SYNC_PLAN_MAX);
    buf_init(&s->words, SYNC_PLAN_MAX);
    buf_init(&s->answer, SYNC_ANSWER_MAX);
    /* A wrong socket or backend is said at once, before anything is waited for. */
    bool on = sync_tick(s);
    if (on && sync_feed_run(&s->feed, &why) != OK) {
        s->status = cli_fail("Error connecting to the stream: %s", why.text);
    }
    sync_feed_close(&s->feed);
    sync_servers_close(&s->servers);
    buf_close(&s->commands);
    buf_close(&s->words);
    buf_close(&s->answer);
    return s->status;
}

int cli_sync_haproxy(const struct cli *cli, int argc, char **argv)
{
    struct syncer s = {
        .wish = {.slots = "", .drain_ms = 10000},
        .socket = SYNC_SOCKET,
    };
    struct flag_texts tags = {0};
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"backend", FLAG_TEXT, &s.wish.backend, "string",
         "The backend of HAProxy; the service's name if it is not given."},
        {"drain-ms", FLAG_U64, &s.wish.drain_ms, "milliseconds",
         "How long a server drains before it goes into maintenance (10000)."},
        {"once", FLAG_SWITCH, &s.once, NULL, "Ends when HAProxy has the present list."},
        {"service", FLAG_TEXT, &s.feed.service, "string", "The service whose instances it is."},
        {"slots", FLAG_TEXT, &s.wish.slots, "prefix",
         "Only servers whose names begin so are used and changed; all of the backend if it is not "
         "given."},
        {"socket", FLAG_TEXT, &s.socket, "path",
         "HAProxy's runtime socket, of level admin (" SYNC_SOCKET ")."},
        {"tag", FLAG_TEXTS, &tags, "string",
         "Only instances with this tag; may be given several times."},
    };
    const struct cli_help help = {
        .usage = "sync haproxy -service=NAME [options]",
        .text =
            "  Keeps the servers of an HAProxy backend equal to the instances of a service that\n"
            "  are passing or warning, within milliseconds of a change. It uses the servers of a\n"
            "  server-template, and beyond them adds its own (HAProxy 2.5 and later). An instance\n"
            "  that goes drains first. Restarts of Herald and of HAProxy are survived.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc > 0) {
        return cli_fail("Error! Unexpected argument: %s", rest.argv[0]);
    }
    if (s.feed.service == NULL || s.feed.service[0] == '\0') {
        return cli_fail("Error! -service is missing: whose instances?");
    }
    s.wish.backend = s.wish.backend == NULL ? s.feed.service : s.wish.backend;
    if (!sync_name_valid(s.wish.backend) || !sync_name_valid(s.wish.slots)) {
        return cli_fail("Error! -backend and -slots are names of HAProxy: letters, digits, - _ . "
                        "and :");
    }
    if (!cli_open(&options, &s.feed.client, &status)) {
        return status;
    }
    s.feed.tags = &tags;
    s.feed.changed = sync_changed;
    s.feed.tick = sync_tick;
    s.feed.tick_ms = SYNC_TICK_MS;
    s.feed.ctx = &s;
    status = sync_run(&s);
    http_client_close(s.feed.client);
    return status;
}
