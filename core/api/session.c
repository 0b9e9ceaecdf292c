/* /v1/session: sessions of nodes, which hold keys (contracts/consul.md, section 6). */
#include "core/api/cluster.h"
#include "core/api/rights.h"
#include "core/api/rows.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/decode.h"
#include "store/row_json.h"

#include <stdio.h>

/* A bare number below it is seconds, else nanoseconds: clients send both. */
#define LOCK_DELAY_SECONDS_BELOW 1000

/* --- reading ------------------------------------------------------------------------------------
 */

static enum err session_row(struct rows *rows, const struct session_row *row)
{
    enum err e = rights_see(ACL_SESSION, row->node) ? rows_next(rows) : ERR_DENIED;
    e = e == OK ? row_json_session(&rows->text, row) : e;
    return e == ERR_DENIED ? OK : e;
}

/* `target`: FLEET_INDEX_SESSION and the id. */
static enum err session_evaluate_one(struct view *v,
                                     struct bytes target,
                                     struct bytes variant,
                                     struct watch_answer *ret_answer)
{
    struct view_pin pin = {0};
    struct session_row row;
    struct rows rows;
    struct watch_answer answer = {0};
    struct bytes id = bytes_slice(target, sizeof FLEET_INDEX_SESSION - 1, target.len);
    enum err found = view_session(v, id, &pin, &row);
    enum err e = rows_open(&rows);
    if (found == OK) {
        e = e == OK ? session_row(&rows, &row) : e;
        answer.index = row.modify_index;
        answer.wake_index = row.modify_index;
    } else {
        answer.index = view_fleet_index(v, BYTES(FLEET_INDEX_SESSIONS));
        answer.wake_index = view_gone_index(v);
        e = found == ERR_NOT_FOUND ? e : found;
    }
    view_pin_close(&pin);
    e = rows_close(&rows, e, rows_pretty(variant), &answer);
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}

/* Of the node that the variant names, or of all. */
static enum err session_evaluate_all(struct view *v,
                                     struct bytes target,
                                     struct bytes variant,
                                     struct watch_answer *ret_answer)
{
    struct session_row row;
    struct rows rows;
    struct watch_answer answer = {.index = view_fleet_index(v, target)};
    struct bytes node = rows_what(variant);
    struct fleet_scan *scan = node.len > 0 ? fleet_node_sessions(v, node) : fleet_sessions(v);
    enum err e = rows_open(&rows);
    while (e == OK && (e = fleet_next_session(scan, &row)) == OK) {
        e = session_row(&rows, &row);
    }
    fleet_scan_close(scan);
    answer.wake_index = answer.index;
    e = rows_close(&rows, e == ERR_NOT_FOUND ? OK : e, rows_pretty(variant), &answer);
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}

/* The session that the path names, a UUID; false: it is none, which has been answered. */
static bool session_named(struct request *r)
{
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing session");
        return false;
    }
    if (r->rest.len != UUID_TEXT_LEN - 1) {
        reply_text(r, 500, "failed session lookup: index error: UUID must be 36 characters");
        return false;
    }
    return true;
}

void api_session_info(struct request *r)
{
    if (session_named(r)) {
        rows_answer(r, &(struct rows_query){.prefix = FLEET_INDEX_SESSION,
                                            .name = r->rest,
                                            .evaluate = session_evaluate_one});
    }
}

void api_session_node(struct request *r)
{
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing node name");
        return;
    }
    rows_answer(r, &(struct rows_query){.prefix = FLEET_INDEX_SESSIONS,
                                        .what = r->rest,
                                        .evaluate = session_evaluate_all});
}

void api_session_list(struct request *r)
{
    rows_answer(
        r, &(struct rows_query){.prefix = FLEET_INDEX_SESSIONS, .evaluate = session_evaluate_all});
}

/* --- create -------------------------------------------------------------------------------------
 */

struct session_body {
    struct bytes name;
    struct bytes node;
    struct bytes behavior;
    struct bytes ttl;
    uint64_t lock_delay_ms;
    struct bytes checks; /* texts, as are the others; ptr NULL: not given */
    struct bytes node_checks;
    struct bytes service_checks;
};

static enum err body_lock_delay(struct decode *d, json_t *value, void *field)
{
    uint64_t *ms = field;
    if (json_is_string(value)) {
        struct bytes text = bytes_of(json_string_value(value));
        return duration_parse(text, ms) == OK
                   ? OK
                   : decode_fail(d, ERR_INVALID, "time: invalid duration \"%.*s\"",
                                 BYTES_FORMAT(text));
    }
    double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number > (double)INT64_MAX) {
        return decode_mismatch(d, value, "time.Duration");
    }
    *ms = (uint64_t)(number < LOCK_DELAY_SECONDS_BELOW ? number * 1000 : number / 1000000);
    return OK;
}

