#include "tests/sim/check.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "tests/sim/client.h"
#include "tests/sim/model.h"
#include "tests/sim/server.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_FRAME (8U + 8U + 1U + 4U) /* as in store/replica/journal.h */
#define RECORD_HEAD  17U
#define TYPE_COMMAND 1

/* An entry that some server has applied. */
struct fact {
    uint64_t digest; /* 0: not known yet */
    uint64_t term;
    unsigned server; /* who showed it first */
    char *command;   /* until the model has it */
    size_t len;
};

/* What a server published, to be compared as soon as the model is there. */
struct claim {
    uint64_t after;
    uint64_t through;
    uint64_t state;
    uint64_t changes;
    unsigned server;
};

static struct {
    struct fact *facts; /* by index */
    size_t cap;
    uint64_t last; /* highest known */
    struct claim *claims;
    size_t claim_count;
    size_t claim_cap;
    uint64_t cursor[SERVERS_MAX + 1];  /* its entries are compared up to here */
    uint64_t applied[SERVERS_MAX + 1]; /* as it says itself */
} truth;

struct check_counts check_counts;

/* --- the truth ------------------------------------------------------------------------------- */

static uint64_t record_int(const char *p, unsigned len)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < len; i++) {
        value |= (uint64_t)(unsigned char)p[i] << (8 * i);
    }
    return value;
}

static struct fact *truth_fact(uint64_t index)
{
    if (index >= truth.cap) {
        size_t cap = (size_t)(index + 1) * 2;
        truth.facts = mem_realloc(truth.facts, cap * sizeof *truth.facts);
        memset(&truth.facts[truth.cap], 0, (cap - truth.cap) * sizeof *truth.facts);
        truth.cap = cap;
    }
    return &truth.facts[index];
}

static void truth_feed_model(void)
{
    for (;;) {
        uint64_t index = model_last() + 1;
        if (index > truth.last || truth.facts[index].digest == 0) {
            return;
        }
        struct fact *f = &truth.facts[index];
        model_apply((struct bytes){.ptr = f->command, .len = f->len});
        free(f->command);
        f->command = NULL;
    }
}

static void truth_take(struct server *s, uint64_t index, struct bytes record)
{
    struct fact *f = truth_fact(index);
    if (record.len < RECORD_FRAME || record_int(record.ptr, 8) != index) {
        world_violate("server %u: entry %llu cannot be read", s->number, (unsigned long long)index);
        return;
    }
    uint64_t digest = bytes_hash(record) | 1;
    check_counts.entries++;
    if (f->digest == 0) {
        *f = (struct fact){
            .digest = digest,
            .term = record_int(record.ptr + 8, 8),
            .server = s->number,
        };
        if (record.ptr[16] == TYPE_COMMAND) {
            struct bytes body = bytes_slice(record, RECORD_HEAD, record.len - 4);
            f->command = mem_dup(body.ptr, body.len);
            f->len = body.len;
        }
        truth.last = index > truth.last ? index : truth.last;
        truth_feed_model();
    } else if (f->digest != digest) {
        world_violate("entry %llu: server %u applied another one (term %llu) than server %u (term "
                      "%llu)",
                      (unsigned long long)index, s->number,
                      (unsigned long long)record_int(record.ptr + 8, 8), f->server,
                      (unsigned long long)f->term);
    }
}

/* The applied entries that are on its disk and were not compared yet. */
static void truth_read(struct server *s)
{
    struct sim_db *db = disk_db(&disks[s->number], "log");
    char key[9] = "e";
    if (db == NULL || disks[s->number].flips > 0) {
        return;
    }
    while (truth.cursor[s->number] < truth.applied[s->number] && !world.over) {
        uint64_t index = truth.cursor[s->number] + 1;
        for (unsigned i = 0; i < 8; i++) {
            key[1 + i] = (char)(index >> (8 * (7 - i)));
        }
        struct bytes name = {.ptr = key, .len = sizeof key};
        const struct map_node *n = map_seek(&db->map, name, db->version);
        if (n == NULL || n->key.len != sizeof key || n->key.ptr[0] != 'e') {
            return; /* Not on this disk yet. */
        }
        uint64_t found = 0;
        for (unsigned i = 0; i < 8; i++) {
            found = found << 8 | (unsigned char)n->key.ptr[1 + i];
        }
        if (found > truth.applied[s->number]) {
            return;
        }
        truth_take(s, found, n->value);
        truth.cursor[s->number] = found;
    }
}

