#include "core/definition.h"

#include "core/base/limit.h"
#include "core/base/text.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest name of a member, without underscores; a longer one is unknown. */
#define MEMBER_NAME_MAX 48

enum member_kind {
    MEMBER_SKIP, /* known, and of no use to us */
    MEMBER_TEXT,
    MEMBER_NUMBER,
    MEMBER_PORT,
    MEMBER_SWITCH,
    MEMBER_DURATION,
    MEMBER_TEXTS,
    MEMBER_MAP,
    MEMBER_HEADERS,
    MEMBER_TAGGED,
    MEMBER_WEIGHTS,
    MEMBER_EXTRA,
    MEMBER_CHECK,
    MEMBER_CHECKS,
};

struct member {
    const char *name; /* in lower case, without underscores */
    enum member_kind kind;
    size_t offset;
};

#define CHECK_AT(field)   offsetof(struct check_definition, field)
#define SERVICE_AT(field) offsetof(struct service_definition, field)

static const struct member CHECK_MEMBERS[] = {
    {"id", MEMBER_TEXT, CHECK_AT(id)},
    {"checkid", MEMBER_TEXT, CHECK_AT(id)},
    {"name", MEMBER_TEXT, CHECK_AT(name)},
    {"notes", MEMBER_TEXT, CHECK_AT(notes)},
    {"serviceid", MEMBER_TEXT, CHECK_AT(service_id)},
    {"token", MEMBER_TEXT, CHECK_AT(token)},
    {"status", MEMBER_TEXT, CHECK_AT(status)},
    {"args", MEMBER_TEXTS, CHECK_AT(args)},
    {"scriptargs", MEMBER_TEXTS, CHECK_AT(args)},
    {"script", MEMBER_TEXT, CHECK_AT(script)},
    {"http", MEMBER_TEXT, CHECK_AT(http)},
    {"header", MEMBER_HEADERS, CHECK_AT(headers)},
    {"method", MEMBER_TEXT, CHECK_AT(method)},
    {"body", MEMBER_TEXT, CHECK_AT(body)},
    {"disableredirects", MEMBER_SWITCH, CHECK_AT(disable_redirects)},
    {"tcp", MEMBER_TEXT, CHECK_AT(tcp)},
    {"tcpusetls", MEMBER_SWITCH, CHECK_AT(tcp_use_tls)},
    {"udp", MEMBER_TEXT, CHECK_AT(udp)},
    {"interval", MEMBER_DURATION, CHECK_AT(interval_ms)},
    {"timeout", MEMBER_DURATION, CHECK_AT(timeout_ms)},
    {"ttl", MEMBER_DURATION, CHECK_AT(ttl_ms)},
    {"dockercontainerid", MEMBER_TEXT, CHECK_AT(docker)},
    {"shell", MEMBER_TEXT, CHECK_AT(shell)},
    {"grpc", MEMBER_TEXT, CHECK_AT(grpc)},
    {"grpcusetls", MEMBER_SWITCH, CHECK_AT(grpc_use_tls)},
    {"h2ping", MEMBER_TEXT, CHECK_AT(h2ping)},
    {"h2pingusetls", MEMBER_SWITCH, CHECK_AT(h2ping_use_tls)},
    {"osservice", MEMBER_TEXT, CHECK_AT(os_service)},
    {"tlsservername", MEMBER_TEXT, CHECK_AT(tls_server_name)},
    {"tlsskipverify", MEMBER_SWITCH, CHECK_AT(tls_skip_verify)},
    {"aliasnode", MEMBER_TEXT, CHECK_AT(alias_node)},
    {"aliasservice", MEMBER_TEXT, CHECK_AT(alias_service)},
    {"outputmaxsize", MEMBER_NUMBER, CHECK_AT(output_max_size)},
    {"successbeforepassing", MEMBER_NUMBER, CHECK_AT(success_before_passing)},
    {"failuresbeforewarning", MEMBER_NUMBER, CHECK_AT(failures_before_warning)},
    {"failuresbeforecritical", MEMBER_NUMBER, CHECK_AT(failures_before_critical)},
    {"deregistercriticalserviceafter", MEMBER_DURATION, CHECK_AT(deregister_ms)},
    {"exposedport", MEMBER_NUMBER, CHECK_AT(exposed_port)},
    {"namespace", MEMBER_SKIP, 0},
    {"partition", MEMBER_SKIP, 0},
    {"proxyhttp", MEMBER_SKIP, 0},
    {"proxygrpc", MEMBER_SKIP, 0},
};

