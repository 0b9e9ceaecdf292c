#include "core/cli/json.h"

#include "core/base/limit.h"

#include <string.h>

/* 2^63 has 19 digits: shorter numbers always fit. */
#define SAFE_DIGITS 18

static bool is_number_part(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* The number or word at `at`, quoted if it is a whole number too long for jansson. */
static enum err copy_number(struct buf *out, struct bytes text, size_t *at)
{
    size_t end = *at;
    bool whole = true;
    while (end < text.len && is_number_part(text.ptr[end])) {
        whole = whole && text.ptr[end] >= '0' && text.ptr[end] <= '9';
        end++;
    }
    struct bytes number = bytes_slice(text, *at, end);
    bool quote = whole && number.len > SAFE_DIGITS && number.ptr[0] != '0';
    enum err e = quote ? buf_append_char(out, '"') : OK;
    if (e == OK) {
        e = buf_append(out, number);
    }
    *at = end;
    return e == OK && quote ? buf_append_char(out, '"') : e;
}

static size_t string_end(struct bytes text, size_t at)
{
    at++;
    while (at < text.len && text.ptr[at] != '"') {
        at += text.ptr[at] == '\\' ? 2 : 1;
    }
    return at < text.len ? at + 1 : text.len;
}

static enum err json_prepare(struct buf *out, struct bytes text, struct reason *why)
{
    size_t at = 0;
    size_t depth = 0;
    enum err e = OK;
    while (at < text.len && e == OK) {
        char c = text.ptr[at];
        if (c == '"') {
            size_t end = string_end(text, at);
            e = buf_append(out, bytes_slice(text, at, end));
            at = end;
            continue;
        }
        if (c >= '0' && c <= '9') {
            e = copy_number(out, text, &at);
            continue;
        }
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        if (depth > JSON_DEPTH_MAX) {
            reason_set(why, "nested deeper than %u", JSON_DEPTH_MAX);
            return ERR_INVALID;
        }
        e = buf_append_char(out, c);
        at++;
    }
    if (e != OK) {
        reason_set(why, "too large");
    }
    return e;
}

enum err json_parse(struct bytes text, json_t **ret_value, struct reason *why)
{
    struct buf clean;
    json_error_t error;
    buf_init(&clean, text.len * 2 + 16);
    enum err e = json_prepare(&clean, text, why);
    if (e == OK) {
        json_t *value = json_loadb(clean.len > 0 ? clean.ptr : "", clean.len,
                                   JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        if (value == NULL) {
            reason_set(why, "line %d column %d: %s", error.line, error.column, error.text);
            e = ERR_INVALID;
        } else {
            *ret_value = value;
        }
    }
    buf_close(&clean);
    return e;
}

enum err json_u64(const json_t *value, uint64_t *ret_number)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret_number = (uint64_t)json_integer_value(value);
        return OK;
    }
    return json_is_string(value) ? bytes_to_u64(json_bytes(value), ret_number) : ERR_INVALID;
}

struct bytes json_bytes(const json_t *value)
{
    return json_is_string(value)
               ? (struct bytes){.ptr = json_string_value(value), .len = json_string_length(value)}
               : (struct bytes){.ptr = "", .len = 0};
}

bool json_next_element(struct bytes *rest, struct bytes *ret_element)
{
    size_t at = 0;
    size_t depth = 0;
    while (at < rest->len) {
        char c = rest->ptr[at];
        if (c == '"') {
            at = string_end(*rest, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']')) {
            break;
        }
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        at++;
    }
    *ret_element = bytes_slice(*rest, 0, at);
    bool more = at < rest->len && rest->ptr[at] == ',';
    *rest = more ? bytes_slice(*rest, at + 1, rest->len) : (struct bytes){.ptr = "", .len = 0};
    return ret_element->len > 0;
}