/* --- claims ---------------------------------------------------------------------------------- */

static void claim_check(const struct claim *c)
{
    const struct model_entry *e = model_entry(c->through);
    check_counts.states++;
    if (c->state != e->state) {
        world_violate("server %u: its state at %llu is not what the log makes of it", c->server,
                      (unsigned long long)c->through);
    }
    if (c->changes != e->changes - model_entry(c->after)->changes) {
        world_violate("server %u: the changes it published over (%llu, %llu] are not those of the "
                      "log",
                      c->server, (unsigned long long)c->after, (unsigned long long)c->through);
    }
}

static void claims_check(void)
{
    size_t left = 0;
    for (size_t i = 0; i < truth.claim_count && !world.over; i++) {
        if (truth.claims[i].through <= model_last()) {
            claim_check(&truth.claims[i]);
        } else {
            truth.claims[left++] = truth.claims[i];
        }
    }
    truth.claim_count = left;
}

static void claim_add(struct claim c)
{
    if (truth.claim_count == truth.claim_cap) {
        truth.claim_cap = truth.claim_cap == 0 ? 64 : truth.claim_cap * 2;
        truth.claims = mem_realloc(truth.claims, truth.claim_cap * sizeof *truth.claims);
    }
    truth.claims[truth.claim_count++] = c;
}

void check_published(struct server *s, const struct change_batch *b)
{
    uint64_t through = view_index(b->view);
    struct claim c = {
        .after = b->replaced ? through : b->after,
        .through = through,
        .state = model_digest_view(b->view),
        .server = s->number,
    };
    for (size_t i = 0; i < b->count; i++) {
        c.changes += model_digest_change(&b->changes[i]);
        if (b->changes[i].index <= b->after || b->changes[i].index > b->through) {
            world_violate("server %u: a change of %llu in a batch over (%llu, %llu]", s->number,
                          (unsigned long long)b->changes[i].index, (unsigned long long)b->after,
                          (unsigned long long)b->through);
        }
    }
    world_mix(c.state);
    truth.applied[s->number] = through;
    claim_add(c);
    truth_read(s);
    claims_check();
}

void check_opened(struct server *s)
{
    struct view *v = store_reader_view(&s->reader);
    truth.applied[s->number] = view_index(v);
    truth.cursor[s->number] = 0;
    claim_add((struct claim){
        .after = view_index(v),
        .through = view_index(v),
        .state = model_digest_view(v),
        .server = s->number,
    });
    truth_read(s);
    claims_check();
}

void check_closed(struct server *s)
{
    truth.applied[s->number] = 0;
    truth.cursor[s->number] = 0;
}

void check_progress(void)
{
    for (unsigned i = 1; i <= SERVERS_MAX; i++) {
        if (servers[i].serving) {
            struct store_facts facts;
            store_facts_get(servers[i].store, &facts);
            if (facts.applied_index > truth.applied[i]) {
                truth.applied[i] = facts.applied_index;
            }
            truth_read(&servers[i]);
        }
    }
    claims_check();
}

uint64_t check_last(void)
{
    return truth.last;
}

/* --- the clients' history -------------------------------------------------------------------- */

static void judge_write(const struct op *op)
{
    uint64_t index = model_index_of(op->number);
    check_counts.writes++;
    if (op->outcome == OUTCOME_REFUSED && index != 0) {
        world_violate("op %llu was refused (%s), yet is applied at %llu",
                      (unsigned long long)op->number, err_name(op->status),
                      (unsigned long long)index);
    }
    if (op->outcome != OUTCOME_OK && op->outcome != OUTCOME_CONFLICT) {
        return;
    }
    if (op->index > model_last() || index != op->index) {
        world_violate("op %llu was acknowledged at %llu, but the log has it at %llu (0: nowhere)",
                      (unsigned long long)op->number, (unsigned long long)op->index,
                      (unsigned long long)index);
        return;
    }
    enum err status = model_entry(index)->status;
    if ((status == OK) != (op->outcome == OUTCOME_OK)) {
        world_violate("op %llu at %llu was answered %s, but the log says %s",
                      (unsigned long long)op->number, (unsigned long long)index,
                      op->outcome == OUTCOME_OK ? "OK" : "conflict", err_name(status));
    }
}

