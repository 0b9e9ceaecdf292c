/* The endpoints of before 1.4: /v1/acl/create, update, destroy, info, clone, list, and the
 * translation of their rules. The id of such a token is its secret. */
#include "core/api/acl.h"
#include "core/base/limit.h"
#include "core/base/text.h"

/* --- reading ---------------------------------------------------------------------------------- */

/* A token of today is shown if it may all; else it has no form here. */
static json_t *old_json(const struct acl_token *t)
{
    bool management = acl_is_management(t);
    if (t->type.len == 0 && !management) {
        return NULL;
    }
    return json_pack("{s:s%, s:s%, s:s, s:s%, s:I, s:I}", "ID", t->secret.ptr, t->secret.len,
                     "Name", t->description.len > 0 ? t->description.ptr : "", t->description.len,
                     "Type", management ? "management" : "client", "Rules",
                     t->rules.len > 0 ? t->rules.ptr : "", t->rules.len, "CreateIndex",
                     (json_int_t)t->create_index, "ModifyIndex", (json_int_t)t->modify_index);
}

static json_t *old_show(struct view *v, struct bytes secret)
{
    json_t *list = json_array();
    struct view_pin pin = {0};
    struct acl_token t;
    if (view_acl_token_by_secret(v, secret, &pin, &t) == OK) {
        json_t *row = old_json(&t);
        if (row != NULL) {
            (void)json_array_append_new(list, row);
        }
    }
    view_pin_close(&pin);
    return list;
}

static json_t *old_show_all(struct view *v, struct bytes id)
{
    json_t *list = json_array();
    struct acl_scan *scan = acl_scan_open(v, ACL_TOKEN);
    struct bytes data;
    (void)id;
    while (acl_scan_next(scan, &data) == OK) {
        struct acl_token t;
        json_t *row = acl_token_decode(data, &t) == OK ? old_json(&t) : NULL;
        if (row != NULL) {
            (void)json_array_append_new(list, row);
        }
    }
    acl_scan_close(scan);
    return list;
}

void api_acl_info(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, old_show, r->rest);
    }
}

void api_acl_list(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, old_show_all, (struct bytes){0});
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static void old_done(struct request *r, struct bytes secret)
{
    api_reply_value(r, 200, json_pack("{s:s%}", "ID", secret.ptr, secret.len));
}

static void old_propose(struct request *r, const struct acl_token *t, bool create)
{
    struct buf row;
    buf_init(&row, COMMAND_MAX);
    enum err e = acl_token_encode(&row, t);
    if (e == OK) {
        struct command c = {
            .type = COMMAND_ACL_SET,
            .acl = {.kind = ACL_TOKEN, .create = create, .row = buf_view(&row)},
        };
        acl_write(r, &c, t->secret, old_done);
    } else {
        reply_err(r, e);
    }
    buf_close(&row);
}

/* Name, Type and Rules of the body. False: answered. */
static bool old_read(struct request *r, const json_t *body, struct acl_token *t)
{
    struct reason why = {0};
    struct bytes type = acl_member_text(body, "Type");
    t->description = acl_member_text(body, "Name");
    t->rules = acl_member_text(body, "Rules");
    t->type = type.len > 0 ? type : BYTES("client");
    if (!bytes_equal(t->type, BYTES("client")) && !bytes_equal(t->type, BYTES("management"))) {
        reply_text(r, 400, "Invalid ACL Type");
        return false;
    }
    struct acl *a = acl_new(ACL_DENY);
    enum err e = acl_add(a, t->rules, true, &why);
    acl_unref(a);
    if (e != OK) {
        reply_text(r, 500, "ACL rule compilation failed: %s", why.text);
    }
    return e == OK;
}

