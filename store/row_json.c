#include "store/row_json.h"

#include "core/base/text.h"

/* Appends until something does not fit; then the rest is skipped and `status` says why. */
struct writer {
    struct buf *out;
    size_t start;
    enum err status;
};

static struct writer writer_on(struct buf *out)
{
    return (struct writer){.out = out, .start = out->len};
}

/* All of it or nothing. */
static enum err writer_end(struct writer *w)
{
    if (w->status != OK) {
        buf_truncate(w->out, w->start);
    }
    return w->status;
}

static void put(struct writer *w, struct bytes json)
{
    if (w->status == OK) {
        w->status = buf_append(w->out, json);
    }
}

/* A member: `name` brings its comma, its quotes and its colon. */
static void put_text(struct writer *w, struct bytes lead, struct bytes text)
{
    put(w, lead);
    if (w->status == OK) {
        w->status = json_quote(w->out, text);
    }
}

static void put_number(struct writer *w, struct bytes name, uint64_t value)
{
    put(w, name);
    if (w->status == OK) {
        w->status = buf_append_u64(w->out, value);
    }
}

static void put_bool(struct writer *w, struct bytes name, bool value)
{
    put(w, name);
    put(w, value ? BYTES("true") : BYTES("false"));
}

static void put_texts(struct writer *w, struct bytes texts)
{
    struct bytes text;
    struct bytes lead = BYTES("[");
    while (texts_next(&texts, &text)) {
        put_text(w, lead, text);
        lead = BYTES(",");
    }
    put(w, lead.ptr[0] == '[' ? BYTES("[]") : BYTES("]"));
}

static void put_pairs(struct writer *w, struct bytes pairs)
{
    struct bytes name;
    struct bytes value;
    struct bytes lead = BYTES("{");
    while (pairs_next(&pairs, &name, &value)) {
        put_text(w, lead, name);
        put_text(w, BYTES(":"), value);
        lead = BYTES(",");
    }
    put(w, lead.ptr[0] == '{' ? BYTES("{}") : BYTES("}"));
}

/* As Go shows a map that was never made. */
static void put_pairs_or_null(struct writer *w, struct bytes name, struct bytes pairs)
{
    put(w, name);
    if (pairs.len == 0) {
        put(w, BYTES("null"));
    } else {
        put_pairs(w, pairs);
    }
}

static void put_indexes(struct writer *w, uint64_t create_index, uint64_t modify_index)
{
    put_number(w, BYTES(",\"CreateIndex\":"), create_index);
    put_number(w, BYTES(",\"ModifyIndex\":"), modify_index);
}

enum err row_json_texts(struct buf *out, struct bytes texts)
{
    struct writer w = writer_on(out);
    put_texts(&w, texts);
    return writer_end(&w);
}

enum err row_json_pairs(struct buf *out, struct bytes pairs)
{
    struct writer w = writer_on(out);
    put_pairs(&w, pairs);
    return writer_end(&w);
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* What a node's own row and a row of the catalog begin with, up to the addresses. */
static void put_node_head(struct writer *w, const struct node_row *r, struct bytes datacenter)
{
    put_text(w, BYTES("{\"ID\":"), r->id);
    put_text(w, BYTES(",\"Node\":"), r->name);
    put_text(w, BYTES(",\"Address\":"), r->address);
    put_text(w, BYTES(",\"Datacenter\":"), datacenter);
    put_pairs_or_null(w, BYTES(",\"TaggedAddresses\":"), r->tagged);
}

static void put_node(struct writer *w, const struct node_row *r, struct bytes datacenter)
{
    put_node_head(w, r, datacenter);
    put_pairs_or_null(w, BYTES(",\"Meta\":"), r->meta);
    put_indexes(w, r->create_index, r->modify_index);
    put(w, BYTES("}"));
}

enum err row_json_node(struct buf *out, const struct node_row *r, struct bytes datacenter)
{
    struct writer w = writer_on(out);
    put_node(&w, r, datacenter);
    return writer_end(&w);
}

/* --- services -------------------------------------------------------------------------------- */

/* Length of the JSON value at the start of `json`: up to the comma or bracket that ends it. */
static size_t value_len(struct bytes json)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth == 0 && (c == '}' || c == ']' || c == ',')) {
            return i;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return json.len;
}

