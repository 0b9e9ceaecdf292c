#include "store/datadir.h"

#include "core/base/buf.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* What this program writes, and all that it reads. */
#define DATADIR_VERSION_LINE "herald data 1\n"
#define DATADIR_VERSION_MAX  128

/* What a system call said about `path`, with the remedy where there is one. */
static enum err datadir_failed(struct reason *why, const char *path, const char *what, int error)
{
    switch (error) {
    case EROFS:
        reason_set(why,
                   "%s: %s: the file system is read-only; remount it writable or choose "
                   "another -data-dir",
                   path, what);
        return ERR_READ_ONLY;
    case EACCES:
    case EPERM:
        reason_set(why,
                   "%s: %s: permission denied; give the user that runs herald the right to "
                   "write there, or choose another -data-dir",
                   path, what);
        return ERR_READ_ONLY;
    case ENOTDIR:
    case EEXIST:
        reason_set(why, "%s: is not a directory; remove it or choose another -data-dir", path);
        return ERR_INVALID;
    case ENOSPC:
    case EDQUOT:
        reason_set(why, "%s: %s: no space left on the disk; free some or choose another -data-dir",
                   path, what);
        return ERR_NO_SPACE;
    default:
        reason_set(why, "%s: %s: %s", path, what, strerror(error));
        return ERR_IO;
    }
}

static char *datadir_join(const char *path, const char *name)
{
    size_t len = strlen(path) + strlen(name) + 2;
    char *joined = mem_alloc(len);
    (void)snprintf(joined, len, "%s/%s", path, name);
    return joined;
}

enum err datadir_sync(const char *path, struct reason *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return datadir_failed(why, path, "open", errno);
    }
    int rc = fsync(fd);
    int error = errno;
    (void)close(fd);
    return rc == 0 ? OK : datadir_failed(why, path, "fsync", error);
}

/* mkdir -p: every missing part of the path. */
static enum err datadir_make(const char *path, struct reason *why)
{
    char *part = mem_strdup(path);
    enum err e = OK;
    for (char *at = part + 1; e == OK; at++) {
        char c = *at;
        if (c != '/' && c != '\0') {
            continue;
        }
        *at = '\0';
        struct stat st;
        if (mkdir(part, 0755) != 0 &&
            (errno != EEXIST || stat(part, &st) != 0 || !S_ISDIR(st.st_mode))) {
            e = datadir_failed(why, part, "mkdir", errno);
        }
        *at = c;
        if (c == '\0') {
            break;
        }
    }
    free(part);
    return e;
}

static enum err datadir_lock(struct datadir *dir, struct reason *why)
{
    char *path = datadir_join(dir->path, "LOCK");
    enum err e = OK;
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (dir->lock_fd < 0) {
        e = datadir_failed(why, path, "open", errno);
    } else if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        e = errno == EWOULDBLOCK ? ERR_IN_USE : datadir_failed(why, path, "flock", errno);
        if (e == ERR_IN_USE) {
            reason_set(why,
                       "%s: in use by another process (it holds %s locked); stop that one or "
                       "choose another -data-dir",
                       dir->path, path);
        }
    }
    free(path);
    return e;
}

/* Under another name first: whoever finds VERSION finds all of it. */
static enum err datadir_write_version(const struct datadir *dir, struct reason *why)
{
    char *path = datadir_join(dir->path, "VERSION");
    char *draft = datadir_join(dir->path, "VERSION.new");
    struct bytes line = BYTES(DATADIR_VERSION_LINE);
    enum err e = OK;
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        e = datadir_failed(why, draft, "open", errno);
    } else {
        ssize_t put = write(fd, line.ptr, line.len);
        if (put != (ssize_t)line.len || fsync(fd) != 0) {
            e = datadir_failed(why, draft, "write",
                               put >= 0 && put < (ssize_t)line.len ? ENOSPC : errno);
        }
        (void)close(fd);
    }
    if (e == OK && rename(draft, path) != 0) {
        e = datadir_failed(why, path, "rename", errno);
    }
    if (e == OK) {
        e = datadir_sync(dir->path, why);
    }
    free(draft);
    free(path);
    return e;
}

static enum err datadir_check_version(const struct datadir *dir, struct reason *why)
{
    char *path = datadir_join(dir->path, "VERSION");
    char line[DATADIR_VERSION_MAX + 1] = {0};
    enum err e = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (access(dir->log_path, F_OK) == 0 || access(dir->state_path, F_OK) == 0) {
            reason_set(why,
                       "%s: is missing, though %s holds data; restore it, or use another "
                       "-data-dir",
                       path, dir->path);
            e = ERR_VERSION;
        } else {
            e = datadir_write_version(dir, why);
        }
    } else if (fd < 0) {
        e = datadir_failed(why, path, "open", errno);
    } else if (read(fd, line, DATADIR_VERSION_MAX) < 0) {
        e = datadir_failed(why, path, "read", errno);
    } else if (strcmp(line, DATADIR_VERSION_LINE) != 0) {
        line[strcspn(line, "\r\n")] = '\0';
        reason_set(why,
                   "%s: says '%s', this herald reads '%.*s'; start the version that wrote it, "
                   "or use another -data-dir",
                   path, line, (int)(sizeof DATADIR_VERSION_LINE - 2), DATADIR_VERSION_LINE);
        e = ERR_VERSION;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    free(path);
    return e;
}

