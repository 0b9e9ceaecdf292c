#include "tests/sim/check.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "store/state.h"
#include "tests/sim/client.h"
#include "tests/sim/follower.h"
#include "tests/sim/model.h"
#include "tests/sim/server.h"

#include <stdlib.h>
#include <string.h>

/* An entry that some server has applied. */
struct fact {
    uint64_t digest; /* 0: not known yet */
    unsigned server; /* who applied it first */
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
} truth;

struct check_counts check_counts;

/* --- the truth ------------------------------------------------------------------------------- */

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

/* `command` has no bytes for an entry that is none. */
static void truth_take(const struct server *s, uint64_t index, struct bytes command)
{
    struct fact *f = truth_fact(index);
    uint64_t digest = bytes_hash(command) | 1;
    check_counts.entries++;
    if (f->digest == 0) {
        *f = (struct fact){.digest = digest, .server = s->number};
        if (command.len > 0) {
            f->command = mem_dup(command.ptr, command.len);
            f->len = command.len;
        }
        truth.last = index > truth.last ? index : truth.last;
        truth_feed_model();
    } else if (f->digest != digest) {
        world_violate("entry %llu: server %u applies another one than server %u",
                      (unsigned long long)index, s->number, f->server);
    }
}

/* What the store calls in the place of state_apply() and state_skip(): the linker's --wrap. */
enum err applied_truly(struct state *s,
                       uint64_t index,
                       struct bytes command,
                       struct collect *out,
                       struct apply_reply *ret_reply,
                       struct reason *why) __asm__("__real_state_apply");
enum err applied_watched(struct state *s,
                         uint64_t index,
                         struct bytes command,
                         struct collect *out,
                         struct apply_reply *ret_reply,
                         struct reason *why) __asm__("__wrap_state_apply");
enum err
skipped_truly(struct state *s, uint64_t index, struct reason *why) __asm__("__real_state_skip");
enum err
skipped_watched(struct state *s, uint64_t index, struct reason *why) __asm__("__wrap_state_skip");

enum err applied_watched(struct state *s,
                         uint64_t index,
                         struct bytes command,
                         struct collect *out,
                         struct apply_reply *ret_reply,
                         struct reason *why)
{
    size_t before = out->count;
    enum err e = applied_truly(s, index, command, out, ret_reply, why);
    if (e == OK) {
        followers_on_applied(index, out, before);
        truth_take(server_of(process_here()), index, command);
    }
    return e;
}

enum err skipped_watched(struct state *s, uint64_t index, struct reason *why)
{
    static const struct collect nothing;
    enum err e = skipped_truly(s, index, why);
    if (e == OK) {
        followers_on_applied(index, &nothing, 0);
        truth_take(server_of(process_here()), index, (struct bytes){.ptr = ""});
    }
    return e;
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
    claim_add(c);
    claims_check();
}

void check_opened(struct server *s)
{
    struct view *v = store_reader_view(&s->reader);
    claim_add((struct claim){
        .after = view_index(v),
        .through = view_index(v),
        .state = model_digest_view(v),
        .server = s->number,
    });
    claims_check();
}

void check_progress(void)
{
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
    if (op->index < op->sent) {
        world_violate("op %llu read at %llu, though its client had sent %llu",
                      (unsigned long long)op->number, (unsigned long long)op->index,
                      (unsigned long long)op->sent);
    }
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

/* A read that is not consistent may be older than what others know already. */
static bool history_counts(const struct op *op)
{
    return op->type != OP_READ || op->mode == READ_CONSISTENT;
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
                history_counts(ended[next])) {
                newest = ended[next];
            }
        }
        if (newest == NULL || !history_tells(op)) {
            continue;
        }
        if (!history_counts(op)) {
            check_counts.stale += op->index < newest->index;
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
    if (!world.over && !clients.prefixes) {
        check_linear();
    }
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
