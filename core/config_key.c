#include "core/config_key.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/flag.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    START = 0,
    RELOAD = 1,
};

#define USED(path, kind, field, low, high, change)                                                 \
    {path, KIND_##kind, true, change, offsetof(struct config, field), low, (int64_t)(high), NULL},
#define LATER(path, kind) {path, KIND_##kind, false, false, 0, INT64_MIN, INT64_MAX, NULL},
#define LIKE(path, type)  {path, KIND_LIKE, false, false, 0, 0, 0, "@" #type},
#define LIST(path, type)  {path, KIND_LIST, false, false, 0, 0, 0, "@" #type},

static const struct config_key keys[] = {
#include "core/config.tbl.h"
};

#undef USED
#undef LATER
#undef LIKE
#undef LIST

#define KEY_COUNT (sizeof keys / sizeof keys[0])

const struct config_key *config_key_find(const char *path, bool *ret_object)
{
    size_t len = strlen(path);
    *ret_object = false;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strncasecmp(keys[i].path, path, len) != 0) {
            continue;
        }
        if (keys[i].path[len] == '\0') {
            return &keys[i];
        }
        *ret_object = *ret_object || keys[i].path[len] == '.';
    }
    return NULL;
}

void config_warn(struct config *c, const char *format, ...)
{
    if (c->warning_count == CONFIG_WARNINGS_MAX) {
        return;
    }
    va_list args;
    char line[1024];
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->warnings[c->warning_count++] = mem_strdup(line);
}

/* --- what a kind accepts ------------------------------------------------------------------------
 */

static void *config_field(struct config *c, const struct config_key *key)
{
    return (char *)c + key->offset;
}

static const void *config_field_of(const struct config *c, const struct config_key *key)
{
    return (const char *)c + key->offset;
}

static const char *kind_expects(enum config_kind kind)
{
    switch (kind) {
    case KIND_SWITCH:
        return "true or false";
    case KIND_FLOAT:
        return "a number";
    case KIND_NUMBER:
    case KIND_PORT:
        return "a whole number";
    case KIND_DURATION:
        return "a duration in quotes, such as \"30s\" or \"24h\"";
    case KIND_LEVEL:
        return "one of \"trace\", \"debug\", \"info\", \"warn\", \"err\"";
    case KIND_OCTAL:
        return "file permission bits in quotes, such as \"0660\"";
    case KIND_UUID:
        return "a UUID in quotes";
    case KIND_TEXTS:
        return "a text or an array of texts";
    case KIND_MAP:
    case KIND_HEADERS:
        return "an object of texts";
    case KIND_LIKE:
        return "an object";
    case KIND_LIST:
        return "an array of objects";
    case KIND_TEXT:
    case KIND_ANY:
        break;
    }
    return "a text in quotes";
}

static enum err config_refuse(const struct config_origin *o,
                              const struct config_key *key,
                              const json_t *value,
                              struct reason *why)
{
    char *got = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    reason_set(why, "%s: %s: expected %s, got %.60s%s", o->source, o->path, kind_expects(key->kind),
               got == NULL ? "?" : got, got != NULL && strlen(got) > 60 ? "..." : "");
    free(got);
    return ERR_INVALID;
}

static bool json_is_texts(const json_t *value)
{
    if (json_is_string(value)) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return json_is_array(value);
}

static bool json_is_text_map(const json_t *value)
{
    const char *name;
    json_t *item;
    if (!json_is_object(value)) {
        return false;
    }
    for (void *i = json_object_iter((json_t *)(uintptr_t)value); i != NULL;
         i = json_object_iter_next((json_t *)(uintptr_t)value, i)) {
        name = json_object_iter_key(i);
        item = json_object_iter_value(i);
        if (name[0] == '\0' || !json_is_string(item)) {
            return false;
        }
    }
    return true;
}

static enum err text_octal(const char *text, uint64_t *ret_value)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end != '\0' || value > 07777) {
        return ERR_INVALID;
    }
    *ret_value = value;
    return OK;
}

