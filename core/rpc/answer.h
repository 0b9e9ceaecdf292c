/* The answer to an HTTP request, from bytes (RFC 9112): its head, then its body piece by piece.
 * Pure: no socket, no clock.
 *
 * Owner    a head's views point into the input.
 * Limits   RPC_ANSWER_HEAD_MAX, RPC_ANSWER_FIELDS_MAX
 * Errors   PARSE_FAILED: it is no answer we can read.
 * Threads  none.
 */
#ifndef CORE_RPC_ANSWER_H
#define CORE_RPC_ANSWER_H

#include "core/base/limit.h"
#include "core/front/chunked.h"

struct answer_head {
    size_t len; /* with the empty line */
    int status;
    bool chunked;
    bool has_length; /* neither this nor chunked: the body ends with the stream */
    uint64_t length;
    size_t field_count;
    struct head_field fields[RPC_ANSWER_FIELDS_MAX];
};

/* Interim answers (1xx) are heads too. */
enum parse answer_head_parse(struct answer_head *h, struct bytes input);
bool answer_field(const struct answer_head *h, const char *name, struct bytes *ret_value);
/* Whether a field is between two neighbours only, or is made anew by who passes the answer on. */
bool answer_field_stays(struct bytes name);

/* Where a body is at. */
struct answer_body {
    /* private */
    enum {
        ANSWER_LENGTH,
        ANSWER_CHUNKED,
        ANSWER_OPEN,
        ANSWER_WHOLE
    } state;
    uint64_t left;
    struct chunked chunked;
};

/* `to_head`: the request was a HEAD, so there is no body. */
void answer_body_init(struct answer_body *b, const struct answer_head *h, bool to_head);
/* Appends what `input` holds of the body to `out`, which has room for it. PARSE_DONE: it is whole.
 */
enum parse answer_body_read(struct answer_body *b, struct bytes input, struct buf *out);
/* The stream has ended: whether the body is whole. */
bool answer_body_end(const struct answer_body *b);

#endif
