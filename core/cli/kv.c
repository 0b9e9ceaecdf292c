/* kv get, put, delete. */
#include "core/cli/kv.h"

#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file to put or to import: far above what a server takes in one value. */
#define DATA_MAX MIB(512)

bool cli_open(const struct http_options *options, struct http_client **ret_client, int *ret_status)
{
    struct reason why;
    if (http_client_open(options, ret_client, &why) != OK) {
        *ret_status = cli_fail("Error connecting to Consul agent: %s", why.text);
        return false;
    }
    return true;
}

enum err kv_fetch(struct http_client *h,
                  struct bytes key,
                  const char *query,
                  json_t **ret_rows,
                  struct reason *why)
{
    struct http_answer answer = {0};
    struct buf path;
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, "/v1/kv/", key);
    if (e == OK) {
        struct http_call call = {.method = "GET", .path = path.ptr, .query = query};
        e = http_client_call(h, &call, &answer, why);
    } else {
        reason_set(why, "the key is too long");
    }
    json_t *rows = NULL;
    if (e == OK && answer.status == 200) {
        e = json_parse(buf_view(&answer.body), &rows, why);
        if (e == OK && !json_is_array(rows)) {
            json_decref(rows);
            reason_set(why, "the answer is not an array");
            e = ERR_INVALID;
        }
    } else if (e == OK && answer.status != 404) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    http_answer_close(&answer);
    buf_close(&path);
    if (e == OK) {
        *ret_rows = rows;
    }
    return e;
}

enum err
kv_change(struct http_client *h, const struct kv_write *write, bool *ret_done, struct reason *why)
{
    struct http_answer answer = {0};
    struct buf path;
    buf_init(&path, HTTP_TARGET_MAX);
    enum err e = http_path(&path, "/v1/kv/", write->key);
    if (e == OK) {
        struct http_call call = {
            .method = write->method, .path = path.ptr, .query = write->query, .body = write->body};
        e = http_client_call(h, &call, &answer, why);
    } else {
        reason_set(why, "the key is too long");
    }
    if (e == OK && answer.status != 200) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    if (e == OK) {
        *ret_done = bytes_begins(buf_view(&answer.body), BYTES("true"));
    }
    http_answer_close(&answer);
    buf_close(&path);
    return e;
}

static enum err data_read_fd(int fd, struct buf *out, const char *name, struct reason *why)
{
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            reason_set(why, "read %s: %s", name, strerror(errno));
            return ERR_IO;
        }
        if (n == 0) {
            return OK;
        }
        if (buf_append(out, (struct bytes){.ptr = block, .len = (size_t)n}) != OK) {
            reason_set(why, "%s is larger than %zu bytes", name, out->max);
            return ERR_TOO_BIG;
        }
    }
}

enum err data_read(const char *arg, struct buf *out, struct reason *why)
{
    if (strcmp(arg, "-") == 0) {
        enum err e = data_read_fd(STDIN_FILENO, out, "stdin", why);
        return e;
    }
    if (arg[0] != '@') {
        return buf_append_str(out, arg);
    }
    int fd = open(arg + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        char cause[SYSTEM_TEXT_LEN];
        cli_system_text(errno, cause);
        reason_set(why, "Failed to read file: open %s: %s", arg + 1, cause);
        return ERR_IO;
    }
    enum err e = data_read_fd(fd, out, arg + 1, why);
    (void)close(fd);
    return e;
}

/* --- get ----------------------------------------------------------------------------------------
 */

struct kv_get {
    bool base64;
    bool detailed;
    bool keys;
    bool recurse;
    const char *separator;
};

static enum err print_value(const struct kv_get *get, struct bytes value64)
{
    struct buf value;
    buf_init(&value, HTTP_ANSWER_MAX);
    enum err e = get->base64 ? buf_append(&value, value64) : base64_decode(&value, value64);
    if (e == OK && value.len > 0) {
        (void)fwrite(value.ptr, 1, value.len, stdout);
    }
    buf_close(&value);
    return e;
}