/* What a value of the wrong form is told by. */
static bool config_fits(const struct config_key *key, const json_t *value, uint64_t *ret_number)
{
    const char *text = json_string_value(value);
    enum log_level level;
    switch (key->kind) {
    case KIND_SWITCH:
        return json_is_boolean(value);
    case KIND_FLOAT:
        return json_is_number(value);
    case KIND_NUMBER:
    case KIND_PORT:
        *ret_number = (uint64_t)json_integer_value(value);
        return json_is_integer(value);
    case KIND_DURATION:
        return text != NULL && duration_parse(bytes_of(text), ret_number) == OK;
    case KIND_LEVEL:
        if (text == NULL || log_level_parse(bytes_of(text), &level) != OK) {
            return false;
        }
        *ret_number = (uint64_t)level;
        return true;
    case KIND_OCTAL:
        return text != NULL && text_octal(text, ret_number) == OK;
    case KIND_UUID:
        return text != NULL && uuid_valid(bytes_of(text));
    case KIND_TEXT:
        return text != NULL;
    case KIND_TEXTS:
        return json_is_texts(value);
    case KIND_MAP:
    case KIND_HEADERS:
        return json_is_text_map(value);
    case KIND_LIKE:
        return json_is_object(value);
    case KIND_LIST:
        return json_is_array(value);
    case KIND_ANY:
        return true;
    }
    return false;
}

/* --- setting ------------------------------------------------------------------------------------
 */

/* A header's name is a token (RFC 9110, 5.6.2) and its value holds no control character. */
static bool header_valid(const char *name, const char *value)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (name[strspn(name, token)] != '\0') {
        return false;
    }
    for (const char *p = value; *p != '\0'; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum err config_set_headers(struct config *c,
                                   json_t *value,
                                   const struct config_origin *o,
                                   struct reason *why)
{
    for (void *i = json_object_iter(value); i != NULL; i = json_object_iter_next(value, i)) {
        const char *name = json_object_iter_key(i);
        const char *text = json_string_value(json_object_iter_value(i));
        size_t at = 0;
        if (!header_valid(name, text)) {
            reason_set(why, "%s: %s.%s: not a header that HTTP can carry", o->source, o->path,
                       name);
            return ERR_INVALID;
        }
        while (at < c->header_count && strcasecmp(c->headers[at].name, name) != 0) {
            at++;
        }
        if (at == CONFIG_HEADERS_MAX) {
            reason_set(why, "%s: %s: more than %d headers", o->source, o->path, CONFIG_HEADERS_MAX);
            return ERR_INVALID;
        }
        if (at == c->header_count) {
            c->headers[c->header_count++].name = mem_strdup(name);
        } else {
            free((char *)(uintptr_t)c->headers[at].value);
        }
        c->headers[at].value = mem_strdup(text);
    }
    return OK;
}

/* Lists of several files and flags add up, as Consul's do. */
static enum err config_set_texts(struct config *c,
                                 const struct config_key *key,
                                 const json_t *value,
                                 const struct config_origin *o,
                                 struct reason *why)
{
    struct config_texts *texts = config_field(c, key);
    size_t count = json_is_string(value) ? 1 : json_array_size(value);
    if (count > CONFIG_TEXTS_MAX - texts->count) {
        reason_set(why, "%s: %s: more than %d texts", o->source, o->path, CONFIG_TEXTS_MAX);
        return ERR_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_string(value) ? value : json_array_get(value, i);
        texts->items[texts->count++] = mem_strdup(json_string_value(item));
    }
    return OK;
}

static void map_close(struct config_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        free(map->names[i]);
        free(map->values[i]);
    }
    map->count = 0;
}

/* A name that comes again has the later value. */
enum err config_map_add(struct config_map *map, struct bytes name, struct bytes value)
{
    size_t at = 0;
    while (at < map->count && !bytes_equal(bytes_of(map->names[at]), name)) {
        at++;
    }
    if (at == META_PAIRS_MAX) {
        return ERR_INVALID;
    }
    if (at == map->count) {
        map->names[map->count++] = mem_dup(name.ptr, name.len);
    } else {
        free(map->values[at]);
    }
    map->values[at] = mem_dup(value.ptr, value.len);
    return OK;
}

