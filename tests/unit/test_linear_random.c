/* The linearizability checker against the dumbest one: every order of a tiny history, every choice
 * of what is unknown, on a model written anew here. Histories come from a real sequential store
 * whose clients overlap (these must be fine), from such ones with a lie told (mostly not), and from
 * dice alone. Then long ones, which must be fine, and are not after a lie that cannot be.
 * HERALD_SEED=<n> replays one, HERALD_SEEDS=<n> tries so many. */
#include "tests/sim/linear.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_DEFAULT 6000U
#define TINY_MAX      7U
#define LONG_OPS      3000U
#define LONG_SEEDS    40U
#define CLIENTS_MAX   8U
#define KEYS_MAX      3U
#define ZOMBIES_MAX   4U

static uint64_t seed;
static uint64_t dice;

static uint64_t roll(uint64_t limit)
{
    /* xorshift64*, never 0. */
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return (dice * 0x2545f4914f6cdd1dU >> 20) % limit;
}

static bool chance(unsigned percent)
{
    return roll(100) < percent;
}

static void seed_dice(uint64_t number)
{
    seed = number;
    dice = number * 0x9e3779b97f4a7c15U + 88172645463325252U;
    for (int i = 0; i < 8; i++) {
        (void)roll(2);
    }
}

/* --- every order ----------------------------------------------------------------------------- */

struct cell {
    uint32_t value; /* 0: missing */
    uint64_t index;
    uint64_t last; /* raft index used up */
};

static uint64_t highest; /* index worth trying */

static bool brute(const struct history *h, unsigned done, struct cell c);

static bool changes(const struct history_op *op, const struct cell *c, bool *ret_holds)
{
    bool there = c->value != 0;
    switch (op->kind) {
    case HISTORY_SET:
        *ret_holds = true;
        return c->value != op->value;
    case HISTORY_CAS:
        *ret_holds = op->cas == 0 ? !there : there && c->index == op->cas;
        return *ret_holds && c->value != op->value;
    case HISTORY_DELETE:
        *ret_holds = true;
        return there;
    case HISTORY_DELETE_CAS:
        *ret_holds = !there || c->index == op->cas;
        return *ret_holds && there;
    case HISTORY_GET:
        break;
    }
    *ret_holds = true;
    return false;
}

/* All that can follow if `op` is next. */
static bool
brute_write(const struct history *h, const struct history_op *op, unsigned done, struct cell c)
{
    bool holds;
    bool changed = changes(op, &c, &holds);
    if ((op->outcome == HISTORY_OK && !holds) || (op->outcome == HISTORY_FAILED && holds)) {
        return false;
    }
    if (!changed) {
        if (op->index != 0 && op->index <= c.last) {
            return false;
        }
        c.last = op->index != 0 ? op->index : c.last;
        return brute(h, done, c);
    }
    uint64_t from = op->index != 0 ? op->index : c.last + 1;
    uint64_t to = op->index != 0 ? op->index : highest;
    for (uint64_t i = from; i <= to; i++) {
        struct cell next = {.value = op->value, .index = op->value == 0 ? 0 : i, .last = i};
        if (i > c.last && brute(h, done, next)) {
            return true;
        }
    }
    return false;
}

static bool certain(const struct history_op *op)
{
    return op->outcome != HISTORY_REFUSED && (op->outcome != HISTORY_UNKNOWN || op->index != 0);
}

/* Whether the rest, those not in the set `done`, can follow `c`. */
static bool brute(const struct history *h, unsigned done, struct cell c)
{
    uint64_t first_end = UINT64_MAX;
    bool rest = false;
    for (size_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        if ((done >> i & 1) == 0 && certain(op)) {
            rest = true;
            uint64_t end = op->outcome == HISTORY_UNKNOWN ? UINT64_MAX : op->end;
            first_end = end < first_end ? end : first_end;
        }
    }
    if (!rest) {
        return true;
    }
    for (size_t i = 0; i < h->count; i++) {
        const struct history_op *op = &h->ops[i];
        unsigned with = done | 1U << i;
        if (with == done || op->start > first_end || op->outcome == HISTORY_REFUSED) {
            continue;
        }
        if (op->kind != HISTORY_GET) {
            if (brute_write(h, op, with, c)) {
                return true;
            }
        } else if (op->read == c.value &&
                   (op->read == 0 || op->index == 0 || op->index == c.index) && brute(h, with, c)) {
            return true;
        }
    }
    return false;
}

