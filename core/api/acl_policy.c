/* /v1/acl/policy, policies, role, roles. */
#include "core/api/acl.h"
#include "core/base/limit.h"
#include "core/base/text.h"

/* --- what both kinds share -------------------------------------------------------------------- */

static bool name_is_valid(struct bytes name)
{
    bool valid = name.len > 0 && name.len <= 128;
    for (size_t i = 0; valid && i < name.len; i++) {
        char c = name.ptr[i];
        valid = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_';
    }
    return valid;
}

/* The name of the body, or what is wrong with it. */
static bool name_fits(struct request *r, const char *word, struct bytes name)
{
    if (name.len == 0) {
        reply_text(r, 500, "Invalid %s: no Name is set", word);
    } else if (!name_is_valid(name)) {
        reply_text(r, 500,
                   "Invalid %s: invalid Name. Only alphanumeric characters, a '-' and '_' are "
                   "allowed",
                   word);
    }
    return name_is_valid(name);
}

/* The id of the URL, or a new one. False: the body names another; answered. */
static bool id_of(struct request *r,
                  const char *word,
                  const json_t *body,
                  char made[UUID_TEXT_LEN],
                  bool *made_it,
                  struct bytes *ret_id)
{
    struct bytes in_body = acl_member_text(body, "ID");
    *made_it = r->rest.len == 0;
    if (*made_it) {
        uuid_make(made);
        *ret_id = bytes_of(made);
        if (in_body.len > 0) {
            reply_text(r, 400, "Cannot specify the %s ID when creating a new one", word);
        }
        return in_body.len == 0;
    }
    *ret_id = r->rest;
    if (in_body.len > 0 && !bytes_equal_nocase(in_body, r->rest)) {
        reply_text(r, 400, "%s ID in URL and payload do not match", word);
        return false;
    }
    return true;
}

/* --- policies --------------------------------------------------------------------------------- */

static json_t *policy_show(struct view *v, struct bytes id)
{
    struct view_pin pin = {0};
    struct acl_policy policy;
    json_t *json =
        view_acl_policy(v, id, &pin, &policy) == OK ? acl_policy_json(&policy, false) : NULL;
    view_pin_close(&pin);
    return json;
}

static json_t *policy_show_name(struct view *v, struct bytes name)
{
    struct buf id;
    buf_init(&id, SESSION_ID_MAX);
    json_t *json =
        view_acl_id_of(v, ACL_POLICY, name, &id) == OK ? policy_show(v, buf_view(&id)) : NULL;
    buf_close(&id);
    return json;
}

static json_t *policy_show_all(struct view *v, struct bytes id)
{
    json_t *list = json_array();
    struct acl_scan *scan = acl_scan_open(v, ACL_POLICY);
    struct bytes data;
    (void)id;
    while (acl_scan_next(scan, &data) == OK) {
        struct acl_policy policy;
        if (acl_policy_decode(data, &policy) == OK) {
            (void)json_array_append_new(list, acl_policy_json(&policy, true));
        }
    }
    acl_scan_close(scan);
    return list;
}

static void policy_done(struct request *r, struct bytes id)
{
    api_reply_value(r, 200, policy_show(store_reader_view(api_of(r)->reader), id));
}

static bool rules_fit(struct request *r, struct bytes rules)
{
    struct reason why = {0};
    struct acl *a = acl_new(ACL_DENY);
    enum err e = acl_add(a, rules, false, &why);
    acl_unref(a);
    if (e != OK) {
        reply_text(r, 500, "Failed to parse ACL rules: %s", why.text);
    }
    return e == OK;
}

static bool datacenters_read(const json_t *list, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *dc = json_array_get(list, i);
        if (!json_is_string(dc) || texts_add(out, bytes_of(json_string_value(dc))) != OK) {
            return false;
        }
    }
    return true;
}

static void policy_propose(struct request *r, const struct acl_policy *policy, bool create)
{
    struct buf row;
    buf_init(&row, COMMAND_MAX);
    enum err e = acl_policy_encode(&row, policy);
    if (e == OK) {
        struct command c = {
            .type = COMMAND_ACL_SET,
            .acl = {.kind = ACL_POLICY, .create = create, .row = buf_view(&row)},
        };
        acl_write(r, &c, policy->id, policy_done);
    } else {
        reply_err(r, e);
    }
    buf_close(&row);
}