static const struct member SERVICE_MEMBERS[] = {
    {"id", MEMBER_TEXT, SERVICE_AT(id)},
    {"name", MEMBER_TEXT, SERVICE_AT(name)},
    {"kind", MEMBER_TEXT, SERVICE_AT(kind)},
    {"tags", MEMBER_TEXTS, SERVICE_AT(tags)},
    {"address", MEMBER_TEXT, SERVICE_AT(address)},
    {"taggedaddresses", MEMBER_TAGGED, SERVICE_AT(tagged)},
    {"port", MEMBER_PORT, SERVICE_AT(port)},
    {"ports", MEMBER_SKIP, 0},
    {"socketpath", MEMBER_TEXT, SERVICE_AT(socket_path)},
    {"meta", MEMBER_MAP, SERVICE_AT(meta)},
    {"weights", MEMBER_WEIGHTS, SERVICE_AT(weight_passing)},
    {"enabletagoverride", MEMBER_SWITCH, SERVICE_AT(enable_tag_override)},
    {"token", MEMBER_TEXT, SERVICE_AT(token)},
    {"proxy", MEMBER_EXTRA, 0},
    {"connect", MEMBER_EXTRA, 0},
    {"locality", MEMBER_EXTRA, 0},
    {"namespace", MEMBER_SKIP, 0},
    {"partition", MEMBER_SKIP, 0},
    {"check", MEMBER_CHECK, 0},
    {"checks", MEMBER_CHECKS, 0},
};

/* One object on its way into one definition. */
struct decode {
    struct arena *arena;
    struct reason *why;
    void *target;
    struct service_definition *service; /* NULL: of a check */
    json_t *extra;
};

static enum err decode_full(struct decode *d)
{
    reason_set(d->why, "definition is larger than %zu bytes", d->arena->max);
    return ERR_TOO_BIG;
}

static enum err decode_refuse(struct decode *d, const char *name, const char *expected)
{
    reason_set(d->why, "json: cannot decode %.100s: expected %s", name, expected);
    return ERR_INVALID;
}

static enum err decode_text(struct decode *d, const char *text, size_t len, struct bytes *ret)
{
    struct bytes copy = arena_copy(d->arena, (struct bytes){.ptr = text, .len = len});
    if (copy.ptr == NULL) {
        return decode_full(d);
    }
    *ret = copy;
    return OK;
}

static enum err decode_string(struct decode *d, const json_t *value, struct bytes *ret)
{
    return decode_text(d, json_string_value(value), json_string_length(value), ret);
}

/* `text` as the member of that name: lower case, no underscores; false: longer than any. */
static bool member_name(const char *text, char ret_name[MEMBER_NAME_MAX])
{
    size_t len = 0;
    for (; *text != '\0'; text++) {
        if (*text == '_') {
            continue;
        }
        if (len == MEMBER_NAME_MAX - 1) {
            return false;
        }
        ret_name[len++] = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
    }
    ret_name[len] = '\0';
    return true;
}

static json_t *member_get(const json_t *object, const char *name)
{
    char plain[MEMBER_NAME_MAX];
    json_t *o = (json_t *)(uintptr_t)object;
    for (void *i = json_object_iter(o); i != NULL; i = json_object_iter_next(o, i)) {
        if (member_name(json_object_iter_key(i), plain) && strcmp(plain, name) == 0) {
            return json_object_iter_value(i);
        }
    }
    return NULL;
}

