#include "core/decode.h"

#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/json_why.h"
#include "store/row.h"

#include <stdlib.h>
#include <string.h>

/* Tables are nested in tables: so deep at most. */
#define DECODE_DEPTH_MAX 8

struct decode {
    struct arena *arena;
    struct reason *why;
    const char *type;
    const char *path[DECODE_DEPTH_MAX];
    size_t depth;
};

enum err decode_json(struct bytes text, json_t **ret_json, struct reason *why)
{
    json_error_t error;
    if (!json_why(text, why)) {
        return ERR_INVALID;
    }
    json_t *json = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    if (json == NULL) {
        reason_set(why, "%s", error.text);
        return ERR_INVALID;
    }
    *ret_json = json;
    return OK;
}

/* --- errors ---------------------------------------------------------------------------------- */

struct arena *decode_arena(struct decode *d)
{
    return d->arena;
}

/* `Service.Port`: the members on the way, from the outside in. */
static void decode_path(const struct decode *d, char *out, size_t len)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < d->depth && at < len; i++) {
        int n = snprintf(out + at, len - at, "%s%s", i > 0 ? "." : "", d->path[i]);
        at += n > 0 ? (size_t)n : 0;
    }
}

enum err decode_fail(struct decode *d, enum err e, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reason_set(d->why, "%s", text);
    return e;
}

static const char *kind_of(const json_t *value, char scratch[64])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_INTEGER:
        (void)snprintf(scratch, 64, "number %lld", (long long)json_integer_value(value));
        return scratch;
    case JSON_REAL:
        (void)snprintf(scratch, 64, "number %.17g", json_real_value(value));
        return scratch;
    case JSON_NULL:
        break;
    }
    return "null";
}

static bool starts_number(const char *expected)
{
    return strncmp(expected, "int", 3) == 0 || strncmp(expected, "uint", 4) == 0;
}

enum err decode_mismatch(struct decode *d, const json_t *value, const char *expected)
{
    char scratch[64];
    char path[256];
    const char *kind = kind_of(value, scratch);
    decode_path(d, path, sizeof path);
    /* Go shows the number only where another one would have done. */
    if (json_is_number(value) && !starts_number(expected)) {
        kind = "number";
    }
    if (d->depth == 0) {
        reason_set(d->why, "json: cannot unmarshal %s into Go value of type %s", kind, expected);
    } else {
        reason_set(d->why, "json: cannot unmarshal %s into Go struct field %s.%s of type %s", kind,
                   d->type, path, expected);
    }
    return ERR_INVALID;
}

static enum err decode_too_big(struct decode *d, size_t len, size_t max)
{
    char path[256];
    decode_path(d, path, sizeof path);
    return decode_fail(d, ERR_TOO_BIG, "%s is %zu bytes long, at most %zu are taken", path, len,
                       max);
}

/* --- values ---------------------------------------------------------------------------------- */

static enum err decode_copy(struct decode *d, struct bytes text, struct bytes *ret_text)
{
    struct bytes copy = arena_copy(d->arena, text);
    if (copy.ptr == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    *ret_text = copy;
    return OK;
}

static struct bytes text_of(const json_t *value)
{
    return (struct bytes){.ptr = json_string_value(value), .len = json_string_length(value)};
}

static enum err
decode_text(struct decode *d, const json_t *value, size_t max, struct bytes *ret_text)
{
    if (!json_is_string(value)) {
        return decode_mismatch(d, value, "string");
    }
    if (json_string_length(value) > max) {
        return decode_too_big(d, json_string_length(value), max);
    }
    return decode_copy(d, text_of(value), ret_text);
}

static enum err
decode_number(struct decode *d, const json_t *value, uint64_t max, uint64_t *ret_number)
{
    if (!json_is_integer(value)) {
        return decode_mismatch(d, value, "int");
    }
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number > max) {
        char path[256];
        decode_path(d, path, sizeof path);
        return decode_fail(d, ERR_INVALID, "%s is %lld, and must be between 0 and %llu", path,
                           (long long)number, (unsigned long long)max);
    }
    *ret_number = (uint64_t)number;
    return OK;
}

static enum err decode_duration(struct decode *d, const json_t *value, uint64_t *ret_ms)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret_ms = (uint64_t)json_integer_value(value) / 1000000;
        return OK;
    }
    if (!json_is_string(value)) {
        return decode_mismatch(d, value, "time.Duration");
    }
    if (json_string_length(value) == 0) {
        return OK;
    }
    if (duration_parse(text_of(value), ret_ms) != OK) {
        return decode_fail(d, ERR_INVALID, "time: invalid duration \"%s\"",
                           json_string_value(value));
    }
    return OK;
}

/* Moves a list into the arena. */
static enum err decode_list(struct decode *d, const struct buf *list, enum err e, struct bytes *ret)
{
    if (e == ERR_TOO_BIG) {
        char path[256];
        decode_path(d, path, sizeof path);
        return decode_fail(d, e, "%s takes more than %zu bytes", path, list->max);
    }
    return e == OK ? decode_copy(d, buf_view(list), ret) : e;
}

static enum err
decode_texts(struct decode *d, const json_t *value, size_t max, struct bytes *ret_texts)
{
    if (!json_is_array(value)) {
        return decode_mismatch(d, value, "[]string");
    }
    struct buf list;
    buf_init(&list, max);
    enum err e = OK;
    for (size_t i = 0; i < json_array_size(value) && e == OK; i++) {
        const json_t *item = json_array_get(value, i);
        e = json_is_string(item) ? texts_add(&list, text_of(item))
                                 : decode_mismatch(d, item, "string");
    }
    e = decode_list(d, &list, e, ret_texts);
    buf_close(&list);
    return e;
}

