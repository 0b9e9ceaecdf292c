/* What the files of this room share: the front, its connections, the exchange at hand. Nobody
 * outside core/front/ includes it.
 *
 * Life     a connection's memory goes at the front's next turn after connection_close(), so that
 *          every caller on the stack may still look at its state.
 *
 *                  +----------------------------- answered, keep-alive ---------------------------+
 *                  v                                                                              |
 *   accept -> HEAD ------> BODY ------> HANDLING ------> WRITING ---------------------------------+
 *              |  \__________________^  |  |  ^  \________________________________________________^
 *              |                        |  |  |                  (all of it taken at once)
 *              |                        |  |  +-- parked here: until answered, or the client leaves
 *              |                        |  +----> STREAMING -----> WRITING
 *              |                        +-------> UPGRADED          (the socket is lws's)
 *              +--- refused ---> WRITING ---- last answer ----> LINGERING ----> CLOSED
 *                                                       (every state may go to CLOSED)
 *
 * Threads  the front's loop.
 */
#ifndef CORE_FRONT_INSIDE_H
#define CORE_FRONT_INSIDE_H

#include "core/base/arena.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/base/shared.h"
#include "core/base/sm.h"
#include "core/front/chunked.h"
#include "core/front/front.h"
#include "core/front/parse.h"

#include <stdalign.h>
#include <stdatomic.h>

struct gzip;
struct listener;
struct websocket_host;

enum connection_state {
    CONNECTION_HEAD,
    CONNECTION_BODY,
    CONNECTION_HANDLING,
    CONNECTION_WRITING,
    CONNECTION_STREAMING,
    CONNECTION_UPGRADED,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
};

/* What the kernel has not taken yet: `head`, the body by reference, a CRLF. */
struct outgoing {
    struct outgoing *next;
    struct shared *body;
    size_t sent;
    uint32_t head_len;
    uint32_t tail_len;
    char head[];
};

/* Longest text of an address: INET6_ADDRSTRLEN, and a zone or nothing. */
#define CLIENT_TEXT_LEN 46

struct connection {
    struct io io;
    struct front *front;
    struct list link;  /* connections, later dead */
    struct list later; /* has something to do at the next turn */
    struct sm sm;
    struct timer timer;
    uint64_t deadline_ms; /* 0: none */
    uint64_t armed_ms;    /* of the timer: it is not moved when the deadline moves away */
    struct exchange *exchange;
    struct buf in; /* what was read and is not yet used */
    size_t scanned;
    struct outgoing *out;
    struct outgoing **out_last;
    size_t out_bytes;
    size_t out_full; /* the most that was pending since `writable` was last called */
    uint32_t client_slot;
    bool forwarded;  /* by an agent, on behalf of its own client */
    bool seen;       /* its first byte was looked at */
    bool head_begun; /* the deadline of the head runs */
    bool keep_alive; /* after the answer at hand */
    bool running;    /* connection_run() is on the stack */
    bool broken;     /* a write failed: it is closed at the next turn */
    uint8_t client_len;
    char client[CLIENT_TEXT_LEN];
};

/* Small requests, parked ones too, need no memory beyond this. */
#define EXCHANGE_MEMORY 768

/* A request, from its whole head to the end of its answer. */
struct exchange {
    struct request request;
    struct arena arena;
    struct buf body;
    struct bytes raw_head; /* a copy, while the body comes */
    uint64_t left;         /* of the body */
    struct chunked chunked;
    struct exchange *next_free;
    const struct reply_stream_ops *stream;
    char *lines; /* of reply_header() */
    uint32_t lines_len;
    uint32_t lines_cap;
    unsigned minor;
    bool keep_alive;
    bool body_chunked;
    bool routed;
    bool accepts_gzip;
    bool stream_chunked;
    alignas(max_align_t) char memory[EXCHANGE_MEMORY];
};

struct front {
    struct front_options options; /* limits resolved */
    struct env *env;
    struct list connections;
    struct list dead;
    struct list later;
    struct timer later_timer;
    atomic_size_t count;
    /* the request at hand */
    struct head head;
    const struct request *current; /* whose head that is */
    struct bytes early;            /* what came behind it */
    char *scratch;                 /* HTTP_READ_MAX bytes */
    struct buf answer_head;
    struct exchange *pool;
    size_t pooled;
    struct buf extra; /* lines of the options' headers */
    uint64_t date_s;
    char date[40];
    struct listener *listeners;
    struct gzip *gzip;                     /* from the first compressed answer on */
    struct websocket_host *websocket_host; /* from the first upgrade on */
    bool draining;
    void (*drained)(struct front *f);
    struct timer drain_timer;
};

/* --- front.c */

/* A turn of the loop is asked for: connections in `later`, the dead, the end of the drain. */
void front_later(struct front *f);
void front_count(struct front *f, int delta);
struct exchange *exchange_new(struct connection *c);
void exchange_free(struct front *f, struct exchange *x);

/* --- acceptor.c */

enum err acceptor_open(struct front *f, struct reason *why) ERR_MUST_USE;
void acceptor_close(struct front *f);
void acceptor_finish(struct front *f);
uint16_t acceptor_port(const struct front *f, size_t i);

/* --- connection.c */

/* Takes the descriptor. `client` is copied. */
struct connection *
connection_new(struct front *f, int fd, struct bytes client, uint32_t client_slot);
/* From the loop only: cancels what is at hand, then closes. */
void connection_gone(struct connection *c);
/* Nothing is at hand. */
void connection_close(struct connection *c);
/* As connection_close(), but the descriptor and the client's slot go on elsewhere. */
void connection_hand_over(struct connection *c);
/* What comes now has no end: the kernel holds no more than STREAM_KERNEL_MAX of it. */
void connection_endless(const struct connection *c);
/* It is closed at the next turn. */
void connection_break(struct connection *c);
void connection_later(struct connection *c);
/* What was put off until this turn. */
void connection_turn(struct connection *c);

/* A part of an answer: `owner` is the body's memory, or NULL when the body must be copied. */
struct part {
    struct bytes head;
    struct bytes body;
    struct shared *owner;
    struct bytes tail;
};

void connection_send(struct connection *c, const struct part *part);
/* The answer is said: the exchange goes, the next request may come. */
void connection_answered(struct connection *c, bool keep_alive);
void connection_set_deadline(struct connection *c, uint64_t delay_ms);

/* --- request.c */

/* The exchange's request is whole and front->head is its head: routes it and runs the handler. */
void request_dispatch(struct exchange *x);
/* Whether the request would be refused whatever its body says. */
bool request_is_hopeless(struct front *f, const struct head *h);

/* --- reply.c */

/* Refuses what is not a request; the connection ends with it. */
void reply_refuse(struct connection *c, int status, const char *why);
/* Whole answers that need no connection of ours: to a socket that is closed next. */
void reply_raw(int fd, int status, const char *text);

/* --- gzip.c */

/* The compressed form of `body`, remembered until the next turn for the others that share it; one
 * reference. NULL if it would not be smaller. */
struct shared *gzip_shared(struct front *f, struct shared *body);
struct shared *gzip_bytes(struct front *f, struct bytes body);
void gzip_forget(struct front *f);
void gzip_free(struct front *f);

/* --- websocket.c */

void websocket_host_close_all(struct front *f);
void websocket_host_free(struct front *f);

#endif
