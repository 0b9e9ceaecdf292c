/* /v1/agent/check*: the agent's own checks. */
#include "core/api/agent_local.h"

#include "core/api/rights.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"
#include "core/json_why.h"
#include "store/row_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static enum err checks_json(struct bytes rows, const struct bexpr *filter, struct buf *out)
{
    struct bytes text;
    struct check_row row;
    bool more = false;
    enum err e = buf_append_char(out, '{');
    while (e == OK && texts_next(&rows, &text)) {
        e = row_check_decode(text, &row);
        const struct bexpr_row record = {.check = &row};
        if (e != OK || !rights_see_instance(row.node, row.service_name) ||
            !bexpr_matches(filter, &record)) {
            continue;
        }
        e = more ? buf_append_char(out, ',') : OK;
        e = e == OK ? json_quote(out, row.id) : e;
        e = e == OK ? buf_append_char(out, ':') : e;
        e = e == OK ? row_json_check(out, &row) : e;
        more = true;
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

static void checks_answer(struct request *r, struct agent_order *o)
{
    struct buf out;
    struct bexpr *filter = NULL;
    if (local_refused(r, o) || !local_filter(r, &BEXPR_CHECK, &filter)) {
        return;
    }
    buf_init(&out, AGENT_ANSWER_MAX);
    enum err e = checks_json(buf_view(&o->answer), filter, &out);
    bexpr_free(filter);
    if (e == OK) {
        api_reply_json(r, buf_view(&out));
    } else {
        reply_err(r, e);
    }
    buf_close(&out);
}

void api_agent_checks(struct request *r)
{
    struct local_asked *k = local_new(r, AGENT_CHECKS, BYTES(""), BYTES(""));
    if (k != NULL) {
        local_send(k, checks_answer);
    }
}

/* A check of a service is registered by who may write that service, one of the node by who may
 * write the node: the agent says which it is. */
void api_agent_check_register(struct request *r)
{
    json_error_t error;
    json_t *body = rights_enabled() && r->body.len > 0
                       ? json_loadb(r->body.ptr, r->body.len, JSON_DISABLE_EOF_CHECK, &error)
                       : NULL;
    struct bytes service = BYTES("");
    for (void *i = json_object_iter(body); i != NULL; i = json_object_iter_next(body, i)) {
        const char *key = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        if ((strcasecmp(key, "ServiceID") == 0 || strcasecmp(key, "service_id") == 0) &&
            json_is_string(value)) {
            service =
                (struct bytes){.ptr = json_string_value(value), .len = json_string_length(value)};
        }
    }
    struct local_asked *k = local_new(r, AGENT_CHECK_REGISTER, service, r->body);
    if (k != NULL) {
        local_send(k, NULL);
    }
    json_decref(body);
}

void api_agent_check_deregister(struct request *r)
{
    struct local_asked *k = local_new(r, AGENT_CHECK_DEREGISTER, r->rest, BYTES(""));
    if (k != NULL) {
        local_send(k, NULL);
    }
}

/* --- TTL ----------------------------------------------------------------------------------------
 */

static void check_update(struct request *r, enum check_status status, struct bytes output)
{
    /* What is too long is cut by the agent; what could not even be sent there is cut here. */
    output = output.len > ROW_OUTPUT_MAX ? bytes_slice(output, 0, ROW_OUTPUT_MAX) : output;
    struct local_asked *k = local_new(r, AGENT_CHECK_UPDATE, r->rest, output);
    if (k != NULL) {
        local_order(k)->check_status = status;
        local_send(k, NULL);
    }
}

static void check_note(struct request *r, enum check_status status)
{
    struct bytes note = BYTES("");
    (void)request_arg(r, "note", &note);
    check_update(r, status, note);
}

void api_agent_check_pass(struct request *r)
{
    check_note(r, CHECK_PASSING);
}

void api_agent_check_warn(struct request *r)
{
    check_note(r, CHECK_WARNING);
}

void api_agent_check_fail(struct request *r)
{
    check_note(r, CHECK_CRITICAL);
}

static json_t *member_any_case(json_t *object, const char *name)
{
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        if (strcasecmp(json_object_iter_key(i), name) == 0) {
            return json_object_iter_value(i);
        }
    }
    return NULL;
}

/* {"Status": "passing", "Output": "..."} */
void api_agent_check_update(struct request *r)
{
    struct reason why = {{0}};
    json_error_t error;
    enum check_status status;
    json_t *body =
        json_loadb(r->body.len > 0 ? r->body.ptr : "", r->body.len, JSON_DISABLE_EOF_CHECK, &error);
    if (!json_is_object(body)) {
        if (json_why(r->body, &why)) {
            reason_set(&why, "json: expected an object");
        }
        reply_text(r, 400, "Request decode failed: %s", why.text);
        json_decref(body);
        return;
    }
    const json_t *said = member_any_case(body, "Status");
    const json_t *output = member_any_case(body, "Output");
    struct bytes word = bytes_of(json_is_string(said) ? json_string_value(said) : "");
    if (check_status_parse(word, &status) != OK) {
        reply_text(r, 400, "Invalid check status: '%.*s'", BYTES_FORMAT(word));
    } else {
        check_update(r, status,
                     json_is_string(output) ? (struct bytes){.ptr = json_string_value(output),
                                                             .len = json_string_length(output)}
                                            : BYTES(""));
    }
    json_decref(body);
}
