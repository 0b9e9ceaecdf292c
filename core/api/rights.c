#include "core/api/rights.h"

#include "core/agent/tokens.h"
#include "core/api/api.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/config.h"
#include "store/acl_resolve.h"
#include "store/acl_rows.h"
#include "store/fleet.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* --- what holds for the process ----------------------------------------------------------------
 */

static struct {
    bool enabled;
    bool key_list;
    enum acl_access fallback;
    const struct config *config;
    const struct tokens *tokens;
} rights;

void rights_open(const struct config *c, const struct tokens *t)
{
    rights.enabled = c->acl_enabled;
    rights.key_list = c->acl_key_list;
    rights.fallback = strcmp(c->acl_default_policy, "deny") == 0 ? ACL_DENY : ACL_WRITE;
    rights.config = c;
    rights.tokens = t;
}

bool rights_enabled(void)
{
    return rights.enabled;
}

/* --- what each thread remembers ----------------------------------------------------------------
 */

struct known {
    uint64_t hash;
    char *secret;
    size_t len;
    struct acl *acl; /* NULL: there is no such token */
    uint64_t epoch;
    uint64_t index; /* of access control in the view */
    uint64_t expires_ms;
};

struct memory {
    struct memory *next;
    struct acl *lent; /* to the last caller */
    const struct acl *ambient;
    struct known known[ACL_CACHE_MAX]; /* by the hash of the secret */
};

static _Thread_local struct memory *mine;
/* Those of all threads, for the end. */
static _Atomic(struct memory *) memories;

static struct memory *memory_of_thread(void)
{
    if (mine == NULL) {
        mine = mem_zalloc(1, sizeof *mine);
        struct memory *first = atomic_load_explicit(&memories, memory_order_acquire);
        do {
            mine->next = first;
        } while (!atomic_compare_exchange_weak_explicit(
            &memories, &first, mine, memory_order_acq_rel, memory_order_acquire));
    }
    return mine;
}

static void unref(const struct acl *a)
{
    acl_unref((struct acl *)(uintptr_t)a);
}

void rights_close(void)
{
    struct memory *m = atomic_exchange_explicit(&memories, NULL, memory_order_acq_rel);
    while (m != NULL) {
        struct memory *next = m->next;
        for (size_t i = 0; i < ACL_CACHE_MAX; i++) {
            free(m->known[i].secret);
            acl_unref(m->known[i].acl);
        }
        acl_unref(m->lent);
        free(m);
        m = next;
    }
    mine = NULL;
}

static bool known_holds(const struct known *k, struct bytes secret, uint64_t epoch, uint64_t index)
{
    return k->secret != NULL && bytes_equal((struct bytes){k->secret, k->len}, secret) &&
           k->epoch == epoch && k->index == index &&
           (k->expires_ms == 0 || k->expires_ms > env_real_wall_ms());
}

/* The agent's recovery token: all of this agent, and it sees the nodes. */
static struct acl *recovery_acl(void)
{
    struct acl *a = acl_new(rights.fallback);
    bool fits =
        acl_add_rule(a, ACL_AGENT, false, bytes_of(rights.config->node_name), ACL_WRITE) == OK &&
        acl_add_rule(a, ACL_NODE, true, (struct bytes){0}, ACL_READ) == OK;
    if (!fits) {
        acl_unref(a);
        a = acl_new(ACL_DENY);
    }
    acl_seal(a);
    return a;
}

static struct acl *resolve(struct view *v, struct bytes secret, uint64_t *ret_expires_ms)
{
    struct acl_setting s = {
        .fallback = rights.fallback,
        .datacenter = bytes_of(rights.config->datacenter),
        .now_ms = env_real_wall_ms(),
    };
    struct acl *a = NULL;
    struct bytes recovery = tokens_get(rights.tokens, TOKEN_RECOVERY);
    *ret_expires_ms = 0;
    if (recovery.len > 0 && bytes_equal(recovery, secret)) {
        return recovery_acl();
    }
    enum err e = acl_of_secret(v, secret, &s, &a, ret_expires_ms);
    if (e == ERR_NOT_FOUND && bytes_equal(secret, BYTES(ACL_ANONYMOUS_SECRET))) {
        /* Nobody has written it yet: what no rule speaks of. */
        a = acl_new(rights.fallback);
        acl_seal(a);
    }
    return a;
}

