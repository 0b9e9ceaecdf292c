#include "stream/event.h"

#include "core/base/check.h"

#define TOPIC(topic) (1U << (topic))
#define TOPIC_EVERY                                                                                \
    (TOPIC(CHANGE_KV) | TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_NODE) | TOPIC(CHANGE_CHECK) |         \
     TOPIC(CHANGE_SESSION) | TOPIC(CHANGE_EVENT))
#define TOPIC_FLEET (TOPIC_EVERY & ~TOPIC(CHANGE_KV))

static const char *const OP_NAMES[] = {
    [EVENT_NONE] = "none",       [EVENT_SET] = "set",
    [EVENT_DELETE] = "delete",   [EVENT_DELETE_PREFIX] = "delete-prefix",
    [EVENT_ADDED] = "added",     [EVENT_CHANGED] = "changed",
    [EVENT_REMOVED] = "removed",
};

static const char *const TOPIC_NAMES[CHANGE_TOPICS] = {
    [CHANGE_KV] = "kv",       [CHANGE_SERVICE] = "service", [CHANGE_NODE] = "node",
    [CHANGE_CHECK] = "check", [CHANGE_SESSION] = "session", [CHANGE_EVENT] = "event",
};

static const struct {
    const char *name;
    unsigned topics;
} FIELDS[FIELD_COUNT] = {
    [FIELD_OP] = {"op", TOPIC_EVERY},
    [FIELD_KEY] = {"key", TOPIC_EVERY},
    [FIELD_VALUE] = {"value", TOPIC(CHANGE_KV)},
    [FIELD_SESSION] = {"session", TOPIC(CHANGE_KV)},
    [FIELD_SERVICE] = {"service", TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_CHECK)},
    [FIELD_NODE] = {"node", TOPIC_FLEET & ~TOPIC(CHANGE_EVENT)},
    [FIELD_ID] = {"id", TOPIC_FLEET},
    [FIELD_NAME] = {"name", TOPIC_FLEET},
    [FIELD_CHECK] = {"check", TOPIC(CHANGE_CHECK)},
    [FIELD_STATUS] = {"status", TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_CHECK)},
    [FIELD_BEFORE] = {"before", TOPIC(CHANGE_SERVICE)},
    [FIELD_ADDRESS] = {"address", TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_NODE)},
    [FIELD_TAG] = {"tag", TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_CHECK)},
    [FIELD_TAGS] = {"tags", TOPIC(CHANGE_SERVICE) | TOPIC(CHANGE_CHECK)},
    [FIELD_INDEX] = {"index", TOPIC_EVERY},
    [FIELD_FLAGS] = {"flags", TOPIC(CHANGE_KV)},
    [FIELD_SIZE] = {"size", TOPIC(CHANGE_KV)},
    [FIELD_CREATE_INDEX] = {"create_index", TOPIC(CHANGE_KV)},
    [FIELD_LOCK_INDEX] = {"lock_index", TOPIC(CHANGE_KV)},
    [FIELD_PORT] = {"port", TOPIC(CHANGE_SERVICE)},
};

const char *event_op_name(enum event_op op)
{
    return OP_NAMES[op];
}

const char *topic_name(enum change_topic topic)
{
    return TOPIC_NAMES[topic];
}

