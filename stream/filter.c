#include "stream/filter.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Steps of one program; each `in [...]` value takes two. */
#define FILTER_STEPS     ((size_t)STREAM_FILTER_TERMS * 2)
#define FILTER_NAMES_MAX 256U /* the fields of a topic, for a reason */

enum step_kind {
    STEP_EQUAL,
    STEP_CONTAINS,
    STEP_PREFIX,
    STEP_SUFFIX,
    STEP_LESS,
    STEP_MORE,
    STEP_EMPTY,
    STEP_FALSE, /* `in []` */
    /* the ones from here on take their operands from the stack */
    STEP_NOT,
    STEP_AND,
    STEP_OR,
    STEP_OPEN, /* only while compiling */
};

/* One step of the program in postfix order. */
struct step {
    enum step_kind kind;
    enum field field;
    bool negated;
    uint64_t number;
    struct bytes text; /* points into the filter's memory */
};

struct filter {
    struct step *steps;
    size_t count;
    char *memory; /* the texts */
};

/* --- words ----------------------------------------------------------------------------------- */

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING,
    TOKEN_SIGN, /* == != < <= > >= ( ) [ ] , */
    TOKEN_BAD,
};

struct token {
    enum token_kind kind;
    struct bytes text;
    size_t column;
};

struct compiler {
    enum change_topic topic;
    struct bytes text;
    size_t at;
    struct token token; /* the next one */
    struct filter *filter;
    char *memory_at;
    size_t values;
    enum step_kind waiting[STREAM_FILTER_DEPTH + 2]; /* operators not yet written */
    size_t waiting_count;
    struct reason *why;
};

static bool filter_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
}

/* Copies without the escapes; the memory holds as much as the text. */
static void filter_read_string(struct compiler *k)
{
    char quote = k->text.ptr[k->at++];
    char *start = k->memory_at;
    while (k->at < k->text.len && k->text.ptr[k->at] != quote) {
        if (quote == '"' && k->text.ptr[k->at] == '\\' && k->at + 1 < k->text.len) {
            k->at++;
        }
        *k->memory_at++ = k->text.ptr[k->at++];
    }
    if (k->at >= k->text.len) {
        k->token.kind = TOKEN_BAD;
        return;
    }
    k->at++;
    k->token.kind = TOKEN_STRING;
    k->token.text = (struct bytes){.ptr = start, .len = (size_t)(k->memory_at - start)};
}

static void filter_read_word(struct compiler *k)
{
    size_t from = k->at;
    while (k->at < k->text.len && filter_word_char(k->text.ptr[k->at])) {
        k->at++;
    }
    size_t len = k->at - from;
    memcpy(k->memory_at, k->text.ptr + from, len);
    k->token.kind = TOKEN_WORD;
    k->token.text = (struct bytes){.ptr = k->memory_at, .len = len};
    k->memory_at += len;
}

static void filter_advance(struct compiler *k)
{
    while (k->at < k->text.len && strchr(" \t\r\n", k->text.ptr[k->at]) != NULL &&
           k->text.ptr[k->at] != '\0') {
        k->at++;
    }
    k->token = (struct token){.kind = TOKEN_END, .column = k->at + 1};
    if (k->at == k->text.len) {
        return;
    }
    char c = k->text.ptr[k->at];
    bool doubled = k->at + 1 < k->text.len && k->text.ptr[k->at + 1] == '=';
    if (c == '"' || c == '`') {
        filter_read_string(k);
    } else if (filter_word_char(c)) {
        filter_read_word(k);
    } else if (strchr("=!<>", c) != NULL && c != '\0' && doubled) {
        k->token.kind = TOKEN_SIGN;
        k->token.text = bytes_slice(k->text, k->at, k->at + 2);
        k->at += 2;
    } else if (strchr("<>()[],", c) != NULL && c != '\0') {
        k->token.kind = TOKEN_SIGN;
        k->token.text = bytes_slice(k->text, k->at, k->at + 1);
        k->at++;
    } else {
        k->token.kind = TOKEN_BAD;
    }
}

static enum err filter_fail(struct compiler *k, const char *what)
{
    reason_set(k->why, "column %zu: %s", k->token.column, what);
    return ERR_INVALID;
}

