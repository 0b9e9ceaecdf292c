#include "core/front/target.h"

#include "core/base/limit.h"

static int target_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes into `to`, which has room for `raw.len` bytes. False for a bad escape. */
static bool target_decode(struct bytes raw, bool plus, char *to, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = raw.len - i < 3 ? -1 : target_digit(raw.ptr[i + 1]);
            int low = high < 0 ? -1 : target_digit(raw.ptr[i + 2]);
            if (low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[len++] = c;
    }
    *ret_len = len;
    return true;
}

/* U+0080..U+009F are C2 80..C2 9F in UTF-8. */
static bool target_printable(struct bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        unsigned char next = i + 1 < path.len ? (unsigned char)path.ptr[i + 1] : 0;
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f)) {
            return false;
        }
    }
    return true;
}

enum err
target_path(struct arena *arena, struct bytes raw, struct bytes *ret_path, const char **ret_why)
{
    char *to = arena_alloc(arena, raw.len + 1);
    size_t len = 0;
    if (to == NULL) {
        *ret_why = "path too long";
        return ERR_TOO_BIG;
    }
    if (!target_decode(raw, false, to, &len)) {
        *ret_why = "malformed escape in the path";
        return ERR_INVALID;
    }
    to[len] = '\0';
    struct bytes path = {.ptr = to, .len = len};
    if (!target_printable(path)) {
        *ret_why = "non-printable character in the path";
        return ERR_INVALID;
    }
    *ret_path = path;
    return OK;
}

static size_t target_count(struct bytes raw)
{
    size_t count = 1;
    for (size_t i = 0; i < raw.len; i++) {
        count += raw.ptr[i] == '&';
    }
    return count;
}

/* One `name=value`, decoded into `*to`, which moves on. */
static bool target_arg(struct bytes piece, char **to, struct query_arg *ret_arg)
{
    size_t equals = bytes_find(piece, '=');
    size_t value_at = equals == piece.len ? equals : equals + 1;
    size_t name_len = 0;
    size_t value_len = 0;
    char *name = *to;
    if (!target_decode(bytes_slice(piece, 0, equals), true, name, &name_len)) {
        return false;
    }
    char *value = name + name_len;
    if (!target_decode(bytes_slice(piece, value_at, piece.len), true, value, &value_len)) {
        return false;
    }
    *to = value + value_len;
    *ret_arg = (struct query_arg){
        .name = {.ptr = name, .len = name_len},
        .value = {.ptr = value, .len = value_len},
    };
    return true;
}

enum err target_query(struct arena *arena,
                      struct bytes raw,
                      const struct query_arg **ret_args,
                      size_t *ret_count,
                      const char **ret_why)
{
    size_t most = target_count(raw);
    if (raw.len == 0) {
        *ret_args = NULL;
        *ret_count = 0;
        return OK;
    }
    if (most > HTTP_QUERY_ARGS_MAX) {
        *ret_why = "too many query arguments";
        return ERR_INVALID;
    }
    struct query_arg *args = arena_alloc(arena, most * sizeof *args);
    char *to = arena_alloc(arena, raw.len);
    if (args == NULL || to == NULL) {
        *ret_why = "query too long";
        return ERR_TOO_BIG;
    }
    size_t count = 0;
    while (raw.len > 0) {
        size_t end = bytes_find(raw, '&');
        if (end > 0 && !target_arg(bytes_slice(raw, 0, end), &to, &args[count++])) {
            *ret_why = "malformed escape in the query";
            return ERR_INVALID;
        }
        raw = end == raw.len ? (struct bytes){0} : bytes_slice(raw, end + 1, raw.len);
    }
    *ret_args = args;
    *ret_count = count;
    return OK;
}