static enum err print_detailed(const struct kv_get *get, const struct kv_entry *entry)
{
    (void)printf("CreateIndex      %llu\n", (unsigned long long)entry->create_index);
    (void)printf("Flags            %llu\n", (unsigned long long)entry->flags);
    (void)printf("Key              %.*s\n", BYTES_FORMAT(entry->key));
    (void)printf("LockIndex        %llu\n", (unsigned long long)entry->lock_index);
    (void)printf("ModifyIndex      %llu\n", (unsigned long long)entry->modify_index);
    if (entry->session.len > 0) {
        (void)printf("Session          %.*s\n", BYTES_FORMAT(entry->session));
    } else {
        (void)printf("Session          -\n");
    }
    /* Go's table writer leaves out what follows a last column that is empty. */
    (void)printf(entry->value64.len > 0 ? "Value            " : "Value");
    enum err e = print_value(get, entry->value64);
    (void)putchar('\n');
    return e;
}

static enum err print_rows(const struct kv_get *get, const json_t *rows)
{
    enum err e = OK;
    for (size_t i = 0; i < json_array_size(rows) && e == OK; i++) {
        struct kv_entry entry;
        e = kv_entry_read(json_array_get(rows, i), &entry);
        if (e != OK) {
            break;
        }
        if (get->detailed) {
            if (i > 0) {
                (void)putchar('\n');
            }
            e = print_detailed(get, &entry);
            continue;
        }
        if (get->recurse) {
            (void)fwrite(entry.key.ptr, 1, entry.key.len, stdout);
            (void)putchar(':');
        }
        e = print_value(get, entry.value64);
        (void)putchar('\n');
    }
    return e;
}

static void print_keys(const json_t *keys)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct bytes key = json_bytes(json_array_get(keys, i));
        (void)fwrite(key.ptr, 1, key.len, stdout);
        (void)putchar('\n');
    }
}

static int kv_get_run(struct http_client *h, const struct kv_get *get, const char *key)
{
    json_t *rows = NULL;
    struct reason why;
    struct buf query;
    enum err e = OK;
    buf_init(&query, HTTP_TARGET_MAX);
    if (get->keys) {
        e = buf_append_str(&query, "keys=");
        if (e == OK) {
            e = http_query(&query, "separator", bytes_of(get->separator));
        }
    }
    const char *text = get->keys ? query.ptr : get->recurse ? "recurse=" : "";
    if (e == OK) {
        e = kv_fetch(h, bytes_of(key), text, &rows, &why);
    }
    buf_close(&query);
    if (e != OK) {
        return cli_fail("Error querying Consul agent: %s", why.text);
    }
    if (rows == NULL) {
        return get->keys || get->recurse ? 0 : cli_fail("Error! No key exists at: %s", key);
    }
    if (get->keys) {
        print_keys(rows);
    } else {
        e = print_rows(get, rows);
    }
    json_decref(rows);
    return e == OK ? 0 : cli_fail("Error! The agent's answer cannot be read");
}

/* Keys cannot begin with `/`, and people write it: as Consul, one is taken off. */
static const char *without_slash(const char *key)
{
    return key[0] == '/' ? key + 1 : key;
}

int cli_kv_get(const struct cli *cli, int argc, char **argv)
{
    struct kv_get get = {.separator = "/"};
    const char *space = NULL;
    struct http_options options = {0};
    struct http_client *client = NULL;
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"base64", FLAG_SWITCH, &get.base64, NULL, "Prints values in base64."},
        {"detailed", FLAG_SWITCH, &get.detailed, NULL,
         "Prints all that is known of a key: indexes, flags, lock."},
        {"keys", FLAG_SWITCH, &get.keys, NULL, "Lists the keys below the prefix, without values."},
        {"namespace", FLAG_TEXT, &space, "default", "Accepted, not used."},
        {"recurse", FLAG_SWITCH, &get.recurse, NULL, "All keys that begin with the prefix."},
        {"separator", FLAG_TEXT, &get.separator, "string",
         "With -keys: shows keys up to the first separator after the prefix. The default is "
         "\"/\"."},
    };
    const struct cli_help help = {
        .usage = "kv get [options] [KEY_OR_PREFIX]",
        .text = "  Prints the value of a key. A key that does not exist is an error.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc > 1) {
        return cli_fail("Too many arguments (expected 1, got %d)", rest.argc);
    }
    const char *key = rest.argc == 0 ? "" : without_slash(rest.argv[0]);
    if (key[0] == '\0' && !get.keys && !get.recurse) {
        return cli_fail("Error! Missing KEY argument");
    }
    if (!cli_open(&options, &client, &status)) {
        return status;
    }
    status = kv_get_run(client, &get, key);
    http_client_close(client);
    return status;
}

