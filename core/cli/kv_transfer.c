/* kv export, kv import. */
#include "core/base/limit.h"
#include "core/cli/cli.h"
#include "core/cli/kv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IMPORT_MAX           MIB(512)
/* With so many keys one line each says less than a count does; that is then a line on standard
 * error, each time so many are done. */
#define IMPORT_PROGRESS_KEYS 1000U

static int kv_export_run(struct http_client *h, const char *prefix)
{
    json_t *rows = NULL;
    struct reason why;
    struct buf out;
    if (kv_fetch(h, bytes_of(prefix), "recurse=", &rows, &why) != OK) {
        return cli_fail("Error querying Consul agent: %s", why.text);
    }
    buf_init(&out, HTTP_ANSWER_MAX);
    enum err e = export_write(&out, rows);
    if (e == OK) {
        (void)fwrite(out.ptr, 1, out.len, stdout);
    }
    buf_close(&out);
    json_decref(rows);
    return e == OK ? 0 : cli_fail("Error! The agent's answer cannot be written: %s", err_text(e));
}

int cli_kv_export(const struct cli *cli, int argc, char **argv)
{
    const char *space = NULL;
    const char *given = "";
    struct http_options options = {0};
    struct http_client *client = NULL;
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"namespace", FLAG_TEXT, &space, "default", "Accepted, not used."},
        {"prefix", FLAG_TEXT, &given, "string", "Another way to name the prefix."},
    };
    const struct cli_help help = {
        .usage = "kv export [KEY_OR_PREFIX]",
        .text = "  Writes the keys that begin with the prefix as JSON, as `kv import` reads it.\n",
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
    const char *prefix = rest.argc == 0 ? given : rest.argv[0];
    if (!cli_open(&options, &client, &status)) {
        return status;
    }
    status = kv_export_run(client, prefix[0] == '/' ? prefix + 1 : prefix);
    http_client_close(client);
    return status;
}

struct import {
    struct http_client *client;
    const char *prefix;
    bool terminal;
    size_t total;
};

static void import_progress(const struct import *m, size_t done)
{
    bool last = done == m->total;
    if (m->terminal) {
        (void)fprintf(stderr, "\rImported %zu of %zu keys%s", done, m->total, last ? "\n" : "");
    } else if (m->total >= IMPORT_PROGRESS_KEYS && (done % IMPORT_PROGRESS_KEYS == 0 || last)) {
        (void)fprintf(stderr, "Imported %zu of %zu keys\n", done, m->total);
    }
}

static int import_one(const struct import *m, const struct kv_entry *entry, struct bytes value)
{
    bool done = false;
    char query[32];
    struct reason why;
    struct buf key;
    (void)snprintf(query, sizeof query, "flags=%llu", (unsigned long long)entry->flags);
    if (entry->key.len > 0 && entry->key.ptr[0] == '/') {
        return cli_fail("Error! Failed writing data for key %.*s: Invalid key. Key must not begin "
                        "with a '/': %.*s",
                        BYTES_FORMAT(entry->key), BYTES_FORMAT(entry->key));
    }
    buf_init(&key, HTTP_TARGET_MAX);
    enum err e = buf_append_str(&key, m->prefix);
    if (e == OK) {
        e = buf_append(&key, entry->key);
    }
    if (e == OK) {
        struct kv_write write = {
            .method = "PUT", .key = buf_view(&key), .query = query, .body = value};
        e = kv_change(m->client, &write, &done, &why);
    } else {
        reason_set(&why, "the key is too long");
    }
    buf_close(&key);
    if (e != OK) {
        return cli_fail("Error! Failed writing data for key %.*s: %s", BYTES_FORMAT(entry->key),
                        why.text);
    }
    if (!done) {
        return cli_fail("Error! Failed writing data for key %.*s: the agent refused it",
                        BYTES_FORMAT(entry->key));
    }
    (void)printf("Imported: %s%.*s\n", m->prefix, BYTES_FORMAT(entry->key));
    return 0;
}

/* All entries are read before the first is written: a file with a mistake changes nothing. */
static int import_run(struct import *m, const json_t *entries)
{
    struct kv_entry entry;
    struct reason why;
    struct buf value;
    int status = 0;
    buf_init(&value, IMPORT_MAX);
    m->total = json_array_size(entries);
    for (size_t i = 0; i < m->total && status == 0; i++) {
        if (import_entry(entries, i, &entry, &value, &why) != OK) {
            status = cli_fail("%s", why.text);
        }
    }
    for (size_t i = 0; i < m->total && status == 0; i++) {
        if (import_entry(entries, i, &entry, &value, &why) != OK) {
            status = cli_fail("%s", why.text);
            break;
        }
        status = import_one(m, &entry, buf_view(&value));
        if (status == 0) {
            import_progress(m, i + 1);
        }
    }
    buf_close(&value);
    return status;
}

int cli_kv_import(const struct cli *cli, int argc, char **argv)
{
    struct import m = {.prefix = "",
                       .terminal = isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 0};
    const char *space = NULL;
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"namespace", FLAG_TEXT, &space, "default", "Accepted, not used."},
        {"prefix", FLAG_TEXT, &m.prefix, "string", "Is put before every key."},
    };
    const struct cli_help help = {
        .usage = "kv import [DATA]",
        .text =
            "  Writes the keys of a JSON that `kv export` made: @file, - for standard input, or\n"
            "  the text itself. A file that cannot be read as a whole changes nothing.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc == 0) {
        return cli_fail("Error! Missing DATA argument");
    }
    if (rest.argc > 1) {
        return cli_fail("Error! Too many arguments (expected 1, got %d)", rest.argc);
    }
    if (rest.argv[0][0] == '\0') {
        return cli_fail("Error! Empty DATA argument");
    }
    struct buf data;
    struct reason why;
    json_t *entries = NULL;
    buf_init(&data, IMPORT_MAX);
    if (data_read(rest.argv[0], &data, &why) != OK) {
        status = cli_fail("Error! %s", why.text);
    } else if (import_parse(buf_view(&data), &entries, &why) != OK) {
        status = cli_fail("Cannot unmarshal data: %s", why.text);
    } else if (cli_open(&options, &m.client, &status)) {
        status = import_run(&m, entries);
    }
    http_client_close(m.client);
    json_decref(entries);
    buf_close(&data);
    return status;
}
