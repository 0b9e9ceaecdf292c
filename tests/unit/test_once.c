/* Commands that come twice are applied once. */
#include "store/once.h"

#include "store/schema.h"
#include "store_lib.h"

struct pad {
    struct rocks *db;
    struct rocks_batch *batch;
    struct once once;
};

static void reload(struct pad *p)
{
    struct reason why = {0};
    cr_assert_eq(once_load(&p->once, p->db, &why), OK, "%s", why.text);
}

static void pad_open(struct pad *p)
{
    struct reason why = {0};
    *p = (struct pad){.batch = rocks_batch_new()};
    cr_assert_eq(rocks_open(NULL, ROCKS_STATE, &p->db, &why), OK, "%s", why.text);
    reload(p);
}

static void pad_close(struct pad *p)
{
    rocks_batch_free(p->batch);
    rocks_close(p->db);
}

static void take(struct pad *p, uint64_t proposer, uint64_t number, uint64_t index)
{
    cr_assert_eq(once_check(&p->once, proposer, number), OK);
    once_take(&p->once, p->batch, proposer, number, index);
    cr_assert_eq(rocks_write(p->db, p->batch, false, NULL), OK);
    rocks_batch_clear(p->batch);
    once_settle(&p->once, true);
}

Test(once, the_next_number_is_taken_older_ones_were_and_later_ones_wait)
{
    struct pad p;
    pad_open(&p);
    cr_assert_eq(once_newest(&p.once, 7), 0);
    cr_assert_eq(once_check(&p.once, 7, 2), ERR_AHEAD);
    cr_assert_eq(once_check(&p.once, 7, 0), ERR_CONFLICT);
    take(&p, 7, 1, 10);
    take(&p, 7, 2, 11);
    cr_assert_eq(once_check(&p.once, 7, 1), ERR_CONFLICT);
    cr_assert_eq(once_check(&p.once, 7, 2), ERR_CONFLICT);
    cr_assert_eq(once_check(&p.once, 7, 3), OK);
    cr_assert_eq(once_check(&p.once, 7, 4), ERR_AHEAD);
    cr_assert_eq(once_check(&p.once, 7, UINT64_MAX), ERR_AHEAD);
    /* Another counts for itself. */
    cr_assert_eq(once_check(&p.once, 8, 1), OK);
    cr_assert_eq(once_newest(&p.once, 7), 2);
    pad_close(&p);
}

Test(once, a_write_that_failed_leaves_it_as_it_was)
{
    struct pad p;
    pad_open(&p);
    take(&p, 7, 1, 10);
    once_take(&p.once, p.batch, 7, 2, 11);
    cr_assert_eq(once_newest(&p.once, 7), 1);
    rocks_batch_clear(p.batch);
    once_settle(&p.once, false);
    cr_assert_eq(once_newest(&p.once, 7), 1);
    once_take(&p.once, p.batch, 9, 1, 11);
    rocks_batch_clear(p.batch);
    once_settle(&p.once, false);
    cr_assert_eq(once_newest(&p.once, 9), 0);
    /* And nothing staged is left over. */
    once_settle(&p.once, true);
    cr_assert_eq(once_newest(&p.once, 9), 0);
    take(&p, 7, 2, 12);
    pad_close(&p);
}

Test(once, the_oldest_is_forgotten_when_there_are_too_many)
{
    struct pad p;
    pad_open(&p);
    for (uint64_t i = 1; i <= PROPOSERS_MAX; i++) {
        take(&p, 100 + i, 1, i);
    }
    /* 101 speaks again, so 102 is the oldest. */
    take(&p, 101, 2, 500);
    take(&p, 999, 1, 501);
    cr_assert_eq(once_newest(&p.once, 101), 2);
    cr_assert_eq(once_newest(&p.once, 102), 0);
    cr_assert_eq(once_newest(&p.once, 103), 1);
    cr_assert_eq(once_newest(&p.once, 999), 1);
    /* A write that failed forgets nobody. */
    once_take(&p.once, p.batch, 998, 1, 502);
    rocks_batch_clear(p.batch);
    once_settle(&p.once, false);
    cr_assert_eq(once_newest(&p.once, 103), 1);
    pad_close(&p);
}

Test(once, it_is_all_there_again_after_a_restart)
{
    struct pad p;
    pad_open(&p);
    for (uint64_t i = 1; i <= PROPOSERS_MAX + 40; i++) {
        take(&p, i * 0x123456789ULL, 1, i);
        take(&p, i * 0x123456789ULL, 2, i + 1000);
    }
    struct once before = p.once;
    reload(&p);
    for (uint64_t i = 1; i <= PROPOSERS_MAX + 40; i++) {
        uint64_t want = i <= 40 ? 0 : 2;
        cr_assert_eq(once_newest(&before, i * 0x123456789ULL), want);
        cr_assert_eq(once_newest(&p.once, i * 0x123456789ULL), want);
    }
    /* Whose turn it is to go is known as well. */
    take(&p, 5, 1, 5000);
    cr_assert_eq(once_newest(&p.once, 41 * 0x123456789ULL), 0);
    cr_assert_eq(once_newest(&p.once, 42 * 0x123456789ULL), 2);
    pad_close(&p);
}

Test(once, a_damaged_list_is_said)
{
    struct pad p;
    struct schema_key k;
    struct reason why = {0};
    pad_open(&p);
    schema_key_proposer(&k, 5);
    rocks_batch_put(p.batch, schema_key_view(&k), S("short"));
    cr_assert_eq(rocks_write(p.db, p.batch, false, &why), OK);
    cr_assert_eq(once_load(&p.once, p.db, &why), ERR_CORRUPT);
    cr_assert_neq(why.text[0], '\0');
    pad_close(&p);
}