/* Borrowed from the thread's memory. */
static struct acl *rights_known(struct view *v, struct bytes secret)
{
    uint64_t epoch = view_epoch(v);
    uint64_t index = view_fleet_index(v, BYTES(FLEET_INDEX_ACL));
    uint64_t hash = bytes_hash(secret);
    if (secret.len > ACL_SECRET_MAX) {
        return NULL;
    }
    struct known *k = &memory_of_thread()->known[hash % ACL_CACHE_MAX];
    if (known_holds(k, secret, epoch, index)) {
        return k->acl;
    }
    uint64_t expires_ms = 0;
    struct acl *a = resolve(v, secret, &expires_ms);
    free(k->secret);
    acl_unref(k->acl);
    *k = (struct known){
        .hash = hash,
        .secret = mem_dup(secret.ptr, secret.len),
        .len = secret.len,
        .acl = a,
        .epoch = epoch,
        .index = index,
        .expires_ms = expires_ms,
    };
    return a;
}

struct acl *rights_of(struct view *v, struct bytes secret)
{
    struct memory *m = memory_of_thread();
    struct acl *a = NULL;
    if (rights.enabled) {
        a = rights_known(v, secret.len == 0 ? BYTES(ACL_ANONYMOUS_SECRET) : secret);
        /* The memory may forget it while the caller still asks. */
        a = a == NULL ? NULL : acl_ref(a);
    } else {
        a = acl_new(ACL_WRITE);
        acl_seal(a);
    }
    acl_unref(m->lent);
    m->lent = a;
    return a;
}

uint64_t rights_index(struct view *v)
{
    return rights.enabled ? view_fleet_index(v, BYTES(FLEET_INDEX_ACL)) : 0;
}

/* --- in force -----------------------------------------------------------------------------------
 */

const struct acl *rights_enter(const struct acl *a)
{
    struct memory *m = memory_of_thread();
    const struct acl *before = m->ambient;
    m->ambient = a == NULL ? NULL : acl_ref((struct acl *)(uintptr_t)a);
    return before;
}

void rights_leave(const struct acl *before)
{
    struct memory *m = memory_of_thread();
    unref(m->ambient);
    m->ambient = before;
}

bool rights_may(enum acl_resource resource, struct bytes name, enum acl_access access)
{
    return !rights.enabled || (mine != NULL && mine->ambient != NULL &&
                               acl_allows(mine->ambient, resource, name, access));
}

bool rights_see(enum acl_resource resource, struct bytes name)
{
    return rights_may(resource, name, ACL_READ);
}

bool rights_see_instance(struct bytes node, struct bytes service)
{
    return rights_see(ACL_NODE, node) && (service.len == 0 || rights_see(ACL_SERVICE, service));
}

/* --- of requests --------------------------------------------------------------------------------
 */

struct bytes api_secret(struct request *r)
{
    return rights_secret(r->token);
}

struct bytes rights_secret(struct bytes token)
{
    struct bytes secret = token;
    if (secret.len == 0 && rights.tokens != NULL) {
        secret = tokens_get(rights.tokens, TOKEN_DEFAULT);
    }
    return secret.len == 0 ? BYTES(ACL_ANONYMOUS_SECRET) : secret;
}

const struct acl *api_rights(struct request *r)
{
    return rights_of(store_reader_view(api_of(r)->reader), api_secret(r));
}

bool api_may(struct request *r,
             enum acl_resource resource,
             struct bytes name,
             enum acl_access access)
{
    if (!rights.enabled) {
        return true;
    }
    const struct acl *a = api_rights(r);
    if (a == NULL) {
        reply_text(r, 403, "ACL not found");
        return false;
    }
    if (!acl_allows(a, resource, name, access)) {
        reply_text(r, 403, "Permission denied");
        return false;
    }
    r->judged = true;
    return true;
}