/* --- put ----------------------------------------------------------------------------------------
 */

struct kv_put {
    bool acquire;
    bool base64;
    bool cas;
    bool release;
    uint64_t flags;
    uint64_t modify_index;
    const char *session;
};

/* What is wrong with the options together; NULL: nothing. */
static const char *kv_put_wrong(const struct kv_put *put)
{
    if (put->cas && put->modify_index == 0) {
        return "Must specify -modify-index with -cas!";
    }
    if ((put->acquire || put->release) && put->session[0] == '\0') {
        return "Error! Missing -session (required with -acquire and -release)";
    }
    if (put->acquire && put->release) {
        return "Error! -acquire and -release exclude each other";
    }
    if (put->cas && (put->acquire || put->release)) {
        return "Error! -cas goes neither with -acquire nor with -release";
    }
    return NULL;
}

static enum err kv_put_query(const struct kv_put *put, struct buf *out)
{
    enum err e = buf_printf(out, "flags=%llu", (unsigned long long)put->flags);
    if (e == OK && put->cas) {
        e = buf_printf(out, "&cas=%llu", (unsigned long long)put->modify_index);
    }
    if (e == OK && put->acquire) {
        e = http_query(out, "acquire", bytes_of(put->session));
    }
    if (e == OK && put->release) {
        e = http_query(out, "release", bytes_of(put->session));
    }
    return e;
}

static int
kv_put_run(struct http_client *h, const struct kv_put *put, const char *key, struct bytes value)
{
    bool done = false;
    struct reason why;
    struct buf query;
    buf_init(&query, HTTP_TARGET_MAX);
    enum err e = kv_put_query(put, &query);
    if (e != OK) {
        buf_close(&query);
        return cli_fail("Error! Failed writing data: -session is too long");
    }
    struct kv_write write = {
        .method = "PUT", .key = bytes_of(key), .query = query.ptr, .body = value};
    e = kv_change(h, &write, &done, &why);
    buf_close(&query);
    if (e != OK) {
        return cli_fail("Error! Failed writing data: %s", why.text);
    }
    if (!done) {
        return put->cas       ? cli_fail("Error! Did not write to %s: CAS failed", key)
               : put->acquire ? cli_fail("Error! Did not acquire lock on %s", key)
                              : cli_fail("Error! Did not release lock on %s", key);
    }
    (void)printf(put->acquire   ? "Success! Lock acquired on: %s\n"
                 : put->release ? "Success! Lock released on: %s\n"
                                : "Success! Data written to: %s\n",
                 key);
    return 0;
}

static int
kv_put_data(struct http_client *h, const struct kv_put *put, const struct flag_rest *rest)
{
    struct buf data;
    struct buf decoded;
    struct reason why;
    const char *key = rest->argv[0];
    int status = 0;
    buf_init(&data, DATA_MAX);
    buf_init(&decoded, DATA_MAX);
    enum err e = data_read(rest->argc > 1 ? rest->argv[1] : "", &data, &why);
    if (e != OK) {
        status = cli_fail("Error! %s", why.text);
    } else if (put->base64 && base64_decode(&decoded, buf_view(&data)) != OK) {
        status = cli_fail("Error! Cannot base 64 decode data");
    } else {
        status = kv_put_run(h, put, key, buf_view(put->base64 ? &decoded : &data));
    }
    buf_close(&data);
    buf_close(&decoded);
    return status;
}

