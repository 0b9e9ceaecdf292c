#include "core/rpc/answer.h"

#include <string.h>

/* `HTTP/1.1 200 OK` */
static bool answer_status(struct bytes line, int *ret_status)
{
    uint64_t status = 0;
    if (line.len < 12 || !bytes_begins(line, BYTES("HTTP/1.")) || line.ptr[8] != ' ' ||
        (line.len > 12 && line.ptr[12] != ' ') ||
        bytes_to_u64(bytes_slice(line, 9, 12), &status) != OK || status < 100) {
        return false;
    }
    *ret_status = (int)status;
    return true;
}

static struct bytes answer_trim(struct bytes text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = bytes_slice(text, 1, text.len);
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

static bool answer_line(struct answer_head *h, struct bytes line)
{
    size_t colon = bytes_find(line, ':');
    if (colon == 0 || colon == line.len || h->field_count == RPC_ANSWER_FIELDS_MAX) {
        return false;
    }
    struct head_field f = {
        .name = bytes_slice(line, 0, colon),
        .value = answer_trim(bytes_slice(line, colon + 1, line.len)),
    };
    h->fields[h->field_count++] = f;
    if (bytes_equal_nocase(f.name, BYTES("Content-Length"))) {
        bool first = !h->has_length;
        h->has_length = true;
        return first && bytes_to_u64(f.value, &h->length) == OK;
    }
    if (bytes_equal_nocase(f.name, BYTES("Transfer-Encoding"))) {
        h->chunked = true;
        return bytes_equal_nocase(f.value, BYTES("chunked"));
    }
    return true;
}

static bool answer_has_end(struct bytes input, size_t *ret_len)
{
    const char *end = input.len == 0 ? NULL : memmem(input.ptr, input.len, "\r\n\r\n", 4);
    *ret_len = end == NULL ? 0 : (size_t)(end - input.ptr) + 4;
    return end != NULL;
}

enum parse answer_head_parse(struct answer_head *h, struct bytes input)
{
    size_t len = 0;
    struct bytes seen =
        bytes_slice(input, 0, input.len < RPC_ANSWER_HEAD_MAX ? input.len : RPC_ANSWER_HEAD_MAX);
    if (!answer_has_end(seen, &len)) {
        return seen.len == RPC_ANSWER_HEAD_MAX ? PARSE_FAILED : PARSE_MORE;
    }
    struct bytes rest = bytes_slice(input, 0, len - 2);
    bool first = true;
    *h = (struct answer_head){.len = len};
    while (rest.len > 0) {
        size_t end = bytes_find(rest, '\r');
        if (end + 1 >= rest.len || rest.ptr[end + 1] != '\n') {
            return PARSE_FAILED;
        }
        struct bytes line = bytes_slice(rest, 0, end);
        if (first ? !answer_status(line, &h->status) : !answer_line(h, line)) {
            return PARSE_FAILED;
        }
        first = false;
        rest = bytes_slice(rest, end + 2, rest.len);
    }
    return first || (h->chunked && h->has_length) ? PARSE_FAILED : PARSE_DONE;
}

bool answer_field(const struct answer_head *h, const char *name, struct bytes *ret_value)
{
    for (size_t i = 0; i < h->field_count; i++) {
        if (bytes_equal_nocase(h->fields[i].name, bytes_of(name))) {
            *ret_value = h->fields[i].value;
            return true;
        }
    }
    return false;
}

bool answer_field_stays(struct bytes name)
{
    static const char *const own[] = {
        "Connection",        "Content-Length", "Content-Type",
        "Content-Encoding",  "Date",           "Keep-Alive",
        "Transfer-Encoding", "Upgrade",        "Vary",
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of(own[i]))) {
            return true;
        }
    }
    return false;
}

void answer_body_init(struct answer_body *b, const struct answer_head *h, bool to_head)
{
    *b = (struct answer_body){.state = ANSWER_OPEN, .left = h->length};
    if (to_head || h->status == 204 || h->status == 304 || (h->has_length && h->length == 0)) {
        b->state = ANSWER_WHOLE;
    } else if (h->chunked) {
        b->state = ANSWER_CHUNKED;
        chunked_init(&b->chunked);
    } else if (h->has_length) {
        b->state = ANSWER_LENGTH;
    }
}

enum parse answer_body_read(struct answer_body *b, struct bytes input, struct buf *out)
{
    size_t used = 0;
    enum parse p = PARSE_MORE;
    switch (b->state) {
    case ANSWER_CHUNKED:
        p = chunked_decode(&b->chunked, input, out, &used);
        break;
    case ANSWER_LENGTH:
        used = input.len < b->left ? input.len : (size_t)b->left;
        if (buf_append(out, bytes_slice(input, 0, used)) != OK) {
            return PARSE_FAILED;
        }
        b->left -= used;
        p = b->left == 0 ? PARSE_DONE : PARSE_MORE;
        break;
    case ANSWER_OPEN:
        return buf_append(out, input) == OK ? PARSE_MORE : PARSE_FAILED;
    case ANSWER_WHOLE:
        return PARSE_DONE;
    }
    if (p == PARSE_DONE) {
        b->state = ANSWER_WHOLE;
    }
    return p;
}

bool answer_body_end(const struct answer_body *b)
{
    return b->state == ANSWER_WHOLE || b->state == ANSWER_OPEN;
}