static bool filter_is(const struct compiler *k, enum token_kind kind, const char *text)
{
    return k->token.kind == kind && bytes_equal(k->token.text, bytes_of(text));
}

/* Steps over the next word or sign if it is this one. */
static bool filter_take(struct compiler *k, enum token_kind kind, const char *text)
{
    if (!filter_is(k, kind, text)) {
        return false;
    }
    filter_advance(k);
    return true;
}

/* --- compiling (a shunting yard: no recursion on input) --------------------------------------- */

static enum err filter_emit(struct compiler *k, struct step step)
{
    if (k->filter->count == FILTER_STEPS) {
        return filter_fail(k, "the filter has too many parts");
    }
    k->filter->steps[k->filter->count++] = step;
    return OK;
}

static enum err filter_push(struct compiler *k, enum step_kind kind)
{
    if (k->waiting_count == STREAM_FILTER_DEPTH) {
        return filter_fail(k, "the filter is nested too deeply");
    }
    k->waiting[k->waiting_count++] = kind;
    return OK;
}

/* Writes the waiting operators that bind at least as tightly as `kind` (NOT < AND < OR < OPEN). */
static enum err filter_pop(struct compiler *k, enum step_kind kind)
{
    while (k->waiting_count > 0 && k->waiting[k->waiting_count - 1] <= kind) {
        enum err e = filter_emit(k, (struct step){.kind = k->waiting[--k->waiting_count]});
        if (e != OK) {
            return e;
        }
    }
    return OK;
}

static bool filter_field(const struct compiler *k, struct bytes word, enum field *ret_field)
{
    return field_find(k->topic, word, ret_field);
}

/* Says which fields there are. */
static enum err filter_no_field(struct compiler *k)
{
    struct buf names;
    buf_init(&names, FILTER_NAMES_MAX);
    field_names(k->topic, &names);
    reason_set(k->why, "column %zu: a field is expected (%.*s)", k->token.column,
               BYTES_FORMAT(buf_view(&names)));
    buf_close(&names);
    return ERR_INVALID;
}

static enum err filter_value(struct compiler *k, struct step *step)
{
    if (k->token.kind != TOKEN_WORD && k->token.kind != TOKEN_STRING) {
        return filter_fail(k, "a value is expected");
    }
    if (++k->values > STREAM_FILTER_TERMS) {
        return filter_fail(k, "the filter has too many values");
    }
    step->text = k->token.text;
    if (step->field >= FIELD_NUMBERS && bytes_to_u64(step->text, &step->number) != OK) {
        return filter_fail(k, "this field is compared with a number");
    }
    filter_advance(k);
    return OK;
}

/* `[a, b]` behind `in`: equal to a, or to b. */
static enum err filter_list(struct compiler *k, struct step step)
{
    bool negated = step.negated;
    step.negated = false;
    enum err e = filter_emit(k, (struct step){.kind = STEP_FALSE});
    step.kind = STEP_EQUAL;
    while (e == OK && !filter_take(k, TOKEN_SIGN, "]")) {
        e = filter_value(k, &step);
        if (e == OK) {
            e = filter_emit(k, step);
        }
        if (e == OK) {
            e = filter_emit(k, (struct step){.kind = STEP_OR});
        }
        if (e == OK && !filter_is(k, TOKEN_SIGN, "]") && !filter_take(k, TOKEN_SIGN, ",")) {
            e = filter_fail(k, "`,` or `]` is expected");
        }
    }
    if (e == OK && negated) {
        e = filter_emit(k, (struct step){.kind = STEP_NOT});
    }
    return e;
}

/* `field is empty`, `field is not empty`. */
static enum err filter_emptiness(struct compiler *k, struct step step)
{
    step.negated = filter_take(k, TOKEN_WORD, "not");
    step.kind = STEP_EMPTY;
    if (step.field >= FIELD_NUMBERS || !filter_take(k, TOKEN_WORD, "empty")) {
        return filter_fail(k, "`empty` is expected, of a text field");
    }
    return filter_emit(k, step);
}

