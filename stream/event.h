/* Events: what a change is to a reader of the stream. A change of a key is one as it stands. A
 * change of the fleet brings a row (store/row.h), read here. One of topic `service` is `added`,
 * `changed` or `removed` in the eyes of a selection (selection.h), which looks at what the instance
 * is now and what it was before.
 *
 * Owner    an event borrows its change, and its row borrows from the change's value.
 * Threads  none.
 */
#ifndef STREAM_EVENT_H
#define STREAM_EVENT_H

#include "store/change.h"
#include "store/row.h"

enum event_op {
    EVENT_NONE, /* not of this selection */
    EVENT_SET,
    EVENT_DELETE,
    EVENT_DELETE_PREFIX, /* topic `kv` only */
    EVENT_ADDED,         /* the three of topic `service` */
    EVENT_CHANGED,
    EVENT_REMOVED,
};

struct stream_event {
    const struct change *change;
    enum event_op op;
    bool has_row; /* one of these, by the change's topic; never of topic `kv` */
    union {
        struct instance_row instance;
        struct node_row node;
        struct check_row check;
        struct session_row session;
        struct event_row event;
    } row;
};

/* The change's row, and what happened when everything is selected. ERR_CORRUPT. */
enum err event_read(struct stream_event *e, const struct change *c) ERR_MUST_USE;

/* `set`, `delete`, `delete-prefix`, `added`, `changed`, `removed`. */
const char *event_op_name(enum event_op op);
/* `kv`, `service`, `node`, `check`, `session`, `event`. */
const char *topic_name(enum change_topic topic);
/* ERR_INVALID for any other word. */
enum err topic_parse(struct bytes text, enum change_topic *ret_topic) ERR_MUST_USE;

/* --- fields ---------------------------------------------------------------------------------- */

enum field {
    FIELD_OP,
    FIELD_KEY, /* of the change (store/change.h): of an instance, its service's name */
    FIELD_VALUE,
    FIELD_SESSION,
    FIELD_SERVICE,
    FIELD_NODE,
    FIELD_ID,
    FIELD_NAME,
    FIELD_CHECK,
    FIELD_STATUS, /* empty when there is none */
    FIELD_BEFORE, /* the status of the instance before; empty when it was not there */
    FIELD_ADDRESS,
    FIELD_TAG, /* these two are lists: a test holds if it does of one of them */
    FIELD_TAGS,
    FIELD_NUMBERS, /* the ones from here on are numbers */
    FIELD_INDEX = FIELD_NUMBERS,
    FIELD_FLAGS,
    FIELD_SIZE,
    FIELD_CREATE_INDEX,
    FIELD_LOCK_INDEX,
    FIELD_PORT,
    FIELD_COUNT,
};

/* False if events of this topic have no such field. */
bool field_find(enum change_topic topic, struct bytes name, enum field *ret_field);
/* The names of a topic's fields: "a, b, c". */
void field_names(enum change_topic topic, struct buf *out);
bool field_is_list(enum field field);
/* Tags, addresses and ports of what left a selection are those it had there. */
struct bytes field_text(enum field field, const struct stream_event *e);
uint64_t field_number(enum field field, const struct stream_event *e);
struct bytes field_texts(enum field field, const struct stream_event *e);

#endif
