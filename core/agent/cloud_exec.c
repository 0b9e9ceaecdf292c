/* provider=exec: a program of the operator's, whose output is addresses. Its words are split here,
 * no shell sees them. */
#include "core/agent/cloud.h"
#include "core/base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often it is looked whether the agent ends. */
#define EXEC_LOOK_MS 100

/* Words with spaces between; '...' and "..." hold spaces. Changes `text`. */
static size_t exec_split(char *text, char *ret_argv[CLOUD_EXEC_ARGS_MAX + 1])
{
    size_t count = 0;
    char *from = text;
    while (count < CLOUD_EXEC_ARGS_MAX) {
        while (*from == ' ' || *from == '\t') {
            from++;
        }
        if (*from == '\0') {
            break;
        }
        char *to = from;
        ret_argv[count++] = to;
        for (char quote = '\0'; *from != '\0' && (quote != '\0' || (*from != ' ' && *from != '\t'));
             from++) {
            if (quote == '\0' && (*from == '\'' || *from == '"')) {
                quote = *from;
            } else if (*from == quote) {
                quote = '\0';
            } else {
                *to++ = *from;
            }
        }
        bool last = *from == '\0';
        *to = '\0';
        from += last ? 0 : 1;
    }
    ret_argv[count] = NULL;
    return count;
}

static enum err exec_start(char **argv, int out, pid_t *ret_pid, struct reason *why)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, 1);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    int error = posix_spawnp(ret_pid, argv[0], &files, &attr, argv, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attr);
    if (error != 0) {
        reason_set(why, "provider=exec: %s: %s", argv[0], strerror(error));
        return ERR_IO;
    }
    return OK;
}

/* Until its end, the limit or the time. NULL: all is well. */
static const char *exec_read(int fd, const atomic_bool *stop, struct buf *out)
{
    uint64_t until_ms = env_real_now_ms() + CLOUD_EXEC_MS;
    char piece[4096];
    while (!atomic_load(stop)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (env_real_now_ms() >= until_ms) {
            return "it did not end in time";
        }
        if (poll(&p, 1, EXEC_LOOK_MS) <= 0) {
            continue;
        }
        ssize_t got = read(fd, piece, sizeof piece);
        if (got == 0) {
            return NULL;
        }
        if (got < 0 && errno != EINTR) {
            return strerror(errno);
        }
        if (got > 0 && buf_append(out, (struct bytes){piece, (size_t)got}) != OK) {
            return "it printed too much";
        }
    }
    return "the agent ends";
}

/* Gone, with all that it started: one that has closed its output gets a moment to end by itself. */
static int exec_end(pid_t pid, bool at_once)
{
    int status = 0;
    for (unsigned i = 0; !at_once && i < EXEC_LOOK_MS; i++) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid) {
            return status;
        }
        (void)poll(NULL, 0, EXEC_LOOK_MS / 10);
    }
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static void exec_addresses(struct bytes text, struct cloud_found *f)
{
    size_t from = 0;
    for (size_t i = 0; i <= text.len; i++) {
        bool end = i == text.len || strchr(" \t\r\n,", text.ptr[i]) != NULL;
        if (end) {
            cloud_add(f, bytes_slice(text, from, i));
            from = i + 1;
        }
    }
}

enum err cloud_find_exec(const struct cloud_query *q,
                         const atomic_bool *stop,
                         struct cloud_found *ret_found,
                         struct reason *why)
{
    char text[CLOUD_TEXT_MAX];
    char *argv[CLOUD_EXEC_ARGS_MAX + 1];
    int ends[2];
    pid_t pid = 0;
    struct buf out;
    const char *cmd = cloud_arg(q, "cmd");
    memcpy(text, cmd, strlen(cmd) + 1); /* a part of a text of that length */
    if (exec_split(text, argv) == 0 || pipe2(ends, O_CLOEXEC) != 0) {
        reason_set(why, "provider=exec: cmd= has no program, or there is no descriptor for it");
        return ERR_IO;
    }
    enum err e = exec_start(argv, ends[1], &pid, why);
    (void)close(ends[1]);
    if (e != OK) {
        (void)close(ends[0]);
        return e;
    }
    buf_init(&out, CLOUD_EXEC_OUTPUT_MAX);
    const char *wrong = exec_read(ends[0], stop, &out);
    (void)close(ends[0]);
    int status = exec_end(pid, wrong != NULL);
    if (wrong == NULL && status != 0) {
        wrong = "it failed";
    }
    if (wrong != NULL) {
        reason_set(why, "provider=exec: %s: %s", argv[0], wrong);
        e = ERR_IO;
    } else {
        exec_addresses(buf_view(&out), ret_found);
    }
    buf_close(&out);
    return e;
}
