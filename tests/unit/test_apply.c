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

/* --- looking --------------------------------------------------------------------------------- */

struct seen {
    enum err err;
    bool dead;
    uint64_t create_index;
    uint64_t modify_index;
    uint64_t flags;
    char value[16];
};

static struct seen look(struct bytes key)
{
    struct view *v = bench_view(&b);
    struct view_pin pin = {0};
    struct kv_row row;
    struct seen seen = {.err = view_kv_get(v, key, &pin, &row)};
    if (seen.err == OK) {
        seen.dead = row.dead;
        seen.create_index = row.create_index;
        seen.modify_index = row.modify_index;
        seen.flags = row.flags;
        snprintf(seen.value, sizeof(seen.value), "%.*s", BYTES_FORMAT(row.value));
    }
    view_pin_close(&pin);
    view_unref(v);
    return seen;
}

static uint64_t kv_index(void)
{
    struct view *v = bench_view(&b);
    uint64_t index = view_kv_index(v);
    view_unref(v);
    return index;
}

static void check_live(struct bytes key, const char *value, uint64_t created, uint64_t modified)
{
    struct seen seen = look(key);
    cr_assert_eq(seen.err, OK);
    cr_assert(!seen.dead);
    cr_assert_str_eq(seen.value, value);
    cr_assert_eq(seen.create_index, created);
    cr_assert_eq(seen.modify_index, modified);
}

static void check_dead(struct bytes key, uint64_t index)
{
    struct seen seen = look(key);
    cr_assert_eq(seen.err, OK);
    cr_assert(seen.dead);
    cr_assert_eq(seen.modify_index, index);
}

/* --- set ------------------------------------------------------------------------------------- */

Test(apply, a_new_state_has_table_index_1)
{
    cr_assert_eq(kv_index(), 1);
    cr_assert_eq(state_applied(b.state), 0);
}

Test(apply, a_second_write_keeps_create_index_and_resets_flags)
{
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 42), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("2")), OK);
    check_live(S("a"), "2", 1, 2);
    cr_assert_eq(look(S("a")).flags, 0);
    cr_assert_eq(b.collect.count, 2);
    cr_assert_eq(b.collect.changes[0].create_index, 1);
    cr_assert_eq(b.collect.changes[1].create_index, 1);
}

Test(apply, an_identical_write_changes_nothing_and_wakes_nobody)
{
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 5), OK);
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 5), OK);
    check_live(S("a"), "1", 1, 1);
    cr_assert_eq(b.collect.count, 1);
    cr_assert_eq(kv_index(), 1);
    cr_assert_eq(state_applied(b.state), 2);
}

Test(apply, other_flags_with_the_same_value_are_a_change)
{
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 5), OK);
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 6), OK);
    check_live(S("a"), "1", 1, 2);
    cr_assert_eq(b.collect.count, 2);
}

Test(apply, an_empty_value_is_a_value)
{
    cr_assert_eq(bench_set(&b, S("a"), S("")), OK);
    check_live(S("a"), "", 1, 1);
    cr_assert_eq(bench_set(&b, S("a"), S("")), OK);
    cr_assert_eq(b.collect.count, 1);
}

Test(apply, cas_0_only_creates)
{
    cr_assert_eq(bench_cas(&b, S("a"), S("1"), 0), OK);
    cr_assert_eq(bench_cas(&b, S("a"), S("2"), 0), ERR_CONFLICT);
    check_live(S("a"), "1", 1, 1);
    cr_assert_eq(b.collect.count, 1);
}

Test(apply, cas_0_creates_again_after_a_deletion)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_cas(&b, S("a"), S("2"), 2), ERR_CONFLICT);
    cr_assert_eq(bench_cas(&b, S("a"), S("2"), 0), OK);
    check_live(S("a"), "2", 4, 4);
}

Test(apply, cas_needs_the_exact_modify_index)
{
    cr_assert_eq(bench_cas(&b, S("a"), S("1"), 7), ERR_CONFLICT);
    cr_assert_eq(look(S("a")).err, ERR_NOT_FOUND);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("2")), OK);
    cr_assert_eq(bench_cas(&b, S("a"), S("3"), 2), ERR_CONFLICT);
    cr_assert_eq(bench_cas(&b, S("a"), S("3"), 4), ERR_CONFLICT);
    cr_assert_eq(bench_cas(&b, S("a"), S("3"), 3), OK);
    check_live(S("a"), "3", 2, 6);
}

/* --- delete ---------------------------------------------------------------------------------- */

