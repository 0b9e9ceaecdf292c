/* stream: prints changes as they happen, reconnects and resumes by itself.
 *
 *     connect --200--> lines --end or error--> wait (backoff, or what `bye` asked for) --> connect
 *        |                '--compacted--> end, or connect for a snapshot (-compacted=snapshot)
 *        '--410, first error--> end with 1
 *
 * The server is asked for batches, because a batch says through which index it is complete: the
 * cursor moves only there, and a change is printed exactly once. */
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/kv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAM_LINE_MAX    ((size_t)16 * 1024 * 1024)
#define STREAM_PART_MAX    HTTP_ANSWER_MAX
#define STREAM_BACKOFF_MS  250U
#define STREAM_BACKOFF_MAX 10000U
/* How long the server may take to say where it is, for -once. */
#define STREAM_PROBE_MS    10000U

enum stream_start {
    START_NOW,
    START_INDEX,
    START_SNAPSHOT,
};

struct streamer {
    struct http_client *client;
    const char *topic;
    const char *prefix;
    const char *key;
    const char *filter;
    struct flag_texts tags;
    const char *status;
    const char *node;
    bool text;
    bool once;
    bool on_compacted_snapshot;
    enum stream_start start;
    uint64_t index; /* the cursor: complete through here */
    char epoch[32];
    uint64_t until; /* -once: where it ends; 0: nowhere */
    struct buf line;
    struct buf pending; /* parts of an index that is not complete yet, as they will be printed */
    bool connected;     /* this connection has said where it stands */
    bool ever;          /* any connection has */
    bool done;
    bool compacted;
    bool broken;       /* the server sent what cannot be read */
    uint64_t retry_ms; /* asked for by `bye` */
};

/* --- printing -----------------------------------------------------------------------------------
 */

static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return bytes_utf8_valid(text);
}

/* As it is when it fits a line, quoted when it does not, in base64 when it is no text. */
static enum err print_text_value(struct buf *out, struct bytes value64)
{
    struct buf value;
    buf_init(&value, STREAM_LINE_MAX);
    enum err e = base64_decode(&value, value64);
    struct bytes text = buf_view(&value);
    if (e != OK || !bytes_utf8_valid(text)) {
        e = buf_printf(out, " base64:%.*s", BYTES_FORMAT(value64));
    } else {
        e = buf_append_char(out, ' ');
        if (e == OK) {
            e = is_plain(text) ? buf_append(out, text) : json_quote(out, text);
        }
    }
    buf_close(&value);
    return e;
}

static enum err print_word(struct buf *out, struct bytes text)
{
    return is_plain(text) ? buf_append(out, text) : json_quote(out, text);
}

/* An element of the fleet: service node/id status, or its key. */
static enum err print_text_fleet(struct buf *out, const json_t *event)
{
    static const char *const names[] = {"service", "node", "id", "status"};
    static const char *const before[] = {"", " ", "/", " "};
    struct bytes key = json_bytes(json_object_get(event, "key"));
    if (key.len > 0) {
        return print_word(out, key);
    }
    enum err e = OK;
    for (size_t i = 0; i < 4 && e == OK; i++) {
        struct bytes text = json_bytes(json_object_get(event, names[i]));
        if (text.len > 0) {
            e = buf_append_str(out, before[i]);
            e = e == OK ? print_word(out, text) : e;
        }
    }
    return e;
}

static enum err print_text_key(struct buf *out, const json_t *event, const char *op)
{
    enum err e = print_word(out, json_bytes(json_object_get(event, "key")));
    if (e == OK && (op == NULL || strcmp(op, "set") == 0)) {
        e = print_text_value(out, json_bytes(json_object_get(event, "value")));
    }
    return e;
}

static enum err print_text(struct buf *out, struct bytes element, bool kv)
{
    json_t *event = NULL;
    struct reason why;
    uint64_t index = 0;
    if (json_parse(element, &event, &why) != OK) {
        return ERR_INVALID;
    }
    const char *op = json_string_value(json_object_get(event, "op"));
    /* Rows of a snapshot have no op, and rows of the fleet no index there. */
    enum err e = json_u64(json_object_get(event, op == NULL ? "modify_index" : "index"), &index);
    if (e == OK || kv) {
        e = e != OK ? e : buf_printf(out, "%llu ", (unsigned long long)index);
    } else {
        e = OK;
    }
    e = e == OK ? buf_printf(out, "%s ", op == NULL ? "is" : op) : e;
    if (e == OK) {
        e = kv ? print_text_key(out, event, op) : print_text_fleet(out, event);
    }
    json_decref(event);
    return e == OK ? buf_append_char(out, '\n') : e;
}

