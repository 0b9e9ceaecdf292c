#include "core/api/bexpr_priv.h"

#include <stdio.h>
#include <string.h>

/* What waits on the stack of operators; the greater binds the closer. */
enum waiting {
    WAITING_PAREN,
    WAITING_OR,
    WAITING_AND,
    WAITING_NOT,
};

struct parse {
    struct bexpr *e;
    struct bytes text;
    size_t at;
    enum waiting stack[BEXPR_DEPTH_MAX];
    size_t depth;
    struct reason *why;
};

/* What Consul's parser says it would have taken, at the places people get wrong. */
#define EXPECTED_TERM                                                                              \
    "\"(\", \"-\", \"0\", \"\\\"\", \"`\", \"not\", [ \\t\\r\\n], [1-9] or [a-zA-Z]"
#define EXPECTED_VALUE        "\"-\", \"0\", \"\\\"\", \"`\", [ \\t\\r\\n], [1-9] or [a-zA-Z]"
#define EXPECTED_SELECTOR_END "\"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] or [a-zA-Z0-9_]"
#define EXPECTED_OPERATOR                                                                          \
    "\"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\", \"not\" or [ \\t\\r\\n]"
#define EXPECTED_VALUE_END "\".\", \"[\", [ \\t\\r\\n], [a-zA-Z0-9_] or EOF"
#define EXPECTED_JOIN      "\"and\", \"or\", [ \\t\\r\\n] or EOF"

/* `1:4 (3): `: line, column, bytes before. */
static void parse_where(const struct parse *s, char out[48])
{
    unsigned line = 1;
    unsigned column = 1;
    for (size_t i = 0; i < s->at && i < s->text.len; i++) {
        bool newline = s->text.ptr[i] == '\n';
        line += newline;
        column = newline ? 1 : column + 1;
    }
    (void)snprintf(out, 48, "%u:%u (%zu)", line, column, s->at);
}

static enum err parse_expected(struct parse *s, const char *expected)
{
    char where[48];
    parse_where(s, where);
    reason_set(s->why, "%s: no match found, expected: %s", where, expected);
    return ERR_INVALID;
}

static enum err parse_rule(struct parse *s, const char *rule, const char *what)
{
    char where[48];
    parse_where(s, where);
    reason_set(s->why, "%s: rule \"%s\": %s", where, rule, what);
    return ERR_INVALID;
}

static enum err parse_too_big(struct parse *s)
{
    reason_set(s->why, "the expression is too large: at most %u comparisons, %u levels",
               BEXPR_TESTS_MAX, BEXPR_DEPTH_MAX);
    return ERR_INVALID;
}

/* --- words ----------------------------------------------------------------------------------- */

