#include "core/api/fleet_read.h"

#include "core/api/rights.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/pack.h"
#include "core/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- questions as bytes ---------------------------------------------------------------------- */

/* The form, two flags, the lengths of six texts. */
#define QUESTION_FRAME 64

/* The form is named by its address: a variant never leaves the process. */
static struct bytes
question_encode(struct arena *a, const struct fleet_form *form, const struct fleet_question *q)
{
    const struct bytes texts[] = {q->datacenter, q->name, q->near, q->filter, q->tags, q->meta};
    struct buf out;
    buf_init(&out, HTTP_REQUEST_ARENA_MAX);
    size_t len = QUESTION_FRAME;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        len += texts[i].len;
    }
    struct bytes variant = {0};
    if (buf_reserve(&out, len) == OK) {
        buf_put(&out, (struct bytes){(const char *)&form, sizeof form});
        pack_u8(&out, q->pretty);
        pack_u8(&out, q->passing);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            pack_bytes(&out, texts[i]);
        }
        variant = arena_copy(a, buf_view(&out));
    }
    buf_close(&out);
    return variant;
}

static const struct fleet_form *question_decode(struct bytes variant, struct fleet_question *q)
{
    const struct fleet_form *form = NULL;
    struct unpack in = {.rest = variant};
    struct bytes address = unpack_raw(&in, sizeof form);
    CHECK(address.len == sizeof form);
    memcpy(&form, address.ptr, sizeof form);
    q->pretty = unpack_u8(&in) != 0;
    q->passing = unpack_u8(&in) != 0;
    struct bytes *const texts[] = {&q->datacenter, &q->name, &q->near,
                                   &q->filter,     &q->tags, &q->meta};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = unpack_bytes(&in, UINT32_MAX);
    }
    CHECK(unpack_done(&in));
    return form;
}

/* --- what may be seen ------------------------------------------------------------------------- */

enum err fleet_read_node(struct fleet_scan *scan, struct node_row *ret_row)
{
    enum err e = OK;
    do {
        e = fleet_next_node(scan, ret_row);
    } while (e == OK && !rights_see(ACL_NODE, ret_row->name));
    return e;
}

enum err fleet_read_service(struct fleet_scan *scan, struct service_row *ret_row)
{
    enum err e = OK;
    do {
        e = fleet_next_service(scan, ret_row);
    } while (e == OK && !rights_see_instance(ret_row->node, ret_row->name));
    return e;
}

enum err fleet_read_name(struct fleet_scan *scan, struct service_row *ret_row)
{
    enum err e = OK;
    do {
        e = fleet_next_service(scan, ret_row);
    } while (e == OK && !rights_see(ACL_SERVICE, ret_row->name));
    return e;
}

enum err fleet_read_check(struct fleet_scan *scan, struct check_row *ret_row)
{
    enum err e = OK;
    do {
        e = fleet_next_check(scan, ret_row);
    } while (e == OK && !rights_see_instance(ret_row->node, ret_row->service_name));
    return e;
}

/* --- rows ------------------------------------------------------------------------------------ */

enum err fleet_answer_node(struct fleet_answer *a, struct bytes name)
{
    if (a->node_name.len > 0 && bytes_equal_nocase(buf_view(&a->node_name), name)) {
        return a->node_status;
    }
    buf_clear(&a->node_name);
    enum err e = buf_append(&a->node_name, name);
    if (e == OK) {
        e = rights_see(ACL_NODE, name) ? view_node(a->view, name, &a->node_pin, &a->node)
                                       : ERR_NOT_FOUND;
    }
    if (e != OK) {
        a->node = (struct node_row){0};
    }
    a->node_status = e;
    return e;
}

bool fleet_answer_meta(const struct fleet_answer *a)
{
    struct bytes wanted = a->q.meta;
    struct bytes name;
    struct bytes value;
    while (pairs_next(&wanted, &name, &value)) {
        struct bytes have;
        if (!pairs_get(a->node.meta, name, &have) || !bytes_equal(have, value)) {
            return false;
        }
    }
    return true;
}

bool fleet_answer_tags(const struct fleet_answer *a, struct bytes tags)
{
    struct bytes wanted = a->q.tags;
    struct bytes tag;
    while (texts_next(&wanted, &tag)) {
        if (!texts_have_nocase(tags, tag)) {
            return false;
        }
    }
    return true;
}

bool fleet_answer_matches(const struct fleet_answer *a, const struct bexpr_row *row)
{
    return bexpr_matches(a->filter, row);
}

enum err fleet_answer_put(struct fleet_answer *a, struct bytes json)
{
    return buf_append(&a->text, json);
}

/* Only with `near` the pieces are remembered; `from` of the next one is always known. */
static struct fleet_piece *piece_next(struct fleet_answer *a)
{
    if (a->rows == a->piece_cap) {
        a->piece_cap = a->piece_cap == 0 ? 64 : a->piece_cap * 2;
        a->pieces = mem_realloc(a->pieces, a->piece_cap * sizeof *a->pieces);
    }
    return &a->pieces[a->rows];
}

