#include "core/agent/local.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>

/* --- a table ------------------------------------------------------------------------------------
 */

static int id_compare(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < len; i++) {
        unsigned char x = (unsigned char)a.ptr[i];
        unsigned char y = (unsigned char)b.ptr[i];
        x = x >= 'A' && x <= 'Z' ? (unsigned char)(x - 'A' + 'a') : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char)(y - 'A' + 'a') : y;
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return (a.len > b.len) - (a.len < b.len);
}

/* Where `id` is, or would be. */
static size_t table_position(const struct local_table *t, struct bytes id, bool *ret_there)
{
    size_t low = 0;
    size_t high = t->count;
    *ret_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = id_compare(t->items[middle]->id, id);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct local_item *table_find(const struct local_table *t, struct bytes id)
{
    bool there = false;
    size_t at = table_position(t, id, &there);
    return there ? t->items[at] : NULL;
}

static void table_insert(struct local_table *t, size_t at, struct local_item *item)
{
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 16 : t->cap * 2;
        t->items = mem_realloc(t->items, t->cap * sizeof(struct local_item *));
    }
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof *t->items);
    t->items[at] = item;
    t->count++;
}

static void service_free(struct local_item *item)
{
    free(((struct local_service *)item)->catalog_tags);
    arena_close(&item->arena);
    free(item);
}

static void check_free(struct local_item *item)
{
    struct local_check *c = (struct local_check *)item;
    CHECK(c->run == NULL);
    buf_close(&c->output);
    arena_close(&item->arena);
    free(c);
}

static void item_free(bool check, struct local_item *item)
{
    if (check) {
        check_free(item);
    } else {
        service_free(item);
    }
}

static void table_close(struct local_table *t, bool check)
{
    for (size_t i = 0; i < t->count; i++) {
        item_free(check, t->items[i]);
    }
    free(t->items);
    *t = (struct local_table){0};
}

void local_init(struct local *l)
{
    *l = (struct local){0};
}

void local_close(struct local *l)
{
    table_close(&l->services, false);
    table_close(&l->checks, true);
}

/* --- finding ------------------------------------------------------------------------------------
 */

struct local_service *local_service(const struct local *l, struct bytes id)
{
    struct local_item *item = table_find(&l->services, id);
    return item == NULL || item->deleted ? NULL : (struct local_service *)item;
}

struct local_check *local_check(const struct local *l, struct bytes id)
{
    struct local_item *item = table_find(&l->checks, id);
    return item == NULL || item->deleted ? NULL : (struct local_check *)item;
}

struct local_service *local_service_at(const struct local *l, size_t at)
{
    CHECK(at < l->services.count);
    return (struct local_service *)l->services.items[at];
}

struct local_check *local_check_at(const struct local *l, size_t at)
{
    CHECK(at < l->checks.count);
    return (struct local_check *)l->checks.items[at];
}

bool local_check_of(const struct local_check *c, struct bytes service_id)
{
    return c->row.service_id.len == service_id.len &&
           id_compare(c->row.service_id, service_id) == 0;
}

void local_touch(struct local *l, struct local_item *item)
{
    item->generation = ++l->generation;
    item->in_sync = false;
}

/* --- adding -------------------------------------------------------------------------------------
 */

/* Copies into an item's arena; `*full` says that something did not fit. */
static struct bytes keep(struct arena *a, struct bytes text, bool *full)
{
    struct bytes copy = arena_copy(a, text);
    *full = *full || copy.ptr == NULL;
    return copy;
}

static struct bytes keep_texts(struct arena *a, struct texts_list list, bool *full)
{
    struct buf out;
    buf_init(&out, ROW_LIST_MAX);
    for (size_t i = 0; i < list.count; i++) {
        *full = texts_add(&out, list.items[i]) != OK || *full;
    }
    struct bytes copy = keep(a, buf_view(&out), full);
    buf_close(&out);
    return copy;
}

static struct bytes keep_pairs(struct arena *a, struct pairs_list list, bool *full)
{
    struct pair *sorted = mem_zalloc(list.count + 1, sizeof *sorted);
    struct buf out;
    buf_init(&out, ROW_LIST_MAX);
    for (size_t i = 0; i < list.count; i++) {
        sorted[i] = list.items[i];
    }
    *full = pairs_add(&out, sorted, list.count) != OK || *full;
    struct bytes copy = keep(a, buf_view(&out), full);
    buf_close(&out);
    free(sorted);
    return copy;
}

