#include "core/api/kv.h"
#include "core/api/rights.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>

/* Bytes in front of the separator in a variant. */
#define KV_VARIANT_HEAD 2

struct bytes kv_variant(struct arena *a, enum kv_form form, bool pretty, struct bytes separator)
{
    char *p = arena_alloc(a, KV_VARIANT_HEAD + separator.len);
    if (p == NULL) {
        return (struct bytes){0};
    }
    p[0] = (char)form;
    p[1] = (char)pretty;
    if (separator.len > 0) {
        memcpy(p + KV_VARIANT_HEAD, separator.ptr, separator.len);
    }
    return (struct bytes){.ptr = p, .len = KV_VARIANT_HEAD + separator.len};
}

/* What a row takes at most besides its key and value: names, five numbers, a session, commas. */
#define KV_ROW_FRAME 320

enum err kv_row_json(struct buf *out, const struct kv_row *row)
{
    /* Six characters are the longest a byte of a key can become. Room is made once for the row. */
    enum err e = buf_reserve(out, KV_ROW_FRAME + row->key.len * 6 + row->value.len / 3 * 4 + 4);
    if (e != OK) {
        return e;
    }
    buf_put(out, BYTES("{\"LockIndex\":"));
    buf_put_u64(out, row->lock_index);
    buf_put(out, BYTES(",\"Key\":"));
    e = json_quote(out, row->key);
    buf_put(out, BYTES(",\"Flags\":"));
    buf_put_u64(out, row->flags);
    buf_put(out, BYTES(",\"Value\":"));
    if (row->value.len == 0) {
        buf_put(out, BYTES("null"));
    } else {
        buf_put_char(out, '"');
        e = e == OK ? base64_encode(out, row->value) : e;
        buf_put_char(out, '"');
    }
    if (row->session.len > 0) {
        buf_put(out, BYTES(",\"Session\":"));
        e = e == OK ? json_quote(out, row->session) : e;
    }
    buf_put(out, BYTES(",\"CreateIndex\":"));
    buf_put_u64(out, row->create_index);
    buf_put(out, BYTES(",\"ModifyIndex\":"));
    buf_put_u64(out, row->modify_index);
    buf_put_char(out, '}');
    return e;
}

/* Moves the JSON in `text` into the answer's body. */
static enum err kv_body(struct buf *text, bool pretty, struct watch_answer *answer)
{
    struct buf indented;
    buf_init(&indented, text->max);
    enum err e = pretty ? json_pretty(&indented, buf_view(text)) : OK;
    if (e == OK) {
        answer->status = 200;
        answer->content_type = "application/json";
        answer->body = shared_copy(0, buf_view(pretty ? &indented : text));
    }
    buf_close(&indented);
    return e;
}

/* A key that is not there reports the table's index, as Consul does, and yet is woken by nothing
 * but its own creation: `wake_index` is the index of its deletion, or of the last deletion that
 * nobody remembers. */
static void kv_missing(struct view *v, uint64_t deleted_at, struct watch_answer *answer)
{
    *answer = (struct watch_answer){
        .status = 404,
        .index = view_kv_index(v),
        .wake_index = deleted_at > 0 ? deleted_at : view_kv_reaped(v),
    };
}

enum err kv_evaluate_key(struct view *v,
                         struct bytes key,
                         struct bytes variant,
                         struct watch_answer *ret_answer)
{
    CHECK(variant.len >= KV_VARIANT_HEAD);
    struct view_pin pin = {0};
    struct kv_row row = {0};
    struct watch_answer answer = {0};
    enum err e = view_kv_get(v, key, &pin, &row);
    if (e == ERR_NOT_FOUND || (e == OK && row.dead)) {
        kv_missing(v, e == OK ? row.modify_index : 0, &answer);
        view_pin_close(&pin);
        *ret_answer = answer;
        return OK;
    }
    if (e == OK) {
        uint64_t restored = view_kv_restored(v);
        answer.index = row.modify_index > restored ? row.modify_index : restored;
        answer.wake_index = answer.index;
    }
    if (e == OK && variant.ptr[0] == KV_RAW) {
        answer.status = 200;
        answer.content_type = "text/plain";
        answer.sandboxed = true;
        answer.body = shared_copy(0, row.value);
    } else if (e == OK) {
        struct buf text;
        buf_init(&text, KV_ANSWER_MAX);
        e = buf_append_char(&text, '[');
        e = e == OK ? kv_row_json(&text, &row) : e;
        e = e == OK ? buf_append_char(&text, ']') : e;
        e = e == OK ? kv_body(&text, variant.ptr[1] != 0, &answer) : e;
        buf_close(&text);
    }
    view_pin_close(&pin);
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}

