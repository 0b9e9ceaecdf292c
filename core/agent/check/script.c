/* Script checks: a program of its own process group, without a shell. Exit 0 is passing, 1 warning,
 * all else critical; what it prints is kept up to a limit and read away behind it, so that it never
 * blocks on us. When it ends, or its time does, its whole group is killed. */
#include "core/agent/check/run.h"

#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct script_probe {
    struct probe probe;
    struct buf output;
    bool cut;
    struct io output_io;
    struct io end_io; /* readable once the process has ended */
    int output_fd;
    int end_fd;
    pid_t pid;
};

static void script_read(struct script_probe *s)
{
    char data[4096];
    ssize_t n = 0;
    /* Bounded: a program that prints without an end does not keep the loop. */
    for (size_t total = 0; total < SCRIPT_READ_MAX; total += (size_t)n) {
        n = read(s->output_fd, data, sizeof data);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                io_want(&s->output_io, 0);
            }
            return;
        }
        size_t room = s->output.max - s->output.len;
        s->cut = s->cut || (size_t)n > room;
        buf_put(&s->output,
                (struct bytes){.ptr = data, .len = (size_t)n > room ? room : (size_t)n});
    }
}

/* Kills what is left of the group and takes the exit status. The process has ended, or ends by the
 * signal that nobody can refuse. */
static int script_reap(struct script_probe *s)
{
    int status = 0;
    (void)kill(-s->pid, SIGKILL);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR) {
        /* Again. */
    }
    return status;
}

static void script_free(struct script_probe *s)
{
    io_close(&s->output_io);
    io_close(&s->end_io);
    (void)close(s->output_fd);
    (void)close(s->end_fd);
    buf_close(&s->output);
    free(s);
}

static void script_on_output(struct io *io, unsigned ready)
{
    (void)ready;
    script_read(LIST_OWNER(io, struct script_probe, output_io));
}

static void script_on_end(struct io *io, unsigned ready)
{
    (void)ready;
    struct script_probe *s = LIST_OWNER(io, struct script_probe, end_io);
    script_read(s);
    int status = script_reap(s);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    struct probe p = s->probe;
    struct buf text;
    buf_init(&text, s->output.max + 256);
    if (s->cut) {
        enum err e =
            buf_printf(&text, "Captured %zu bytes, the rest is left out\n...\n", s->output.max);
        (void)e;
    }
    buf_put(&text, buf_view(&s->output));
    script_free(s);
    p.done(&p,
           code == 0   ? CHECK_PASSING
           : code == 1 ? CHECK_WARNING
                       : CHECK_CRITICAL,
           buf_view(&text));
    buf_close(&text);
}

/* Signals as a program expects them, descriptors 0 to 2 alone, a group of its own. */
static int script_spawn(char *const *argv, int output_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, output_fd, 1);
    (void)posix_spawn_file_actions_adddup2(&files, output_fd, 2);
    (void)posix_spawn_file_actions_addclosefrom_np(&files, 3);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawnp(ret_pid, argv[0], &files, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return failed;
}

/* `args`, or one text for the shell that was named. */
static char **script_argv(const struct check_definition *d)
{
    char **argv = mem_zalloc(d->args.count + 1, sizeof *argv);
    for (size_t i = 0; i < d->args.count; i++) {
        argv[i] = mem_dup(d->args.items[i].ptr, d->args.items[i].len);
    }
    return argv;
}

static void script_argv_free(char **argv)
{
    for (size_t i = 0; argv[i] != NULL; i++) {
        free(argv[i]);
    }
    free(argv);
}

static struct probe *script_start(const struct probe *p, struct reason *why)
{
    int pipes[2];
    pid_t pid = 0;
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        reason_set(why, "no descriptor is left for a script");
        return NULL;
    }
    (void)fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    char **argv = script_argv(p->definition);
    int failed = script_spawn(argv, pipes[1], &pid);
    script_argv_free(argv);
    (void)close(pipes[1]);
    int end_fd = failed != 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (end_fd < 0) {
        if (failed == 0) {
            failed = errno;
            (void)kill(-pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
        reason_set(why, "script cannot be run: %s", strerror(failed));
        (void)close(pipes[0]);
        return NULL;
    }
    (void)fcntl(end_fd, F_SETFD, FD_CLOEXEC);
    struct script_probe *s = mem_zalloc(1, sizeof *s);
    s->probe = *p;
    s->output_fd = pipes[0];
    s->end_fd = end_fd;
    s->pid = pid;
    buf_init(&s->output, p->output_max);
    io_open(&s->output_io, p->host->loop, s->output_fd, script_on_output);
    io_want(&s->output_io, IO_READ);
    io_open(&s->end_io, p->host->loop, s->end_fd, script_on_end);
    io_want(&s->end_io, IO_READ);
    return &s->probe;
}

static void script_cancel(struct probe *p)
{
    struct script_probe *s = LIST_OWNER(p, struct script_probe, probe);
    (void)script_reap(s);
    script_free(s);
}

const struct probe_kind PROBE_SCRIPT = {.start = script_start, .cancel = script_cancel};
