#include "store/replica/wal_check.h"

#include "core/base/log.h"
#include "core/base/mem.h"
#include "store/replica/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAL_PATH_MAX 4352

struct wal_files {
    const char *directory;
    uint64_t *numbers;
    size_t count;
    /* What the log held: the last entry appended by a whole record. */
    bool any;
    uint64_t last;
    uint64_t records;
};

static int wal_check_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* "000123.log" and nothing else. */
static bool wal_check_name(const char *name, uint64_t *ret_number)
{
    struct bytes b = bytes_of(name);
    return b.len > 4 && strcmp(name + b.len - 4, ".log") == 0 &&
           bytes_to_u64(bytes_slice(b, 0, b.len - 4), ret_number) == OK;
}

static enum err wal_check_list(struct wal_files *files, struct reason *why)
{
    DIR *dir = opendir(files->directory);
    if (dir == NULL) {
        if (errno == ENOENT) {
            return OK;
        }
        reason_set(why, "%s: %s", files->directory, strerror(errno));
        return ERR_IO;
    }
    size_t cap = 0;
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        uint64_t number = 0;
        if (!wal_check_name(d->d_name, &number)) {
            continue;
        }
        if (files->count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            files->numbers = mem_realloc(files->numbers, cap * sizeof *files->numbers);
        }
        files->numbers[files->count++] = number;
    }
    (void)closedir(dir);
    if (files->count > 1) {
        qsort(files->numbers, files->count, sizeof *files->numbers, wal_check_order);
    }
    return OK;
}

static void wal_check_path(const struct wal_files *files, size_t i, char ret_path[WAL_PATH_MAX])
{
    (void)snprintf(ret_path, WAL_PATH_MAX, "%s/%06llu.log", files->directory,
                   (unsigned long long)files->numbers[i]);
}

/* A record is a write batch: sequence (8 bytes), count (4), then the writes. A batch of entries
 * begins with the put (tag 1) of the first one's key: length 9, 'e', index. */
static void wal_check_record(void *ctx, struct bytes record)
{
    struct wal_files *files = ctx;
    const unsigned char *p = (const unsigned char *)record.ptr;
    files->records++;
    if (record.len < 23 || p[12] != 1 || p[13] != 9 || p[14] != 'e') {
        return;
    }
    uint64_t index = 0;
    for (unsigned i = 0; i < 8; i++) {
        index = index << 8 | p[15 + i];
    }
    uint64_t count = (uint64_t)p[8] | (uint64_t)p[9] << 8 | (uint64_t)p[10] << 16;
    files->any = true;
    files->last = index + count - 1;
}

static enum err
wal_check_damaged(const char *path, const struct wal_report *report, struct reason *why)
{
    reason_set(why,
               "%s: offset %llu: a damaged record; nothing was changed. Restore the data directory "
               "from a backup, or start with an empty one",
               path, (unsigned long long)report->offset);
    log_line(LOG_STORE_CORRUPT, "file=%s offset=%llu", path, (unsigned long long)report->offset);
    return ERR_CORRUPT;
}

static enum err wal_check_cut(const char *path, const struct wal_report *report, struct reason *why)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)report->end) != 0 || fsync(fd) != 0) {
        reason_set(why, "%s: cannot cut off a torn end: %s", path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return ERR_IO;
    }
    (void)close(fd);
    log_line(LOG_STORE_TAIL_CUT, "file=%s offset=%llu bytes=%llu", path,
             (unsigned long long)report->end, (unsigned long long)(report->size - report->end));
    return OK;
}

/* The library begins a new file before it has something to write into it. */
static enum err wal_check_nothing_behind(struct wal_files *files,
                                         size_t behind,
                                         bool *ret_nothing,
                                         struct reason *why)
{
    char path[WAL_PATH_MAX];
    uint64_t records = files->records;
    for (size_t i = behind + 1; i < files->count; i++) {
        struct wal_report report;
        wal_check_path(files, i, path);
        enum err e = wal_examine_file(path, wal_check_record, files, &report, why);
        if (e != OK) {
            return e;
        }
    }
    *ret_nothing = files->records == records;
    return OK;
}

static enum err wal_check_logs(struct wal_files *files, uint64_t durable, struct reason *why)
{
    char path[WAL_PATH_MAX];
    for (size_t i = 0; i < files->count; i++) {
        struct wal_report report;
        bool newest = false;
        wal_check_path(files, i, path);
        enum err e = wal_examine_file(path, wal_check_record, files, &report, why);
        if (e == OK && report.verdict == WAL_WHOLE) {
            continue;
        }
        bool lost = files->any && files->last < durable;
        if (e == OK) {
            e = wal_check_nothing_behind(files, i, &newest, why);
        }
        if (e != OK) {
            return e;
        }
        if (report.verdict == WAL_DAMAGED || !newest || lost) {
            return wal_check_damaged(path, &report, why);
        }
        e = wal_check_cut(path, &report, why);
        if (e != OK) {
            return e;
        }
    }
    return OK;
}

/* The MANIFEST that CURRENT names. Its torn end is the library's to drop. */
static enum err wal_check_manifest(const char *directory, struct reason *why)
{
    char current[WAL_PATH_MAX];
    char path[WAL_PATH_MAX];
    char name[64] = {0};
    struct wal_report report = {0};
    (void)snprintf(current, sizeof current, "%s/CURRENT", directory);
    int fd = open(current, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        /* None yet; a lost one is for the library to say. */
        return OK;
    }
    ssize_t got = read(fd, name, sizeof name - 1);
    (void)close(fd);
    name[strcspn(name, "\n")] = '\0';
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    if (got <= 0 || strchr(name, '/') != NULL || access(path, F_OK) != 0) {
        return wal_check_damaged(current, &report, why);
    }
    enum err e = wal_examine_file(path, NULL, NULL, &report, why);
    if (e == OK && report.verdict == WAL_DAMAGED) {
        e = wal_check_damaged(path, &report, why);
    }
    return e;
}

enum err wal_check(const char *directory, uint64_t durable, struct reason *why)
{
    struct wal_files files = {.directory = directory};
    enum err e = wal_check_manifest(directory, why);
    if (e == OK) {
        e = wal_check_list(&files, why);
    }
    if (e == OK) {
        e = wal_check_logs(&files, durable, why);
    }
    free(files.numbers);
    return e;
}
