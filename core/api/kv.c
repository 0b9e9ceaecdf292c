#include "core/api/kv.h"

#include "core/api/cluster.h"
#include "core/base/limit.h"
#include "core/base/text.h"
#include "core/config.h"

/* --- reading -------------------------------------------------------------------------------- */

static void kv_history_ready(struct request *r)
{
    kv_history(r, r->rest);
}

static void kv_get(struct request *r)
{
    struct read_options options;
    struct bytes separator = {0};
    struct bytes value;
    if (!api_read_options(r, &options)) {
        return;
    }
    bool recurse = request_arg(r, "recurse", &value);
    bool keys = request_arg(r, "keys", &value);
    if (r->rest.len == 0 && !recurse && !keys) {
        reply_text(r, 400, "Missing key name");
        return;
    }
    if (request_arg(r, "history", &value)) {
        api_read_ready(r, &options, kv_history_ready);
        return;
    }
    enum kv_form form = keys                            ? KV_KEYS
                        : recurse                       ? KV_RECURSE
                        : request_arg(r, "raw", &value) ? KV_RAW
                                                        : KV_ROW;
    /* The second spelling is an old client's; Consul still takes it. */
    if (keys && !request_arg(r, "separator", &separator)) {
        (void)request_arg(r, "seperator", &separator);
    }
    struct watch_query q = {
        .kind = keys || recurse ? WATCH_KV_PREFIX : WATCH_KV_KEY,
        .target = r->rest,
        .variant = kv_variant(r->arena, form, options.pretty, separator),
        .evaluate = keys || recurse ? kv_evaluate_prefix : kv_evaluate_key,
    };
    if (q.variant.ptr == NULL) {
        reply_err(r, ERR_TOO_BIG);
        return;
    }
    api_answer_query(r, &q, &options);
}

/* --- writing -------------------------------------------------------------------------------- */

/* `?name=<number>`; false if it was there and is no number, which has been answered. */
static bool kv_number(struct request *r, const char *name, bool *ret_given, uint64_t *ret_value)
{
    struct bytes text;
    *ret_given = request_arg(r, name, &text);
    if (!*ret_given || bytes_to_u64(text, ret_value) == OK) {
        return true;
    }
    struct buf quoted;
    buf_init(&quoted, HTTP_HEAD_MAX * 6);
    bool fits = json_quote(&quoted, text) == OK;
    uint64_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        digits += text.ptr[i] >= '0' && text.ptr[i] <= '9';
    }
    /* Go's words, which clients match on. */
    reply_text(r, 500, "strconv.ParseUint: parsing %.*s: %s",
               BYTES_FORMAT(fits ? buf_view(&quoted) : BYTES("\"\"")),
               text.len > 0 && digits == text.len ? "value out of range" : "invalid syntax");
    buf_close(&quoted);
    return false;
}

/* More than one of `names` in the query: Consul answers with the whole query, re-encoded and
 * sorted. True: it has been answered. */
static bool kv_conflicting(struct request *r, const char *const *names, size_t count)
{
    struct bytes value;
    size_t given = 0;
    for (size_t i = 0; i < count; i++) {
        given += request_arg(r, names[i], &value);
    }
    if (given < 2) {
        return false;
    }
    struct buf text;
    buf_init(&text, HTTP_HEAD_MAX * 4);
    enum err e = api_args_encode(r, &text);
    if (e == OK) {
        reply_text(r, 400, "Conflicting flags: %.*s", BYTES_FORMAT(buf_view(&text)));
    } else {
        reply_err(r, e);
    }
    buf_close(&text);
    return true;
}

/* A lock's condition did not hold: an unknown session is an error, all else is false. */
static void kv_locked(struct request *r, const struct proposal *p)
{
    if (p->status != OK && bytes_begins(p->detail, BYTES("invalid session"))) {
        reply_text(r, 500, "%.*s", BYTES_FORMAT(p->detail));
        return;
    }
    if (p->status == OK) {
        /* What a store that is written under this lock compares (store/kv.h). */
        reply_header(r, "X-Herald-Fence", "%llu", (unsigned long long)p->index);
    }
    reply_bytes(r, 200, "application/json", p->status == OK ? BYTES("true") : BYTES("false"));
}

