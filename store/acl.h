/* Who may: the rule language of policies, and what follows from it. Pure.
 *
 * Rules    HCL as Consul's policies use it, or the same as JSON:
 *
 *              key_prefix "app/" { policy = "read" }      # read, list, write, deny
 *              service "web" { policy = "write" }
 *              operator = "read"
 *
 *          `_prefix` is for all names that begin so; without it one name alone. Of legacy tokens
 *          every rule is for a prefix.
 * Order    the rule for exactly that name, else that of the longest prefix, else the default. Of
 *          two rules for the same, deny wins, then what allows more.
 * Names    of services, nodes, sessions and agents compare without regard to ASCII case, as rows
 *          do: else a rule could be walked around by another spelling. Keys, events and queries
 *          are bytes.
 * Owner    `struct acl` is counted, and immutable once acl_seal() was called.
 * Limits   ACL_RULES_LEN_MAX, ACL_RULES_MAX: ERR_TOO_BIG.
 * Errors   ERR_INVALID; `why` says what, and where (`At 3:7: ...`).
 * Threads  any, once sealed.
 */
#ifndef STORE_ACL_H
#define STORE_ACL_H

#include "core/base/buf.h"

enum acl_resource {
    ACL_ACL,
    ACL_AGENT,
    ACL_EVENT,
    ACL_KEY,
    ACL_KEYRING,
    ACL_MESH,
    ACL_NODE,
    ACL_OPERATOR,
    ACL_PEERING,
    ACL_QUERY,
    ACL_SERVICE,
    ACL_SESSION,
};
#define ACL_RESOURCES 12

/* In the order of what includes what. */
enum acl_access {
    ACL_DENY = 1,
    ACL_READ,
    ACL_LIST, /* of keys */
    ACL_WRITE,
};

struct acl;

/* Nobody else has it yet; without rules all is as `fallback` says (ACL_DENY or ACL_WRITE). */
struct acl *acl_new(enum acl_access fallback);
/* Everything is allowed, whatever rules there are. */
void acl_allow_all(struct acl *a);
/* `legacy`: every rule is for a prefix. */
enum err acl_add(struct acl *a, struct bytes rules, bool legacy, struct reason *why) ERR_MUST_USE;
enum err acl_add_rule(struct acl *a,
                      enum acl_resource resource,
                      bool prefix,
                      struct bytes name,
                      enum acl_access access) ERR_MUST_USE;
/* Before the first question; nothing is added any more. */
void acl_seal(struct acl *a);
struct acl *acl_ref(struct acl *a);
/* NULL is allowed. */
void acl_unref(struct acl *a);

/* `name` is empty for acl, keyring, mesh, operator and peering. */
bool acl_allows(const struct acl *a,
                enum acl_resource resource,
                struct bytes name,
                enum acl_access access);
/* On every name that begins with `prefix`, whatever rules there are below it. */
bool acl_allows_prefix(const struct acl *a,
                       enum acl_resource resource,
                       struct bytes prefix,
                       enum acl_access access);
/* On some name that begins with `prefix`. */
bool acl_allows_some(const struct acl *a,
                     enum acl_resource resource,
                     struct bytes prefix,
                     enum acl_access access);
/* Whether any name at all could be allowed that access. */
bool acl_allows_any(const struct acl *a, enum acl_resource resource, enum acl_access access);

/* "key", "service", ...; ERR_INVALID for any other word. */
const char *acl_resource_name(enum acl_resource resource);
enum err acl_resource_parse(struct bytes word, enum acl_resource *ret_resource) ERR_MUST_USE;
const char *acl_access_name(enum acl_access access);
enum err acl_access_parse(struct bytes word, enum acl_access *ret_access) ERR_MUST_USE;

/* Legacy rules as rules of today, in order, with their comments. */
enum err acl_translate(struct buf *out, struct bytes legacy_rules, struct reason *why) ERR_MUST_USE;

#endif
