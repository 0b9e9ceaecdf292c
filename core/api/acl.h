/* What the handlers of /v1/acl share: rows as JSON, reads that may wait, writes and their answers.
 *
 * Owner    json_t values are the caller's; a `struct acl_draft` owns its lists from
 *          acl_draft_init() to acl_draft_close().
 * Threads  the front's loop; the *_json functions any.
 */
#ifndef CORE_API_ACL_H
#define CORE_API_ACL_H

#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "store/acl_rows.h"

/* --- as JSON ---------------------------------------------------------------------------------- */

/* As Consul shows them; `listed`: as in a list (a token without its secret, a policy without its
 * rules). Links that lead nowhere are left out. */
json_t *acl_token_json(struct view *v, const struct acl_token *t, bool listed);
json_t *acl_policy_json(const struct acl_policy *p, bool listed);
json_t *acl_role_json(struct view *v, const struct acl_role *role);

/* A member of an object by its name in any case; NULL: none. */
const json_t *acl_member(const json_t *object, const char *name);
/* A member that is a text; empty: none. */
struct bytes acl_member_text(const json_t *object, const char *name);

/* --- reading ---------------------------------------------------------------------------------- */

/* The answer for one id (or name, or secret); NULL: there is none, which is 403 `ACL not found`, as
 * Consul says it. Pure. */
typedef json_t *acl_show_fn(struct view *v, struct bytes id);
/* Answers with what `show` shows, now or, if the client waits, when access control has changed. */
void acl_answer(struct request *r, acl_show_fn *show, struct bytes id);

/* Access control is off: 401, answered; false. */
bool acl_is_on(struct request *r);
/* The body as an object; NULL: answered. */
json_t *acl_body(struct request *r);

/* --- writing ---------------------------------------------------------------------------------- */

struct acl_draft {
    struct buf policies;
    struct buf roles;
    struct buf services;
    struct buf nodes;
};

void acl_draft_init(struct acl_draft *d);
void acl_draft_close(struct acl_draft *d);
/* Policies, Roles, ServiceIdentities, NodeIdentities of the body: names become ids, each once.
 * False: answered. */
bool acl_draft_links(struct request *r, struct acl_draft *d, const json_t *body);
struct acl_links acl_draft_view(const struct acl_draft *d);

/* Proposes an encoded row, or a deletion (`row` empty), then answers with `show` of `id`, or, NULL,
 * with true. `id` is copied. */
void acl_write(struct request *r,
               struct command *c,
               struct bytes id,
               void (*done)(struct request *r, struct bytes id));
/* A `done` that answers true. */
void acl_done_true(struct request *r, struct bytes id);
/* Links of a token that is a management token. */
bool acl_is_management(const struct acl_token *t);
/* Whether an id is one; else answered. */
bool acl_id_fits(struct request *r, const char *what, struct bytes id);

#endif