enum err topic_parse(struct bytes text, enum change_topic *ret_topic)
{
    for (enum change_topic t = CHANGE_KV; t < CHANGE_TOPICS; t++) {
        if (bytes_equal(text, bytes_of(TOPIC_NAMES[t]))) {
            *ret_topic = t;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* --- reading --------------------------------------------------------------------------------- */

static enum event_op event_op_of(enum change_op op)
{
    switch (op) {
    case CHANGE_SET:
        return EVENT_SET;
    case CHANGE_DELETE:
        return EVENT_DELETE;
    case CHANGE_DELETE_PREFIX:
        return EVENT_DELETE_PREFIX;
    }
    return EVENT_NONE;
}

static enum event_op event_op_of_instance(const struct instance_row *r)
{
    if (r->is) {
        return r->was ? EVENT_CHANGED : EVENT_ADDED;
    }
    return r->was ? EVENT_REMOVED : EVENT_NONE;
}

enum err event_read(struct stream_event *e, const struct change *c)
{
    e->change = c;
    e->op = event_op_of(c->op);
    e->has_row = c->topic != CHANGE_KV && c->value.len > 0;
    if (!e->has_row) {
        return c->topic == CHANGE_SERVICE ? ERR_CORRUPT : OK;
    }
    enum err err = OK;
    switch (c->topic) {
    case CHANGE_SERVICE:
        err = row_instance_decode(c->value, &e->row.instance);
        e->op = err == OK ? event_op_of_instance(&e->row.instance) : EVENT_NONE;
        return err;
    case CHANGE_NODE:
        return row_node_decode(c->value, &e->row.node);
    case CHANGE_CHECK:
        return row_check_decode(c->value, &e->row.check);
    case CHANGE_SESSION:
        return row_session_decode(c->value, &e->row.session);
    case CHANGE_EVENT:
        return row_event_decode(c->value, &e->row.event);
    case CHANGE_KV:
    case CHANGE_TOPICS:
        break;
    }
    return ERR_CORRUPT;
}

/* --- fields ---------------------------------------------------------------------------------- */

bool field_find(enum change_topic topic, struct bytes name, enum field *ret_field)
{
    for (enum field f = 0; f < FIELD_COUNT; f++) {
        if ((FIELDS[f].topics & TOPIC(topic)) != 0 && bytes_equal(name, bytes_of(FIELDS[f].name))) {
            *ret_field = f;
            return true;
        }
    }
    return false;
}

void field_names(enum change_topic topic, struct buf *out)
{
    for (enum field f = 0; f < FIELD_COUNT; f++) {
        if ((FIELDS[f].topics & TOPIC(topic)) != 0) {
            buf_put_str(out, out->len > 0 ? ", " : "");
            buf_put_str(out, FIELDS[f].name);
        }
    }
}

bool field_is_list(enum field field)
{
    return field == FIELD_TAG || field == FIELD_TAGS;
}

static struct bytes field_status(enum check_status status)
{
    return status >= CHECK_PASSING && status <= CHECK_CRITICAL ? bytes_of(check_status_name(status))
                                                               : BYTES("");
}

static struct bytes field_of_instance(enum field field, const struct stream_event *e)
{
    const struct instance_row *r = &e->row.instance;
    switch ((int)field) {
    case FIELD_SERVICE:
    case FIELD_NAME:
        return r->service.name;
    case FIELD_NODE:
        return r->service.node;
    case FIELD_ID:
        return r->service.id;
    case FIELD_STATUS:
        return r->is ? field_status(r->status) : BYTES("");
    case FIELD_BEFORE:
        return r->was ? field_status(r->before) : BYTES("");
    case FIELD_ADDRESS:
        if (e->op == EVENT_REMOVED) {
            return r->address_before;
        }
        return r->service.address.len > 0 ? r->service.address : r->node.address;
    default:
        return BYTES("");
    }
}

static struct bytes field_of_node(enum field field, const struct stream_event *e)
{
    switch ((int)field) {
    case FIELD_NODE:
    case FIELD_NAME:
        return e->has_row ? e->row.node.name : e->change->key;
    case FIELD_ID:
        return e->has_row ? e->row.node.id : BYTES("");
    case FIELD_ADDRESS:
        return e->has_row ? e->row.node.address : BYTES("");
    default:
        return BYTES("");
    }
}

/* Of a check that is gone the key is left: node/check. */
static struct bytes field_of_check(enum field field, const struct stream_event *e)
{
    const struct check_row *r = &e->row.check;
    struct bytes key = e->change->key;
    size_t slash = bytes_find(key, '/');
    switch ((int)field) {
    case FIELD_NODE:
        return e->has_row ? r->node : bytes_slice(key, 0, slash);
    case FIELD_ID:
    case FIELD_CHECK:
        return e->has_row ? r->id : bytes_slice(key, slash < key.len ? slash + 1 : slash, key.len);
    case FIELD_NAME:
        return e->has_row ? r->name : BYTES("");
    case FIELD_SERVICE:
        return e->has_row ? r->service_name : BYTES("");
    case FIELD_STATUS:
        return e->has_row ? field_status(r->status) : BYTES("");
    default:
        return BYTES("");
    }
}

static struct bytes field_of_session(enum field field, const struct stream_event *e)
{
    switch ((int)field) {
    case FIELD_ID:
        return e->has_row ? e->row.session.id : e->change->key;
    case FIELD_NODE:
        return e->has_row ? e->row.session.node : BYTES("");
    case FIELD_NAME:
        return e->has_row ? e->row.session.name : BYTES("");
    default:
        return BYTES("");
    }
}

static struct bytes field_of_event(enum field field, const struct stream_event *e)
{
    if (!e->has_row) {
        return field == FIELD_NAME ? e->change->key : BYTES("");
    }
    return field == FIELD_ID ? e->row.event.id : e->row.event.name;
}

struct bytes field_text(enum field field, const struct stream_event *e)
{
    const struct change *c = e->change;
    if (field == FIELD_OP) {
        return bytes_of(event_op_name(e->op));
    }
    if (field == FIELD_KEY) {
        return c->key;
    }
    switch (c->topic) {
    case CHANGE_SERVICE:
        return field_of_instance(field, e);
    case CHANGE_NODE:
        return field_of_node(field, e);
    case CHANGE_CHECK:
        return field_of_check(field, e);
    case CHANGE_SESSION:
        return field_of_session(field, e);
    case CHANGE_EVENT:
        return field_of_event(field, e);
    case CHANGE_KV:
    case CHANGE_TOPICS:
        break;
    }
    return field == FIELD_VALUE ? c->value : c->session;
}

static uint64_t field_port(const struct stream_event *e)
{
    const struct instance_row *r = &e->row.instance;
    if (e->change->topic != CHANGE_SERVICE) {
        return 0;
    }
    return e->op == EVENT_REMOVED ? r->port_before : r->service.port;
}

uint64_t field_number(enum field field, const struct stream_event *e)
{
    const struct change *c = e->change;
    if (field == FIELD_INDEX) {
        return c->index;
    }
    if (field == FIELD_FLAGS) {
        return c->flags;
    }
    if (field == FIELD_SIZE) {
        return c->value.len;
    }
    if (field == FIELD_PORT) {
        return field_port(e);
    }
    return field == FIELD_CREATE_INDEX ? c->create_index : c->lock_index;
}

struct bytes field_texts(enum field field, const struct stream_event *e)
{
    CHECK(field_is_list(field));
    if (!e->has_row) {
        return (struct bytes){0};
    }
    if (e->change->topic == CHANGE_CHECK) {
        return e->row.check.service_tags;
    }
    if (e->change->topic != CHANGE_SERVICE) {
        return (struct bytes){0};
    }
    return e->op == EVENT_REMOVED ? e->row.instance.tags_before : e->row.instance.service.tags;
}
