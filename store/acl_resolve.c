#include "store/acl_resolve.h"

#include "core/base/limit.h"
#include "store/acl_rows.h"

#include <string.h>

/* What a service may do for itself: registers under its name and its proxy's, and finds others. */
static enum err add_service(struct acl *a, struct bytes name)
{
    char proxy[ROW_NAME_MAX];
    const struct bytes ending = BYTES("-sidecar-proxy");
    if (name.len + ending.len > sizeof proxy) {
        return ERR_TOO_BIG;
    }
    memcpy(proxy, name.ptr, name.len);
    memcpy(proxy + name.len, ending.ptr, ending.len);
    struct bytes whole = {.ptr = proxy, .len = name.len + ending.len};
    enum err e = acl_add_rule(a, ACL_SERVICE, false, name, ACL_WRITE);
    e = e == OK ? acl_add_rule(a, ACL_SERVICE, false, whole, ACL_WRITE) : e;
    e = e == OK ? acl_add_rule(a, ACL_SERVICE, true, (struct bytes){0}, ACL_READ) : e;
    return e == OK ? acl_add_rule(a, ACL_NODE, true, (struct bytes){0}, ACL_READ) : e;
}

static enum err add_node(struct acl *a, struct bytes name)
{
    enum err e = acl_add_rule(a, ACL_NODE, false, name, ACL_WRITE);
    return e == OK ? acl_add_rule(a, ACL_SERVICE, true, (struct bytes){0}, ACL_READ) : e;
}

static bool datacenter_fits(struct bytes datacenters, const struct acl_setting *s)
{
    return datacenters.len == 0 || texts_have_nocase(datacenters, s->datacenter);
}

static enum err
add_policy(struct acl *a, struct view *v, struct bytes id, const struct acl_setting *s)
{
    struct view_pin pin = {0};
    struct acl_policy policy;
    if (bytes_equal(id, BYTES(ACL_MANAGEMENT_POLICY))) {
        acl_allow_all(a);
    }
    enum err e = view_acl_policy(v, id, &pin, &policy);
    if (e == OK && datacenter_fits(policy.datacenters, s)) {
        /* It was read when it was written: only another version's could fail here. */
        e = acl_add(a, policy.rules, false, NULL);
        e = e == ERR_INVALID ? OK : e;
    }
    view_pin_close(&pin);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err
add_links(struct acl *a, struct view *v, const struct acl_links *l, const struct acl_setting *s)
{
    struct bytes policies = l->policies;
    struct bytes services = l->services;
    struct bytes nodes = l->nodes;
    struct bytes text;
    struct bytes datacenter;
    enum err e = OK;
    while (e == OK && texts_next(&policies, &text)) {
        e = add_policy(a, v, text, s);
    }
    while (e == OK && texts_next(&services, &text)) {
        struct bytes name = {0};
        bool named = texts_next(&text, &name);
        e = named && datacenter_fits(text, s) ? add_service(a, name) : OK;
    }
    while (e == OK && texts_next(&nodes, &text) && texts_next(&nodes, &datacenter)) {
        e = bytes_equal_nocase(datacenter, s->datacenter) ? add_node(a, text) : OK;
    }
    return e;
}

static enum err
add_roles(struct acl *a, struct view *v, struct bytes roles, const struct acl_setting *s)
{
    struct bytes id;
    enum err e = OK;
    while (e == OK && texts_next(&roles, &id)) {
        struct view_pin pin = {0};
        struct acl_role role;
        e = view_acl_role(v, id, &pin, &role);
        e = e == OK ? add_links(a, v, &role.links, s) : e;
        view_pin_close(&pin);
        e = e == ERR_NOT_FOUND ? OK : e;
    }
    return e;
}

static enum err
add_token(struct acl *a, struct view *v, const struct acl_token *t, const struct acl_setting *s)
{
    if (bytes_equal(t->type, BYTES("management"))) {
        acl_allow_all(a);
    }
    enum err e = t->rules.len > 0 ? acl_add(a, t->rules, true, NULL) : OK;
    e = e == ERR_INVALID ? OK : e;
    e = e == OK ? add_links(a, v, &t->links, s) : e;
    return e == OK ? add_roles(a, v, t->links.roles, s) : e;
}

enum err acl_of_secret(struct view *v,
                       struct bytes secret,
                       const struct acl_setting *s,
                       struct acl **ret_acl,
                       uint64_t *ret_expires_ms)
{
    struct view_pin pin = {0};
    struct acl_token token;
    enum err e = view_acl_token_by_secret(v, secret, &pin, &token);
    if (e == OK && token.expires_ms != 0 && token.expires_ms <= s->now_ms) {
        e = ERR_NOT_FOUND;
    }
    if (e == OK) {
        struct acl *a = acl_new(s->fallback);
        e = add_token(a, v, &token, s);
        acl_seal(a);
        if (e == ERR_TOO_BIG) {
            /* More rules than can be held: not the half of them, but none. */
            acl_unref(a);
            a = acl_new(ACL_DENY);
            acl_seal(a);
            e = OK;
        }
        if (e == OK) {
            *ret_acl = a;
            *ret_expires_ms = token.expires_ms;
        } else {
            acl_unref(a);
        }
    }
    view_pin_close(&pin);
    return e;
}
