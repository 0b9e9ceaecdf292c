#include "core/front/request.h"

#include "core/base/check.h"
#include "core/base/metric.h"
#include "core/front/inside.h"
#include "core/front/target.h"

bool request_arg(const struct request *r, const char *name, struct bytes *ret_value)
{
    struct bytes wanted = bytes_of(name);
    for (size_t i = 0; i < r->arg_count; i++) {
        if (bytes_equal(r->args[i].name, wanted)) {
            *ret_value = r->args[i].value;
            return true;
        }
    }
    return false;
}

bool request_header(const struct request *r, const char *name, struct bytes *ret_value)
{
    if (r->late) {
        return false;
    }
    /* Afterwards the head belongs to another request, or to nobody. */
    CHECK(r->front->current == r);
    return head_find(&r->front->head, bytes_of(name), ret_value);
}

bool request_field(const struct request *r,
                   size_t i,
                   struct bytes *ret_name,
                   struct bytes *ret_value)
{
    const struct head *h = &r->front->head;
    CHECK(r->front->current == r);
    if (i >= h->field_count) {
        return false;
    }
    *ret_name = h->fields[i].name;
    *ret_value = h->fields[i].value;
    return true;
}

int request_take(struct request *r, struct front_ticket *ret_ticket, struct bytes *ret_early)
{
    struct front *f = r->front;
    struct connection *c = r->connection;
    int fd = c->io.fd;
    CHECK(f->current == r && c->sm.state == CONNECTION_HANDLING);
    *ret_ticket = (struct front_ticket){.front = f, .slot = c->client_slot};
    *ret_early = f->early;
    struct exchange *x = c->exchange;
    c->exchange = NULL;
    exchange_free(f, x);
    sm_move(&c->sm, CONNECTION_UPGRADED);
    connection_endless(c);
    connection_hand_over(c);
    return fd;
}

void front_ticket_return(const struct front_ticket *t)
{
    if (t->front->options.clients != NULL) {
        clients_leave(t->front->options.clients, t->slot);
    }
    front_count(t->front, -1);
}

/* `Authorization: Bearer <token>`, the scheme in any case (RFC 9110 section 11.1). */
static bool request_bearer(const struct head *h, struct bytes *ret_token)
{
    struct bytes value = {0};
    if (!head_find(h, BYTES("Authorization"), &value) || value.len < 7 ||
        !bytes_equal_nocase(bytes_slice(value, 0, 7), BYTES("Bearer "))) {
        return false;
    }
    *ret_token = bytes_slice(value, 7, value.len);
    return true;
}

static enum err request_token(struct request *r, const struct head *h)
{
    struct bytes token = {0};
    if (request_arg(r, "token", &token) && token.len > 0) {
        r->token = token;
        return OK;
    }
    if (!head_find(h, BYTES("X-Consul-Token"), &token) && !request_bearer(h, &token)) {
        return OK;
    }
    r->token = arena_copy(r->arena, token);
    return r->token.ptr == NULL ? ERR_TOO_BIG : OK;
}

/* Who may speak for a node is an agent; others may say what they like. */
static enum err request_agent(struct request *r, const struct head *h)
{
    struct bytes node = {0};
    if (!r->connection->forwarded || !head_find(h, BYTES(REQUEST_AGENT_HEADER), &node)) {
        return OK;
    }
    r->agent = arena_copy(r->arena, node);
    return r->agent.ptr == NULL ? ERR_TOO_BIG : OK;
}

/* Everything a handler may keep lives in the arena: the head itself is overwritten soon. */
static enum err request_read(struct request *r, const struct head *h, const char **ret_why)
{
    r->method = h->method;
    r->method_name = arena_copy(r->arena, h->method_name);
    enum err e = target_path(r->arena, h->path, &r->path, ret_why);
    if (e != OK) {
        return e;
    }
    if (h->query.len > 0) {
        r->query = arena_copy(r->arena, h->query);
        if (r->query.ptr == NULL) {
            *ret_why = "query too long";
            return ERR_TOO_BIG;
        }
    }
    e = target_query(r->arena, h->query, &r->args, &r->arg_count, ret_why);
    if (e != OK) {
        return e;
    }
    *ret_why = "token or name too long";
    e = request_token(r, h);
    return e == OK ? request_agent(r, h) : e;
}

