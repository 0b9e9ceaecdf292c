/* Streams that tell the truth, and each way in which one may not. */
#include "tests/sim/check_stream.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SET(i, n, k, d)                                                                            \
    {                                                                                              \
        i, n, STREAM_SET, {k, sizeof(k) - 1}, d                                                    \
    }
#define DELETE(i, n, k)                                                                            \
    {                                                                                              \
        i, n, STREAM_DELETE, {k, sizeof(k) - 1}, 0                                                 \
    }
#define SWEEP(i, n, k)                                                                             \
    {                                                                                              \
        i, n, STREAM_DELETE_PREFIX, {k, sizeof(k) - 1}, 0                                          \
    }

/* Index 6 has three events, 4 and 8 none. */
static const struct stream_event log_a[] = {
    SET(2, 0, "a/1", 21), SET(3, 0, "b/1", 31), DELETE(5, 0, "a/1"), SET(6, 0, "a/1", 61),
    SET(6, 1, "a/2", 62), SET(6, 2, "b/2", 63), SWEEP(7, 0, "b/"),   SET(9, 0, "a/2", 91),
};
static const struct stream_event log_b[] = {SET(10, 0, "a/9", 109)};

static const struct stream_truth truths[] = {
    {.epoch = 1, .head = 10, .events = log_a, .count = COUNT(log_a)},
    {.epoch = 2, .head = 12, .events = log_b, .count = COUNT(log_b)},
};

static struct reason why;

static enum stream_match under_a(void *ctx, const struct stream_event *e)
{
    (void)ctx;
    return bytes_begins(e->key, BYTES("a/")) ? STREAM_MUST
           : e->op == STREAM_DELETE_PREFIX   ? STREAM_MAY
                                             : STREAM_MUST_NOT;
}

static bool
checked(const struct stream_record *records, size_t count, stream_match_fn match, uint64_t reach)
{
    struct stream_log log = {
        .name = "sub",
        .match = match,
        .records = records,
        .count = count,
        .reach = reach,
    };
    why.text[0] = '\0';
    return check_stream(truths, COUNT(truths), &log, &why);
}

#define FROM(a)                                                                                    \
    {                                                                                              \
        .kind = STREAM_FROM, .epoch = 1, .after = (a)                                              \
    }
#define MARK(t)                                                                                    \
    {                                                                                              \
        .kind = STREAM_MARK, .epoch = 1, .through = (t)                                            \
    }
#define BATCH(a, t, e) BATCH_N(a, t, e, COUNT(e))
#define BATCH_N(a, t, e, c)                                                                        \
    {                                                                                              \
        .kind = STREAM_BATCH, .epoch = 1, .after = (a), .through = (t), .events = (e),             \
        .count = (c)                                                                               \
    }
#define PART(a, t, e, c)                                                                           \
    {                                                                                              \
        .kind = STREAM_BATCH, .epoch = 1, .after = (a), .through = (t), .part = true,              \
        .events = (e), .count = (c)                                                                \
    }
#define FINE(match, reach, ...)                                                                    \
    do {                                                                                           \
        struct stream_record r[] = {__VA_ARGS__};                                                  \
        cr_assert(checked(r, COUNT(r), match, reach), "%s", why.text);                             \
    } while (0)
#define WRONG(match, says, ...)                                                                    \
    do {                                                                                           \
        struct stream_record r[] = {__VA_ARGS__};                                                  \
        cr_assert_not(checked(r, COUNT(r), match, 0));                                             \
        cr_assert_not_null(strstr(why.text, says), "%s", why.text);                                \
    } while (0)

Test(check_stream, everything_in_order_is_fine)
{
    FINE(NULL, 10, FROM(0), BATCH_N(0, 4, log_a, 2), BATCH_N(4, 9, log_a + 2, 6), MARK(10));
    /* A wire that does not tell n. */
    struct stream_event bare[] = {SET(6, 0, "a/1", 61), SET(6, 0, "a/2", 62), SET(6, 0, "b/2", 63)};
    FINE(NULL, 6, FROM(5), BATCH(5, 6, bare));
}

