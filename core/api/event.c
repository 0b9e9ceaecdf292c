/* /v1/event: user events (contracts/consul.md, section 7). They are members of the log, so they
 * are ordered, kept, and reach whoever resumes the change stream. */
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/api/rows.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "store/row_json.h"

#include <string.h>

/* --- list ---------------------------------------------------------------------------------------
 */

/* Consul's index of a list: the two halves of its last event's UUID, one upon the other. */
static uint64_t event_index(struct bytes id)
{
    uint64_t halves[2] = {0, 0};
    size_t digits = 0;
    for (size_t i = 0; i < id.len && digits < 32; i++) {
        char c = id.ptr[i];
        unsigned value = 16;
        if (c >= '0' && c <= '9') {
            value = (unsigned)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            value = (unsigned)((c | 0x20) - 'a') + 10;
        }
        if (value < 16) {
            halves[digits / 16] = halves[digits / 16] << 4 | value;
            digits++;
        }
    }
    return halves[0] ^ halves[1];
}

/* The variant: pretty, the index that the client has seen (8 bytes), the name that it asks for. */
#define EVENT_SEEN_LEN sizeof(uint64_t)

/* The index goes up and down, so that it says only whether it is another one than before. */
static void event_indexes(struct bytes variant, uint64_t index, struct watch_answer *answer)
{
    uint64_t seen = 0;
    memcpy(&seen, rows_what(variant).ptr, sizeof seen);
    answer->index = index;
    answer->wake_index = index == seen ? 0 : UINT64_MAX;
}

static enum err event_evaluate(struct view *v,
                               struct bytes target,
                               struct bytes variant,
                               struct watch_answer *ret_answer)
{
    (void)target;
    struct event_row row;
    struct rows rows;
    struct watch_answer answer = {0};
    struct bytes what = rows_what(variant);
    struct bytes name = bytes_slice(what, EVENT_SEEN_LEN, what.len);
    uint64_t index = 1;
    struct fleet_scan *scan = fleet_events(v);
    enum err e = rows_open(&rows);
    while (e == OK && (e = fleet_next_event(scan, &row)) == OK) {
        if ((name.len > 0 && !bytes_equal(row.name, name)) || !rights_see(ACL_EVENT, row.name)) {
            continue;
        }
        index = event_index(row.id);
        e = rows_next(&rows);
        e = e == OK ? row_json_event(&rows.text, &row) : e;
    }
    fleet_scan_close(scan);
    event_indexes(variant, index, &answer);
    e = rows_close(&rows, e == ERR_NOT_FOUND ? OK : e, rows_pretty(variant), &answer);
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}

void api_event_list(struct request *r)
{
    struct read_options options;
    struct bytes name = {0};
    if (!api_read_options(r, &options)) {
        return;
    }
    (void)request_arg(r, "name", &name);
    char *what = arena_alloc(r->arena, EVENT_SEEN_LEN + name.len);
    if (what == NULL) {
        reply_err(r, ERR_TOO_BIG);
        return;
    }
    memcpy(what, &options.index, EVENT_SEEN_LEN);
    if (name.len > 0) {
        memcpy(what + EVENT_SEEN_LEN, name.ptr, name.len);
    }
    rows_answer(r, &(struct rows_query){.prefix = FLEET_INDEX_EVENTS,
                                        .what = {what, EVENT_SEEN_LEN + name.len},
                                        .patient = true,
                                        .evaluate = event_evaluate});
}

/* --- fire ---------------------------------------------------------------------------------------
 */

static void event_fired(struct request *r, const struct proposal *p)
{
    struct event_row row;
    struct buf json;
    buf_init(&json, KV_ANSWER_MAX);
    enum err e = p->status == OK ? row_event_decode(p->detail, &row) : p->status;
    if (e == OK) {
        row.index = 0; /* as Consul, who does not know its place yet */
        e = row_json_event(&json, &row);
    }
    if (e == OK) {
        api_reply_json(r, buf_view(&json));
    } else {
        reply_err(r, e);
    }
    buf_close(&json);
}

static void event_propose(struct request *r, const struct event_row *row)
{
    struct command c = {.type = COMMAND_EVENT};
    struct buf encoded;
    buf_init(&encoded, COMMAND_MAX);
    enum err e = row_event_encode(&encoded, row);
    if (e == OK) {
        c.rows.rows = buf_view(&encoded);
        api_propose_then(r, &c, event_fired);
    } else {
        reply_err(r, e);
    }
    buf_close(&encoded);
}

void api_event_fire(struct request *r)
{
    struct read_options options;
    struct event_row row = {.name = r->rest, .payload = r->body};
    char id[UUID_TEXT_LEN];
    if (!api_read_options(r, &options)) {
        return;
    }
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing name");
        return;
    }
    (void)request_arg(r, "node", &row.node_filter);
    (void)request_arg(r, "service", &row.service_filter);
    (void)request_arg(r, "tag", &row.tag_filter);
    if (row.tag_filter.len > 0 && row.service_filter.len == 0) {
        reply_text(r, 500, "Cannot provide tag filter without service filter");
        return;
    }
    if (r->body.len > EVENT_PAYLOAD_MAX) {
        reply_text(r, 500,
                   "1 error occurred:\n\t* error broadcasting event to segment \"\": user event "
                   "exceeds configured limit of %u bytes before encoding\n\n",
                   EVENT_PAYLOAD_MAX);
        return;
    }
    uuid_make(id);
    row.id = bytes_of(id);
    event_propose(r, &row);
}
