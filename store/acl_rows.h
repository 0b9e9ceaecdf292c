/* Rows of access control: tokens, policies, roles; as values, as bytes, and in a view.
 *
 * Secrets  are in the state as they are, because Consul's clients read a token back with its secret
 *          (who has acl:write); they are found by their SHA-256, so that neither the way a look-up
 *          takes nor a key of the database tells anything of one.
 * Links    of tokens and roles to policies and roles are ids, and may lead nowhere: what was
 *          deleted is no right any more, and is not shown.
 * Format   as row.h: acl_*_decode(acl_*_encode(r)) == r, other bytes are ERR_CORRUPT.
 * Owner    a decoded row borrows from its bytes: of a view, until the pin is closed, or the scan's
 *          next step.
 * Limits   ACL_* in core/base/limit_fleet.h: ERR_TOO_BIG from encode.
 * Threads  any; one pin or scan belongs to one thread.
 */
#ifndef STORE_ACL_ROWS_H
#define STORE_ACL_ROWS_H

#include "store/row.h"
#include "store/view.h"

/* Fixed ids, as Consul's. */
#define ACL_MANAGEMENT_POLICY  "00000000-0000-0000-0000-000000000001"
#define ACL_ANONYMOUS_ACCESSOR "00000000-0000-0000-0000-000000000002"
#define ACL_ANONYMOUS_SECRET   "anonymous"
#define ACL_MANAGEMENT_NAME    "global-management"

enum acl_kind {
    ACL_TOKEN = 't',
    ACL_POLICY = 'p',
    ACL_ROLE = 'r',
};

/* Identities stand for rules that are made of a name. */
struct acl_links {
    struct bytes policies; /* texts: ids */
    struct bytes roles;    /* texts: ids; of tokens only */
    struct bytes services; /* texts, each itself texts: a name, then datacenters */
    struct bytes nodes;    /* texts: a name and a datacenter in turn */
};

struct acl_token {
    struct bytes accessor; /* a UUID */
    struct bytes secret;
    struct bytes description;
    struct acl_links links;
    struct bytes type;  /* "client" or "management" of a legacy token; else empty */
    struct bytes rules; /* of a legacy token */
    bool local;
    uint64_t create_ms;  /* Unix time */
    uint64_t expires_ms; /* 0: never */
    uint64_t create_index;
    uint64_t modify_index;
};

struct acl_policy {
    struct bytes id; /* a UUID */
    struct bytes name;
    struct bytes description;
    struct bytes rules;
    struct bytes datacenters; /* texts; empty: all */
    uint64_t create_index;
    uint64_t modify_index;
};

struct acl_role {
    struct bytes id; /* a UUID */
    struct bytes name;
    struct bytes description;
    struct acl_links links;
    uint64_t create_index;
    uint64_t modify_index;
};

enum err acl_token_encode(struct buf *out, const struct acl_token *r) ERR_MUST_USE;
enum err acl_policy_encode(struct buf *out, const struct acl_policy *r) ERR_MUST_USE;
enum err acl_role_encode(struct buf *out, const struct acl_role *r) ERR_MUST_USE;
enum err acl_token_decode(struct bytes data, struct acl_token *ret_row) ERR_MUST_USE;
enum err acl_policy_decode(struct bytes data, struct acl_policy *ret_row) ERR_MUST_USE;
enum err acl_role_decode(struct bytes data, struct acl_role *ret_row) ERR_MUST_USE;

/* SHA-256, as 64 characters. */
#define ACL_HASH_LEN 64
void acl_hash(struct bytes data, char ret_hex[ACL_HASH_LEN]);

/* --- in a view ------------------------------------------------------------------------------- */

enum err view_acl_token(struct view *v,
                        struct bytes accessor,
                        struct view_pin *pin,
                        struct acl_token *ret_row) ERR_MUST_USE;
enum err view_acl_token_by_secret(struct view *v,
                                  struct bytes secret,
                                  struct view_pin *pin,
                                  struct acl_token *ret_row) ERR_MUST_USE;
enum err view_acl_policy(struct view *v,
                         struct bytes id,
                         struct view_pin *pin,
                         struct acl_policy *ret_row) ERR_MUST_USE;
enum err view_acl_role(struct view *v,
                       struct bytes id,
                       struct view_pin *pin,
                       struct acl_role *ret_row) ERR_MUST_USE;
/* The id of the policy or role of that name, into `out` (cleared first). */
enum err
view_acl_id_of(struct view *v, enum acl_kind kind, struct bytes name, struct buf *out) ERR_MUST_USE;
/* When the first management token was made; 0: none was. */
uint64_t view_acl_bootstrapped(struct view *v);

/* Encoded rows of one kind, in the order of their ids. */
struct acl_scan;
struct acl_scan *acl_scan_open(struct view *v, enum acl_kind kind);
/* ERR_NOT_FOUND behind the last. */
enum err acl_scan_next(struct acl_scan *scan, struct bytes *ret_data) ERR_MUST_USE;
void acl_scan_close(struct acl_scan *scan);

#endif
