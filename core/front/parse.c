#include "core/front/parse.h"

#include <string.h>

/* Longest method name that is worth reading. */
#define PARSE_METHOD_MAX 24

/* ASCII characters as bitmaps. */
/* tchar (RFC 9110 section 5.6.2): letters, digits, !#$%&'*+-.^_`|~ */
static const uint32_t TOKEN[4] = {0x00000000, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
/* uri-host and port (RFC 3986 section 3.2.2): letters, digits, -._~!$&'()*+,;=:[]% */
static const uint32_t HOST[4] = {0x00000000, 0x2fff7ff2, 0xaffffffe, 0x47fffffe};

static bool bitmap_has(const uint32_t bitmap[4], unsigned char c)
{
    return c < 0x80 && (bitmap[c >> 5] >> (c & 31) & 1) != 0;
}

static bool bitmap_all(const uint32_t bitmap[4], struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (!bitmap_has(bitmap, (unsigned char)b.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* VCHAR, obs-text, SP, HTAB (RFC 9110 section 5.5). */
static bool value_valid(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* No control, no space, no fragment. Bytes above ASCII pass: clients do send raw UTF-8. */
static bool target_valid(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.ptr[i];
        if (c <= 0x20 || c == 0x7f || c == '#') {
            return false;
        }
    }
    return b.len > 0;
}

static struct bytes trim(struct bytes b)
{
    while (b.len > 0 && (b.ptr[0] == ' ' || b.ptr[0] == '\t')) {
        b = bytes_slice(b, 1, b.len);
    }
    while (b.len > 0 && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == '\t')) {
        b.len--;
    }
    return b;
}

static enum parse head_fail(struct head *h, int status, const char *why)
{
    h->status = status;
    h->why = why;
    return PARSE_FAILED;
}

static enum method method_of(struct bytes name)
{
    static const struct {
        struct bytes name;
        enum method method;
    } methods[] = {
        {{"GET", 3}, METHOD_GET},   {{"PUT", 3}, METHOD_PUT},
        {{"POST", 4}, METHOD_POST}, {{"DELETE", 6}, METHOD_DELETE},
        {{"HEAD", 4}, METHOD_HEAD}, {{"OPTIONS", 7}, METHOD_OPTIONS},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (bytes_equal(name, methods[i].name)) {
            return methods[i].method;
        }
    }
    return METHOD_OTHER;
}

/* `HTTP/1.x` (RFC 9112 section 2.3). */
static enum parse head_version(struct head *h, struct bytes version)
{
    const char *v = version.ptr;
    if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' || v[6] != '.' ||
        v[7] < '0' || v[7] > '9') {
        return head_fail(h, 400, "malformed HTTP version");
    }
    if (v[5] != '1') {
        return head_fail(h, 505, "HTTP version not supported");
    }
    h->minor = v[7] == '0' ? 0 : 1;
    return PARSE_DONE;
}

/* origin-form, absolute-form, or `*` (RFC 9112 section 3.2). */
static enum parse head_target(struct head *h, struct bytes target)
{
    if (!target_valid(target)) {
        return head_fail(h, 400, "malformed request target");
    }
    if (h->method == METHOD_OPTIONS && bytes_equal(target, BYTES("*"))) {
        h->path = target;
        return PARSE_DONE;
    }
    if (target.ptr[0] != '/') {
        size_t scheme = bytes_begins(target, BYTES("http://"))    ? 7
                        : bytes_begins(target, BYTES("https://")) ? 8
                                                                  : 0;
        if (scheme == 0) {
            return head_fail(h, 400, "malformed request target");
        }
        struct bytes rest = bytes_slice(target, scheme, target.len);
        size_t slash = bytes_find(rest, '/');
        if (slash == 0 || !bitmap_all(HOST, bytes_slice(rest, 0, slash))) {
            return head_fail(h, 400, "malformed request target");
        }
        target = slash == rest.len ? BYTES("/") : bytes_slice(rest, slash, rest.len);
    }
    size_t mark = bytes_find(target, '?');
    h->path = bytes_slice(target, 0, mark);
    h->query = mark == target.len ? (struct bytes){0} : bytes_slice(target, mark + 1, target.len);
    return PARSE_DONE;
}

/* `method SP target SP version` (RFC 9112 section 3). */
static enum parse head_request_line(struct head *h, struct bytes line)
{
    size_t first = bytes_find(line, ' ');
    if (first == 0 || first == line.len || first > PARSE_METHOD_MAX ||
        !bitmap_all(TOKEN, bytes_slice(line, 0, first))) {
        return head_fail(h, 400, "malformed request line");
    }
    h->method_name = bytes_slice(line, 0, first);
    h->method = method_of(h->method_name);
    struct bytes rest = bytes_slice(line, first + 1, line.len);
    size_t second = bytes_find(rest, ' ');
    if (second == rest.len) {
        return head_fail(h, 400, "malformed request line");
    }
    enum parse p = head_version(h, bytes_slice(rest, second + 1, rest.len));
    return p == PARSE_DONE ? head_target(h, bytes_slice(rest, 0, second)) : p;
}

bool list_has(struct bytes list, struct bytes token)
{
    while (list.len > 0) {
        size_t comma = bytes_find(list, ',');
        struct bytes item = trim(bytes_slice(list, 0, comma));
        size_t end = bytes_find(item, ';');
        if (bytes_equal_nocase(trim(bytes_slice(item, 0, end)), token)) {
            return true;
        }
        list = comma == list.len ? (struct bytes){0} : bytes_slice(list, comma + 1, list.len);
    }
    return false;
}

/* Which fields were there: each of these may be there once. */
struct head_seen {
    bool host;
    bool length;
    bool coding;
    bool close;
    bool keep_alive;
};

/* RFC 9112 section 6.2; what is not digits only has been a way to smuggle. */
static enum parse head_length(struct head *h, struct head_seen *seen, struct bytes value)
{
    if (seen->length) {
        return head_fail(h, 400, "more than one Content-Length");
    }
    seen->length = true;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return head_fail(h, 400, "malformed Content-Length");
        }
    }
    if (value.len == 0) {
        return head_fail(h, 400, "malformed Content-Length");
    }
    if (bytes_to_u64(value, &h->length) != OK) {
        h->length = UINT64_MAX;
    }
    h->has_length = true;
    return PARSE_DONE;
}

