#include "stream/url.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>

#define EPOCH_MAX 64U

struct url_parser {
    struct stream_url *url;
    struct reason *why;
    bool has_token; /* last_event_id */
    struct bytes token;
};

enum err resume_token_parse(struct bytes text, struct bytes *ret_epoch, uint64_t *ret_index)
{
    size_t colon = bytes_find(text, ':');
    struct bytes epoch = {0};
    struct bytes number = text;
    if (colon < text.len) {
        epoch = bytes_slice(text, 0, colon);
        number = bytes_slice(text, colon + 1, text.len);
    }
    uint64_t index = 0;
    if (epoch.len > EPOCH_MAX || bytes_to_u64(number, &index) != OK) {
        return ERR_INVALID;
    }
    *ret_epoch = epoch;
    *ret_index = index;
    return OK;
}

static enum err url_wrong(struct url_parser *p, struct bytes name, const char *what)
{
    reason_set(p->why, "Parameter `%.*s` %s", BYTES_FORMAT(name), what);
    return ERR_INVALID;
}

static bool url_is(struct bytes name, const char *text)
{
    return bytes_equal(name, bytes_of(text));
}

static enum err
url_number(struct url_parser *p, struct bytes name, struct bytes value, uint64_t *ret_number)
{
    return bytes_to_u64(value, ret_number) == OK ? OK
                                                 : url_wrong(p, name, "must be a whole number");
}

/* `?name` alone says yes. */
static enum err
url_flag(struct url_parser *p, struct bytes name, struct bytes value, bool *ret_flag)
{
    bool yes = value.len == 0 || url_is(value, "1") || url_is(value, "true");
    if (!yes && !url_is(value, "0") && !url_is(value, "false")) {
        return url_wrong(p, name, "must be 1 or 0");
    }
    *ret_flag = yes;
    return OK;
}

static enum err
url_target(struct url_parser *p, struct subscribe *s, struct bytes name, struct bytes value)
{
    enum target_kind kind = url_is(name, "key") ? TARGET_KEY : TARGET_PREFIX;
    if (s->kind != TARGET_ALL && s->kind != kind) {
        return url_wrong(p, name, "cannot go with the other of `key` and `prefix`");
    }
    if (value.len > KV_KEY_MAX || (kind == TARGET_KEY && value.len == 0)) {
        return url_wrong(p, name, "is empty or too long");
    }
    s->kind = kind;
    s->target = value;
    return OK;
}

/* What the URL itself and the pairs of a `subscribe=` have in common. */
static enum err url_subscribe_field(struct url_parser *p,
                                    struct subscribe *s,
                                    struct bytes name,
                                    struct bytes value,
                                    bool *ret_known)
{
    *ret_known = true;
    if (url_is(name, "topic")) {
        return topic_parse(value, &s->topic) == OK
                   ? OK
                   : url_wrong(p, name, "must be kv, service, node, check, session or event");
    }
    if (url_is(name, "tag")) {
        return subscribe_add_tag(s, value) ? OK : url_wrong(p, name, "is there too often");
    }
    if (url_is(name, "status")) {
        return subscribe_set_status(s, value)
                   ? OK
                   : url_wrong(p, name, "must be `passing`, `passing,warning` or `any`");
    }
    if (url_is(name, "node")) {
        s->node = value;
        return OK;
    }
    if (url_is(name, "key") || url_is(name, "prefix")) {
        return url_target(p, s, name, value);
    }
    if (url_is(name, "index")) {
        s->has_from = true;
        return url_number(p, name, value, &s->from_index);
    }
    if (url_is(name, "epoch")) {
        s->from_epoch = value;
        return OK;
    }
    if (url_is(name, "snapshot")) {
        return url_flag(p, name, value, &s->snapshot);
    }
    if (url_is(name, "consistent")) {
        return url_flag(p, name, value, &s->consistent);
    }
    if (url_is(name, "filter")) {
        s->filter = value;
        return OK;
    }
    *ret_known = false;
    return OK;
}

static struct bytes url_keep(struct url_parser *p, struct bytes text, bool plus, enum err *ret_err)
{
    struct buf *memory = &p->url->memory;
    size_t from = memory->len;
    *ret_err = url_decode(memory, text, plus);
    return bytes_slice(buf_view(memory), from, memory->len);
}

/* One more subscription, with what every one begins with. */
static struct subscribe *url_add(struct url_parser *p)
{
    struct stream_url *u = p->url;
    if (u->count == STREAM_URL_SUBSCRIBES) {
        return NULL;
    }
    struct subscribe *s = &u->subscribes[u->count];
    subscribe_init(s, u->count);
    u->count++;
    return s;
}

