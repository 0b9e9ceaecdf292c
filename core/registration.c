#include "core/registration.h"

#include "core/base/limit.h"
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define FIELD(structure, member, n, k)                                                             \
    {                                                                                              \
        .name = (n), .kind = (k), .offset = offsetof(structure, member)                            \
    }
#define FIELD_MAX(structure, member, n, k, m)                                                      \
    {                                                                                              \
        .name = (n), .kind = (k), .offset = offsetof(structure, member), .max = (m)                \
    }
#define FIELD_CALL(structure, member, n, fn)                                                       \
    {                                                                                              \
        .name = (n), .kind = DECODE_CALL, .offset = offsetof(structure, member), .call = (fn)      \
    }
#define FIELD_SKIP(n)                                                                              \
    {                                                                                              \
        .name = (n), .kind = DECODE_SKIP                                                           \
    }
/* What other editions of Consul and newer clients say too. */
#define FIELDS_ELSEWHERE FIELD_SKIP("Namespace"), FIELD_SKIP("Partition"), FIELD_SKIP("PeerName")

/* --- checks ---------------------------------------------------------------------------------- */

/* What Consul keeps of how a check is run, beside it; it runs nothing of it itself. */
struct check_body {
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t deregister_ms;
    uint64_t ttl_ms;
    struct bytes http;
    bool tls_skip_verify;
    struct bytes tls_server_name;
    struct bytes header; /* JSON */
    struct bytes method;
    struct bytes body;
    bool disable_redirects;
    struct bytes tcp;
    bool tcp_use_tls;
    struct bytes udp;
    uint32_t output_max_size;
    struct bytes args; /* JSON */
    struct bytes docker;
    struct bytes shell;
    struct bytes h2ping;
    bool h2ping_use_tls;
    struct bytes grpc;
    bool grpc_use_tls;
    struct bytes os_service;
    struct bytes alias_node;
    struct bytes alias_service;
};

