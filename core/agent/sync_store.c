#include "core/agent/sync_store.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "store/fleet.h"

#include <stdlib.h>

/* What one node may have: its answer is put together in memory. */
#define SYNC_ROWS_MAX MIB(64)

static enum err store_services(struct view *v, struct bytes node, struct buf *out)
{
    struct fleet_scan *scan = fleet_services(v, node);
    struct buf one;
    struct service_row row;
    enum err e = OK;
    buf_init(&one, COMMAND_MAX);
    while (e == OK && (e = fleet_next_service(scan, &row)) == OK) {
        buf_clear(&one);
        e = row_service_encode(&one, &row);
        e = e == OK ? texts_add(out, buf_view(&one)) : e;
    }
    buf_close(&one);
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err store_checks(struct view *v, struct bytes node, struct buf *out)
{
    struct fleet_scan *scan = fleet_checks(v, node);
    struct buf one;
    struct check_row row;
    enum err e = OK;
    buf_init(&one, COMMAND_MAX);
    while (e == OK && (e = fleet_next_check(scan, &row)) == OK) {
        buf_clear(&one);
        e = row_check_encode(&one, &row);
        e = e == OK ? texts_add(out, buf_view(&one)) : e;
    }
    buf_close(&one);
    fleet_scan_close(scan);
    return e == ERR_NOT_FOUND ? OK : e;
}

void sync_store_ask(void *ctx, struct sync_ask *a)
{
    struct sync_store *s = ctx;
    struct view *v = store_reader_view(s->reader);
    struct view_pin pin = {0};
    struct sync_rows rows = {0};
    struct buf services;
    struct buf checks;
    buf_init(&services, SYNC_ROWS_MAX);
    buf_init(&checks, SYNC_ROWS_MAX);
    enum err e = view_node(v, a->node, &pin, &rows.node);
    rows.has_node = e == OK;
    e = e == ERR_NOT_FOUND ? OK : e;
    if (e == OK && rows.has_node) {
        e = store_services(v, a->node, &services);
        e = e == OK ? store_checks(v, a->node, &checks) : e;
    }
    rows.services = buf_view(&services);
    rows.checks = buf_view(&checks);
    a->done(a, e, &rows);
    view_pin_close(&pin);
    buf_close(&services);
    buf_close(&checks);
}

struct store_write {
    struct proposal proposal;
    struct sync_write *write;
};

static void store_written(struct proposal *p)
{
    struct store_write *w = LIST_OWNER(p, struct store_write, proposal);
    if (p->status == ERR_CONFLICT) {
        log_line(LOG_SYNC_REFUSED, "reason=\"%.*s\"", BYTES_FORMAT(p->detail));
    }
    w->write->done(w->write, p->status);
    free(w);
}

void sync_store_write(void *ctx, struct sync_write *w)
{
    struct sync_store *s = ctx;
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    enum err e = command_encode(&command, w->command);
    if (e != OK) {
        buf_close(&command);
        w->done(w, e);
        return;
    }
    struct store_write *p = mem_zalloc(1, sizeof *p);
    p->write = w;
    p->proposal.done = store_written;
    store_propose(s->store, s->loop, &p->proposal, &command);
}
