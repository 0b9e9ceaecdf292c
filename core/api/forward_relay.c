/* Requests as servers are to get them, and their answers gathered. */
#include "core/api/forward_private.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>

void relay_init(struct relay *x, struct forward *f, const struct call_ops *ops)
{
    x->call.ops = ops;
    x->forward = f;
    list_init(&x->link);
    buf_init(&x->lines, RPC_ANSWER_HEAD_MAX);
    buf_init(&x->meta, RPC_ANSWER_HEAD_MAX);
    buf_init(&x->body, RPC_ANSWER_HOLD_MAX);
}

bool token_is_plain(struct bytes token)
{
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] <= ' ' || token.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

enum err target_make(const struct request *r, struct buf *out)
{
    enum err e = url_encode(out, r->path, true);
    if (e == OK && r->query.len > 0) {
        e = buf_append_char(out, '?');
        e = e == OK ? buf_append(out, r->query) : e;
    }
    return e;
}

static enum err relay_put(struct buf *out, const struct forward *f, const struct relay_request *q)
{
    enum err e = buf_printf(out,
                            "%.*s %.*s HTTP/1.1\r\nHost: herald\r\nConnection: close\r\n"
                            "%s: %s\r\nContent-Length: %zu\r\n",
                            BYTES_FORMAT(q->method), BYTES_FORMAT(q->target), REQUEST_AGENT_HEADER,
                            f->options.node, q->body.len);
    if (e == OK && q->token.len > 0) {
        e = buf_printf(out, "X-Consul-Token: %.*s\r\n", BYTES_FORMAT(q->token));
    }
    e = e == OK ? buf_append_str(out, q->headers) : e;
    e = e == OK ? buf_append_str(out, "\r\n") : e;
    return e == OK ? buf_append(out, q->body) : e;
}

enum err relay_start(struct relay *x, const struct relay_request *q)
{
    struct forward *f = x->forward;
    struct buf request;
    buf_init(&request, HTTP_OPERATOR_BODY_MAX + 4 * HTTP_HEAD_MAX);
    enum err e = relay_put(&request, f, q);
    if (e == OK) {
        list_append(&f->relays, &x->link);
        call_start(&x->call, f->rpc, &request);
    }
    buf_close(&request);
    return e;
}

/* Of a field that goes on as it is. What does not fit is left out: the answer matters more. */
static void relay_field(struct relay *x, const struct head_field *field)
{
    static const char *const meta[] = {
        "X-Consul-Index",
        "X-Consul-Knownleader",
        "X-Consul-Lastcontact",
    };
    struct buf *to = &x->lines;
    for (size_t i = 0; i < sizeof meta / sizeof meta[0]; i++) {
        to = bytes_equal_nocase(field->name, bytes_of(meta[i])) ? &x->meta : to;
    }
    for (size_t i = 0; i < field->value.len; i++) {
        if ((unsigned char)field->value.ptr[i] < ' ') {
            return;
        }
    }
    size_t before = to->len;
    if (buf_printf(to, "%.*s: %.*s\r\n", BYTES_FORMAT(field->name), BYTES_FORMAT(field->value)) !=
        OK) {
        buf_truncate(to, before);
    }
}

void relay_head(struct relay *x, const struct answer_head *h)
{
    struct bytes value;
    x->status = reply_knows(h->status) ? h->status : 502;
    x->has_length = h->has_length;
    x->length = h->length;
    if (answer_field(h, "X-Consul-Index", &value) && bytes_to_u64(value, &x->index) != OK) {
        x->index = 0;
    }
    if (answer_field(h, "Content-Type", &value)) {
        x->content_type = mem_dup(value.ptr, value.len);
    }
    for (size_t i = 0; i < h->field_count; i++) {
        if (!answer_field_stays(h->fields[i].name)) {
            relay_field(x, &h->fields[i]);
        }
    }
}

enum err relay_data(struct relay *x, struct bytes data)
{
    enum err e = buf_append(&x->body, data);
    if (e == OK) {
        call_taken(&x->call);
    }
    return e;
}

struct shared_answer *relay_answer(struct relay *x)
{
    struct shared_answer from = {
        .status = x->status,
        /* An error has nothing to wait for, whatever it says. */
        .index = x->status == 200 || x->status == 404 ? x->index : 0,
        .at_ms = env_now_ms(x->forward->env),
        .content_type = x->content_type,
        .lines = shared_copy(0, buf_view(&x->lines)),
        .meta = shared_copy(0, buf_view(&x->meta)),
        .body = shared_copy(0, buf_view(&x->body)),
    };
    struct shared_answer *a = shared_answer_new(&from);
    shared_unref(from.lines);
    shared_unref(from.meta);
    shared_unref(from.body);
    return a;
}

void relay_close(struct relay *x)
{
    call_cancel(&x->call);
    list_remove(&x->link);
    free(x->content_type);
    x->content_type = NULL;
    buf_close(&x->lines);
    buf_close(&x->meta);
    buf_close(&x->body);
}