/* --- members by kind ------------------------------------------------------------------------- */

static enum err
decode_number(struct decode *d, const char *name, const json_t *value, uint64_t *ret_number)
{
    if (!json_is_integer(value)) {
        return decode_refuse(d, name, "a whole number");
    }
    if (json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX) {
        return decode_refuse(d, name, "a number from 0 to 2147483647");
    }
    *ret_number = (uint64_t)json_integer_value(value);
    return OK;
}

/* Go's text, or a number of nanoseconds, as Consul's clients send either. */
static enum err
decode_duration(struct decode *d, const char *name, const json_t *value, uint64_t *ret_ms)
{
    uint64_t ms = 0;
    if (json_is_string(value)) {
        struct bytes text = {.ptr = json_string_value(value), .len = json_string_length(value)};
        if (text.len > 0 && duration_parse(text, &ms) != OK) {
            /* Go's words, which clients look for. */
            reason_set(d->why, "%.100s: time: invalid duration \"%.60s\"", name, text.ptr);
            return ERR_INVALID;
        }
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        ms = (uint64_t)json_integer_value(value) / 1000000;
    } else {
        return decode_refuse(d, name, "a duration such as \"10s\"");
    }
    if (ms > CHECK_DURATION_MAX_MS) {
        return decode_refuse(d, name, "a duration of at most 366 days");
    }
    *ret_ms = ms;
    return OK;
}

static enum err
decode_texts(struct decode *d, const char *name, const json_t *value, struct texts_list *ret_list)
{
    /* A file may say one text where a list is meant. */
    size_t count = json_is_string(value) ? 1 : json_array_size(value);
    if ((!json_is_string(value) && !json_is_array(value)) || count > DEFINITION_LIST_MAX) {
        return decode_refuse(d, name, "an array of at most 1024 texts");
    }
    struct bytes *items = arena_alloc(d->arena, (count + 1) * sizeof *items);
    enum err e = items == NULL ? decode_full(d) : OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        const json_t *item = json_is_string(value) ? value : json_array_get(value, i);
        e = json_is_string(item) ? decode_string(d, item, &items[i])
                                 : decode_refuse(d, name, "an array of texts");
    }
    if (e == OK) {
        *ret_list = (struct texts_list){.items = items, .count = count};
    }
    return e;
}

static enum err decode_pair(struct decode *d,
                            const char *member,
                            const char *name,
                            const json_t *value,
                            struct pair *ret_pair)
{
    if (!json_is_string(value)) {
        return decode_refuse(d, member, "an object of texts");
    }
    enum err e = decode_text(d, name, strlen(name), &ret_pair->name);
    return e == OK ? decode_string(d, value, &ret_pair->value) : e;
}

static enum err
decode_map(struct decode *d, const char *name, json_t *value, struct pairs_list *ret_list)
{
    size_t count = json_object_size(value);
    size_t at = 0;
    if (!json_is_object(value) || count > DEFINITION_LIST_MAX) {
        return decode_refuse(d, name, "an object of texts");
    }
    struct pair *items = arena_alloc(d->arena, (count + 1) * sizeof *items);
    enum err e = items == NULL ? decode_full(d) : OK;
    for (void *i = json_object_iter(value); e == OK && i != NULL;
         i = json_object_iter_next(value, i)) {
        e = decode_pair(d, name, json_object_iter_key(i), json_object_iter_value(i), &items[at++]);
    }
    if (e == OK) {
        *ret_list = (struct pairs_list){.items = items, .count = count};
    }
    return e;
}

static size_t headers_count(json_t *value)
{
    size_t count = 0;
    for (void *i = json_object_iter(value); i != NULL; i = json_object_iter_next(value, i)) {
        const json_t *item = json_object_iter_value(i);
        count += json_is_array(item) ? json_array_size(item) : 1;
    }
    return count;
}