/* The value of a member of a compact JSON object, or `otherwise`; `name` with its quotes and its
 * colon. */
static struct bytes member(struct bytes object, struct bytes name, struct bytes otherwise)
{
    for (size_t at = 1; at < object.len; at++) {
        struct bytes rest = bytes_slice(object, at, object.len);
        if (bytes_begins(rest, name)) {
            rest = bytes_slice(rest, name.len, rest.len);
            return bytes_slice(rest, 0, value_len(rest));
        }
        at += value_len(rest);
    }
    return otherwise;
}

/* `{"lan":{"Address":"10.0.0.1","Port":80}}` of values `80 10.0.0.1`. */
static void put_service_tagged(struct writer *w, struct bytes pairs)
{
    struct bytes name;
    struct bytes value;
    struct bytes lead = BYTES("{");
    while (pairs_next(&pairs, &name, &value)) {
        size_t blank = bytes_find(value, ' ');
        uint64_t port = 0;
        if (bytes_to_u64(bytes_slice(value, 0, blank), &port) != OK) {
            port = 0;
        }
        size_t from = blank < value.len ? blank + 1 : value.len;
        put_text(w, lead, name);
        put_text(w, BYTES(":{\"Address\":"), bytes_slice(value, from, value.len));
        put_number(w, BYTES(",\"Port\":"), port);
        put(w, BYTES("}"));
        lead = BYTES(",");
    }
    put(w, BYTES("}"));
}

static void put_weights(struct writer *w, const struct service_row *r)
{
    put_number(w, BYTES("{\"Passing\":"), r->weight_passing);
    put_number(w, BYTES(",\"Warning\":"), r->weight_warning);
    put(w, BYTES("}"));
}

#define PROXY_NONE BYTES("{\"MeshGateway\":{},\"Expose\":{}}")

static struct bytes service_locality(const struct service_row *r)
{
    return member(r->extra, BYTES("\"Locality\":"), (struct bytes){0});
}

static void put_service(struct writer *w, const struct service_row *r)
{
    put(w, BYTES("{"));
    if (r->kind.len > 0) {
        put_text(w, BYTES("\"Kind\":"), r->kind);
        put(w, BYTES(","));
    }
    put_text(w, BYTES("\"ID\":"), r->id);
    put_text(w, BYTES(",\"Service\":"), r->name);
    put(w, BYTES(",\"Tags\":"));
    put_texts(w, r->tags);
    put_text(w, BYTES(",\"Address\":"), r->address);
    if (r->tagged.len > 0) {
        put(w, BYTES(",\"TaggedAddresses\":"));
        put_service_tagged(w, r->tagged);
    }
    put_pairs_or_null(w, BYTES(",\"Meta\":"), r->meta);
    put_number(w, BYTES(",\"Port\":"), r->port);
    if (r->socket_path.len > 0) {
        put_text(w, BYTES(",\"SocketPath\":"), r->socket_path);
    }
    put(w, BYTES(",\"Weights\":"));
    put_weights(w, r);
    put_bool(w, BYTES(",\"EnableTagOverride\":"), r->enable_tag_override);
    put(w, BYTES(",\"Proxy\":"));
    put(w, member(r->extra, BYTES("\"Proxy\":"), PROXY_NONE));
    put(w, BYTES(",\"Connect\":"));
    put(w, member(r->extra, BYTES("\"Connect\":"), BYTES("{}")));
    struct bytes locality = service_locality(r);
    if (locality.len > 0) {
        put(w, BYTES(",\"Locality\":"));
        put(w, locality);
    }
    put_indexes(w, r->create_index, r->modify_index);
    put(w, BYTES("}"));
}

