/* A chunked body, piece by piece (RFC 9112 section 7.1). Pure.
 *
 * Limits   `out` takes up to its own maximum; chunk extensions and trailers, which are read and
 *          dropped, HTTP_CHUNK_EXTRA_MAX bytes altogether.
 * Errors   PARSE_FAILED: `status` says 400 (malformed) or 413 (a limit).
 * Threads  none.
 */
#ifndef CORE_FRONT_CHUNKED_H
#define CORE_FRONT_CHUNKED_H

#include "core/front/parse.h"

struct chunked {
    /* of PARSE_FAILED */
    int status;
    /* private */
    int state;
    uint32_t extra; /* bytes of extensions and trailers so far */
    uint64_t left;  /* of the chunk */
};

void chunked_init(struct chunked *c);
/* Takes from `input` what belongs to the body (all of it unless PARSE_DONE) and appends the data to
 * `out`. */
enum parse chunked_decode(struct chunked *c, struct bytes input, struct buf *out, size_t *ret_used);

#endif