/* {"Name": ["a", "b"]}, and {"Name": "a"} for those who have but one. */
static enum err
decode_headers(struct decode *d, const char *name, json_t *value, struct pairs_list *ret_list)
{
    size_t count = headers_count(value);
    size_t at = 0;
    if (!json_is_object(value) || count > DEFINITION_LIST_MAX) {
        return decode_refuse(d, name, "an object of arrays of texts");
    }
    struct pair *items = arena_alloc(d->arena, (count + 1) * sizeof *items);
    enum err e = items == NULL ? decode_full(d) : OK;
    for (void *i = json_object_iter(value); e == OK && i != NULL;
         i = json_object_iter_next(value, i)) {
        const json_t *item = json_object_iter_value(i);
        size_t texts = json_is_array(item) ? json_array_size(item) : 1;
        for (size_t j = 0; e == OK && j < texts; j++) {
            const json_t *text = json_is_array(item) ? json_array_get(item, j) : item;
            e = decode_pair(d, name, json_object_iter_key(i), text, &items[at++]);
        }
    }
    if (e == OK) {
        *ret_list = (struct pairs_list){.items = items, .count = count};
    }
    return e;
}

/* {"lan": {"Address": "10.0.0.1", "Port": 80}} */
static enum err decode_tagged_one(struct decode *d,
                                  const char *member,
                                  const char *name,
                                  const json_t *value,
                                  struct pair *ret_pair)
{
    char text[ROW_ADDRESS_MAX];
    const json_t *address = member_get(value, "address");
    const json_t *port = member_get(value, "port");
    if (!json_is_object(value) || (address != NULL && !json_is_string(address)) ||
        (port != NULL && !json_is_integer(port)) || json_integer_value(port) < 0 ||
        json_integer_value(port) > 65535) {
        return decode_refuse(d, member, "objects of an Address and a Port");
    }
    const char *at = address == NULL ? "" : json_string_value(address);
    int len = snprintf(text, sizeof text, "%lld %s", (long long)json_integer_value(port), at);
    if (len < 0 || (size_t)len >= sizeof text) {
        return decode_refuse(d, member, "shorter addresses");
    }
    enum err e = decode_text(d, name, strlen(name), &ret_pair->name);
    return e == OK ? decode_text(d, text, (size_t)len, &ret_pair->value) : e;
}

static enum err
decode_tagged(struct decode *d, const char *name, json_t *value, struct pairs_list *ret_list)
{
    size_t count = json_object_size(value);
    size_t at = 0;
    if (!json_is_object(value) || count > DEFINITION_LIST_MAX) {
        return decode_refuse(d, name, "an object of addresses");
    }
    struct pair *items = arena_alloc(d->arena, (count + 1) * sizeof *items);
    enum err e = items == NULL ? decode_full(d) : OK;
    for (void *i = json_object_iter(value); e == OK && i != NULL;
         i = json_object_iter_next(value, i)) {
        e = decode_tagged_one(d, name, json_object_iter_key(i), json_object_iter_value(i),
                              &items[at++]);
    }
    if (e == OK) {
        *ret_list = (struct pairs_list){.items = items, .count = count};
    }
    return e;
}

static enum err decode_weights(struct decode *d, const char *name, const json_t *value)
{
    const json_t *passing = member_get(value, "passing");
    const json_t *warning = member_get(value, "warning");
    if (!json_is_object(value)) {
        return decode_refuse(d, name, "an object of Passing and Warning");
    }
    enum err e =
        passing == NULL ? OK : decode_number(d, name, passing, &d->service->weight_passing);
    if (e == OK && warning != NULL) {
        e = decode_number(d, name, warning, &d->service->weight_warning);
    }
    return e;
}

