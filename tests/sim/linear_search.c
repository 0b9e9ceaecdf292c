/* Wing and Gong's search with Lowe's memory: take any operation that nobody's end forbids to be
 * next, apply it, go on; where nothing fits, undo the last one and try another. What was tried is
 * remembered as (set of operations done, state) and not tried again; the memory holds 128 bits of
 * hash for each, so that a wrong match is out of the question in practice.
 *
 * What may not have happened has no end, need not be taken, and is tried last. It would multiply
 * the orders without end; so it is taken only directly before an operation that needs it: where the
 * next one is possible without it and comes to the same, it could as well not have happened, and
 * where the next one changes nothing, it could as well happen later. And of those that are all
 * alike, the first comes first. Indexes that are not known are chosen: one that somebody read or
 * named, if it fits, or one that nobody did. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "tests/sim/linear_priv.h"

#include <stdlib.h>
#include <string.h>

#define NONE   UINT32_MAX
/* An index that nobody names. */
#define UNSEEN UINT64_MAX
/* Two values read at one index: no write can have it. */
#define TAKEN  UINT32_MAX

/* An index that is named in the history, and the value that was read there (0: only named). */
struct search_index {
    uint64_t index;
    uint32_t value;
};

/* The starts and ends of what is certain, in the order of time, as a ring around slot 0. */
struct search_event {
    uint64_t time;
    uint32_t op;
    uint32_t next;
    uint32_t prev;
    bool end;
};

struct search_hash {
    uint64_t a;
    uint64_t b;
};

/* Where the search stands in its choice of the next operation. */
struct search_cursor {
    uint32_t event; /* among the certain; 0: past them */
    uint32_t maybe; /* then among these */
    uint32_t choice;
};

/* Those of a kind (but 0) can stand for each other: deletions, and sets that nobody read. */
struct search_maybe {
    uint32_t op;
    unsigned kind;
};

struct search_frame {
    struct search_cursor at;
    struct linear_state state; /* before it */
    uint32_t op;
};

struct search {
    const struct linear_key *key;
    struct search_event *events;
    uint32_t *start_event; /* of each certain operation */
    uint32_t *end_event;
    struct search_maybe *maybe; /* by start */
    uint32_t maybe_count;
    bool *done;
    uint32_t *known; /* certain writes whose index is known, by index */
    uint32_t known_count;
    uint32_t known_done;
    struct search_index *by_index;
    struct search_index *by_value;
    size_t named;
    size_t certain;
    size_t certain_done;
    struct search_frame *frames;
    size_t depth;
    struct linear_state state;
    struct search_hash set;
    struct search_hash *memory; /* open addressing; 0, 0: free */
    size_t memory_count;
    size_t memory_cap;
    uint64_t steps;
    uint64_t steps_max;
    /* the furthest that it came */
    size_t best;
    struct linear_state best_state;
    bool *best_done;
};

/* --- preparation ----------------------------------------------------------------------------- */

static int search_compare_events(const void *x, const void *y)
{
    const struct search_event *a = x;
    const struct search_event *b = y;
    if (a->time != b->time) {
        return a->time < b->time ? -1 : 1;
    }
    /* Who ends when another starts is simultaneous with it. */
    if (a->end != b->end) {
        return a->end ? 1 : -1;
    }
    return a->op < b->op ? -1 : a->op > b->op;
}

static void search_init_events(struct search *s)
{
    const struct linear_key *k = s->key;
    s->events = mem_zalloc(2 * k->count + 1, sizeof(*s->events));
    uint32_t count = 1;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct linear_op *op = &k->ops[i];
        if (!op->maybe) {
            s->events[count++] = (struct search_event){.time = op->start, .op = i};
            s->events[count++] = (struct search_event){.time = op->end, .op = i, .end = true};
        }
    }
    qsort(s->events + 1, count - 1, sizeof(*s->events), search_compare_events);
    for (uint32_t i = 0; i < count; i++) {
        struct search_event *e = &s->events[i];
        e->prev = i == 0 ? count - 1 : i - 1;
        e->next = i + 1 == count ? 0 : i + 1;
        if (i > 0) {
            *(e->end ? &s->end_event[e->op] : &s->start_event[e->op]) = i;
        }
    }
}