static bool authorize_key(const struct request *r, const struct acl *a)
{
    struct bytes value;
    bool recurse = request_arg(r, "recurse", &value);
    bool listing = recurse || request_arg(r, "keys", &value);
    /* What became of one key; the handler does not look at the others then. */
    listing = listing && !request_arg(r, "history", &value);
    if (r->method == METHOD_GET && listing) {
        /* Each row is judged by itself. */
        return !rights.key_list || acl_allows_prefix(a, ACL_KEY, r->rest, ACL_LIST);
    }
    if (r->method == METHOD_DELETE && recurse) {
        return acl_allows_prefix(a, ACL_KEY, r->rest, ACL_WRITE);
    }
    return acl_allows(a, ACL_KEY, r->rest, r->method == METHOD_GET ? ACL_READ : ACL_WRITE);
}

static bool authorize_class(struct request *r, const struct acl *a)
{
    enum acl_access access = r->method == METHOD_GET ? ACL_READ : ACL_WRITE;
    struct bytes none = {0};
    switch (r->route->acl) {
    case ROUTE_ACL_NONE:
    case ROUTE_ACL_FILTER:
    case ROUTE_ACL_SELF:
        return true;
    case ROUTE_ACL_KEY:
        return authorize_key(r, a);
    case ROUTE_ACL_AGENT:
        return acl_allows(a, ACL_AGENT, bytes_of(api_of(r)->config->node_name), access);
    case ROUTE_ACL_OPERATOR:
        return acl_allows(a, ACL_OPERATOR, none, access);
    case ROUTE_ACL_KEYRING:
        return acl_allows(a, ACL_KEYRING, none, access);
    case ROUTE_ACL_ACL:
        return acl_allows(a, ACL_ACL, none, access);
    case ROUTE_ACL_ALL:
        return acl_allows(a, ACL_ACL, none, ACL_WRITE);
    case ROUTE_ACL_EVENT:
        return acl_allows(a, ACL_EVENT, r->rest, access);
    }
    return false;
}

static bool authorize(struct request *r)
{
    if (!rights.enabled || r->route->acl == ROUTE_ACL_NONE) {
        return true;
    }
    const struct acl *a = api_rights(r);
    if (a == NULL) {
        reply_text(r, 403, "ACL not found");
        return false;
    }
    if (!authorize_class(r, a)) {
        reply_text(r, 403, "Permission denied");
        return false;
    }
    r->judged = r->route->acl != ROUTE_ACL_SELF && r->route->acl != ROUTE_ACL_FILTER;
    return true;
}

static void handle(struct request *r)
{
    if (!authorize(r)) {
        return;
    }
    const struct acl *before = rights_enter(api_rights(r));
    r->route->handler(r);
    rights_leave(before);
}

/* A request whose token this server does not know, on its way to the leader and back: another
 * server may have made it a moment ago. */
struct catching_up {
    struct store_read read;
    struct request *request; /* NULL: nobody waits any more */
};

static void caught_up(struct store_read *read)
{
    struct catching_up *c = read->ctx;
    struct request *r = c->request;
    if (r != NULL) {
        r->cancelled = NULL;
        r->ctx = NULL;
        handle(r);
    }
    free(c);
}

static void catching_up_cancelled(struct request *r)
{
    struct catching_up *c = r->ctx;
    c->request = NULL;
}

static void catch_up(struct request *r)
{
    struct api *api = api_of(r);
    struct catching_up *c = mem_zalloc(1, sizeof *c);
    c->request = r;
    r->late = true;
    c->read = (struct store_read){.done = caught_up, .ctx = c, .mode = READ_DEFAULT};
    r->ctx = c;
    r->cancelled = catching_up_cancelled;
    store_read(api->store, api->loop, &c->read);
}

