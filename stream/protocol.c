#include "stream/protocol.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/text.h"

#include <jansson.h>
#include <stdlib.h>

/* --- subscriptions --------------------------------------------------------------------------- */

void subscribe_init(struct subscribe *s, uint64_t id)
{
    *s = (struct subscribe){
        .id = id,
        .topic = CHANGE_KV,
        .worst = CHECK_CRITICAL,
        .credit_events = CREDIT_UNLIMITED,
        .credit_bytes = CREDIT_UNLIMITED,
    };
}

bool subscribe_add_tag(struct subscribe *s, struct bytes tag)
{
    if (s->tag_count == STREAM_TAGS_MAX) {
        return false;
    }
    s->tags[s->tag_count++] = tag;
    return true;
}

bool subscribe_set_status(struct subscribe *s, struct bytes text)
{
    static const struct {
        const char *text;
        enum check_status worst;
    } words[] = {
        {"passing", CHECK_PASSING},
        {"passing,warning", CHECK_WARNING},
        {"warning,passing", CHECK_WARNING},
        {"any", CHECK_CRITICAL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(text, bytes_of(words[i].text))) {
            s->worst = words[i].worst;
            return true;
        }
    }
    return false;
}

const char *subscribe_misfit(const struct subscribe *s, const char **ret_what)
{
    bool of_node =
        s->topic == CHANGE_SERVICE || s->topic == CHANGE_CHECK || s->topic == CHANGE_SESSION;
    if (s->topic != CHANGE_SERVICE && (s->tag_count > 0 || s->worst != CHECK_CRITICAL)) {
        *ret_what = "is of topic service only";
        return s->tag_count > 0 ? "tag" : "status";
    }
    if (s->node.len > 0 && !of_node) {
        *ret_what = "is of the topics service, check and session only";
        return "node";
    }
    return NULL;
}

/* --- client messages ------------------------------------------------------------------------- */

static const char *const CLIENT_NAMES[] = {
    [CLIENT_HELLO] = "hello", [CLIENT_SUBSCRIBE] = "subscribe",     [CLIENT_CREDIT] = "credit",
    [CLIENT_ACK] = "ack",     [CLIENT_UNSUBSCRIBE] = "unsubscribe", [CLIENT_AUTH] = "auth",
    [CLIENT_PING] = "ping",
};

