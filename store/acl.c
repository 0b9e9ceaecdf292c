#include "store/acl.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/acl_parse.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NO_PARENT SIZE_MAX

struct rule {
    char *name;
    size_t len;
    enum acl_access access;
    size_t parent; /* of a prefix: the longest other one that it begins with */
};

/* Sorted by name once sealed, no name twice. */
struct rules {
    struct rule *items;
    size_t count;
    size_t cap;
};

struct acl {
    atomic_uint refs;
    bool all;
    bool sealed;
    enum acl_access fallback;
    size_t count; /* of all rules */
    struct rules exact[ACL_RESOURCES];
    struct rules prefix[ACL_RESOURCES];
};

static const char *const RESOURCE_NAMES[ACL_RESOURCES] = {
    [ACL_ACL] = "acl",     [ACL_AGENT] = "agent",       [ACL_EVENT] = "event",
    [ACL_KEY] = "key",     [ACL_KEYRING] = "keyring",   [ACL_MESH] = "mesh",
    [ACL_NODE] = "node",   [ACL_OPERATOR] = "operator", [ACL_PEERING] = "peering",
    [ACL_QUERY] = "query", [ACL_SERVICE] = "service",   [ACL_SESSION] = "session",
};

static const char *const ACCESS_NAMES[] = {
    [ACL_DENY] = "deny",
    [ACL_READ] = "read",
    [ACL_LIST] = "list",
    [ACL_WRITE] = "write",
};

const char *acl_resource_name(enum acl_resource resource)
{
    return RESOURCE_NAMES[resource];
}

enum err acl_resource_parse(struct bytes word, enum acl_resource *ret_resource)
{
    for (unsigned i = 0; i < ACL_RESOURCES; i++) {
        if (bytes_equal(word, bytes_of(RESOURCE_NAMES[i]))) {
            *ret_resource = (enum acl_resource)i;
            return OK;
        }
    }
    return ERR_INVALID;
}

const char *acl_access_name(enum acl_access access)
{
    return ACCESS_NAMES[access];
}