static enum err print_elements(struct streamer *s, struct bytes line, const char *array)
{
    struct bytes element;
    const char *at = memmem(line.ptr, line.len, array, strlen(array));
    if (at == NULL) {
        return ERR_INVALID;
    }
    size_t from = (size_t)(at - line.ptr) + strlen(array);
    struct bytes rest = bytes_slice(line, from, line.len);
    enum err e = OK;
    while (e == OK && json_next_element(&rest, &element)) {
        if (s->text) {
            e = print_text(&s->pending, element, strcmp(s->topic, "kv") == 0);
        } else {
            e = buf_append(&s->pending, element);
            e = e == OK ? buf_append_char(&s->pending, '\n') : e;
        }
    }
    return e;
}

static void print_flush(struct streamer *s)
{
    if (s->pending.len > 0) {
        bool written = fwrite(s->pending.ptr, 1, s->pending.len, stdout) == s->pending.len;
        s->done = s->done || !written || fflush(stdout) != 0;
        buf_clear(&s->pending);
    }
}

/* --- what the server says ------------------------------------------------------------------------
 */

static void cursor_move(struct streamer *s, uint64_t through)
{
    s->start = START_INDEX;
    s->index = through;
    s->done = s->done || (s->until > 0 && through >= s->until);
}

/* The front of a line, without its array: small, whatever the array holds. */
static json_t *line_head(struct bytes line, const char *array)
{
    struct buf head;
    json_t *value = NULL;
    struct reason why;
    const char *at = array == NULL ? NULL : memmem(line.ptr, line.len, array, strlen(array));
    buf_init(&head, STREAM_LINE_MAX);
    enum err e = at == NULL ? buf_append(&head, line)
                            : buf_append(&head, bytes_slice(line, 0, (size_t)(at - line.ptr)));
    if (e == OK && at != NULL) {
        const char *tail = memrchr(line.ptr, ']', line.len);
        struct bytes rest =
            tail == NULL ? BYTES("") : bytes_slice(line, (size_t)(tail - line.ptr) + 1, line.len);
        e = buf_printf(&head, "%s]", array);
        e = e == OK ? buf_append(&head, rest) : e;
    }
    if (e != OK || json_parse(buf_view(&head), &value, &why) != OK) {
        value = NULL;
    }
    buf_close(&head);
    return value;
}

static enum err line_events(struct streamer *s, struct bytes line)
{
    uint64_t through = 0;
    json_t *head = line_head(line, "\"events\":[");
    enum err e = json_u64(json_object_get(head, "through"), &through);
    bool part = json_is_true(json_object_get(head, "part"));
    json_decref(head);
    e = e != OK ? e : print_elements(s, line, "\"events\":[");
    if (e == OK && !part) {
        print_flush(s);
        cursor_move(s, through);
    }
    return e;
}

/* Pages are printed as they come: after a lost connection a snapshot begins again. */
static enum err line_snapshot(struct streamer *s, struct bytes line)
{
    uint64_t index = 0;
    json_t *head = line_head(line, "\"items\":[");
    enum err e = json_u64(json_object_get(head, "index"), &index);
    bool more = json_is_true(json_object_get(head, "more"));
    json_decref(head);
    e = e != OK ? e : print_elements(s, line, "\"items\":[");
    if (e == OK) {
        print_flush(s);
    }
    if (e == OK && !more) {
        cursor_move(s, index);
        s->done = s->done || s->once;
    }
    return e;
}

static enum err line_compacted(struct streamer *s, const json_t *message)
{
    uint64_t oldest = 0;
    if (json_u64(json_object_get(message, "oldest"), &oldest) != OK) {
        oldest = 0;
    }
    (void)fprintf(stderr,
                  "stream: compacted: changes after index %llu are no longer all kept (the oldest "
                  "kept continue index %llu)\n",
                  (unsigned long long)s->index, (unsigned long long)oldest);
    s->compacted = true;
    return OK;
}