/* That what is there can be written: a directory may be older than a change of its owner. */
static enum err datadir_check_write(const struct datadir *dir, struct reason *why)
{
    char *path = datadir_join(dir->path, "VERSION.probe");
    char block[512] = {0};
    enum err e = OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        e = datadir_failed(why, dir->path, "create a file", errno);
    } else {
        ssize_t put = write(fd, block, sizeof block);
        if (put != (ssize_t)sizeof block) {
            e = datadir_failed(why, dir->path, "write", put >= 0 ? ENOSPC : errno);
        }
        (void)close(fd);
        (void)unlink(path);
    }
    free(path);
    return e;
}

enum err datadir_open(const char *path, struct datadir *ret_dir, struct reason *why)
{
    CHECK(path != NULL && path[0] != '\0');
    struct datadir dir = {
        .path = mem_strdup(path),
        .log_path = datadir_join(path, "log"),
        .mark_path = datadir_join(path, "log.mark"),
        .state_path = datadir_join(path, "state"),
        .lock_fd = -1,
    };
    enum err e = datadir_make(path, why);
    if (e == OK) {
        e = datadir_lock(&dir, why);
    }
    if (e == OK) {
        e = datadir_check_write(&dir, why);
    }
    if (e == OK) {
        e = datadir_check_version(&dir, why);
    }
    if (e != OK) {
        datadir_close(&dir);
        return e;
    }
    *ret_dir = dir;
    return OK;
}

void datadir_close(struct datadir *dir)
{
    if (dir->lock_fd >= 0) {
        (void)close(dir->lock_fd);
    }
    free(dir->path);
    free(dir->log_path);
    free(dir->mark_path);
    free(dir->state_path);
    *dir = (struct datadir){.lock_fd = -1};
}

enum err datadir_space(const struct datadir *dir, struct datadir_space *ret_space)
{
    struct statvfs vfs;
    if (statvfs(dir->path, &vfs) != 0) {
        return ERR_IO;
    }
    *ret_space = (struct datadir_space){
        .free = (uint64_t)vfs.f_bavail * vfs.f_frsize,
        .total = (uint64_t)vfs.f_blocks * vfs.f_frsize,
    };
    return OK;
}

uint64_t datadir_reserve(const struct datadir_space *space)
{
    uint64_t reserve = space->total / DISK_RESERVE_PART;
    reserve = reserve < DISK_RESERVE_MAX ? reserve : DISK_RESERVE_MAX;
    return reserve > DISK_RESERVE_MIN ? reserve : DISK_RESERVE_MIN;
}

uint64_t datadir_reserve_end(const struct datadir_space *space)
{
    /* Some way above, or the server would refuse and take writes by turns. */
    return datadir_reserve(space) / 4 * 5;
}

/* --- states ---------------------------------------------------------------------------------- */

char *datadir_state(const struct datadir *dir, uint64_t generation)
{
    char name[32] = "state";
    if (generation > 0) {
        (void)snprintf(name, sizeof name, "state.%llu", (unsigned long long)generation);
    }
    return datadir_join(dir->path, name);
}

void datadir_remove(const char *path)
{
    DIR *files = opendir(path);
    if (files == NULL) {
        return;
    }
    for (struct dirent *at = readdir(files); at != NULL; at = readdir(files)) {
        (void)unlinkat(dirfd(files), at->d_name, 0);
    }
    (void)closedir(files);
    (void)rmdir(path);
}

/* "state", and "state." with a number. */
static bool datadir_is_state(const char *name, uint64_t *ret_generation)
{
    struct bytes text = bytes_of(name);
    struct bytes digits = {0};
    if (bytes_equal(text, BYTES("state"))) {
        *ret_generation = 0;
        return true;
    }
    if (!bytes_begins(text, BYTES("state."))) {
        return false;
    }
    digits = bytes_slice(text, sizeof("state.") - 1, text.len);
    return bytes_to_u64(digits, ret_generation) == OK;
}

void datadir_drop_states(const struct datadir *dir, uint64_t current)
{
    DIR *names = opendir(dir->path);
    if (names == NULL) {
        return;
    }
    for (struct dirent *at = readdir(names); at != NULL; at = readdir(names)) {
        uint64_t generation = 0;
        if (datadir_is_state(at->d_name, &generation) && generation != current) {
            char *path = datadir_join(dir->path, at->d_name);
            datadir_remove(path);
            free(path);
        }
    }
    (void)closedir(names);
}
