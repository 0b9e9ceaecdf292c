/* The messages of `herald.v1` (contracts/streaming.md section 2), as structs and as bytes. Pure:
 * no socket, no clock, no state.
 *
 * Owner    a parsed message owns what its bytes point to, until client_message_close().
 * Limits   STREAM_MESSAGE_MAX bytes, JSON_DEPTH_MAX levels; unknown members are ignored, so that
 *          newer clients may say more.
 * Threads  none.
 */
#ifndef STREAM_PROTOCOL_H
#define STREAM_PROTOCOL_H

#include "core/base/limit.h"
#include "stream/event.h"

/* Credit that was never limited. */
#define CREDIT_UNLIMITED UINT64_MAX

enum target_kind {
    TARGET_ALL,
    TARGET_KEY,
    TARGET_PREFIX,
};

/* What a subscription wants: from a `subscribe` message, or from a URL. All bytes borrowed. */
struct subscribe {
    uint64_t id;
    enum change_topic topic; /* as subscribe_init() has it: CHANGE_KV */
    enum target_kind kind;
    struct bytes target;
    /* Topic `service`: instances that have all these tags and whose status is no worse. */
    struct bytes tags[STREAM_TAGS_MAX];
    size_t tag_count;
    enum check_status worst; /* CHECK_CRITICAL: any */
    struct bytes node;       /* topics `service`, `check`, `session`: of this node; empty: of all */
    bool has_from;
    uint64_t from_index;
    struct bytes from_epoch; /* empty: not said */
    bool snapshot;
    bool consistent;         /* begins once a majority has confirmed the state */
    bool compacted_snapshot; /* after `compacted`, go on with a snapshot */
    struct bytes filter;     /* empty: none */
    uint64_t credit_events;  /* CREDIT_UNLIMITED until credit is given */
    uint64_t credit_bytes;
    uint64_t batch_max; /* 0: no limit of its own */
    uint64_t wait_ms;
};

void subscribe_init(struct subscribe *s, uint64_t id);
/* False: too many. */
bool subscribe_add_tag(struct subscribe *s, struct bytes tag);
/* `passing`, `passing,warning`, `any`; false for anything else. */
bool subscribe_set_status(struct subscribe *s, struct bytes text);
/* What was said fits the topic; else the member that does not, and why. */
const char *subscribe_misfit(const struct subscribe *s, const char **ret_what);

enum client_type {
    CLIENT_HELLO,
    CLIENT_SUBSCRIBE,
    CLIENT_CREDIT,
    CLIENT_ACK,
    CLIENT_UNSUBSCRIBE,
    CLIENT_AUTH,
    CLIENT_PING,
};

struct client_message {
    enum client_type type;
    bool has_id;
    struct subscribe subscribe; /* `id` for every type that has one; credit for CLIENT_CREDIT */
    struct bytes token;
    struct bytes data;  /* of a ping */
    bool mark;          /* ping: marks are wanted at once */
    uint64_t max_frame; /* hello; 0: not said */
    /* What is wrong with a message that could be read: an error code, or NULL. */
    const char *problem;
    struct reason why;
    void *root; /* private */
};

/* ERR_INVALID: not JSON, not an object, or no known `type`: the connection is not worth keeping.
 * `ret_message` may be closed in any case. */
enum err protocol_parse(struct bytes text, struct client_message *ret_message) ERR_MUST_USE;
/* The same members without `type`; `id` may be missing. For `subscribe=` in a URL. */
enum err protocol_parse_subscribe(struct bytes text,
                                  struct client_message *ret_message) ERR_MUST_USE;
void client_message_close(struct client_message *m);

enum server_type {
    SERVER_WELCOME,
    SERVER_SUBSCRIBED,
    SERVER_SNAPSHOT,
    SERVER_MARK,
    SERVER_HEARTBEAT,
    SERVER_PAUSE,
    SERVER_LIVE,
    SERVER_COMPACTED,
    SERVER_END,
    SERVER_ERROR,
    SERVER_BYE,
    SERVER_PONG,
};

/* Everything the server says but `events`, which frame.h builds. Each type uses what its example
 * in the contract shows. */
struct server_message {
    enum server_type type;
    bool has_id;
    uint64_t id;
    uint64_t from;
    uint64_t through;
    uint64_t index;
    uint64_t oldest;
    uint64_t asked;
    uint64_t wall_ms;
    uint64_t heartbeat_ms;
    uint64_t max_frame;
    uint64_t retry_ms;
    unsigned code;
    bool more;
    bool retry;
    const char *connection;
    const char *epoch;
    const char *mode;
    const char *why;   /* NULL: left out */
    const char *hint;  /* bye: another server; NULL: left out */
    const char *error; /* the code */
    const char *action;
    struct bytes items; /* encoded rows, joined by commas */
    struct bytes text;  /* an error's message, a pong's data */
};

const char *server_type_name(enum server_type type);
/* One JSON object; `typed` says whether it begins with its "type". */
void protocol_encode(struct buf *out, const struct server_message *m, bool typed);

/* A JSON text of any kind, written again without white space and line breaks; ERR_INVALID if it
 * is not one. */
enum err protocol_compact_json(struct buf *out, struct bytes text) ERR_MUST_USE;

#endif