void api_handle(struct request *r)
{
    if (!rights.enabled) {
        r->route->handler(r);
        return;
    }
    /* What a stream's handler needs of the head is gone later. */
    bool behind = r->route->acl != ROUTE_ACL_NONE && r->route->handler != api_stream &&
                  api_rights(r) == NULL && !store_read_now(api_of(r)->store, READ_DEFAULT);
    if (behind) {
        catch_up(r);
    } else {
        handle(r);
    }
}

bool api_resume(struct request *r, const struct acl **ret_before)
{
    const struct acl *a = rights.enabled ? api_rights(r) : NULL;
    if (rights.enabled && a == NULL && r->route->acl != ROUTE_ACL_NONE) {
        reply_text(r, 403, "ACL not found");
        return false;
    }
    *ret_before = rights_enter(a);
    return true;
}

bool api_is_judged(struct request *r)
{
    if (rights.enabled && !r->judged) {
        reply_text(r, 403, "Permission denied");
        return false;
    }
    return true;
}

/* --- of queries ---------------------------------------------------------------------------------
 *
 * A query that waits is evaluated at later views, for whoever waits with the same variant: so the
 * variant names the secret, and in front of it the function that answers once the rights are in
 * force: u8 whether the target is a key that must be readable, u32 length, secret, the function,
 * and the variant as it was. */

typedef enum err evaluate_fn(struct view *v,
                             struct bytes target,
                             struct bytes variant,
                             struct watch_answer *ret_answer);

static enum err deny_answer(struct watch_answer *ret_answer, struct view *v, struct bytes words)
{
    *ret_answer = (struct watch_answer){
        .status = 403,
        .index = view_index(v),
        .wake_index = UINT64_MAX,
        .content_type = "text/plain; charset=utf-8",
        .body = shared_copy(0, words),
    };
    return OK;
}

static enum err evaluate_for(struct view *v,
                             struct bytes target,
                             struct bytes variant,
                             struct watch_answer *ret_answer)
{
    uint32_t len = 0;
    evaluate_fn *evaluate = NULL;
    memcpy(&len, variant.ptr + 1, sizeof len);
    struct bytes secret = bytes_slice(variant, 1 + sizeof len, 1 + sizeof len + len);
    memcpy((void *)&evaluate, secret.ptr + len, sizeof evaluate);
    size_t head = 1 + sizeof len + len + sizeof evaluate;
    const struct acl *a = rights_of(v, secret);
    if (a == NULL) {
        return deny_answer(ret_answer, v, BYTES("ACL not found"));
    }
    if (variant.ptr[0] != 0 && !acl_allows(a, ACL_KEY, target, ACL_READ)) {
        return deny_answer(ret_answer, v, BYTES("Permission denied"));
    }
    const struct acl *before = rights_enter(a);
    enum err e = evaluate(v, target, bytes_slice(variant, head, variant.len), ret_answer);
    rights_leave(before);
    return e;
}

bool rights_query(struct request *r, const struct watch_query *q, struct watch_query *ret_query)
{
    *ret_query = *q;
    if (!rights.enabled) {
        return true;
    }
    struct bytes secret = api_secret(r);
    uint32_t len = (uint32_t)secret.len;
    size_t head = 1 + sizeof len + len + sizeof q->evaluate;
    char *variant = arena_alloc(r->arena, head + q->variant.len);
    if (variant == NULL) {
        return false;
    }
    variant[0] = q->kind == WATCH_KV_KEY;
    memcpy(variant + 1, &len, sizeof len);
    memcpy(variant + 1 + sizeof len, secret.ptr, len);
    memcpy(variant + 1 + sizeof len + len, (const void *)&q->evaluate, sizeof q->evaluate);
    if (q->variant.len > 0) {
        memcpy(variant + head, q->variant.ptr, q->variant.len);
    }
    ret_query->variant = (struct bytes){.ptr = variant, .len = head + q->variant.len};
    ret_query->evaluate = evaluate_for;
    return true;
}
