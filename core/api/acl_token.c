/* /v1/acl/token, tokens, bootstrap. */
#include "core/api/acl.h"
#include "core/base/limit.h"
#include "core/base/text.h"

/* --- reading ---------------------------------------------------------------------------------- */

static json_t *token_row(struct view *v, struct bytes accessor, bool hidden)
{
    struct view_pin pin = {0};
    struct acl_token t;
    json_t *json = NULL;
    if (view_acl_token(v, accessor, &pin, &t) == OK) {
        t.secret = hidden ? BYTES("<hidden>") : t.secret;
        json = acl_token_json(v, &t, false);
    }
    view_pin_close(&pin);
    return json;
}

/* Whoever may only read would become whoever he reads. */
static json_t *token_show(struct view *v, struct bytes accessor)
{
    return token_row(v, accessor, !rights_may(ACL_ACL, (struct bytes){0}, ACL_WRITE));
}

static json_t *token_show_secret(struct view *v, struct bytes secret)
{
    struct view_pin pin = {0};
    struct acl_token t;
    json_t *json =
        view_acl_token_by_secret(v, secret, &pin, &t) == OK ? acl_token_json(v, &t, false) : NULL;
    view_pin_close(&pin);
    return json;
}

/* The filter of a list: names of policy, role, auth method; "" each: all. */
static json_t *token_show_all(struct view *v, struct bytes filter)
{
    json_t *list = json_array();
    struct acl_scan *scan = acl_scan_open(v, ACL_TOKEN);
    struct bytes policy = {0};
    struct bytes role = {0};
    struct bytes data;
    (void)(texts_next(&filter, &policy) && texts_next(&filter, &role));
    while (acl_scan_next(scan, &data) == OK) {
        struct acl_token t;
        if (acl_token_decode(data, &t) == OK &&
            (policy.len == 0 || texts_have(t.links.policies, policy)) &&
            (role.len == 0 || texts_have(t.links.roles, role))) {
            (void)json_array_append_new(list, acl_token_json(v, &t, true));
        }
    }
    acl_scan_close(scan);
    return list;
}

void api_acl_tokens(struct request *r)
{
    struct bytes policy = {0};
    struct bytes role = {0};
    struct buf filter;
    if (!acl_is_on(r)) {
        return;
    }
    (void)request_arg(r, "policy", &policy);
    (void)request_arg(r, "role", &role);
    buf_init(&filter, KIB(8));
    if (texts_add(&filter, policy) == OK && texts_add(&filter, role) == OK) {
        acl_answer(r, token_show_all, buf_view(&filter));
    } else {
        reply_err(r, ERR_TOO_BIG);
    }
    buf_close(&filter);
}

void api_acl_token_self(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, token_show_secret, api_secret(r));
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static void token_done(struct request *r, struct bytes accessor)
{
    api_reply_value(r, 200, token_row(store_reader_view(api_of(r)->reader), accessor, false));
}

static void token_propose(struct request *r, const struct acl_token *t, bool create)
{
    struct buf row;
    buf_init(&row, COMMAND_MAX);
    enum err e = acl_token_encode(&row, t);
    if (e == OK) {
        struct command c = {
            .type = COMMAND_ACL_SET,
            .acl = {.kind = ACL_TOKEN, .create = create, .row = buf_view(&row)},
        };
        acl_write(r, &c, t->accessor, token_done);
    } else {
        reply_err(r, e);
    }
    buf_close(&row);
}

/* ExpirationTTL, "1h" or nanoseconds. False: answered. */
static bool token_expiry(struct request *r, const json_t *body, uint64_t *ret_expires_ms)
{
    const json_t *ttl = acl_member(body, "ExpirationTTL");
    uint64_t ms = 0;
    bool fits = ttl == NULL;
    if (json_is_string(ttl)) {
        struct bytes text = bytes_of(json_string_value(ttl));
        fits = text.len == 0 || duration_parse(text, &ms) == OK;
    } else if (json_is_integer(ttl) && json_integer_value(ttl) >= 0) {
        ms = (uint64_t)json_integer_value(ttl) / 1000000;
        fits = true;
    }
    if (!fits) {
        reply_text(r, 400, "Failed to decode request body: ExpirationTTL is no duration");
        return false;
    }
    if (ms != 0 && (ms < TOKEN_TTL_MIN_MS || ms > TOKEN_TTL_MAX_MS)) {
        reply_text(r, 500, "expiration time cannot be %s in the future",
                   ms < TOKEN_TTL_MIN_MS ? "less than 1m0s" : "more than 24h0m0s");
        return false;
    }
    *ret_expires_ms = ms == 0 ? 0 : env_wall_ms(loop_env(api_of(r)->loop)) + ms;
    return true;
}