void api_acl_create(struct request *r)
{
    char accessor[UUID_TEXT_LEN];
    char secret[UUID_TEXT_LEN];
    json_error_t error;
    if (!acl_is_on(r)) {
        return;
    }
    json_t *body =
        r->body.len == 0 ? json_object() : json_loadb(r->body.ptr, r->body.len, 0, &error);
    struct acl_token t = {
        .accessor = bytes_of(accessor),
        .secret = acl_member_text(body, "ID"),
        .create_ms = env_wall_ms(loop_env(api_of(r)->loop)),
    };
    uuid_make(accessor);
    uuid_make(secret);
    if (!json_is_object(body)) {
        reply_text(r, 400, "Request decode failed: expected an object");
    } else if (old_read(r, body, &t)) {
        t.accessor = bytes_of(accessor);
        t.secret = t.secret.len > 0 ? t.secret : bytes_of(secret);
        old_propose(r, &t, true);
    }
    json_decref(body);
}

void api_acl_update(struct request *r)
{
    struct view_pin pin = {0};
    struct acl_token t;
    if (!acl_is_on(r)) {
        return;
    }
    json_t *body = acl_body(r);
    if (body == NULL) {
        return;
    }
    struct bytes secret = acl_member_text(body, "ID");
    if (secret.len == 0) {
        reply_text(r, 400, "ACL ID must be set");
    } else if (view_acl_token_by_secret(store_reader_view(api_of(r)->reader), secret, &pin, &t) !=
               OK) {
        reply_text(r, 403, "ACL not found");
    } else if (old_read(r, body, &t)) {
        old_propose(r, &t, false);
    }
    view_pin_close(&pin);
    json_decref(body);
}

void api_acl_destroy(struct request *r)
{
    struct view_pin pin = {0};
    struct acl_token t;
    if (!acl_is_on(r)) {
        return;
    }
    if (view_acl_token_by_secret(store_reader_view(api_of(r)->reader), r->rest, &pin, &t) != OK) {
        acl_done_true(r, r->rest);
    } else if (bytes_equal(t.accessor, BYTES(ACL_ANONYMOUS_ACCESSOR))) {
        reply_text(r, 500, "Delete operation not permitted on the anonymous token");
    } else {
        struct command c = {
            .type = COMMAND_ACL_DELETE,
            .acl = {.kind = ACL_TOKEN, .id = t.accessor},
        };
        acl_write(r, &c, t.accessor, acl_done_true);
    }
    view_pin_close(&pin);
}

void api_acl_clone(struct request *r)
{
    char accessor[UUID_TEXT_LEN];
    char secret[UUID_TEXT_LEN];
    struct view_pin pin = {0};
    struct acl_token t;
    if (!acl_is_on(r)) {
        return;
    }
    if (view_acl_token_by_secret(store_reader_view(api_of(r)->reader), r->rest, &pin, &t) != OK) {
        reply_text(r, 404, "Target ACL not found");
    } else {
        uuid_make(accessor);
        uuid_make(secret);
        t.accessor = bytes_of(accessor);
        t.secret = bytes_of(secret);
        old_propose(r, &t, true);
    }
    view_pin_close(&pin);
}

/* --- translation ------------------------------------------------------------------------------ */

static void translate(struct request *r, struct bytes rules)
{
    struct reason why = {0};
    struct buf out;
    buf_init(&out, MIB(1));
    if (acl_translate(&out, rules, &why) == OK) {
        reply_bytes(r, 200, "text/plain; charset=utf-8", buf_view(&out));
    } else {
        reply_text(r, 400, "Failed to translate rules: %s", why.text);
    }
    buf_close(&out);
}

void api_acl_translate(struct request *r)
{
    if (acl_is_on(r) && api_may(r, ACL_ACL, (struct bytes){0}, ACL_READ)) {
        translate(r, r->body);
    }
}

void api_acl_translate_token(struct request *r)
{
    struct view_pin pin = {0};
    struct acl_token t;
    if (!acl_is_on(r)) {
        return;
    }
    enum err e = view_acl_token(store_reader_view(api_of(r)->reader), r->rest, &pin, &t);
    if (e != OK) {
        reply_text(r, 403, "ACL not found");
    } else if (t.rules.len == 0) {
        reply_text(r, 404, "No rules for the token");
    } else {
        translate(r, t.rules);
    }
    view_pin_close(&pin);
}