enum err row_json_service(struct buf *out, const struct service_row *r)
{
    struct writer w = writer_on(out);
    put_service(&w, r);
    return writer_end(&w);
}

enum err row_json_catalog(struct buf *out,
                          const struct node_row *node,
                          const struct service_row *service,
                          struct bytes datacenter)
{
    struct writer w = writer_on(out);
    put_node_head(&w, node, datacenter);
    put_pairs_or_null(&w, BYTES(",\"NodeMeta\":"), node->meta);
    put_text(&w, BYTES(",\"ServiceKind\":"), service->kind);
    put_text(&w, BYTES(",\"ServiceID\":"), service->id);
    put_text(&w, BYTES(",\"ServiceName\":"), service->name);
    put(&w, BYTES(",\"ServiceTags\":"));
    put_texts(&w, service->tags);
    put_text(&w, BYTES(",\"ServiceAddress\":"), service->address);
    if (service->tagged.len > 0) {
        put(&w, BYTES(",\"ServiceTaggedAddresses\":"));
        put_service_tagged(&w, service->tagged);
    }
    put(&w, BYTES(",\"ServiceWeights\":"));
    put_weights(&w, service);
    put(&w, BYTES(",\"ServiceMeta\":"));
    put_pairs(&w, service->meta);
    put_number(&w, BYTES(",\"ServicePort\":"), service->port);
    if (service->socket_path.len > 0) {
        put_text(&w, BYTES(",\"ServiceSocketPath\":"), service->socket_path);
    }
    put_bool(&w, BYTES(",\"ServiceEnableTagOverride\":"), service->enable_tag_override);
    put(&w, BYTES(",\"ServiceProxy\":"));
    put(&w, member(service->extra, BYTES("\"Proxy\":"), PROXY_NONE));
    put(&w, BYTES(",\"ServiceConnect\":"));
    put(&w, member(service->extra, BYTES("\"Connect\":"), BYTES("{}")));
    struct bytes locality = service_locality(service);
    if (locality.len > 0) {
        put(&w, BYTES(",\"ServiceLocality\":"));
        put(&w, locality);
    }
    put_indexes(&w, service->create_index, service->modify_index);
    put(&w, BYTES("}"));
    return writer_end(&w);
}

/* --- checks ---------------------------------------------------------------------------------- */

static void put_check(struct writer *w, const struct check_row *r)
{
    put_text(w, BYTES("{\"Node\":"), r->node);
    put_text(w, BYTES(",\"CheckID\":"), r->id);
    put_text(w, BYTES(",\"Name\":"), r->name);
    put_text(w, BYTES(",\"Status\":"), bytes_of(check_status_name(r->status)));
    put_text(w, BYTES(",\"Notes\":"), r->notes);
    put_text(w, BYTES(",\"Output\":"), r->output);
    put_text(w, BYTES(",\"ServiceID\":"), r->service_id);
    put_text(w, BYTES(",\"ServiceName\":"), r->service_name);
    put(w, BYTES(",\"ServiceTags\":"));
    put_texts(w, r->service_tags);
    put_text(w, BYTES(",\"Type\":"), r->type);
    /* Newer than the oldest clients: shown where there is something to show. */
    if (r->interval.len > 0) {
        put_text(w, BYTES(",\"Interval\":"), r->interval);
    }
    if (r->timeout.len > 0) {
        put_text(w, BYTES(",\"Timeout\":"), r->timeout);
    }
    if (r->exposed_port > 0) {
        put_number(w, BYTES(",\"ExposedPort\":"), r->exposed_port);
    }
    put(w, BYTES(",\"Definition\":"));
    put(w, r->definition.len > 0 ? r->definition : BYTES("{}"));
    put_indexes(w, r->create_index, r->modify_index);
    put(w, BYTES("}"));
}

