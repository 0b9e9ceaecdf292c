/* Who may: the rule language and its decisions. */
#include "core/base/limit.h"
#include "store/acl.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct acl *acl_of(const char *rules)
{
    struct reason why = {0};
    struct acl *a = acl_new(ACL_DENY);
    enum err e = acl_add(a, bytes_of(rules), false, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    acl_seal(a);
    return a;
}

static bool may(const struct acl *a, enum acl_resource r, const char *name, enum acl_access access)
{
    return acl_allows(a, r, bytes_of(name), access);
}

/* The rule for the name itself is before those of prefixes, and of these the longest counts. */
Test(acl, exact_beats_the_longest_prefix_which_beats_shorter_ones)
{
    struct acl *a = acl_of("key_prefix \"\" { policy = \"read\" }\n"
                           "key_prefix \"app/\" { policy = \"write\" }\n"
                           "key_prefix \"app/secret\" { policy = \"deny\" }\n"
                           "key \"app/secret/mine\" { policy = \"write\" }\n");
    cr_assert(may(a, ACL_KEY, "other", ACL_READ));
    cr_assert(!may(a, ACL_KEY, "other", ACL_WRITE));
    cr_assert(may(a, ACL_KEY, "app/x", ACL_WRITE));
    cr_assert(!may(a, ACL_KEY, "app/secret/x", ACL_READ));
    cr_assert(!may(a, ACL_KEY, "app/secret", ACL_READ));
    cr_assert(may(a, ACL_KEY, "app/secret/mine", ACL_WRITE));
    cr_assert(!may(a, ACL_KEY, "app/secret/mine/not", ACL_READ));
    /* Between two rules in order, covered by neither of the nearer ones. */
    cr_assert(may(a, ACL_KEY, "app/zzz", ACL_WRITE));
    cr_assert(!may(a, ACL_NODE, "other", ACL_READ));
    acl_unref(a);
}

/* A whole subtree is allowed only where every rule below allows it. */
Test(acl, a_subtree_needs_every_rule_below_it)
{
    struct acl *a = acl_of("key_prefix \"app/\" { policy = \"write\" }\n"
                           "key \"app/one/fixed\" { policy = \"read\" }\n"
                           "key_prefix \"app/two/no\" { policy = \"deny\" }\n");
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES(""), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("ap"), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("app/"), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("app/one"), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("app/one/fixed"), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("app/two/"), ACL_WRITE));
    cr_assert(!acl_allows_prefix(a, ACL_KEY, BYTES("app/two/nobody"), ACL_WRITE));
    cr_assert(acl_allows_prefix(a, ACL_KEY, BYTES("app/three"), ACL_WRITE));
    acl_unref(a);
}

/* Policies are joined: what one denies no other allows. */
Test(acl, deny_beats_what_another_policy_allows)
{
    struct reason why;
    struct acl *a = acl_new(ACL_WRITE);
    cr_assert_eq(acl_add(a, BYTES("service \"web\" { policy = \"write\" }"), false, &why), OK);
    cr_assert_eq(acl_add(a, BYTES("service \"WEB\" { policy = \"deny\" }"), false, &why), OK);
    cr_assert_eq(acl_add(a, BYTES("service \"db\" { policy = \"read\" }"), false, &why), OK);
    cr_assert_eq(acl_add(a, BYTES("service \"db\" { policy = \"write\" }"), false, &why), OK);
    acl_seal(a);
    cr_assert(!may(a, ACL_SERVICE, "web", ACL_READ));
    cr_assert(!may(a, ACL_SERVICE, "Web", ACL_READ));
    cr_assert(may(a, ACL_SERVICE, "db", ACL_WRITE));
    cr_assert(may(a, ACL_SERVICE, "unsaid", ACL_WRITE));
    acl_unref(a);
}

Test(acl, list_is_between_read_and_write_and_of_keys_alone)
{
    struct reason why;
    struct acl *a = acl_of("key_prefix \"a\" { policy = \"list\" } operator = \"read\"");
    cr_assert(may(a, ACL_KEY, "a/b", ACL_READ) && may(a, ACL_KEY, "a/b", ACL_LIST));
    cr_assert(!may(a, ACL_KEY, "a/b", ACL_WRITE));
    cr_assert(may(a, ACL_OPERATOR, "", ACL_READ) && !may(a, ACL_OPERATOR, "", ACL_WRITE));
    cr_assert(may(a, ACL_MESH, "", ACL_READ), "nothing is said of the mesh: as operators");
    cr_assert(!may(a, ACL_KEYRING, "", ACL_READ));
    acl_unref(a);
    a = acl_new(ACL_DENY);
    cr_assert_eq(acl_add(a, BYTES("node \"a\" { policy = \"list\" }"), false, &why), ERR_INVALID);
    acl_unref(a);
}

