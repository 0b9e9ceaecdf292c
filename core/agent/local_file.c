#include "core/agent/local_file.h"

#include "core/base/limit.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that fits every file system; a longer id is cut, and told apart by a checksum. */
#define FILE_NAME_MAX 200
#define FILE_MAX      (DEFINITION_MAX + 2 * (size_t)ROW_OUTPUT_MAX)
#define FILE_END      ".json"

/* --- paths --------------------------------------------------------------------------------------
 */

static enum err
dir_make(const char *data_dir, const char *name, char **ret_path, struct reason *why)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", data_dir, name);
    if (len < 0 || (size_t)len >= sizeof path - FILE_NAME_MAX - 32) {
        reason_set(why, "data_dir: the path is too long");
        return ERR_INVALID;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        reason_set(why, "%s: %s", path, strerror(errno));
        return ERR_IO;
    }
    *ret_path = mem_strdup(path);
    return OK;
}

enum err local_files_open(struct local_files *f, const char *data_dir, struct reason *why)
{
    *f = (struct local_files){0};
    if (data_dir == NULL) {
        return OK;
    }
    enum err e = dir_make(data_dir, "services", &f->services, why);
    return e == OK ? dir_make(data_dir, "checks", &f->checks, why) : e;
}

void local_files_close(struct local_files *f)
{
    free(f->services);
    free(f->checks);
    *f = (struct local_files){0};
}

/* The file of an id; ids that differ in case alone are one. */
static void file_path(const char *dir, struct bytes id, char ret_path[PATH_MAX])
{
    struct buf name;
    struct buf lower;
    buf_init(&lower, ROW_NAME_MAX);
    buf_init(&name, (size_t)ROW_NAME_MAX * 3);
    for (size_t i = 0; i < id.len && i < ROW_NAME_MAX; i++) {
        char c = id.ptr[i];
        buf_put_char(&lower, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    /* Three characters for each byte fit. */
    enum err e = url_encode(&name, buf_view(&lower), false);
    (void)e;
    if (name.len > FILE_NAME_MAX) {
        buf_truncate(&name, FILE_NAME_MAX - 9);
        char sum[16];
        (void)snprintf(sum, sizeof sum, "-%08x", checksum(buf_view(&lower)));
        buf_put_str(&name, sum);
    }
    /* The begin keeps `.` and `..` from being names. */
    (void)snprintf(ret_path, PATH_MAX, "%s/id-%.*s" FILE_END, dir, BYTES_FORMAT(buf_view(&name)));
    buf_close(&name);
    buf_close(&lower);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static bool write_all(int fd, struct bytes data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data = bytes_slice(data, (size_t)n, data.len);
    }
    return true;
}

static void file_put(const char *dir, struct bytes id, struct bytes data)
{
    char path[PATH_MAX];
    char fresh[PATH_MAX + 8];
    file_path(dir, id, path);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_all(fd, data) && fdatasync(fd) == 0;
    int number = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (good && rename(fresh, path) != 0) {
        number = errno;
        good = false;
    }
    if (!good) {
        log_line(LOG_AGENT_FILE, "file=%s error=\"%s\"", path, strerror(number));
        (void)unlink(fresh);
    }
}

void local_files_put_service(const struct local_files *f, const struct local_service *s)
{
    if (f->services != NULL) {
        file_put(f->services, s->item.id, s->item.json);
    }
}

static enum err put_member(struct buf *out, const char *name, struct bytes value)
{
    enum err e = buf_printf(out, "%s\"%s\":", out->len > 0 ? "," : "{", name);
    return e == OK ? json_quote(out, value) : e;
}

/* What the definition does not say is beside it. */
void local_files_put_check(const struct local_files *f, const struct local_check *c)
{
    struct buf out;
    if (f->checks == NULL) {
        return;
    }
    buf_init(&out, MIB(1));
    enum err e = put_member(&out, "ID", c->row.id);
    e = e == OK ? put_member(&out, "Name", c->row.name) : e;
    e = e == OK ? put_member(&out, "ServiceID", c->row.service_id) : e;
    e = e == OK ? put_member(&out, "Notes", c->row.notes) : e;
    e = e == OK ? put_member(&out, "Kind", c->row.type) : e;
    e = e == OK ? put_member(&out, "Status", bytes_of(check_status_name(c->row.status))) : e;
    e = e == OK ? put_member(&out, "Output", c->row.output) : e;
    e = e == OK ? buf_append_str(&out, ",\"Definition\":") : e;
    e = e == OK ? buf_append(&out, c->item.json.len > 0 ? c->item.json : BYTES("null")) : e;
    e = e == OK ? buf_append_char(&out, '}') : e;
    if (e == OK) {
        file_put(f->checks, c->item.id, buf_view(&out));
    }
    buf_close(&out);
}

void local_files_remove(const struct local_files *f, bool check, struct bytes id)
{
    char path[PATH_MAX];
    const char *dir = check ? f->checks : f->services;
    if (dir == NULL) {
        return;
    }
    file_path(dir, id, path);
    if (unlink(path) != 0 && errno != ENOENT) {
        log_line(LOG_AGENT_FILE, "file=%s error=\"%s\"", path, strerror(errno));
    }
}

/* --- reading ------------------------------------------------------------------------------------
 */

static int file_wanted(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > strlen(FILE_END) && strncmp(entry->d_name, "id-", 3) == 0 &&
           strcmp(entry->d_name + len - strlen(FILE_END), FILE_END) == 0;
}

static json_t *file_load(const char *path)
{
    char data[4096];
    struct buf text;
    json_error_t error;
    json_t *object = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    buf_init(&text, FILE_MAX);
    ssize_t n = fd < 0 ? -1 : 0;
    while (fd >= 0 && (n = read(fd, data, sizeof data)) > 0) {
        if (buf_append(&text, (struct bytes){.ptr = data, .len = (size_t)n}) != OK) {
            n = -1;
            break;
        }
    }
    if (n == 0 && text.len > 0) {
        object = json_loadb(text.ptr, text.len, 0, &error);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_close(&text);
    return object;
}

void local_files_each(const struct local_files *f,
                      bool check,
                      void (*each)(void *ctx, json_t *object),
                      void *ctx)
{
    const char *dir = check ? f->checks : f->services;
    struct dirent **entries = NULL;
    char path[PATH_MAX * 2];
    int count = dir == NULL ? 0 : scandir(dir, &entries, file_wanted, alphasort);
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        json_t *object = file_load(path);
        if (json_is_object(object)) {
            each(ctx, object);
        } else {
            log_line(LOG_AGENT_FILE_BAD, "file=%s", path);
        }
        json_decref(object);
        free(entries[i]);
    }
    free(entries);
}