enum err fleet_answer_begin(struct fleet_answer *a)
{
    struct fleet_piece *p = piece_next(a);
    p->from = a->text.len;
    p->order = a->rows;
    return a->rows > 0 ? buf_append_char(&a->text, ',') : OK;
}

enum err fleet_answer_end(struct fleet_answer *a, struct bytes node)
{
    struct fleet_piece *p = &a->pieces[a->rows];
    size_t comma = a->rows > 0 ? 1 : 0;
    p->from += comma;
    p->len = a->text.len - p->from;
    p->distance = a->near != NULL ? coordinates_distance(a->near, node) : 0;
    a->rows++;
    return OK;
}

void fleet_answer_drop(struct fleet_answer *a)
{
    buf_truncate(&a->text, a->pieces[a->rows].from);
}

static int piece_compare(const void *x, const void *y)
{
    const struct fleet_piece *a = x;
    const struct fleet_piece *b = y;
    int order = (a->distance > b->distance) - (a->distance < b->distance);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* Puts the elements, which stand between brackets, in the order of their distance. */
static enum err answer_sort(struct fleet_answer *a)
{
    struct buf sorted;
    buf_init(&sorted, a->text.max);
    qsort(a->pieces, a->rows, sizeof *a->pieces, piece_compare);
    enum err e = buf_append_char(&sorted, '[');
    for (size_t i = 0; i < a->rows && e == OK; i++) {
        const struct fleet_piece *p = &a->pieces[i];
        e = i > 0 ? buf_append_char(&sorted, ',') : OK;
        e = e == OK
                ? buf_append(&sorted, bytes_slice(buf_view(&a->text), p->from, p->from + p->len))
                : e;
    }
    e = e == OK ? buf_append_char(&sorted, ']') : e;
    if (e == OK) {
        buf_clear(&a->text);
        e = buf_append(&a->text, buf_view(&sorted));
    }
    buf_close(&sorted);
    return e;
}

/* --- answers --------------------------------------------------------------------------------- */

static uint64_t greatest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* One that is missing is woken by nothing but its coming: its index is when last one of its kind
 * went, so that whoever knew it learns that it is gone. */
static void answer_index(struct view *v,
                         const struct fleet_form *form,
                         struct bytes target,
                         struct watch_answer *w)
{
    w->index = view_fleet_index(v, target);
    for (size_t i = 0; i < sizeof form->also / sizeof form->also[0]; i++) {
        if (form->also[i] != NULL) {
            w->index = greatest(w->index, view_fleet_index(v, bytes_of(form->also[i])));
        }
    }
    w->wake_index = form->constant ? 0 : w->index;
    if (w->index > 0 || bytes_find(target, '.') == target.len) {
        return;
    }
    uint64_t gone = view_gone_index(v);
    w->index = gone;
    w->wake_index = form->constant ? 0 : gone;
    if (gone == 0 && strcmp(form->index, FLEET_INDEX_SERVICE) == 0) {
        w->index = greatest(view_fleet_index(v, BYTES(FLEET_INDEX_NODES)),
                            greatest(view_fleet_index(v, BYTES(FLEET_INDEX_SERVICES)),
                                     view_fleet_index(v, BYTES(FLEET_INDEX_CHECKS))));
    }
}

static enum err answer_body(struct fleet_answer *a, struct watch_answer *w)
{
    struct buf indented;
    buf_init(&indented, FLEET_ANSWER_MAX);
    enum err e = a->q.pretty ? json_pretty(&indented, buf_view(&a->text)) : OK;
    if (e == OK) {
        w->content_type = "application/json";
        w->body = shared_copy(0, buf_view(a->q.pretty ? &indented : &a->text));
    }
    buf_close(&indented);
    return e;
}

static enum err fleet_evaluate(struct view *v,
                               struct bytes target,
                               struct bytes variant,
                               struct watch_answer *ret_answer)
{
    struct fleet_answer a = {.view = v, .node_status = ERR_NOT_FOUND};
    const struct fleet_form *form = question_decode(variant, &a.q);
    struct watch_answer w = {.status = 200};
    struct reason why;
    enum err e = OK;
    if (a.q.filter.len > 0) {
        e = bexpr_new(a.q.filter, form->schema, &a.filter, &why);
    }
    buf_init(&a.text, FLEET_ANSWER_MAX);
    buf_init(&a.node_name, ROW_NAME_MAX);
    if (e == OK && a.q.near.len > 0) {
        a.near = coordinates_from(v, a.q.near);
    }
    e = e == OK ? form->rows(&a) : e;
    if (e == OK && a.near != NULL && a.text.len > 0 && a.text.ptr[0] == '[') {
        e = answer_sort(&a);
    }
    if (e == OK) {
        answer_index(v, form, target, &w);
        w.status = form->status != NULL ? form->status(&a) : 200;
        e = a.text.len > 0 ? answer_body(&a, &w) : OK;
    }
    if (e == OK) {
        *ret_answer = w;
    }
    view_pin_close(&a.node_pin);
    coordinates_free(a.near);
    free(a.pieces);
    buf_close(&a.node_name);
    buf_close(&a.text);
    bexpr_free(a.filter);
    return e;
}

/* --- requests -------------------------------------------------------------------------------- */

/* Go's strconv.ParseBool. */
static bool bool_parse(struct bytes text, bool *ret_value)
{
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(text, bytes_of(words[i]))) {
            *ret_value = i < 6;
            return true;
        }
    }
    return false;
}

