#include "core/api/kv.h"
#include "core/base/limit.h"
#include "core/base/text.h"

/* Order and names are those of a change stream event, plus the time of the write. */
static enum err history_json(struct buf *out, const struct change *c)
{
    static const char *const ops[] = {
        [CHANGE_SET] = "set",
        [CHANGE_DELETE] = "delete",
        [CHANGE_DELETE_PREFIX] = "delete-prefix",
    };
    char when[TIME_TEXT_LEN];
    time_text(c->time_ms, when);
    enum err e = buf_printf(out, "{\"index\":%llu,\"time\":\"%s\",\"op\":\"%s\",\"key\":",
                            (unsigned long long)c->index, when, ops[c->op]);
    e = e == OK ? json_quote(out, c->key) : e;
    if (e == OK && c->op == CHANGE_SET) {
        e = buf_append_str(out, c->value.len == 0 ? ",\"value\":null" : ",\"value\":\"");
        if (e == OK && c->value.len > 0) {
            e = base64_encode(out, c->value);
            e = e == OK ? buf_append_char(out, '"') : e;
        }
        e = e != OK ? e
                    : buf_printf(out, ",\"flags\":%llu,\"create_index\":%llu",
                                 (unsigned long long)c->flags, (unsigned long long)c->create_index);
    }
    return e == OK ? buf_append_char(out, '}') : e;
}

/* At most `limit` changes of `key`, newest first. */
static enum err
history_list(struct buf *out, struct view *v, struct bytes key, uint64_t limit, uint64_t *ret_count)
{
    struct change_scan *scan = change_scan_open_key(v, key);
    uint64_t count = 0;
    enum err e = buf_append_char(out, '[');
    while (e == OK && count < limit) {
        struct change change = {0};
        e = change_scan_next(scan, &change);
        if (e != OK) {
            break;
        }
        e = count > 0 ? buf_append_char(out, ',') : OK;
        e = e == OK ? history_json(out, &change) : e;
        count++;
    }
    change_scan_close(scan);
    if (e == OK || e == ERR_NOT_FOUND) {
        *ret_count = count;
        e = buf_append_char(out, ']');
    }
    return e;
}

void kv_history(struct request *r, struct bytes key)
{
    struct view *v = store_reader_view(api_of(r)->reader);
    uint64_t limit = HISTORY_ANSWER_MAX;
    struct bytes text;
    if (request_arg(r, "limit", &text) &&
        (bytes_to_u64(text, &limit) != OK || limit == 0 || limit > HISTORY_ANSWER_MAX)) {
        reply_text(r, 400, "Invalid limit: 1 to %u changes can be asked for", HISTORY_ANSWER_MAX);
        return;
    }
    struct buf out;
    uint64_t count = 0;
    buf_init(&out, KV_ANSWER_MAX);
    enum err e = history_list(&out, v, key, limit, &count);
    struct view_pin pin = {0};
    struct kv_row row = {0};
    bool exists = count > 0 || view_kv_get(v, key, &pin, &row) == OK;
    view_pin_close(&pin);
    if (e != OK) {
        reply_err(r, e);
    } else {
        api_meta_headers(r, view_index(v));
        reply_header(r, "X-Herald-Oldest", "%llu", (unsigned long long)view_history_oldest(v));
        if (exists) {
            api_reply_json(r, buf_view(&out));
        } else {
            reply_shared(r, 404, NULL, NULL);
        }
    }
    buf_close(&out);
}