static enum err url_pairs(struct url_parser *p, struct subscribe *s, struct bytes pairs)
{
    while (pairs.len > 0) {
        size_t end = bytes_find(pairs, ',');
        struct bytes pair = bytes_slice(pairs, 0, end);
        pairs = bytes_slice(pairs, end < pairs.len ? end + 1 : end, pairs.len);
        size_t colon = bytes_find(pair, ':');
        struct bytes name = bytes_slice(pair, 0, colon);
        enum err e = OK;
        struct bytes value = url_keep(
            p, bytes_slice(pair, colon < pair.len ? colon + 1 : colon, pair.len), false, &e);
        bool known = true;
        if (e != OK) {
            return url_wrong(p, name, "is not percent-encoded well");
        }
        if (url_is(name, "id")) {
            e = url_number(p, name, value, &s->id);
        } else {
            e = url_subscribe_field(p, s, name, value, &known);
        }
        if (e != OK || !known) {
            return known ? e : url_wrong(p, name, "of `subscribe` is not known");
        }
    }
    return OK;
}

static enum err url_subscribe(struct url_parser *p, struct bytes value)
{
    struct stream_url *u = p->url;
    struct subscribe *s = url_add(p);
    if (s == NULL) {
        reason_set(p->why, "Too many `subscribe` parameters (%u)", STREAM_URL_SUBSCRIBES);
        return ERR_INVALID;
    }
    if (value.len == 0 || value.ptr[0] != '{') {
        return url_pairs(p, s, value);
    }
    struct client_message *m = &u->messages[u->count - 1];
    enum err e = protocol_parse_subscribe(value, m);
    if (e != OK) {
        *p->why = m->why;
        return e;
    }
    uint64_t id = m->has_id ? m->subscribe.id : s->id;
    *s = m->subscribe;
    s->id = id;
    return OK;
}

static bool url_ignored(struct bytes name)
{
    static const char *const names[] = {"token", "format", "stale", "dc", "pretty"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (url_is(name, names[i])) {
            return true;
        }
    }
    return name.len == 0 || name.ptr[0] == '_';
}

/* What holds for the whole connection. */
static enum err
url_option(struct url_parser *p, struct bytes name, struct bytes value, bool *ret_known)
{
    struct stream_url *u = p->url;
    *ret_known = true;
    if (url_is(name, "limit")) {
        return url_number(p, name, value, &u->limit);
    }
    if (url_is(name, "until")) {
        return url_number(p, name, value, &u->until);
    }
    if (url_is(name, "timeout")) {
        return duration_parse(value, &u->timeout_ms) == OK && u->timeout_ms > 0
                   ? OK
                   : url_wrong(p, name, "must be a duration such as 30s");
    }
    if (url_is(name, "batch")) {
        return url_flag(p, name, value, &u->batch);
    }
    if (url_is(name, "raw")) {
        return url_flag(p, name, value, &u->raw);
    }
    if (url_is(name, "heartbeat")) {
        u->newline = url_is(value, "newline");
        return u->newline ? OK : url_wrong(p, name, "must be `newline`");
    }
    if (url_is(name, "last_event_id")) {
        if (!p->has_token) {
            p->token = value;
        }
        return OK;
    }
    *ret_known = url_ignored(name);
    return OK;
}

/* Defaults for every subscription of the URL, gathered before they are known. */
struct url_shared {
    struct subscribe own; /* the URL's own subscription */
    bool own_asked;
    uint64_t batch_max;
    uint64_t wait_ms;
    bool compacted_snapshot;
};

static enum err
url_arg(struct url_parser *p, struct url_shared *shared, struct bytes name, struct bytes value)
{
    bool known = false;
    enum err e = url_option(p, name, value, &known);
    if (e != OK || known) {
        return e;
    }
    if (url_is(name, "subscribe")) {
        p->url->multiplexed = true;
        return url_subscribe(p, value);
    }
    if (url_is(name, "max")) {
        return url_number(p, name, value, &shared->batch_max);
    }
    if (url_is(name, "wait_ms")) {
        return url_number(p, name, value, &shared->wait_ms);
    }
    if (url_is(name, "on_compacted")) {
        shared->compacted_snapshot = url_is(value, "snapshot");
        return shared->compacted_snapshot ? OK : url_wrong(p, name, "must be `snapshot`");
    }
    e = url_subscribe_field(p, &shared->own, name, value, &known);
    if (e == OK && !known) {
        return url_wrong(p, name, "is not known here");
    }
    shared->own_asked = shared->own_asked || shared->own.kind != TARGET_ALL;
    return e;
}

