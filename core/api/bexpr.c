#include "core/api/bexpr_priv.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "store/row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- what a test selects ---------------------------------------------------------------------- */

/* The first `count` elements as a path. */
static struct bytes path_of(struct buf *out, const struct bexpr_selector *s, size_t count)
{
    buf_clear(out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_put_char(out, '.');
        }
        buf_put(out, s->elements[i]);
    }
    return buf_view(out);
}

static const struct bexpr_field *field_at(const struct bexpr_schema *schema, struct bytes path)
{
    for (size_t i = 0; i < schema->count; i++) {
        if (bytes_equal(bytes_of(schema->fields[i].path), path)) {
            return &schema->fields[i];
        }
    }
    return NULL;
}

/* Whether `path` is on the way to some field. */
static bool leads_on(const struct bexpr_schema *schema, struct bytes path)
{
    for (size_t i = 0; i < schema->count; i++) {
        struct bytes whole = bytes_of(schema->fields[i].path);
        if (whole.len > path.len && bytes_begins(whole, path) && whole.ptr[path.len] == '.') {
            return true;
        }
    }
    return false;
}

/* What follows a field of the record: nothing, a key, or a field of a list's records. Returns how
 * many of the elements from `at` on have a meaning. */
static size_t resolve_inside(struct bexpr_test *t, size_t at)
{
    const struct bexpr_selector *s = &t->selector;
    if (at == s->count) {
        return at;
    }
    if (t->field->kind == BEXPR_PAIRS || t->field->kind == BEXPR_ADDRESSES) {
        t->keyed = true;
        t->key = s->elements[at++];
    }
    if (t->keyed && t->field->kind == BEXPR_ADDRESSES && at < s->count) {
        t->part = bytes_equal(s->elements[at], BYTES("Address")) ? BEXPR_ADDRESS
                  : bytes_equal(s->elements[at], BYTES("Port"))  ? BEXPR_PORT
                                                                 : BEXPR_WHOLE;
        at += t->part != BEXPR_WHOLE;
    }
    return at;
}

/* Walks the elements from `at` on through `schema`; the same as above. `field` is NULL where the
 * elements name a structure as a whole. */
static size_t
resolve_path(const struct bexpr_schema *schema, struct bexpr_test *t, struct buf *path, size_t at)
{
    const struct bexpr_selector *s = &t->selector;
    buf_clear(path);
    t->field = NULL;
    while (at < s->count) {
        if (path->len > 0) {
            buf_put_char(path, '.');
        }
        buf_put(path, s->elements[at]);
        t->field = field_at(schema, buf_view(path));
        if (t->field == NULL && !leads_on(schema, buf_view(path))) {
            return at;
        }
        at++;
        if (t->field != NULL) {
            break;
        }
    }
    return at;
}

static enum bexpr_kind test_kind(const struct bexpr_test *t)
{
    if (!t->keyed) {
        return t->field->kind;
    }
    return t->part == BEXPR_PORT ? BEXPR_NUMBER : BEXPR_TEXT;
}

static bool op_allowed(const struct bexpr_test *t)
{
    bool whole_address = t->keyed && t->field->kind == BEXPR_ADDRESSES && t->part == BEXPR_WHOLE;
    switch (test_kind(t)) {
    case BEXPR_TEXT:
        return t->op != BEXPR_EMPTY && !whole_address;
    case BEXPR_NUMBER:
    case BEXPR_BOOL:
        return t->op == BEXPR_EQUAL;
    case BEXPR_TEXTS:
    case BEXPR_PAIRS:
    case BEXPR_ADDRESSES:
        return t->op == BEXPR_IN || t->op == BEXPR_EMPTY;
    case BEXPR_RECORDS:
    case BEXPR_LIST:
        return t->op == BEXPR_EMPTY;
    }
    return false;
}

