#include "store/once.h"

#include "core/base/check.h"
#include "store/pack.h"
#include "store/schema.h"
#include "store/seeded.h"

static struct bytes once_table_end(struct schema_key *k)
{
    schema_key_end(k);
    return schema_key_view(k);
}

enum err once_load(struct once *o, struct rocks *db, struct reason *why)
{
    struct schema_key from;
    struct schema_key to;
    size_t count = 0;
    *o = (struct once){.staged_at = PROPOSERS_MAX};
    schema_key_proposer(&from, 0);
    schema_key_proposer(&to, UINT64_MAX);
    struct rocks_iter *it = rocks_iter_new(db, NULL, schema_key_view(&from), once_table_end(&to));
    enum err e = OK;
    for (rocks_iter_first(it); rocks_iter_valid(it) && e == OK; rocks_iter_next(it)) {
        struct unpack in = {.rest = rocks_iter_value(it)};
        struct once_sender sender = {0};
        e = schema_parse_proposer(rocks_iter_key(it), &sender.proposer);
        sender.number = unpack_u64(&in);
        sender.index = unpack_u64(&in);
        if (e == OK && unpack_done(&in) && count < PROPOSERS_MAX) {
            o->senders[count++] = sender;
        } else {
            reason_set(why, "the state's list of proposers is damaged");
            e = ERR_CORRUPT;
        }
    }
    e = e == OK ? rocks_iter_error(it, why) : e;
    rocks_iter_free(it);
    return e;
}

static size_t once_find(const struct once *o, uint64_t proposer)
{
    size_t at = 0;
    while (at < PROPOSERS_MAX && o->senders[at].proposer != proposer) {
        at++;
    }
    return at;
}

uint64_t once_newest(const struct once *o, uint64_t proposer)
{
    size_t at = once_find(o, proposer);
    return at < PROPOSERS_MAX ? o->senders[at].number : 0;
}

enum err once_check(const struct once *o, uint64_t proposer, uint64_t number)
{
    uint64_t newest = once_newest(o, proposer);
    if (number <= newest) {
        return SEEDED_BUG(SEEDED_APPLIED_TWICE) ? OK : ERR_CONFLICT;
    }
    return number == newest + 1 ? OK : ERR_AHEAD;
}

void once_take(struct once *o,
               struct rocks_batch *batch,
               uint64_t proposer,
               uint64_t number,
               uint64_t index)
{
    struct schema_key k;
    size_t at = once_find(o, proposer);
    CHECK(o->staged_at == PROPOSERS_MAX);
    if (at == PROPOSERS_MAX) {
        at = 0;
        for (size_t i = 1; i < PROPOSERS_MAX; i++) {
            /* A free place has index 0. */
            if (o->senders[i].index < o->senders[at].index) {
                at = i;
            }
        }
        if (o->senders[at].proposer != 0) {
            schema_key_proposer(&k, o->senders[at].proposer);
            rocks_batch_delete(batch, schema_key_view(&k));
        }
    }
    char row[16];
    for (unsigned i = 0; i < 8; i++) {
        row[i] = (char)(number >> (8 * i));
        row[8 + i] = (char)(index >> (8 * i));
    }
    schema_key_proposer(&k, proposer);
    rocks_batch_put(batch, schema_key_view(&k), (struct bytes){row, sizeof row});
    o->staged = (struct once_sender){.proposer = proposer, .number = number, .index = index};
    o->staged_at = at;
}

void once_settle(struct once *o, bool written)
{
    if (o->staged_at < PROPOSERS_MAX && written) {
        o->senders[o->staged_at] = o->staged;
    }
    o->staged_at = PROPOSERS_MAX;
}
