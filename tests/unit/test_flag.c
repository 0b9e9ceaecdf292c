#include "core/flag.h"

#include <criterion/criterion.h>
#include <string.h>

static bool on;
static const char *text = "default";
static uint64_t number;
static struct flag_texts texts;
static struct flag_rest rest;
static struct reason why;

/* `rest` points into the arguments, which outlive the assertion's own block here. */
static enum err parse(int argc, const char *const *given)
{
    static const char *argv[16];
    cr_assert_leq((size_t)argc, sizeof argv / sizeof argv[0]);
    memcpy(argv, given, (size_t)argc * sizeof *argv);
    const struct flag flags[] = {
        {"on", FLAG_SWITCH, &on, NULL, "A switch."},
        {"text", FLAG_TEXT, &text, "string", "A text."},
        {"number", FLAG_U64, &number, "uint", "A number."},
        {"many", FLAG_TEXTS, &texts, "value", "Several."},
    };
    const struct flag_set set = {.flags = flags, .count = 4};
    return flags_parse(&set, 1, argc, (char **)argv, &rest, &why);
}

#define PARSE(...)                                                                                 \
    parse(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

Test(flag, all_forms_of_a_flag)
{
    cr_assert_eq(PARSE("-on", "--text", "a", "-number=7", "-many=x", "-many", "-y", "rest"), OK);
    cr_assert(on);
    cr_assert_str_eq(text, "a");
    cr_assert_eq(number, 7);
    cr_assert_eq(texts.count, 2);
    cr_assert_str_eq(texts.items[1], "-y");
    cr_assert_eq(rest.argc, 1);
    cr_assert_str_eq(rest.argv[0], "rest");
}

Test(flag, a_switch_takes_no_argument_of_its_own)
{
    cr_assert_eq(PARSE("-on", "false"), OK);
    cr_assert(on);
    cr_assert_eq(rest.argc, 1);
    cr_assert_eq(PARSE("-on=false"), OK);
    cr_assert_not(on);
}

Test(flag, flags_end_at_the_first_argument_and_at_two_dashes)
{
    cr_assert_eq(PARSE("a", "-on"), OK);
    cr_assert_eq(rest.argc, 2);
    cr_assert_eq(PARSE("--", "-on"), OK);
    cr_assert_eq(rest.argc, 1);
    cr_assert_eq(PARSE("-", "-on"), OK);
    cr_assert_eq(rest.argc, 2);
    cr_assert_not(on);
}

Test(flag, an_empty_value_is_a_value)
{
    cr_assert_eq(PARSE("-text=", "-many", ""), OK);
    cr_assert_str_eq(text, "");
    cr_assert_eq(texts.count, 1);
}

Test(flag, mistakes_are_named)
{
    cr_assert_eq(PARSE("-zz"), ERR_INVALID);
    cr_assert_str_eq(why.text, "flag provided but not defined: -zz");
    cr_assert_eq(PARSE("-text"), ERR_INVALID);
    cr_assert_str_eq(why.text, "flag needs an argument: -text");
    cr_assert_eq(PARSE("-number=-1"), ERR_INVALID);
    cr_assert_str_eq(why.text, "invalid value \"-1\" for flag -number: parse error");
    cr_assert_eq(PARSE("-on=2"), ERR_INVALID);
    cr_assert_str_eq(why.text, "invalid boolean value \"2\" for flag -on: parse error");
    cr_assert_eq(PARSE("-=x"), ERR_INVALID);
    cr_assert_str_eq(why.text, "bad flag syntax: -=x");
}

Test(flag, help_is_asked_for_by_name)
{
    cr_assert_eq(PARSE("-h"), OK);
    cr_assert(rest.help);
    cr_assert_eq(PARSE("--help", "-zz"), OK);
    cr_assert(rest.help);
    cr_assert_eq(PARSE("-on"), OK);
    cr_assert_not(rest.help);
}
