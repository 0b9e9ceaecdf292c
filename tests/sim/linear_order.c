/* Where the log's order of the writes is known, only the moments are left to be found. The writes
 * in order are the steps 1..n; slot k is the time between step k and step k + 1, when the state is
 * what step k left. Everything else (reads, refused conditions) must find a slot that fits both
 * its answer and its time.
 *
 * `at[k]` is the earliest moment at which step k can be, from its own start, the step before it,
 * and those that must be done in an earlier slot. Each of the others takes the last slot that fits
 * its answer and begins before it ends: that one delays the steps behind it the least. Delays can
 * push a slot past somebody's end, who then takes an earlier one and pushes more; since moments
 * only rise and slots only fall, this ends, and with the least moments that are possible at all.
 * If even these do not fit, none do. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "tests/sim/linear_priv.h"

#include <stdlib.h>

#define NO_SLOT SIZE_MAX

struct order_slot {
    uint64_t at;
    uint64_t push; /* no earlier than this... */
    size_t pusher; /* ...because of this operation; NO_SLOT: none */
    size_t op;     /* the step; NO_SLOT for slot 0 */
    struct linear_state state;
    size_t version;   /* first slot with this state */
    size_t last_live; /* at or before this one; NO_SLOT: none */
    size_t last_missing;
};

struct order {
    const struct linear_key *key;
    size_t count; /* slots, slot 0 included */
    struct order_slot *slots;
    struct buf *out;
};

static bool order_is_step(const struct linear_op *op)
{
    return op->kind != HISTORY_GET && op->index != 0;
}

bool linear_order_applies(const struct linear_key *k)
{
    for (size_t i = 0; i < k->count; i++) {
        const struct linear_op *op = &k->ops[i];
        bool read = op->kind == HISTORY_GET;
        if (read ? op->read != 0 && op->index == 0
                 : op->index == 0 && !op->maybe && op->outcome != HISTORY_FAILED) {
            return false;
        }
    }
    return true;
}

/* --- the steps ------------------------------------------------------------------------------- */

static int order_by_index(const void *x, const void *y, void *ctx)
{
    const struct linear_key *k = *(const struct linear_key *const *)ctx;
    uint64_t a = k->ops[((const struct order_slot *)x)->op].index;
    uint64_t b = k->ops[((const struct order_slot *)y)->op].index;
    return a < b ? -1 : a > b;
}

static void order_init(struct order *o, const struct linear_key *k, struct buf *out)
{
    *o = (struct order){.key = k, .count = 1, .out = out};
    o->slots = mem_zalloc(k->count + 1, sizeof(*o->slots));
    o->slots[0].op = NO_SLOT;
    for (size_t i = 0; i < k->count; i++) {
        if (order_is_step(&k->ops[i])) {
            o->slots[o->count++].op = i;
        }
    }
    qsort_r(o->slots + 1, o->count - 1, sizeof(*o->slots), order_by_index, &k);
    for (size_t i = 0; i < o->count; i++) {
        o->slots[i].pusher = NO_SLOT;
    }
}

static const struct linear_op *order_op(const struct order *o, size_t slot)
{
    return &o->key->ops[o->slots[slot].op];
}

static void order_say_wrong_step(const struct order *o, size_t slot)
{
    const struct linear_op *op = order_op(o, slot);
    const struct linear_op *before = slot > 1 ? order_op(o, slot - 1) : NULL;
    if (before != NULL && before->index == op->index) {
        linear_say(o->out, "two writes have the index %lu:\n", op->index);
        linear_say_op(o->out, o->key->history, before, " ");
    } else {
        linear_say(o->out, "a write was answered otherwise than the log makes it; before it was ");
        linear_say_state(o->out, o->key->history, &o->slots[slot - 1].state);
        linear_say(o->out, ":\n");
        for (size_t i = slot > 4 ? slot - 4 : 1; i < slot; i++) {
            linear_say_op(o->out, o->key->history, order_op(o, i), " ");
        }
    }
    linear_say_op(o->out, o->key->history, op, ">");
}

/* What each step leaves. */
static bool order_replay(struct order *o)
{
    o->slots[0].last_live = NO_SLOT;
    for (size_t i = 1; i < o->count; i++) {
        struct order_slot *s = &o->slots[i];
        const struct order_slot *before = s - 1;
        *s = (struct order_slot){
            .op = s->op,
            .pusher = NO_SLOT,
            .state = before->state,
            .version = before->version,
            .last_live = before->last_live,
            .last_missing = before->last_missing,
        };
        if (!linear_apply(order_op(o, i), &s->state, 0)) {
            order_say_wrong_step(o, i);
            return false;
        }
        if (s->state.value != before->state.value || s->state.index != before->state.index) {
            s->version = i;
        }
        if (s->state.value == 0) {
            s->last_missing = i;
        } else {
            s->last_live = i;
        }
    }
    return true;
}

/* --- the others ------------------------------------------------------------------------------ */