static char parse_char(const struct parse *s)
{
    return s->at < s->text.len ? s->text.ptr[s->at] : '\0';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

/* True if there was any. */
static bool skip_space(struct parse *s)
{
    size_t from = s->at;
    while (s->at < s->text.len && is_space(s->text.ptr[s->at])) {
        s->at++;
    }
    return s->at > from;
}

/* Takes a word that ends there. */
static bool take_word(struct parse *s, const char *word)
{
    size_t len = strlen(word);
    struct bytes rest = bytes_slice(s->text, s->at, s->text.len);
    if (!bytes_begins(rest, bytes_of(word)) || (rest.len > len && is_name(rest.ptr[len]))) {
        return false;
    }
    s->at += len;
    return true;
}

static bool take_symbol(struct parse *s, const char *symbol)
{
    if (!bytes_begins(bytes_slice(s->text, s->at, s->text.len), bytes_of(symbol))) {
        return false;
    }
    s->at += strlen(symbol);
    return true;
}

/* --- values ---------------------------------------------------------------------------------- */

static enum err keep(struct parse *s, struct bytes text, struct bytes *ret_text)
{
    struct bytes copy = arena_copy(&s->e->arena, text);
    if (copy.ptr == NULL) {
        return parse_too_big(s);
    }
    *ret_text = copy;
    return OK;
}

/* At a quote. Between double ones a backslash takes what follows it as it is, but for n, r and t.
 */
static enum err take_string(struct parse *s, struct bytes *ret_text)
{
    char quote = parse_char(s);
    struct buf text;
    enum err e = OK;
    buf_init(&text, BEXPR_TEXT_MAX);
    s->at++;
    while (e == OK && s->at < s->text.len && parse_char(s) != quote) {
        char c = parse_char(s);
        if (c == '\\' && quote == '"' && s->at + 1 < s->text.len) {
            s->at++;
            c = parse_char(s);
            c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
        }
        e = buf_append_char(&text, c);
        s->at++;
    }
    if (e == OK && s->at == s->text.len) {
        e = parse_rule(s, "string", "Unterminated string literal");
    } else if (e == OK) {
        s->at++;
        e = keep(s, buf_view(&text), ret_text);
    }
    buf_close(&text);
    return e;
}

/* -1, 0, 1.5 */
static void take_number(struct parse *s, struct bytes *ret_text)
{
    size_t from = s->at;
    s->at += parse_char(s) == '-';
    while (is_digit(parse_char(s))) {
        s->at++;
    }
    if (parse_char(s) == '.' && s->at + 1 < s->text.len && is_digit(s->text.ptr[s->at + 1])) {
        s->at++;
        while (is_digit(parse_char(s))) {
            s->at++;
        }
    }
    *ret_text = bytes_slice(s->text, from, s->at);
}

static enum err take_element(struct parse *s, struct bexpr_selector *selector)
{
    if (selector->count == BEXPR_ELEMENTS_MAX) {
        return parse_too_big(s);
    }
    size_t from = s->at;
    while (is_name(parse_char(s))) {
        s->at++;
    }
    return keep(s, bytes_slice(s->text, from, s->at), &selector->elements[selector->count++]);
}

/* `["key"]`, at the bracket. */
static enum err take_index(struct parse *s, struct bexpr_selector *selector)
{
    if (selector->count == BEXPR_ELEMENTS_MAX) {
        return parse_too_big(s);
    }
    s->at++;
    (void)skip_space(s);
    if (parse_char(s) != '"' && parse_char(s) != '`') {
        return parse_rule(s, "index", "Invalid index");
    }
    enum err e = take_string(s, &selector->elements[selector->count++]);
    (void)skip_space(s);
    if (e == OK && !take_symbol(s, "]")) {
        e = parse_rule(s, "index", "Unclosed index expression");
    }
    return e;
}

/* At a letter. `raw` is the selector as it was written, which is what it means as a value. */
static enum err take_selector(struct parse *s, struct bexpr_selector *selector, struct bytes *raw)
{
    size_t from = s->at;
    *selector = (struct bexpr_selector){0};
    enum err e = take_element(s, selector);
    while (e == OK) {
        bool dot =
            parse_char(s) == '.' && s->at + 1 < s->text.len && is_name(s->text.ptr[s->at + 1]);
        if (dot) {
            s->at++;
            e = take_element(s, selector);
        } else if (parse_char(s) == '[') {
            e = take_index(s, selector);
        } else {
            break;
        }
    }
    *raw = bytes_slice(s->text, from, s->at);
    return e;
}

static enum err take_value(struct parse *s, struct bytes *ret_text)
{
    struct bexpr_selector selector;
    struct bytes raw = {0};
    char c = parse_char(s);
    if (c == '"' || c == '`') {
        return take_string(s, ret_text);
    }
    if (is_digit(c) || (c == '-' && s->at + 1 < s->text.len && is_digit(s->text.ptr[s->at + 1]))) {
        take_number(s, &raw);
        return keep(s, raw, ret_text);
    }
    if (!is_letter(c)) {
        return parse_expected(s, EXPECTED_VALUE);
    }
    enum err e = take_selector(s, &selector, &raw);
    return e == OK ? keep(s, raw, ret_text) : e;
}

/* --- comparisons ----------------------------------------------------------------------------- */

struct operator
{
    const char *words[3];
    enum bexpr_op op;
    bool negated;
    bool turned; /* the value comes first */
};

/* `is not` before `is`. */
static const struct operator OPERATORS[] = {
    {{"==", NULL, NULL}, BEXPR_EQUAL, false, false},
    {{"!=", NULL, NULL}, BEXPR_EQUAL, true, false},
    {{"contains", NULL, NULL}, BEXPR_IN, false, false},
    {{"not", "contains", NULL}, BEXPR_IN, true, false},
    {{"is", "not", "empty"}, BEXPR_EMPTY, true, false},
    {{"is", "empty", NULL}, BEXPR_EMPTY, false, false},
    {{"matches", NULL, NULL}, BEXPR_MATCHES, false, false},
    {{"not", "matches", NULL}, BEXPR_MATCHES, true, false},
    {{"in", NULL, NULL}, BEXPR_IN, false, true},
    {{"not", "in", NULL}, BEXPR_IN, true, true},
};

/* Takes all words of it, or nothing. */
static bool take_operator(struct parse *s, const struct operator* o)
{
    size_t from = s->at;
    for (size_t i = 0; i < 3 && o->words[i] != NULL; i++) {
        bool spaced = i == 0 || skip_space(s);
        bool symbol = !is_letter(o->words[i][0]);
        if (!spaced || !(symbol ? take_symbol(s, o->words[i]) : take_word(s, o->words[i]))) {
            s->at = from;
            return false;
        }
    }
    return true;
}

static const struct operator* find_operator(struct parse *s)
{
    for (size_t i = 0; i < sizeof OPERATORS / sizeof OPERATORS[0]; i++) {
        if (take_operator(s, &OPERATORS[i])) {
            return &OPERATORS[i];
        }
    }
    return NULL;
}

/* Behind `V in`. */
static enum err parse_turned(struct parse *s, struct bexpr_test *test)
{
    struct bytes raw;
    (void)skip_space(s);
    if (!is_letter(parse_char(s))) {
        return parse_expected(s, "[ \\t\\r\\n] or [a-zA-Z]");
    }
    return take_selector(s, &test->selector, &raw);
}

/* What begins with a value that is no selector can only be `V in S`. */
static enum err parse_value_first(struct parse *s, struct bexpr_test *test)
{
    enum err e = take_value(s, &test->value);
    if (e != OK) {
        return e;
    }
    (void)skip_space(s);
    const struct operator* o = find_operator(s);
    if (o == NULL || !o->turned) {
        return parse_expected(s, "\"in\", \"not\" or [ \\t\\r\\n]");
    }
    test->op = o->op;
    test->negated = o->negated;
    return parse_turned(s, test);
}

static enum err parse_test(struct parse *s, struct bexpr_test *test)
{
    struct bytes raw;
    if (!is_letter(parse_char(s))) {
        return parse_value_first(s, test);
    }
    enum err e = take_selector(s, &test->selector, &raw);
    if (e != OK) {
        return e;
    }
    bool spaced = skip_space(s);
    const struct operator* o = find_operator(s);
    if (o == NULL) {
        return parse_expected(s, spaced ? EXPECTED_OPERATOR : EXPECTED_SELECTOR_END);
    }
    test->op = o->op;
    test->negated = o->negated;
    if (o->turned) {
        e = keep(s, raw, &test->value);
        return e == OK ? parse_turned(s, test) : e;
    }
    if (o->op == BEXPR_EMPTY) {
        return OK;
    }
    (void)skip_space(s);
    return take_value(s, &test->value);
}

/* --- the whole ------------------------------------------------------------------------------- */

static enum err add_step(struct parse *s, enum bexpr_step step)
{
    if (s->e->step_count == BEXPR_STEPS_MAX) {
        return parse_too_big(s);
    }
    s->e->steps[s->e->step_count++] = step;
    return OK;
}

static enum err push(struct parse *s, enum waiting w)
{
    if (s->depth == BEXPR_DEPTH_MAX) {
        return parse_too_big(s);
    }
    s->stack[s->depth++] = w;
    return OK;
}

/* Carries out what waits and binds at least as close as `least`, down to a parenthesis. */
static enum err pop_down(struct parse *s, enum waiting least)
{
    static const enum bexpr_step steps[] = {
        [WAITING_OR] = BEXPR_OR,
        [WAITING_AND] = BEXPR_AND,
        [WAITING_NOT] = BEXPR_NOT,
    };
    enum err e = OK;
    while (e == OK && s->depth > 0 && s->stack[s->depth - 1] != WAITING_PAREN &&
           s->stack[s->depth - 1] >= least) {
        e = add_step(s, steps[s->stack[--s->depth]]);
    }
    return e;
}

/* `not`, parentheses, a comparison. `ret_more`: another term must follow. */
static enum err parse_term(struct parse *s, bool *ret_more)
{
    *ret_more = true;
    (void)skip_space(s);
    char c = parse_char(s);
    size_t from = s->at;
    if (c == '(') {
        s->at++;
        return push(s, WAITING_PAREN);
    }
    if (take_word(s, "not") && (skip_space(s) || parse_char(s) == '(')) {
        return push(s, WAITING_NOT);
    }
    s->at = from;
    if (s->at == s->text.len || (!is_letter(c) && !is_digit(c) && strchr("-\"`", c) == NULL)) {
        return parse_expected(s, EXPECTED_TERM);
    }
    if (s->e->test_count == BEXPR_TESTS_MAX) {
        return parse_too_big(s);
    }
    enum err e = parse_test(s, &s->e->tests[s->e->test_count++]);
    *ret_more = false;
    return e == OK ? add_step(s, BEXPR_TEST) : e;
}

/* Behind a term: what joins it to the next, or the end. */
static enum err parse_join(struct parse *s, bool *ret_more)
{
    bool spaced = skip_space(s);
    enum err e = OK;
    while (e == OK && parse_char(s) == ')') {
        e = pop_down(s, WAITING_OR);
        if (e == OK && s->depth == 0) {
            return parse_expected(s, spaced ? EXPECTED_JOIN : EXPECTED_VALUE_END);
        }
        s->depth -= e == OK;
        s->at++;
        spaced = skip_space(s) || e != OK;
    }
    *ret_more = true;
    if (e != OK) {
        return e;
    }
    if (s->at == s->text.len) {
        *ret_more = false;
        return OK;
    }
    enum waiting joins[] = {WAITING_AND, WAITING_OR};
    static const char *const words[] = {"and", "or"};
    for (size_t i = 0; i < 2; i++) {
        if (take_word(s, words[i])) {
            e = pop_down(s, joins[i]);
            return e == OK ? push(s, joins[i]) : e;
        }
    }
    if (s->depth > 0 && s->stack[0] == WAITING_PAREN && !spaced) {
        return parse_rule(s, "grouping", "Unmatched parentheses");
    }
    return parse_expected(s, spaced ? EXPECTED_JOIN : EXPECTED_VALUE_END);
}

enum err bexpr_parse(struct bexpr *e, struct bytes text, struct reason *why)
{
    struct parse s = {.e = e, .text = text, .why = why};
    bool more = true;
    enum err status = OK;
    if (text.len > BEXPR_TEXT_MAX) {
        reason_set(why, "the expression is longer than %zu bytes", BEXPR_TEXT_MAX);
        return ERR_INVALID;
    }
    while (status == OK && more) {
        status = parse_term(&s, &more);
        if (status == OK && !more) {
            status = parse_join(&s, &more);
        }
    }
    status = status == OK ? pop_down(&s, WAITING_OR) : status;
    if (status == OK && s.depth > 0) {
        status = parse_rule(&s, "grouping", "Unmatched parentheses");
    }
    return status;
}
