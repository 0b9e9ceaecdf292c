#include "core/front/clients.h"

#include "core/base/check.h"
#include "core/base/env.h"
#include "core/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A word is tag * 2^20 + count. */
#define COUNT_BITS 20
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
/* Slots that one address may be in. */
#define PROBES     16U

struct clients {
    uint64_t key[2]; /* nobody outside can choose addresses that share slots */
    atomic_uint_fast64_t slots[CLIENTS_SLOTS];
};

struct clients *clients_new(void)
{
    struct clients *c = mem_zalloc(1, sizeof *c);
    env_real_random(c->key, sizeof c->key);
    return c;
}

void clients_free(struct clients *c)
{
    free(c);
}

static uint64_t clients_hash(const struct clients *c, struct bytes address)
{
    uint64_t h = bytes_hash(address) ^ c->key[0];
    h *= c->key[1] | 1;
    h ^= h >> 29;
    h *= UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ h >> 32;
}

/* Adds one to the slot if it is this tag's (or free, with `claim`). */
static bool
clients_try(atomic_uint_fast64_t *slot, uint64_t tag, bool claim, unsigned limit, bool *ret_full)
{
    uint64_t word = atomic_load(slot);
    for (;;) {
        uint64_t count = word & COUNT_MASK;
        bool ours = count > 0 && word >> COUNT_BITS == tag;
        if (!ours && !(claim && count == 0)) {
            return false;
        }
        if (ours && (count >= limit || count == COUNT_MASK)) {
            *ret_full = true;
            return false;
        }
        uint64_t next = ours ? word + 1 : (tag << COUNT_BITS | 1);
        if (atomic_compare_exchange_weak(slot, &word, next)) {
            return true;
        }
    }
}

bool clients_enter(struct clients *c, struct bytes address, unsigned limit, uint32_t *ret_slot)
{
    uint64_t hash = clients_hash(c, address);
    uint64_t tag = hash >> COUNT_BITS;
    bool full = false;
    /* First the slot it has, then a free one. Two fronts that claim at the same moment may take a
     * slot each: the limit is then a little loose for that address, and each count is exact. */
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < PROBES && !full; i++) {
            uint32_t at = ((uint32_t)hash + i) % CLIENTS_SLOTS;
            if (clients_try(&c->slots[at], tag, round == 1, limit, &full)) {
                *ret_slot = at;
                return true;
            }
        }
    }
    *ret_slot = CLIENTS_NONE;
    return !full;
}

void clients_leave(struct clients *c, uint32_t slot)
{
    if (slot == CLIENTS_NONE) {
        return;
    }
    uint64_t before = atomic_fetch_sub(&c->slots[slot], 1);
    CHECK((before & COUNT_MASK) > 0);
}
