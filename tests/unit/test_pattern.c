/* Patterns: RE2's syntax, and no text that makes them run away. */
#include "core/base/limit.h"
#include "core/base/pattern.h"

#include <criterion/criterion.h>
#include <string.h>

static bool finds(const char *pattern, const char *text)
{
    struct pattern *p = NULL;
    struct reason why;
    cr_assert_eq(pattern_new(bytes_of(pattern), &p, &why), OK, "%s: %s", pattern, why.text);
    bool found = pattern_finds(p, bytes_of(text));
    pattern_free(p);
    return found;
}

/* Each pattern with a text it is found in and one it is not. */
Test(pattern, what_is_found_and_what_is_not)
{
    static const char *const cases[][3] = {
        {"a", "xay", "xyz"},
        {"^f", "f1", "af"},
        {"f$", "af", "fa"},
        {"^$", "", "x"},
        {"a.c", "abc", "a\nc"},
        {"(?s)a.c", "a\nc", "ac"},
        {"^a*$", "aaaa", "aab"},
        {"^a+$", "aaaa", ""},
        {"^ab?c$", "ac", "abbc"},
        {"^a{3}$", "aaa", "aa"},
        {"^a{2,}$", "aaaaa", "a"},
        {"^a{2,3}$", "aaa", "aaaa"},
        {"^a{0,2}$", "", "aaa"},
        {"^(ab){2}$", "abab", "ab"},
        {"^a{0}b$", "b", "ab"},
        {"a{,3}", "a{,3}", "aaa"},
        {"^(a|b|cd)$", "cd", "c"},
        {"^(a|)$", "", "b"},
        {"^a|b$", "xb", "xa_"},
        {"^(?:a|b)+c$", "abac", "abd"},
        {"^[a-c]+$", "abc", "abd"},
        {"^[^a-c]+$", "xyz", "xay"},
        {"^[]a]+$", "]a]", "b"},
        {"^[a-]+$", "a-a", "b"},
        {"^[\\]x]$", "]", "y"},
        {"^\\d+$", "0123", "12a"},
        {"^\\D+$", "abc", "ab1"},
        {"^\\w+\\s\\W$", "ab_1 -", "ab  a"},
        {"^[\\d\\s]+$", "1 2", "1a"},
        {"^[[:alpha:]_]+$", "ab_", "ab1"},
        {"^[[:^alpha:]]+$", "12", "a"},
        {"\\bfoo\\b", "a foo b", "afoo"},
        {"\\Bfoo", "afoo", "foo"},
        {"\\Aa\\z", "a", "ab"},
        {"(?i)^HeLLo$", "hEllO", "hell"},
        {"(?i:A)b", "ab", "aB"},
        {"(?i)^[a-c]+$", "aBC", "d"},
        {"(?m)^b$", "a\nb\nc", "ab"},
        {"a\\.b", "a.b", "axb"},
        {"^\\x41\\x{42}$", "AB", "ab"},
        {"^a*?b+?$", "aab", "aa"},
        {"^.$", "\xc3\xa4", "ab"},
        {"^[\xc3\xa4-\xc3\xb6]$", "\xc3\xa5", "a"},
        {"(?P<n>x)y", "xy", "x"},
        {"^(a+)+$", "aaa", "aab"},
        {"^(a*)*$", "", "b"},
        {"^((a|b)*c|d)*$", "abcd", "abcda"},
        {"^(a?){3}$", "aa", "aaaa"},
        {"", "anything", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert(finds(cases[i][0], cases[i][1]), "%s in %s", cases[i][0], cases[i][1]);
        cr_assert(cases[i][2] == NULL || !finds(cases[i][0], cases[i][2]), "%s not in %s",
                  cases[i][0], cases[i][2]);
    }
}

/* In the words of Go's regexp. */
Test(pattern, what_is_no_pattern_says_why)
{
    static const char *const cases[][2] = {
        {"(", "error parsing regexp: missing closing ): `(`"},
        {"a)", "error parsing regexp: unexpected ): `a)`"},
        {"*", "error parsing regexp: missing argument to repetition operator: `*`"},
        {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
        {"[a", "error parsing regexp: missing closing ]: `[a`"},
        {"[z-a]", "error parsing regexp: invalid character class range: `z-a`"},
        {"\\", "error parsing regexp: trailing backslash at end of expression: ``"},
        {"\\q", "error parsing regexp: invalid escape sequence: `\\q`"},
        {"\\1", "error parsing regexp: invalid escape sequence: `\\1`"},
        {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
        {"a{2,1}", "error parsing regexp: invalid repeat count: `{2,1}`"},
        {"(?<n>a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?<`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pattern *p = NULL;
        struct reason why;
        cr_assert_neq(pattern_new(bytes_of(cases[i][0]), &p, &why), OK, "%s", cases[i][0]);
        cr_assert_str_eq(why.text, cases[i][1], "%s", why.text);
    }
}

/* The classic of backtracking: 30 optional letters and 30 needed ones. */
Test(pattern, nothing_runs_away)
{
    char text[20001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert(finds("(a?){30}a{30}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    cr_assert(!finds("^(a+)+b$", text));
    cr_assert(!finds("(a|aa)+$b", text));
}

Test(pattern, what_would_be_too_large_is_refused)
{
    struct pattern *p = NULL;
    struct reason why;
    cr_assert_eq(pattern_new(BYTES("((a{100}){100}){100}"), &p, &why), ERR_TOO_BIG);
    char deep[200];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    cr_assert_eq(pattern_new(bytes_of(deep), &p, &why), ERR_INVALID);
}