/* A map of lists, kept in the order of the names as Go writes it. */
static enum err decode_header(struct decode *d, json_t *value, void *field)
{
    if (!json_is_object(value)) {
        return decode_mismatch(d, value, "map[string][]string");
    }
    for (void *i = json_object_iter(value); i != NULL; i = json_object_iter_next(value, i)) {
        const json_t *list = json_object_iter_value(i);
        if (!json_is_array(list)) {
            return decode_mismatch(d, list, "[]string");
        }
        for (size_t at = 0; at < json_array_size(list); at++) {
            if (!json_is_string(json_array_get(list, at))) {
                return decode_mismatch(d, json_array_get(list, at), "string");
            }
        }
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL || strlen(text) > ROW_JSON_MAX) {
        free(text);
        return decode_fail(d, ERR_TOO_BIG, "Header takes more than %u bytes", ROW_JSON_MAX);
    }
    struct bytes copy = arena_copy(decode_arena(d), bytes_of(text));
    free(text);
    if (copy.ptr == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    *(struct bytes *)field = copy;
    return OK;
}

static const struct decode_field BODY_FIELDS[] = {
    FIELD(struct check_body, interval_ms, "Interval", DECODE_DURATION),
    FIELD(struct check_body, interval_ms, "IntervalDuration", DECODE_DURATION),
    FIELD(struct check_body, timeout_ms, "Timeout", DECODE_DURATION),
    FIELD(struct check_body, timeout_ms, "TimeoutDuration", DECODE_DURATION),
    FIELD(struct check_body, deregister_ms, "DeregisterCriticalServiceAfter", DECODE_DURATION),
    FIELD(struct check_body,
          deregister_ms,
          "DeregisterCriticalServiceAfterDuration",
          DECODE_DURATION),
    FIELD(struct check_body, ttl_ms, "TTL", DECODE_DURATION),
    FIELD(struct check_body, http, "HTTP", DECODE_TEXT),
    FIELD(struct check_body, tls_skip_verify, "TLSSkipVerify", DECODE_BOOL),
    FIELD(struct check_body, tls_server_name, "TLSServerName", DECODE_TEXT),
    FIELD_CALL(struct check_body, header, "Header", decode_header),
    FIELD(struct check_body, method, "Method", DECODE_TEXT),
    FIELD_MAX(struct check_body, body, "Body", DECODE_TEXT, ROW_JSON_MAX / 2),
    FIELD(struct check_body, disable_redirects, "DisableRedirects", DECODE_BOOL),
    FIELD(struct check_body, tcp, "TCP", DECODE_TEXT),
    FIELD(struct check_body, tcp_use_tls, "TCPUseTLS", DECODE_BOOL),
    FIELD(struct check_body, udp, "UDP", DECODE_TEXT),
    FIELD(struct check_body, output_max_size, "OutputMaxSize", DECODE_NUMBER),
    FIELD(struct check_body, args, "ScriptArgs", DECODE_JSON),
    FIELD(struct check_body, args, "Args", DECODE_JSON),
    FIELD(struct check_body, docker, "DockerContainerID", DECODE_TEXT),
    FIELD(struct check_body, shell, "Shell", DECODE_TEXT),
    FIELD(struct check_body, h2ping, "H2PING", DECODE_TEXT),
    FIELD(struct check_body, h2ping_use_tls, "H2PINGUseTLS", DECODE_BOOL),
    FIELD(struct check_body, grpc, "GRPC", DECODE_TEXT),
    FIELD(struct check_body, grpc_use_tls, "GRPCUseTLS", DECODE_BOOL),
    FIELD(struct check_body, os_service, "OSService", DECODE_TEXT),
    FIELD(struct check_body, alias_node, "AliasNode", DECODE_TEXT),
    FIELD(struct check_body, alias_service, "AliasService", DECODE_TEXT),
};

static const struct decode_type BODY = {
    .name = "HealthCheckDefinition",
    .fields = BODY_FIELDS,
    .count = COUNT(BODY_FIELDS),
};

/* One member, if there is something to say; `name` without quotes. */
static enum err body_member(struct buf *out, const char *name, struct bytes json)
{
    if (json.len == 0) {
        return OK;
    }
    return buf_printf(out, "%s\"%s\":%.*s", out->len > 1 ? "," : "", name, BYTES_FORMAT(json));
}

static enum err body_text(struct buf *out, const char *name, struct bytes text)
{
    struct buf quoted;
    buf_init(&quoted, ROW_JSON_MAX);
    enum err e = text.len > 0 ? json_quote(&quoted, text) : OK;
    e = e == OK ? body_member(out, name, buf_view(&quoted)) : e;
    buf_close(&quoted);
    return e;
}

static enum err body_bool(struct buf *out, const char *name, bool value)
{
    return body_member(out, name, value ? BYTES("true") : (struct bytes){0});
}

static enum err body_duration(struct buf *out, const char *name, uint64_t ms)
{
    char text[DURATION_TEXT_LEN];
    duration_text(ms, text);
    return ms > 0 ? body_text(out, name, bytes_of(text)) : OK;
}

static enum err body_number(struct buf *out, const char *name, uint64_t value)
{
    char scratch[U64_TEXT_MAX];
    return value > 0 ? body_member(out, name, bytes_u64(value, scratch)) : OK;
}

/* The order is Consul's. */
static enum err body_json(struct buf *out, const struct check_body *b)
{
    const enum err parts[] = {
        buf_append_char(out, '{'),
        body_duration(out, "Interval", b->interval_ms),
        body_duration(out, "Timeout", b->timeout_ms),
        body_duration(out, "DeregisterCriticalServiceAfter", b->deregister_ms),
        body_text(out, "HTTP", b->http),
        body_text(out, "TLSServerName", b->tls_server_name),
        body_bool(out, "TLSSkipVerify", b->tls_skip_verify),
        body_member(out, "Header", bytes_equal(b->header, BYTES("{}")) ? BYTES("") : b->header),
        body_text(out, "Method", b->method),
        body_text(out, "Body", b->body),
        body_bool(out, "DisableRedirects", b->disable_redirects),
        body_text(out, "TCP", b->tcp),
        body_bool(out, "TCPUseTLS", b->tcp_use_tls),
        body_text(out, "UDP", b->udp),
        body_number(out, "OutputMaxSize", b->output_max_size),
        body_member(out, "ScriptArgs", bytes_equal(b->args, BYTES("[]")) ? BYTES("") : b->args),
        body_text(out, "DockerContainerID", b->docker),
        body_text(out, "Shell", b->shell),
        body_text(out, "H2PING", b->h2ping),
        body_bool(out, "H2PINGUseTLS", b->h2ping_use_tls),
        body_text(out, "GRPC", b->grpc),
        body_bool(out, "GRPCUseTLS", b->grpc_use_tls),
        body_text(out, "OSService", b->os_service),
        body_text(out, "AliasNode", b->alias_node),
        body_text(out, "AliasService", b->alias_service),
        body_number(out, "TTL", b->ttl_ms * 1000000),
        buf_append_char(out, '}'),
    };
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (parts[i] != OK) {
            return parts[i];
        }
    }
    return OK;
}