int cli_kv_put(const struct cli *cli, int argc, char **argv)
{
    struct kv_put put = {.session = ""};
    const char *space = NULL;
    struct http_options options = {0};
    struct http_client *client = NULL;
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"acquire", FLAG_SWITCH, &put.acquire, NULL, "Locks the key for the -session."},
        {"base64", FLAG_SWITCH, &put.base64, NULL, "DATA is base64 and is decoded."},
        {"cas", FLAG_SWITCH, &put.cas, NULL,
         "Writes only if the key's ModifyIndex is that of -modify-index."},
        {"flags", FLAG_U64, &put.flags, "uint", "A number of the user's kept with the key."},
        {"modify-index", FLAG_U64, &put.modify_index, "uint", "See -cas."},
        {"namespace", FLAG_TEXT, &space, "default", "Accepted, not used."},
        {"release", FLAG_SWITCH, &put.release, NULL, "Unlocks the key of the -session."},
        {"session", FLAG_TEXT, &put.session, "string", "Id of a session, for a lock."},
    };
    const struct cli_help help = {
        .usage = "kv put [options] KEY [DATA]",
        .text = "  Writes DATA to the key: the text itself, @file, or - for standard input.\n"
                "  Without DATA the value is empty.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc == 0) {
        return cli_fail("Error! Missing KEY argument");
    }
    if (rest.argc > 2) {
        return cli_fail("Error! Too many arguments (expected 1 or 2, got %d)", rest.argc);
    }
    const char *wrong = kv_put_wrong(&put);
    if (wrong != NULL) {
        return cli_fail("%s", wrong);
    }
    if (rest.argv[0][0] == '/') {
        return cli_fail(
            "Error! Failed writing data: Invalid key. Key must not begin with a '/': %s",
            rest.argv[0]);
    }
    if (!cli_open(&options, &client, &status)) {
        return status;
    }
    status = kv_put_data(client, &put, &rest);
    http_client_close(client);
    return status;
}

/* --- delete -------------------------------------------------------------------------------------
 */

struct kv_delete {
    bool cas;
    bool recurse;
    uint64_t modify_index;
};

static const char *kv_delete_wrong(const struct kv_delete *del, const char *key)
{
    if (key[0] == '\0' && !del->recurse) {
        return "Error! Missing KEY argument";
    }
    if (del->cas && del->modify_index == 0) {
        return "Must specify -modify-index with -cas!";
    }
    if (!del->cas && del->modify_index != 0) {
        return "Cannot specify -modify-index without -cas!";
    }
    return del->cas && del->recurse ? "Cannot specify both -cas and -recurse!" : NULL;
}

static int kv_delete_run(struct http_client *h, const struct kv_delete *del, const char *key)
{
    bool done = false;
    char query[64] = "";
    struct reason why;
    if (del->cas) {
        (void)snprintf(query, sizeof query, "cas=%llu", (unsigned long long)del->modify_index);
    }
    struct kv_write write = {
        .method = "DELETE", .key = bytes_of(key), .query = del->recurse ? "recurse=" : query};
    enum err e = kv_change(h, &write, &done, &why);
    if (e != OK) {
        return del->recurse ? cli_fail("Error! Did not delete prefix %s: %s", key, why.text)
                            : cli_fail("Error deleting key %s: %s", key, why.text);
    }
    if (!done) {
        return cli_fail("Error! Did not delete key %s: CAS failed", key);
    }
    (void)printf(del->recurse ? "Success! Deleted keys with prefix: %s\n"
                              : "Success! Deleted key: %s\n",
                 key);
    return 0;
}

int cli_kv_delete(const struct cli *cli, int argc, char **argv)
{
    struct kv_delete del = {0};
    const char *space = NULL;
    struct http_options options = {0};
    struct http_client *client = NULL;
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"cas", FLAG_SWITCH, &del.cas, NULL,
         "Deletes only if the key's ModifyIndex is that of -modify-index."},
        {"modify-index", FLAG_U64, &del.modify_index, "uint", "See -cas."},
        {"namespace", FLAG_TEXT, &space, "default", "Accepted, not used."},
        {"recurse", FLAG_SWITCH, &del.recurse, NULL,
         "Deletes all keys that begin with the prefix."},
    };
    const struct cli_help help = {
        .usage = "kv delete [options] KEY_OR_PREFIX",
        .text = "  Deletes a key. That it did not exist is no error.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc > 1) {
        return cli_fail("Too many arguments (expected 1, got %d)", rest.argc);
    }
    const char *key = rest.argc == 0 ? "" : without_slash(rest.argv[0]);
    const char *wrong = kv_delete_wrong(&del, key);
    if (wrong != NULL) {
        return cli_fail("%s", wrong);
    }
    if (!cli_open(&options, &client, &status)) {
        return status;
    }
    status = kv_delete_run(client, &del, key);
    http_client_close(client);
    return status;
}