/* --- an object ------------------------------------------------------------------------------- */

static enum err decode_checks(struct decode *d, const char *name, const json_t *value)
{
    const json_t *one = json_is_object(value) ? value : NULL;
    size_t count = one != NULL ? 1 : json_array_size(value);
    size_t had = d->service->check_count;
    if ((one == NULL && !json_is_array(value)) || count + had > REGISTER_CHECKS_MAX) {
        return decode_refuse(d, name, "at most 256 checks");
    }
    struct check_definition *all = arena_alloc(d->arena, (had + count + 1) * sizeof *all);
    if (all == NULL) {
        return decode_full(d);
    }
    if (had > 0) {
        memcpy(all, d->service->checks, had * sizeof *all);
    }
    enum err e = OK;
    for (size_t i = 0; e == OK && i < count; i++) {
        const json_t *item = one != NULL ? one : json_array_get(value, i);
        e = json_is_object(item) ? definition_check(d->arena, item, &all[had + i], d->why)
                                 : decode_refuse(d, name, "objects");
    }
    if (e == OK) {
        d->service->checks = all;
        d->service->check_count = had + count;
    }
    return e;
}

static enum err decode_extra(struct decode *d, const char *plain, const char *name, json_t *value)
{
    if (!json_is_object(value)) {
        return decode_refuse(d, name, "an object");
    }
    d->extra = d->extra == NULL ? json_object() : d->extra;
    (void)json_object_set(d->extra,
                          plain[0] == 'p'   ? "Proxy"
                          : plain[0] == 'c' ? "Connect"
                                            : "Locality",
                          value);
    return OK;
}

static enum err
decode_member(struct decode *d, const struct member *m, const char *name, json_t *value)
{
    void *field = (char *)d->target + m->offset;
    switch (m->kind) {
    case MEMBER_SKIP:
        return OK;
    case MEMBER_TEXT:
        return json_is_string(value) ? decode_string(d, value, field)
                                     : decode_refuse(d, name, "a text");
    case MEMBER_NUMBER:
        return decode_number(d, name, value, field);
    case MEMBER_PORT:
        if (json_is_integer(value) && json_integer_value(value) > 65535) {
            return decode_refuse(d, name, "a port from 0 to 65535");
        }
        return decode_number(d, name, value, field);
    case MEMBER_SWITCH:
        if (!json_is_boolean(value)) {
            return decode_refuse(d, name, "true or false");
        }
        *(bool *)field = json_is_true(value);
        return OK;
    case MEMBER_DURATION:
        return decode_duration(d, name, value, field);
    case MEMBER_TEXTS:
        return decode_texts(d, name, value, field);
    case MEMBER_MAP:
        return decode_map(d, name, value, field);
    case MEMBER_HEADERS:
        return decode_headers(d, name, value, field);
    case MEMBER_TAGGED:
        return decode_tagged(d, name, value, field);
    case MEMBER_WEIGHTS:
        return decode_weights(d, name, value);
    case MEMBER_EXTRA:
        return decode_extra(d, m->name, name, value);
    case MEMBER_CHECK:
    case MEMBER_CHECKS:
        return decode_checks(d, name, value);
    }
    return OK;
}

static const struct member *member_find(const struct member *members, size_t count, const char *key)
{
    char plain[MEMBER_NAME_MAX];
    if (!member_name(key, plain)) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].name, plain) == 0) {
            return &members[i];
        }
    }
    return NULL;
}