static bool brute_says_fine(const struct history *h)
{
    highest = 1;
    for (size_t i = 0; i < h->count; i++) {
        highest = h->ops[i].index > highest ? h->ops[i].index : highest;
        highest = h->ops[i].cas > highest ? h->ops[i].cas : highest;
    }
    highest += h->count + 1;
    return brute(h, 0, (struct cell){0});
}

/* --- a store with clients -------------------------------------------------------------------- */

struct client {
    bool busy;
    bool applied;
    uint32_t op;
    struct history_answer answer;
    char value[16];
};

struct store {
    struct history *h;
    struct client clients[CLIENTS_MAX];
    unsigned client_count;
    struct client zombies[ZOMBIES_MAX]; /* given up by their clients, and still on their way */
    unsigned zombie_count;
    unsigned keys;
    unsigned values;        /* 0: each its own */
    unsigned index_percent; /* of the writes whose index is told */
    unsigned unknown_percent;
    uint64_t time;
    uint64_t index;
    struct cell cells[KEYS_MAX];
    unsigned written;
};

static struct bytes key_name(unsigned key)
{
    static const char *const names[KEYS_MAX] = {"k", "l", "m"};
    return bytes_of(names[key]);
}

static void store_begin(struct store *s, unsigned number)
{
    struct client *c = &s->clients[number];
    unsigned key = (unsigned)roll(s->keys);
    static const enum history_kind kinds[] = {HISTORY_GET, HISTORY_GET,    HISTORY_GET,
                                              HISTORY_SET, HISTORY_SET,    HISTORY_CAS,
                                              HISTORY_CAS, HISTORY_DELETE, HISTORY_DELETE_CAS};
    uint64_t now = s->cells[key].index;
    uint64_t cas = chance(60) ? now : chance(30) ? 0 : roll(s->index + 2);
    *c = (struct client){.busy = true};
    snprintf(c->value, sizeof(c->value), "v%lu", s->values == 0 ? s->written : roll(s->values));
    s->written++;
    s->time += roll(2); /* some at the same moment */
    c->op = history_begin(s->h, &(struct history_call){.client = number,
                                                       .start = s->time,
                                                       .kind = kinds[roll(9)],
                                                       .key = key_name(key),
                                                       .value = bytes_of(c->value),
                                                       .cas = cas});
}

static struct cell *store_cell(struct store *s, uint32_t key)
{
    unsigned i = 0;
    while (!bytes_equal(history_text(s->h, key), key_name(i))) {
        i++;
    }
    return &s->cells[i];
}

static void store_apply(struct store *s, struct client *c)
{
    const struct history_op *op = &s->h->ops[c->op];
    struct cell *cell = store_cell(s, op->key);
    c->applied = true;
    if (op->kind == HISTORY_GET) {
        c->answer.found = cell->value != 0;
        c->answer.value = cell->value == 0 ? BYTES("") : history_text(s->h, cell->value);
        c->answer.index = chance(90) ? cell->index : 0;
        return;
    }
    bool holds;
    s->index += 1 + roll(2);
    if (changes(op, cell, &holds)) {
        *cell = (struct cell){.value = op->value, .index = op->value == 0 ? 0 : s->index};
    }
    c->answer.outcome = holds ? HISTORY_OK : HISTORY_FAILED;
    c->answer.index = chance(s->index_percent) ? s->index : 0;
}