static void judge_read(const struct op *op)
{
    if (op->outcome != OUTCOME_OK) {
        return;
    }
    check_counts.reads++;
    if (op->index > model_last()) {
        world_violate("op %llu read a state at %llu that never was", (unsigned long long)op->number,
                      (unsigned long long)op->index);
        return;
    }
    const struct model_row *row = model_row(op->key, op->index);
    bool live = row != NULL && row->live;
    if (live != op->found ||
        (live && (row->value != op->value || row->index != op->modify_index))) {
        world_violate("op %llu read key %u at %llu: value %llu of %llu, but it was %llu of %llu",
                      (unsigned long long)op->number, op->key, (unsigned long long)op->index,
                      (unsigned long long)op->value, (unsigned long long)op->modify_index,
                      (unsigned long long)(live ? row->value : 0),
                      (unsigned long long)(live ? row->index : 0));
    }
}

static int history_by_end(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    if (x->end_us != y->end_us) {
        return x->end_us < y->end_us ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool history_tells(const struct op *op)
{
    return op->outcome == OUTCOME_OK || op->outcome == OUTCOME_CONFLICT;
}

/* Since every op that tells has its place in the log's order, being linearizable is: nothing that
 * began after something else's end has a place before it. */
static void history_order(void)
{
    size_t count = clients.count;
    struct op **ended = mem_alloc(count * sizeof *ended);
    memcpy((void *)ended, (void *)clients.ops, count * sizeof *ended);
    qsort((void *)ended, count, sizeof *ended, history_by_end);
    const struct op *newest = NULL;
    size_t next = 0;
    for (size_t i = 0; i < count && !world.over; i++) {
        const struct op *op = clients.ops[i];
        for (; next < count && ended[next]->end_us < op->begin_us; next++) {
            if (history_tells(ended[next]) &&
                (newest == NULL || ended[next]->index > newest->index) &&
                !(ended[next]->type == OP_READ && ended[next]->mode == READ_STALE)) {
                newest = ended[next];
            }
        }
        if (newest == NULL || !history_tells(op) ||
            (op->type == OP_READ && op->mode == READ_STALE)) {
            continue;
        }
        if (op->index < newest->index || (op->type != OP_READ && op->index == newest->index)) {
            world_violate("op %llu (%s, at %llu) began after the end of op %llu (at %llu)",
                          (unsigned long long)op->number, op->type == OP_READ ? "read" : "write",
                          (unsigned long long)op->index, (unsigned long long)newest->number,
                          (unsigned long long)newest->index);
        }
    }
    free((void *)ended);
}

void check_history(void)
{
    check_progress();
    if (world.over) {
        return;
    }
    if (model_last() < truth.last) {
        world_violate("entry %llu was never seen, though later ones were",
                      (unsigned long long)model_last() + 1);
    }
    if (truth.claim_count > 0) {
        world_violate("server %u has a state at %llu that the log does not reach",
                      truth.claims[0].server, (unsigned long long)truth.claims[0].through);
    }
    for (size_t i = 0; i < clients.count && !world.over; i++) {
        if (clients.ops[i]->type == OP_READ) {
            judge_read(clients.ops[i]);
        } else {
            judge_write(clients.ops[i]);
        }
    }
    history_order();
}

/* --- life ------------------------------------------------------------------------------------ */

void check_open(void)
{
    memset(&truth, 0, sizeof truth);
    model_open();
}

void check_close(void)
{
    for (uint64_t i = 0; i < truth.cap; i++) {
        free(truth.facts[i].command);
    }
    free(truth.facts);
    free(truth.claims);
    memset(&truth, 0, sizeof truth);
    model_close();
}
