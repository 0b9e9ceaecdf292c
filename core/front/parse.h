/* The head of an HTTP/1.1 request, from bytes (RFC 9112). Pure: no socket, no memory of its own.
 *
 * Strict where leniency has been a way to smuggle requests past a proxy: line ends are CRLF, no
 * folded lines, no space before the colon, one Content-Length at most and never beside
 * Transfer-Encoding.
 *
 * Owner    all views of a `struct head` point into the input.
 * Limits   HTTP_HEADERS_MAX fields; the size is the caller's `max`. Both are status 431.
 * Errors   PARSE_FAILED with an HTTP status and a sentence; the connection cannot be used further.
 * Threads  none.
 */
#ifndef CORE_FRONT_PARSE_H
#define CORE_FRONT_PARSE_H

#include "core/base/limit.h"
#include "core/front/request.h"

enum parse {
    PARSE_MORE,
    PARSE_DONE,
    PARSE_FAILED,
};

struct head_field {
    struct bytes name;
    struct bytes value; /* without the space around it */
};

struct head {
    /* of PARSE_DONE */
    size_t len; /* with the empty line */
    enum method method;
    struct bytes method_name;
    struct bytes path;  /* raw; "*" for OPTIONS * */
    struct bytes query; /* raw, behind the `?` */
    unsigned minor;     /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;
    bool upgrade; /* Connection: upgrade */
    bool expects; /* any Expect: */
    bool expects_continue;
    bool chunked;
    bool has_length;
    uint64_t length; /* UINT64_MAX for what is beyond 64 bits */
    size_t field_count;
    struct head_field fields[HTTP_HEADERS_MAX];
    /* of PARSE_FAILED */
    int status;
    const char *why;
};

/* Looks for a whole head at the start of `input`. `scanned` is 0 at first and the caller's to keep
 * until the head is whole; the input may move and grow between calls. */
enum parse head_parse(struct head *h, struct bytes input, size_t max, size_t *scanned);
/* First field of that name, any case. */
bool head_find(const struct head *h, struct bytes name, struct bytes *ret_value);
/* Whether a comma-separated list has `token`, any case; parameters (`;q=0`) are not read. */
bool list_has(struct bytes list, struct bytes token);

#endif
