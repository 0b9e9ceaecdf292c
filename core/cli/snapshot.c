/* snapshot save, restore, inspect: a backup of the state in a file. */
#include "core/api/archive.h"
#include "core/cli/cli.h"
#include "core/cli/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* While it is not known to be whole it has another name. */
#define SNAPSHOT_DRAFT "%s.unverified"

/* --- files ----------------------------------------------------------------------------------- */

static int snapshot_file_failed(const char *doing, const char *call, const char *path)
{
    char text[SYSTEM_TEXT_LEN];
    cli_system_text(errno, text);
    return cli_fail("Error %s: %s %s: %s", doing, call, path, text);
}

static int snapshot_read(const char *path, struct buf *out)
{
    char piece[1 << 16];
    size_t got = 0;
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        return snapshot_file_failed("opening snapshot file", "open", path);
    }
    while ((got = fread(piece, 1, sizeof piece, in)) > 0) {
        if (buf_append(out, (struct bytes){piece, got}) != OK) {
            (void)fclose(in);
            return cli_fail("Error reading snapshot: %s is too large", path);
        }
    }
    int status = ferror(in) ? snapshot_file_failed("reading snapshot", "read", path) : 0;
    (void)fclose(in);
    return status;
}

static bool snapshot_write_all(int fd, struct bytes data)
{
    while (data.len > 0) {
        ssize_t put = write(fd, data.ptr, data.len);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        data = bytes_slice(data, put > 0 ? (size_t)put : 0, data.len);
    }
    return fsync(fd) == 0;
}

static int snapshot_write(const char *path, struct bytes data)
{
    struct buf draft;
    int status = 0;
    buf_init(&draft, (size_t)1 << 16);
    if (buf_printf(&draft, SNAPSHOT_DRAFT, path) != OK || buf_append_char(&draft, '\0') != OK) {
        buf_close(&draft);
        return cli_fail("Error creating snapshot file: its name is too long");
    }
    int fd = open(draft.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        status = snapshot_file_failed("creating snapshot file", "open", draft.ptr);
    } else if (!snapshot_write_all(fd, data) || rename(draft.ptr, path) != 0) {
        status = snapshot_file_failed("writing snapshot file", "write", draft.ptr);
        (void)unlink(draft.ptr);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_close(&draft);
    return status;
}

/* --- commands -------------------------------------------------------------------------------- */

/* The one argument of each of them. */
static bool snapshot_file(const struct flag_rest *rest, const char **ret_path, int *ret_status)
{
    if (rest->argc == 1) {
        *ret_path = rest->argv[0];
        return true;
    }
    *ret_status = rest->argc == 0 ? cli_fail("Missing FILE argument")
                                  : cli_fail("Too many arguments (expected 1, got %d)", rest->argc);
    return false;
}

/* A call that wants a 200. `failed` begins the error's sentence. */
static int snapshot_call(const struct http_options *options,
                         const struct http_call *call,
                         const char *failed,
                         struct http_answer *ret_answer)
{
    struct http_client *client = NULL;
    struct reason why;
    int status = 0;
    *ret_answer = (struct http_answer){0};
    if (!cli_open(options, &client, &status)) {
        return status;
    }
    enum err e = http_client_call(client, call, ret_answer, &why);
    if (e == OK && ret_answer->status != 200) {
        http_answer_reason(ret_answer, &why);
        e = ERR_IO;
    }
    http_client_close(client);
    return e == OK ? 0 : cli_fail("%s: %s", failed, why.text);
}

int cli_snapshot_save(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    struct http_answer answer;
    struct archive archive;
    struct reason why;
    const char *path = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "snapshot save [options] FILE",
        .text = "  Asks for a backup of the state of all servers, checks it, writes it to FILE.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !snapshot_file(&rest, &path, &status)) {
        return status;
    }
    struct http_call call = {.method = "GET", .path = "/v1/snapshot", .query = ""};
    status = snapshot_call(&options, &call, "Error saving snapshot", &answer);
    if (status == 0 && archive_open(buf_view(&answer.body), &archive, &why) != OK) {
        status = cli_fail("Error verifying snapshot file: %s", why.text);
    } else if (status == 0) {
        status = snapshot_write(path, buf_view(&answer.body));
        if (status == 0) {
            (void)printf("Saved and verified snapshot to index %llu\n",
                         (unsigned long long)archive.meta.index);
        }
        archive_close(&archive);
    }
    http_answer_close(&answer);
    return status;
}

int cli_snapshot_restore(const struct cli *cli, int argc, char **argv)
{
    struct http_options options = {0};
    struct flag_rest rest;
    struct http_answer answer = {0};
    struct buf file;
    const char *path = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "snapshot restore [options] FILE",
        .text = "  Puts the backup in FILE in the place of the state of all servers. What was "
                "written\n  since it was made is gone.\n",
        .http = true,
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status) ||
        !snapshot_file(&rest, &path, &status)) {
        return status;
    }
    buf_init(&file, HTTP_ANSWER_MAX);
    status = snapshot_read(path, &file);
    if (status == 0) {
        struct http_call call = {
            .method = "PUT", .path = "/v1/snapshot", .query = "", .body = buf_view(&file)};
        status = snapshot_call(&options, &call, "Error restoring snapshot", &answer);
        http_answer_close(&answer);
    }
    buf_close(&file);
    if (status == 0) {
        (void)puts("Restored snapshot");
    }
    return status;
}

int cli_snapshot_inspect(const struct cli *cli, int argc, char **argv)
{
    struct flag_rest rest;
    struct buf file;
    struct archive archive;
    struct reason why;
    const char *path = NULL;
    int status = 0;
    const struct cli_help help = {
        .usage = "snapshot inspect [options] FILE",
        .text = "  Checks the backup in FILE and says what it is; needs no agent.\n",
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, NULL, &args, &rest, &status) ||
        !snapshot_file(&rest, &path, &status)) {
        return status;
    }
    buf_init(&file, HTTP_ANSWER_MAX);
    status = snapshot_read(path, &file);
    if (status == 0 && archive_open(buf_view(&file), &archive, &why) != OK) {
        status = cli_fail("Error reading snapshot: %s", why.text);
    } else if (status == 0) {
        const struct archive_meta *m = &archive.meta;
        (void)printf("ID           %s\nSize         %llu\nIndex        %llu\nTerm         %llu\n"
                     "Version      %llu\n\n",
                     m->id, (unsigned long long)m->size, (unsigned long long)m->index,
                     (unsigned long long)m->term, (unsigned long long)m->version);
        archive_close(&archive);
    }
    buf_close(&file);
    return status;
}