static bool filter_sign(struct compiler *k, struct step *step)
{
    static const struct {
        const char *sign;
        enum step_kind kind;
        bool negated;
        bool numbers;
    } signs[] = {
        {"==", STEP_EQUAL, false, false}, {"!=", STEP_EQUAL, true, false},
        {"<", STEP_LESS, false, true},    {">=", STEP_LESS, true, true},
        {">", STEP_MORE, false, true},    {"<=", STEP_MORE, true, true},
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (filter_is(k, TOKEN_SIGN, signs[i].sign) &&
            (!signs[i].numbers || step->field >= FIELD_NUMBERS)) {
            filter_advance(k);
            step->kind = signs[i].kind;
            step->negated = signs[i].negated;
            return true;
        }
    }
    return false;
}

static bool filter_word_test(struct compiler *k, struct step *step)
{
    static const struct {
        const char *word;
        enum step_kind kind;
    } words[] = {
        {"contains", STEP_CONTAINS},
        {"prefix", STEP_PREFIX},
        {"suffix", STEP_SUFFIX},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (step->field < FIELD_NUMBERS && filter_take(k, TOKEN_WORD, words[i].word)) {
            step->kind = words[i].kind;
            return true;
        }
    }
    return false;
}

/* What follows a field's name. */
static enum err filter_test(struct compiler *k, enum field field)
{
    struct step step = {.field = field};
    if (filter_take(k, TOKEN_WORD, "is")) {
        return filter_emptiness(k, step);
    }
    if (!filter_sign(k, &step)) {
        step.negated = filter_take(k, TOKEN_WORD, "not");
        if (filter_take(k, TOKEN_WORD, "in")) {
            return filter_take(k, TOKEN_SIGN, "[") ? filter_list(k, step)
                                                   : filter_fail(k, "`[` is expected");
        }
        if (!filter_word_test(k, &step)) {
            return filter_fail(k, "a test is expected that this field can take");
        }
    }
    enum err e = filter_value(k, &step);
    return e == OK ? filter_emit(k, step) : e;
}

/* `"text" in field`, as go-bexpr has it. */
static enum err filter_value_in(struct compiler *k, struct token value)
{
    struct step step = {.kind = STEP_CONTAINS, .text = value.text};
    step.negated = filter_take(k, TOKEN_WORD, "not");
    if (!filter_take(k, TOKEN_WORD, "in")) {
        return filter_fail(k, "`in` is expected");
    }
    if (k->token.kind != TOKEN_WORD || !filter_field(k, k->token.text, &step.field) ||
        step.field >= FIELD_NUMBERS) {
        return filter_fail(k, "a text field is expected");
    }
    filter_advance(k);
    return filter_emit(k, step);
}

/* One test, with the `not` and `(` before it. */
static enum err filter_operand(struct compiler *k)
{
    enum err e = OK;
    for (;;) {
        if (filter_take(k, TOKEN_WORD, "not")) {
            e = filter_push(k, STEP_NOT);
        } else if (filter_take(k, TOKEN_SIGN, "(")) {
            e = filter_push(k, STEP_OPEN);
        } else {
            break;
        }
        if (e != OK) {
            return e;
        }
    }
    struct token token = k->token;
    enum field field = FIELD_OP;
    if (token.kind == TOKEN_STRING) {
        filter_advance(k);
        return filter_value_in(k, token);
    }
    if (token.kind != TOKEN_WORD || !filter_field(k, token.text, &field)) {
        return filter_no_field(k);
    }
    filter_advance(k);
    return filter_test(k, field);
}

static enum err filter_close(struct compiler *k)
{
    enum err e = OK;
    while (e == OK && filter_is(k, TOKEN_SIGN, ")")) {
        e = filter_pop(k, STEP_OR);
        if (e == OK && k->waiting_count == 0) {
            e = filter_fail(k, "`)` without `(`");
        }
        if (e == OK) {
            k->waiting_count--;
            filter_advance(k);
        }
    }
    return e;
}

static enum err filter_compile(struct compiler *k)
{
    filter_advance(k);
    for (;;) {
        enum err e = filter_operand(k);
        if (e == OK) {
            e = filter_close(k);
        }
        if (e != OK) {
            return e;
        }
        if (k->token.kind == TOKEN_END) {
            break;
        }
        enum step_kind kind = filter_is(k, TOKEN_WORD, "and") ? STEP_AND : STEP_OR;
        if (kind == STEP_OR && !filter_is(k, TOKEN_WORD, "or")) {
            return filter_fail(k, "`and`, `or` or the end is expected");
        }
        e = filter_pop(k, kind);
        if (e == OK) {
            e = filter_push(k, kind);
        }
        if (e != OK) {
            return e;
        }
        filter_advance(k);
    }
    enum err e = filter_pop(k, STEP_OR);
    if (e == OK && k->waiting_count > 0) {
        e = filter_fail(k, "`)` is missing");
    }
    return e;
}