/* [{"ID": "a"}, ...] as the ids alone. */
static enum err body_service_checks(struct decode *d, json_t *value, void *field)
{
    struct bytes *texts = field;
    struct buf ids;
    enum err e = OK;
    if (!json_is_array(value)) {
        return decode_mismatch(d, value, "[]structs.ServiceCheck");
    }
    buf_init(&ids, ROW_LIST_MAX);
    for (size_t i = 0; e == OK && i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *id = json_string_value(json_object_get(item, "ID"));
        id = id != NULL ? id : json_string_value(json_object_get(item, "id"));
        if (id == NULL) {
            buf_close(&ids);
            return decode_mismatch(d, item, "structs.ServiceCheck");
        }
        e = texts_add(&ids, bytes_of(id));
    }
    *texts = arena_copy(decode_arena(d), buf_view(&ids));
    buf_close(&ids);
    return e == OK && texts->ptr != NULL ? OK : decode_fail(d, ERR_TOO_BIG, "too many checks");
}

#define SESSION_FIELD(n, k, member, m)                                                             \
    {                                                                                              \
        .name = (n), .kind = (k), .offset = offsetof(struct session_body, member), .max = (m)      \
    }
#define SESSION_CALL(n, member, fn)                                                                \
    {                                                                                              \
        .name = (n), .kind = DECODE_CALL, .offset = offsetof(struct session_body, member),         \
        .call = (fn)                                                                               \
    }
#define SESSION_SKIP(n)                                                                            \
    {                                                                                              \
        .name = (n), .kind = DECODE_SKIP                                                           \
    }

static const struct decode_field SESSION_BODY_FIELDS[] = {
    SESSION_FIELD("Name", DECODE_TEXT, name, ROW_NAME_MAX),
    SESSION_FIELD("Node", DECODE_TEXT, node, ROW_NAME_MAX),
    SESSION_FIELD("Behavior", DECODE_TEXT, behavior, ROW_NAME_MAX),
    SESSION_FIELD("TTL", DECODE_TEXT, ttl, ROW_NAME_MAX),
    SESSION_FIELD("Checks", DECODE_TEXTS, checks, ROW_LIST_MAX / 2),
    SESSION_FIELD("NodeChecks", DECODE_TEXTS, node_checks, ROW_LIST_MAX / 2),
    SESSION_CALL("LockDelay", lock_delay_ms, body_lock_delay),
    SESSION_CALL("ServiceChecks", service_checks, body_service_checks),
    SESSION_SKIP("ID"),
    SESSION_SKIP("CreateIndex"),
    SESSION_SKIP("ModifyIndex"),
    SESSION_SKIP("Namespace"),
    SESSION_SKIP("Partition"),
};

static const struct decode_type SESSION_BODY = {
    .name = "Session",
    .fields = SESSION_BODY_FIELDS,
    .count = sizeof SESSION_BODY_FIELDS / sizeof SESSION_BODY_FIELDS[0],
    .lenient = true, /* as Consul 1.8.7 is here, and nowhere else */
};

/* False: the body cannot be read, which has been answered. */
static bool session_decode(struct request *r, struct session_body *b)
{
    struct reason why = {0};
    json_t *json = NULL;
    if (r->body.len == 0) {
        return true;
    }
    enum err e = decode_json(r->body, &json, &why);
    e = e == OK ? decode_value(r->arena, json, &SESSION_BODY, b, &why) : e;
    json_decref(json);
    if (e != OK) {
        reply_text(r, 400, "Request decode failed: %s", why.text);
    }
    return e == OK;
}

/* The checks that a session hangs on: what is named, and without a word the one that gossip keeps.
 * `"Checks": []`, from older clients, means none. */
static enum err session_node_checks(const struct session_body *b, struct buf *out)
{
    struct bytes lists[] = {b->node_checks, b->checks};
    struct bytes id;
    enum err e = OK;
    bool none = b->checks.ptr != NULL && b->checks.len == 0;
    if (b->node_checks.ptr == NULL && !none) {
        e = texts_add(out, BYTES("serfHealth"));
    }
    for (size_t i = none ? 1 : 0; i < 2; i++) {
        while (e == OK && texts_next(&lists[i], &id)) {
            e = texts_have(buf_view(out), id) ? OK : texts_add(out, id);
        }
    }
    return e;
}

/* False: no such time to live, which has been answered. */
static bool session_ttl(struct request *r, struct bytes ttl, uint64_t *ret_ms)
{
    uint64_t min_ms = api_of(r)->config->session_ttl_min_ms;
    char least[DURATION_TEXT_LEN];
    char most[DURATION_TEXT_LEN];
    if (ttl.len == 0) {
        return true;
    }
    if (duration_parse(ttl, ret_ms) != OK) {
        reply_text(r, 500, "Session TTL '%.*s' invalid: time: invalid duration \"%.*s\"",
                   BYTES_FORMAT(ttl), BYTES_FORMAT(ttl));
        return false;
    }
    if (*ret_ms != 0 && (*ret_ms < min_ms || *ret_ms > SESSION_TTL_MAX_MS)) {
        duration_text(min_ms, least);
        duration_text(SESSION_TTL_MAX_MS, most);
        reply_text(r, 500, "Invalid Session TTL '%llu', must be between [%s=%s]",
                   (unsigned long long)*ret_ms * 1000000, least, most);
        return false;
    }
    return true;
}