Test(check_stream, a_filter_may_leave_out_and_may_not)
{
    struct stream_event mine[] = {SET(2, 0, "a/1", 21), DELETE(5, 0, "a/1"), SET(6, 0, "a/1", 61),
                                  SET(6, 1, "a/2", 62)};
    struct stream_event sweep[] = {SWEEP(7, 0, "b/")};
    FINE(under_a, 8, FROM(0), BATCH(0, 6, mine), MARK(8));
    FINE(under_a, 8, FROM(0), BATCH(0, 6, mine), BATCH(6, 8, sweep));
    WRONG(under_a, "was not asked for", FROM(0), BATCH_N(0, 4, log_a, 2));
    WRONG(under_a, "missed set of \"a/2\" at 9", FROM(7), MARK(9));
}

Test(check_stream, what_is_missed_is_found)
{
    WRONG(NULL, "missed set of \"b/1\" at 3", FROM(0), BATCH_N(0, 4, log_a, 1));
    WRONG(NULL, "missed set of \"a/1\" at 2", FROM(0), BATCH_N(0, 4, log_a + 1, 1));
    WRONG(NULL, "missed", FROM(0), MARK(2));
    /* The middle of an index. */
    struct stream_event torn[] = {SET(6, 0, "a/1", 61), SET(6, 2, "b/2", 63)};
    WRONG(NULL, "missed set of \"a/2\" at 6", FROM(5), BATCH(5, 6, torn));
}

Test(check_stream, what_comes_twice_or_never_was_is_found)
{
    struct stream_event twice[] = {SET(2, 0, "a/1", 21), SET(2, 0, "a/1", 21)};
    WRONG(NULL, "never happened, or came before", FROM(0), BATCH(0, 2, twice));
    WRONG(NULL, "is not after 2", FROM(0), BATCH_N(0, 2, log_a, 1), BATCH_N(2, 3, log_a, 2));
    struct stream_event value[] = {SET(2, 0, "a/1", 22)};
    WRONG(NULL, "missed set of \"a/1\" at 2; got set", FROM(0), BATCH(0, 2, value));
    struct stream_event never[] = {SET(4, 0, "a/1", 41)};
    WRONG(NULL, "never happened", FROM(3), BATCH(3, 4, never));
}

Test(check_stream, disorder_is_found)
{
    struct stream_event swapped[] = {SET(3, 0, "b/1", 31), SET(2, 0, "a/1", 21)};
    WRONG(NULL, "missed", FROM(0), BATCH(0, 4, swapped));
    WRONG(under_a, "", FROM(0), BATCH(0, 4, swapped));
    struct stream_event inside[] = {SET(6, 1, "a/2", 62), SET(6, 0, "a/1", 61)};
    WRONG(NULL, "missed", FROM(5), BATCH(5, 6, inside));
}

Test(check_stream, batches_join)
{
    WRONG(NULL, "begins after 4, the cursor is 3", FROM(0), BATCH_N(0, 3, log_a, 2),
          BATCH_N(4, 5, log_a + 2, 1));
    WRONG(NULL, "begins after 2", FROM(0), BATCH_N(0, 3, log_a, 2), BATCH_N(2, 4, log_a, 0));
    WRONG(NULL, "from 4 back to 3", FROM(4), BATCH_N(4, 3, log_a, 0));
    WRONG(NULL, "a mark goes from 4 back", FROM(4), MARK(3));
    WRONG(NULL, "past through 4", FROM(4), BATCH_N(4, 4, log_a + 2, 1));
    WRONG(NULL, "before a start", BATCH_N(0, 4, log_a, 2));
    WRONG(NULL, "before a start", MARK(1));
}

/* All of index 6 comes in one batch, or in parts that follow each other. */
Test(check_stream, an_index_is_not_torn)
{
    FINE(NULL, 6, FROM(4), PART(4, 5, log_a + 2, 2), BATCH_N(5, 6, log_a + 4, 2));
    FINE(NULL, 9, FROM(5), PART(5, 5, log_a + 3, 1), PART(5, 5, log_a + 4, 1),
         BATCH_N(5, 9, log_a + 5, 3));
    /* The connection breaks between them: the resume begins with the index again. */
    FINE(NULL, 6, FROM(5), PART(5, 5, log_a + 3, 2), FROM(5), BATCH_N(5, 6, log_a + 3, 3));
    WRONG(NULL, "missed", FROM(5), PART(5, 5, log_a + 3, 2), FROM(5), BATCH_N(5, 6, log_a + 5, 1));
    WRONG(NULL, "a mark between", FROM(5), PART(5, 5, log_a + 3, 2), MARK(6));
    WRONG(NULL, "does not follow", FROM(5), PART(5, 5, log_a + 3, 2), BATCH_N(5, 6, log_a, 0));
    WRONG(NULL, "open indexes 6 and 7", FROM(5), PART(5, 5, log_a + 3, 4));
}