static void line_subscribed(struct streamer *s, const json_t *message)
{
    const char *epoch = json_string_value(json_object_get(message, "epoch"));
    uint64_t index = 0;
    if (epoch != NULL) {
        (void)snprintf(s->epoch, sizeof s->epoch, "%s", epoch);
    }
    if (json_u64(json_object_get(message, "index"), &index) == OK && s->start == START_NOW) {
        cursor_move(s, index);
    }
    if (s->ever) {
        (void)fprintf(stderr, "stream: connected again, resuming after index %llu\n",
                      (unsigned long long)s->index);
    }
    s->connected = true;
    s->ever = true;
}

static enum err line_read(struct streamer *s, struct bytes line)
{
    uint64_t through = 0;
    if (line.len == 0) {
        return OK;
    }
    if (bytes_begins(line, BYTES("{\"type\":\"events\""))) {
        return line_events(s, line);
    }
    if (bytes_begins(line, BYTES("{\"type\":\"snapshot\""))) {
        return line_snapshot(s, line);
    }
    json_t *message = line_head(line, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    enum err e = type == NULL ? ERR_INVALID : OK;
    if (e == OK && strcmp(type, "subscribed") == 0) {
        line_subscribed(s, message);
    } else if (e == OK && strcmp(type, "mark") == 0) {
        e = json_u64(json_object_get(message, "through"), &through);
        if (e == OK) {
            cursor_move(s, through);
        }
    } else if (e == OK && strcmp(type, "compacted") == 0) {
        e = line_compacted(s, message);
    } else if (e == OK && strcmp(type, "bye") == 0 &&
               json_u64(json_object_get(message, "retry_ms"), &s->retry_ms) != OK) {
        s->retry_ms = 0;
    }
    /* Other types are of newer servers, or say only that the connection lives. */
    json_decref(message);
    return e;
}

static bool stream_data(void *ctx, struct bytes piece)
{
    struct streamer *s = ctx;
    enum err e = OK;
    while (piece.len > 0 && e == OK && !s->done && !s->compacted) {
        size_t end = bytes_find(piece, '\n');
        e = buf_append(&s->line, bytes_slice(piece, 0, end));
        if (end == piece.len) {
            break;
        }
        piece = bytes_slice(piece, end + 1, piece.len);
        if (e == OK) {
            e = line_read(s, buf_view(&s->line));
        }
        buf_clear(&s->line);
    }
    s->broken = e != OK;
    return e == OK && !s->done && !s->compacted;
}

/* --- connections --------------------------------------------------------------------------------
 */

static enum err stream_query(const struct streamer *s, struct buf *out)
{
    enum err e = buf_append_str(out, "format=ndjson&batch=1");
    e = e == OK ? http_query(out, "topic", bytes_of(s->topic)) : e;
    for (size_t i = 0; i < s->tags.count && e == OK; i++) {
        e = http_query(out, "tag", bytes_of(s->tags.items[i]));
    }
    if (e == OK && s->status != NULL) {
        e = http_query(out, "status", bytes_of(s->status));
    }
    if (e == OK && s->node != NULL) {
        e = http_query(out, "node", bytes_of(s->node));
    }
    if (e == OK && s->key != NULL) {
        e = http_query(out, "key", bytes_of(s->key));
    } else if (e == OK && s->prefix[0] != '\0') {
        e = http_query(out, "prefix", bytes_of(s->prefix));
    }
    if (e == OK && s->filter != NULL) {
        e = http_query(out, "filter", bytes_of(s->filter));
    }
    if (e == OK && s->start == START_SNAPSHOT) {
        e = buf_append_str(out, "&snapshot=1");
    } else if (e == OK && s->start == START_INDEX) {
        e = buf_printf(out, "&index=%llu", (unsigned long long)s->index);
        if (e == OK && s->epoch[0] != '\0') {
            e = http_query(out, "epoch", bytes_of(s->epoch));
        }
    }
    if (e == OK && s->until > 0) {
        e = buf_printf(out, "&until=%llu", (unsigned long long)s->until);
    }
    return e == OK ? buf_printf(out, "%s", "") : e;
}

/* One connection, to its end. OK: it was answered, and ended. */
static enum err stream_connect(struct streamer *s, struct reason *why)
{
    struct http_answer answer = {0};
    struct buf query;
    buf_init(&query, HTTP_TARGET_MAX);
    buf_clear(&s->line);
    buf_clear(&s->pending);
    s->connected = false;
    s->broken = false;
    s->retry_ms = 0;
    enum err e = stream_query(s, &query);
    if (e != OK) {
        reason_set(why, "key, prefix or filter is too long");
        return ERR_INVALID;
    }
    struct http_call call = {
        .method = "GET", .path = "/v1/stream", .query = query.ptr, .data = stream_data, .ctx = s};
    e = http_client_call(s->client, &call, &answer, why);
    buf_close(&query);
    if (e == OK && answer.status == 410) {
        json_t *message = line_head(buf_view(&answer.body), NULL);
        e = line_compacted(s, message);
        json_decref(message);
    } else if (e == OK && answer.status != 200) {
        http_answer_reason(&answer, why);
        /* What the server refuses now it would refuse again, unless it is the one in trouble. */
        e = answer.status >= 500 || answer.status == 429 ? ERR_IO : ERR_INVALID;
    }
    if (e == OK && s->broken) {
        reason_set(why, "the server sent a line that cannot be read");
        e = ERR_IO;
    }
    http_answer_close(&answer);
    return e;
}

static void wait_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* A twofold wait each time, and up to half as much again by chance, so that many clients of one
 * server do not come back together. */
static uint64_t backoff_ms(const struct streamer *s, unsigned failures)
{
    char dice[UUID_TEXT_LEN];
    uint64_t ms = STREAM_BACKOFF_MS << (failures > 6 ? 6 : failures);
    ms = ms > STREAM_BACKOFF_MAX ? STREAM_BACKOFF_MAX : ms;
    uuid_make(dice);
    ms += bytes_hash(bytes_of(dice)) % (ms / 2);
    return s->retry_ms > ms ? s->retry_ms : ms;
}

/* -once ends where the server is now, whether or not something of it is wanted: it is asked. */
static enum err stream_probe(struct streamer *s, struct reason *why)
{
    struct http_answer answer = {0};
    struct http_call call = {.method = "GET",
                             .path = "/v1/stream",
                             .query = "topic=kv&format=ndjson&batch=1&timeout=1ms",
                             .timeout_ms = STREAM_PROBE_MS};
    uint64_t index = 0;
    enum err e = http_client_call(s->client, &call, &answer, why);
    if (e == OK && answer.status != 200) {
        http_answer_reason(&answer, why);
        e = ERR_IO;
    }
    if (e == OK) {
        struct bytes body = buf_view(&answer.body);
        json_t *first = line_head(bytes_slice(body, 0, bytes_find(body, '\n')), NULL);
        e = json_u64(json_object_get(first, "index"), &index);
        json_decref(first);
        reason_set(why, "the server does not say at which index it is");
    }
    http_answer_close(&answer);
    if (e == OK) {
        s->until = index;
        s->done = s->start == START_INDEX && s->index >= index;
    }
    return e;
}

static int stream_run(struct streamer *s)
{
    unsigned failures = 0;
    struct reason why;
    if (s->once && s->start == START_INDEX && stream_probe(s, &why) != OK) {
        return cli_fail("Error connecting to the stream: %s", why.text);
    }
    while (!s->done) {
        reason_set(&why, "the connection ended");
        enum err e = stream_connect(s, &why);
        if (s->done) {
            break;
        }
        if (s->compacted && !s->on_compacted_snapshot) {
            return cli_fail("stream: end. -from=oldest begins with the oldest kept change, "
                            "-from=snapshot with the present state; -compacted=snapshot does so "
                            "by itself");
        }
        if (s->compacted) {
            (void)fprintf(stderr, "stream: going on with a snapshot of the present state\n");
            s->compacted = false;
            s->start = START_SNAPSHOT;
            s->epoch[0] = '\0';
            continue;
        }
        if (e != OK && (!s->ever || e == ERR_INVALID)) {
            return cli_fail("Error connecting to the stream: %s", why.text);
        }
        failures = s->connected ? 0 : failures + 1;
        uint64_t ms = backoff_ms(s, failures);
        (void)fprintf(stderr, "stream: %s; next try in %llu ms, from index %llu\n", why.text,
                      (unsigned long long)ms, (unsigned long long)s->index);
        wait_ms(ms);
    }
    return 0;
}

static bool stream_from(struct streamer *s, const char *from)
{
    if (strcmp(from, "now") == 0) {
        s->start = START_NOW;
    } else if (strcmp(from, "snapshot") == 0) {
        s->start = START_SNAPSHOT;
    } else if (strcmp(from, "oldest") == 0) {
        s->start = START_INDEX;
    } else {
        /* "EPOCH:INDEX" is the cursor as the server writes it. */
        struct bytes text = bytes_of(from);
        size_t colon = bytes_find(text, ':');
        struct bytes number = colon == text.len ? text : bytes_slice(text, colon + 1, text.len);
        if (bytes_to_u64(number, &s->index) != OK ||
            (colon < text.len && colon >= sizeof s->epoch)) {
            return false;
        }
        if (colon < text.len) {
            (void)snprintf(s->epoch, sizeof s->epoch, "%.*s", (int)colon, from);
        }
        s->start = START_INDEX;
    }
    return true;
}

int cli_stream(const struct cli *cli, int argc, char **argv)
{
    struct streamer s = {.topic = "kv", .prefix = ""};
    const char *from = "now";
    const char *format = "json";
    const char *compacted = "stop";
    struct http_options options = {0};
    struct flag_rest rest;
    int status = 0;
    const struct flag flags[] = {
        {"compacted", FLAG_TEXT, &compacted, "stop|snapshot",
         "What to do when changes are asked for that are no longer kept: end with status 1 (the "
         "default), or go on with a snapshot."},
        {"filter", FLAG_TEXT, &s.filter, "string", "Only changes that fit, as op == \"set\"."},
        {"format", FLAG_TEXT, &format, "json|text",
         "One JSON object on a line (the default; values in base64), or lines to read: index, "
         "operation, key, value."},
        {"from", FLAG_TEXT, &from, "now|oldest|snapshot|INDEX|EPOCH:INDEX",
         "Where to begin: with the next change (the default), the oldest kept one, the present "
         "state, or after an index."},
        {"key", FLAG_TEXT, &s.key, "string", "Only this key, or service, node, check, ..."},
        {"node", FLAG_TEXT, &s.node, "string",
         "Only what is on this node (topics service, check and session)."},
        {"once", FLAG_SWITCH, &s.once, NULL, "Ends when all that there is now has been printed."},
        {"prefix", FLAG_TEXT, &s.prefix, "string", "Only keys that begin so."},
        {"status", FLAG_TEXT, &s.status, "passing|passing,warning|any",
         "Topic service: only instances that are no worse."},
        {"tag", FLAG_TEXTS, &s.tags, "string",
         "Topic service: only instances with this tag; may be given several times."},
        {"topic", FLAG_TEXT, &s.topic, "kv|service|node|check|session|event",
         "What to stream: changes of keys (the default), or of the fleet."},
    };
    const struct cli_help help = {
        .usage = "stream [options]",
        .text =
            "  Prints changes of keys, or of the fleet, as they happen. When the connection is\n"
            "  lost, connects again and continues where it was; standard error says so.\n",
        .http = true,
        .flags = {.flags = flags, .count = sizeof flags / sizeof flags[0]},
    };
    struct cli_args args = {.argc = argc, .argv = argv};
    if (!cli_flags(cli, &help, &options, &args, &rest, &status)) {
        return status;
    }
    if (rest.argc > 0) {
        return cli_fail("Error! Unexpected argument: %s (a prefix is -prefix=...)", rest.argv[0]);
    }
    s.text = strcmp(format, "text") == 0;
    s.on_compacted_snapshot = strcmp(compacted, "snapshot") == 0;
    if ((!s.text && strcmp(format, "json") != 0) ||
        (!s.on_compacted_snapshot && strcmp(compacted, "stop") != 0) || !stream_from(&s, from)) {
        return cli_fail(
            "Error! -format, -compacted or -from is not one of the values that -h shows");
    }
    if (s.key != NULL && s.prefix[0] != '\0') {
        return cli_fail("Error! -key and -prefix exclude each other");
    }
    if (s.once && s.start == START_NOW) {
        return cli_fail("Error! -once from now on would print nothing: give -from");
    }
    if (!cli_open(&options, &s.client, &status)) {
        return status;
    }
    buf_init(&s.line, STREAM_LINE_MAX);
    buf_init(&s.pending, STREAM_PART_MAX);
    status = stream_run(&s);
    buf_close(&s.line);
    buf_close(&s.pending);
    http_client_close(s.client);
    return status;
}
