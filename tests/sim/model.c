#include "tests/sim/model.h"

#include "core/base/check.h"
#include "core/base/limit.h"
#include "core/base/mem.h"
#include "store/command.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

struct model_key {
    struct model_row *rows;
    size_t count;
    size_t cap;
};

/* Newest number of a sender that was applied (store/once.h). */
struct model_sender {
    uint64_t proposer;
    uint64_t number;
    uint64_t index;
};

static struct {
    struct model_key keys[KEYS_MAX];
    struct model_sender senders[PROPOSERS_MAX];
    struct model_entry *entries; /* [0] is before the first */
    size_t count;
    size_t cap;
    uint64_t *index_of; /* by op number */
    size_t index_cap;
} model;

/* --- digests --------------------------------------------------------------------------------- */

static uint64_t digest(uint64_t a, uint64_t b)
{
    uint64_t z = (a ^ b * 0x9e3779b97f4a7c15ULL) + 0x7f4a7c159e3779b9ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static uint64_t digest_row(unsigned key, const struct model_row *row)
{
    uint64_t sum = digest(key + 1, row->index);
    if (row->live) {
        sum = digest(digest(sum, row->create_index), row->value);
    }
    return digest(sum, row->live);
}

static uint64_t digest_change(uint64_t index, uint64_t n, enum change_op op, uint64_t what)
{
    return digest(digest(digest(index, n), (uint64_t)op), what);
}

uint64_t model_digest_view(struct view *v)
{
    uint64_t sum = 0;
    struct kv_row row;
    struct kv_scan *scan = kv_scan_open(v, BYTES(""));
    while (kv_scan_next(scan, &row) == OK) {
        uint64_t value = 0;
        if (!row.dead && (bytes_to_u64(row.value, &value) != OK || value != row.flags)) {
            sum ^= 1; /* Value and flags were written together. */
        }
        struct model_row r = {
            .index = row.modify_index,
            .create_index = row.create_index,
            .value = value,
            .live = !row.dead,
        };
        sum ^= digest_row(key_number(row.key), &r);
    }
    kv_scan_close(scan);
    return sum;
}

uint64_t model_digest_change(const struct change *c)
{
    uint64_t what = c->op == CHANGE_DELETE_PREFIX ? (unsigned char)c->key.ptr[0] : 0;
    if (c->op != CHANGE_DELETE_PREFIX) {
        what = key_number(c->key);
    }
    if (c->op == CHANGE_SET) {
        uint64_t value = 0;
        what =
            bytes_to_u64(c->value, &value) == OK ? digest(digest(what, value), c->create_index) : 0;
    }
    return digest_change(c->index, c->n, c->op, what);
}

/* --- rows ------------------------------------------------------------------------------------ */

static struct model_row *model_newest(unsigned key)
{
    struct model_key *k = &model.keys[key];
    return k->count > 0 ? &k->rows[k->count - 1] : NULL;
}

static void model_put(struct model_entry *e, unsigned key, struct model_row row)
{
    struct model_key *k = &model.keys[key];
    const struct model_row *old = model_newest(key);
    if (old != NULL) {
        e->state ^= digest_row(key, old);
    }
    if (k->count == k->cap) {
        k->cap = k->cap == 0 ? 64 : k->cap * 2;
        k->rows = mem_realloc(k->rows, k->cap * sizeof *k->rows);
    }
    k->rows[k->count++] = row;
    e->state ^= digest_row(key, &row);
}

const struct model_row *model_row(unsigned key, uint64_t index)
{
    const struct model_key *k = &model.keys[key];
    size_t low = 0;
    size_t high = k->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (k->rows[middle].index <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &k->rows[low - 1] : NULL;
}

/* --- commands -------------------------------------------------------------------------------- */

static void model_set(struct model_entry *e, uint64_t index, const struct command_kv_set *c)
{
    unsigned key = key_number(c->key);
    const struct model_row *old = model_newest(key);
    bool live = old != NULL && old->live;
    if (c->check && (c->index == 0 ? live : !live || old->index != c->index)) {
        e->status = ERR_CONFLICT;
        return;
    }
    if (live && old->value == c->flags) {
        return;
    }
    struct model_row row = {
        .index = index,
        .create_index = live ? old->create_index : index,
        .value = c->flags,
        .live = true,
    };
    model_put(e, key, row);
    e->changes +=
        digest_change(index, 0, CHANGE_SET, digest(digest(key, row.value), row.create_index));
}

static void model_delete(struct model_entry *e, uint64_t index, const struct command_kv_delete *c)
{
    unsigned key = key_number(c->key);
    const struct model_row *old = model_newest(key);
    if (old == NULL || !old->live) {
        return;
    }
    if (c->check && old->index != c->index) {
        e->status = ERR_CONFLICT;
        return;
    }
    model_put(e, key, (struct model_row){.index = index});
    e->changes += digest_change(index, 0, CHANGE_DELETE, key);
}

static void model_delete_prefix(struct model_entry *e, uint64_t index, struct bytes prefix)
{
    bool any = false;
    for (unsigned key = 0; key < KEYS_MAX; key++) {
        const struct model_row *old = model_newest(key);
        char name[16];
        key_name(key, name);
        if (old != NULL && old->live && bytes_begins(bytes_of(name), prefix)) {
            model_put(e, key, (struct model_row){.index = index});
            any = true;
        }
    }
    if (any) {
        e->changes += digest_change(index, 0, CHANGE_DELETE_PREFIX, (unsigned char)prefix.ptr[0]);
    }
}

static void model_remember(uint64_t op, uint64_t index)
{
    if (op >= model.index_cap) {
        size_t cap = (op + 1) * 2;
        model.index_of = mem_realloc(model.index_of, cap * sizeof *model.index_of);
        for (size_t i = model.index_cap; i < cap; i++) {
            model.index_of[i] = 0;
        }
        model.index_cap = cap;
    }
    if (model.index_of[op] != 0) {
        world_violate("the command of op %llu is applied twice, at %llu and at %llu",
                      (unsigned long long)op, (unsigned long long)model.index_of[op],
                      (unsigned long long)index);
    }
    model.index_of[op] = index;
}

/* Whether a command that other servers may have sent twice is to be applied: each once, in order.
 * Whose newest command is the oldest is forgotten first. */
static bool model_take(uint64_t index, const struct command *c)
{
    size_t at = 0;
    while (at < PROPOSERS_MAX && model.senders[at].proposer != c->proposer) {
        at++;
    }
    uint64_t newest = at < PROPOSERS_MAX ? model.senders[at].number : 0;
    if (c->number != newest + 1) {
        return false;
    }
    if (at == PROPOSERS_MAX) {
        at = 0;
        for (size_t i = 1; i < PROPOSERS_MAX; i++) {
            at = model.senders[i].index < model.senders[at].index ? i : at;
        }
    }
    model.senders[at] =
        (struct model_sender){.proposer = c->proposer, .number = c->number, .index = index};
    return true;
}

static void model_command(struct model_entry *e, uint64_t index, const struct command *c)
{
    if (c->proposer != 0 && !model_take(index, c)) {
        return;
    }
    if (c->time_ms > OP_TIME_MS) {
        e->op = c->time_ms - OP_TIME_MS;
        model_remember(e->op, index);
    }
    switch (c->type) {
    case COMMAND_KV_SET:
        model_set(e, index, &c->kv_set);
        break;
    case COMMAND_KV_DELETE:
        model_delete(e, index, &c->kv_delete);
        break;
    case COMMAND_KV_DELETE_PREFIX:
        model_delete_prefix(e, index, c->kv_delete_prefix.prefix);
        break;
    case COMMAND_RESTORE_BEGIN:
    case COMMAND_RESTORE_CHUNK:
    case COMMAND_RESTORE_COMMIT:
    case COMMAND_RESTORE_ABORT:
        world_violate("a backup is restored at %llu", (unsigned long long)index);
        break;
    case COMMAND_AUTOPILOT_SET:
        world_violate("settings are changed at %llu", (unsigned long long)index);
        break;
    case COMMAND_TOMBSTONE_REAP:
        /* Comes after a quarter of an hour: no run is so long. */
        world_violate("deletions are reaped at %llu", (unsigned long long)index);
        break;
    case COMMAND_KV_LOCK:
    case COMMAND_KV_SET_TTL:
    case COMMAND_REGISTER:
    case COMMAND_DEREGISTER:
    case COMMAND_SESSION_CREATE:
    case COMMAND_SESSION_DESTROY:
    case COMMAND_SESSION_RENEW:
    case COMMAND_EXPIRE:
    case COMMAND_TXN:
    case COMMAND_EVENT:
    case COMMAND_COORDINATES:
    case COMMAND_ACL_SET:
    case COMMAND_ACL_DELETE:
    case COMMAND_ACL_BOOTSTRAP:
        world_violate("%s at %llu: no client here does that", command_name(c->type),
                      (unsigned long long)index);
        break;
    }
}

void model_apply(struct bytes command)
{
    if (model.count == model.cap) {
        model.cap *= 2;
        model.entries = mem_realloc(model.entries, model.cap * sizeof *model.entries);
    }
    struct model_entry *e = &model.entries[model.count];
    *e = model.entries[model.count - 1];
    e->op = 0;
    e->status = OK;
    struct command c;
    if (command.len > 0) {
        if (command_decode(command, &c) == OK) {
            model_command(e, model.count, &c);
        } else {
            world_violate("entry %zu is no command", model.count);
        }
    }
    model.count++;
}

uint64_t model_last(void)
{
    return model.count - 1;
}

const struct model_entry *model_entry(uint64_t index)
{
    CHECK(index < model.count);
    return &model.entries[index];
}

uint64_t model_index_of(uint64_t op)
{
    return op < model.index_cap ? model.index_of[op] : 0;
}

void model_open(void)
{
    model.cap = 1024;
    model.count = 1;
    model.entries = mem_zalloc(model.cap, sizeof *model.entries);
}

void model_close(void)
{
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        free(model.keys[i].rows);
        model.keys[i] = (struct model_key){0};
    }
    memset(model.senders, 0, sizeof model.senders);
    free(model.entries);
    free(model.index_of);
    model.entries = NULL;
    model.index_of = NULL;
    model.count = 0;
    model.cap = 0;
    model.index_cap = 0;
}