Test(acl, json_says_the_same_as_hcl)
{
    struct acl *a = acl_of("{\"key_prefix\": {\"app/\": {\"policy\": \"write\"}, "
                           "\"x\": {\"policy\": \"read\"}}, \"operator\": \"read\", "
                           "\"node\": [{\"n1\": {\"policy\": \"read\"}}]}");
    cr_assert(may(a, ACL_KEY, "app/1", ACL_WRITE));
    cr_assert(may(a, ACL_KEY, "xyz", ACL_READ) && !may(a, ACL_KEY, "xyz", ACL_WRITE));
    cr_assert(may(a, ACL_OPERATOR, "", ACL_READ));
    cr_assert(may(a, ACL_NODE, "n1", ACL_READ) && !may(a, ACL_NODE, "n11", ACL_READ));
    acl_unref(a);
}

Test(acl, legacy_rules_are_for_prefixes)
{
    struct reason why;
    struct acl *a = acl_new(ACL_WRITE);
    cr_assert_eq(acl_add(a, BYTES("key \"\" { policy = \"deny\" }"), true, &why), OK);
    acl_seal(a);
    cr_assert(!may(a, ACL_KEY, "anything", ACL_READ));
    acl_unref(a);
}

/* What is wrong is said with its place, and nothing crashes. */
Test(acl, errors_say_where)
{
    static const struct {
        const char *rules;
        const char *why;
    } cases[] = {
        {"zzz {", "At 1:7: object expected closing RBRACE got: EOF"},
        {"zzz { }", "At 1:1: no resource has this name"},
        {"key \"a\" {", "At 1:11: object expected closing RBRACE got: EOF"},
        {"key \"a\" { policy = \"all\" }",
         "At 1:20: a policy is \"read\", \"write\" or \"deny\", or \"list\" of keys"},
        {"\nkey { }", "At 2:5: expected a name in quotes"},
        {"operator \"x\" { policy = \"read\" }", "At 1:10: expected = and a policy"},
        {"key \"a\" { }", "At 1:13: a rule without a policy"},
        {"operator_prefix = \"read\"", "At 1:1: no resource has this name"},
        {"key \"open", "At 1:5: expected a name in quotes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reason why = {0};
        struct acl *a = acl_new(ACL_DENY);
        cr_assert_eq(acl_add(a, bytes_of(cases[i].rules), false, &why), ERR_INVALID);
        cr_assert_str_eq(why.text, cases[i].why);
        acl_unref(a);
    }
}

Test(acl, translation_keeps_order_and_comments)
{
    struct reason why;
    struct buf out;
    buf_init(&out, KIB(64));
    cr_assert_eq(
        acl_translate(&out,
                      BYTES("#first\nagent \"\" {\n   policy = \"read\"\n}\n"
                            "operator=\"write\" # of it\nkey \"a\\\"b\" {policy=\"deny\"}"),
                      &why),
        OK);
    cr_assert(
        bytes_equal(buf_view(&out), BYTES("#first\nagent_prefix \"\" {\n  policy = \"read\"\n}\n\n"
                                          "operator = \"write\"\n\n# of it\n"
                                          "key_prefix \"a\\\"b\" {\n  policy = \"deny\"\n}")),
        "%.*s", BYTES_FORMAT(buf_view(&out)));
    buf_close(&out);
}

/* The search for the longest prefix against the plain way, on many small random sets. */
Test(acl, decisions_are_those_of_the_plain_way)
{
    unsigned seed = 7;
    for (int round = 0; round < 2000; round++) {
        struct acl *a = acl_new(ACL_DENY);
        char names[6][5];
        enum acl_access levels[6];
        for (size_t i = 0; i < 6; i++) {
            size_t len = 0;
            for (seed = seed * 1103515245 + 12345; len < (seed >> 16) % 5; len++) {
                names[i][len] = (char)('a' + ((seed >> (8 + len)) & 1));
            }
            names[i][len] = '\0';
            levels[i] = (enum acl_access)(1 + (seed >> 20) % 4);
            cr_assert_eq(acl_add_rule(a, ACL_KEY, true, bytes_of(names[i]), levels[i]), OK);
        }
        acl_seal(a);
        for (unsigned bits = 0; bits < 32; bits++) {
            char name[6] = {0};
            for (unsigned i = 0; i < 5; i++) {
                name[i] = (char)('a' + ((bits >> i) & 1));
            }
            enum acl_access want = ACL_DENY;
            size_t longest = 0;
            bool found = false;
            for (size_t i = 0; i < 6; i++) {
                size_t len = strlen(names[i]);
                if (strncmp(name, names[i], len) != 0 || (found && len < longest)) {
                    continue;
                }
                bool same = found && len == longest;
                want = !same                                       ? levels[i]
                       : want == ACL_DENY || levels[i] == ACL_DENY ? ACL_DENY
                       : want > levels[i]                          ? want
                                                                   : levels[i];
                longest = len;
                found = true;
            }
            for (enum acl_access x = ACL_READ; x <= ACL_WRITE; x++) {
                cr_assert_eq(may(a, ACL_KEY, name, x), want >= x, "%s", name);
            }
        }
        acl_unref(a);
    }
}
