/* What clients of a KV store did and were told: the input of the linearizability checker
 * (linear.h), kept in memory and written to a file, one operation per line.
 *
 *     # comment
 *     client start end|- kind key value|- cas|- outcome read|- index|- [mode view|- sent|-]
 *
 *     7 1000 1020 set   app/a one -  ok     -   12
 *     8 1010 1030 get   app/a -   -  ok     one 12
 *     7 1040 1050 cas   app/a two 11 failed -   -
 *     8 1060 -    set   app/a two -  unknown -  -
 *     8 1070 1080 get   app/a -   -  ok     one 12 stale 12 9
 *
 *   client    number; one client has one operation at a time
 *   start end when it was sent and answered; `-`: never answered
 *   kind      get, set, cas, delete, delete-cas
 *   value     what a set or a cas writes
 *   cas       the condition of a cas or a delete-cas: this ModifyIndex; of a cas, 0: missing
 *   outcome   ok; failed: the condition did not hold (a deletion of a missing key is ok);
 *             refused: certainly not applied and never will be; unknown: perhaps, perhaps later
 *   read      what a get saw, `-`: the key was missing
 *   index     of a get the ModifyIndex that it saw; of a write its raft index, where it is known.
 *             An unknown write whose index is known has happened, at that index
 *   mode      consistent (also when left out) or stale
 *   view sent X-Consul-Index of the answer, and the index that the client sent with the request
 *
 * Texts are escaped as in URLs, `-` as %2D; the empty text is `""`.
 *
 * Units    times are any integers that rise. Equal ones count as simultaneous, which forgives
 *          more: a counter that steps at each event is best, nanoseconds are good.
 * Owner    the history owns copies of all texts, each kept once and known by its number.
 * Limits   2^32 - 1 operations and texts; a text at most HISTORY_TEXT_MAX bytes.
 * Errors   ERR_INVALID for a line that is not of the form, with its number; ERR_IO.
 * Threads  none.
 */
#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include "core/base/buf.h"

#include <stdio.h>

#define HISTORY_NEVER    UINT64_MAX
#define HISTORY_TEXT_MAX ((size_t)1024 * 1024)

enum history_kind {
    HISTORY_GET,
    HISTORY_SET,
    HISTORY_CAS,
    HISTORY_DELETE,
    HISTORY_DELETE_CAS,
};

enum history_outcome {
    HISTORY_OK,
    HISTORY_FAILED,
    HISTORY_REFUSED,
    HISTORY_UNKNOWN,
};

enum history_mode {
    HISTORY_CONSISTENT,
    HISTORY_STALE,
};

/* Texts by number; 0 is none (no value; the key was missing). */
struct history_op {
    uint64_t start;
    uint64_t end;
    uint64_t cas;
    uint64_t index; /* 0: not known */
    uint64_t view;  /* 0: none */
    uint64_t sent;  /* 0: none */
    uint32_t client;
    uint32_t key;
    uint32_t value;
    uint32_t read;
    enum history_kind kind;
    enum history_outcome outcome;
    enum history_mode mode;
};

struct history {
    /* read-only */
    size_t count;
    struct history_op *ops; /* in the order in which they began */
    /* private */
    size_t cap;
    struct history_text {
        char *ptr;
        size_t len;
    } * texts; /* number 0 is unused */
    size_t texts_count;
    size_t texts_cap;
    uint32_t *slots; /* open addressing; 0: free */
    size_t slots_cap;
};

void history_init(struct history *h);
void history_close(struct history *h);

/* What a client is about to ask. `value` of a set or a cas, `cas` of a cas or a delete-cas. */
struct history_call {
    uint32_t client;
    uint64_t start;
    enum history_kind kind;
    enum history_mode mode;
    struct bytes key;
    struct bytes value;
    uint64_t cas;
    uint64_t sent;
};

/* What it was told. */
struct history_answer {
    uint64_t end;
    enum history_outcome outcome;
    bool found; /* a get: the key was there, with `value` and `index` */
    struct bytes value;
    uint64_t index; /* 0: not known; so is a missing key's */
    uint64_t view;
};

/* The number of the operation; until it is answered its fate is unknown. */
uint32_t history_begin(struct history *h, const struct history_call *call);
void history_end(struct history *h, uint32_t number, const struct history_answer *answer);
/* A write's place in the log, learned later (from the log itself). */
void history_learn(struct history *h, uint32_t number, uint64_t index);

/* Borrowed until history_close(). */
struct bytes history_text(const struct history *h, uint32_t text);
/* Its number, kept if it is new. */
uint32_t history_intern(struct history *h, struct bytes text);

/* One line, without the newline. */
void history_line(const struct history *h, const struct history_op *op, struct buf *out);
enum err history_write(const struct history *h, FILE *f) ERR_MUST_USE;
/* Appends what the file says; `why` names the line that is wrong. */
enum err history_read(struct history *h, FILE *f, struct reason *why) ERR_MUST_USE;

#endif
