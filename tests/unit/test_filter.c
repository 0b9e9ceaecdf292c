#include "stream/filter.h"

#include "core/base/limit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct change CHANGE = {
    .index = 48214,
    .topic = CHANGE_KV,
    .op = CHANGE_SET,
    .key = {.ptr = "app/web/1", .len = 9},
    .value = {.ptr = "hello", .len = 5},
    .flags = 42,
    .create_index = 7,
};

Test(filter, says_what_it_means)
{
    static const struct {
        const char *text;
        bool holds;
    } rows[] = {
        {"op == \"set\"", true},
        {"op==set", true},
        {"op != set", false},
        {"op == delete or op == set", true},
        {"op in [delete, `delete-prefix`]", false},
        {"op in [\"delete\", \"set\"]", true},
        {"op not in [delete]", true},
        {"op in []", false},
        {"op not in []", true},
        {"key contains \"/web/\"", true},
        {"key not contains \"/web/\"", false},
        {"key prefix app/", true},
        {"key suffix /1", true},
        {"key not suffix /2", true},
        {"\"web\" in key", true},
        {"\"db\" not in key", true},
        {"value == hello", true},
        {"value is empty", false},
        {"session is empty and value is not empty", true},
        {"flags == 42", true},
        {"flags in [1, 42]", true},
        {"flags < 42", false},
        {"flags <= 42", true},
        {"flags > 41 and flags >= 42", true},
        {"size == 5 and index == 48214 and create_index == 7 and lock_index == 0", true},
        {"not op == set", false},
        {"not not op == set", true},
        {"op == delete and flags == 1 or flags == 42", true},
        {"op == delete and (flags == 1 or flags == 42)", false},
        {"not (op == delete) and not (flags == 1)", true},
        {"((((op == set))))", true},
        {"flags == 42 or flags == 1 and flags == 1", true},
        {"key == \"a\\\"b\" or key == \"app/web/1\"", true},
        {"key contains \"\"", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        cr_assert_eq(filter_new(bytes_of(rows[i].text), &f, &why), OK, "%s: %s", rows[i].text,
                     why.text);
        cr_assert_eq(filter_matches(f, &CHANGE), rows[i].holds, "%s", rows[i].text);
        filter_free(f);
    }
}

Test(filter, says_where_it_is_wrong)
{
    static const struct {
        const char *text;
        const char *why;
    } rows[] = {
        {"", "column 1: "},
        {"op", "column 3: "},
        {"op = set", "column 4: "},
        {"name == x", "column 1: "},
        {"op == set and", "column 14: "},
        {"(op == set", "column 11: "},
        {"op == set)", "column 10: "},
        {"op == \"set", "column 7: "},
        {"flags == x", "column 10: "},
        {"flags contains 1", "column 7: "},
        {"key < a", "column 5: "},
        {"key matches a", "column 5: "},
        {"op in (set)", "column 7: "},
        {"op in [set", "column 11: "},
        {"op == set set", "column 11: "},
        {"\"x\" in flags", "column 8: "},
        {"op == set \x01", "column 11: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct filter *f = NULL;
        struct reason why = {{0}};
        cr_assert_eq(filter_new(bytes_of(rows[i].text), &f, &why), ERR_INVALID, "%s", rows[i].text);
        cr_assert(strncmp(why.text, rows[i].why, strlen(rows[i].why)) == 0, "%s: %s", rows[i].text,
                  why.text);
    }
}

Test(filter, has_limits)
{
    static char text[STREAM_FILTER_MAX + 100];
    struct filter *f = NULL;
    struct reason why = {{0}};
    memset(text, '(', 1000);
    cr_assert_eq(filter_new(bytes_of(text), &f, &why), ERR_INVALID);
    memset(text, ' ', STREAM_FILTER_MAX + 1);
    cr_assert_eq(filter_new(bytes_of(text), &f, &why), ERR_INVALID);
    size_t len = 0;
    for (size_t i = 0; i < 300; i++) {
        len += (size_t)sprintf(text + len, "size<9%s", i < 299 ? " or " : "");
    }
    cr_assert_lt(len, STREAM_FILTER_MAX);
    cr_assert_eq(filter_new(bytes_of(text), &f, &why), ERR_INVALID);
}
