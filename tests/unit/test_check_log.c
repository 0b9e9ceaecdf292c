/* Logs that agree, and each way in which they may not. */
#include "tests/sim/check_log.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct reason why;

static const struct log_applied whole[] = {{1, 1, 11}, {2, 1, 12}, {3, 2, 13}, {4, 2, 14}};

static const struct log_run one = {.name = "one", .applied = whole, .count = 4, .complete = true};

static bool two_runs(struct log_run other, const struct log_ack *acks, size_t count)
{
    other.name = "two";
    return check_log((struct log_run[]){one, other}, 2, acks, count, &why);
}

#define SAYS(part) cr_assert_not_null(strstr(why.text, part), "%s", why.text)

/* Behind, from a snapshot, after a restart, and empty: all of one log. */
Test(check_log, one_log_is_fine)
{
    struct log_run runs[] = {
        one,
        {.name = "behind", .applied = whole, .count = 2},
        {.name = "behind, restarted", .applied = whole + 1, .count = 3, .start = 1},
        {.name = "from a snapshot", .applied = whole + 3, .count = 1, .start = 3, .complete = true},
        {.name = "at a snapshot", .start = 4, .complete = true},
        {.name = "empty"},
    };
    struct log_ack acks[] = {{4, 14}, {1, 11}, {3, 13}};
    cr_assert(check_log(runs, COUNT(runs), acks, COUNT(acks), &why), "%s", why.text);
    cr_assert(check_log(NULL, 0, NULL, 0, &why));
}

Test(check_log, another_digest_or_term_is_found)
{
    struct log_applied digest[] = {{2, 1, 12}, {3, 2, 99}};
    cr_assert_not(two_runs((struct log_run){.applied = digest, .count = 2, .start = 1}, NULL, 0));
    SAYS("index 3: one has term 2");
    struct log_applied term[] = {{3, 3, 13}};
    cr_assert_not(two_runs((struct log_run){.applied = term, .count = 1, .start = 2}, NULL, 0));
    SAYS("two has term 3");
}

Test(check_log, a_gap_and_a_repetition_are_found)
{
    struct log_applied gap[] = {{1, 1, 11}, {3, 2, 13}};
    cr_assert_not(two_runs((struct log_run){.applied = gap, .count = 2}, NULL, 0));
    SAYS("two applied index 3 after 1");
    struct log_applied twice[] = {{1, 1, 11}, {1, 1, 11}};
    cr_assert_not(two_runs((struct log_run){.applied = twice, .count = 2}, NULL, 0));
    /* It claims a snapshot at 2, and applies 4. */
    cr_assert_not(
        two_runs((struct log_run){.applied = whole + 3, .count = 1, .start = 2}, NULL, 0));
}

Test(check_log, a_term_that_falls_is_found)
{
    struct log_applied falls[] = {{5, 3, 15}, {6, 2, 16}};
    cr_assert_not(two_runs((struct log_run){.applied = falls, .count = 2, .start = 4}, NULL, 0));
    SAYS("after term 3");
}

Test(check_log, what_was_acknowledged_is_there)
{
    struct log_run empty = {0};
    cr_assert_not(two_runs(empty, &(struct log_ack){5, 15}, 1));
    SAYS("nobody applied it");
    cr_assert_not(two_runs(empty, &(struct log_ack){4, 15}, 1));
    SAYS("acknowledged with digest");
    struct log_run shorter = {.applied = whole, .count = 3, .complete = true};
    cr_assert_not(two_runs(shorter, &(struct log_ack){4, 14}, 1));
    SAYS("two ends at 3");
    shorter.complete = false;
    cr_assert(two_runs(shorter, &(struct log_ack){4, 14}, 1), "%s", why.text);
}