/* The parser recurses per level: deep texts are refused before it sees them. */
static bool protocol_too_deep(struct bytes text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                return true;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static json_t *protocol_load(struct bytes text)
{
    if (text.len == 0 || protocol_too_deep(text)) {
        return NULL;
    }
    return json_loadb(text.ptr, text.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
}

static void
message_wrong(struct client_message *m, const char *code, const char *name, const char *what)
{
    if (m->problem == NULL) {
        m->problem = code;
        reason_set(&m->why, "`%s` %s", name, what);
    }
}

static void
message_text(struct client_message *m, json_t *from, const char *name, struct bytes *ret_text)
{
    json_t *value = json_object_get(from, name);
    if (json_is_string(value)) {
        *ret_text = (struct bytes){
            .ptr = json_string_value(value),
            .len = json_string_length(value),
        };
    } else if (value != NULL && !json_is_null(value)) {
        message_wrong(m, "bad_request", name, "must be a string");
    }
}

static bool
message_u64(struct client_message *m, json_t *from, const char *name, uint64_t *ret_value)
{
    json_t *value = json_object_get(from, name);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret_value = (uint64_t)json_integer_value(value);
        return true;
    }
    if (value != NULL && !json_is_null(value)) {
        message_wrong(m, "bad_request", name, "must be a whole number from 0 up");
    }
    return false;
}

static bool message_flag(struct client_message *m, json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (value != NULL && !json_is_boolean(value) && !json_is_null(value)) {
        message_wrong(m, "bad_request", name, "must be true or false");
    }
    return json_is_true(value);
}

static json_t *message_object(struct client_message *m, json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (value != NULL && !json_is_object(value) && !json_is_null(value)) {
        message_wrong(m, "bad_request", name, "must be an object");
    }
    return json_is_object(value) ? value : NULL;
}

static void message_target(struct client_message *m, json_t *root)
{
    struct subscribe *s = &m->subscribe;
    struct bytes topic = BYTES("kv");
    message_text(m, root, "topic", &topic);
    if (topic_parse(topic, &s->topic) != OK) {
        message_wrong(m, "topic_unknown", "topic",
                      "must be kv, service, node, check, session or event");
    }
    bool key = json_object_get(root, "key") != NULL;
    bool prefix = json_object_get(root, "prefix") != NULL;
    if (key && prefix) {
        message_wrong(m, "bad_request", "key", "and `prefix` exclude each other");
    }
    s->kind = key ? TARGET_KEY : prefix ? TARGET_PREFIX : TARGET_ALL;
    message_text(m, root, key ? "key" : "prefix", &s->target);
    if (s->target.len > KV_KEY_MAX) {
        message_wrong(m, "bad_request", key ? "key" : "prefix", "is too long");
    }
    if (key && s->target.len == 0) {
        message_wrong(m, "bad_request", "key", "must not be empty");
    }
}

static void message_tag(struct client_message *m, json_t *value)
{
    struct bytes tag = {.ptr = json_string_value(value), .len = json_string_length(value)};
    if (!json_is_string(value)) {
        message_wrong(m, "bad_request", "tag", "must be a string, or a list of them");
    } else if (!subscribe_add_tag(&m->subscribe, tag)) {
        message_wrong(m, "bad_request", "tag", "has too many");
    }
}

/* Tags, status and node: which rows of the fleet. */
static void message_rows(struct client_message *m, json_t *root)
{
    struct subscribe *s = &m->subscribe;
    struct bytes status = BYTES("any");
    const char *what = NULL;
    json_t *tag = json_object_get(root, "tag");
    size_t count = json_is_array(tag) ? json_array_size(tag) : 0;
    for (size_t i = 0; i < count && m->problem == NULL; i++) {
        message_tag(m, json_array_get(tag, i));
    }
    if (tag != NULL && !json_is_array(tag)) {
        message_tag(m, tag);
    }
    message_text(m, root, "status", &status);
    if (!subscribe_set_status(s, status)) {
        message_wrong(m, "bad_request", "status", "must be passing, \"passing,warning\" or any");
    }
    message_text(m, root, "node", &s->node);
    const char *misfit = subscribe_misfit(s, &what);
    if (misfit != NULL) {
        message_wrong(m, "bad_request", misfit, what);
    }
}

static void message_subscribe(struct client_message *m, json_t *root)
{
    struct subscribe *s = &m->subscribe;
    message_target(m, root);
    message_rows(m, root);
    json_t *from = message_object(m, root, "from");
    if (from != NULL) {
        s->has_from = message_u64(m, from, "index", &s->from_index);
        message_text(m, from, "epoch", &s->from_epoch);
        if (!s->has_from) {
            message_wrong(m, "bad_request", "from", "needs an `index`");
        }
    }
    s->snapshot = message_flag(m, root, "snapshot");
    s->consistent = message_flag(m, root, "consistent");
    if (s->snapshot && s->has_from) {
        message_wrong(m, "bad_request", "snapshot", "and `from` exclude each other");
    }
    struct bytes on_compacted = {0};
    message_text(m, root, "on_compacted", &on_compacted);
    s->compacted_snapshot = bytes_equal(on_compacted, BYTES("snapshot"));
    message_text(m, root, "filter", &s->filter);
    (void)message_u64(m, root, "credit", &s->credit_events);
    (void)message_u64(m, root, "credit_bytes", &s->credit_bytes);
    json_t *batch = message_object(m, root, "batch");
    if (batch != NULL) {
        (void)message_u64(m, batch, "max", &s->batch_max);
        (void)message_u64(m, batch, "wait_ms", &s->wait_ms);
    }
    if (json_object_get(root, "cursor") != NULL) {
        message_wrong(m, "bad_request", "cursor", "named cursors are not available yet");
    }
}

static void message_fields(struct client_message *m, json_t *root)
{
    m->has_id = message_u64(m, root, "id", &m->subscribe.id);
    bool needs_id = m->type == CLIENT_SUBSCRIBE || m->type == CLIENT_CREDIT ||
                    m->type == CLIENT_UNSUBSCRIBE || m->type == CLIENT_ACK;
    if (needs_id && !m->has_id) {
        message_wrong(m, "bad_request", "id", "is missing");
    }
    message_text(m, root, "token", &m->token);
    switch (m->type) {
    case CLIENT_HELLO:
        (void)message_u64(m, root, "max_frame", &m->max_frame);
        break;
    case CLIENT_SUBSCRIBE:
        message_subscribe(m, root);
        break;
    case CLIENT_CREDIT:
        m->subscribe.credit_events = 0;
        m->subscribe.credit_bytes = 0;
        (void)message_u64(m, root, "events", &m->subscribe.credit_events);
        (void)message_u64(m, root, "bytes", &m->subscribe.credit_bytes);
        break;
    case CLIENT_ACK:
        message_wrong(m, "bad_request", "ack", "named cursors are not available yet");
        break;
    case CLIENT_PING:
        message_text(m, root, "data", &m->data);
        m->mark = message_flag(m, root, "mark");
        if (m->data.len > STREAM_PING_DATA_MAX) {
            message_wrong(m, "bad_request", "data", "is too long");
        }
        break;
    case CLIENT_UNSUBSCRIBE:
    case CLIENT_AUTH:
        break;
    }
}

static bool message_type(json_t *root, enum client_type *ret_type)
{
    json_t *name = json_object_get(root, "type");
    if (!json_is_string(name)) {
        return false;
    }
    struct bytes text = {.ptr = json_string_value(name), .len = json_string_length(name)};
    for (size_t i = 0; i < sizeof CLIENT_NAMES / sizeof CLIENT_NAMES[0]; i++) {
        if (bytes_equal(text, bytes_of(CLIENT_NAMES[i]))) {
            *ret_type = (enum client_type)i;
            return true;
        }
    }
    return false;
}

static void message_init(struct client_message *m)
{
    *m = (struct client_message){0};
    subscribe_init(&m->subscribe, 0);
}

enum err protocol_parse(struct bytes text, struct client_message *ret_message)
{
    struct client_message *m = ret_message;
    message_init(m);
    if (text.len > STREAM_MESSAGE_MAX) {
        reason_set(&m->why, "the message is too long");
        return ERR_INVALID;
    }
    json_t *root = protocol_load(text);
    m->root = root;
    if (!json_is_object(root)) {
        reason_set(&m->why, "the message is not a JSON object");
        return ERR_INVALID;
    }
    if (!message_type(root, &m->type)) {
        reason_set(&m->why, "the message has no known `type`");
        return ERR_INVALID;
    }
    message_fields(m, root);
    return OK;
}

enum err protocol_parse_subscribe(struct bytes text, struct client_message *ret_message)
{
    struct client_message *m = ret_message;
    message_init(m);
    m->type = CLIENT_SUBSCRIBE;
    json_t *root = text.len > STREAM_MESSAGE_MAX ? NULL : protocol_load(text);
    m->root = root;
    if (!json_is_object(root)) {
        reason_set(&m->why, "`subscribe` is not a JSON object");
        return ERR_INVALID;
    }
    m->has_id = message_u64(m, root, "id", &m->subscribe.id);
    message_subscribe(m, root);
    return m->problem == NULL ? OK : ERR_INVALID;
}

void client_message_close(struct client_message *m)
{
    json_decref(m->root);
    m->root = NULL;
}

enum err protocol_compact_json(struct buf *out, struct bytes text)
{
    json_t *value = protocol_load(text);
    if (value == NULL) {
        return ERR_INVALID;
    }
    char *compact = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (compact == NULL) {
        return ERR_INVALID;
    }
    enum err e = buf_append_str(out, compact);
    free(compact);
    return e;
}

/* --- server messages ------------------------------------------------------------------------- */

static const char *const SERVER_NAMES[] = {
    [SERVER_WELCOME] = "welcome",
    [SERVER_SUBSCRIBED] = "subscribed",
    [SERVER_SNAPSHOT] = "snapshot",
    [SERVER_MARK] = "mark",
    [SERVER_HEARTBEAT] = "heartbeat",
    [SERVER_PAUSE] = "pause",
    [SERVER_LIVE] = "live",
    [SERVER_COMPACTED] = "compacted",
    [SERVER_END] = "end",
    [SERVER_ERROR] = "error",
    [SERVER_BYE] = "bye",
    [SERVER_PONG] = "pong",
};

const char *server_type_name(enum server_type type)
{
    return SERVER_NAMES[type];
}

static void put_name(struct buf *out, const char *name)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '{') {
        buf_put_char(out, ',');
    }
    buf_put_char(out, '"');
    buf_put_str(out, name);
    buf_put_str(out, "\":");
}

