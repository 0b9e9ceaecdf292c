#include "core/front/chunked.h"

/* Sixteen hexadecimal digits are all a 64 bit size can have; none of ours needs so many. */
#define CHUNK_SIZE_MAX (UINT64_MAX >> 8)

enum chunked_state {
    CHUNK_SIZE_FIRST, /* the first digit */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START, /* of a line */
    TRAILER,
    TRAILER_LF,
    TRAILER_END_LF, /* of the empty line */
    CHUNK_END,
};

void chunked_init(struct chunked *c)
{
    *c = (struct chunked){.state = CHUNK_SIZE_FIRST};
}

static enum parse chunked_fail(struct chunked *c, int status)
{
    c->status = status;
    return PARSE_FAILED;
}

static int chunked_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The line `size [;extension] CRLF`. */
static enum parse chunked_size(struct chunked *c, char byte)
{
    int digit = chunked_digit(byte);
    if (digit >= 0) {
        if (c->left > CHUNK_SIZE_MAX >> 4) {
            return chunked_fail(c, 413);
        }
        c->left = c->left << 4 | (uint64_t)digit;
        c->state = CHUNK_SIZE;
        return PARSE_MORE;
    }
    if (c->state == CHUNK_SIZE_FIRST) {
        return chunked_fail(c, 400);
    }
    if (byte == '\r') {
        c->state = CHUNK_SIZE_LF;
        return PARSE_MORE;
    }
    /* Space before the `;` is what some senders write; RFC 9112 section 7.1.1 calls it bad. */
    if (byte != ';' && byte != ' ' && byte != '\t') {
        return chunked_fail(c, 400);
    }
    c->state = CHUNK_EXTENSION;
    return PARSE_MORE;
}

/* Everything that is dropped: it is counted, and may hold no control but a tab. */
static enum parse chunked_extra(struct chunked *c, char byte, int at_cr)
{
    if (byte == '\r') {
        c->state = at_cr;
        return PARSE_MORE;
    }
    if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return chunked_fail(c, 400);
    }
    c->extra++;
    return c->extra > HTTP_CHUNK_EXTRA_MAX ? chunked_fail(c, 413) : PARSE_MORE;
}

static enum parse chunked_expect(struct chunked *c, char byte, char want, int next)
{
    if (byte != want) {
        return chunked_fail(c, 400);
    }
    c->state = next;
    return next == CHUNK_END ? PARSE_DONE : PARSE_MORE;
}

/* Every byte but the data's. */
static enum parse chunked_step(struct chunked *c, char byte)
{
    switch ((enum chunked_state)c->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        return chunked_size(c, byte);
    case CHUNK_EXTENSION:
        return chunked_extra(c, byte, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF:
        return chunked_expect(c, byte, '\n', c->left == 0 ? TRAILER_START : CHUNK_DATA);
    case CHUNK_DATA_CR:
        return chunked_expect(c, byte, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return chunked_expect(c, byte, '\n', CHUNK_SIZE_FIRST);
    case TRAILER_START:
        c->state = TRAILER;
        return chunked_extra(c, byte, TRAILER_END_LF);
    case TRAILER:
        return chunked_extra(c, byte, TRAILER_LF);
    case TRAILER_LF:
        return chunked_expect(c, byte, '\n', TRAILER_START);
    case TRAILER_END_LF:
        return chunked_expect(c, byte, '\n', CHUNK_END);
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    return chunked_fail(c, 400);
}

enum parse chunked_decode(struct chunked *c, struct bytes input, struct buf *out, size_t *ret_used)
{
    size_t at = 0;
    enum parse p = PARSE_MORE;
    while (at < input.len && p == PARSE_MORE) {
        if (c->state != CHUNK_DATA) {
            p = chunked_step(c, input.ptr[at]);
            at++;
            /* What is announced and cannot fit is refused before it is read. */
            if (c->state == CHUNK_DATA && c->left > out->max - out->len) {
                return chunked_fail(c, 413);
            }
            continue;
        }
        size_t len = input.len - at < c->left ? input.len - at : (size_t)c->left;
        if (buf_append(out, bytes_slice(input, at, at + len)) != OK) {
            return chunked_fail(c, 413);
        }
        at += len;
        c->left -= len;
        if (c->left == 0) {
            c->state = CHUNK_DATA_CR;
        }
    }
    *ret_used = at;
    return p;
}