static bool session_behavior(struct request *r, struct bytes text, enum session_behavior *ret)
{
    if (text.len == 0 || bytes_equal(text, BYTES("release"))) {
        *ret = SESSION_RELEASE;
        return true;
    }
    if (bytes_equal(text, BYTES("delete"))) {
        *ret = SESSION_DELETE;
        return true;
    }
    reply_text(r, 500, "Invalid Behavior setting '%.*s'", BYTES_FORMAT(text));
    return false;
}

static void session_created(struct request *r, const struct proposal *p)
{
    char json[SESSION_ID_MAX + 16];
    if (p->status != OK) {
        reply_text(r, 500, "%.*s", BYTES_FORMAT(p->detail));
        return;
    }
    int len = snprintf(json, sizeof json, "{\"ID\":\"%.*s\"}", BYTES_FORMAT(p->detail));
    api_reply_json(r, (struct bytes){json, (size_t)len});
}

static void session_propose(struct request *r, struct session_row *row)
{
    struct command c = {.type = COMMAND_SESSION_CREATE};
    struct buf encoded;
    char id[UUID_TEXT_LEN];
    uuid_make(id);
    row->id = bytes_of(id);
    buf_init(&encoded, COMMAND_MAX);
    enum err e = row_session_encode(&encoded, row);
    if (e == OK) {
        c.session.row = buf_view(&encoded);
        api_propose_then(r, &c, session_created);
    } else {
        reply_err(r, e);
    }
    buf_close(&encoded);
}

void api_session_create(struct request *r)
{
    struct read_options options;
    struct session_body b = {
        .node = api_node(r),
        .lock_delay_ms = LOCK_DELAY_DEFAULT_MS,
    };
    struct session_row row = {0};
    struct buf checks;
    if (!api_read_options(r, &options) || !session_decode(r, &b)) {
        return;
    }
    if (b.node.len == 0) {
        reply_text(r, 500, "Must provide Node");
        return;
    }
    if (!session_behavior(r, b.behavior, &row.behavior) || !session_ttl(r, b.ttl, &row.ttl_ms) ||
        !api_may(r, ACL_SESSION, b.node, ACL_WRITE)) {
        return;
    }
    buf_init(&checks, ROW_LIST_MAX);
    enum err e = session_node_checks(&b, &checks);
    if (e == OK) {
        row.name = b.name;
        row.node = b.node;
        row.ttl = b.ttl;
        row.lock_delay_ms = b.lock_delay_ms;
        row.node_checks = buf_view(&checks);
        row.service_checks = b.service_checks;
        session_propose(r, &row);
    } else {
        reply_err(r, e);
    }
    buf_close(&checks);
}

/* --- destroy and renew --------------------------------------------------------------------------
 */

/* Whether this request may write the session that its path names: its node decides. */
static bool session_may(struct request *r)
{
    struct view_pin pin = {0};
    struct session_row row = {0};
    enum err e = view_session(store_reader_view(api_of(r)->reader), r->rest, &pin, &row);
    bool may = api_may(r, ACL_SESSION, e == OK ? row.node : (struct bytes){0}, ACL_WRITE);
    view_pin_close(&pin);
    return may;
}

static void session_destroyed(struct request *r, const struct proposal *p)
{
    (void)p;
    api_reply_json(r, BYTES("true"));
}

void api_session_destroy(struct request *r)
{
    struct read_options options;
    struct command c = {.type = COMMAND_SESSION_DESTROY, .session.id = r->rest};
    if (api_read_options(r, &options) && session_named(r) && session_may(r)) {
        api_propose_then(r, &c, session_destroyed);
    }
}

static void session_renewed(struct request *r, const struct proposal *p)
{
    struct session_row row;
    struct buf json;
    if (p->status != OK) {
        reply_text(r, 404, "Session id '%.*s' not found", BYTES_FORMAT(r->rest));
        return;
    }
    buf_init(&json, KV_ANSWER_MAX);
    enum err e = row_session_decode(p->detail, &row);
    e = e == OK ? buf_append_char(&json, '[') : e;
    e = e == OK ? row_json_session(&json, &row) : e;
    e = e == OK ? buf_append_char(&json, ']') : e;
    if (e == OK) {
        api_reply_json(r, buf_view(&json));
    } else {
        reply_err(r, e);
    }
    buf_close(&json);
}

void api_session_renew(struct request *r)
{
    struct read_options options;
    struct command c = {.type = COMMAND_SESSION_RENEW, .session.id = r->rest};
    if (api_read_options(r, &options) && session_named(r) && session_may(r)) {
        api_propose_then(r, &c, session_renewed);
    }
}