enum err row_json_check(struct buf *out, const struct check_row *r)
{
    struct writer w = writer_on(out);
    put_check(&w, r);
    return writer_end(&w);
}

enum err row_json_instance(struct buf *out,
                           const struct node_row *node,
                           const struct service_row *service,
                           struct bytes checks,
                           struct bytes datacenter)
{
    struct writer w = writer_on(out);
    struct bytes encoded;
    struct bytes before = BYTES(",\"Checks\":[");
    put(&w, BYTES("{\"Node\":"));
    put_node(&w, node, datacenter);
    put(&w, BYTES(",\"Service\":"));
    put_service(&w, service);
    if (checks.len == 0) {
        put(&w, before);
    }
    while (w.status == OK && texts_next(&checks, &encoded)) {
        struct check_row check;
        w.status = row_check_decode(encoded, &check);
        if (w.status == OK) {
            put(&w, before);
            put_check(&w, &check);
        }
        before = BYTES(",");
    }
    put(&w, BYTES("]}"));
    return writer_end(&w);
}

/* --- sessions, events, coordinates ----------------------------------------------------------- */

enum err row_json_session(struct buf *out, const struct session_row *r)
{
    struct writer w = writer_on(out);
    struct bytes checks = r->service_checks;
    struct bytes id;
    struct bytes before = BYTES("[{\"ID\":");
    put_text(&w, BYTES("{\"ID\":"), r->id);
    put_text(&w, BYTES(",\"Name\":"), r->name);
    put_text(&w, BYTES(",\"Node\":"), r->node);
    put_number(&w, BYTES(",\"LockDelay\":"), r->lock_delay_ms * 1000000);
    put_text(&w, BYTES(",\"Behavior\":"),
             r->behavior == SESSION_DELETE ? BYTES("delete") : BYTES("release"));
    put_text(&w, BYTES(",\"TTL\":"), r->ttl);
    put(&w, BYTES(",\"NodeChecks\":"));
    put_texts(&w, r->node_checks);
    put(&w, BYTES(",\"ServiceChecks\":"));
    while (texts_next(&checks, &id)) {
        put_text(&w, before, id);
        put(&w, BYTES(",\"Namespace\":\"\"}"));
        before = BYTES(",{\"ID\":");
    }
    put(&w, r->service_checks.len == 0 ? BYTES("null") : BYTES("]"));
    put_indexes(&w, r->create_index, r->modify_index);
    put(&w, BYTES("}"));
    return writer_end(&w);
}

enum err row_json_event(struct buf *out, const struct event_row *r)
{
    struct writer w = writer_on(out);
    put_text(&w, BYTES("{\"ID\":"), r->id);
    put_text(&w, BYTES(",\"Name\":"), r->name);
    put(&w, r->payload.len == 0 ? BYTES(",\"Payload\":null") : BYTES(",\"Payload\":\""));
    if (w.status == OK && r->payload.len > 0) {
        w.status = base64_encode(out, r->payload);
        put(&w, BYTES("\""));
    }
    put_text(&w, BYTES(",\"NodeFilter\":"), r->node_filter);
    put_text(&w, BYTES(",\"ServiceFilter\":"), r->service_filter);
    put_text(&w, BYTES(",\"TagFilter\":"), r->tag_filter);
    put(&w, BYTES(",\"Version\":1"));
    put_number(&w, BYTES(",\"LTime\":"), r->index);
    put(&w, BYTES("}"));
    return writer_end(&w);
}

enum err row_json_coordinate(struct buf *out, const struct coordinate_row *r)
{
    struct writer w = writer_on(out);
    put_text(&w, BYTES("{\"Node\":"), r->node);
    put_text(&w, BYTES(",\"Segment\":"), r->segment);
    put(&w, BYTES(",\"Coord\":"));
    put(&w, r->coordinate.len > 0 ? r->coordinate : BYTES("{}"));
    put(&w, BYTES("}"));
    return writer_end(&w);
}