static void policy_set(struct request *r)
{
    char made[UUID_TEXT_LEN];
    bool create = false;
    struct buf datacenters;
    json_t *body = acl_body(r);
    if (body == NULL) {
        return;
    }
    buf_init(&datacenters, ACL_LINKS_MAX);
    struct acl_policy policy = {
        .name = acl_member_text(body, "Name"),
        .description = acl_member_text(body, "Description"),
        .rules = acl_member_text(body, "Rules"),
    };
    bool builtin = bytes_equal(r->rest, BYTES(ACL_MANAGEMENT_POLICY));
    if (!id_of(r, "Policy", body, made, &create, &policy.id) ||
        !name_fits(r, "Policy", policy.name) || !rules_fit(r, policy.rules)) {
        /* Answered. */
    } else if (builtin) {
        reply_text(r, 500,
                   "Changing the Rules for the builtin global-management policy is not "
                   "permitted");
    } else if (!datacenters_read(acl_member(body, "Datacenters"), &datacenters)) {
        reply_err(r, ERR_TOO_BIG);
    } else {
        policy.datacenters = buf_view(&datacenters);
        policy_propose(r, &policy, create);
    }
    buf_close(&datacenters);
    json_decref(body);
}

static void row_delete(struct request *r, enum acl_kind kind)
{
    struct command c = {
        .type = COMMAND_ACL_DELETE,
        .acl = {.kind = (uint8_t)kind, .id = r->rest},
    };
    if (bytes_equal(r->rest, BYTES(ACL_MANAGEMENT_POLICY))) {
        reply_text(r, 500,
                   "Delete operation not permitted on the builtin global-management "
                   "policy");
        return;
    }
    acl_write(r, &c, r->rest, acl_done_true);
}

void api_acl_policies(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, policy_show_all, (struct bytes){0});
    }
}

void api_acl_policy_name(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, policy_show_name, r->rest);
    }
}

void api_acl_policy(struct request *r)
{
    if (!acl_is_on(r)) {
        return;
    }
    if (r->method == METHOD_PUT) {
        policy_set(r);
    } else if (acl_id_fits(r, "policy", r->rest)) {
        if (r->method == METHOD_DELETE) {
            row_delete(r, ACL_POLICY);
        } else {
            acl_answer(r, policy_show, r->rest);
        }
    }
}

/* --- roles ------------------------------------------------------------------------------------ */

static json_t *role_show(struct view *v, struct bytes id)
{
    struct view_pin pin = {0};
    struct acl_role role;
    json_t *json = view_acl_role(v, id, &pin, &role) == OK ? acl_role_json(v, &role) : NULL;
    view_pin_close(&pin);
    return json;
}

static json_t *role_show_name(struct view *v, struct bytes name)
{
    struct buf id;
    buf_init(&id, SESSION_ID_MAX);
    json_t *json =
        view_acl_id_of(v, ACL_ROLE, name, &id) == OK ? role_show(v, buf_view(&id)) : NULL;
    buf_close(&id);
    return json;
}

static json_t *role_show_all(struct view *v, struct bytes id)
{
    json_t *list = json_array();
    struct acl_scan *scan = acl_scan_open(v, ACL_ROLE);
    struct bytes data;
    (void)id;
    while (acl_scan_next(scan, &data) == OK) {
        struct acl_role role;
        if (acl_role_decode(data, &role) == OK) {
            (void)json_array_append_new(list, acl_role_json(v, &role));
        }
    }
    acl_scan_close(scan);
    return list;
}

static void role_done(struct request *r, struct bytes id)
{
    api_reply_value(r, 200, role_show(store_reader_view(api_of(r)->reader), id));
}

static void role_propose(struct request *r, const struct acl_role *role, bool create)
{
    struct buf row;
    buf_init(&row, COMMAND_MAX);
    enum err e = acl_role_encode(&row, role);
    if (e == OK) {
        struct command c = {
            .type = COMMAND_ACL_SET,
            .acl = {.kind = ACL_ROLE, .create = create, .row = buf_view(&row)},
        };
        acl_write(r, &c, role->id, role_done);
    } else {
        reply_err(r, e);
    }
    buf_close(&row);
}

static void role_set(struct request *r)
{
    char made[UUID_TEXT_LEN];
    bool create = false;
    struct acl_draft draft;
    json_t *body = acl_body(r);
    if (body == NULL) {
        return;
    }
    acl_draft_init(&draft);
    struct acl_role role = {
        .name = acl_member_text(body, "Name"),
        .description = acl_member_text(body, "Description"),
    };
    if (id_of(r, "Role", body, made, &create, &role.id) && name_fits(r, "Role", role.name) &&
        acl_draft_links(r, &draft, body)) {
        buf_clear(&draft.roles);
        role.links = acl_draft_view(&draft);
        role_propose(r, &role, create);
    }
    acl_draft_close(&draft);
    json_decref(body);
}

void api_acl_roles(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, role_show_all, (struct bytes){0});
    }
}

void api_acl_role_name(struct request *r)
{
    if (acl_is_on(r)) {
        acl_answer(r, role_show_name, r->rest);
    }
}

void api_acl_role(struct request *r)
{
    if (!acl_is_on(r)) {
        return;
    }
    if (r->method == METHOD_PUT) {
        role_set(r);
    } else if (acl_id_fits(r, "role", r->rest)) {
        if (r->method == METHOD_DELETE) {
            row_delete(r, ACL_ROLE);
        } else {
            acl_answer(r, role_show, r->rest);
        }
    }
}