enum err acl_access_parse(struct bytes word, enum acl_access *ret_access)
{
    for (enum acl_access a = ACL_DENY; a <= ACL_WRITE; a++) {
        if (bytes_equal(word, bytes_of(ACCESS_NAMES[a]))) {
            *ret_access = a;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* Names of rows come in any case; keys, events and queries are bytes. */
static bool resource_folds(enum acl_resource r)
{
    return r == ACL_AGENT || r == ACL_NODE || r == ACL_SERVICE || r == ACL_SESSION;
}

static unsigned char fold(char c, bool folds)
{
    return (unsigned char)(folds && c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* --- building -------------------------------------------------------------------------------- */

struct acl *acl_new(enum acl_access fallback)
{
    struct acl *a = mem_zalloc(1, sizeof *a);
    a->fallback = fallback;
    atomic_init(&a->refs, 1);
    return a;
}

void acl_allow_all(struct acl *a)
{
    CHECK(!a->sealed);
    a->all = true;
}

enum err acl_add_rule(struct acl *a,
                      enum acl_resource resource,
                      bool prefix,
                      struct bytes name,
                      enum acl_access access)
{
    CHECK(!a->sealed && resource < ACL_RESOURCES);
    struct rules *rules = prefix ? &a->prefix[resource] : &a->exact[resource];
    if (a->count == ACL_RULES_MAX || name.len > ROW_NAME_MAX) {
        return ERR_TOO_BIG;
    }
    if (rules->count == rules->cap) {
        rules->cap = rules->cap == 0 ? 4 : rules->cap * 2;
        rules->items = mem_realloc(rules->items, rules->cap * sizeof *rules->items);
    }
    char *copy = mem_dup(name.ptr, name.len);
    for (size_t i = 0; i < name.len; i++) {
        copy[i] = (char)fold(copy[i], resource_folds(resource));
    }
    rules->items[rules->count++] =
        (struct rule){.name = copy, .len = name.len, .access = access, .parent = NO_PARENT};
    a->count++;
    return OK;
}

struct adding {
    struct acl *acl;
    bool legacy;
};

static enum err add_parsed(void *ctx, const struct acl_rule_text *rule)
{
    struct adding *adding = ctx;
    return acl_add_rule(adding->acl, rule->resource, rule->prefix || rule->scalar || adding->legacy,
                        rule->name, rule->access);
}

enum err acl_add(struct acl *a, struct bytes rules, bool legacy, struct reason *why)
{
    struct adding adding = {.acl = a, .legacy = legacy};
    return acl_parse(rules, &(struct acl_parse){.rule = add_parsed, .ctx = &adding}, why);
}

static struct bytes rule_name(const struct rule *r)
{
    return (struct bytes){.ptr = r->name, .len = r->len};
}

static int rule_compare(const void *a, const void *b)
{
    return bytes_compare(rule_name(a), rule_name(b));
}

/* Of two for the same name: a refusal, else what allows more. */
static enum acl_access access_join(enum acl_access a, enum acl_access b)
{
    if (a == ACL_DENY || b == ACL_DENY) {
        return ACL_DENY;
    }
    return a > b ? a : b;
}

static void rules_seal(struct rules *rules)
{
    size_t kept = 0;
    if (rules->count == 0) {
        return;
    }
    qsort(rules->items, rules->count, sizeof *rules->items, rule_compare);
    for (size_t i = 1; i < rules->count; i++) {
        struct rule *last = &rules->items[kept];
        if (rule_compare(last, &rules->items[i]) == 0) {
            last->access = access_join(last->access, rules->items[i].access);
            free(rules->items[i].name);
        } else {
            rules->items[++kept] = rules->items[i];
        }
    }
    rules->count = kept + 1;
    /* What begins with another one stands behind it, and what is between begins with it too. */
    for (size_t i = 1; i < rules->count; i++) {
        size_t at = i - 1;
        while (at != NO_PARENT &&
               !bytes_begins(rule_name(&rules->items[i]), rule_name(&rules->items[at]))) {
            at = rules->items[at].parent;
        }
        rules->items[i].parent = at;
    }
}

void acl_seal(struct acl *a)
{
    CHECK(!a->sealed);
    for (unsigned i = 0; i < ACL_RESOURCES; i++) {
        rules_seal(&a->exact[i]);
        rules_seal(&a->prefix[i]);
    }
    a->sealed = true;
}

struct acl *acl_ref(struct acl *a)
{
    CHECK(atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed) > 0);
    return a;
}

static void rules_free(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->items[i].name);
    }
    free(rules->items);
}

void acl_unref(struct acl *a)
{
    if (a == NULL || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (unsigned i = 0; i < ACL_RESOURCES; i++) {
        rules_free(&a->exact[i]);
        rules_free(&a->prefix[i]);
    }
    free(a);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* As bytes_compare(), `name` in lower case where names fold. */
static int name_compare(struct bytes rule, struct bytes name, bool folds)
{
    size_t len = rule.len < name.len ? rule.len : name.len;
    for (size_t i = 0; i < len; i++) {
        int difference = (unsigned char)rule.ptr[i] - fold(name.ptr[i], folds);
        if (difference != 0) {
            return difference;
        }
    }
    return (rule.len > name.len) - (rule.len < name.len);
}

static bool name_begins(struct bytes name, struct bytes prefix, bool folds)
{
    return name.len >= prefix.len &&
           name_compare(prefix, bytes_slice(name, 0, prefix.len), folds) == 0;
}

/* The number of rules whose name is not behind `name`. */
static size_t rules_through(const struct rules *rules, struct bytes name, bool folds)
{
    size_t low = 0;
    size_t high = rules->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (name_compare(rule_name(&rules->items[middle]), name, folds) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest prefix that `name` begins with. */
static bool rules_covering(const struct rules *rules,
                           struct bytes name,
                           bool folds,
                           enum acl_access *ret_access)
{
    size_t through = rules_through(rules, name, folds);
    size_t at = through > 0 ? through - 1 : NO_PARENT;
    while (at != NO_PARENT && !name_begins(name, rule_name(&rules->items[at]), folds)) {
        at = rules->items[at].parent;
    }
    if (at == NO_PARENT) {
        return false;
    }
    *ret_access = rules->items[at].access;
    return true;
}

static bool
rules_exact(const struct rules *rules, struct bytes name, bool folds, enum acl_access *ret_access)
{
    size_t through = rules_through(rules, name, folds);
    if (through == 0 || name_compare(rule_name(&rules->items[through - 1]), name, folds) != 0) {
        return false;
    }
    *ret_access = rules->items[through - 1].access;
    return true;
}

bool acl_allows(const struct acl *a,
                enum acl_resource resource,
                struct bytes name,
                enum acl_access access)
{
    CHECK(a->sealed);
    enum acl_access has = a->fallback;
    bool folds = resource_folds(resource);
    if (a->all) {
        return true;
    }
    if (!rules_exact(&a->exact[resource], name, folds, &has) &&
        !rules_covering(&a->prefix[resource], name, folds, &has) &&
        (resource == ACL_MESH || resource == ACL_PEERING)) {
        /* Nothing is said about them: as operators are. */
        (void)rules_covering(&a->prefix[ACL_OPERATOR], name, false, &has);
    }
    return has >= access;
}

/* Every rule for names that begin with `prefix`. */
static bool rules_allow_below(const struct rules *rules,
                              struct bytes prefix,
                              bool folds,
                              enum acl_access access)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct bytes name = rule_name(&rules->items[i]);
        bool below = name.len >= prefix.len &&
                     name_compare(bytes_slice(name, 0, prefix.len), prefix, folds) == 0;
        if (below && rules->items[i].access < access) {
            return false;
        }
    }
    return true;
}

bool acl_allows_prefix(const struct acl *a,
                       enum acl_resource resource,
                       struct bytes prefix,
                       enum acl_access access)
{
    CHECK(a->sealed);
    enum acl_access has = a->fallback;
    bool folds = resource_folds(resource);
    if (a->all) {
        return true;
    }
    (void)rules_covering(&a->prefix[resource], prefix, folds, &has);
    return has >= access && rules_allow_below(&a->prefix[resource], prefix, folds, access) &&
           rules_allow_below(&a->exact[resource], prefix, folds, access);
}

static bool
rules_allow_some(const struct rules *rules, struct bytes prefix, bool folds, enum acl_access access)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct bytes name = rule_name(&rules->items[i]);
        bool below = name.len >= prefix.len &&
                     name_compare(bytes_slice(name, 0, prefix.len), prefix, folds) == 0;
        if (below && rules->items[i].access >= access) {
            return true;
        }
    }
    return false;
}

bool acl_allows_some(const struct acl *a,
                     enum acl_resource resource,
                     struct bytes prefix,
                     enum acl_access access)
{
    CHECK(a->sealed);
    enum acl_access has = a->fallback;
    bool folds = resource_folds(resource);
    (void)rules_covering(&a->prefix[resource], prefix, folds, &has);
    return a->all || has >= access ||
           rules_allow_some(&a->prefix[resource], prefix, folds, access) ||
           rules_allow_some(&a->exact[resource], prefix, folds, access);
}

static bool rules_allow_any(const struct rules *rules, enum acl_access access)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].access >= access) {
            return true;
        }
    }
    return false;
}

