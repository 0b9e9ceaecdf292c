#include "stream/frame.h"

#include "core/base/check.h"
#include "core/base/text.h"
#include "store/row_json.h"
#include "stream/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Head of an events frame: names, three numbers, an epoch. */
#define FRAME_HEAD_MAX 256

/* --- elements -------------------------------------------------------------------------------- */

static void element_u64(struct buf *out, struct bytes name, uint64_t value)
{
    buf_put(out, name);
    buf_put_u64(out, value);
}

static void element_base64(struct buf *out, struct bytes name, struct bytes data)
{
    buf_put(out, name);
    buf_put_char(out, '"');
    enum err e = base64_encode(out, data);
    CHECK(e == OK);
    buf_put_char(out, '"');
}

static void element_key(struct buf *out, struct bytes key)
{
    enum err e = json_quote(out, key);
    CHECK(e == OK);
    if (!bytes_utf8_valid(key)) {
        element_base64(out, BYTES(",\"key_base64\":"), key);
    }
}

static void element_value(struct buf *out, struct bytes value, bool raw)
{
    size_t start = out->len;
    if (value.len == 0) {
        buf_put(out, BYTES(",\"value\":null"));
        return;
    }
    if (!raw) {
        element_base64(out, BYTES(",\"value\":"), value);
        return;
    }
    buf_put(out, BYTES(",\"value\":"));
    if (protocol_compact_json(out, value) != OK) {
        buf_truncate(out, start);
        element_base64(out, BYTES(",\"value_base64\":"), value);
    }
}

static void element_lock(struct buf *out, uint64_t lock_index, struct bytes session)
{
    if (lock_index > 0) {
        element_u64(out, BYTES(",\"lock_index\":"), lock_index);
    }
    if (session.len > 0) {
        buf_put(out, BYTES(",\"session\":"));
        enum err e = json_quote(out, session);
        CHECK(e == OK);
    }
}

static const char *element_op(enum change_op op)
{
    return event_op_name(op == CHANGE_SET      ? EVENT_SET
                         : op == CHANGE_DELETE ? EVENT_DELETE
                                               : EVENT_DELETE_PREFIX);
}

void frame_change(struct buf *out, const struct change *c, bool raw)
{
    element_u64(out, BYTES("{\"index\":"), c->index);
    buf_put(out, BYTES(",\"op\":\""));
    buf_put_str(out, element_op(c->op));
    buf_put(out, BYTES("\",\"key\":"));
    element_key(out, c->key);
    if (c->op == CHANGE_SET) {
        element_value(out, c->value, raw);
        element_u64(out, BYTES(",\"flags\":"), c->flags);
        element_u64(out, BYTES(",\"create_index\":"), c->create_index);
        element_lock(out, c->lock_index, c->session);
    }
    buf_put_char(out, '}');
}

void frame_row(struct buf *out, const struct kv_row *row, bool raw)
{
    buf_put(out, BYTES("{\"key\":"));
    element_key(out, row->key);
    element_value(out, row->value, raw);
    element_u64(out, BYTES(",\"flags\":"), row->flags);
    element_u64(out, BYTES(",\"create_index\":"), row->create_index);
    element_u64(out, BYTES(",\"modify_index\":"), row->modify_index);
    element_lock(out, row->lock_index, row->session);
    buf_put_char(out, '}');
}

/* --- elements of the fleet ------------------------------------------------------------------- */

static void element_text(struct buf *out, struct bytes name, struct bytes text)
{
    buf_put(out, name);
    enum err e = json_quote(out, text);
    CHECK(e == OK);
}

/* `out` is large enough for any row: it cannot fail. */
static void element_row(struct buf *out, const struct stream_event *e, struct bytes datacenter)
{
    const struct instance_row *r = &e->row.instance;
    enum err err = OK;
    buf_put(out, BYTES(",\"row\":"));
    switch (e->change->topic) {
    case CHANGE_SERVICE:
        err = row_json_instance(out, &r->node, &r->service, r->checks, datacenter);
        break;
    case CHANGE_NODE:
        err = row_json_node(out, &e->row.node, datacenter);
        break;
    case CHANGE_CHECK:
        err = row_json_check(out, &e->row.check);
        break;
    case CHANGE_SESSION:
        err = row_json_session(out, &e->row.session);
        break;
    case CHANGE_EVENT:
        err = row_json_event(out, &e->row.event);
        break;
    case CHANGE_KV:
    case CHANGE_TOPICS:
        CHECK(false && "keys are no rows of the fleet");
        break;
    }
    CHECK(err == OK);
}

static size_t
element_instance(struct buf *out, const struct stream_event *e, struct bytes datacenter)
{
    const struct instance_row *r = &e->row.instance;
    size_t start = out->len;
    element_text(out, BYTES(",\"service\":"), r->service.name);
    element_text(out, BYTES(",\"node\":"), r->service.node);
    element_text(out, BYTES(",\"id\":"), r->service.id);
    if (r->is) {
        element_text(out, BYTES(",\"status\":"), field_text(FIELD_STATUS, e));
    }
    if (r->was) {
        element_text(out, BYTES(",\"before\":"), field_text(FIELD_BEFORE, e));
    }
    if (e->change->time_ms > 0) {
        element_u64(out, BYTES(",\"time_ms\":"), e->change->time_ms);
    }
    size_t brief = out->len - start;
    if (r->is) {
        element_row(out, e, datacenter);
    }
    return brief;
}