static enum err decode_object(struct decode *d,
                              const struct member *members,
                              size_t count,
                              const json_t *object,
                              struct bytes *ret_json)
{
    json_t *o = (json_t *)(uintptr_t)object;
    enum err e = OK;
    for (void *i = json_object_iter(o); e == OK && i != NULL; i = json_object_iter_next(o, i)) {
        const char *key = json_object_iter_key(i);
        json_t *value = json_object_iter_value(i);
        const struct member *m = member_find(members, count, key);
        if (m == NULL) {
            reason_set(d->why, "json: unknown field \"%.100s\"", key);
            return ERR_INVALID;
        }
        /* Go leaves alone what is null. */
        e = json_is_null(value) ? OK : decode_member(d, m, key, value);
    }
    if (e != OK) {
        return e;
    }
    char *text = json_dumps(object, JSON_COMPACT);
    if (text == NULL || strlen(text) > DEFINITION_MAX) {
        reason_set(d->why, "definition is larger than %zu bytes", (size_t)DEFINITION_MAX);
        free(text);
        return ERR_TOO_BIG;
    }
    e = decode_text(d, text, strlen(text), ret_json);
    free(text);
    return e;
}

static enum check_kind check_kind_of(const struct check_definition *c)
{
    /* In the order in which Consul decides between two. */
    if (c->alias_node.len > 0 || c->alias_service.len > 0) {
        return CHECK_ALIAS;
    }
    if (c->docker.len > 0) {
        return CHECK_DOCKER;
    }
    if (c->args.count > 0) {
        return CHECK_SCRIPT;
    }
    if (c->http.len > 0) {
        return CHECK_HTTP;
    }
    if (c->tcp.len > 0) {
        return CHECK_TCP;
    }
    if (c->udp.len > 0) {
        return CHECK_UDP;
    }
    if (c->grpc.len > 0) {
        return CHECK_GRPC;
    }
    if (c->h2ping.len > 0) {
        return CHECK_H2PING;
    }
    if (c->os_service.len > 0) {
        return CHECK_OS_SERVICE;
    }
    return c->ttl_ms > 0 ? CHECK_TTL : CHECK_NONE;
}

enum err definition_check(struct arena *a,
                          const json_t *object,
                          struct check_definition *ret_check,
                          struct reason *why)
{
    struct check_definition c = {0};
    struct decode d = {.arena = a, .why = why, .target = &c};
    enum err e = decode_object(&d, CHECK_MEMBERS, sizeof CHECK_MEMBERS / sizeof CHECK_MEMBERS[0],
                               object, &c.json);
    if (e != OK) {
        return e;
    }
    c.kind = check_kind_of(&c);
    *ret_check = c;
    return OK;
}

enum err definition_service(struct arena *a,
                            const json_t *object,
                            struct service_definition *ret_service,
                            struct reason *why)
{
    struct service_definition s = {.weight_passing = 1, .weight_warning = 1};
    struct decode d = {.arena = a, .why = why, .target = &s, .service = &s};
    enum err e = decode_object(&d, SERVICE_MEMBERS,
                               sizeof SERVICE_MEMBERS / sizeof SERVICE_MEMBERS[0], object, &s.json);
    char *extra = e == OK && d.extra != NULL ? json_dumps(d.extra, JSON_COMPACT) : NULL;
    if (extra != NULL) {
        e = decode_text(&d, extra, strlen(extra), &s.extra);
    }
    free(extra);
    json_decref(d.extra);
    if (e == OK) {
        *ret_service = s;
    }
    return e;
}

/* --- whether it can be ----------------------------------------------------------------------- */

const char *check_kind_name(enum check_kind kind)
{
    static const char *const names[] = {
        [CHECK_NONE] = "",
        [CHECK_TTL] = "ttl",
        [CHECK_HTTP] = "http",
        [CHECK_TCP] = "tcp",
        [CHECK_UDP] = "udp",
        [CHECK_GRPC] = "grpc",
        [CHECK_H2PING] = "h2ping",
        [CHECK_SCRIPT] = "script",
        [CHECK_ALIAS] = "alias",
        [CHECK_DOCKER] = "docker",
        [CHECK_OS_SERVICE] = "os_service",
        [CHECK_MAINTENANCE] = "maintenance",
    };
    return names[kind];
}