bool acl_allows_any(const struct acl *a, enum acl_resource resource, enum acl_access access)
{
    CHECK(a->sealed);
    return a->all || a->fallback >= access || rules_allow_any(&a->exact[resource], access) ||
           rules_allow_any(&a->prefix[resource], access);
}

/* --- legacy rules ---------------------------------------------------------------------------- */

static enum err quote(struct buf *out, struct bytes name)
{
    enum err e = buf_append_char(out, '"');
    for (size_t i = 0; e == OK && i < name.len; i++) {
        char c = name.ptr[i];
        const char *escaped = c == '"'    ? "\\\""
                              : c == '\\' ? "\\\\"
                              : c == '\t' ? "\\t"
                              : c == '\r' ? "\\r"
                              : c == '\n' ? "\\n"
                                          : NULL;
        e = escaped != NULL ? buf_append_str(out, escaped) : buf_append_char(out, c);
    }
    return e == OK ? buf_append_char(out, '"') : e;
}

static enum err translate_rule(void *ctx, const struct acl_rule_text *rule)
{
    struct buf *out = ctx;
    const char *resource = acl_resource_name(rule->resource);
    const char *access = acl_access_name(rule->access);
    enum err e = out->len > 0 ? buf_append_str(out, "\n\n") : OK;
    e = e == OK ? buf_append(out, rule->comments) : e;
    if (e == OK && rule->scalar) {
        return buf_printf(out, "%s = \"%s\"", resource, access);
    }
    e = e == OK ? buf_printf(out, "%s_prefix ", resource) : e;
    e = e == OK ? quote(out, rule->name) : e;
    return e == OK ? buf_printf(out, " {\n  policy = \"%s\"\n}", access) : e;
}

enum err acl_translate(struct buf *out, struct bytes legacy_rules, struct reason *why)
{
    return acl_parse(legacy_rules, &(struct acl_parse){.rule = translate_rule, .ctx = out}, why);
}
