/* The rule language, rule by rule: what acl_add() and acl_translate() share.
 *
 * Owner    what the callback is given is borrowed for the call.
 * Limits   ACL_RULES_LEN_MAX; no nesting deeper than the language has, so no recursion.
 * Errors   ERR_INVALID with `why`, ERR_TOO_BIG, and what the callback returns.
 * Threads  any; nothing is shared.
 */
#ifndef STORE_ACL_PARSE_H
#define STORE_ACL_PARSE_H

#include "store/acl.h"

struct acl_rule_text {
    enum acl_resource resource;
    bool prefix; /* `_prefix` is written */
    bool scalar; /* `operator = "read"`: there is no name */
    struct bytes name;
    enum acl_access access;
    struct bytes comments; /* lines before it, each with its newline */
};

struct acl_parse {
    enum err (*rule)(void *ctx, const struct acl_rule_text *rule);
    void *ctx;
};

enum err acl_parse(struct bytes text, const struct acl_parse *p, struct reason *why) ERR_MUST_USE;

#endif