/* A prefix answer under construction. */
struct kv_listing {
    struct buf text;
    struct bytes prefix;
    struct bytes separator;
    bool keys;
    size_t rows;
    uint64_t index;  /* the newest of rows, tombstones and restored backups */
    struct buf last; /* the name that was listed last: names come in order, so equal ones adjoin */
};

static enum err kv_listing_key(struct kv_listing *l, struct bytes key)
{
    struct bytes tail = bytes_slice(key, l->prefix.len, key.len);
    struct bytes name = key;
    if (l->separator.len > 0 && tail.len > 0) {
        const char *at = memmem(tail.ptr, tail.len, l->separator.ptr, l->separator.len);
        if (at != NULL) {
            name = bytes_slice(key, 0, (size_t)(at - key.ptr) + l->separator.len);
        }
    }
    if (l->rows > 0 && bytes_equal(name, buf_view(&l->last))) {
        return OK;
    }
    buf_clear(&l->last);
    buf_put(&l->last, name);
    enum err e = l->rows++ > 0 ? buf_append_char(&l->text, ',') : OK;
    return e == OK ? json_quote(&l->text, name) : e;
}

static enum err kv_listing_row(struct kv_listing *l, const struct kv_row *row)
{
    if (row->modify_index > l->index) {
        l->index = row->modify_index;
    }
    if (row->dead || !rights_see(ACL_KEY, row->key)) {
        return OK;
    }
    if (l->keys) {
        return kv_listing_key(l, row->key);
    }
    enum err e = l->rows++ > 0 ? buf_append_char(&l->text, ',') : OK;
    return e == OK ? kv_row_json(&l->text, row) : e;
}

static enum err kv_listing_scan(struct kv_listing *l, struct view *v)
{
    struct kv_scan *scan = kv_scan_open(v, l->prefix);
    struct kv_row row;
    enum err e = buf_append_char(&l->text, '[');
    while (e == OK) {
        e = kv_scan_next(scan, &row);
        if (e == ERR_NOT_FOUND) {
            break;
        }
        e = e == OK ? kv_listing_row(l, &row) : e;
    }
    kv_scan_close(scan);
    return e == ERR_NOT_FOUND ? buf_append_char(&l->text, ']') : e;
}

enum err kv_evaluate_prefix(struct view *v,
                            struct bytes prefix,
                            struct bytes variant,
                            struct watch_answer *ret_answer)
{
    CHECK(variant.len >= KV_VARIANT_HEAD);
    struct kv_listing l = {
        .prefix = prefix,
        .separator = bytes_slice(variant, KV_VARIANT_HEAD, variant.len),
        .keys = variant.ptr[0] == KV_KEYS,
        .index = view_kv_restored(v),
    };
    struct watch_answer answer = {0};
    buf_init(&l.text, KV_ANSWER_MAX);
    buf_init(&l.last, KV_KEY_MAX);
    enum err e = kv_listing_scan(&l, v);
    /* The whole table's index for the root, as Consul; else the newest under the prefix. */
    uint64_t index = prefix.len == 0 ? view_kv_index(v) : l.index;
    if (e == OK && l.rows == 0 && !(l.keys && prefix.len == 0)) {
        kv_missing(v, index, &answer);
        answer.index = l.index > 0 && prefix.len > 0 ? l.index : answer.index;
    } else if (e == OK) {
        e = kv_body(&l.text, variant.ptr[1] != 0, &answer);
        answer.index = index;
        answer.wake_index = index;
    }
    buf_close(&l.text);
    buf_close(&l.last);
    if (e == OK) {
        *ret_answer = answer;
    }
    return e;
}
