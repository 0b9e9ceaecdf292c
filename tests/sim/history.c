#include "tests/sim/history.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>

/* Longest line: a key, a value and a read value, each byte escaped, and the numbers. */
#define HISTORY_LINE_MAX   (9 * HISTORY_TEXT_MAX + 512)
#define HISTORY_FIELDS_MIN 10U
#define HISTORY_FIELDS_MAX 13U

static const char *const KIND_NAMES[] = {
    [HISTORY_GET] = "get",
    [HISTORY_SET] = "set",
    [HISTORY_CAS] = "cas",
    [HISTORY_DELETE] = "delete",
    [HISTORY_DELETE_CAS] = "delete-cas",
};

static const char *const OUTCOME_NAMES[] = {
    [HISTORY_OK] = "ok",
    [HISTORY_FAILED] = "failed",
    [HISTORY_REFUSED] = "refused",
    [HISTORY_UNKNOWN] = "unknown",
};

static const char *const MODE_NAMES[] = {
    [HISTORY_CONSISTENT] = "consistent",
    [HISTORY_STALE] = "stale",
};

#define NAMES(table) (sizeof(table) / sizeof((table)[0]))

void history_init(struct history *h)
{
    *h = (struct history){0};
    h->texts_count = 1;
    h->texts_cap = 64;
    h->texts = mem_zalloc(h->texts_cap, sizeof(*h->texts));
    h->slots_cap = 128;
    h->slots = mem_zalloc(h->slots_cap, sizeof(*h->slots));
}

void history_close(struct history *h)
{
    for (size_t i = 1; i < h->texts_count; i++) {
        free(h->texts[i].ptr);
    }
    free(h->texts);
    free(h->slots);
    free(h->ops);
    *h = (struct history){0};
}

/* --- texts ----------------------------------------------------------------------------------- */

struct bytes history_text(const struct history *h, uint32_t text)
{
    CHECK(text < h->texts_count);
    return (struct bytes){.ptr = h->texts[text].ptr, .len = h->texts[text].len};
}

/* The slot that holds `text`, or the free one where it belongs. */
static uint32_t *history_slot(const struct history *h, struct bytes text)
{
    size_t mask = h->slots_cap - 1;
    for (size_t i = bytes_hash(text) & mask;; i = (i + 1) & mask) {
        if (h->slots[i] == 0 || bytes_equal(history_text(h, h->slots[i]), text)) {
            return &h->slots[i];
        }
    }
}

static void history_grow_slots(struct history *h)
{
    free(h->slots);
    h->slots_cap *= 2;
    h->slots = mem_zalloc(h->slots_cap, sizeof(*h->slots));
    for (uint32_t i = 1; i < h->texts_count; i++) {
        *history_slot(h, history_text(h, i)) = i;
    }
}

uint32_t history_intern(struct history *h, struct bytes text)
{
    CHECK(text.len <= HISTORY_TEXT_MAX);
    uint32_t *slot = history_slot(h, text);
    if (*slot != 0) {
        return *slot;
    }
    CHECK(h->texts_count < UINT32_MAX);
    if (h->texts_count == h->texts_cap) {
        h->texts_cap *= 2;
        h->texts = mem_realloc(h->texts, h->texts_cap * sizeof(*h->texts));
    }
    uint32_t number = (uint32_t)h->texts_count++;
    h->texts[number].ptr = mem_dup(text.len == 0 ? "" : text.ptr, text.len);
    h->texts[number].len = text.len;
    *slot = number;
    if (h->texts_count * 2 > h->slots_cap) {
        history_grow_slots(h);
    }
    return number;
}

/* --- operations ------------------------------------------------------------------------------ */

static bool history_kind_has_value(enum history_kind kind)
{
    return kind == HISTORY_SET || kind == HISTORY_CAS;
}

static bool history_kind_has_cas(enum history_kind kind)
{
    return kind == HISTORY_CAS || kind == HISTORY_DELETE_CAS;
}

static struct history_op *history_append(struct history *h, const struct history_op *op)
{
    CHECK(h->count < UINT32_MAX);
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 256 : h->cap * 2;
        h->ops = mem_realloc(h->ops, h->cap * sizeof(*h->ops));
    }
    h->ops[h->count] = *op;
    return &h->ops[h->count++];
}

uint32_t history_begin(struct history *h, const struct history_call *call)
{
    struct history_op op = {
        .start = call->start,
        .end = HISTORY_NEVER,
        .sent = call->sent,
        .client = call->client,
        .key = history_intern(h, call->key),
        .kind = call->kind,
        .outcome = HISTORY_UNKNOWN,
        .mode = call->mode,
    };
    if (history_kind_has_value(call->kind)) {
        op.value = history_intern(h, call->value);
    }
    if (history_kind_has_cas(call->kind)) {
        CHECK(call->cas != UINT64_MAX);
        op.cas = call->cas;
    }
    (void)history_append(h, &op);
    return (uint32_t)(h->count - 1);
}

