#include "core/flag.h"

#include "core/base/check.h"

#include <stdlib.h>
#include <string.h>

#define HELP_WIDTH  72
#define HELP_INDENT "     "
#define FLAGS_MAX   128

enum err flag_bool(struct bytes text, bool *ret_value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {
        {"1", true},    {"t", true},      {"T", true},      {"true", true},
        {"TRUE", true}, {"True", true},   {"0", false},     {"f", false},
        {"F", false},   {"false", false}, {"FALSE", false}, {"False", false},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(text, bytes_of(words[i].text))) {
            *ret_value = words[i].value;
            return OK;
        }
    }
    return ERR_INVALID;
}

enum err flag_next(struct flag_cursor *cursor,
                   struct bytes *ret_name,
                   struct bytes *ret_value,
                   struct reason *why)
{
    if (cursor->argc == 0) {
        return ERR_NOT_FOUND;
    }
    struct bytes arg = bytes_of(cursor->argv[0]);
    if (arg.len < 2 || arg.ptr[0] != '-') {
        return ERR_NOT_FOUND;
    }
    cursor->argc--;
    cursor->argv++;
    if (bytes_equal(arg, BYTES("--"))) {
        return ERR_NOT_FOUND;
    }
    struct bytes body = bytes_slice(arg, arg.ptr[1] == '-' ? 2 : 1, arg.len);
    if (body.len == 0 || body.ptr[0] == '-' || body.ptr[0] == '=') {
        reason_set(why, "bad flag syntax: %s", arg.ptr);
        return ERR_INVALID;
    }
    size_t equals = bytes_find(body, '=');
    *ret_name = bytes_slice(body, 0, equals);
    *ret_value = equals == body.len ? (struct bytes){0} : bytes_slice(body, equals + 1, body.len);
    return OK;
}

enum err flag_value(struct flag_cursor *cursor,
                    struct bytes name,
                    struct bytes *ret_value,
                    struct reason *why)
{
    if (cursor->argc == 0) {
        reason_set(why, "flag needs an argument: -%.*s", BYTES_FORMAT(name));
        return ERR_INVALID;
    }
    *ret_value = bytes_of(cursor->argv[0]);
    cursor->argc--;
    cursor->argv++;
    return OK;
}

static const struct flag *
flags_find(const struct flag_set *sets, size_t set_count, struct bytes name)
{
    for (size_t i = 0; i < set_count; i++) {
        for (size_t j = 0; j < sets[i].count; j++) {
            if (bytes_equal(bytes_of(sets[i].flags[j].name), name)) {
                return &sets[i].flags[j];
            }
        }
    }
    return NULL;
}

/* `value` ends in a NUL: it is the end of an argument. */
static enum err flags_set(const struct flag *flag, struct bytes value, struct reason *why)
{
    enum err e = OK;
    struct flag_texts *texts = NULL;
    switch (flag->kind) {
    case FLAG_SWITCH:
        e = flag_bool(value, flag->target);
        break;
    case FLAG_TEXT:
        *(const char **)flag->target = value.ptr;
        break;
    case FLAG_TEXTS:
        texts = flag->target;
        if (texts->count == FLAG_TEXTS_MAX) {
            reason_set(why, "flag -%s was given more than %d times", flag->name, FLAG_TEXTS_MAX);
            return ERR_INVALID;
        }
        texts->items[texts->count++] = value.ptr;
        break;
    case FLAG_U64:
        e = bytes_to_u64(value, flag->target);
        break;
    }
    if (e != OK) {
        reason_set(why, "invalid %s \"%.*s\" for flag -%s: parse error",
                   flag->kind == FLAG_SWITCH ? "boolean value" : "value", BYTES_FORMAT(value),
                   flag->name);
        return ERR_INVALID;
    }
    return OK;
}

enum err flags_parse(const struct flag_set *sets,
                     size_t set_count,
                     int argc,
                     char **argv,
                     struct flag_rest *ret_rest,
                     struct reason *why)
{
    struct flag_cursor cursor = {.argc = argc, .argv = argv};
    struct bytes name = {0};
    struct bytes value = {0};
    bool help = false;
    enum err e = OK;
    while (!help && (e = flag_next(&cursor, &name, &value, why)) == OK) {
        const struct flag *flag = flags_find(sets, set_count, name);
        if (flag == NULL) {
            help = bytes_equal(name, BYTES("h")) || bytes_equal(name, BYTES("help"));
            if (help) {
                break;
            }
            reason_set(why, "flag provided but not defined: -%.*s", BYTES_FORMAT(name));
            return ERR_INVALID;
        }
        if (value.ptr == NULL && flag->kind == FLAG_SWITCH) {
            value = BYTES("true");
        } else if (value.ptr == NULL && (e = flag_value(&cursor, name, &value, why)) != OK) {
            return e;
        }
        if ((e = flags_set(flag, value, why)) != OK) {
            return e;
        }
    }
    if (e != OK && e != ERR_NOT_FOUND) {
        return e;
    }
    *ret_rest = (struct flag_rest){.argc = cursor.argc, .argv = cursor.argv, .help = help};
    return OK;
}

/* `text` in lines of at most HELP_WIDTH, broken at spaces. */
static enum err flag_help_wrap(struct buf *out, const char *text)
{
    const size_t width = HELP_WIDTH - (sizeof HELP_INDENT - 1);
    struct bytes rest = bytes_of(text);
    enum err e = OK;
    while (rest.len > 0 && e == OK) {
        size_t take = rest.len;
        if (take > width) {
            take = width;
            while (take > 0 && rest.ptr[take] != ' ') {
                take--;
            }
            take = take == 0 ? bytes_find(rest, ' ') : take;
        }
        e = buf_printf(out, HELP_INDENT "%.*s\n", (int)take, rest.ptr);
        rest = bytes_slice(rest, take < rest.len ? take + 1 : take, rest.len);
    }
    return e;
}

enum err flag_help(struct buf *out, const char *name, const char *value, const char *help)
{
    enum err e = value == NULL ? buf_printf(out, "\n  -%s\n", name)
                               : buf_printf(out, "\n  -%s=<%s>\n", name, value);
    return e != OK ? e : flag_help_wrap(out, help);
}

static int flags_by_name(const void *a, const void *b)
{
    const struct flag *const *x = a;
    const struct flag *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

enum err flags_help(struct buf *out, const struct flag_set *set)
{
    const struct flag *sorted[FLAGS_MAX];
    CHECK(set->count <= FLAGS_MAX);
    for (size_t i = 0; i < set->count; i++) {
        sorted[i] = &set->flags[i];
    }
    qsort(sorted, set->count, sizeof(struct flag *), flags_by_name);
    enum err e = OK;
    for (size_t i = 0; i < set->count && e == OK; i++) {
        e = flag_help(out, sorted[i]->name, sorted[i]->value, sorted[i]->help);
    }
    return e;
}
