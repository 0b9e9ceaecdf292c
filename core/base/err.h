/* Expected failures, as one closed list (err.tbl.h), and the sentence that goes with one.
 *
 * Threads  any.
 */
#ifndef CORE_BASE_ERR_H
#define CORE_BASE_ERR_H

#define ERR_MUST_USE __attribute__((warn_unused_result))

enum err {
    OK = 0,
#define X(name, http, text) name,
#include "core/base/err.tbl.h"
#undef X
};

/* `ERR_TOO_BIG` and so on; never NULL. */
const char *err_name(enum err e);
const char *err_text(enum err e);
/* 200 for OK. */
int err_http_status(enum err e);

/* Why something failed, for a person: names the file, the key, the number. Truncated silently. */
struct reason {
    char text[512];
};

/* `why` may be NULL: nobody wants to know. */
void reason_set(struct reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