static enum err refuse_op(const struct bexpr_test *t, struct bytes path, struct reason *why)
{
    static const char *const names[][2] = {
        [BEXPR_EQUAL] = {"Equal", "Not Equal"},
        [BEXPR_IN] = {"In", "Not In"},
        [BEXPR_EMPTY] = {"Is Empty", "Is Not Empty"},
        [BEXPR_MATCHES] = {"Matches", "Not Matches"},
    };
    reason_set(why, "Invalid match operator \"%s\" for selector \"%.*s\"", names[t->op][t->negated],
               BYTES_FORMAT(path));
    return ERR_INVALID;
}

/* --- what it is compared with ----------------------------------------------------------------- */

static enum err
refuse_value(const struct bexpr_test *t, struct bytes path, const char *how, struct reason *why)
{
    bool range = strcmp(how, "range") == 0;
    reason_set(why,
               "Failed to coerce value \"%.*s\" for selector \"%.*s\": strconv.%s: parsing "
               "\"%.*s\": %s",
               BYTES_FORMAT(t->value), BYTES_FORMAT(path), range ? "ParseInt" : how,
               BYTES_FORMAT(t->value), range ? "value out of range" : "invalid syntax");
    return ERR_INVALID;
}

static enum err coerce_number(struct bexpr_test *t, struct bytes path, struct reason *why)
{
    char *end = NULL;
    /* The arena puts a NUL behind each text. */
    errno = 0;
    long long number = strtoll(t->value.ptr, &end, 10);
    bool whole = t->value.len > 0 && end == t->value.ptr + t->value.len;
    if (!whole || t->value.ptr[0] == ' ') {
        return refuse_value(t, path, "ParseInt", why);
    }
    if (errno == ERANGE) {
        return refuse_value(t, path, "range", why);
    }
    t->number = number;
    return OK;
}

static enum err coerce_bool(struct bexpr_test *t, struct bytes path, struct reason *why)
{
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(t->value, bytes_of(words[i]))) {
            t->number = i < 6;
            return OK;
        }
    }
    return refuse_value(t, path, "ParseBool", why);
}

static enum err coerce_pattern(struct bexpr_test *t, struct reason *why)
{
    struct reason said;
    if (pattern_new(t->value, &t->pattern, &said) == OK) {
        return OK;
    }
    reason_set(why, "Failed to compile regular expression \"%.*s\": %.200s", BYTES_FORMAT(t->value),
               said.text);
    return ERR_INVALID;
}

static enum err resolve(struct bexpr *e, struct bexpr_test *t, struct buf *path, struct reason *why)
{
    size_t at = resolve_path(e->schema, t, path, 0);
    if (t->field != NULL && t->field->kind == BEXPR_RECORDS && at < t->selector.count) {
        t->list = t->field;
        at = resolve_path(t->list->inner, t, path, at);
    }
    if (t->field != NULL) {
        at = resolve_inside(t, at);
    }
    if (at < t->selector.count) {
        reason_set(why, "Selector \"%.*s\" is not valid",
                   BYTES_FORMAT(path_of(path, &t->selector, at + 1)));
        return ERR_INVALID;
    }
    struct bytes whole = path_of(path, &t->selector, at);
    if (t->field == NULL || !op_allowed(t)) {
        return refuse_op(t, whole, why);
    }
    if (t->op == BEXPR_MATCHES) {
        return coerce_pattern(t, why);
    }
    enum bexpr_kind kind = test_kind(t);
    return kind == BEXPR_NUMBER ? coerce_number(t, whole, why)
           : kind == BEXPR_BOOL ? coerce_bool(t, whole, why)
                                : OK;
}

enum err bexpr_new(struct bytes text,
                   const struct bexpr_schema *schema,
                   struct bexpr **ret_expr,
                   struct reason *why)
{
    struct bexpr *e = mem_zalloc(1, sizeof *e);
    struct buf path;
    e->schema = schema;
    arena_init(&e->arena, 4 * BEXPR_TEXT_MAX);
    buf_init(&path, 2 * BEXPR_TEXT_MAX);
    enum err status = bexpr_parse(e, text, why);
    for (size_t i = 0; i < e->test_count && status == OK; i++) {
        status = resolve(e, &e->tests[i], &path, why);
    }
    buf_close(&path);
    if (status != OK) {
        bexpr_free(e);
        return status;
    }
    *ret_expr = e;
    return OK;
}