/* `?acquire=` and `?release=`. True: it is answered, or will be. */
static bool kv_lock_put(struct request *r, const struct command_kv_set *set)
{
    struct command c = {.type = COMMAND_KV_LOCK};
    struct bytes session;
    bool release = request_arg(r, "release", &session);
    if (!release && !request_arg(r, "acquire", &session)) {
        return false;
    }
    if (session.len == 0) {
        reply_text(r, 500, "missing session");
    } else if (session.len != UUID_TEXT_LEN - 1 && release) {
        /* No session has such an id, so none of that id holds a key. */
        reply_bytes(r, 200, "application/json", BYTES("false"));
    } else if (session.len != UUID_TEXT_LEN - 1) {
        reply_text(r, 500, "failed session lookup: index error: UUID must be 36 characters");
    } else {
        c.kv_lock.key = set->key;
        c.kv_lock.value = set->value;
        c.kv_lock.flags = set->flags;
        c.kv_lock.session = session;
        c.kv_lock.acquire = !release;
        api_propose_then(r, &c, kv_locked);
    }
    return true;
}

/* `?ttl=`, Herald's own: the key goes that long after its last write. 0: none was given. False: no
 * such time, which has been answered. */
static bool kv_ttl(struct request *r, uint64_t *ret_ms)
{
    struct bytes text;
    *ret_ms = 0;
    if (!request_arg(r, "ttl", &text)) {
        return true;
    }
    if (duration_parse(text, ret_ms) == OK && *ret_ms >= KEY_TTL_MIN_MS &&
        *ret_ms <= KEY_TTL_MAX_MS) {
        return true;
    }
    reply_text(r, 400, "Invalid ttl \"%.*s\": expected a duration between %us and %uh",
               BYTES_FORMAT(text), KEY_TTL_MIN_MS / 1000, (unsigned)(KEY_TTL_MAX_MS / 3600000));
    return false;
}

/* True: the key cannot be written, and that has been answered. */
static bool kv_bad_key(struct request *r)
{
    if (r->rest.len == 0) {
        reply_text(r, 400, "Missing key name");
        return true;
    }
    if (r->rest.len > KV_KEY_MAX) {
        reply_text(r, 400, "Key is %zu bytes long, max: %u bytes", r->rest.len, KV_KEY_MAX);
        return true;
    }
    return false;
}

static void kv_put(struct request *r)
{
    static const char *const exclusive[] = {"cas", "acquire", "release"};
    static const char *const timeless[] = {"ttl", "acquire", "release"};
    struct read_options options;
    struct command c = {.type = COMMAND_KV_SET};
    bool flags_given = false;
    uint64_t ttl_ms = 0;
    if (!api_read_options(r, &options) || kv_bad_key(r) || kv_conflicting(r, exclusive, 3) ||
        kv_conflicting(r, timeless, 3) || !kv_ttl(r, &ttl_ms) ||
        !kv_number(r, "flags", &flags_given, &c.kv_set.flags) ||
        !kv_number(r, "cas", &c.kv_set.check, &c.kv_set.index)) {
        return;
    }
    if (r->body.len > api_of(r)->config->kv_max_value_size) {
        reply_text(r, 413,
                   "Request body(%zu bytes) too large, max size: %llu bytes. See "
                   "https://www.consul.io/docs/agent/options.html#kv_max_value_size.",
                   r->body.len, (unsigned long long)api_of(r)->config->kv_max_value_size);
        return;
    }
    c.kv_set.key = r->rest;
    c.kv_set.value = r->body;
    if (kv_lock_put(r, &c.kv_set)) {
        return;
    }
    if (ttl_ms > 0) {
        const struct command_kv_set set = c.kv_set;
        c.type = COMMAND_KV_SET_TTL;
        c.kv_set_ttl.set = set;
        c.kv_set_ttl.ttl_ms = ttl_ms;
    }
    api_propose(r, &c);
}

static void kv_delete(struct request *r)
{
    static const char *const exclusive[] = {"recurse", "cas"};
    struct read_options options;
    struct bytes value;
    if (!api_read_options(r, &options)) {
        return;
    }
    bool recurse = request_arg(r, "recurse", &value);
    if ((!recurse && kv_bad_key(r)) || kv_conflicting(r, exclusive, 2)) {
        return;
    }
    struct command c = {.type = recurse ? COMMAND_KV_DELETE_PREFIX : COMMAND_KV_DELETE};
    if (recurse) {
        c.kv_delete_prefix.prefix = r->rest;
    } else {
        c.kv_delete.key = r->rest;
        if (!kv_number(r, "cas", &c.kv_delete.check, &c.kv_delete.index)) {
            return;
        }
    }
    api_propose(r, &c);
}

void api_kv(struct request *r)
{
    if (r->method == METHOD_PUT) {
        kv_put(r);
    } else if (r->method == METHOD_DELETE) {
        kv_delete(r);
    } else {
        kv_get(r);
    }
}