Test(apply, a_deletion_leaves_a_tombstone_with_its_index)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    check_dead(S("a"), 2);
    cr_assert_eq(kv_index(), 2);
    cr_assert_eq(b.collect.count, 2);
    cr_assert_eq(b.collect.changes[1].op, CHANGE_DELETE);
    cr_assert_eq(b.collect.changes[1].index, 2);
}

Test(apply, deleting_what_is_not_there_is_well_and_changes_nothing)
{
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_delete_cas(&b, S("a"), 9), OK);
    cr_assert_eq(bench_delete_cas(&b, S("a"), 0), OK);
    cr_assert_eq(look(S("a")).err, ERR_NOT_FOUND);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    check_dead(S("a"), 5);
    cr_assert_eq(kv_index(), 5);
    cr_assert_eq(b.collect.count, 2);
}

Test(apply, a_deletion_on_condition_needs_the_exact_modify_index)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete_cas(&b, S("a"), 0), ERR_CONFLICT);
    cr_assert_eq(bench_delete_cas(&b, S("a"), 2), ERR_CONFLICT);
    check_live(S("a"), "1", 1, 1);
    cr_assert_eq(bench_delete_cas(&b, S("a"), 1), OK);
    check_dead(S("a"), 4);
}

Test(apply, a_key_written_again_is_new)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    check_live(S("a"), "1", 3, 3);
    cr_assert_eq(b.collect.changes[2].create_index, 3);
}

/* --- delete by prefix ------------------------------------------------------------------------ */

static void fill_folders(void)
{
    cr_assert_eq(bench_set(&b, S("dir"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("dir/x"), S("2")), OK);
    cr_assert_eq(bench_set(&b, S("dir/y"), S("3")), OK);
    cr_assert_eq(bench_set(&b, S("dir0"), S("4")), OK);
}

Test(apply, a_prefix_is_deleted_as_one_change_with_a_tombstone_each)
{
    fill_folders();
    cr_assert_eq(bench_delete_prefix(&b, S("dir/")), OK);
    check_live(S("dir"), "1", 1, 1);
    check_dead(S("dir/x"), 5);
    check_dead(S("dir/y"), 5);
    check_live(S("dir0"), "4", 4, 4);
    cr_assert_eq(kv_index(), 5);
    struct change_batch *batch = bench_finish(&b, 0);
    cr_assert_eq(batch->count, 5);
    cr_assert_eq(batch->changes[4].op, CHANGE_DELETE_PREFIX);
    cr_assert_eq(batch->changes[4].index, 5);
    cr_assert_bytes(batch->changes[4].key, S("dir/"));
    change_batch_unref(batch);
}

Test(apply, deleting_a_prefix_without_live_keys_changes_nothing)
{
    fill_folders();
    cr_assert_eq(bench_delete_prefix(&b, S("dir/")), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("dir/")), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("other")), OK);
    check_dead(S("dir/x"), 5);
    cr_assert_eq(b.collect.count, 5);
    cr_assert_eq(kv_index(), 5);
}

Test(apply, the_empty_prefix_deletes_everything)
{
    fill_folders();
    cr_assert_eq(bench_set(&b, S("\xff\xff"), S("5")), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("")), OK);
    check_dead(S("dir"), 6);
    check_dead(S("dir/x"), 6);
    check_dead(S("dir0"), 6);
    check_dead(S("\xff\xff"), 6);
}

Test(apply, a_prefix_of_0xff_bytes_has_an_end)
{
    cr_assert_eq(bench_set(&b, S("\xff"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("\xff\xff"), S("2")), OK);
    cr_assert_eq(bench_set(&b, S("\xff\xff\x01"), S("3")), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("\xff\xff")), OK);
    check_live(S("\xff"), "1", 1, 1);
    check_dead(S("\xff\xff"), 4);
    check_dead(S("\xff\xff\x01"), 4);
}

/* --- reaping --------------------------------------------------------------------------------- */

static bool reapable(uint64_t through)
{
    bool yes = false;
    cr_assert_eq(state_reapable(b.state, through, &yes, NULL), OK);
    return yes;
}

static uint64_t reaped(void)
{
    struct view *v = bench_view(&b);
    uint64_t index = view_kv_reaped(v);
    view_unref(v);
    return index;
}

