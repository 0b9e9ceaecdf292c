#include "core/datafile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads what fits; trailing white space is cut. */
static enum err datafile_read(const char *path, char *ret_text, size_t max, struct reason *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return ERR_NOT_FOUND;
    }
    ssize_t got = fd < 0 ? -1 : read(fd, ret_text, max - 1);
    if (got < 0) {
        reason_set(why, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (got < 0) {
        return ERR_IO;
    }
    while (got > 0 && (ret_text[got - 1] == '\n' || ret_text[got - 1] == ' ')) {
        got--;
    }
    ret_text[got] = '\0';
    return OK;
}

static enum err datafile_write(const char *path, const char *text, struct reason *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t len = strlen(text);
    bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    if (!written) {
        reason_set(why, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return written ? OK : ERR_IO;
}

enum err datafile_node_id(const char *data_dir, char ret_id[UUID_TEXT_LEN], struct reason *why)
{
    char path[PATH_MAX];
    char text[64];
    if (data_dir == NULL) {
        uuid_make(ret_id);
        return OK;
    }
    (void)snprintf(path, sizeof path, "%s/node-id", data_dir);
    enum err e = datafile_read(path, text, sizeof text, why);
    if (e == ERR_NOT_FOUND) {
        uuid_make(ret_id);
        return OK;
    }
    if (e == OK && !uuid_valid(bytes_of(text))) {
        reason_set(why, "%s: does not hold a node id (a UUID); remove it to get a new one", path);
        e = ERR_INVALID;
    }
    if (e == OK) {
        memcpy(ret_id, text, UUID_TEXT_LEN);
    }
    return e;
}

enum err datafile_keep_node_id(const char *data_dir, const char *id, struct reason *why)
{
    char path[PATH_MAX];
    char text[64];
    (void)snprintf(path, sizeof path, "%s/node-id", data_dir);
    enum err e = datafile_read(path, text, sizeof text, why);
    if (e != ERR_NOT_FOUND) {
        return e;
    }
    (void)snprintf(text, sizeof text, "%s\n", id);
    return datafile_write(path, text, why);
}

enum err datafile_make_dir(const char *path, struct reason *why)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        reason_set(why, "data_dir: the path is empty or too long");
        return ERR_INVALID;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        /* The whole path is for this process alone, what leads to it is not. */
        if (mkdir(part, i == len ? 0700 : 0755) != 0 && errno != EEXIST) {
            reason_set(why, "data_dir: %s: %s", part, strerror(errno));
            return ERR_IO;
        }
        part[i] = path[i];
    }
    return OK;
}

enum err datafile_write_pid(const char *path, struct reason *why)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%lld\n", (long long)getpid());
    return datafile_write(path, text, why);
}