void history_end(struct history *h, uint32_t number, const struct history_answer *answer)
{
    CHECK(number < h->count);
    struct history_op *op = &h->ops[number];
    CHECK(op->end == HISTORY_NEVER);
    CHECK(answer->end >= op->start);
    CHECK(answer->outcome != HISTORY_FAILED || history_kind_has_cas(op->kind));
    op->end = answer->end;
    op->outcome = answer->outcome;
    op->view = answer->view;
    bool get = op->kind == HISTORY_GET;
    if (get && answer->found) {
        op->read = history_intern(h, answer->value);
    }
    if (!get || answer->found) {
        op->index = answer->index;
    }
}

void history_learn(struct history *h, uint32_t number, uint64_t index)
{
    CHECK(number < h->count);
    CHECK(h->ops[number].kind != HISTORY_GET);
    h->ops[number].index = index;
}

/* --- writing --------------------------------------------------------------------------------- */

static void history_put_text(const struct history *h, struct buf *out, uint32_t text)
{
    struct bytes t = text == 0 ? BYTES("-") : history_text(h, text);
    if (text == 0) {
        buf_put_str(out, " -");
    } else if (t.len == 0) {
        buf_put_str(out, " \"\"");
    } else if (bytes_equal(t, BYTES("-"))) {
        buf_put_str(out, " %2D");
    } else {
        buf_put_char(out, ' ');
        enum err e = url_encode(out, t, true);
        CHECK(e == OK);
    }
}

static void history_put_number(struct buf *out, uint64_t number, uint64_t none)
{
    if (number == none) {
        buf_put_str(out, " -");
        return;
    }
    buf_put_char(out, ' ');
    buf_put_u64(out, number);
}

void history_line(const struct history *h, const struct history_op *op, struct buf *out)
{
    buf_put_u64(out, op->client);
    buf_put_char(out, ' ');
    buf_put_u64(out, op->start);
    history_put_number(out, op->end, HISTORY_NEVER);
    buf_put_char(out, ' ');
    buf_put_str(out, KIND_NAMES[op->kind]);
    history_put_text(h, out, op->key);
    history_put_text(h, out, op->value);
    history_put_number(out, op->cas, history_kind_has_cas(op->kind) ? HISTORY_NEVER : 0);
    buf_put_char(out, ' ');
    buf_put_str(out, OUTCOME_NAMES[op->outcome]);
    history_put_text(h, out, op->read);
    history_put_number(out, op->index, 0);
    if (op->mode != HISTORY_CONSISTENT || op->view != 0 || op->sent != 0) {
        buf_put_char(out, ' ');
        buf_put_str(out, MODE_NAMES[op->mode]);
        history_put_number(out, op->view, 0);
        history_put_number(out, op->sent, 0);
    }
}