static void store_end(struct store *s, struct client *c)
{
    s->time += roll(2);
    c->answer.end = s->time;
    if (c->applied && !chance(s->unknown_percent)) {
        history_end(s->h, c->op, &c->answer);
        c->busy = false;
    } else if (s->h->ops[c->op].kind != HISTORY_GET && chance(s->unknown_percent)) {
        struct history_answer unknown = {.end = s->time, .outcome = HISTORY_UNKNOWN};
        history_end(s->h, c->op, &unknown);
        if (c->applied) {
            history_learn(s->h, c->op, c->answer.index);
        } else if (chance(60) && s->zombie_count < ZOMBIES_MAX) {
            s->zombies[s->zombie_count++] = *c;
        }
        c->busy = false;
    }
}

/* What nobody waits for any more happens; somebody may read its index in the log. */
static void store_wake_zombie(struct store *s)
{
    if (s->zombie_count > 0) {
        struct client *z = &s->zombies[--s->zombie_count];
        store_apply(s, z);
        history_learn(s->h, z->op, z->answer.index);
    }
}

/* A history that some order explains, for it was made in one. */
static void make(struct store *s, size_t ops)
{
    size_t idle = 0;
    while (s->h->count < ops || idle < 4 * s->client_count) {
        unsigned number = (unsigned)roll(s->client_count);
        struct client *c = &s->clients[number];
        if (chance(5)) {
            store_wake_zombie(s);
        }
        if (!c->busy && s->h->count < ops) {
            store_begin(s, number);
        } else if (!c->busy) {
            idle++;
        } else if (!c->applied && chance(70)) {
            store_apply(s, c);
        } else {
            idle += s->h->count >= ops;
            store_end(s, c);
        }
    }
}

/* --- lies ------------------------------------------------------------------------------------ */

static void lie(struct history *h)
{
    struct history_op *op = &h->ops[roll(h->count)];
    struct history_op *other = &h->ops[roll(h->count)];
    bool get = op->kind == HISTORY_GET;
    bool conditional = op->kind == HISTORY_CAS || op->kind == HISTORY_DELETE_CAS;
    switch (roll(7)) {
    case 0:
        if (get && op->outcome == HISTORY_OK) {
            op->read = other->value != 0 ? other->value : other->read;
            op->index = op->read == 0 ? 0 : op->index;
        }
        break;
    case 1:
        if (op->index != 0) {
            op->index = op->index + 1 - 2 * roll(2);
        }
        break;
    case 2:
        if (conditional && op->outcome <= HISTORY_FAILED) {
            op->outcome = op->outcome == HISTORY_OK ? HISTORY_FAILED : HISTORY_OK;
        }
        break;
    case 3:
        if (op->end != HISTORY_NEVER) {
            uint64_t later = 1 + roll(5);
            op->start += later;
            op->end += later;
        }
        break;
    case 4:
        if (conditional) {
            op->cas = roll(6);
        }
        break;
    case 5:
        if (!get) {
            op->outcome = HISTORY_REFUSED;
            op->index = 0;
        }
        break;
    default:
        if (op->end != HISTORY_NEVER) {
            op->end = op->start + roll(3);
        }
        break;
    }
}

static void all_dice(struct history *h, size_t ops)
{
    for (size_t i = 0; i < ops; i++) {
        char value[8];
        snprintf(value, sizeof(value), "v%lu", roll(3));
        enum history_kind kind = (enum history_kind)roll(5);
        uint64_t start = roll(12);
        uint32_t op = history_begin(h, &(struct history_call){.client = (uint32_t)i,
                                                              .start = start,
                                                              .kind = kind,
                                                              .key = BYTES("k"),
                                                              .value = bytes_of(value),
                                                              .cas = roll(5)});
        bool found = chance(70);
        bool conditional = kind == HISTORY_CAS || kind == HISTORY_DELETE_CAS;
        snprintf(value, sizeof(value), "v%lu", roll(3));
        struct history_answer answer = {
            .end = start + roll(8),
            .outcome = conditional && chance(40)           ? HISTORY_FAILED
                       : kind != HISTORY_GET && chance(30) ? HISTORY_UNKNOWN
                                                           : HISTORY_OK,
            .found = found,
            .value = bytes_of(value),
            .index = chance(50) ? 1 + roll(6) : 0,
        };
        history_end(h, op, &answer);
    }
}