/* A reserved word would be one of ours. */
static bool secret_fits(struct request *r, struct bytes secret)
{
    if (secret.len == 0 || (secret.len == UUID_TEXT_LEN - 1 && uuid_valid(secret))) {
        return true;
    }
    reply_text(r, 500, "Invalid Token: SecretID is not a valid UUID");
    return false;
}

static void token_create(struct request *r)
{
    char accessor[UUID_TEXT_LEN];
    char secret[UUID_TEXT_LEN];
    struct acl_draft draft;
    json_t *body = acl_body(r);
    if (body == NULL) {
        return;
    }
    acl_draft_init(&draft);
    uuid_make(accessor);
    uuid_make(secret);
    struct acl_token t = {
        .accessor = acl_member_text(body, "AccessorID"),
        .secret = acl_member_text(body, "SecretID"),
        .description = acl_member_text(body, "Description"),
        .local = json_is_true(acl_member(body, "Local")),
        .create_ms = env_wall_ms(loop_env(api_of(r)->loop)),
    };
    if (t.accessor.len > 0 && !uuid_valid(t.accessor)) {
        reply_text(r, 500, "Invalid Token: AccessorID is not a valid UUID");
    } else if (secret_fits(r, t.secret) && token_expiry(r, body, &t.expires_ms) &&
               acl_draft_links(r, &draft, body)) {
        t.accessor = t.accessor.len > 0 ? t.accessor : bytes_of(accessor);
        t.secret = t.secret.len > 0 ? t.secret : bytes_of(secret);
        t.links = acl_draft_view(&draft);
        token_propose(r, &t, true);
    }
    acl_draft_close(&draft);
    json_decref(body);
}

/* What a token keeps for its life: secret, times, whether it is local. */
static void token_update_of(struct request *r, const json_t *body, const struct acl_token *before)
{
    struct acl_draft draft;
    struct bytes secret = acl_member_text(body, "SecretID");
    struct bytes accessor = acl_member_text(body, "AccessorID");
    if (accessor.len > 0 && !bytes_equal_nocase(accessor, r->rest)) {
        reply_text(r, 400, "Token Accessor ID in URL and payload do not match");
        return;
    }
    if (secret.len > 0 && !bytes_equal(secret, before->secret)) {
        reply_text(r, 500, "Changing a tokens SecretID is not permitted");
        return;
    }
    acl_draft_init(&draft);
    struct acl_token t = *before;
    t.description = acl_member_text(body, "Description");
    t.rules = (struct bytes){0};
    t.type = (struct bytes){0};
    if (acl_draft_links(r, &draft, body)) {
        t.links = acl_draft_view(&draft);
        token_propose(r, &t, false);
    }
    acl_draft_close(&draft);
}

static void token_clone_of(struct request *r, const struct acl_token *before)
{
    char accessor[UUID_TEXT_LEN];
    char secret[UUID_TEXT_LEN];
    json_error_t error;
    json_t *body = r->body.len == 0 ? NULL : json_loadb(r->body.ptr, r->body.len, 0, &error);
    struct bytes description = acl_member_text(body, "Description");
    uuid_make(accessor);
    uuid_make(secret);
    struct acl_token t = *before;
    t.accessor = bytes_of(accessor);
    t.secret = bytes_of(secret);
    t.description = description.len > 0 ? description : t.description;
    t.create_ms = env_wall_ms(loop_env(api_of(r)->loop));
    token_propose(r, &t, true);
    json_decref(body);
}