void bexpr_free(struct bexpr *e)
{
    if (e == NULL) {
        return;
    }
    for (size_t i = 0; i < e->test_count; i++) {
        pattern_free(e->tests[i].pattern);
    }
    arena_close(&e->arena);
    free(e);
}

/* --- evaluating ------------------------------------------------------------------------------- */

/* `port address`, as rows keep it. */
static void address_part(const struct bexpr_test *t, struct bexpr_value *v)
{
    size_t blank = bytes_find(v->text, ' ');
    if (bytes_to_u64(bytes_slice(v->text, 0, blank), &v->number) != OK) {
        v->number = 0;
    }
    size_t from = blank < v->text.len ? blank + 1 : v->text.len;
    if (t->part == BEXPR_ADDRESS) {
        v->text = bytes_slice(v->text, from, v->text.len);
    }
}

static bool contains(struct bytes text, struct bytes part)
{
    return part.len == 0 ||
           (text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

static bool value_in(const struct bexpr_test *t, enum bexpr_kind kind, const struct bexpr_value *v)
{
    struct bytes ignored;
    if (kind == BEXPR_TEXT) {
        return contains(v->text, t->value);
    }
    return kind == BEXPR_TEXTS ? texts_have(v->text, t->value)
                               : pairs_get(v->text, t->value, &ignored);
}

/* Without regard to `negated`. */
static bool value_holds(const struct bexpr_test *t, const struct bexpr_value *v)
{
    enum bexpr_kind kind = test_kind(t);
    switch (t->op) {
    case BEXPR_EQUAL:
        if (kind == BEXPR_TEXT) {
            return bytes_equal(v->text, t->value);
        }
        return t->number >= 0 && v->number == (uint64_t)t->number;
    case BEXPR_IN:
        return value_in(t, kind, v);
    case BEXPR_EMPTY:
        return v->text.len == 0;
    case BEXPR_MATCHES:
        return pattern_finds(t->pattern, v->text);
    }
    return false;
}

static bool
record_holds(const struct bexpr_schema *schema, const struct bexpr_test *t, const void *record)
{
    struct bexpr_value v = {0};
    schema->get(record, t->field->id, &v);
    if (t->keyed) {
        struct bytes value;
        if (!pairs_get(v.text, t->key, &value)) {
            return t->negated; /* what is not there is like nothing */
        }
        v.text = value;
        if (t->part != BEXPR_WHOLE) {
            address_part(t, &v);
        }
    }
    return value_holds(t, &v) != t->negated;
}

static bool test_holds(const struct bexpr *e, const struct bexpr_test *t, const void *record)
{
    _Alignas(max_align_t) char scratch[BEXPR_SCRATCH];
    struct bexpr_value v = {0};
    if (t->list == NULL) {
        return record_holds(e->schema, t, record);
    }
    e->schema->get(record, t->list->id, &v);
    const struct bexpr_schema *inner = t->list->inner;
    const void *one = inner->next(&v.text, scratch);
    while (one != NULL) {
        if (record_holds(inner, t, one)) {
            return true;
        }
        one = inner->next(&v.text, scratch);
    }
    return false;
}

bool bexpr_matches(const struct bexpr *e, const void *record)
{
    bool stack[BEXPR_TESTS_MAX + 1] = {false};
    size_t top = 0;
    size_t test = 0;
    if (e == NULL) {
        return true;
    }
    for (size_t i = 0; i < e->step_count; i++) {
        switch (e->steps[i]) {
        case BEXPR_TEST:
            CHECK(top < BEXPR_TESTS_MAX);
            stack[top++] = test_holds(e, &e->tests[test++], record);
            break;
        case BEXPR_NOT:
            CHECK(top > 0);
            stack[top - 1] = !stack[top - 1];
            break;
        case BEXPR_AND:
            CHECK(top > 1);
            top--;
            stack[top - 1] = stack[top - 1] && stack[top];
            break;
        case BEXPR_OR:
            CHECK(top > 1);
            top--;
            stack[top - 1] = stack[top - 1] || stack[top];
            break;
        }
    }
    CHECK(top == 1);
    return stack[0];
}
