#include "core/api/api.h"
#include "core/base/limit.h"

/* Length of the string literal at the start of `json`, quotes included. */
static size_t pretty_string_len(struct bytes json)
{
    size_t i = 1;
    while (i < json.len && json.ptr[i] != '"') {
        i += json.ptr[i] == '\\' ? 2 : 1;
    }
    return i + 1 < json.len ? i + 1 : json.len;
}

static enum err pretty_newline(struct buf *out, unsigned depth)
{
    enum err e = buf_append_char(out, '\n');
    for (unsigned i = 0; i < depth && e == OK; i++) {
        e = buf_append_str(out, "    ");
    }
    return e;
}

/* One character outside of strings. */
static enum err pretty_char(struct buf *out, struct bytes json, size_t at, unsigned *depth)
{
    char c = json.ptr[at];
    bool empty = at + 1 < json.len && (json.ptr[at + 1] == ']' || json.ptr[at + 1] == '}');
    enum err e = OK;
    if (c == ']' || c == '}') {
        bool was_empty = at > 0 && (json.ptr[at - 1] == '[' || json.ptr[at - 1] == '{');
        *depth -= *depth > 0 ? 1 : 0;
        e = was_empty ? OK : pretty_newline(out, *depth);
        return e == OK ? buf_append_char(out, c) : e;
    }
    e = buf_append_char(out, c);
    if (c == '[' || c == '{') {
        ++*depth;
        return e == OK && !empty ? pretty_newline(out, *depth) : e;
    }
    if (c == ',') {
        return e == OK ? pretty_newline(out, *depth) : e;
    }
    return c == ':' && e == OK ? buf_append_char(out, ' ') : e;
}

enum err json_pretty(struct buf *out, struct bytes json)
{
    unsigned depth = 0;
    enum err e = OK;
    for (size_t i = 0; i < json.len && e == OK;) {
        if (json.ptr[i] == '"') {
            size_t len = pretty_string_len(bytes_slice(json, i, json.len));
            e = buf_append(out, bytes_slice(json, i, i + len));
            i += len;
        } else {
            e = pretty_char(out, json, i, &depth);
            i++;
        }
    }
    return e == OK ? buf_append_char(out, '\n') : e;
}
