#include "core/agent/expire.h"

#include "core/agent/deadlines.h"
#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/metric.h"

#include <stdlib.h>
#include <string.h>

struct expire {
    struct store *store;
    struct loop *loop;
    struct store_reader reader;
    struct deadlines deadlines;
    struct timer tick;
    uint64_t term; /* in which this server leads and counts; 0: it does not */
    size_t proposed;
    bool closing;
};

/* A command on its way; it outlives what it is about. */
struct expire_proposal {
    struct proposal proposal;
    struct expire *owner;
    struct expiry expiry;
    char name[];
};

/* What the view says of one name. */
static void expire_see(struct expire *x, struct view *v, enum expiry_kind kind, struct bytes name)
{
    struct expiry e;
    enum err status = view_expiry(v, kind, name, &e);
    if (status == OK) {
        deadlines_set(&x->deadlines, &e);
    } else if (status == ERR_NOT_FOUND) {
        deadlines_forget(&x->deadlines, kind, name);
    }
}

/* --- who leads ------------------------------------------------------------------------------- */

static void expire_begin(struct expire *x, struct view *v)
{
    struct fleet_scan *scan = fleet_expiries(v);
    struct expiry e;
    enum err status = OK;
    deadlines_clear(&x->deadlines);
    while ((status = fleet_next_expiry(scan, &e)) == OK) {
        deadlines_set(&x->deadlines, &e);
    }
    fleet_scan_close(scan);
    if (status != ERR_NOT_FOUND) {
        log_line(LOG_EXPIRE_FAILED, "why=\"%s\"", err_text(status));
    }
}

/* Counts if this server leads, and if it has begun to lead, from the beginning. */
static bool expire_leads(struct expire *x, struct view *v)
{
    struct store_facts facts;
    store_facts_get(x->store, &facts);
    if (!facts.leader) {
        deadlines_clear(&x->deadlines);
        x->term = 0;
        return false;
    }
    if (facts.term != x->term) {
        x->term = facts.term;
        expire_begin(x, v);
    }
    return true;
}

static void expire_on_tick(struct timer *t)
{
    struct expire *x = LIST_OWNER(t, struct expire, tick);
    (void)expire_leads(x, store_reader_view(&x->reader));
    env_timer_start(loop_env(x->loop), &x->tick, EXPIRE_TICK_MS);
}

static void expire_on_changes(struct store_reader *r, struct change_batch *b)
{
    struct expire *x = r->ctx;
    struct bytes moved = b->moved;
    struct bytes name;
    struct bytes prefix = BYTES(FLEET_INDEX_EXPIRY);
    if (b->replaced) {
        x->term = 0;
    }
    if (!expire_leads(x, b->view)) {
        return;
    }
    while (texts_next(&moved, &name)) {
        if (bytes_begins(name, prefix) && name.len > prefix.len + 1) {
            enum expiry_kind kind = (enum expiry_kind)(name.ptr[prefix.len] - '0');
            expire_see(x, b->view, kind, bytes_slice(name, prefix.len + 1, name.len));
        }
    }
}

/* --- ending what is due ---------------------------------------------------------------------- */

static void expire_on_done(struct proposal *p)
{
    struct expire_proposal *ep = p->ctx;
    struct expire *x = ep->owner;
    x->proposed--;
    if (!x->closing && p->status == OK) {
        metric_add(METRIC_EXPIRED, 1);
    }
    if (!x->closing && x->term != 0 && p->status != OK) {
        /* Renewed meanwhile, gone, or not done: the state knows. */
        expire_see(x, store_reader_view(&x->reader), ep->expiry.kind, ep->expiry.name);
        deadlines_again(&x->deadlines, &ep->expiry, EXPIRE_RETRY_MS);
    }
    free(ep);
}

static void expire_due(void *ctx, const struct expiry *e)
{
    struct expire *x = ctx;
    struct store_facts facts;
    store_facts_get(x->store, &facts);
    if (!facts.leader || facts.term != x->term) {
        /* The next tick finds out what this means; another leader counts by itself. */
        deadlines_again(&x->deadlines, e, EXPIRE_RETRY_MS);
        return;
    }
    const struct command c = {
        .type = COMMAND_EXPIRE,
        .time_ms = env_wall_ms(loop_env(x->loop)),
        .expire = {.kind = (uint8_t)e->kind, .name = e->name, .set_index = e->set_index},
    };
    struct buf command;
    buf_init(&command, COMMAND_MAX);
    CHECK(command_encode(&command, &c) == OK);
    struct expire_proposal *ep = mem_zalloc(1, sizeof *ep + e->name.len);
    memcpy(ep->name, e->name.ptr, e->name.len);
    ep->owner = x;
    ep->expiry = *e;
    ep->expiry.name = (struct bytes){ep->name, e->name.len};
    ep->proposal.done = expire_on_done;
    ep->proposal.ctx = ep;
    x->proposed++;
    store_propose(x->store, x->loop, &ep->proposal, &command);
}

/* --- life ------------------------------------------------------------------------------------ */

struct expire *expire_open(struct store *s, struct loop *loop)
{
    struct expire *x = mem_zalloc(1, sizeof *x);
    x->store = s;
    x->loop = loop;
    x->reader.on_changes = expire_on_changes;
    x->reader.ctx = x;
    deadlines_init(&x->deadlines, loop_env(loop), expire_due, x);
    store_reader_open(&x->reader, s, loop);
    env_timer_init(loop_env(loop), &x->tick, expire_on_tick);
    env_timer_start(loop_env(loop), &x->tick, 0);
    return x;
}

void expire_close(struct expire *x)
{
    if (x != NULL && !x->closing) {
        x->closing = true;
        timer_stop(&x->tick);
        deadlines_close(&x->deadlines);
        store_reader_close(&x->reader);
    }
}

void expire_free(struct expire *x)
{
    if (x != NULL) {
        CHECK(x->closing && x->proposed == 0);
        free(x);
    }
}