/* --- the tests ------------------------------------------------------------------------------- */

static struct linear_report report;

static void print_history(const struct history *h)
{
    fprintf(stderr, "seed %lu:\n", seed);
    enum err e = history_write(h, stderr);
    (void)e;
}

static void expect(const struct history *h, bool search_only, enum linear_verdict want)
{
    linear_check(h, &(struct linear_options){.search_only = search_only}, &report);
    if (report.verdict != want) {
        print_history(h);
        cr_assert_fail("seed %lu, %s: %s, wanted %s\n%s", seed, search_only ? "search" : "order",
                       linear_verdict_name(report.verdict), linear_verdict_name(want), report.text);
    }
}

static uint64_t seeds(uint64_t some, uint64_t *ret_first)
{
    const char *one = getenv("HERALD_SEED");
    const char *many = getenv("HERALD_SEEDS");
    *ret_first = one != NULL ? strtoull(one, NULL, 10) : 1;
    return one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : some;
}

/* Every tiny history gets the verdict that trying all orders gives it. */
Test(linear_random, tiny_histories_are_judged_as_by_brute_force)
{
    uint64_t first;
    uint64_t count = seeds(SEEDS_DEFAULT, &first);
    size_t fine = 0;
    for (uint64_t i = first; i < first + count; i++) {
        seed_dice(i);
        struct history h;
        history_init(&h);
        size_t ops = 2 + roll(TINY_MAX - 1);
        bool honest = true;
        if (chance(25)) {
            all_dice(&h, ops);
            honest = false;
        } else {
            struct store s = {
                .h = &h,
                .client_count = 1 + (unsigned)roll(4),
                .keys = 1,
                .values = (unsigned)roll(4),
                .index_percent = roll(2) != 0 ? 100 : (unsigned)roll(101),
                .unknown_percent = roll(2) != 0 ? 0 : (unsigned)roll(50),
            };
            make(&s, ops);
            for (uint64_t lies = roll(4); lies > 0; lies--) {
                lie(&h);
                honest = false;
            }
        }
        enum linear_verdict want = brute_says_fine(&h) ? LINEAR_OK : LINEAR_VIOLATION;
        if (honest && want != LINEAR_OK) {
            print_history(&h);
            cr_assert_fail("seed %lu: an honest history that no order explains", seed);
        }
        expect(&h, false, want);
        expect(&h, true, want);
        fine += want == LINEAR_OK;
        history_close(&h);
    }
    /* Else one of the two verdicts would not have been tried. */
    cr_assert(count == 1 || (fine * 10 > count && fine * 10 < count * 9), "%zu fine", fine);
}

/* A lie in an honest history that no order can explain. False if it has no place for it. */
static bool grave_lie(struct history *h)
{
    for (size_t i = h->count; i > 0; i--) {
        struct history_op *op = &h->ops[i - 1];
        if (op->kind == HISTORY_GET && op->read != 0 && op->index > 1) {
            op->read = history_intern(h, BYTES("what nobody wrote"));
            return true;
        }
    }
    return false;
}

Test(linear_random, long_histories_are_judged)
{
    uint64_t first;
    uint64_t count = seeds(LONG_SEEDS, &first);
    for (uint64_t i = first; i < first + count; i++) {
        seed_dice(i);
        struct history h;
        history_init(&h);
        struct store s = {
            .h = &h,
            .client_count = CLIENTS_MAX,
            .keys = KEYS_MAX,
            .values = 0,
            .index_percent = roll(2) != 0 ? 100 : 50,
            .unknown_percent = (unsigned)roll(4),
        };
        make(&s, LONG_OPS);
        expect(&h, false, LINEAR_OK);
        expect(&h, true, LINEAR_OK);
        if (grave_lie(&h)) {
            expect(&h, false, LINEAR_VIOLATION);
        }
        history_close(&h);
    }
}
