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

/* Under another name first: whoever finds the file finds all of it, also after a crash. */
static enum err datadir_write_file(const struct datadir *dir,
                                   const char *name,
                                   struct bytes line,
                                   struct reason *why)
{
    char draft_name[32];
    (void)snprintf(draft_name, sizeof draft_name, "%s.new", name);
    char *path = datadir_join(dir->path, name);
    char *draft = datadir_join(dir->path, draft_name);
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

static enum err datadir_write_version(const struct datadir *dir, struct reason *why)
{
    return datadir_write_file(dir, "VERSION", BYTES(DATADIR_VERSION_LINE), why);
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

/* --- repair ---------------------------------------------------------------------------------- */

#define DATADIR_REPAIR  "repair"
#define DATADIR_DAMAGED "damaged"
#define REPAIR_LINE_MAX 128

/* One line: `herald repair 1 PHASE INDEX TERM`. */
static const char *const REPAIR_WORDS[] = {
    [REPAIR_NONE] = "none",
    [REPAIR_ASIDE] = "aside",
    [REPAIR_APART] = "apart",
    [REPAIR_BACK] = "back",
};

/* Takes the next word off the line. */
static struct bytes repair_word(struct bytes *line)
{
    size_t len = bytes_find(*line, ' ');
    struct bytes word = bytes_slice(*line, 0, len);
    *line = bytes_slice(*line, len < line->len ? len + 1 : len, line->len);
    return word;
}

static bool repair_parse(struct bytes line, struct datadir_repair *ret_repair)
{
    struct datadir_repair repair = {0};
    bool ours = bytes_equal(repair_word(&line), BYTES("herald")) &&
                bytes_equal(repair_word(&line), BYTES("repair")) &&
                bytes_equal(repair_word(&line), BYTES("1"));
    struct bytes word = repair_word(&line);
    for (enum repair_phase p = REPAIR_ASIDE; p <= REPAIR_BACK; p++) {
        repair.phase = bytes_equal(word, bytes_of(REPAIR_WORDS[p])) ? p : repair.phase;
    }
    if (!ours || repair.phase == REPAIR_NONE ||
        bytes_to_u64(repair_word(&line), &repair.floor_index) != OK ||
        bytes_to_u64(repair_word(&line), &repair.floor_term) != OK) {
        return false;
    }
    *ret_repair = repair;
    return true;
}

enum err
datadir_get_repair(const struct datadir *dir, struct datadir_repair *ret_repair, struct reason *why)
{
    char line[REPAIR_LINE_MAX];
    char *path = datadir_join(dir->path, DATADIR_REPAIR);
    enum err e = OK;
    struct datadir_repair repair = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, line, sizeof line);
        if (got <= 0 || line[got - 1] != '\n' ||
            !repair_parse((struct bytes){line, (size_t)got - 1}, &repair)) {
            reason_set(why,
                       "%s: says nothing that this herald can read; restore it or start with "
                       "an empty data directory",
                       path);
            e = ERR_CORRUPT;
        }
        (void)close(fd);
    } else if (errno != ENOENT) {
        e = datadir_failed(why, path, "open", errno);
    }
    free(path);
    if (e == OK) {
        *ret_repair = repair;
    }
    return e;
}

enum err datadir_set_repair(const struct datadir *dir,
                            const struct datadir_repair *repair,
                            struct reason *why)
{
    char line[REPAIR_LINE_MAX];
    if (repair->phase == REPAIR_NONE) {
        char *path = datadir_join(dir->path, DATADIR_REPAIR);
        enum err e = unlink(path) == 0 || errno == ENOENT
                         ? datadir_sync(dir->path, why)
                         : datadir_failed(why, path, "unlink", errno);
        free(path);
        return e;
    }
    int len =
        snprintf(line, sizeof line, "herald repair 1 %s %llu %llu\n", REPAIR_WORDS[repair->phase],
                 (unsigned long long)repair->floor_index, (unsigned long long)repair->floor_term);
    CHECK(len > 0 && (size_t)len < sizeof line);
    return datadir_write_file(dir, DATADIR_REPAIR, (struct bytes){line, (size_t)len}, why);
}

static bool datadir_is_data(const char *name)
{
    uint64_t generation = 0;
    return strcmp(name, "log") == 0 || strcmp(name, "log.mark") == 0 ||
           datadir_is_state(name, &generation);
}

/* What has the same name there from an earlier repair goes. */
static enum err datadir_move_aside(const struct datadir *dir,
                                   const char *damaged,
                                   const char *name,
                                   struct reason *why)
{
    char *from = datadir_join(dir->path, name);
    char *to = datadir_join(damaged, name);
    enum err e = OK;
    datadir_remove(to);
    (void)unlink(to);
    if (rename(from, to) != 0) {
        e = datadir_failed(why, from, "rename", errno);
    }
    free(from);
    free(to);
    return e;
}

enum err datadir_set_aside(const struct datadir *dir, struct reason *why)
{
    char *damaged = datadir_join(dir->path, DATADIR_DAMAGED);
    enum err e = datadir_make(damaged, why);
    DIR *names = e == OK ? opendir(dir->path) : NULL;
    if (e == OK && names == NULL) {
        e = datadir_failed(why, dir->path, "open", errno);
    }
    for (struct dirent *at = NULL; e == OK && (at = readdir(names)) != NULL;) {
        if (datadir_is_data(at->d_name)) {
            e = datadir_move_aside(dir, damaged, at->d_name, why);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
    }
    e = e == OK ? datadir_sync(damaged, why) : e;
    free(damaged);
    return e == OK ? datadir_sync(dir->path, why) : e;
}

void datadir_drop_damaged(const struct datadir *dir)
{
    char *damaged = datadir_join(dir->path, DATADIR_DAMAGED);
    DIR *names = opendir(damaged);
    if (names != NULL) {
        for (struct dirent *at = readdir(names); at != NULL; at = readdir(names)) {
            char *path = datadir_join(damaged, at->d_name);
            if (datadir_is_data(at->d_name)) {
                datadir_remove(path);
            }
            (void)unlink(path);
            free(path);
        }
        (void)closedir(names);
        (void)rmdir(damaged);
    }
    free(damaged);
}
