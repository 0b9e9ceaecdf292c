/* One HTTP request of an agent to a server and its answer, over a stream of the connection that is
 * in use; again over another when that one is lost, if that can do no harm.
 *
 *      WAITING (for a connection) -> SENDING -> (head) -> (body) -> done
 *          ^---- lost, idempotent, no head yet ----'
 *
 * Promise  `done` comes once, never from inside a call of this header.
 *          OK              the answer is whole
 *          ERR_NOT_FOUND   no server could be asked, nothing was done
 *          ERR_TIMEOUT     the connection was lost and the outcome is unknown
 *          ERR_LIMIT       too much at once, nothing was done
 *          ERR_IO          the answer broke off behind its head, or cannot be read
 * Owner    memory is the caller's from call_start() until `done` or call_cancel(), and longer if
 *          that is called from inside `head` or `data`: until those return. The request's bytes are
 *          taken.
 * Threads  the loop's.
 */
#ifndef CORE_RPC_CALL_H
#define CORE_RPC_CALL_H

#include "core/rpc/answer.h"
#include "core/rpc/client.h"

struct call;

struct call_ops {
    /* Borrowed for the call. */
    void (*head)(struct call *c, const struct answer_head *h);
    /* Borrowed for the call; the server sends more after call_taken(). */
    void (*data)(struct call *c, struct bytes data);
    void (*done)(struct call *c, enum err e);
};

struct call {
    /* the caller's */
    const struct call_ops *ops;
    bool idempotent; /* may be sent again */
    bool is_head;    /* its answer has no body */
    uint64_t hold_ms;
    /* private */
    struct rpc_client *client;
    struct mux_stream stream;
    struct rpc_waiter waiter;
    enum {
        CALL_IDLE,
        CALL_WAITING,
        CALL_SENDING,
        CALL_BODY
    } state;
    struct buf request;
    size_t sent;
    uint64_t until_ms; /* waiting for a connection ends */
    struct buf in;     /* of the head */
    struct buf piece;  /* of the body */
    size_t raw;        /* bytes of the stream in what was told, not yet taken */
    struct answer_body body;
    unsigned silent;   /* streams that ended without an answer */
    struct timer fail; /* due at once: `done` with `failed` */
    enum err failed;
};

/* Takes `request`: it becomes empty. */
void call_start(struct call *c, struct rpc_client *client, struct buf *request);
/* So much of what came by `data` is used. */
void call_taken(struct call *c);
/* Nothing is called any more. Allowed at any time, also after `done` and if it is zeroed. */
void call_cancel(struct call *c);
/* An idempotent one that has no answer yet goes to the server that is in use now. */
void call_move(struct call *c);

#endif