size_t frame_event_body(struct buf *out, const struct stream_event *e, struct bytes datacenter)
{
    size_t start = out->len;
    size_t brief = 0;
    if (e->change->topic == CHANGE_SERVICE) {
        brief = element_instance(out, e, datacenter);
    } else {
        buf_put(out, BYTES(",\"key\":"));
        element_key(out, e->change->key);
        if (e->has_row) {
            element_row(out, e, datacenter);
        }
        brief = out->len - start;
    }
    buf_put_char(out, '}');
    return brief;
}

void frame_event_head(struct buf *out, const struct stream_event *e)
{
    element_u64(out, BYTES("{\"index\":"), e->change->index);
    buf_put(out, BYTES(",\"op\":\""));
    buf_put_str(out, event_op_name(e->op));
    buf_put_char(out, '"');
}

void frame_event(struct buf *out, const struct stream_event *e, struct bytes datacenter)
{
    frame_event_head(out, e);
    size_t start = out->len;
    size_t brief = frame_event_body(out, e, datacenter);
    if (e->op == EVENT_REMOVED) {
        buf_truncate(out, start + brief);
        buf_put_char(out, '}');
    }
}

void frame_fleet_row(struct buf *out, const struct stream_event *e, struct bytes datacenter)
{
    size_t start = out->len;
    (void)frame_event_body(out, e, datacenter);
    out->ptr[start] = '{';
}

char frame_separator(const struct frame_style *style)
{
    return style->lines ? '\n' : ',';
}

/* --- frames ---------------------------------------------------------------------------------- */

static struct shared *frame_join(struct bytes head, struct bytes body, const char *tail)
{
    size_t tail_len = strlen(tail);
    struct shared *frame = shared_new(OUTLET_HEADROOM, head.len + body.len + tail_len);
    memcpy(frame->data, head.ptr, head.len);
    if (body.len > 0) {
        memcpy(frame->data + head.len, body.ptr, body.len);
    }
    memcpy(frame->data + head.len + body.len, tail, tail_len);
    return frame;
}

struct shared *frame_events(const struct frame_style *style, const struct frame_events *e)
{
    char head[FRAME_HEAD_MAX];
    size_t len = 0;
    if (style->lines) {
        return frame_join((struct bytes){.ptr = head}, e->elements, "\n");
    }
    bool sse = style->format == OUTLET_SSE;
    if (sse) {
        len = (size_t)snprintf(head, sizeof head, "event: events\nid: %s:%" PRIu64 "\ndata: {",
                               e->epoch, e->cursor);
    } else {
        len = (size_t)snprintf(head, sizeof head, "{\"type\":\"events\",");
    }
    CHECK(len < sizeof head);
    if (style->format == OUTLET_WEBSOCKET || style->tagged) {
        len += (size_t)snprintf(head + len, sizeof head - len, "\"id\":%" PRIu64 ",", e->id);
    }
    CHECK(len < sizeof head);
    len += (size_t)snprintf(head + len, sizeof head - len,
                            "\"after\":%" PRIu64 ",\"through\":%" PRIu64 ",%s\"events\":[",
                            e->after, e->through, e->part ? "\"part\":true," : "");
    CHECK(len < sizeof head);
    const char *tail = sse ? "]}\n\n" : style->format == OUTLET_NDJSON ? "]}\n" : "]}";
    return frame_join((struct bytes){.ptr = head, .len = len}, e->elements, tail);
}

/* The messages of the WebSocket protocol that the one-way transports leave out. */
static bool frame_has_message(const struct frame_style *style, enum server_type type)
{
    if (style->format == OUTLET_WEBSOCKET) {
        return true;
    }
    if (type == SERVER_SUBSCRIBED) {
        return style->format == OUTLET_NDJSON;
    }
    if (type == SERVER_END) {
        return style->tagged;
    }
    return type != SERVER_WELCOME && type != SERVER_PAUSE && type != SERVER_LIVE &&
           type != SERVER_PONG;
}

static void
frame_sse_head(struct buf *out, const struct server_message *m, const char *epoch, uint64_t cursor)
{
    enum err e = buf_printf(out, "event: %s\n", server_type_name(m->type));
    CHECK(e == OK);
    if (cursor > 0) {
        e = buf_printf(out, "id: %s:%" PRIu64 "\n", epoch, cursor);
        CHECK(e == OK);
    }
    if (m->type == SERVER_BYE) {
        e = buf_printf(out, "retry: %" PRIu64 "\n", m->retry_ms);
        CHECK(e == OK);
    }
    buf_put_str(out, "data: ");
}

struct shared *frame_message(const struct frame_style *style,
                             const struct server_message *m,
                             const char *epoch,
                             uint64_t cursor)
{
    if (!frame_has_message(style, m->type)) {
        return NULL;
    }
    struct buf out;
    buf_init(&out, UINT32_MAX / 2);
    struct server_message shown = *m;
    shown.has_id = m->has_id && (style->format == OUTLET_WEBSOCKET || style->tagged);
    if (style->format == OUTLET_WEBSOCKET) {
        protocol_encode(&out, &shown, true);
    } else if (style->format == OUTLET_NDJSON) {
        if (m->type != SERVER_HEARTBEAT || !style->newline) {
            protocol_encode(&out, &shown, true);
        }
        buf_put_char(&out, '\n');
    } else if (m->type == SERVER_HEARTBEAT) {
        enum err e = buf_printf(&out, ": heartbeat %" PRIu64 "\n\n", m->index);
        CHECK(e == OK);
    } else {
        frame_sse_head(&out, m, epoch, cursor);
        protocol_encode(&out, &shown, false);
        buf_put_str(&out, "\n\n");
    }
    struct shared *frame = shared_copy(OUTLET_HEADROOM, buf_view(&out));
    buf_close(&out);
    return frame;
}
