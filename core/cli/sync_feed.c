#include "core/cli/sync_feed.h"

#include "core/base/env.h"
#include "core/base/text.h"
#include "core/cli/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FEED_LINE_MAX    ((size_t)64 * 1024 * 1024)
#define FEED_NAME_MAX    2048U /* node/id */
#define FEED_BACKOFF_MS  100U
#define FEED_BACKOFF_MAX 5000U

/* --- rows ------------------------------------------------------------------------------------ */

static enum err feed_name(const json_t *event, struct buf *out)
{
    struct bytes node = json_bytes(json_object_get(event, "node"));
    struct bytes id = json_bytes(json_object_get(event, "id"));
    enum err e = node.len > 0 && id.len > 0 ? buf_append(out, node) : ERR_INVALID;
    e = e == OK ? buf_append_char(out, '/') : e;
    e = e == OK ? buf_append(out, id) : e;
    /* It is printed on a line. */
    for (size_t i = 0; e == OK && i < out->len; i++) {
        out->ptr[i] = (unsigned char)out->ptr[i] < 0x20 || out->ptr[i] == 0x7f ? '?' : out->ptr[i];
    }
    return e;
}

static uint64_t feed_number(const json_t *from, const char *name, uint64_t otherwise)
{
    uint64_t number = 0;
    return json_u64(json_object_get(from, name), &number) == OK ? number : otherwise;
}

/* What HAProxy needs of a health row. */
static void feed_instance(const json_t *event, struct sync_instance *ret_instance)
{
    const json_t *row = json_object_get(event, "row");
    const json_t *service = json_object_get(row, "Service");
    const json_t *weights = json_object_get(service, "Weights");
    struct bytes addr = json_bytes(json_object_get(service, "Address"));
    bool warning = bytes_equal(json_bytes(json_object_get(event, "status")), BYTES("warning"));
    if (addr.len == 0) {
        addr = json_bytes(json_object_get(json_object_get(row, "Node"), "Address"));
    }
    *ret_instance = (struct sync_instance){
        .port = feed_number(service, "Port", 0),
        .weight = feed_number(weights, warning ? "Warning" : "Passing", 1),
    };
    (void)snprintf(ret_instance->addr, sizeof ret_instance->addr, "%.*s", BYTES_FORMAT(addr));
}

static enum err feed_set(struct sync_instances *list, const json_t *event, struct bytes name)
{
    struct sync_instance i;
    feed_instance(event, &i);
    if (sync_instances_set(list, name, &i) != OK) {
        (void)fprintf(stderr,
                      "sync: %.*s cannot be a server of HAProxy: \"%s\" port %llu is no IP address "
                      "and port\n",
                      BYTES_FORMAT(name), i.addr, (unsigned long long)i.port);
    }
    return OK;
}

static enum err feed_event(struct sync_instances *list, const json_t *event, bool snapshot)
{
    struct bytes op = json_bytes(json_object_get(event, "op"));
    struct buf name;
    buf_init(&name, FEED_NAME_MAX);
    enum err e = feed_name(event, &name);
    if (e == OK && !snapshot && bytes_equal(op, BYTES("removed"))) {
        (void)sync_instances_remove(list, buf_view(&name));
    } else if (e == OK) {
        e = feed_set(list, event, buf_view(&name));
    }
    buf_close(&name);
    return e;
}

/* --- lines ----------------------------------------------------------------------------------- */

static void feed_changed(struct sync_feed *f)
{
    f->ready = true;
    f->done = f->done || !f->changed(f->ctx, f->time_ms);
    f->time_ms = 0;
}

static enum err feed_snapshot(struct sync_feed *f, const json_t *message)
{
    size_t i;
    json_t *item;
    enum err e = OK;
    json_array_foreach(json_object_get(message, "items"), i, item)
    {
        e = e == OK ? feed_event(&f->next, item, true) : e;
    }
    if (e == OK && !json_is_true(json_object_get(message, "more"))) {
        e = json_u64(json_object_get(message, "index"), &f->index);
        sync_instances_close(&f->list);
        f->list = f->next;
        f->next = (struct sync_instances){0};
        feed_changed(f);
    }
    return e;
}

/* The cursor moves only with whole indexes; what a part said is said again after a broken
 * connection, which changes nothing. */
static enum err feed_events(struct sync_feed *f, const json_t *message)
{
    size_t i;
    json_t *event;
    enum err e = OK;
    json_array_foreach(json_object_get(message, "events"), i, event)
    {
        e = e == OK ? feed_event(&f->list, event, false) : e;
        f->time_ms = feed_number(event, "time_ms", f->time_ms);
    }
    if (e == OK && !json_is_true(json_object_get(message, "part"))) {
        e = json_u64(json_object_get(message, "through"), &f->index);
        feed_changed(f);
    }
    return e;
}

static void feed_subscribed(struct sync_feed *f, const json_t *message)
{
    const char *epoch = json_string_value(json_object_get(message, "epoch"));
    (void)snprintf(f->epoch, sizeof f->epoch, "%s", epoch == NULL ? "" : epoch);
    sync_instances_close(&f->next);
    if (!f->connected && f->ready) {
        (void)fprintf(stderr, "sync: connected again, goes on after index %llu\n",
                      (unsigned long long)f->index);
    }
    f->connected = true;
}