/* RFC 9112 section 6.1: `chunked` alone is what we understand. */
static enum parse head_coding(struct head *h, struct head_seen *seen, struct bytes value)
{
    if (seen->coding) {
        return head_fail(h, 400, "more than one Transfer-Encoding");
    }
    seen->coding = true;
    if (!bytes_equal_nocase(value, BYTES("chunked"))) {
        return head_fail(h, 501, "unsupported transfer encoding");
    }
    h->chunked = true;
    return PARSE_DONE;
}

/* What the fields mean that decide about the message itself. */
static enum parse head_meaning(struct head *h, struct head_seen *seen, const struct head_field *f)
{
    /* The lengths of the names that matter, so that most others cost one comparison. */
    switch (f->name.len) {
    case 4:
        if (bytes_equal_nocase(f->name, BYTES("Host"))) {
            if (seen->host || !bitmap_all(HOST, f->value)) {
                return head_fail(h, 400, seen->host ? "more than one Host" : "malformed Host");
            }
            seen->host = true;
        }
        break;
    case 6:
        if (bytes_equal_nocase(f->name, BYTES("Expect"))) {
            h->expects = true;
            h->expects_continue = bytes_equal_nocase(f->value, BYTES("100-continue"));
        }
        break;
    case 10:
        if (bytes_equal_nocase(f->name, BYTES("Connection"))) {
            seen->close = seen->close || list_has(f->value, BYTES("close"));
            seen->keep_alive = seen->keep_alive || list_has(f->value, BYTES("keep-alive"));
            h->upgrade = h->upgrade || list_has(f->value, BYTES("upgrade"));
        }
        break;
    case 14:
        if (bytes_equal_nocase(f->name, BYTES("Content-Length"))) {
            return head_length(h, seen, f->value);
        }
        break;
    case 17:
        if (bytes_equal_nocase(f->name, BYTES("Transfer-Encoding"))) {
            return head_coding(h, seen, f->value);
        }
        break;
    default:
        break;
    }
    return PARSE_DONE;
}