/* All of one parameter's values as texts; `pairs`: each is `name:value`. */
static struct bytes args_texts(struct request *r, const char *name, bool pairs)
{
    struct buf list;
    buf_init(&list, HTTP_REQUEST_ARENA_MAX);
    enum err e = OK;
    for (size_t i = 0; i < r->arg_count && e == OK; i++) {
        struct bytes value = r->args[i].value;
        if (!bytes_equal(r->args[i].name, bytes_of(name))) {
            continue;
        }
        size_t colon = pairs ? bytes_find(value, ':') : value.len;
        e = texts_add(&list, bytes_slice(value, 0, colon));
        if (e == OK && pairs) {
            size_t from = colon < value.len ? colon + 1 : value.len;
            e = texts_add(&list, bytes_slice(value, from, value.len));
        }
    }
    struct bytes texts =
        e == OK && list.len > 0 ? arena_copy(r->arena, buf_view(&list)) : (struct bytes){0};
    buf_close(&list);
    return texts;
}

/* False: it has been answered. */
static bool
question_filter(struct request *r, const struct fleet_form *form, struct fleet_question *q)
{
    struct bexpr *filter = NULL;
    struct reason why;
    if (form->schema == NULL || !request_arg(r, "filter", &q->filter) || q->filter.len == 0) {
        q->filter = (struct bytes){0};
        return true;
    }
    enum err e = bexpr_new(q->filter, form->schema, &filter, &why);
    bexpr_free(filter);
    if (e != OK) {
        api_meta_headers(r, 1);
        reply_text(r, 500, "Failed to create boolean expression evaluator: %s", why.text);
    }
    return e == OK;
}

static bool
question_read(struct request *r, const struct fleet_form *form, struct fleet_question *q)
{
    const struct config *config = api_of(r)->config;
    struct bytes value;
    q->datacenter = bytes_of(config->datacenter);
    q->name = form->missing != NULL ? r->rest : (struct bytes){0};
    if (form->passing && request_arg(r, "passing", &value)) {
        q->passing = true;
        if (value.len > 0 && !bool_parse(value, &q->passing)) {
            reply_text(r, 400, "Invalid value for ?passing");
            return false;
        }
    }
    if (request_arg(r, "near", &value)) {
        q->near = bytes_equal(value, BYTES("_agent")) ? api_node(r) : value;
    }
    q->tags = args_texts(r, "tag", false);
    q->meta = args_texts(r, "node-meta", true);
    return question_filter(r, form, q);
}

void fleet_ask(struct request *r, const struct fleet_form *form)
{
    struct read_options options;
    struct fleet_question question = {0};
    struct buf target;
    struct bytes value;
    if (!api_read_options(r, &options)) {
        return;
    }
    if (form->missing != NULL && r->rest.len == 0) {
        reply_text(r, 400, "%s", form->missing);
        return;
    }
    if (!question_read(r, form, &question)) {
        return;
    }
    question.pretty = options.pretty;
    options.catalog = form->catalog;
    options.cached = form->cacheable && request_arg(r, "cached", &value);
    buf_init(&target, HTTP_HEAD_MAX);
    bool named = form->index[strlen(form->index) - 1] == '.';
    struct watch_query q = {.kind = WATCH_INDEX, .evaluate = fleet_evaluate};
    enum err e = fleet_index_name(&target, form->index, named ? question.name : (struct bytes){0});
    if (e == OK) {
        q.target = arena_copy(r->arena, buf_view(&target));
        q.variant = question_encode(r->arena, form, &question);
        e = q.target.ptr != NULL && q.variant.ptr != NULL ? OK : ERR_TOO_BIG;
    }
    buf_close(&target);
    if (e != OK) {
        reply_err(r, e);
        return;
    }
    api_answer_query(r, &q, &options);
}

static enum err nothing_rows(struct fleet_answer *a)
{
    return fleet_answer_put(a, BYTES("[]"));
}

void fleet_ask_mesh(struct request *r)
{
    static const struct fleet_form MESH = {
        .index = FLEET_INDEX_SERVICE,
        .missing = "Missing service name",
        .catalog = true,
        .constant = true,
        .rows = nothing_rows,
    };
    fleet_ask(r, &MESH);
}
