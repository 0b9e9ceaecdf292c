/* One connection of the change stream: an outlet, its subscriptions, its clocks and its limits
 * (the public side is `outlet_...` in stream.h).
 *
 *      NEW ---> GREETING (waits for hello) ---> OPEN ---> CLOSING
 *        \_________________________________________________^
 *
 * Order    the transport may come back with outlet_closed() from inside send() and close(): the
 *          memory stays until the outermost call is done.
 * Threads  the stream's.
 */
#ifndef STREAM_SUBSCRIBER_H
#define STREAM_SUBSCRIBER_H

#include "stream/stream_priv.h"
#include "stream/subscription.h"
#include "stream/url.h"

enum subscriber_state {
    SUBSCRIBER_NEW,
    SUBSCRIBER_GREETING,
    SUBSCRIBER_OPEN,
    SUBSCRIBER_CLOSING,
};

struct subscriber {
    struct list link; /* stream.subscribers */
    struct stream *stream;
    struct outlet *outlet; /* NULL: the transport is gone */
    struct rights *rights; /* one hold; NULL: everything may be read */
    struct frame_style style;
    struct sm sm;
    struct list subscriptions;
    size_t count;
    struct stream_url url; /* until the subscriptions of the URL are open */
    bool auto_subscribe;
    bool greeted; /* a hello came */
    bool started; /* the URL's subscriptions were opened */
    uint64_t name;
    uint64_t until; /* no event past this index */
    uint64_t limit; /* events that may still go; UINT64_MAX: any number */
    size_t frame_max;
    struct timer pump;     /* the next turn */
    struct timer tick;     /* marks, heartbeat, stall */
    struct timer deadline; /* of hello, or of the whole answer */
    uint64_t timeout_ms;
    uint64_t sent_ms;
    uint64_t marks_ms;
    /* Bytes sent less bytes pending, and when that last rose: how a reader that takes nothing is
     * told from one that is slow. */
    uint64_t sent_bytes;
    int64_t taken_bytes;
    uint64_t taken_ms;
    uint64_t window_ms; /* client messages: this second's start and count */
    unsigned window_count;
    unsigned busy; /* calls that are inside */
};

/* --- for subscriptions ----------------------------------------------------------------------- */

/* Around everything that may send: the transport may go away inside. */
void subscriber_enter(struct subscriber *sb);
void subscriber_leave(struct subscriber *sb);
bool subscriber_is_open(const struct subscriber *sb);
/* A reader in one direction, that ends with its last subscription. */
bool subscriber_is_one_way(const struct subscriber *sb);
/* Room for a whole frame. */
bool subscriber_has_room(struct subscriber *sb);
/* Takes the reference. */
void subscriber_send(struct subscriber *sb, struct shared *frame);
/* `cursor` as in frame_message(). Sends nothing that the transport has no words for. */
void subscriber_say(struct subscriber *sb, const struct server_message *m, uint64_t cursor);
/* An index that is complete for all subscriptions but this one; UINT64_MAX when they are alone. */
uint64_t subscriber_cursor_max(const struct subscriber *sb, const struct subscription *except);
/* The next turn, soon. */
void subscriber_wake(struct subscriber *sb);
/* Closes the transport; the subscriptions are gone at once. */
void subscriber_shut(struct subscriber *sb, unsigned code, const char *reason);

/* --- for the stream -------------------------------------------------------------------------- */

void subscriber_publish(struct subscriber *sb, size_t changes);
/* The state was replaced; `anew`: its indexes count something else now. */
void subscriber_replace(struct subscriber *sb, bool anew);
/* Access control has changed: closes with 4001 whoever has no valid token any more. */
void subscriber_recheck(struct subscriber *sb);
void subscriber_bye(struct subscriber *sb, uint64_t retry_ms, const char *hint);

#endif