Test(check_stream, a_resume_continues_at_the_cursor)
{
    FINE(NULL, 9, FROM(0), BATCH_N(0, 3, log_a, 2), FROM(3), BATCH_N(3, 9, log_a + 2, 6));
    WRONG(NULL, "resumes after 4", FROM(0), BATCH_N(0, 3, log_a, 2), FROM(4));
    WRONG(NULL, "resumes after 2", FROM(0), BATCH_N(0, 3, log_a, 2), FROM(2));
    WRONG(NULL, "of epoch 2", FROM(3), {.kind = STREAM_FROM, .epoch = 2, .after = 3});
    WRONG(NULL, "never was", {.kind = STREAM_FROM, .epoch = 7});
    WRONG(NULL, "epoch 2 in a stream of 1", FROM(3),
          {.kind = STREAM_MARK, .epoch = 2, .through = 4});
}

Test(check_stream, compacted_only_when_it_is)
{
    FINE(NULL, 9, FROM(2), {.kind = STREAM_COMPACTED, .epoch = 1, .oldest = 5}, FROM(5),
         BATCH_N(5, 9, log_a + 3, 5));
    FINE(
        NULL, 12, FROM(9), {.kind = STREAM_COMPACTED, .epoch = 2},
        {.kind = STREAM_FROM, .epoch = 2, .after = 9},
        {.kind = STREAM_BATCH, .epoch = 2, .after = 9, .through = 12, .events = log_b, .count = 1});
    WRONG(NULL, "can be resumed", FROM(5), {.kind = STREAM_COMPACTED, .epoch = 1, .oldest = 5});
    WRONG(NULL, "can be resumed", FROM(5), {.kind = STREAM_COMPACTED, .epoch = 1});
    WRONG(NULL, "before a start", FROM(2), {.kind = STREAM_COMPACTED, .epoch = 1, .oldest = 5},
          MARK(9));
}

Test(check_stream, nothing_is_ahead)
{
    WRONG(NULL, "the log ends at 10", FROM(9), MARK(11));
    WRONG(NULL, "committed was 8", FROM(8),
          {.kind = STREAM_MARK, .epoch = 1, .through = 9, .committed = 8});
    WRONG(NULL, "committed was 5", FROM(5),
          {.kind = STREAM_BATCH,
           .epoch = 1,
           .after = 5,
           .through = 5,
           .committed = 5,
           .part = true,
           .events = log_a + 3,
           .count = 1});
}

Test(check_stream, a_snapshot_is_the_state)
{
    struct stream_event at_6[] = {SET(6, 0, "a/2", 62), SET(6, 0, "a/1", 61), SET(3, 0, "b/1", 31),
                                  SET(6, 0, "b/2", 63)};
    struct stream_event at_8[] = {SET(6, 0, "a/1", 61), SET(6, 0, "a/2", 62)};
#define SNAPSHOT(t, e, c)                                                                          \
    {.kind = STREAM_SNAPSHOT, .epoch = 1, .through = (t), .events = (e), .count = (c)}
    FINE(NULL, 9, SNAPSHOT(6, at_6, 4), BATCH_N(6, 9, log_a + 6, 2));
    FINE(NULL, 8, SNAPSHOT(8, at_8, 2));
    FINE(under_a, 6, SNAPSHOT(6, at_8, 2));
    FINE(NULL, 5, SNAPSHOT(5, at_6 + 2, 1));
    WRONG(NULL, "has 4 keys, wanted 2", SNAPSHOT(8, at_6, 4));
    WRONG(NULL, "wanted set of \"b/1\"",
          SNAPSHOT(6, ((struct stream_event[]){at_6[0], at_6[1], at_6[3]}), 3));
    WRONG(NULL, "wanted set of \"a/2\" at 9", SNAPSHOT(9, at_8, 2));
    WRONG(NULL, "begins after 7", SNAPSHOT(6, at_6, 4), BATCH_N(7, 9, log_a + 7, 1));
}

Test(check_stream, it_arrives)
{
    struct stream_record r[] = {FROM(0), BATCH_N(0, 4, log_a, 2)};
    cr_assert(checked(r, 2, NULL, 4));
    cr_assert_not(checked(r, 2, NULL, 5));
    cr_assert_not_null(strstr(why.text, "ends at 4, not at 5"), "%s", why.text);
    cr_assert_not(checked(r, 0, NULL, 1));
}