static struct bytes body_type(const struct check_body *b)
{
    const struct {
        const char *name;
        bool is;
    } types[] = {
        {"grpc", b->grpc.len > 0 && b->interval_ms > 0},
        {"http", b->http.len > 0 && b->interval_ms > 0},
        {"ttl", b->ttl_ms > 0},
        {"tcp", b->tcp.len > 0 && b->interval_ms > 0},
        {"udp", b->udp.len > 0 && b->interval_ms > 0},
        {"alias", b->alias_node.len > 0 || b->alias_service.len > 0},
        {"docker", b->docker.len > 0 && b->args.len > 0 && b->interval_ms > 0},
        {"script", b->args.len > 0 && b->interval_ms > 0},
        {"h2ping", b->h2ping.len > 0 && b->interval_ms > 0},
        {"os_service", b->os_service.len > 0 && b->interval_ms > 0},
    };
    for (size_t i = 0; i < COUNT(types); i++) {
        if (types[i].is) {
            return bytes_of(types[i].name);
        }
    }
    return (struct bytes){0};
}

static enum err decode_status(struct decode *d, json_t *value, void *field)
{
    if (!json_is_string(value)) {
        return decode_mismatch(d, value, "string");
    }
    if (json_string_length(value) > 0 &&
        check_status_parse(bytes_of(json_string_value(value)), field) != OK) {
        return decode_fail(d, ERR_INVALID,
                           "Status for checks must 'passing', 'warning', 'critical'");
    }
    return OK;
}

static enum err decode_body(struct decode *d, json_t *value, void *field)
{
    struct check_row *row = field;
    struct check_body body = {0};
    struct buf json;
    enum err e = decode_inside(d, value, &BODY, &body);
    if (e != OK) {
        return e;
    }
    buf_init(&json, ROW_JSON_MAX);
    if (body_json(&json, &body) != OK) {
        e = decode_fail(d, ERR_TOO_BIG, "Definition takes more than %u bytes", ROW_JSON_MAX);
    } else if (json.len > 2) {
        row->definition = arena_copy(decode_arena(d), buf_view(&json));
        e = row->definition.ptr != NULL ? OK : decode_fail(d, ERR_TOO_BIG, "too large");
    }
    buf_close(&json);
    if (row->type.len == 0) {
        row->type = body_type(&body);
    }
    return e;
}

