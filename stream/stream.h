/* Waiting: who wants to know, from which index on. One `struct stream` per front thread; it gets
 * every published change batch, wakes exactly the blocking queries whose answer changed, and
 * feeds the subscriptions of the change stream (contracts/streaming.md).
 *
 * Threads  one stream belongs to one front's loop; every call and callback is on that thread.
 */
#ifndef STREAM_STREAM_H
#define STREAM_STREAM_H

#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/base/shared.h"
#include "store/view.h"

struct acl;
struct stream;

/* One question whether the view at hand is as new as a majority knows the state; its memory is the
 * stream's until `done`, which comes from the loop, never from inside the question. */
struct stream_confirm {
    /* OK: host.view() is good now. Anything else: nobody could say. */
    void (*done)(struct stream_confirm *c, enum err status);
};

/* What a stream may ask its surroundings. */
struct stream_host {
    struct env *env;
    void *ctx;
    /* The newest view; borrowed until the loop's next turn. */
    struct view *(*view)(void *ctx);
    /* What the indexes of `v` count, as text: another one means that they may repeat. ""
     * before there is anything to count: subscriptions are told to come back. At most
     * STREAM_EPOCH_MAX bytes; borrowed until the next call. */
    const char *(*epoch)(void *ctx, const struct view *v);
    /* NULL: the view is always as new as can be. */
    void (*confirm)(void *ctx, struct stream_confirm *c);
    /* What a token may read, as of `v`: a reference for the caller; NULL: there is no such token.
     * The member itself NULL: there is no access control. */
    struct acl *(*rights)(void *ctx, struct view *v, struct bytes token);
    const char *node_name;
    const char *datacenter; /* as rows of the fleet show it */
    uint64_t heartbeat_ms;  /* 0: STREAM_HEARTBEAT_MS; tests make it short */
};

struct stream *stream_new(const struct stream_host *host);
/* All waiters and outlets must be gone. */
void stream_free(struct stream *s);
/* `b` is borrowed for the call. Behind a batch that says `replaced`, every waiting query is
 * evaluated anew; subscriptions go on from the history, or are told `compacted`. */
void stream_publish(struct stream *s, struct change_batch *b);
/* The server stops: every waiter is answered with what it knows, every outlet gets `bye`
 * (1001, a random retry up to `retry_ms`, and `hint`: another server's host:port, NULL for none)
 * and is closed. */
void stream_shutdown(struct stream *s, uint64_t retry_ms, const char *hint);

/* --- blocking queries ------------------------------------------------------------------------ */

enum watch_kind {
    WATCH_KV_KEY,
    WATCH_KV_PREFIX,
    WATCH_INDEX, /* target: the name of an index (store/fleet.h) */
};

/* An evaluated query. `wake_index` is the index at which the answer last changed: the query waits
 * while it is <= the client's index; `index` is what X-Consul-Index says. They differ for a
 * missing key, which reports the table's index and yet is not woken by other keys. */
struct watch_answer {
    int status;
    uint64_t index;
    uint64_t wake_index;
    const char *content_type;
    bool sandboxed;      /* a raw value: the transport forbids browsers to run it */
    struct shared *body; /* one reference, moves with the answer; NULL for none */
};

/* Identical waiting queries share one of these: same kind, target and rendering. */
struct watch_query {
    enum watch_kind kind;
    struct bytes target; /* key, prefix or index name; copied */
    /* What else decides the answer's bytes (raw, pretty, keys + separator, rights); copied. */
    struct bytes variant;
    /* Pure: the answer at `v`. `target` and `variant` as above. */
    enum err (*evaluate)(struct view *v,
                         struct bytes target,
                         struct bytes variant,
                         struct watch_answer *ret_answer);
};

/* One client that waits; memory is the caller's from watch_wait() until `done` or watch_cancel().
 */
struct watch {
    /* `answer` is borrowed for the call (ref the body to keep it). On ERR_* it is NULL. */
    void (*done)(struct watch *w, enum err status, const struct watch_answer *answer);
    void *ctx; /* the caller's */
    /* private */
    struct query_group *group;
    struct list link;
    struct timer timeout;
    uint64_t index;
};

/* Waits until the answer's wake_index is above `index`, at most `wait_ms` (jitter included by the
 * caller). Evaluates at once: may call `done` before it returns. */
void watch_wait(struct stream *s,
                struct watch *w,
                const struct watch_query *q,
                uint64_t index,
                uint64_t wait_ms);
/* The client went away; no `done` follows. */
void watch_cancel(struct watch *w);

/* --- the change stream ----------------------------------------------------------------------- */

enum outlet_format {
    OUTLET_WEBSOCKET, /* herald.v1.json: one message per frame */
    OUTLET_SSE,
    OUTLET_NDJSON,
};

struct outlet;

/* The transport under an outlet: a WebSocket, or a chunked HTTP answer. */
struct outlet_ops {
    /* Takes one frame (refs it as long as it needs it). Never fails: a dead connection says so by
     * outlet_closed(), also from inside this call. */
    void (*send)(struct outlet *o, struct shared *frame);
    /* Bytes that were sent and are not yet with the kernel. */
    size_t (*pending)(struct outlet *o);
    /* Says `code` and `reason` where the transport can (WebSocket close), flushes, ends. After it
     * only outlet_closed() comes. */
    void (*close)(struct outlet *o, unsigned code, const char *reason);
};

/* What the request's query and headers say; all borrowed for the call. */
struct outlet_options {
    enum outlet_format format;
    bool auto_subscribe; /* the URL carries a subscription (always, for SSE and NDJSON) */
    struct bytes query;  /* the raw query string; its parameters are listed in url.h */
    struct bytes last_event_id;
    struct bytes token;
    struct bytes client; /* address, for the log */
};

/* Bytes of scratch room in front of every frame (what the WebSocket library asks for). */
#define OUTLET_HEADROOM 32

/* One connection of the change stream; memory is the transport's from outlet_open() until it has
 * called outlet_closed(). */
struct outlet {
    const struct outlet_ops *ops;
    void *ctx; /* the transport's */
    /* private */
    struct subscriber *subscriber;
};

/* Calls nothing of `ops` itself: the first frame comes from the loop's timers, in the same turn, so
 * that the transport can begin its answer in between.
 * An error is to be answered as plain HTTP and leaves nothing open: ERR_INVALID (bad parameter),
 * ERR_DENIED (the token is unknown), ERR_COMPACTED (NDJSON only; `why` is then the JSON body),
 * ERR_NOT_FOUND (SSE only: the subscription is over for good, which EventSource is told by 204),
 * ERR_CLOSED. */
enum err outlet_open(struct stream *s,
                     struct outlet *o,
                     const struct outlet_ops *ops,
                     const struct outlet_options *options,
                     struct reason *why) ERR_MUST_USE;
/* A whole message of the client (WebSocket). Borrowed for the call. */
void outlet_message(struct outlet *o, struct bytes message);
/* `pending` has fallen to STREAM_OUTBOUND_MAX - STREAM_BATCH_MAX or below: there is room again.
 * More calls than needed do no harm; a missing one is noticed only at the next heartbeat. */
void outlet_writable(struct outlet *o);
/* The transport is gone: forgets the outlet, calls nothing back. */
void outlet_closed(struct outlet *o);

#endif
