/* Writes of access control: links out of bodies, proposals and their answers. */
#include "core/api/acl.h"
#include "core/base/limit.h"

void acl_draft_init(struct acl_draft *d)
{
    buf_init(&d->policies, ACL_LINKS_MAX);
    buf_init(&d->roles, ACL_LINKS_MAX);
    buf_init(&d->services, ACL_LINKS_MAX);
    buf_init(&d->nodes, ACL_LINKS_MAX);
}

void acl_draft_close(struct acl_draft *d)
{
    buf_close(&d->policies);
    buf_close(&d->roles);
    buf_close(&d->services);
    buf_close(&d->nodes);
}

struct acl_links acl_draft_view(const struct acl_draft *d)
{
    return (struct acl_links){
        .policies = buf_view(&d->policies),
        .roles = buf_view(&d->roles),
        .services = buf_view(&d->services),
        .nodes = buf_view(&d->nodes),
    };
}

static bool too_many(struct request *r)
{
    reply_text(r, 400, "more links, or longer ones, than %u bytes", ACL_LINKS_MAX);
    return false;
}

static bool id_exists(struct view *v, enum acl_kind kind, struct bytes id)
{
    struct view_pin pin = {0};
    struct acl_policy policy;
    struct acl_role role;
    enum err e = kind == ACL_POLICY ? view_acl_policy(v, id, &pin, &policy)
                                    : view_acl_role(v, id, &pin, &role);
    view_pin_close(&pin);
    return e == OK;
}

/* One {ID} or {Name}. */
static bool draft_link(struct request *r, struct buf *out, enum acl_kind kind, const json_t *link)
{
    struct view *v = store_reader_view(api_of(r)->reader);
    struct bytes name = acl_member_text(link, "Name");
    struct bytes id = acl_member_text(link, "ID");
    const char *word = kind == ACL_POLICY ? "policy" : "role";
    struct buf found;
    buf_init(&found, SESSION_ID_MAX);
    if (id.len == 0) {
        if (view_acl_id_of(v, kind, name, &found) != OK) {
            reply_text(r, 500, "No such ACL %s with name \"%.*s\"", word, BYTES_FORMAT(name));
            buf_close(&found);
            return false;
        }
        id = buf_view(&found);
    } else if (!id_exists(v, kind, id)) {
        reply_text(r, 500, "Cannot find %s with ID \"%.*s\"", word, BYTES_FORMAT(id));
        buf_close(&found);
        return false;
    }
    bool fits = texts_have(buf_view(out), id) || texts_add(out, id) == OK;
    buf_close(&found);
    return fits || too_many(r);
}

static bool draft_list(struct request *r, struct buf *out, enum acl_kind kind, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!draft_link(r, out, kind, json_array_get(list, i))) {
            return false;
        }
    }
    return true;
}

static bool draft_services(struct request *r, struct buf *out, const json_t *list)
{
    struct buf one;
    bool fits = true;
    buf_init(&one, ACL_LINKS_MAX);
    for (size_t i = 0; fits && i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const json_t *datacenters = acl_member(row, "Datacenters");
        struct bytes name = acl_member_text(row, "ServiceName");
        buf_clear(&one);
        fits = name.len > 0 && texts_add(&one, name) == OK;
        for (size_t j = 0; fits && j < json_array_size(datacenters); j++) {
            const json_t *dc = json_array_get(datacenters, j);
            fits = json_is_string(dc) && texts_add(&one, bytes_of(json_string_value(dc))) == OK;
        }
        fits = fits && texts_add(out, buf_view(&one)) == OK;
    }
    buf_close(&one);
    if (!fits) {
        reply_text(r, 400, "Service identity is missing the service name field on this token");
    }
    return fits;
}

static bool draft_nodes(struct request *r, struct buf *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        struct bytes name = acl_member_text(row, "NodeName");
        struct bytes dc = acl_member_text(row, "Datacenter");
        if (name.len == 0 || dc.len == 0) {
            reply_text(r, 400, "Node identity is missing the %s field on this token",
                       name.len == 0 ? "node name" : "datacenter");
            return false;
        }
        if (texts_add(out, name) != OK || texts_add(out, dc) != OK) {
            return too_many(r);
        }
    }
    return true;
}

bool acl_draft_links(struct request *r, struct acl_draft *d, const json_t *body)
{
    return draft_list(r, &d->policies, ACL_POLICY, acl_member(body, "Policies")) &&
           draft_list(r, &d->roles, ACL_ROLE, acl_member(body, "Roles")) &&
           draft_services(r, &d->services, acl_member(body, "ServiceIdentities")) &&
           draft_nodes(r, &d->nodes, acl_member(body, "NodeIdentities"));
}

/* --- proposing -------------------------------------------------------------------------------- */

/* What a write's answer needs; in the request's arena, and in `rest` while it is under way. */
struct acl_wait {
    void (*done)(struct request *r, struct bytes id);
    struct bytes id;
};

static void acl_written(struct request *r, const struct proposal *p)
{
    const struct acl_wait *wait = (const void *)r->rest.ptr;
    if (p->status == ERR_CONFLICT) {
        struct bytes detail = p->detail;
        reply_text(r, bytes_begins(detail, BYTES("Permission denied")) ? 403 : 500, "%.*s",
                   BYTES_FORMAT(detail));
        return;
    }
    wait->done(r, wait->id);
}

void acl_done_true(struct request *r, struct bytes id)
{
    (void)id;
    reply_bytes(r, 200, "application/json", BYTES("true"));
}

void acl_write(struct request *r,
               struct command *c,
               struct bytes id,
               void (*done)(struct request *r, struct bytes id))
{
    struct acl_wait *wait = arena_alloc(r->arena, sizeof *wait);
    struct bytes copy = arena_copy(r->arena, id);
    if (wait == NULL || copy.ptr == NULL) {
        reply_err(r, ERR_TOO_BIG);
        return;
    }
    *wait = (struct acl_wait){.done = done, .id = copy};
    r->rest = (struct bytes){.ptr = (const char *)wait, .len = sizeof *wait};
    api_propose_then(r, c, acl_written);
}
