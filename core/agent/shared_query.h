/* The blocking queries of an agent's own watchers, each distinct one asked of the servers once:
 * 2,000 watchers of one query cost a server one. The last answers stay, for when all servers are
 * lost.
 *
 *      watchers (index, deadline) ---\                     /--- ask(key, index) ---> a server
 *      watchers                   ----+--- shared query ---
 *      watchers                   ---/    (last answer)    \--- shared_query_answered()
 *
 * Rules    the question upstream is asked with the lowest index that waits; an answer with another
 *          index than a watcher's own is that watcher's answer. While a question with the last
 *          answer's index is upstream, that answer is current: who comes with a lower index gets it
 *          at once. Who comes with a higher one knows more than we do, and is asked for alone.
 * Life     shared_queries_new() -> ... -> shared_queries_free(), when nobody waits any more.
 * Owner    keys are copied; a watcher's memory is its user's until `done` or shared_cancel(). An
 *          answer is counted.
 * Limits   SHARED_*; what nobody waits for goes first, the longest unused before others.
 * Threads  the loop's. Pure but for the env's clock and timers: what is upstream is its user's.
 */
#ifndef CORE_AGENT_SHARED_QUERY_H
#define CORE_AGENT_SHARED_QUERY_H

#include "core/base/env.h"
#include "core/base/list.h"
#include "core/base/shared.h"

struct shared_query;
struct shared_queries;

/* What a server said. */
struct shared_answer {
    int status;
    uint64_t index;       /* 0: none, so nothing to wait for */
    uint64_t at_ms;       /* when it came, of the loop's clock */
    char *content_type;   /* NULL: none */
    struct shared *lines; /* the other headers, but those about the index and the leader */
    struct shared *meta;  /* those */
    struct shared *body;
    /* private */
    unsigned refs;
};

/* One reference; takes none of the strings: they are copied, `body` is counted. */
struct shared_answer *shared_answer_new(const struct shared_answer *from);
struct shared_answer *shared_answer_ref(struct shared_answer *a);
/* NULL is allowed. */
void shared_answer_unref(struct shared_answer *a);

struct shared_host {
    struct env *env;
    void *ctx;
    /* Asks upstream; the answer comes by shared_query_answered() or shared_query_failed(), not from
     * inside. */
    void (*ask)(void *ctx, struct shared_query *q, struct bytes key, uint64_t index);
    void (*cancel)(void *ctx, struct shared_query *q);
    /* Whether what is upstream is at a server now. */
    bool (*connected)(void *ctx);
};

struct shared_queries *shared_queries_new(const struct shared_host *host);
/* NULL is allowed. */
void shared_queries_free(struct shared_queries *s);

struct shared_watcher {
    /* Once. OK with the answer, borrowed, `stale` if no server stands behind it any more;
     * ERR_TIMEOUT: the time is up and the answer is not known, ask for it plainly; else why there
     * is none. */
    void (*done)(struct shared_watcher *w, enum err e, struct shared_answer *a, bool stale);
    /* private */
    struct shared_query *query; /* NULL: it does not wait */
    struct list link;
    uint64_t index;
    struct timer timer;
};

enum shared_verdict {
    SHARED_WAITS, /* `done` follows */
    SHARED_NOW,   /* the answer is there already */
    SHARED_ALONE, /* this one is better asked by itself */
};

/* SHARED_NOW: `ret_answer`, borrowed until the next call. */
enum shared_verdict shared_watch(struct shared_queries *s,
                                 struct shared_watcher *w,
                                 struct bytes key,
                                 uint64_t index,
                                 uint64_t wait_ms,
                                 struct shared_answer **ret_answer);
/* Also of one that waits no more. */
void shared_cancel(struct shared_watcher *w);

/* Of a question by `ask`. The reference is taken. */
void shared_query_answered(struct shared_query *q, struct shared_answer *a);
void shared_query_failed(struct shared_query *q, enum err e);

/* What was asked plainly is remembered too. */
void shared_remember(struct shared_queries *s, struct bytes key, struct shared_answer *a);
/* It was refused: what was seen before is not for this asker any more. */
void shared_forget(struct shared_queries *s, struct bytes key);
/* NULL: none. Borrowed. */
struct shared_answer *shared_last(struct shared_queries *s, struct bytes key);

/* The user's, of a question upstream. */
void shared_query_set_ctx(struct shared_query *q, void *ctx);
void *shared_query_ctx(const struct shared_query *q);

#endif