enum err sync_feed_line(struct sync_feed *f, struct bytes line)
{
    json_t *message = NULL;
    struct reason why;
    if (line.len == 0) {
        return OK;
    }
    if (json_parse(line, &message, &why) != OK) {
        return ERR_INVALID;
    }
    struct bytes type = json_bytes(json_object_get(message, "type"));
    enum err e = OK;
    if (bytes_equal(type, BYTES("snapshot"))) {
        e = feed_snapshot(f, message);
    } else if (bytes_equal(type, BYTES("events"))) {
        e = feed_events(f, message);
    } else if (bytes_equal(type, BYTES("subscribed"))) {
        feed_subscribed(f, message);
    } else if (bytes_equal(type, BYTES("mark"))) {
        e = json_u64(json_object_get(message, "through"), &f->index);
    } else if (bytes_equal(type, BYTES("compacted"))) {
        (void)fprintf(stderr, "sync: the changes in between are no longer kept; reads the whole "
                              "list again\n");
    } else if (bytes_equal(type, BYTES("bye"))) {
        f->retry_ms = feed_number(message, "retry_ms", 0);
    } else if (bytes_equal(type, BYTES("error"))) {
        (void)fprintf(stderr, "sync: the server says: %.*s\n",
                      BYTES_FORMAT(json_bytes(json_object_get(message, "message"))));
    }
    /* Other types are of newer servers, or say only that the connection lives. */
    json_decref(message);
    return e;
}

static bool feed_data(void *ctx, struct bytes piece)
{
    struct sync_feed *f = ctx;
    enum err e = OK;
    while (piece.len > 0 && e == OK && !f->done) {
        size_t end = bytes_find(piece, '\n');
        e = buf_append(&f->line, bytes_slice(piece, 0, end));
        if (end == piece.len) {
            break;
        }
        piece = bytes_slice(piece, end + 1, piece.len);
        e = e == OK ? sync_feed_line(f, buf_view(&f->line)) : e;
        buf_clear(&f->line);
    }
    f->broken = e != OK;
    return e == OK && !f->done;
}

static bool feed_tick(void *ctx)
{
    struct sync_feed *f = ctx;
    f->done = f->done || !f->tick(f->ctx);
    return !f->done;
}

/* --- connections ----------------------------------------------------------------------------- */

static enum err feed_query(const struct sync_feed *f, struct buf *out)
{
    enum err e = buf_append_str(out, "topic=service&format=ndjson&batch=1&on_compacted=snapshot"
                                     "&status=passing,warning");
    e = e == OK ? http_query(out, "key", bytes_of(f->service)) : e;
    for (size_t i = 0; i < f->tags->count && e == OK; i++) {
        e = http_query(out, "tag", bytes_of(f->tags->items[i]));
    }
    if (e == OK && !f->ready) {
        return buf_printf(out, "&snapshot=1");
    }
    e = e == OK ? buf_printf(out, "&index=%llu", (unsigned long long)f->index) : e;
    if (e == OK && f->epoch[0] != '\0') {
        e = http_query(out, "epoch", bytes_of(f->epoch));
    }
    return e;
}

/* One connection, to its end. */
static enum err feed_connect(struct sync_feed *f, struct reason *why)
{
    struct http_answer answer = {0};
    struct buf query;
    buf_init(&query, HTTP_TARGET_MAX);
    buf_clear(&f->line);
    f->connected = false;
    f->broken = false;
    f->retry_ms = 0;
    enum err e = feed_query(f, &query);
    if (e != OK) {
        reason_set(why, "the service or a tag is too long");
        buf_close(&query);
        return ERR_INVALID;
    }
    struct http_call call = {
        .method = "GET",
        .path = "/v1/stream",
        .query = query.ptr,
        .data = feed_data,
        .tick = feed_tick,
        .tick_ms = f->tick_ms,
        .ctx = f,
    };
    reason_set(why, "the connection ended");
    e = http_client_call(f->client, &call, &answer, why);
    buf_close(&query);
    if (e == OK && answer.status != 0 && answer.status != 200) {
        http_answer_reason(&answer, why);
        e = answer.status >= 500 || answer.status == 429 ? ERR_IO : ERR_INVALID;
    }
    if (e == OK && f->broken) {
        reason_set(why, "the server sent a line that cannot be read");
    }
    http_answer_close(&answer);
    return e;
}

/* Twofold each time, and up to as much again by chance. */
static uint64_t feed_backoff(const struct sync_feed *f, unsigned failures)
{
    uint64_t dice = 0;
    uint64_t ms = FEED_BACKOFF_MS << (failures > 6 ? 6 : failures);
    ms = ms > FEED_BACKOFF_MAX ? FEED_BACKOFF_MAX : ms;
    env_real_random(&dice, sizeof dice);
    ms += dice % ms;
    return f->retry_ms > ms ? f->retry_ms : ms;
}

/* HAProxy is looked after meanwhile. */
static void feed_wait(struct sync_feed *f, uint64_t ms)
{
    uint64_t end = env_real_now_ms() + ms;
    for (uint64_t now = env_real_now_ms(); now < end && feed_tick(f); now = env_real_now_ms()) {
        uint64_t left = end - now < f->tick_ms ? end - now : f->tick_ms;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000),
                                .tv_nsec = (long)(left % 1000) * 1000000};
        (void)nanosleep(&wait, NULL);
    }
}

enum err sync_feed_run(struct sync_feed *f, struct reason *why)
{
    unsigned failures = 0;
    buf_init(&f->line, FEED_LINE_MAX);
    while (!f->done) {
        enum err e = feed_connect(f, why);
        if (f->done) {
            break;
        }
        if (e == ERR_INVALID) {
            return e;
        }
        failures = f->connected ? 0 : failures + 1;
        uint64_t ms = feed_backoff(f, failures);
        (void)fprintf(stderr, "sync: %s; HAProxy keeps its servers; next try in %llu ms\n",
                      why->text, (unsigned long long)ms);
        feed_wait(f, ms);
    }
    return OK;
}

void sync_feed_close(struct sync_feed *f)
{
    sync_instances_close(&f->list);
    sync_instances_close(&f->next);
    buf_close(&f->line);
}