/* The slot whose step is the last one at or before `index`. */
static size_t order_slot_of_index(const struct order *o, uint64_t index)
{
    size_t low = 0;
    size_t high = o->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (order_op(o, middle)->index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The last slot at or before `slot` whose state is the read one. */
static size_t order_match_read(const struct order *o, const struct linear_op *op, size_t slot)
{
    if (op->read == 0) {
        return o->slots[slot].last_missing;
    }
    size_t first = order_slot_of_index(o, op->index);
    const struct linear_state *state = &o->slots[first].state;
    if (state->value != op->read || state->index != op->index || slot < first) {
        return NO_SLOT;
    }
    /* The version ends where the next one begins; in between, steps changed nothing. */
    size_t low = first;
    size_t high = slot + 1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (o->slots[middle].version == o->slots[first].version) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The last slot at or before `slot` in which a condition does not hold. */
static size_t order_match_failed(const struct order *o, const struct linear_op *op, size_t slot)
{
    bool live_only = op->kind == HISTORY_DELETE_CAS || op->cas == 0;
    if (live_only) {
        slot = o->slots[slot].last_live;
    }
    if (slot == NO_SLOT || op->cas == 0 || o->slots[slot].state.value == 0 ||
        o->slots[slot].state.index != op->cas) {
        return slot;
    }
    size_t version = o->slots[slot].version;
    CHECK(version > 0);
    return live_only ? o->slots[version - 1].last_live : version - 1;
}

static size_t order_match(const struct order *o, const struct linear_op *op, size_t slot)
{
    return op->kind == HISTORY_GET ? order_match_read(o, op, slot)
                                   : order_match_failed(o, op, slot);
}

/* --- the moments ----------------------------------------------------------------------------- */

/* `late` must be before `op` and began after its end. */
static void order_say_late(const struct order *o, size_t late, const struct linear_op *op)
{
    const struct linear_op *why = &o->key->ops[late];
    linear_say(o->out, order_is_step(why)
                           ? "the log has the first of these before the second, but the "
                             "second had been answered before the first began:\n"
                           : "the first of these saw what the second had replaced before "
                             "the first began:\n");
    linear_say_op(o->out, o->key->history, why, ">");
    linear_say_op(o->out, o->key->history, op, ">");
    linear_say_around(o->out, o->key, why);
}

static bool order_place_steps(struct order *o)
{
    uint64_t at = 0;
    size_t why = NO_SLOT;
    for (size_t i = 1; i < o->count; i++) {
        struct order_slot *s = &o->slots[i];
        const struct linear_op *op = order_op(o, i);
        if (s->push > at) {
            at = s->push;
            why = s->pusher;
        }
        if (op->start > at) {
            at = op->start;
            why = s->op;
        }
        s->at = at;
        if (at > op->end) {
            order_say_late(o, why, op);
            return false;
        }
    }
    return true;
}

/* The last slot that can begin at or before `time`. */
static size_t order_slot_at(const struct order *o, uint64_t time)
{
    size_t low = 0;
    size_t high = o->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (o->slots[middle].at <= time) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void order_say_no_slot(const struct order *o, const struct linear_op *op, size_t slot)
{
    linear_say(o->out, "this was never true up to its end; the state then was ");
    linear_say_state(o->out, o->key->history, &o->slots[slot].state);
    linear_say(o->out, ":\n");
    linear_say_op(o->out, o->key->history, op, ">");
    linear_say(o->out, "the log up to there:%s\n", slot == 0 ? " nothing" : "");
    for (size_t i = slot > 4 ? slot - 4 : 1; i <= slot; i++) {
        linear_say_op(o->out, o->key->history, order_op(o, i), " ");
    }
    linear_say_around(o->out, o->key, op);
}

/* Finds everybody else's slot. False if somebody has none; `ret_moved` if a step must be later. */
static bool order_place_others(struct order *o, bool *ret_moved)
{
    *ret_moved = false;
    for (size_t i = 0; i < o->key->count; i++) {
        const struct linear_op *op = &o->key->ops[i];
        if (op->maybe || order_is_step(op)) {
            continue;
        }
        size_t until = order_slot_at(o, op->end);
        size_t slot = order_match(o, op, until);
        if (slot == NO_SLOT) {
            order_say_no_slot(o, op, until);
            return false;
        }
        if (slot + 1 < o->count && o->slots[slot + 1].push < op->start) {
            o->slots[slot + 1].push = op->start;
            o->slots[slot + 1].pusher = i;
            *ret_moved = *ret_moved || o->slots[slot + 1].at < op->start;
        }
    }
    return true;
}

enum linear_verdict linear_order(const struct linear_key *k, struct buf *out)
{
    struct order o;
    order_init(&o, k, out);
    bool well = order_replay(&o);
    bool moved = true;
    while (well && moved) {
        well = order_place_steps(&o) && order_place_others(&o, &moved);
    }
    free(o.slots);
    return well ? LINEAR_OK : LINEAR_VIOLATION;
}
