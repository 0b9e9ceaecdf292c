/* Each guard masks one known fault of the library; switched off it does nothing, so that the
 * simulator can show what it is for. */
#include "store/replica/guard.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <raft.h>

static struct raft_entry some_entries[6] = {
    {.term = 1, .type = RAFT_COMMAND}, {.term = 1, .type = RAFT_COMMAND},
    {.term = 1, .type = RAFT_CHANGE},  {.term = 2, .type = RAFT_COMMAND},
    {.term = 2, .type = RAFT_CHANGE},  {.term = 2, .type = RAFT_CHANGE},
};

static struct raft_append_entries append_of(uint64_t prev, unsigned count)
{
    return (struct raft_append_entries){
        .term = 3,
        .prev_log_index = prev,
        .prev_log_term = prev > 0 ? 1 : 0,
        .leader_commit = 9,
        .entries = some_entries,
        .n_entries = count,
    };
}

Test(guard, entries_that_the_snapshot_covers_are_cut_off)
{
    struct guards on = guards_on();
    struct raft_append_entries m = append_of(0, 6);
    cr_assert_eq(guard_compacted(&on, &m, 4, 2), 4);
    cr_assert_eq(m.prev_log_index, 4);
    cr_assert_eq(m.prev_log_term, 2);
    cr_assert_eq(m.n_entries, 2);
    cr_assert_eq(m.entries, some_entries + 4);
}

Test(guard, a_message_the_snapshot_covers_whole_asks_for_the_snapshots_own_entry)
{
    struct guards on = guards_on();
    struct raft_append_entries m = append_of(0, 4);
    cr_assert_eq(guard_compacted(&on, &m, 4, 2), 4);
    cr_assert_eq(m.prev_log_index, 4);
    cr_assert_eq(m.n_entries, 0);
    m = append_of(2, 0);
    cr_assert_eq(guard_compacted(&on, &m, 4, 2), 0);
    cr_assert_eq(m.prev_log_index, 4);
    cr_assert_eq(m.prev_log_term, 2);
}

Test(guard, a_message_behind_the_snapshot_is_left_alone)
{
    struct guards on = guards_on();
    struct raft_append_entries m = append_of(4, 6);
    cr_assert_eq(guard_compacted(&on, &m, 4, 2), 0);
    cr_assert_eq(m.prev_log_term, 1);
    cr_assert_eq(m.n_entries, 6);
    m = append_of(0, 6);
    cr_assert_eq(guard_compacted(&on, &m, 0, 0), 0);
    cr_assert_eq(m.n_entries, 6);
}

Test(guard, each_configuration_begins_a_step_of_its_own)
{
    static const unsigned steps[] = {2, 2, 1, 1};
    struct guards on = guards_on();
    struct raft_append_entries m = append_of(0, 6);
    unsigned from = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        cr_assert_eq(guard_change(&on, &m, from), steps[i]);
        from += steps[i];
    }
    cr_assert_eq(from, 6);
    m = append_of(7, 0);
    cr_assert_eq(guard_change(&on, &m, 0), 0);
}

Test(guard, a_late_rejection_of_what_was_acknowledged_is_made_harmless)
{
    struct guards on = guards_on();
    struct raft_append_entries_result m = {.rejected = 5, .last_log_index = 4};
    guard_rejection(&on, &m, 4);
    cr_assert_eq(m.rejected, 5);
    guard_rejection(&on, &m, 5);
    cr_assert_eq(m.rejected, 0);
    cr_assert_eq(m.last_log_index, 0);
    m = (struct raft_append_entries_result){.rejected = 0, .last_log_index = 9};
    guard_rejection(&on, &m, 20);
    cr_assert_eq(m.last_log_index, 9);
}

Test(guard, an_answer_to_an_old_term_can_count_for_nothing)
{
    struct guards on = guards_on();
    struct raft_append_entries_result m = {.rejected = 0, .last_log_index = 77};
    guard_old_term(&on, &m, 3, 3);
    cr_assert_eq(m.last_log_index, 77);
    guard_old_term(&on, &m, 2, 3);
    cr_assert_eq(m.rejected, ULLONG_MAX);
    cr_assert_eq(m.last_log_index, 0);
}

Test(guard, a_sole_voter_leads_no_term_twice_and_none_comes_from_two)
{
    struct guards on = guards_on();
    cr_assert_eq(guard_sole_term(&on, 7), 8);
    cr_assert(guard_sole_allowed(&on, 1, 1));
    cr_assert(guard_sole_allowed(&on, 1, 2));
    cr_assert(guard_sole_allowed(&on, 3, 2));
    cr_assert_not(guard_sole_allowed(&on, 2, 1));
}

Test(guard, a_denied_pre_vote_shows_the_newer_term)
{
    struct guards on = guards_on();
    struct raft_request_vote_result m = {.term = 4, .pre_vote = true, .vote_granted = false};
    guard_pre_vote(&on, &m, 9);
    cr_assert_eq(m.term, 9);
    guard_pre_vote(&on, &m, 6);
    cr_assert_eq(m.term, 9);
    m = (struct raft_request_vote_result){.term = 4, .pre_vote = true, .vote_granted = true};
    guard_pre_vote(&on, &m, 9);
    cr_assert_eq(m.term, 4);
}

Test(guard, a_deadline_is_never_in_the_past)
{
    struct guards on = guards_on();
    cr_assert_gt(guard_deadline(&on, 10, 1000), 1000);
    cr_assert_gt(guard_deadline(&on, 1000, 1000), 1000);
    cr_assert_eq(guard_deadline(&on, 5000, 1000), 5000);
}

Test(guard, the_heir_is_told_when_it_has_all)
{
    struct guards on = guards_on();
    cr_assert_not(guard_handover(&on, 0, 7));
    cr_assert_not(guard_handover(&on, 6, 7));
    cr_assert(guard_handover(&on, 7, 7));
}

Test(guard, switched_off_they_change_nothing)
{
    struct guards off = {0};
    struct raft_append_entries m = append_of(0, 6);
    struct raft_append_entries_result result = {.rejected = 3, .last_log_index = 2};
    struct raft_request_vote_result vote = {.term = 4, .pre_vote = true};
    cr_assert_eq(guard_compacted(&off, &m, 4, 2), 0);
    cr_assert_eq(guard_change(&off, &m, 0), 6);
    guard_rejection(&off, &result, 9);
    guard_old_term(&off, &result, 1, 9);
    cr_assert_eq(result.rejected, 3);
    cr_assert_eq(guard_sole_term(&off, 7), 7);
    cr_assert(guard_sole_allowed(&off, 2, 1));
    guard_pre_vote(&off, &vote, 9);
    cr_assert_eq(vote.term, 4);
    cr_assert_eq(guard_deadline(&off, 10, 1000), 10);
    cr_assert(guard_handover(&off, 6, 7));
}
