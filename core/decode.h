/* JSON from outside into C structures by tables, as Go's encoding/json does it, whose words clients
 * know: member names in any case, null leaves what is there, an unknown member is an error.
 *
 * Owner    what is decoded lives in the arena; the json_t may go at once.
 * Errors   ERR_INVALID: not of the form; ERR_TOO_BIG: a limit (a text's, a list's, the arena's).
 *          `why` is then what Consul says behind `Request decode failed: `.
 * Threads  none; one thread at a time.
 */
#ifndef CORE_DECODE_H
#define CORE_DECODE_H

#include "core/base/arena.h"

#include <jansson.h>

/* The first JSON value in `text`; what follows it is not read, as in Go. The caller gives
 * `ret_json` back with json_decref(). `why` in Go's words: `EOF`, `invalid character 'b' looking
 * for beginning of object key string`. */
enum err decode_json(struct bytes text, json_t **ret_json, struct reason *why) ERR_MUST_USE;

struct decode;
struct decode_type;

enum decode_kind {
    DECODE_TEXT,     /* struct bytes, a NUL behind it */
    DECODE_BOOL,     /* bool */
    DECODE_NUMBER,   /* uint32_t */
    DECODE_INDEX,    /* uint64_t */
    DECODE_DURATION, /* uint64_t, milliseconds: "10s" or a number of nanoseconds */
    DECODE_TEXTS,    /* struct bytes: texts (store/row.h) */
    DECODE_PAIRS,    /* struct bytes: pairs (store/row.h) */
    DECODE_JSON,     /* struct bytes: the value as compact JSON */
    DECODE_OBJECT,   /* a structure of `type` */
    DECODE_CALL,     /* whatever `call` makes of it */
    DECODE_SKIP,     /* known, and of no use here */
};

struct decode_field {
    const char *name; /* as Go's structure has it: CheckID */
    enum decode_kind kind;
    size_t offset; /* into the structure */
    size_t max;    /* bytes of a text, bytes of a list, greatest number */
    const struct decode_type *type;
    enum err (*call)(struct decode *d, json_t *value, void *field);
};

struct decode_type {
    const char *name; /* Go's, for the errors */
    const struct decode_field *fields;
    size_t count;
    bool snake;   /* `check_id` is CheckID too */
    bool lenient; /* what is not in the table is passed over */
};

/* `ret` is what the fields' offsets count from; what the JSON does not name stays as it is. */
enum err decode_value(struct arena *a,
                      json_t *json,
                      const struct decode_type *type,
                      void *ret,
                      struct reason *why) ERR_MUST_USE;

/* --- for `call` ------------------------------------------------------------------------------ */

struct arena *decode_arena(struct decode *d);
/* ERR_INVALID; the reason is what Go says when it finds `value` where `expected` ought to be. */
enum err decode_mismatch(struct decode *d, const json_t *value, const char *expected) ERR_MUST_USE;
/* ERR_INVALID or ERR_TOO_BIG with a sentence of one's own. */
enum err decode_fail(struct decode *d, enum err e, const char *format, ...) ERR_MUST_USE
    __attribute__((format(printf, 3, 4)));
/* A structure inside, as DECODE_OBJECT. */
enum err decode_inside(struct decode *d, json_t *json, const struct decode_type *type, void *ret)
    ERR_MUST_USE;

#endif