static void put_u64(struct buf *out, const char *name, uint64_t value)
{
    put_name(out, name);
    buf_put_u64(out, value);
}

static void put_bytes(struct buf *out, const char *name, struct bytes text)
{
    put_name(out, name);
    enum err e = json_quote(out, text);
    CHECK(e == OK);
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    if (text != NULL) {
        put_bytes(out, name, bytes_of(text));
    }
}

static void put_flag(struct buf *out, const char *name, bool value)
{
    put_name(out, name);
    buf_put_str(out, value ? "true" : "false");
}

static void put_start(struct buf *out, const struct server_message *m)
{
    if (m->type == SERVER_WELCOME) {
        put_text(out, "connection", m->connection);
        put_text(out, "epoch", m->epoch);
        put_u64(out, "index", m->index);
        put_u64(out, "oldest", m->oldest);
        put_u64(out, "heartbeat_ms", m->heartbeat_ms);
        put_u64(out, "max_frame", m->max_frame);
        return;
    }
    put_u64(out, "from", m->from);
    put_u64(out, "index", m->index);
    put_u64(out, "oldest", m->oldest);
    put_text(out, "epoch", m->epoch);
    put_text(out, "mode", m->mode);
}

static void put_snapshot(struct buf *out, const struct server_message *m)
{
    put_u64(out, "index", m->index);
    put_name(out, "items");
    buf_put_char(out, '[');
    buf_put(out, m->items);
    buf_put_char(out, ']');
    put_flag(out, "more", m->more);
}