static enum err config_set_map(struct config_map *map,
                               json_t *value,
                               const struct config_origin *o,
                               struct reason *why)
{
    for (void *i = json_object_iter(value); i != NULL; i = json_object_iter_next(value, i)) {
        const char *name = json_object_iter_key(i);
        const char *text = json_string_value(json_object_iter_value(i));
        if (strlen(name) > META_NAME_MAX || strlen(text) > META_VALUE_MAX ||
            config_map_add(map, bytes_of(name), bytes_of(text)) != OK) {
            reason_set(why,
                       "%s: %s.%.60s: at most %u pairs, with names of %u and values of %u "
                       "bytes",
                       o->source, o->path, name, META_PAIRS_MAX, META_NAME_MAX, META_VALUE_MAX);
            return ERR_INVALID;
        }
    }
    return OK;
}

static bool map_keep(struct config_map *to, const struct config_map *from)
{
    bool same = to->count == from->count;
    for (size_t i = 0; same && i < to->count; i++) {
        same = strcmp(to->names[i], from->names[i]) == 0 &&
               strcmp(to->values[i], from->values[i]) == 0;
    }
    map_close(to);
    for (size_t i = 0; i < from->count; i++) {
        to->names[i] = mem_strdup(from->names[i]);
        to->values[i] = mem_strdup(from->values[i]);
    }
    to->count = from->count;
    return same;
}

static void texts_close(struct config_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        free(texts->items[i]);
    }
    texts->count = 0;
}

static void config_set_used(struct config *c,
                            const struct config_key *key,
                            const json_t *value,
                            uint64_t number)
{
    void *field = config_field(c, key);
    switch (key->kind) {
    case KIND_SWITCH:
        *(bool *)field = json_is_true(value);
        break;
    case KIND_LEVEL:
        *(enum log_level *)field = (enum log_level)number;
        break;
    case KIND_TEXT:
    case KIND_UUID:
        free(*(char **)field);
        *(char **)field = mem_strdup(json_string_value(value));
        break;
    case KIND_NUMBER:
    case KIND_PORT:
    case KIND_DURATION:
    case KIND_OCTAL:
        memcpy(field, &number, sizeof number);
        break;
    case KIND_ANY:
    case KIND_FLOAT:
    case KIND_HEADERS:
    case KIND_LIKE:
    case KIND_LIST:
    case KIND_MAP:
    case KIND_TEXTS:
        CHECK(false && "a kind that has no field");
        break;
    }
}

static bool config_in_range(const struct config_key *key, uint64_t number)
{
    int64_t value = (int64_t)number;
    if (key->kind == KIND_PORT) {
        return value >= -1 && value <= 65535;
    }
    if (key->kind == KIND_NUMBER || key->kind == KIND_DURATION) {
        return (key->kind == KIND_NUMBER || number <= INT64_MAX) && value >= key->low &&
               value <= key->high;
    }
    return true;
}

enum err config_key_set(struct config *c,
                        const struct config_key *key,
                        const json_t *value,
                        const struct config_origin *o,
                        struct reason *why)
{
    uint64_t number = 0;
    if (!config_fits(key, value, &number)) {
        return config_refuse(o, key, value, why);
    }
    if (!config_in_range(key, number)) {
        bool port = key->kind == KIND_PORT;
        reason_set(why, "%s: %s: must be from %lld to %lld%s, got %lld%s", o->source, o->path,
                   port ? -1LL : (long long)key->low, port ? 65535LL : (long long)key->high,
                   key->kind == KIND_DURATION ? " ms" : "", (long long)number,
                   key->kind == KIND_DURATION ? " ms" : "");
        return ERR_INVALID;
    }
    if (key->kind == KIND_HEADERS) {
        return config_set_headers(c, (json_t *)(uintptr_t)value, o, why);
    }
    if (key->kind == KIND_TEXTS && key->used) {
        return config_set_texts(c, key, value, o, why);
    }
    if (key->kind == KIND_MAP && key->used) {
        return config_set_map(config_field(c, key), (json_t *)(uintptr_t)value, o, why);
    }
    if (key->type != NULL && key->path[0] != '@' && strcmp(key->type, "@watch") != 0) {
        return config_definitions_add(c, key, (json_t *)(uintptr_t)value, o, why);
    }
    if (key->used) {
        config_set_used(c, key, value, number);
    } else if (key->path[0] != '@') {
        config_warn(c, "%s: %s: accepted, and not used by this build yet", o->source, o->path);
    }
    return OK;
}

