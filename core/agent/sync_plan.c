/* What is different between the agent and the catalog, and the commands against it. Pure. */
#include "core/agent/sync.h"

#include "core/base/check.h"
#include "core/base/limit.h"

#include <string.h>

/* --- comparing ----------------------------------------------------------------------------------
 */

static bool nodes_same(const struct node_row *a, const struct node_row *b)
{
    return bytes_equal(a->id, b->id) && bytes_equal(a->name, b->name) &&
           bytes_equal(a->address, b->address) && bytes_equal(a->tagged, b->tagged) &&
           bytes_equal(a->meta, b->meta);
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

static bool checks_same(const struct local_check *c, const struct check_row *b)
{
    const struct check_row *a = &c->row;
    bool output = c->deferred_ms > 0 || bytes_equal(a->output, b->output);
    return output && bytes_equal(a->id, b->id) && bytes_equal(a->name, b->name) &&
           a->status == b->status && bytes_equal(a->notes, b->notes) &&
           bytes_equal_nocase(a->service_id, b->service_id) && bytes_equal(a->type, b->type) &&
           bytes_equal(a->interval, b->interval) && bytes_equal(a->timeout, b->timeout) &&
           a->exposed_port == b->exposed_port;
}

/* What the leader looks after. */
static bool service_is_leaders(struct bytes id)
{
    return bytes_equal(id, BYTES("consul"));
}

static bool check_is_leaders(struct bytes id)
{
    return bytes_equal(id, BYTES("serfHealth"));
}

static enum err compare_service(struct local *l, const struct service_row *row)
{
    struct local_service *s = local_service(l, row->id);
    if (s == NULL) {
        return service_is_leaders(row->id) ? OK : local_bury(l, false, row->id);
    }
    if (s->row.enable_tag_override && !bytes_equal(s->row.tags, row->tags)) {
        local_set_tags(l, s, row->tags);
    }
    s->item.in_sync = services_same(&s->row, row);
    return OK;
}

static enum err compare_check(struct local *l, const struct check_row *row)
{
    struct local_check *c = local_check(l, row->id);
    if (c == NULL) {
        return check_is_leaders(row->id) ? OK : local_bury(l, true, row->id);
    }
    c->item.in_sync = checks_same(c, row);
    return OK;
}

/* As if the catalog had nothing; what is deleted here and there is forgotten. */
static void compare_begin(struct local *l)
{
    for (size_t i = l->services.count; i-- > 0;) {
        struct local_item *item = l->services.items[i];
        item->in_sync = false;
        item->told = 0;
        if (item->deleted) {
            local_synced(l, false, item->id, item->generation);
        }
    }
    for (size_t i = l->checks.count; i-- > 0;) {
        struct local_item *item = l->checks.items[i];
        item->in_sync = false;
        item->told = 0;
        if (item->deleted && ((struct local_check *)item)->run == NULL) {
            local_synced(l, true, item->id, item->generation);
        }
    }
}

enum err sync_compare(struct local *l, const struct node_row *node, const struct sync_rows *rows)
{
    struct bytes services = rows->services;
    struct bytes checks = rows->checks;
    struct bytes text;
    enum err e = OK;
    compare_begin(l);
    l->node_in_sync = rows->has_node && nodes_same(node, &rows->node);
    while (e == OK && texts_next(&services, &text)) {
        struct service_row row;
        e = row_service_decode(text, &row);
        e = e == OK ? compare_service(l, &row) : e;
    }
    while (e == OK && texts_next(&checks, &text)) {
        struct check_row row;
        e = row_check_decode(text, &row);
        e = e == OK ? compare_check(l, &row) : e;
    }
    return e;
}

/* --- one step -----------------------------------------------------------------------------------
 */

/* What is gone goes first, so that an id can come back as another; checks before their service. */
enum phase {
    PHASE_NODE,
    PHASE_CHECKS_GONE,
    PHASE_SERVICES_GONE,
    PHASE_SERVICES,
    PHASE_CHECKS,
    PHASE_END,
};

static enum err step_check(const struct local *l,
                           const struct node_row *node,
                           struct local_check *c,
                           struct buf *out)
{
    struct check_row row = c->row;
    row.node = node->name;
    const struct local_service *s =
        row.service_id.len > 0 ? local_service(l, row.service_id) : NULL;
    if (s != NULL) {
        row.service_name = s->row.name;
        row.service_tags = s->row.tags;
    }
    struct buf one;
    buf_init(&one, COMMAND_MAX);
    enum err e = row_check_encode(&one, &row);
    e = e == OK ? texts_add(out, buf_view(&one)) : e;
    buf_close(&one);
    if (e == OK) {
        c->item.told = c->item.generation;
    }
    return e;
}

/* Checks that come with their service: without them it would pass for a moment. */
static enum err step_checks(const struct local *l,
                            const struct node_row *node,
                            struct bytes service_id,
                            struct buf *out)
{
    size_t count = 0;
    enum err e = OK;
    for (size_t i = 0; e == OK && i < l->checks.count; i++) {
        struct local_check *c = local_check_at(l, i);
        if (!c->item.deleted && local_check_of(c, service_id) && count < REGISTER_CHECKS_MAX) {
            e = step_check(l, node, c, out);
            count++;
        }
    }
    return e;
}

/* Where the parts of a registration begin in the step's memory. */
struct parts {
    size_t node;
    size_t service;
    size_t checks;
};

static void step_register(struct sync_step *step, const struct parts *p)
{
    struct bytes all = buf_view(&step->memory);
    step->command.type = COMMAND_REGISTER;
    step->command.registration = (struct command_register){
        .node = bytes_slice(all, p->node, p->service),
        .service = bytes_slice(all, p->service, p->checks),
        .checks = bytes_slice(all, p->checks, all.len),
        .skip_node = !step->node,
    };
}

static void step_begin(struct sync_step *step, struct local_item *item)
{
    item->told = item->generation;
    buf_put(&step->id, item->id);
    step->generation = item->generation;
    step->token = item->token;
}

static void step_gone(struct sync_step *step, const struct node_row *node, struct local_item *item)
{
    step_begin(step, item);
    step->command.type = COMMAND_DEREGISTER;
    step->command.deregistration = (struct command_deregister){
        .node = node->name,
        .service_id = step->check ? (struct bytes){0} : buf_view(&step->id),
        .check_id = step->check ? buf_view(&step->id) : (struct bytes){0},
    };
}

static enum err step_service(const struct local *l,
                             const struct node_row *node,
                             struct local_service *s,
                             struct sync_step *step)
{
    struct parts p = {0};
    struct service_row row = s->row;
    row.node = node->name;
    step_begin(step, &s->item);
    enum err e = row_node_encode(&step->memory, node);
    p.service = step->memory.len;
    e = e == OK ? row_service_encode(&step->memory, &row) : e;
    p.checks = step->memory.len;
    e = e == OK ? step_checks(l, node, row.id, &step->memory) : e;
    step->checks = e == OK && step->memory.len > p.checks;
    if (e == ERR_TOO_BIG) {
        /* The checks follow one by one. */
        buf_truncate(&step->memory, p.checks);
        local_untell(l, row.id);
        e = OK;
    }
    if (e == OK) {
        step_register(step, &p);
    }
    return e;
}

static enum err step_one_check(const struct local *l,
                               const struct node_row *node,
                               struct local_check *c,
                               struct sync_step *step)
{
    struct parts p = {0};
    step_begin(step, &c->item);
    enum err e = row_node_encode(&step->memory, node);
    p.service = step->memory.len;
    p.checks = p.service;
    e = e == OK ? step_check(l, node, c, &step->memory) : e;
    if (e == OK) {
        step_register(step, &p);
    }
    return e;
}

static enum err step_node(const struct node_row *node, struct sync_step *step)
{
    struct parts p = {0};
    step->node = true;
    enum err e = row_node_encode(&step->memory, node);
    p.service = step->memory.len;
    p.checks = p.service;
    if (e == OK) {
        step_register(step, &p);
    }
    return e;
}

static bool item_wants(const struct local_item *item, bool gone)
{
    return !item->in_sync && item->deleted == gone && item->told != item->generation;
}

/* One item of the phase; false: this one is none of it. */
static bool step_item(struct local *l,
                      const struct node_row *node,
                      const struct sync_cursor *cursor,
                      struct sync_step *step,
                      enum err *ret_e)
{
    bool checks = cursor->phase == PHASE_CHECKS || cursor->phase == PHASE_CHECKS_GONE;
    bool gone = cursor->phase == PHASE_CHECKS_GONE || cursor->phase == PHASE_SERVICES_GONE;
    struct local_item *item =
        checks ? &local_check_at(l, cursor->at)->item : &local_service_at(l, cursor->at)->item;
    if (!item_wants(item, gone)) {
        return false;
    }
    step->check = checks;
    if (gone) {
        step_gone(step, node, item);
        *ret_e = OK;
    } else if (checks) {
        *ret_e = step_one_check(l, node, local_check_at(l, cursor->at), step);
    } else {
        *ret_e = step_service(l, node, local_service_at(l, cursor->at), step);
    }
    return true;
}

enum err sync_next(struct local *l,
                   const struct node_row *node,
                   struct sync_cursor *cursor,
                   struct sync_step *ret_step)
{
    enum err e = OK;
    *ret_step = (struct sync_step){0};
    buf_init(&ret_step->id, ROW_NAME_MAX);
    buf_init(&ret_step->memory, COMMAND_MAX - KIB(1));
    if (cursor->phase == PHASE_NODE) {
        cursor->phase++;
        if (!l->node_in_sync) {
            return step_node(node, ret_step);
        }
    }
    while (cursor->phase < PHASE_END) {
        bool checks = cursor->phase == PHASE_CHECKS || cursor->phase == PHASE_CHECKS_GONE;
        size_t count = checks ? l->checks.count : l->services.count;
        for (; cursor->at < count; cursor->at++) {
            if (step_item(l, node, cursor, ret_step, &e)) {
                cursor->at++;
                return e;
            }
        }
        cursor->phase++;
        cursor->at = 0;
    }
    return ERR_NOT_FOUND;
}

void sync_step_close(struct sync_step *step)
{
    buf_close(&step->id);
    buf_close(&step->memory);
}

/* Up to 128 nodes once, and once more for each doubling, as Consul does it. */
uint64_t sync_interval_ms(size_t nodes)
{
    uint64_t times = 1;
    for (size_t n = SYNC_SCALE_NODES; n < nodes; n *= 2) {
        times++;
    }
    return times * SYNC_INTERVAL_MS;
}