/* Consul's: an address is also that of its family. */
static struct bytes
keep_tagged(struct arena *a, const struct service_definition *s, char *scratch, bool *full)
{
    struct pair pairs[2];
    bool v6 = bytes_find(s->address, ':') < s->address.len;
    if (s->tagged.count > 0 || s->address.len == 0 || s->address.len > ROW_ADDRESS_MAX) {
        return keep_pairs(a, s->tagged, full);
    }
    size_t digits = 0;
    struct bytes port = bytes_u64(s->port, scratch);
    digits = port.len;
    memmove(scratch, port.ptr, digits);
    scratch[digits] = ' ';
    memcpy(scratch + digits + 1, s->address.ptr, s->address.len);
    struct bytes value = {.ptr = scratch, .len = digits + 1 + s->address.len};
    pairs[0] = (struct pair){.name = v6 ? BYTES("lan_ipv6") : BYTES("lan_ipv4"), .value = value};
    pairs[1] = (struct pair){.name = v6 ? BYTES("wan_ipv6") : BYTES("wan_ipv4"), .value = value};
    return keep_pairs(a, (struct pairs_list){.items = pairs, .count = 2}, full);
}

static bool is_address(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("0123456789abcdefABCDEF.:", text.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void service_fill(struct local_service *n, const struct service_definition *s, bool *full)
{
    struct arena *a = &n->item.arena;
    char scratch[U64_TEXT_MAX + 1 + ROW_ADDRESS_MAX + 1];
    struct service_definition plain = *s;
    if (!is_address(s->address)) {
        /* A name has no family: its tagged addresses are those that were said. */
        plain.address = (struct bytes){0};
    }
    n->row = (struct service_row){
        .id = keep(a, s->id.len > 0 ? s->id : s->name, full),
        .name = keep(a, s->name, full),
        .kind = keep(a, s->kind, full),
        .tags = keep_texts(a, s->tags, full),
        .address = keep(a, s->address, full),
        .tagged = keep_tagged(a, &plain, scratch, full),
        .meta = keep_pairs(a, s->meta, full),
        .socket_path = keep(a, s->socket_path, full),
        .extra = keep(a, s->extra, full),
        .port = (uint32_t)s->port,
        .weight_passing = (uint32_t)s->weight_passing,
        .weight_warning = (uint32_t)s->weight_warning,
        .enable_tag_override = s->enable_tag_override,
    };
    n->item.id = n->row.id;
    n->item.json = keep(a, s->json, full);
    n->item.token = keep(a, s->token, full);
}

/* Puts `fresh` into its place; what was there is freed. */
static enum err table_put(struct local_table *t, bool check, struct local_item *fresh, size_t max)
{
    bool there = false;
    size_t at = table_position(t, fresh->id, &there);
    if (!there && t->count >= max) {
        return ERR_LIMIT;
    }
    if (there) {
        item_free(check, t->items[at]);
        t->items[at] = fresh;
    } else {
        table_insert(t, at, fresh);
    }
    return OK;
}

/* Whether the catalog could have it: what the row's encoder refuses, nobody takes. */
static enum err service_fits(const struct local_service *s, struct reason *why)
{
    struct buf out;
    struct service_row row = s->row;
    row.node = BYTES("node");
    buf_init(&out, COMMAND_MAX);
    enum err e = row_service_encode(&out, &row);
    buf_close(&out);
    if (e != OK) {
        reason_set(why, e == ERR_TOO_BIG ? "Service is too large" : "Service has an invalid name");
    }
    return e;
}

static enum err check_fits(const struct local_check *c, struct reason *why)
{
    struct buf out;
    struct check_row row = c->row;
    row.node = BYTES("node");
    buf_init(&out, COMMAND_MAX);
    enum err e = row_check_encode(&out, &row);
    buf_close(&out);
    if (e != OK) {
        reason_set(why, e == ERR_TOO_BIG ? "Check is too large" : "Check has an invalid name");
    }
    return e;
}

static bool services_same(const struct service_row *a, const struct service_row *b)
{
    return bytes_equal(a->id, b->id) && bytes_equal(a->name, b->name) &&
           bytes_equal(a->kind, b->kind) && bytes_equal(a->tags, b->tags) &&
           bytes_equal(a->address, b->address) && bytes_equal(a->tagged, b->tagged) &&
           bytes_equal(a->meta, b->meta) && bytes_equal(a->socket_path, b->socket_path) &&
           bytes_equal(a->extra, b->extra) && a->port == b->port &&
           a->weight_passing == b->weight_passing && a->weight_warning == b->weight_warning &&
           a->enable_tag_override == b->enable_tag_override;
}

enum err local_add_service(struct local *l,
                           const struct service_definition *s,
                           enum local_source source,
                           struct reason *why)
{
    bool full = false;
    struct local_service *n = mem_zalloc(1, sizeof *n);
    arena_init(&n->item.arena, DEFINITION_ARENA_MAX);
    service_fill(n, s, &full);
    n->item.source = source;
    enum err e = full ? ERR_TOO_BIG : service_fits(n, why);
    if (full) {
        reason_set(why, "Service is too large");
    }
    if (e != OK) {
        service_free(&n->item);
        return e;
    }
    const struct local_service *old = local_service(l, n->row.id);
    bool same = old != NULL && old->item.in_sync && services_same(&old->row, &n->row);
    uint64_t generation = old == NULL ? 0 : old->item.generation;
    e = table_put(&l->services, false, &n->item, LOCAL_SERVICES_MAX);
    if (e != OK) {
        reason_set(why, "more than %u services on one agent", LOCAL_SERVICES_MAX);
        service_free(&n->item);
        return e;
    }
    if (same) {
        n->item.in_sync = true;
        n->item.generation = generation;
    } else {
        local_touch(l, &n->item);
    }
    return OK;
}

static void check_fill(struct local_check *n, const struct local_check_new *c, bool *full)
{
    struct arena *a = &n->item.arena;
    const struct check_definition *d = c->definition;
    char text[DURATION_TEXT_LEN];
    n->row = (struct check_row){
        .id = keep(a, c->id, full),
        .name = keep(a, c->name, full),
        .status = c->status,
        .notes = keep(a, c->notes, full),
        .service_id = keep(a, c->service_id, full),
        .type = bytes_of(check_kind_name(c->kind)),
        .exposed_port = d == NULL ? 0 : (uint32_t)d->exposed_port,
    };
    if (d != NULL && d->interval_ms > 0) {
        duration_text(d->interval_ms, text);
        n->row.interval = keep(a, bytes_of(text), full);
    }
    if (d != NULL && d->timeout_ms > 0) {
        duration_text(d->timeout_ms, text);
        n->row.timeout = keep(a, bytes_of(text), full);
    }
    n->item.id = n->row.id;
    if (d != NULL) {
        n->item.json = keep(a, d->json, full);
        n->item.token = keep(a, d->token, full);
    }
}

/* The definition is decoded anew into the item's own arena, so that nothing is borrowed. */
static enum err
check_define(struct local_check *n, const struct local_check_new *c, struct reason *why)
{
    json_error_t error;
    if (c->definition == NULL) {
        n->definition = (struct check_definition){.kind = c->kind};
        return OK;
    }
    json_t *object = json_loadb(n->item.json.ptr, n->item.json.len, 0, &error);
    enum err e = object == NULL ? ERR_INVALID
                                : definition_check(&n->item.arena, object, &n->definition, why);
    json_decref(object);
    return e;
}

enum err local_add_check(struct local *l, const struct local_check_new *c, struct reason *why)
{
    bool full = false;
    struct local_check *n = mem_zalloc(1, sizeof *n);
    arena_init(&n->item.arena, DEFINITION_ARENA_MAX);
    buf_init(&n->output, ROW_OUTPUT_MAX);
    check_fill(n, c, &full);
    if (buf_append(&n->output, c->output) == OK) {
        n->row.output = buf_view(&n->output);
    }
    n->item.source = c->source;
    enum err e = full ? ERR_TOO_BIG : check_define(n, c, why);
    if (full) {
        reason_set(why, "Check is too large");
    }
    e = e == OK ? check_fits(n, why) : e;
    if (e == OK && (e = table_put(&l->checks, true, &n->item, LOCAL_CHECKS_MAX)) != OK) {
        reason_set(why, "more than %u checks on one agent", LOCAL_CHECKS_MAX);
    }
    if (e != OK) {
        check_free(&n->item);
        return e;
    }
    local_touch(l, &n->item);
    return OK;
}

/* --- removing and changing ----------------------------------------------------------------------
 */

static enum err item_remove(struct local *l, struct local_item *item)
{
    if (item == NULL || item->deleted) {
        return ERR_NOT_FOUND;
    }
    item->deleted = true;
    local_touch(l, item);
    return OK;
}

enum err local_remove_service(struct local *l, struct bytes id)
{
    return item_remove(l, table_find(&l->services, id));
}

enum err local_remove_check(struct local *l, struct bytes id)
{
    return item_remove(l, table_find(&l->checks, id));
}

bool local_check_set(struct local *l,
                     struct local_check *c,
                     enum check_status status,
                     struct bytes output,
                     bool *ret_status_changed)
{
    output = output.len > ROW_OUTPUT_MAX ? bytes_slice(output, 0, ROW_OUTPUT_MAX) : output;
    bool changed = c->row.status != status;
    bool different = changed || !bytes_equal(c->row.output, output);
    *ret_status_changed = changed;
    if (!different) {
        return false;
    }
    buf_clear(&c->output);
    buf_put(&c->output, output);
    c->row.output = buf_view(&c->output);
    c->row.status = status;
    if (changed) {
        local_touch(l, &c->item);
    }
    return true;
}

void local_set_tags(struct local *l, struct local_service *s, struct bytes tags)
{
    char *copy = mem_dup(tags.len > 0 ? tags.ptr : "", tags.len);
    s->row.tags = (struct bytes){.ptr = copy, .len = tags.len};
    free(s->catalog_tags);
    s->catalog_tags = copy;
    s->item.generation = ++l->generation;
}

/* --- the catalog --------------------------------------------------------------------------------
 */

void local_synced(struct local *l, bool check, struct bytes id, uint64_t generation)
{
    struct local_table *t = check ? &l->checks : &l->services;
    bool there = false;
    size_t at = table_position(t, id, &there);
    if (!there || t->items[at]->generation != generation) {
        return;
    }
    struct local_item *item = t->items[at];
    item->in_sync = true;
    if (item->deleted) {
        memmove(t->items + at, t->items + at + 1, (t->count - at - 1) * sizeof *t->items);
        t->count--;
        item_free(check, item);
    }
}

void local_synced_checks(struct local *l, struct bytes service_id)
{
    for (size_t i = 0; i < l->checks.count; i++) {
        struct local_check *c = local_check_at(l, i);
        if (!c->item.deleted && local_check_of(c, service_id) &&
            c->item.told == c->item.generation) {
            c->item.in_sync = true;
        }
    }
}

void local_untell_item(struct local *l, bool check, struct bytes id)
{
    struct local_item *item = table_find(check ? &l->checks : &l->services, id);
    if (item != NULL) {
        item->told = 0;
    }
}

void local_untell(const struct local *l, struct bytes service_id)
{
    for (size_t i = 0; i < l->checks.count; i++) {
        struct local_check *c = local_check_at(l, i);
        if (local_check_of(c, service_id)) {
            c->item.told = 0;
        }
    }
}

enum err local_bury(struct local *l, bool check, struct bytes id)
{
    struct local_table *t = check ? &l->checks : &l->services;
    bool there = false;
    size_t at = table_position(t, id, &there);
    if (there) {
        return OK;
    }
    struct local_item *item =
        mem_zalloc(1, check ? sizeof(struct local_check) : sizeof(struct local_service));
    arena_init(&item->arena, KIB(4));
    if (check) {
        buf_init(&((struct local_check *)item)->output, 1);
    }
    item->id = arena_copy(&item->arena, id);
    if (item->id.ptr == NULL) {
        item_free(check, item);
        return ERR_TOO_BIG;
    }
    item->deleted = true;
    local_touch(l, item);
    table_insert(t, at, item);
    return OK;
}

enum check_status local_status(const struct local *l, struct bytes service_id, bool node)
{
    enum check_status worst = CHECK_PASSING;
    for (size_t i = 0; i < l->checks.count; i++) {
        const struct local_check *c = local_check_at(l, i);
        bool counts = local_check_of(c, service_id) || (node && c->row.service_id.len == 0);
        if (!c->item.deleted && counts && c->row.status > worst) {
            worst = c->row.status;
        }
    }
    return worst;
}