/* A flag's text as the JSON value it stands for; NULL if it cannot be one. */
static json_t *text_value(enum config_kind kind, struct bytes text)
{
    bool on = false;
    if (kind == KIND_SWITCH) {
        return flag_bool(text, &on) == OK ? json_boolean(on) : NULL;
    }
    if (kind == KIND_NUMBER || kind == KIND_PORT) {
        char *end = NULL;
        errno = 0;
        long long number = strtoll(text.ptr, &end, 10);
        return text.len == 0 || *end != '\0' || errno != 0 ? NULL : json_integer(number);
    }
    return json_stringn(text.ptr, text.len);
}

enum err config_key_set_text(struct config *c,
                             const struct config_key *key,
                             struct bytes text,
                             const struct config_origin *o,
                             struct reason *why)
{
    json_t *value = text_value(key->kind, text);
    if (value == NULL) {
        reason_set(why, "flag %s: expected %s, got \"%.*s\"", o->path, kind_expects(key->kind),
                   BYTES_FORMAT(text));
        return ERR_INVALID;
    }
    enum err e = config_key_set(c, key, value, o, why);
    json_decref(value);
    return e;
}

/* --- reload and end -----------------------------------------------------------------------------
 */

static bool text_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool headers_same(const struct config *a, const struct config *b)
{
    bool same = a->header_count == b->header_count;
    for (size_t i = 0; same && i < a->header_count; i++) {
        same = text_same(a->headers[i].name, b->headers[i].name) &&
               text_same(a->headers[i].value, b->headers[i].value);
    }
    return same;
}

static void headers_close(struct config *c)
{
    for (size_t i = 0; i < c->header_count; i++) {
        free((char *)(uintptr_t)c->headers[i].name);
        free((char *)(uintptr_t)c->headers[i].value);
    }
    c->header_count = 0;
}

static void headers_keep(struct config *c, const struct config *old)
{
    headers_close(c);
    c->header_count = old->header_count;
    for (size_t i = 0; i < old->header_count; i++) {
        c->headers[i] = (struct front_header){.name = mem_strdup(old->headers[i].name),
                                              .value = mem_strdup(old->headers[i].value)};
    }
}

static bool texts_keep(struct config_texts *to, const struct config_texts *from)
{
    bool same = to->count == from->count;
    for (size_t i = 0; same && i < to->count; i++) {
        same = text_same(to->items[i], from->items[i]);
    }
    texts_close(to);
    for (size_t i = 0; i < from->count; i++) {
        to->items[to->count++] = mem_strdup(from->items[i]);
    }
    return same;
}

/* Whether they differed. */
static bool
config_key_keep(struct config *c, const struct config *old, const struct config_key *key)
{
    void *to = config_field(c, key);
    const void *from = config_field_of(old, key);
    bool same = true;
    if (key->kind == KIND_HEADERS) {
        same = headers_same(c, old);
        headers_keep(c, old);
    } else if (key->kind == KIND_TEXTS) {
        same = texts_keep(to, from);
    } else if (key->kind == KIND_MAP) {
        same = map_keep(to, from);
    } else if (key->kind == KIND_TEXT || key->kind == KIND_UUID) {
        const char *text = *(char *const *)from;
        same = text_same(*(char **)to, text);
        free(*(char **)to);
        *(char **)to = text == NULL ? NULL : mem_strdup(text);
    } else {
        size_t len = key->kind == KIND_SWITCH ? sizeof(bool) : sizeof(uint64_t);
        same = memcmp(to, from, len) == 0;
        memcpy(to, from, len);
    }
    return !same;
}

void config_keys_keep(struct config *c, const struct config *old)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].used && !keys[i].reload && config_key_keep(c, old, &keys[i])) {
            config_warn(c, "%s: changed, and takes effect at the next start only", keys[i].path);
        }
    }
}

void config_keys_close(struct config *c)
{
    headers_close(c);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].used && (keys[i].kind == KIND_TEXT || keys[i].kind == KIND_UUID)) {
            free(*(char **)config_field(c, &keys[i]));
        }
        if (keys[i].used && keys[i].kind == KIND_TEXTS) {
            texts_close(config_field(c, &keys[i]));
        }
        if (keys[i].used && keys[i].kind == KIND_MAP) {
            map_close(config_field(c, &keys[i]));
        }
    }
}