/* Reads the token of `rest`, for a write that keeps some of it. */
static void token_change(struct request *r, bool clone)
{
    struct view_pin pin = {0};
    struct acl_token t;
    enum err e = view_acl_token(store_reader_view(api_of(r)->reader), r->rest, &pin, &t);
    json_t *body = NULL;
    if (e != OK) {
        reply_text(r, 403, "ACL not found");
    } else if (clone) {
        token_clone_of(r, &t);
    } else if ((body = acl_body(r)) != NULL) {
        token_update_of(r, body, &t);
    }
    json_decref(body);
    view_pin_close(&pin);
}

static void token_delete(struct request *r)
{
    struct command c = {
        .type = COMMAND_ACL_DELETE,
        .acl = {.kind = ACL_TOKEN, .id = r->rest},
    };
    struct view_pin pin = {0};
    struct acl_token t;
    enum err e =
        view_acl_token_by_secret(store_reader_view(api_of(r)->reader), api_secret(r), &pin, &t);
    bool own = e == OK && bytes_equal_nocase(t.accessor, r->rest);
    view_pin_close(&pin);
    if (bytes_equal(r->rest, BYTES(ACL_ANONYMOUS_ACCESSOR))) {
        reply_text(r, 500, "Delete operation not permitted on the anonymous token");
    } else if (own) {
        reply_text(r, 500, "Deletion of the request's authorization token is not permitted");
    } else {
        acl_write(r, &c, r->rest, acl_done_true);
    }
}

/* `{accessor}/clone` */
static bool takes_ending(struct bytes *rest, struct bytes ending)
{
    if (rest->len < ending.len ||
        !bytes_equal(bytes_slice(*rest, rest->len - ending.len, rest->len), ending)) {
        return false;
    }
    *rest = bytes_slice(*rest, 0, rest->len - ending.len);
    return true;
}

void api_acl_token(struct request *r)
{
    if (!acl_is_on(r)) {
        return;
    }
    bool clone = r->method == METHOD_PUT && takes_ending(&r->rest, BYTES("/clone"));
    if (r->method == METHOD_PUT && !clone && r->rest.len == 0) {
        token_create(r);
    } else if (!acl_id_fits(r, "token", r->rest)) {
        /* Answered. */
    } else if (r->method == METHOD_PUT) {
        token_change(r, clone);
    } else if (r->method == METHOD_DELETE) {
        token_delete(r);
    } else {
        acl_answer(r, token_show, r->rest);
    }
}

/* --- the first token -------------------------------------------------------------------------- */

/* It needs no right: it is where rights come from, and happens once. */
void api_acl_bootstrap(struct request *r)
{
    char accessor[UUID_TEXT_LEN];
    char secret[UUID_TEXT_LEN];
    struct acl_draft draft;
    struct buf row;
    if (!acl_is_on(r)) {
        return;
    }
    json_error_t error;
    json_t *body = r->body.len == 0 ? NULL : json_loadb(r->body.ptr, r->body.len, 0, &error);
    struct bytes wanted = acl_member_text(body, "BootstrapSecret");
    uuid_make(accessor);
    uuid_make(secret);
    acl_draft_init(&draft);
    buf_init(&row, COMMAND_MAX);
    bool fits = secret_fits(r, wanted);
    enum err e = texts_add(&draft.policies, BYTES(ACL_MANAGEMENT_POLICY));
    struct acl_token t = {
        .accessor = bytes_of(accessor),
        .secret = wanted.len > 0 ? wanted : bytes_of(secret),
        .description = BYTES("Bootstrap Token (Global Management)"),
        .links = acl_draft_view(&draft),
        .create_ms = env_wall_ms(loop_env(api_of(r)->loop)),
    };
    e = e == OK ? acl_token_encode(&row, &t) : e;
    if (fits && e == OK) {
        struct command c = {
            .type = COMMAND_ACL_BOOTSTRAP,
            .acl = {.kind = ACL_TOKEN, .row = buf_view(&row)},
        };
        r->judged = true;
        acl_write(r, &c, t.accessor, token_done);
    } else if (fits) {
        reply_err(r, e);
    }
    buf_close(&row);
    acl_draft_close(&draft);
    json_decref(body);
}