/* `name: value` (RFC 9112 section 5). */
static enum parse head_field_line(struct head *h, struct head_seen *seen, struct bytes line)
{
    size_t colon = bytes_find(line, ':');
    if (colon == 0 || colon == line.len || !bitmap_all(TOKEN, bytes_slice(line, 0, colon))) {
        return head_fail(h, 400, "malformed header field");
    }
    struct bytes value = trim(bytes_slice(line, colon + 1, line.len));
    if (!value_valid(value)) {
        return head_fail(h, 400, "malformed header field");
    }
    if (h->field_count == HTTP_HEADERS_MAX) {
        return head_fail(h, 431, "too many header fields");
    }
    struct head_field *f = &h->fields[h->field_count++];
    *f = (struct head_field){.name = bytes_slice(line, 0, colon), .value = value};
    return head_meaning(h, seen, f);
}

/* What only the whole of the fields tells. */
static enum parse head_judge(struct head *h, const struct head_seen *seen)
{
    if (h->minor >= 1 && !seen->host) {
        return head_fail(h, 400, "missing Host");
    }
    if (h->chunked && h->has_length) {
        return head_fail(h, 400, "Content-Length beside Transfer-Encoding");
    }
    if (h->chunked && h->minor == 0) {
        return head_fail(h, 400, "Transfer-Encoding in HTTP/1.0");
    }
    h->keep_alive = !seen->close && (h->minor >= 1 || seen->keep_alive);
    return PARSE_DONE;
}

/* The line at `*at`, which moves behind it; its CR is cut. False if it does not end in CRLF. */
static bool head_line(struct bytes input, size_t *at, struct bytes *ret_line)
{
    struct bytes rest = bytes_slice(input, *at, input.len);
    size_t end = bytes_find(rest, '\n');
    if (end == rest.len || end == 0 || rest.ptr[end - 1] != '\r') {
        return false;
    }
    *ret_line = bytes_slice(rest, 0, end - 1);
    *at += end + 1;
    return true;
}

/* Empty lines before a request line are skipped (RFC 9112 section 2.2). */
static size_t head_start(struct bytes input)
{
    size_t at = 0;
    while (input.len - at >= 2 && input.ptr[at] == '\r' && input.ptr[at + 1] == '\n') {
        at += 2;
    }
    return at;
}

/* Where the empty line ends, 0 if it is not there yet. A line end without CR fails at once, so
 * that a client which never sends one does not wait for its deadline. */
static enum parse head_find_end(struct bytes input, size_t from, size_t *scanned, size_t *ret_end)
{
    size_t at = *scanned > from ? *scanned : from;
    while (at < input.len) {
        size_t line_end = at + bytes_find(bytes_slice(input, at, input.len), '\n');
        if (line_end == input.len) {
            *scanned = input.len;
            return PARSE_MORE;
        }
        if (line_end == from || input.ptr[line_end - 1] != '\r') {
            return PARSE_FAILED;
        }
        at = line_end + 1;
        *scanned = at;
        if (line_end >= from + 3 && input.ptr[line_end - 2] == '\n') {
            *ret_end = at;
            return PARSE_DONE;
        }
    }
    return PARSE_MORE;
}

enum parse head_parse(struct head *h, struct bytes input, size_t max, size_t *scanned)
{
    size_t start = head_start(input);
    size_t end = 0;
    enum parse p = head_find_end(input, start, scanned, &end);
    if (p == PARSE_FAILED) {
        return head_fail(h, 400, "a line does not end in CRLF");
    }
    if (p == PARSE_MORE ? input.len >= max : end > max) {
        return head_fail(h, 431, "request head too large");
    }
    if (p == PARSE_MORE) {
        return PARSE_MORE;
    }
    /* The fields are many bytes: they are left as they are. */
    memset(h, 0, offsetof(struct head, fields));
    h->status = 0;
    h->why = NULL;
    struct head_seen seen = {0};
    struct bytes whole = bytes_slice(input, 0, end);
    struct bytes line = {0};
    size_t at = start;
    bool ended = head_line(whole, &at, &line);
    p = ended ? head_request_line(h, line) : head_fail(h, 400, "malformed request line");
    while (p == PARSE_DONE && at < end) {
        if (!head_line(whole, &at, &line)) {
            return head_fail(h, 400, "malformed header field");
        }
        if (line.len > 0) {
            p = head_field_line(h, &seen, line);
        }
    }
    h->len = end;
    return p == PARSE_DONE ? head_judge(h, &seen) : p;
}

bool head_find(const struct head *h, struct bytes name, struct bytes *ret_value)
{
    for (size_t i = 0; i < h->field_count; i++) {
        if (bytes_equal_nocase(h->fields[i].name, name)) {
            *ret_value = h->fields[i].value;
            return true;
        }
    }
    return false;
}
