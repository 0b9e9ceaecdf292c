/* What each command does to the state, by the KV contract, against a real database in memory. */
#include "store_lib.h"

static struct bench b;

static void setup(void)
{
    bench_open(&b, NULL);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(apply, .init = setup, .fini = teardown, .timeout = 20);

Test(apply, a_key_is_written_and_read)
{
    cr_assert_eq(bench_set_flags(&b, S("a"), S("hello"), 42), OK);
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_bytes(row.key, S("a"));
    cr_assert_bytes(row.value, S("hello"));
    cr_assert_eq(row.flags, 42);
    cr_assert_eq(row.create_index, 1);
    cr_assert_eq(row.modify_index, 1);
    cr_assert_eq(row.lock_index, 0);
    cr_assert(!row.dead);
    cr_assert_eq(view_kv_get(v, S("b"), &pin, &row), ERR_NOT_FOUND);
    view_pin_close(&pin);
    view_unref(v);
}