static enum err url_args(struct url_parser *p, struct bytes query, struct url_shared *shared)
{
    while (query.len > 0) {
        size_t end = bytes_find(query, '&');
        struct bytes pair = bytes_slice(query, 0, end);
        query = bytes_slice(query, end < query.len ? end + 1 : end, query.len);
        size_t equal = bytes_find(pair, '=');
        enum err name_err = OK;
        enum err value_err = OK;
        struct bytes name = url_keep(p, bytes_slice(pair, 0, equal), true, &name_err);
        struct bytes value = url_keep(
            p, bytes_slice(pair, equal < pair.len ? equal + 1 : equal, pair.len), true, &value_err);
        if (name_err != OK || value_err != OK) {
            reason_set(p->why, "The query string is not percent-encoded well");
            return ERR_INVALID;
        }
        enum err e = url_arg(p, shared, name, value);
        if (e != OK) {
            return e;
        }
    }
    return OK;
}

static enum err url_resume(struct url_parser *p, struct subscribe *s)
{
    if (p->token.len == 0) {
        return OK;
    }
    s->has_from = true;
    s->snapshot = false;
    if (resume_token_parse(p->token, &s->from_epoch, &s->from_index) != OK) {
        reason_set(p->why, "Last-Event-ID must be <epoch>:<index>");
        return ERR_INVALID;
    }
    return OK;
}

/* The URL's own subscription if there is no `subscribe=`, and the shared options on all. */
static enum err url_finish(struct url_parser *p, const struct url_shared *shared)
{
    struct stream_url *u = p->url;
    if (u->multiplexed && shared->own_asked) {
        reason_set(p->why, "`subscribe` cannot go with `key` or `prefix` beside it");
        return ERR_INVALID;
    }
    if (!u->multiplexed) {
        struct subscribe *s = url_add(p);
        CHECK(s != NULL);
        *s = shared->own;
    }
    for (size_t i = 0; i < u->count; i++) {
        struct subscribe *s = &u->subscribes[i];
        if (u->multiplexed && !s->has_from && shared->own.has_from && !s->snapshot) {
            s->has_from = true;
            s->from_index = shared->own.from_index;
            s->from_epoch = shared->own.from_epoch;
        }
        s->consistent = s->consistent || shared->own.consistent;
        s->batch_max = s->batch_max == 0 ? shared->batch_max : s->batch_max;
        s->wait_ms = s->wait_ms == 0 ? shared->wait_ms : s->wait_ms;
        s->compacted_snapshot = s->compacted_snapshot || shared->compacted_snapshot;
        enum err e = url_resume(p, s);
        if (e != OK) {
            return e;
        }
        for (size_t k = 0; k < i; k++) {
            if (u->subscribes[k].id == s->id) {
                reason_set(p->why, "Two `subscribe` have the same id");
                return ERR_INVALID;
            }
        }
        if (s->snapshot && s->has_from) {
            reason_set(p->why, "`snapshot` and `index` exclude each other");
            return ERR_INVALID;
        }
        const char *what = NULL;
        const char *misfit = subscribe_misfit(s, &what);
        if (misfit != NULL) {
            return url_wrong(p, bytes_of(misfit), what);
        }
    }
    return OK;
}

enum err stream_url_parse(struct bytes query,
                          struct bytes last_event_id,
                          struct stream_url *ret_url,
                          struct reason *why)
{
    struct stream_url *u = ret_url;
    *u = (struct stream_url){0};
    if (query.len > HTTP_HEAD_MAX) {
        reason_set(why, "The query string is too long");
        return ERR_INVALID;
    }
    /* What is decoded twice lies here twice; reserved whole, so that the views stay in place. */
    size_t room = query.len * 2 + last_event_id.len + 1;
    buf_init(&u->memory, room);
    enum err e = buf_reserve(&u->memory, room);
    CHECK(e == OK);
    buf_put(&u->memory, last_event_id);
    u->subscribes = mem_zalloc(STREAM_URL_SUBSCRIBES, sizeof *u->subscribes);
    u->messages = mem_zalloc(STREAM_URL_SUBSCRIBES, sizeof *u->messages);
    struct url_parser p = {
        .url = u,
        .why = why,
        .has_token = last_event_id.len > 0,
        .token = buf_view(&u->memory),
    };
    struct url_shared shared = {0};
    subscribe_init(&shared.own, 0);
    e = url_args(&p, query, &shared);
    if (e == OK) {
        e = url_finish(&p, &shared);
    }
    if (e != OK) {
        stream_url_close(u);
    }
    return e;
}

void stream_url_close(struct stream_url *u)
{
    for (size_t i = 0; u->messages != NULL && i < STREAM_URL_SUBSCRIBES; i++) {
        client_message_close(&u->messages[i]);
    }
    free(u->messages);
    free(u->subscribes);
    buf_close(&u->memory);
    *u = (struct stream_url){0};
}
