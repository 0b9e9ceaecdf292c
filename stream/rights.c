#include "stream/rights.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "stream/stream_priv.h"

#include <stdlib.h>

struct rights *rights_get(struct stream *s, struct bytes token)
{
    if (s->host.rights == NULL) {
        return NULL;
    }
    LIST_FOREACH (link, &s->rights) {
        struct rights *r = LIST_OWNER(link, struct rights, link);
        if (bytes_equal(r->token, token)) {
            return rights_hold(r);
        }
    }
    struct rights *r = mem_zalloc(1, sizeof *r);
    r->token = (struct bytes){.ptr = mem_dup(token.ptr, token.len), .len = token.len};
    r->acl = s->host.rights(s->host.ctx, s->view, r->token);
    r->holds = 1;
    list_append(&s->rights, &r->link);
    return r;
}

struct rights *rights_hold(struct rights *r)
{
    if (r != NULL) {
        r->holds++;
    }
    return r;
}

void rights_release(struct rights *r)
{
    if (r == NULL) {
        return;
    }
    CHECK(r->holds > 0);
    if (--r->holds == 0) {
        list_remove(&r->link);
        acl_unref(r->acl);
        free((void *)(uintptr_t)r->token.ptr);
        free(r);
    }
}

void rights_renew(struct stream *s)
{
    LIST_FOREACH (link, &s->rights) {
        struct rights *r = LIST_OWNER(link, struct rights, link);
        acl_unref(r->acl);
        r->acl = s->host.rights(s->host.ctx, s->view, r->token);
    }
}

/* The name in front of the slash: a deleted check has no row. */
static struct bytes check_node(const struct change *c)
{
    return bytes_slice(c->key, 0, bytes_find(c->key, '/'));
}

static bool may_read_check(const struct acl *a, const struct stream_event *e)
{
    if (e->change->op != CHANGE_SET) {
        return acl_allows(a, ACL_NODE, check_node(e->change), ACL_READ);
    }
    const struct check_row *row = &e->row.check;
    return acl_allows(a, ACL_NODE, row->node, ACL_READ) &&
           (row->service_name.len == 0 || acl_allows(a, ACL_SERVICE, row->service_name, ACL_READ));
}

bool rights_may_read(const struct rights *r, const struct stream_event *e)
{
    const struct change *c = e->change;
    if (r == NULL) {
        return true;
    }
    if (r->acl == NULL) {
        return false;
    }
    switch (c->topic) {
    case CHANGE_KV:
        /* Of a deletion by prefix whoever can read some of it must hear. */
        return c->op == CHANGE_DELETE_PREFIX ? acl_allows_some(r->acl, ACL_KEY, c->key, ACL_READ)
                                             : acl_allows(r->acl, ACL_KEY, c->key, ACL_READ);
    case CHANGE_SERVICE:
        return acl_allows(r->acl, ACL_SERVICE, c->key, ACL_READ) &&
               acl_allows(r->acl, ACL_NODE, e->row.instance.service.node, ACL_READ);
    case CHANGE_NODE:
        return acl_allows(r->acl, ACL_NODE, c->key, ACL_READ);
    case CHANGE_CHECK:
        return may_read_check(r->acl, e);
    case CHANGE_SESSION:
        return acl_allows(r->acl, ACL_SESSION, e->row.session.node, ACL_READ);
    case CHANGE_EVENT:
        return acl_allows(r->acl, ACL_EVENT, c->key, ACL_READ);
    case CHANGE_TOPICS:
        break;
    }
    return false;
}
