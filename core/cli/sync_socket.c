#include "core/cli/sync_socket.h"

#include "core/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static enum err socket_failed(const char *what, const char *path, int number, struct reason *why)
{
    char text[SYSTEM_TEXT_LEN];
    cli_system_text(number, text);
    reason_set(why, "%s HAProxy's socket %s: %s", what, path, text);
    bool away = number == ENOENT || number == ECONNREFUSED;
    return away ? ERR_NOT_FOUND : number == EACCES || number == ENOTSOCK ? ERR_INVALID : ERR_IO;
}

static enum err socket_open(const char *path, int *ret_fd, struct reason *why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = SYNC_ANSWER_S};
    size_t len = strlen(path);
    if (len >= sizeof addr.sun_path) {
        reason_set(why, "the path of HAProxy's socket is too long: %s", path);
        return ERR_INVALID;
    }
    struct stat what;
    if (stat(path, &what) == 0 && !S_ISSOCK(what.st_mode)) {
        return socket_failed("cannot connect to", path, ENOTSOCK, why);
    }
    memcpy(addr.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return socket_failed("cannot make a socket for", path, errno, why);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) != 0) {
        enum err e = socket_failed("cannot connect to", path, errno, why);
        (void)close(fd);
        return e;
    }
    *ret_fd = fd;
    return OK;
}

static enum err socket_send(int fd, struct bytes line, const char *path, struct reason *why)
{
    while (line.len > 0) {
        ssize_t sent = send(fd, line.ptr, line.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return socket_failed("cannot write to", path, errno, why);
        }
        line = bytes_slice(line, sent > 0 ? (size_t)sent : 0, line.len);
    }
    return OK;
}

static enum err socket_read(int fd, struct buf *answer, const char *path, struct reason *why)
{
    char piece[4096];
    for (;;) {
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return socket_failed("no answer from", path, errno, why);
        }
        if (got == 0) {
            return OK;
        }
        if (buf_append(answer, (struct bytes){.ptr = piece, .len = (size_t)got}) != OK) {
            reason_set(why, "HAProxy's answer is too long");
            return ERR_IO;
        }
    }
}

/* One line: HAProxy answers it and closes. */
static enum err
socket_line(const char *path, struct bytes line, struct buf *answer, struct reason *why)
{
    int fd = -1;
    enum err e = socket_open(path, &fd, why);
    if (e != OK) {
        return e;
    }
    e = socket_send(fd, line, path, why);
    e = e == OK ? socket_read(fd, answer, path, why) : e;
    (void)close(fd);
    return e;
}

enum err
sync_socket_call(const char *path, struct bytes commands, struct buf *answer, struct reason *why)
{
    struct buf line;
    enum err e = OK;
    buf_init(&line, SYNC_LINE_MAX);
    while (commands.len > 0 && e == OK) {
        size_t end = bytes_find(commands, '\n');
        struct bytes one = bytes_slice(commands, 0, end);
        if (line.len > 0 && line.len + one.len + 2 > SYNC_LINE_MAX) {
            line.ptr[line.len - 1] = '\n';
            e = socket_line(path, buf_view(&line), answer, why);
            buf_clear(&line);
            continue;
        }
        e = buf_append(&line, one);
        e = e == OK ? buf_append_char(&line, ';') : e;
        if (e != OK) {
            reason_set(why, "a command for HAProxy is too long");
        }
        commands = bytes_slice(commands, end < commands.len ? end + 1 : end, commands.len);
    }
    if (e == OK && line.len > 0) {
        line.ptr[line.len - 1] = '\n';
        e = socket_line(path, buf_view(&line), answer, why);
    }
    buf_close(&line);
    return e;
}

enum err sync_socket_pid(const char *path, uint64_t *ret_pid, struct reason *why)
{
    static const char name[] = "\nPid: ";
    struct buf answer;
    buf_init(&answer, SYNC_ANSWER_MAX);
    enum err e = sync_socket_call(path, BYTES("show info"), &answer, why);
    if (e == OK) {
        const char *at = memmem(answer.ptr, answer.len, name, sizeof name - 1);
        size_t from = at == NULL ? answer.len : (size_t)(at - answer.ptr) + sizeof name - 1;
        struct bytes rest = bytes_slice(buf_view(&answer), from, answer.len);
        if (bytes_to_u64(bytes_slice(rest, 0, bytes_find(rest, '\n')), ret_pid) != OK) {
            reason_set(why, "what listens on %s does not answer like HAProxy", path);
            e = ERR_INVALID;
        }
    }
    buf_close(&answer);
    return e;
}