static int search_compare_indexes(const void *x, const void *y)
{
    const struct search_index *a = x;
    const struct search_index *b = y;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int search_compare_values(const void *x, const void *y)
{
    const struct search_index *a = x;
    const struct search_index *b = y;
    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return search_compare_indexes(x, y);
}

static void search_init_named(struct search *s)
{
    const struct linear_key *k = s->key;
    struct search_index *named = mem_zalloc(2 * k->count + 1, sizeof(*named));
    size_t count = 0;
    for (size_t i = 0; i < k->count; i++) {
        const struct linear_op *op = &k->ops[i];
        if (op->index != 0) {
            /* A known write's index is nobody else's. */
            uint32_t value = op->kind == HISTORY_GET ? op->read : TAKEN;
            named[count++] = (struct search_index){.index = op->index, .value = value};
        }
        if (op->cas != 0) {
            named[count++] = (struct search_index){.index = op->cas};
        }
    }
    qsort(named, count, sizeof(*named), search_compare_indexes);
    for (size_t i = 0; i < count; i++) {
        struct search_index *last = s->named == 0 ? NULL : &named[s->named - 1];
        if (last == NULL || last->index != named[i].index) {
            named[s->named++] = named[i];
        } else if (last->value == 0) {
            last->value = named[i].value;
        } else if (named[i].value != 0 && named[i].value != last->value) {
            last->value = TAKEN;
        }
    }
    s->by_index = named;
    s->by_value = mem_zalloc(s->named + 1, sizeof(*named));
    memcpy(s->by_value, named, s->named * sizeof(*named));
    qsort(s->by_value, s->named, sizeof(*named), search_compare_values);
}

static int search_compare_known(const void *x, const void *y, void *ctx)
{
    const struct linear_key *k = *(const struct linear_key *const *)ctx;
    uint64_t a = k->ops[*(const uint32_t *)x].index;
    uint64_t b = k->ops[*(const uint32_t *)y].index;
    return a < b ? -1 : a > b;
}

/* First of `list` that is not below (value, index). */
static size_t search_lower(const struct search *s, uint32_t value, uint64_t index)
{
    struct search_index wanted = {.index = index, .value = value};
    size_t low = 0;
    size_t high = s->named;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (search_compare_values(&s->by_value[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Somebody read this value. */
static bool search_was_read(const struct linear_key *k, uint32_t value)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->ops[i].read == value) {
            return true;
        }
    }
    return false;
}

/* Nobody's answer can depend on a set whose value nobody read: no condition failed, each that was
 * named is an index at which something else was written or read, and no write can have changed
 * nothing but for it. */
static bool search_conditions_blind(const struct search *s)
{
    const struct linear_key *k = s->key;
    if (!k->values_unique) {
        return false;
    }
    for (size_t i = 0; i < k->count; i++) {
        if (k->ops[i].outcome == HISTORY_FAILED) {
            return false;
        }
    }
    return s->named == 0 || s->by_value[0].value != 0;
}

static void search_init_maybe(struct search *s)
{
    const struct linear_key *k = s->key;
    bool blind = search_conditions_blind(s);
    for (uint32_t i = 0; i < k->count; i++) {
        const struct linear_op *op = &k->ops[i];
        bool read = op->value == 0 || search_was_read(k, op->value);
        if (!op->maybe || (blind && !read)) {
            continue;
        }
        struct search_maybe *m = &s->maybe[s->maybe_count++];
        *m = (struct search_maybe){.op = i};
        if (op->kind == HISTORY_DELETE) {
            m->kind = 1;
        } else if (op->kind == HISTORY_SET && !read && k->values_unique) {
            m->kind = 2;
        }
    }
}

static void search_init(struct search *s, const struct linear_key *k, uint64_t steps_max)
{
    *s = (struct search){.key = k, .steps_max = steps_max};
    size_t count = k->count + 1;
    s->start_event = mem_zalloc(count, sizeof(*s->start_event));
    s->end_event = mem_zalloc(count, sizeof(*s->end_event));
    s->maybe = mem_zalloc(count, sizeof(*s->maybe));
    s->known = mem_zalloc(count, sizeof(*s->known));
    s->done = mem_zalloc(count, sizeof(*s->done));
    s->best_done = mem_zalloc(count, sizeof(*s->best_done));
    s->frames = mem_zalloc(count, sizeof(*s->frames));
    s->memory_cap = 1024;
    s->memory = mem_zalloc(s->memory_cap, sizeof(*s->memory));
    for (uint32_t i = 0; i < k->count; i++) {
        s->certain += !k->ops[i].maybe;
        if (k->ops[i].kind != HISTORY_GET && k->ops[i].index != 0) {
            s->known[s->known_count++] = i;
        }
    }
    qsort_r(s->known, s->known_count, sizeof(*s->known), search_compare_known, &k);
    search_init_events(s);
    search_init_named(s);
    search_init_maybe(s);
}

static void search_close(struct search *s)
{
    free(s->events);
    free(s->start_event);
    free(s->end_event);
    free(s->maybe);
    free(s->known);
    free(s->done);
    free(s->best_done);
    free(s->frames);
    free(s->memory);
    free(s->by_index);
    free(s->by_value);
}

/* --- memory ---------------------------------------------------------------------------------- */

static uint64_t search_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/* Its own inverse: adds an operation to the set, or takes it away. */
static void search_flip(struct search *s, uint32_t op)
{
    s->set.a ^= search_mix(2 * (uint64_t)op + 1);
    s->set.b ^= search_mix(~(2 * (uint64_t)op + 1));
}

static struct search_hash search_hash_now(const struct search *s)
{
    const struct linear_state *st = &s->state;
    uint64_t a = search_mix(s->set.a ^ search_mix(st->value));
    uint64_t b = search_mix(s->set.b + search_mix(st->floor));
    a = search_mix(a ^ search_mix(st->index) ^ b);
    b = search_mix(b + search_mix(st->index + st->value) + a);
    return (struct search_hash){.a = a, .b = b | 1};
}

static bool search_memory_put(struct search_hash *memory, size_t cap, struct search_hash h)
{
    size_t mask = cap - 1;
    for (size_t i = h.a & mask;; i = (i + 1) & mask) {
        if (memory[i].b == 0) {
            memory[i] = h;
            return true;
        }
        if (memory[i].a == h.a && memory[i].b == h.b) {
            return false;
        }
    }
}

/* False if it was here before. */
static bool search_remember(struct search *s)
{
    if (!search_memory_put(s->memory, s->memory_cap, search_hash_now(s))) {
        return false;
    }
    if (++s->memory_count * 2 > s->memory_cap) {
        size_t cap = s->memory_cap * 2;
        struct search_hash *bigger = mem_zalloc(cap, sizeof(*bigger));
        for (size_t i = 0; i < s->memory_cap; i++) {
            if (s->memory[i].b != 0) {
                (void)search_memory_put(bigger, cap, s->memory[i]);
            }
        }
        free(s->memory);
        s->memory = bigger;
        s->memory_cap = cap;
    }
    return true;
}

/* --- one step -------------------------------------------------------------------------------- */

/* The smallest index above the floor that nobody names. */
static uint64_t search_fresh(const struct search *s)
{
    uint64_t fresh = s->state.floor + 1;
    size_t low = 0;
    size_t high = s->named;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->by_index[middle].index < fresh) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while (low < s->named && s->by_index[low].index == fresh) {
        fresh++;
        low++;
    }
    return fresh;
}

/* The index of choice number `choice` for a write of `value`; UNSEEN is the last one. */
static uint64_t search_choose(const struct search *s, uint32_t value, uint32_t choice)
{
    uint64_t above = s->state.floor + 1;
    size_t read = search_lower(s, value, above);
    size_t read_end = search_lower(s, value, UINT64_MAX);
    if (choice < read_end - read) {
        return s->by_value[read + choice].index;
    }
    choice -= (uint32_t)(read_end - read);
    size_t named = search_lower(s, 0, above);
    size_t named_end = search_lower(s, 0, UINT64_MAX);
    return choice < named_end - named ? s->by_value[named + choice].index : UNSEEN;
}

/* The index that the next known write has: nobody may pass it. */
static uint64_t search_ceiling(const struct search *s)
{
    return s->known_done == s->known_count ? UINT64_MAX
                                           : s->key->ops[s->known[s->known_done]].index;
}

/* Applies choice `choice` of `op`. `ret_more` if there is another choice after it. */
static bool search_apply(struct search *s, uint32_t number, uint32_t choice, bool *ret_more)
{
    const struct linear_op *op = &s->key->ops[number];
    *ret_more = false;
    if (op->kind != HISTORY_GET && op->index != 0 && s->known[s->known_done] != number) {
        return false;
    }
    if (op->index != 0 || !linear_effective(op, &s->state)) {
        return linear_apply(op, &s->state, 0);
    }
    uint64_t index = op->value == 0 ? UNSEEN : search_choose(s, op->value, choice);
    *ret_more = index != UNSEEN;
    uint64_t at = index;
    if (index == UNSEEN) {
        at = op->value == 0 ? s->state.floor + 1 : search_fresh(s);
    }
    if (at >= search_ceiling(s) || !linear_apply(op, &s->state, at)) {
        return false;
    }
    if (index == UNSEEN && op->value != 0) {
        s->state.index = UNSEEN;
    }
    return true;
}

static void search_unlink(struct search *s, uint32_t event)
{
    struct search_event *e = &s->events[event];
    s->events[e->prev].next = e->next;
    s->events[e->next].prev = e->prev;
}

static void search_relink(struct search *s, uint32_t event)
{
    struct search_event *e = &s->events[event];
    s->events[e->prev].next = event;
    s->events[e->next].prev = event;
}

/* `op` becomes part of the set, or (on the way back, in the reverse order) leaves it. */
static void search_take(struct search *s, uint32_t op, bool take)
{
    const struct linear_op *o = &s->key->ops[op];
    search_flip(s, op);
    s->done[op] = take;
    if (o->kind != HISTORY_GET && o->index != 0) {
        s->known_done += take ? 1 : UINT32_MAX;
    }
    if (o->maybe) {
        return;
    }
    s->certain_done += take ? 1 : SIZE_MAX;
    if (take) {
        search_unlink(s, s->start_event[op]);
        search_unlink(s, s->end_event[op]);
    } else {
        search_relink(s, s->end_event[op]);
        search_relink(s, s->start_event[op]);
    }
}

/* --- the search ------------------------------------------------------------------------------ */

/* Of its kind, none before it is left. */
static bool search_is_first(const struct search *s, uint32_t maybe)
{
    unsigned kind = s->maybe[maybe].kind;
    for (uint32_t i = 0; kind != 0 && i < maybe; i++) {
        if (s->maybe[i].kind == kind && !s->done[s->maybe[i].op]) {
            return false;
        }
    }
    return true;
}

static bool search_same(const struct linear_state *a, const struct linear_state *b)
{
    return a->value == b->value && a->index == b->index;
}

/* `op` made `s->state` of `before`. Could those that may not have happened and stand directly
 * before it, from `f` on, as well not be there, or come later? */
static bool search_could_skip(const struct search *s,
                              const struct search_frame *f,
                              const struct linear_op *op,
                              const struct linear_state *before)
{
    const struct linear_state *now = &s->state;
    if (op->maybe && search_same(now, &f->state)) {
        return true; /* it undid them, and need not have happened either */
    }
    struct linear_state without = f->state;
    if (!linear_apply(op, &without, now->floor)) {
        return false;
    }
    if (op->index == 0 && now->index == UNSEEN && without.value == now->value &&
        without.index == now->floor) {
        without.index = UNSEEN;
    }
    bool changes = !search_same(now, before);
    bool changes_without = !search_same(&without, &f->state);
    if (changes || changes_without) {
        return search_same(now, &without);
    }
    /* An index that is known may leave no room for them behind it. */
    return op->kind == HISTORY_GET || op->index == 0;
}

/* What was taken directly before `op` and need not have happened is needed by it. */
static bool search_is_needed(const struct search *s,
                             const struct linear_op *op,
                             const struct linear_state *before)
{
    for (size_t i = s->depth; i > 0 && s->key->ops[s->frames[i - 1].op].maybe; i--) {
        if (search_could_skip(s, &s->frames[i - 1], op, before)) {
            return false;
        }
    }
    return true;
}

/* Who is at the cursor; NONE: nobody is left. Nobody may come after the first end that is still to
 * come. */
static uint32_t search_candidate(const struct search *s, struct search_cursor *c)
{
    if (c->event != 0 && !s->events[c->event].end) {
        return s->events[c->event].op;
    }
    uint64_t first_end = UINT64_MAX;
    if (c->event != 0) {
        first_end = s->events[c->event].time;
    }
    for (; c->maybe < s->maybe_count; c->maybe++) {
        uint32_t op = s->maybe[c->maybe].op;
        if (s->key->ops[op].start > first_end) {
            return NONE;
        }
        if (!s->done[op] && search_is_first(s, c->maybe)) {
            return op;
        }
    }
    return NONE;
}

static void search_advance(const struct search *s, struct search_cursor *c, bool more)
{
    if (more) {
        c->choice++;
        return;
    }
    c->choice = 0;
    if (c->event != 0 && !s->events[c->event].end) {
        c->event = s->events[c->event].next;
    } else {
        c->maybe++;
    }
}

static void search_note_best(struct search *s)
{
    if (s->certain_done >= s->best) {
        s->best = s->certain_done;
        s->best_state = s->state;
        memcpy(s->best_done, s->done, s->key->count * sizeof(*s->done));
    }
}

/* Undoes the last one; the cursor moves to the next try in its place. False if there is none. */
static bool search_back(struct search *s, struct search_cursor *c)
{
    if (s->depth == 0) {
        return false;
    }
    struct search_frame *f = &s->frames[--s->depth];
    search_take(s, f->op, false);
    s->state = f->state;
    *c = f->at;
    return true;
}

static enum linear_verdict search_run(struct search *s)
{
    struct search_cursor c = {.event = s->events[0].next};
    while (s->certain_done < s->certain) {
        uint32_t op = search_candidate(s, &c);
        if (op == NONE) {
            search_note_best(s);
            if (!search_back(s, &c)) {
                return LINEAR_VIOLATION;
            }
            continue;
        }
        if (++s->steps > s->steps_max) {
            return LINEAR_UNDECIDED;
        }
        struct linear_state before = s->state;
        bool more;
        bool fits = search_apply(s, op, c.choice, &more);
        search_advance(s, &c, more);
        if (!fits || !search_is_needed(s, &s->key->ops[op], &before)) {
            s->state = before;
            continue;
        }
        s->frames[s->depth++] = (struct search_frame){.at = c, .state = before, .op = op};
        search_take(s, op, true);
        /* What may follow something that need not have happened depends on what was before it. */
        if (s->key->ops[op].maybe || search_remember(s)) {
            c = (struct search_cursor){.event = s->events[0].next};
        } else {
            bool back = search_back(s, &c);
            CHECK(back);
        }
    }
    return LINEAR_OK;
}

/* --- what it says ---------------------------------------------------------------------------- */

#define SAY_STUCK_MAX 16U

/* Those that had to be next where it came furthest, and none of which can be. */
static void search_say_stuck(const struct search *s, struct buf *out)
{
    const struct linear_key *k = s->key;
    const struct linear_op *first = NULL;
    for (size_t i = 0; i < k->count; i++) {
        const struct linear_op *op = &k->ops[i];
        if (!s->best_done[i] && !op->maybe && (first == NULL || op->end < first->end)) {
            first = op;
        }
    }
    CHECK(first != NULL);
    linear_say(out, "no order explains it. %zu of %zu can be, with ", s->best, s->certain);
    linear_say_state(out, k->history, &s->best_state);
    linear_say(out, "; one of these had to be next, and none can:\n");
    size_t said = 0;
    for (size_t i = 0; i < k->count && said < SAY_STUCK_MAX; i++) {
        const struct linear_op *op = &k->ops[i];
        if (!s->best_done[i] && op->start <= first->end) {
            linear_say_op(out, k->history, op, op->maybe ? "?" : ">");
            said++;
        }
    }
    linear_say_around(out, k, first);
}

enum linear_verdict
linear_search(const struct linear_key *k, uint64_t steps_max, struct buf *out, uint64_t *ret_steps)
{
    struct search s;
    search_init(&s, k, steps_max);
    enum linear_verdict v = search_run(&s);
    if (v == LINEAR_VIOLATION) {
        search_say_stuck(&s, out);
    } else if (v == LINEAR_UNDECIDED) {
        linear_say(out,
                   "not decided after %lu steps; %zu writes of unknown fate, at most %zu of %zu "
                   "operations explained\n",
                   s.steps - 1, k->maybe, s.best, s.certain);
    }
    *ret_steps = s.steps;
    search_close(&s);
    return v;
}