enum err history_write(const struct history *h, FILE *f)
{
    struct buf line;
    buf_init(&line, HISTORY_LINE_MAX);
    enum err e = OK;
    for (size_t i = 0; e == OK && i < h->count; i++) {
        buf_clear(&line);
        history_line(h, &h->ops[i], &line);
        buf_put_char(&line, '\n');
        e = fwrite(line.ptr, 1, line.len, f) == line.len ? OK : ERR_IO;
    }
    buf_close(&line);
    return e == OK && fflush(f) != 0 ? ERR_IO : e;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Fields between blanks; more than fit is SIZE_MAX. */
static size_t history_split(struct bytes line, struct bytes fields[HISTORY_FIELDS_MAX])
{
    size_t count = 0;
    size_t at = 0;
    while (at < line.len) {
        if (line.ptr[at] == ' ' || line.ptr[at] == '\t') {
            at++;
            continue;
        }
        size_t end = at;
        while (end < line.len && line.ptr[end] != ' ' && line.ptr[end] != '\t') {
            end++;
        }
        if (count == HISTORY_FIELDS_MAX) {
            return SIZE_MAX;
        }
        fields[count++] = bytes_slice(line, at, end);
        at = end;
    }
    return count;
}

static enum err
history_parse_name(struct bytes field, const char *const *names, size_t count, unsigned *ret_value)
{
    for (unsigned i = 0; i < count; i++) {
        if (bytes_equal(field, bytes_of(names[i]))) {
            *ret_value = i;
            return OK;
        }
    }
    return ERR_INVALID;
}

static enum err history_parse_number(struct bytes field, uint64_t none, uint64_t *ret_value)
{
    if (bytes_equal(field, BYTES("-"))) {
        *ret_value = none;
        return OK;
    }
    return bytes_to_u64(field, ret_value);
}

static enum err history_parse_text(struct history *h, struct bytes field, uint32_t *ret_text)
{
    if (bytes_equal(field, BYTES("-"))) {
        *ret_text = 0;
        return OK;
    }
    if (bytes_equal(field, BYTES("\"\""))) {
        *ret_text = history_intern(h, BYTES(""));
        return OK;
    }
    struct buf text;
    buf_init(&text, HISTORY_TEXT_MAX);
    enum err e = url_decode(&text, field, false);
    if (e == OK) {
        *ret_text = history_intern(h, buf_view(&text));
    }
    buf_close(&text);
    return e == OK ? OK : ERR_INVALID;
}

/* What the fields of a line must be to each other. */
static bool history_op_valid(const struct history_op *op)
{
    bool get = op->kind == HISTORY_GET;
    if (op->key == 0 || op->end < op->start ||
        (op->value != 0) != history_kind_has_value(op->kind)) {
        return false;
    }
    if (op->read != 0 && (!get || op->outcome != HISTORY_OK)) {
        return false;
    }
    if (get && op->index != 0 && op->read == 0) {
        return false;
    }
    /* No log has that one; the search needs it. */
    if (op->cas == UINT64_MAX || op->index == UINT64_MAX) {
        return false;
    }
    if (op->end == HISTORY_NEVER && op->outcome != HISTORY_UNKNOWN) {
        return false;
    }
    return op->outcome != HISTORY_FAILED || history_kind_has_cas(op->kind);
}

static enum err history_parse_op(struct history *h, struct bytes line, struct history_op *ret_op)
{
    struct bytes f[HISTORY_FIELDS_MAX];
    size_t count = history_split(line, f);
    uint64_t client;
    unsigned kind;
    unsigned outcome;
    unsigned mode = HISTORY_CONSISTENT;
    struct history_op op = {0};
    if ((count != HISTORY_FIELDS_MIN && count != HISTORY_FIELDS_MAX) ||
        bytes_to_u64(f[0], &client) != OK || client > UINT32_MAX ||
        bytes_to_u64(f[1], &op.start) != OK ||
        history_parse_number(f[2], HISTORY_NEVER, &op.end) != OK ||
        history_parse_name(f[3], KIND_NAMES, NAMES(KIND_NAMES), &kind) != OK ||
        history_parse_text(h, f[4], &op.key) != OK ||
        history_parse_text(h, f[5], &op.value) != OK ||
        history_parse_number(f[6], 0, &op.cas) != OK ||
        history_kind_has_cas((enum history_kind)kind) == bytes_equal(f[6], BYTES("-")) ||
        history_parse_name(f[7], OUTCOME_NAMES, NAMES(OUTCOME_NAMES), &outcome) != OK ||
        history_parse_text(h, f[8], &op.read) != OK ||
        history_parse_number(f[9], 0, &op.index) != OK) {
        return ERR_INVALID;
    }
    if (count == HISTORY_FIELDS_MAX &&
        (history_parse_name(f[10], MODE_NAMES, NAMES(MODE_NAMES), &mode) != OK ||
         history_parse_number(f[11], 0, &op.view) != OK ||
         history_parse_number(f[12], 0, &op.sent) != OK)) {
        return ERR_INVALID;
    }
    op.client = (uint32_t)client;
    op.kind = (enum history_kind)kind;
    op.outcome = (enum history_outcome)outcome;
    op.mode = (enum history_mode)mode;
    if (!history_op_valid(&op)) {
        return ERR_INVALID;
    }
    *ret_op = op;
    return OK;
}

enum err history_read(struct history *h, FILE *f, struct reason *why)
{
    char *line = NULL;
    size_t cap = 0;
    enum err e = OK;
    ssize_t len;
    for (size_t number = 1; e == OK && (len = getline(&line, &cap, f)) >= 0; number++) {
        struct bytes text = {.ptr = line, .len = (size_t)len};
        if (text.len > 0 && text.ptr[text.len - 1] == '\n') {
            text.len--;
        }
        if (text.len == 0 || text.ptr[0] == '#') {
            continue;
        }
        struct history_op op;
        e = history_parse_op(h, text, &op);
        if (e == OK) {
            (void)history_append(h, &op);
        } else {
            reason_set(why, "line %zu is not an operation: %.*s", number, BYTES_FORMAT(text));
        }
    }
    if (e == OK && ferror(f)) {
        reason_set(why, "the file cannot be read");
        e = ERR_IO;
    }
    free(line);
    return e;
}