static void put_compacted(struct buf *out, const struct server_message *m)
{
    put_u64(out, "asked", m->asked);
    put_u64(out, "oldest", m->oldest);
    put_u64(out, "index", m->index);
    put_text(out, "do", m->action);
    put_text(out, "why", m->why);
}

static void put_heartbeat(struct buf *out, const struct server_message *m)
{
    char text[TIME_TEXT_LEN];
    time_text(m->wall_ms, text);
    put_u64(out, "index", m->index);
    put_text(out, "time", text);
}

static void put_fields(struct buf *out, const struct server_message *m)
{
    switch (m->type) {
    case SERVER_WELCOME:
    case SERVER_SUBSCRIBED:
        put_start(out, m);
        break;
    case SERVER_SNAPSHOT:
        put_snapshot(out, m);
        break;
    case SERVER_HEARTBEAT:
        put_heartbeat(out, m);
        break;
    case SERVER_MARK:
    case SERVER_LIVE:
    case SERVER_PAUSE:
        put_u64(out, "through", m->through);
        put_text(out, "why", m->why);
        break;
    case SERVER_COMPACTED:
        put_compacted(out, m);
        break;
    case SERVER_END:
        put_text(out, "why", m->why);
        break;
    case SERVER_ERROR:
        put_text(out, "code", m->error);
        put_bytes(out, "message", m->text);
        put_flag(out, "retry", m->retry);
        break;
    case SERVER_BYE:
        put_u64(out, "code", m->code);
        put_u64(out, "retry_ms", m->retry_ms);
        put_text(out, "why", m->why);
        put_text(out, "hint", m->hint);
        break;
    case SERVER_PONG:
        put_bytes(out, "data", m->text);
        break;
    }
}

void protocol_encode(struct buf *out, const struct server_message *m, bool typed)
{
    buf_put_char(out, '{');
    if (typed) {
        put_text(out, "type", SERVER_NAMES[m->type]);
    }
    if (m->has_id) {
        put_u64(out, "id", m->id);
    }
    put_fields(out, m);
    buf_put_char(out, '}');
}