bool definition_status_wrong(struct bytes status)
{
    return status.len > 0 && !bytes_equal(status, BYTES("passing")) &&
           !bytes_equal(status, BYTES("warning")) && !bytes_equal(status, BYTES("critical"));
}

enum err definition_check_valid(const struct check_definition *c, struct reason *why)
{
    bool timed = c->kind != CHECK_NONE && c->kind != CHECK_TTL && c->kind != CHECK_ALIAS;
    const char *wrong = NULL;
    if (c->script.len > 0) {
        wrong = "'script' is no longer supported, use 'args'";
    } else if (timed && c->ttl_ms > 0 && c->interval_ms > 0) {
        wrong = "Interval and TTL cannot both be specified";
    } else if (timed && c->interval_ms == 0) {
        wrong = "Interval must be > 0 for Script, HTTP, or TCP checks";
    } else if (c->kind == CHECK_NONE) {
        wrong = "TTL must be > 0 for TTL checks";
    } else if (c->kind == CHECK_DOCKER) {
        wrong = "Docker checks are not supported";
    } else if (c->kind == CHECK_OS_SERVICE) {
        wrong = "OSService checks are not supported";
    }
    if (wrong != NULL) {
        reason_set(why, "%s", wrong);
        return ERR_INVALID;
    }
    return OK;
}

static bool meta_name_valid(struct bytes name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    return name.len > 0 && strspn(name.ptr, allowed) == name.len;
}

static enum err meta_valid(struct pairs_list meta, struct reason *why)
{
    if (meta.count > META_PAIRS_MAX) {
        reason_set(why,
                   "Invalid Service Meta: Node metadata cannot contain more than %u key/value "
                   "pairs",
                   META_PAIRS_MAX);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < meta.count; i++) {
        const struct pair *p = &meta.items[i];
        const char *wrong = NULL;
        if (p->name.len == 0) {
            wrong = "Key cannot be blank";
        } else if (!meta_name_valid(p->name)) {
            wrong = "Key contains invalid characters";
        } else if (p->name.len > META_NAME_MAX) {
            wrong = "Key is too long (limit: 128 characters)";
        } else if (bytes_begins(p->name, BYTES("consul-"))) {
            wrong = "Key prefix 'consul-' is reserved for internal use";
        } else if (p->value.len > META_VALUE_MAX) {
            wrong = "Value is too long (limit: 512 characters)";
        }
        if (wrong != NULL) {
            reason_set(why,
                       "Invalid Service Meta: Couldn't load metadata pair ('%.40s', '%.40s'): "
                       "%s",
                       p->name.ptr, p->value.ptr, wrong);
            return ERR_INVALID;
        }
    }
    return OK;
}

enum err definition_service_valid(const struct service_definition *s, struct reason *why)
{
    struct reason what = {{0}};
    if (s->name.len == 0) {
        reason_set(why, "Missing service name");
        return ERR_INVALID;
    }
    if (bytes_equal(s->address, BYTES("0.0.0.0")) || bytes_equal(s->address, BYTES("::")) ||
        bytes_equal(s->address, BYTES("[::]"))) {
        reason_set(why, "Invalid service address");
        return ERR_INVALID;
    }
    if (s->weight_passing < 1 || s->weight_passing > 65535 || s->weight_warning > 65535) {
        reason_set(why,
                   "Invalid Weights: Passing must be from 1 to 65535, Warning from 0 to 65535");
        return ERR_INVALID;
    }
    enum err e = meta_valid(s->meta, why);
    for (size_t i = 0; e == OK && i < s->check_count; i++) {
        e = definition_check_valid(&s->checks[i], &what);
        if (e != OK) {
            reason_set(why, "Invalid check: %s", what.text);
        } else if (definition_status_wrong(s->checks[i].status)) {
            reason_set(why, "Status for checks must 'passing', 'warning', 'critical'");
            e = ERR_INVALID;
        }
    }
    return e;
}