static const struct decode_field CHECK_FIELDS[] = {
    FIELD_MAX(struct check_row, node, "Node", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct check_row, id, "CheckID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct check_row, name, "Name", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_CALL(struct check_row, status, "Status", decode_status),
    FIELD(struct check_row, notes, "Notes", DECODE_TEXT),
    FIELD_MAX(struct check_row, output, "Output", DECODE_TEXT, ROW_OUTPUT_MAX),
    FIELD_MAX(struct check_row, service_id, "ServiceID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct check_row, service_name, "ServiceName", DECODE_TEXT, ROW_NAME_MAX),
    FIELD(struct check_row, service_tags, "ServiceTags", DECODE_TEXTS),
    FIELD(struct check_row, type, "Type", DECODE_TEXT),
    FIELD(struct check_row, interval, "Interval", DECODE_TEXT),
    FIELD(struct check_row, timeout, "Timeout", DECODE_TEXT),
    FIELD_MAX(struct check_row, exposed_port, "ExposedPort", DECODE_NUMBER, 65535),
    /* It fills in the type too. */
    {.name = "Definition", .kind = DECODE_CALL, .offset = 0, .call = decode_body},
    FIELD(struct check_row, create_index, "CreateIndex", DECODE_INDEX),
    FIELD(struct check_row, modify_index, "ModifyIndex", DECODE_INDEX),
    FIELDS_ELSEWHERE,
};

static const struct decode_type CHECK_TYPE = {
    .name = "HealthCheck",
    .fields = CHECK_FIELDS,
    .count = COUNT(CHECK_FIELDS),
};

/* --- services -------------------------------------------------------------------------------- */

struct weights {
    uint32_t passing;
    uint32_t warning;
};

/* A service as it comes; its row is made of it. */
struct service_draft {
    struct service_row row;
    struct bytes proxy; /* JSON objects */
    struct bytes connect;
    struct bytes locality;
};

static const struct decode_field WEIGHTS_FIELDS[] = {
    FIELD_MAX(struct weights, passing, "Passing", DECODE_NUMBER, 65535),
    FIELD_MAX(struct weights, warning, "Warning", DECODE_NUMBER, 65535),
};

static const struct decode_type WEIGHTS = {
    .name = "Weights",
    .fields = WEIGHTS_FIELDS,
    .count = COUNT(WEIGHTS_FIELDS),
};

/* One that is not named weighs nothing, once the other is. */
static enum err decode_weights(struct decode *d, json_t *value, void *field)
{
    struct service_draft *draft = field;
    struct weights w = {0};
    enum err e = decode_inside(d, value, &WEIGHTS, &w);
    if (e == OK) {
        draft->row.weight_passing = w.passing;
        draft->row.weight_warning = w.warning;
    }
    return e;
}

struct address {
    struct bytes address;
    uint32_t port;
};

static const struct decode_field ADDRESS_FIELDS[] = {
    FIELD_MAX(struct address, address, "Address", DECODE_TEXT, ROW_ADDRESS_MAX),
    FIELD_MAX(struct address, port, "Port", DECODE_NUMBER, 65535),
};

static const struct decode_type ADDRESS = {
    .name = "ServiceAddress",
    .fields = ADDRESS_FIELDS,
    .count = COUNT(ADDRESS_FIELDS),
};

/* One address as `port address`. */
static enum err decode_address(struct decode *d, json_t *value, struct bytes *ret_text)
{
    struct address a = {0};
    struct buf text;
    enum err e = decode_inside(d, value, &ADDRESS, &a);
    if (e != OK) {
        return e;
    }
    buf_init(&text, ROW_LIST_MAX);
    e = buf_printf(&text, "%u %.*s", a.port, BYTES_FORMAT(a.address));
    *ret_text = e == OK ? arena_copy(decode_arena(d), buf_view(&text)) : (struct bytes){0};
    buf_close(&text);
    return ret_text->ptr != NULL ? OK : decode_fail(d, ERR_TOO_BIG, "the request is too large");
}

static enum err decode_addresses(struct decode *d, json_t *value, void *field)
{
    if (!json_is_object(value)) {
        return decode_mismatch(d, value, "map[string]structs.ServiceAddress");
    }
    struct pair *pairs =
        arena_alloc(decode_arena(d), (json_object_size(value) + 1) * sizeof *pairs);
    if (pairs == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    size_t count = 0;
    enum err e = OK;
    for (void *i = json_object_iter(value); i != NULL && e == OK;
         i = json_object_iter_next(value, i)) {
        pairs[count].name = bytes_of(json_object_iter_key(i));
        e = decode_address(d, json_object_iter_value(i), &pairs[count].value);
        count++;
    }
    struct buf list;
    buf_init(&list, ROW_LIST_MAX);
    if (e == OK && pairs_add(&list, pairs, count) != OK) {
        e = decode_fail(d, ERR_TOO_BIG, "TaggedAddresses takes more than %u bytes", ROW_LIST_MAX);
    }
    struct bytes copy = arena_copy(decode_arena(d), buf_view(&list));
    if (e == OK && copy.ptr == NULL) {
        e = decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    buf_close(&list);
    if (e == OK) {
        *(struct bytes *)field = copy;
    }
    return e;
}

/* An object that is kept unread, with the two members that Consul always shows. */
static enum err decode_proxy(struct decode *d, json_t *value, void *field)
{
    if (!json_is_object(value)) {
        return decode_mismatch(d, value, "structs.ConnectProxyConfig");
    }
    static const char *const always[] = {"MeshGateway", "Expose"};
    json_t *whole = json_copy(value);
    for (size_t i = 0; i < COUNT(always); i++) {
        if (json_object_get(whole, always[i]) == NULL) {
            (void)json_object_set_new(whole, always[i], json_object());
        }
    }
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    struct bytes copy = {0};
    if (text != NULL && strlen(text) <= ROW_JSON_MAX) {
        copy = arena_copy(decode_arena(d), bytes_of(text));
    }
    free(text);
    if (copy.ptr == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "Proxy takes more than %u bytes", ROW_JSON_MAX);
    }
    *(struct bytes *)field = copy;
    return OK;
}

static enum err decode_object_json(struct decode *d, json_t *value, void *field)
{
    if (!json_is_object(value)) {
        return decode_mismatch(d, value, "structs.ServiceConnect");
    }
    char *text = json_dumps(value, JSON_COMPACT);
    struct bytes copy = {0};
    if (text != NULL && strlen(text) <= ROW_JSON_MAX) {
        copy = arena_copy(decode_arena(d), bytes_of(text));
    }
    free(text);
    if (copy.ptr == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "more than %u bytes of JSON", ROW_JSON_MAX);
    }
    *(struct bytes *)field = copy;
    return OK;
}

static const struct decode_field SERVICE_FIELDS[] = {
    FIELD(struct service_draft, row.kind, "Kind", DECODE_TEXT),
    FIELD_MAX(struct service_draft, row.id, "ID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct service_draft, row.name, "Service", DECODE_TEXT, ROW_NAME_MAX),
    FIELD(struct service_draft, row.tags, "Tags", DECODE_TEXTS),
    FIELD_MAX(struct service_draft, row.address, "Address", DECODE_TEXT, ROW_ADDRESS_MAX),
    FIELD_CALL(struct service_draft, row.tagged, "TaggedAddresses", decode_addresses),
    FIELD(struct service_draft, row.meta, "Meta", DECODE_PAIRS),
    FIELD_MAX(struct service_draft, row.port, "Port", DECODE_NUMBER, 65535),
    FIELD(struct service_draft, row.socket_path, "SocketPath", DECODE_TEXT),
    {.name = "Weights", .kind = DECODE_CALL, .offset = 0, .call = decode_weights},
    FIELD(struct service_draft, row.enable_tag_override, "EnableTagOverride", DECODE_BOOL),
    FIELD_CALL(struct service_draft, proxy, "Proxy", decode_proxy),
    FIELD_CALL(struct service_draft, connect, "Connect", decode_object_json),
    FIELD_CALL(struct service_draft, locality, "Locality", decode_object_json),
    FIELD(struct service_draft, row.create_index, "CreateIndex", DECODE_INDEX),
    FIELD(struct service_draft, row.modify_index, "ModifyIndex", DECODE_INDEX),
    FIELDS_ELSEWHERE,
    FIELD_SKIP("Datacenter"),
};

static const struct decode_type SERVICE = {
    .name = "NodeService",
    .fields = SERVICE_FIELDS,
    .count = COUNT(SERVICE_FIELDS),
};

/* `extra` of what says more than nothing. */
static enum err draft_extra(struct arena *a, struct service_draft *draft, struct reason *why)
{
    const struct {
        const char *name;
        struct bytes json;
        struct bytes nothing;
    } parts[] = {
        {"Proxy", draft->proxy, BYTES("{\"MeshGateway\":{},\"Expose\":{}}")},
        {"Connect", draft->connect, BYTES("{}")},
        {"Locality", draft->locality, BYTES("{}")},
    };
    struct buf extra;
    buf_init(&extra, ROW_JSON_MAX);
    enum err e = buf_append_char(&extra, '{');
    for (size_t i = 0; i < COUNT(parts) && e == OK; i++) {
        if (!bytes_equal(parts[i].json, parts[i].nothing)) {
            e = body_member(&extra, parts[i].name, parts[i].json);
        }
    }
    e = e == OK ? buf_append_char(&extra, '}') : e;
    if (e == OK && extra.len > 2) {
        draft->row.extra = arena_copy(a, buf_view(&extra));
        e = draft->row.extra.ptr != NULL ? OK : ERR_TOO_BIG;
    }
    buf_close(&extra);
    if (e != OK) {
        reason_set(why, "Proxy, Connect and Locality take more than %u bytes", ROW_JSON_MAX);
    }
    return e;
}

#define SERVICE_DRAFT ((struct service_draft){.row = {.weight_passing = 1, .weight_warning = 1}})

/* --- nodes ----------------------------------------------------------------------------------- */

static const struct decode_field NODE_FIELDS[] = {
    FIELD_MAX(struct registration_node, row.id, "ID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct registration_node, row.name, "Node", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct registration_node, row.address, "Address", DECODE_TEXT, ROW_ADDRESS_MAX),
    FIELD_MAX(struct registration_node, datacenter, "Datacenter", DECODE_TEXT, ROW_NAME_MAX),
    FIELD(struct registration_node, row.tagged, "TaggedAddresses", DECODE_PAIRS),
    FIELD(struct registration_node, row.meta, "Meta", DECODE_PAIRS),
    FIELD(struct registration_node, row.create_index, "CreateIndex", DECODE_INDEX),
    FIELD(struct registration_node, row.modify_index, "ModifyIndex", DECODE_INDEX),
    FIELD_SKIP("Locality"),
    FIELDS_ELSEWHERE,
};

static const struct decode_type NODE = {
    .name = "Node",
    .fields = NODE_FIELDS,
    .count = COUNT(NODE_FIELDS),
};

/* --- requests -------------------------------------------------------------------------------- */

/* A registration as it comes. */
struct registration_draft {
    struct registration r;
    struct service_draft service;
    struct check_row check;
    bool has_check;
};

static enum err decode_service(struct decode *d, json_t *value, void *field)
{
    struct registration_draft *draft = field;
    draft->r.has_service = true;
    return decode_inside(d, value, &SERVICE, &draft->service);
}

static enum err decode_check(struct decode *d, json_t *value, void *field)
{
    struct registration_draft *draft = field;
    draft->has_check = true;
    return decode_inside(d, value, &CHECK_TYPE, &draft->check);
}

static enum err decode_checks(struct decode *d, json_t *value, void *field)
{
    struct registration_draft *draft = field;
    size_t count = json_array_size(value);
    if (!json_is_array(value)) {
        return decode_mismatch(d, value, "structs.HealthChecks");
    }
    if (count > REGISTER_CHECKS_MAX) {
        return decode_fail(d, ERR_TOO_BIG, "%zu checks, at most %u can be registered at once",
                           count, REGISTER_CHECKS_MAX);
    }
    /* One more, for Check. */
    struct check_row *checks = arena_alloc(decode_arena(d), (count + 1) * sizeof *checks);
    if (checks == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    enum err e = OK;
    draft->r.checks = checks;
    draft->r.check_count = 0;
    for (size_t i = 0; i < count && e == OK; i++) {
        json_t *item = json_array_get(value, i);
        if (json_is_null(item)) {
            continue;
        }
        checks[draft->r.check_count] = (struct check_row){0};
        e = decode_inside(d, item, &CHECK_TYPE, &checks[draft->r.check_count++]);
    }
    return e;
}

#define REGISTRATION_PART(member) offsetof(struct registration_draft, r.node.member)

static const struct decode_field REGISTRATION_FIELDS[] = {
    {"ID", DECODE_TEXT, REGISTRATION_PART(row.id), ROW_NAME_MAX, NULL, NULL},
    {"Node", DECODE_TEXT, REGISTRATION_PART(row.name), ROW_NAME_MAX, NULL, NULL},
    {"Address", DECODE_TEXT, REGISTRATION_PART(row.address), ROW_ADDRESS_MAX, NULL, NULL},
    {"TaggedAddresses", DECODE_PAIRS, REGISTRATION_PART(row.tagged), 0, NULL, NULL},
    {"NodeMeta", DECODE_PAIRS, REGISTRATION_PART(row.meta), 0, NULL, NULL},
    {"Datacenter", DECODE_TEXT, REGISTRATION_PART(datacenter), ROW_NAME_MAX, NULL, NULL},
    FIELD(struct registration_draft, r.skip_node_update, "SkipNodeUpdate", DECODE_BOOL),
    {.name = "Service", .kind = DECODE_CALL, .call = decode_service},
    {.name = "Check", .kind = DECODE_CALL, .call = decode_check},
    {.name = "Checks", .kind = DECODE_CALL, .call = decode_checks},
    FIELD(struct registration_draft, r.node.row.create_index, "CreateIndex", DECODE_INDEX),
    FIELD(struct registration_draft, r.node.row.modify_index, "ModifyIndex", DECODE_INDEX),
    FIELD_SKIP("WriteRequest"),
    FIELD_SKIP("Token"),
    FIELD_SKIP("Locality"),
    FIELDS_ELSEWHERE,
};

static const struct decode_type REGISTRATION = {
    .name = "RegisterRequest",
    .fields = REGISTRATION_FIELDS,
    .count = COUNT(REGISTRATION_FIELDS),
};

enum err registration_decode(struct arena *a,
                             json_t *json,
                             struct registration *ret_registration,
                             struct reason *why)
{
    struct registration_draft draft = {.service = SERVICE_DRAFT};
    enum err e = decode_value(a, json, &REGISTRATION, &draft, why);
    e = e == OK ? draft_extra(a, &draft.service, why) : e;
    if (e == OK && draft.has_check && draft.r.checks == NULL) {
        draft.r.checks = arena_alloc(a, sizeof *draft.r.checks);
        e = draft.r.checks != NULL ? OK : ERR_TOO_BIG;
    }
    if (e == OK && draft.has_check) {
        draft.r.checks[draft.r.check_count++] = draft.check;
    }
    if (e == OK) {
        draft.r.service = draft.service.row;
        *ret_registration = draft.r;
    }
    return e;
}

static const struct decode_field DEREGISTRATION_FIELDS[] = {
    FIELD_MAX(struct deregistration, node, "Node", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct deregistration, service_id, "ServiceID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct deregistration, check_id, "CheckID", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_MAX(struct deregistration, datacenter, "Datacenter", DECODE_TEXT, ROW_NAME_MAX),
    FIELD_SKIP("Address"),
    FIELD_SKIP("WriteRequest"),
    FIELD_SKIP("Token"),
    FIELDS_ELSEWHERE,
};

static const struct decode_type DEREGISTRATION = {
    .name = "DeregisterRequest",
    .fields = DEREGISTRATION_FIELDS,
    .count = COUNT(DEREGISTRATION_FIELDS),
};

enum err deregistration_decode(struct arena *a,
                               json_t *json,
                               struct deregistration *ret_deregistration,
                               struct reason *why)
{
    struct deregistration d = {0};
    enum err e = decode_value(a, json, &DEREGISTRATION, &d, why);
    if (e == OK) {
        *ret_deregistration = d;
    }
    return e;
}

/* --- parts ----------------------------------------------------------------------------------- */

enum err registration_node(struct arena *a,
                           json_t *json,
                           struct registration_node *ret_node,
                           struct reason *why)
{
    struct registration_node node = {0};
    enum err e = decode_value(a, json, &NODE, &node, why);
    if (e == OK) {
        *ret_node = node;
    }
    return e;
}

enum err registration_service(struct arena *a,
                              json_t *json,
                              struct service_row *ret_service,
                              struct reason *why)
{
    struct service_draft draft = SERVICE_DRAFT;
    enum err e = decode_value(a, json, &SERVICE, &draft, why);
    e = e == OK ? draft_extra(a, &draft, why) : e;
    if (e == OK) {
        *ret_service = draft.row;
    }
    return e;
}

enum err
registration_check(struct arena *a, json_t *json, struct check_row *ret_check, struct reason *why)
{
    struct check_row check = {0};
    enum err e = decode_value(a, json, &CHECK_TYPE, &check, why);
    if (e == OK) {
        *ret_check = check;
    }
    return e;
}

void registration_service_defaults(struct service_row *s)
{
    if (s->id.len == 0) {
        s->id = s->name;
    }
}

void registration_check_defaults(struct check_row *c)
{
    if (c->id.len == 0) {
        c->id = c->name;
    }
    if (c->status == 0) {
        c->status = CHECK_CRITICAL;
    }
}