enum err filter_new(enum change_topic topic,
                    struct bytes text,
                    struct filter **ret_filter,
                    struct reason *why)
{
    if (text.len > STREAM_FILTER_MAX) {
        reason_set(why, "column %zu: the filter is too long", (size_t)STREAM_FILTER_MAX + 1);
        return ERR_INVALID;
    }
    struct filter *f = mem_zalloc(1, sizeof *f);
    f->steps = mem_zalloc(FILTER_STEPS, sizeof *f->steps);
    f->memory = mem_alloc(text.len + 1);
    struct compiler k = {
        .topic = topic, .text = text, .filter = f, .memory_at = f->memory, .why = why};
    enum err e = filter_compile(&k);
    if (e != OK) {
        filter_free(f);
        return e;
    }
    f->steps = mem_realloc(f->steps, f->count * sizeof *f->steps);
    *ret_filter = f;
    return OK;
}

void filter_free(struct filter *f)
{
    if (f != NULL) {
        free(f->steps);
        free(f->memory);
        free(f);
    }
}

/* --- evaluating ------------------------------------------------------------------------------ */

static bool filter_compare_number(const struct step *step, uint64_t number)
{
    if (step->kind == STEP_LESS) {
        return number < step->number;
    }
    return step->kind == STEP_MORE ? number > step->number : number == step->number;
}

static bool filter_compare_text(const struct step *step, struct bytes text)
{
    switch ((int)step->kind) {
    case STEP_EQUAL:
        return bytes_equal(text, step->text);
    case STEP_CONTAINS:
        return step->text.len == 0 ||
               (text.len > 0 && memmem(text.ptr, text.len, step->text.ptr, step->text.len) != NULL);
    case STEP_PREFIX:
        return bytes_begins(text, step->text);
    case STEP_SUFFIX:
        return text.len >= step->text.len &&
               bytes_equal(bytes_slice(text, text.len - step->text.len, text.len), step->text);
    default: /* STEP_EMPTY */
        return text.len == 0;
    }
}

/* Of a list: one of them passes the test; `contains` means the whole of it, in any case. */
static bool filter_compare_list(const struct step *step, struct bytes texts)
{
    struct bytes text;
    if (step->kind == STEP_EMPTY) {
        return texts.len == 0;
    }
    if (step->kind == STEP_EQUAL || step->kind == STEP_CONTAINS) {
        return texts_have_nocase(texts, step->text);
    }
    while (texts_next(&texts, &text)) {
        if (filter_compare_text(step, text)) {
            return true;
        }
    }
    return false;
}

static bool filter_leaf(const struct step *step, const struct stream_event *e)
{
    bool holds = false;
    if (step->kind == STEP_FALSE) {
        return false;
    }
    if (step->field >= FIELD_NUMBERS) {
        holds = filter_compare_number(step, field_number(step->field, e));
    } else if (field_is_list(step->field)) {
        holds = filter_compare_list(step, field_texts(step->field, e));
    } else {
        holds = filter_compare_text(step, field_text(step->field, e));
    }
    return holds != step->negated;
}

bool filter_matches(const struct filter *f, const struct stream_event *e)
{
    bool stack[FILTER_STEPS];
    size_t top = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct step *step = &f->steps[i];
        if (step->kind == STEP_NOT) {
            CHECK(top >= 1);
            stack[top - 1] = !stack[top - 1];
        } else if (step->kind == STEP_AND || step->kind == STEP_OR) {
            CHECK(top >= 2);
            bool right = stack[--top];
            bool left = stack[top - 1];
            stack[top - 1] = step->kind == STEP_AND ? left && right : left || right;
        } else {
            stack[top++] = filter_leaf(step, e);
        }
    }
    CHECK(top == 1);
    return stack[0];
}