Test(apply, reaping_forgets_deletions_up_to_an_index)
{
    fill_folders();
    cr_assert_eq(bench_delete(&b, S("dir")), OK);         /* 5 */
    cr_assert_eq(bench_delete_prefix(&b, S("dir/")), OK); /* 6 */
    cr_assert_eq(bench_delete(&b, S("dir0")), OK);        /* 7 */
    cr_assert(!reapable(4));
    cr_assert(reapable(5));
    cr_assert_eq(bench_reap(&b, 6), OK);
    cr_assert_eq(look(S("dir")).err, ERR_NOT_FOUND);
    cr_assert_eq(look(S("dir/x")).err, ERR_NOT_FOUND);
    cr_assert_eq(look(S("dir/y")).err, ERR_NOT_FOUND);
    check_dead(S("dir0"), 7);
    cr_assert_eq(reaped(), 6);
    cr_assert_eq(kv_index(), 7);
    cr_assert_eq(b.collect.count, 7);
    cr_assert(!reapable(6));
    cr_assert(reapable(UINT64_MAX));
}

Test(apply, reaping_spares_a_key_that_lives_again)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("2")), OK);
    cr_assert(!reapable(UINT64_MAX));
    cr_assert_eq(bench_reap(&b, UINT64_MAX), OK);
    check_live(S("a"), "2", 3, 3);
    cr_assert_eq(reaped(), 0);
}

Test(apply, a_reap_of_the_future_reaps_what_is_there)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    cr_assert_eq(bench_reap(&b, UINT64_MAX), OK);
    cr_assert_eq(look(S("a")).err, ERR_NOT_FOUND);
    cr_assert_eq(reaped(), 2);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    check_dead(S("a"), 5);
    cr_assert(reapable(5));
}

/* --- any bytes ------------------------------------------------------------------------------- */

Test(apply, what_is_no_command_moves_only_the_applied_index)
{
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_raw(&b, S("")), ERR_INVALID);
    cr_assert_eq(bench_raw(&b, S("\x01\x63zzzzzzzzzzzzzzzzzzzz")), ERR_INVALID);
    cr_assert_eq(bench_raw(&b, S("GET / HTTP/1.1\r\n\r\n")), ERR_INVALID);
    cr_assert_eq(state_applied(b.state), 4);
    cr_assert_eq(b.collect.count, 1);
    check_live(S("a"), "1", 1, 1);
}

Test(apply, skipped_indexes_are_not_missed)
{
    cr_assert_eq(state_skip(b.state, 10, NULL), OK);
    b.index = 19;
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    check_live(S("a"), "1", 20, 20);
}

/* --- autopilot ------------------------------------------------------------------------------- */

static enum err autopilot_set(uint64_t trailing, bool check, uint64_t index)
{
    return bench_do(&b, (struct command){
                            .type = COMMAND_AUTOPILOT_SET,
                            .autopilot_set = {.autopilot = {.cleanup_dead_servers = true,
                                                            .last_contact_threshold_ms = 1,
                                                            .max_trailing_logs = trailing,
                                                            .server_stabilization_ms = 2,
                                                            .min_quorum = 3},
                                              .check = check,
                                              .index = index},
                        });
}

static struct autopilot autopilot_look(enum err want)
{
    struct view *v = bench_view(&b);
    struct autopilot a = {0};
    cr_assert_eq(view_autopilot(v, &a), want);
    view_unref(v);
    return a;
}

/* What nobody has set is not there, and what was set comes back with its indexes. */
Test(apply, autopilots_row_is_set_whole)
{
    (void)autopilot_look(ERR_NOT_FOUND);
    cr_assert_eq(autopilot_set(7, false, 0), OK);
    cr_assert_eq(autopilot_set(8, false, 0), OK);
    struct autopilot a = autopilot_look(OK);
    cr_assert(a.cleanup_dead_servers);
    cr_assert_eq(a.last_contact_threshold_ms, 1);
    cr_assert_eq(a.max_trailing_logs, 8);
    cr_assert_eq(a.server_stabilization_ms, 2);
    cr_assert_eq(a.min_quorum, 3);
    cr_assert_eq(a.create_index, 1);
    cr_assert_eq(a.modify_index, 2);
    cr_assert_eq(b.collect.count, 0);
}

/* With a condition: 0 only makes it, an index only changes that very row. */
Test(apply, autopilots_row_is_set_if_its_index_is_the_one_said)
{
    cr_assert_eq(autopilot_set(1, true, 5), ERR_CONFLICT);
    (void)autopilot_look(ERR_NOT_FOUND);
    cr_assert_eq(autopilot_set(2, true, 0), OK);
    cr_assert_eq(autopilot_set(3, true, 0), ERR_CONFLICT);
    cr_assert_eq(autopilot_set(4, true, 2), OK);
    cr_assert_eq(autopilot_look(OK).max_trailing_logs, 4);
    cr_assert_eq(autopilot_look(OK).create_index, 2);
}