static enum err decode_pairs(struct decode *d, json_t *value, size_t max, struct bytes *ret_pairs)
{
    if (!json_is_object(value)) {
        return decode_mismatch(d, value, "map[string]string");
    }
    struct pair *pairs = arena_alloc(d->arena, (json_object_size(value) + 1) * sizeof *pairs);
    if (pairs == NULL) {
        return decode_fail(d, ERR_TOO_BIG, "the request is too large");
    }
    size_t count = 0;
    for (void *at = json_object_iter(value); at != NULL; at = json_object_iter_next(value, at)) {
        const json_t *item = json_object_iter_value(at);
        if (!json_is_string(item)) {
            return decode_mismatch(d, item, "string");
        }
        pairs[count++] = (struct pair){bytes_of(json_object_iter_key(at)), text_of(item)};
    }
    struct buf list;
    buf_init(&list, max);
    enum err e = pairs_add(&list, pairs, count);
    e = decode_list(d, &list, e, ret_pairs);
    buf_close(&list);
    return e;
}

static enum err
decode_compact(struct decode *d, const json_t *value, size_t max, struct bytes *ret_json)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t len = text != NULL ? strlen(text) : 0;
    enum err e = text == NULL ? decode_fail(d, ERR_INVALID, "a value that is no JSON")
                 : len > max  ? decode_too_big(d, len, max)
                              : decode_copy(d, bytes_of(text), ret_json);
    free(text);
    return e;
}

/* --- objects --------------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* `given` is what the JSON says; underscores in it count for nothing where `snake`. */
static bool name_fits(const char *given, const char *name, bool snake)
{
    while (*given != '\0') {
        if (snake && *given == '_') {
            given++;
            continue;
        }
        if (lower(*given) != lower(*name)) {
            return false;
        }
        given++;
        name++;
    }
    return *name == '\0';
}

static const struct decode_field *field_of(const struct decode_type *type, const char *given)
{
    for (size_t i = 0; i < type->count; i++) {
        if (name_fits(given, type->fields[i].name, type->snake)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

static enum err
decode_integer(struct decode *d, const struct decode_field *f, const json_t *value, void *at)
{
    bool small = f->kind == DECODE_NUMBER;
    uint64_t most = small ? UINT32_MAX : UINT64_MAX;
    uint64_t number = 0;
    enum err e = decode_number(d, value, f->max > 0 && f->max < most ? f->max : most, &number);
    if (e == OK && small) {
        *(uint32_t *)at = (uint32_t)number;
    } else if (e == OK) {
        *(uint64_t *)at = number;
    }
    return e;
}

static enum err
decode_field(struct decode *d, const struct decode_field *f, json_t *value, void *at)
{
    size_t max = f->max > 0 ? f->max : ROW_TEXT_MAX;
    switch (f->kind) {
    case DECODE_TEXT:
        return decode_text(d, value, max, at);
    case DECODE_BOOL:
        if (!json_is_boolean(value)) {
            return decode_mismatch(d, value, "bool");
        }
        *(bool *)at = json_is_true(value);
        return OK;
    case DECODE_NUMBER:
    case DECODE_INDEX:
        return decode_integer(d, f, value, at);
    case DECODE_DURATION:
        return decode_duration(d, value, at);
    case DECODE_TEXTS:
        return decode_texts(d, value, f->max > 0 ? f->max : ROW_LIST_MAX, at);
    case DECODE_PAIRS:
        return decode_pairs(d, value, f->max > 0 ? f->max : ROW_LIST_MAX, at);
    case DECODE_JSON:
        return decode_compact(d, value, f->max > 0 ? f->max : ROW_JSON_MAX, at);
    case DECODE_OBJECT:
        return decode_inside(d, value, f->type, at);
    case DECODE_CALL:
        return f->call(d, value, at);
    case DECODE_SKIP:
        break;
    }
    return OK;
}

enum err decode_inside(struct decode *d, json_t *json, const struct decode_type *type, void *ret)
{
    const char *outer = d->type;
    enum err e = OK;
    if (!json_is_object(json)) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "structs.%s", type->name);
        return decode_mismatch(d, json, expected);
    }
    if (d->depth == DECODE_DEPTH_MAX) {
        return decode_fail(d, ERR_TOO_BIG, "too many objects in each other");
    }
    d->type = type->name;
    for (void *i = json_object_iter(json); i != NULL && e == OK;
         i = json_object_iter_next(json, i)) {
        const struct decode_field *f = field_of(type, json_object_iter_key(i));
        json_t *value = json_object_iter_value(i);
        if (f == NULL && type->lenient) {
            continue;
        }
        if (f == NULL) {
            return decode_fail(d, ERR_INVALID, "json: unknown field \"%.200s\"",
                               json_object_iter_key(i));
        }
        d->path[d->depth++] = f->name;
        e = json_is_null(value) ? OK : decode_field(d, f, value, (char *)ret + f->offset);
        d->depth--;
    }
    d->type = outer;
    return e;
}

enum err decode_value(struct arena *a,
                      json_t *json,
                      const struct decode_type *type,
                      void *ret,
                      struct reason *why)
{
    struct decode d = {.arena = a, .why = why, .type = type->name};
    if (json_is_null(json)) {
        return OK;
    }
    return decode_inside(&d, json, type, ret);
}