static void request_not_found(struct request *r)
{
    struct front *f = r->front;
    struct bytes v1 = BYTES("/v1/");
    if (route_lacks_slash(f->options.routes, f->options.route_count, r->path)) {
        reply_header(r, "Location", "%.*s/%s%.*s", BYTES_FORMAT(r->path),
                     r->query.len > 0 ? "?" : "", BYTES_FORMAT(r->query));
        reply_bytes(r, 301, NULL, (struct bytes){0});
        return;
    }
    bool api = false;
    for (size_t i = 0; i + v1.len <= r->path.len && !api; i++) {
        api = bytes_begins(bytes_slice(r->path, i, r->path.len), v1);
    }
    reply_text(r, 404, "%s\n",
               api ? "Invalid URL path: not a recognized HTTP API endpoint"
                   : "Invalid URL path: if attempting to use the HTTP API, ensure the path starts "
                     "with '/v1/'");
}

/* False: it was answered. */
static bool request_method_allowed(struct request *r, const struct route *route)
{
    if ((route->methods & (unsigned)r->method) != 0) {
        return true;
    }
    char allow[ROUTE_ALLOW_LEN];
    route_allow(route->methods, allow);
    reply_header(r, "Allow", "%s", allow);
    if (r->method == METHOD_OPTIONS) {
        reply_bytes(r, 200, NULL, (struct bytes){0});
    } else {
        reply_text(r, 405, "method %.*s not allowed", BYTES_FORMAT(r->method_name));
    }
    return false;
}

void request_dispatch(struct exchange *x)
{
    struct request *r = &x->request;
    struct front *f = r->front;
    const char *why = "";
    struct bytes encodings = {0};
    r->body = buf_view(&x->body);
    x->accepts_gzip = head_find(&f->head, BYTES("Accept-Encoding"), &encodings) &&
                      list_has(encodings, BYTES("gzip"));
    enum err e = request_read(r, &f->head, &why);
    if (e != OK) {
        metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
        reply_text(r, e == ERR_TOO_BIG ? 431 : 400, "%s", why);
        return;
    }
    if (r->method == METHOD_OPTIONS && bytes_equal(r->path, BYTES("*"))) {
        reply_bytes(r, 200, NULL, (struct bytes){0});
        return;
    }
    const struct route *route =
        route_find(f->options.routes, f->options.route_count, r->path, &r->rest);
    if (route == NULL) {
        request_not_found(r);
        return;
    }
    r->route = route;
    x->routed = true;
    if (r->connection->forwarded && route->acl == ROUTE_ACL_AGENT) {
        reply_text(r, 403, "what is about an agent is asked of itself");
        return;
    }
    if (!request_method_allowed(r, route)) {
        return;
    }
    f->current = r;
    if (f->options.handle != NULL) {
        f->options.handle(r);
    } else {
        route->handler(r);
    }
    f->current = NULL;
}

bool request_is_hopeless(struct front *f, const struct head *h)
{
    struct arena arena;
    struct bytes path = {0};
    struct bytes rest = {0};
    const char *why = NULL;
    bool hopeless = true;
    arena_init(&arena, HTTP_REQUEST_ARENA_MAX);
    if (target_path(&arena, h->path, &path, &why) == OK) {
        const struct route *route =
            route_find(f->options.routes, f->options.route_count, path, &rest);
        hopeless = route == NULL || (route->methods & (unsigned)h->method) == 0;
    }
    arena_close(&arena);
    return hopeless;
}
