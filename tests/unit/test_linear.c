/* Histories made by hand: what the linearizability checker must accept, and what it must not. Each
 * one is judged twice where both ways apply: by the order of the log and by the search alone. */
#include "tests/sim/linear.h"

#include <criterion/criterion.h>
#include <string.h>

static struct linear_report report;
static struct linear_report searched;

static void read_text(struct history *h, const char *text)
{
    struct reason why = {0};
    history_init(h);
    FILE *f = fmemopen((void *)text, strlen(text), "r");
    cr_assert_not_null(f);
    enum err e = history_read(h, f, &why);
    cr_assert_eq(e, OK, "%s", why.text);
    fclose(f);
}

/* Both ways must agree; the verdict, with its text in `report`. */
static enum linear_verdict judge(const char *text)
{
    struct history h;
    read_text(&h, text);
    linear_check(&h, NULL, &report);
    linear_check(&h, &(struct linear_options){.search_only = true}, &searched);
    cr_assert_eq(report.verdict, searched.verdict, "%s, alone the search says %s\n%s\n%s",
                 linear_verdict_name(report.verdict), linear_verdict_name(searched.verdict),
                 report.text, searched.text);
    history_close(&h);
    return report.verdict;
}

static enum linear_verdict judge_stale(const char *text)
{
    struct history h;
    read_text(&h, text);
    linear_check_stale(&h, &report);
    history_close(&h);
    return report.verdict;
}

#define FINE(lines)     cr_assert_eq(judge(lines), LINEAR_OK, "%s", report.text)
#define VIOLATES(lines) cr_assert_eq(judge(lines), LINEAR_VIOLATION)
#define SAYS(part)      cr_assert_not_null(strstr(report.text, part), "%s", report.text)

/* --- fine ------------------------------------------------------------------------------------ */

Test(linear, nothing_is_fine)
{
    FINE("# nothing\n");
    cr_assert_eq(report.keys, 0);
}

Test(linear, write_then_read_is_fine)
{
    FINE("1 1 2 get k - - ok - -\n"
         "1 3 4 set k a - ok - 5\n"
         "2 5 6 get k - - ok a 5\n");
    cr_assert_eq(report.keys_searched, 0);
    cr_assert_eq(report.ops, 3);
}

/* A read beside a write may see the old and the new; two of them in that order. */
Test(linear, reads_beside_a_write_see_either)
{
    FINE("1 1 10 set k a - ok - 5\n"
         "2 2 3 get k - - ok - -\n"
         "2 4 5 get k - - ok a 5\n");
    VIOLATES("1 1 10 set k a - ok - 5\n"
             "2 2 3 get k - - ok a 5\n"
             "2 4 5 get k - - ok - -\n");
}

Test(linear, delete_makes_missing)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 4 delete k - - ok - 6\n"
         "1 5 6 get k - - ok - -\n"
         "1 7 8 delete k - - ok - 7\n"
         "1 9 10 delete-cas k - 3 ok - 8\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 delete k - - ok - 6\n"
             "1 5 6 get k - - ok a 5\n");
}

/* Also without any index: then the search has to find the order. */
Test(linear, indexes_need_not_be_known)
{
    FINE("1 1 9 set k a - ok - -\n"
         "2 2 8 set k b - ok - -\n"
         "3 3 4 get k - - ok b -\n"
         "3 5 6 get k - - ok a -\n");
    cr_assert_eq(report.keys_searched, 1);
    VIOLATES("1 1 9 set k a - ok - -\n"
             "2 2 8 set k b - ok - -\n"
             "3 3 4 get k - - ok b -\n"
             "3 5 6 get k - - ok a -\n"
             "3 7 8 get k - - ok b -\n");
}

/* A read of a value that was written once tells the index of the write. */
Test(linear, indexes_are_learned_from_reads)
{
    FINE("1 1 2 set k a - ok - -\n"
         "2 3 4 get k - - ok a 5\n"
         "1 5 6 cas k b 5 ok - -\n"
         "2 7 8 get k - - ok b 6\n");
    cr_assert_eq(report.keys_searched, 0);
    VIOLATES("1 1 2 set k a - ok - -\n"
             "2 3 4 get k - - ok a 5\n"
             "1 5 6 cas k b 5 ok - -\n"
             "2 7 8 get k - - ok b 4\n");
}

Test(linear, a_write_of_the_same_value_keeps_the_index)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 4 set k a - ok - 6\n"
         "1 5 6 get k - - ok a 5\n"
         "1 7 8 cas k a 5 ok - 7\n"
         "1 9 10 cas k b 5 ok - 8\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 set k a - ok - 6\n"
             "1 5 6 get k - - ok a 6\n");
}

Test(linear, keys_are_judged_one_by_one)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "2 3 4 get l - - ok - -\n"
         "1 5 6 set l a - ok - 6\n"
         "2 7 8 get l - - ok a 6\n");
    cr_assert_eq(report.keys, 2);
}

Test(linear, refused_writes_never_were)
{
    FINE("1 1 2 set k a - refused - -\n"
         "1 3 4 get k - - ok - -\n");
    VIOLATES("1 1 2 set k a - refused - -\n"
             "1 3 4 get k - - ok a 5\n");
    SAYS("nobody wrote");
}

/* --- violations ------------------------------------------------------------------------------ */

Test(linear, lost_update_violates)
{
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 set k b - ok - 6\n"
             "2 5 6 get k - - ok a 5\n");
    SAYS("key \"k\"");
    SAYS("> 2 5 6 get k - - ok a 5");
    SAYS("  1 3 4 set k b - ok - 6");
}

/* Both were told that they had changed index 5. */
Test(linear, two_cas_on_one_index_violate)
{
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 6 cas k b 5 ok - 6\n"
             "2 4 7 cas k c 5 ok - 7\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 6 cas k b 5 ok - -\n"
             "2 4 7 cas k c 5 ok - -\n");
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 6 cas k b 5 ok - 7\n"
         "2 4 7 cas k c 5 failed - 8\n");
}

Test(linear, cas_of_index_0_creates_only)
{
    FINE("1 1 2 cas k a 0 ok - 5\n"
         "1 3 4 cas k b 0 failed - -\n"
         "1 5 6 delete k - - ok - 6\n"
         "1 7 8 cas k b 0 ok - 7\n");
    VIOLATES("1 1 2 cas k a 0 ok - 5\n"
             "1 3 4 cas k b 0 ok - 6\n");
    VIOLATES("1 1 2 cas k a 0 failed - -\n");
}

/* What a condition named was there at the end of its time, not yet at the beginning. */
Test(linear, a_failed_condition_may_be_earlier)
{
    FINE("1 1 4 set k a - ok - 5\n"
         "2 2 6 cas k b 5 failed - -\n");
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 6 set k b - ok - 6\n"
         "2 4 8 delete-cas k - 6 failed - -\n");
    VIOLATES("1 1 4 set k a - ok - 5\n"
             "2 2 6 delete-cas k - 5 failed - -\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 6 set k b - ok - 6\n"
             "2 7 8 delete-cas k - 6 failed - -\n");
}

Test(linear, delete_cas_needs_its_index)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 4 delete-cas k - 4 failed - -\n"
         "1 3 4 delete-cas k - 0 failed - -\n"
         "1 5 6 delete-cas k - 5 ok - 6\n"
         "1 7 8 get k - - ok - -\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 delete-cas k - 4 ok - 6\n");
    VIOLATES("1 1 2 delete-cas k - 4 failed - -\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 delete-cas k - 5 failed - -\n");
}

Test(linear, a_value_never_written_violates)
{
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 get k - - ok b 5\n");
    SAYS("nobody wrote");
    VIOLATES("1 1 2 get k - - ok a 5\n"
             "1 3 4 set k a - ok - 5\n");
}

/* The log's order contradicts real time, for one key and for two. */
Test(linear, index_order_is_real_time_order)
{
    VIOLATES("1 1 2 set k a - ok - 6\n"
             "1 3 4 set k b - ok - 5\n");
    VIOLATES("1 1 2 set k a - ok - 6\n"
             "1 3 4 set l b - ok - 5\n");
    SAYS("the log");
    FINE("1 1 3 set k a - ok - 6\n"
         "2 2 4 set l b - ok - 5\n");
}

Test(linear, one_index_is_one_write)
{
    VIOLATES("1 1 4 set k a - ok - 5\n"
             "2 2 3 set k b - ok - 5\n");
    VIOLATES("1 1 4 set k a - ok - -\n"
             "2 2 3 set k b - ok - -\n"
             "3 5 6 get k - - ok a 5\n"
             "3 7 8 get k - - ok b 5\n");
}

/* --- unknown fates --------------------------------------------------------------------------- */

Test(linear, an_unknown_write_may_show_later)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 4 set k b - unknown - -\n"
         "2 5 6 get k - - ok a 5\n"
         "2 7 8 get k - - ok b 6\n"
         "2 9 10 get k - - ok b 6\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 4 set k b - unknown - -\n"
             "2 5 6 get k - - ok b 6\n"
             "2 7 8 get k - - ok a 5\n");
    /* Not before it was asked for. */
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "2 3 4 get k - - ok b 6\n"
             "1 5 - set k b - unknown - -\n");
}

Test(linear, an_unknown_write_may_never_show)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 4 set k b - unknown - -\n"
         "2 5 6 get k - - ok a 5\n"
         "2 7 8 get k - - ok a 5\n");
    cr_assert_eq(report.keys_searched, 0);
    cr_assert_eq(report.unknown, 1);
}

/* Nobody read it, and it explains why the condition failed and the key is gone. */
Test(linear, an_unknown_write_explains_others)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 - set k b - unknown - -\n"
         "2 5 6 cas k c 5 failed - -\n");
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 - delete k - - unknown - -\n"
         "2 5 6 get k - - ok - -\n"
         "2 7 8 cas k c 0 ok - 9\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 - delete k - - unknown - -\n"
             "2 5 6 get k - - ok - -\n"
             "2 7 8 get k - - ok a 5\n");
}

/* It is read by nobody: but the second a changed the key only because of it. */
Test(linear, an_unknown_write_explains_an_index)
{
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 - set k b - unknown - -\n"
         "2 4 5 set k a - ok - 7\n"
         "2 6 7 get k - - ok a 7\n");
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "2 4 5 set k a - ok - 7\n"
             "2 6 7 get k - - ok a 7\n");
}

/* It happened once, not twice. */
Test(linear, an_unknown_write_happens_once)
{
    VIOLATES("1 1 - set k b - unknown - -\n"
             "2 2 3 get k - - ok b -\n"
             "2 4 5 set k c - ok - -\n"
             "2 6 7 get k - - ok b -\n");
}

/* The log says that it happened, so it must be seen. */
Test(linear, an_unknown_write_with_an_index_happened)
{
    VIOLATES("1 1 2 set k a - ok - 5\n"
             "1 3 - set k b - unknown - 6\n"
             "2 5 6 set k c - ok - 7\n"
             "2 7 8 get k - - ok b 6\n");
    FINE("1 1 2 set k a - ok - 5\n"
         "1 3 - cas k b 4 unknown - 6\n"
         "2 7 8 get k - - ok a 5\n");
}

/* Past the bound it does not say that all is well. */
Test(linear, past_the_bound_it_is_undecided)
{
    struct history h;
    char text[4096];
    size_t at = 0;
    for (int i = 0; i < 24; i++) {
        at +=
            (size_t)snprintf(text + at, sizeof(text) - at, "%d 1 - delete k - - unknown - -\n", i);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%d 1 90 set k v%d - ok - -\n", 50 + i,
                               i);
    }
    snprintf(text + at, sizeof(text) - at,
             "99 91 92 get k - - ok v1 -\n99 93 94 get k - - ok v2 -\n");
    read_text(&h, text);
    linear_check(&h, &(struct linear_options){.steps_max = 1000}, &report);
    cr_assert_eq(report.verdict, LINEAR_UNDECIDED);
    cr_assert_eq(report.keys_undecided, 1);
    SAYS("not decided");
    history_close(&h);
}

/* --- stale reads ----------------------------------------------------------------------------- */

Test(linear, stale_reads_may_be_old_not_older_than_sent)
{
    const char *old = "1 1 2 set k a - ok - 5\n"
                      "1 3 4 set k b - ok - 6\n"
                      "2 5 6 get k - - ok a 5 stale 5 4\n";
    FINE(old);
    cr_assert_eq(judge_stale(old), LINEAR_OK, "%s", report.text);
    cr_assert_eq(report.ops, 1);
    cr_assert_eq(judge_stale("1 1 2 set k a - ok - 5\n"
                             "1 3 4 set k b - ok - 6\n"
                             "2 5 6 get k - - ok a 5 stale 5 6\n"),
                 LINEAR_VIOLATION);
    SAYS("behind the index");
    cr_assert_eq(judge_stale("2 5 6 get k - - ok - - stale 5 6\n"), LINEAR_VIOLATION);
}

Test(linear, stale_reads_see_what_was_written)
{
    cr_assert_eq(judge_stale("2 5 6 get k - - ok a 5 stale - -\n"), LINEAR_VIOLATION);
    cr_assert_eq(judge_stale("2 5 6 get k - - ok a 5 stale - -\n"
                             "1 7 8 set k a - ok - 5\n"),
                 LINEAR_VIOLATION);
    SAYS("before anybody");
    cr_assert_eq(judge_stale("1 1 2 set k a - ok - 5\n"
                             "1 3 4 set k b - ok - 6\n"
                             "2 5 6 get k - - ok a 6 stale - -\n"),
                 LINEAR_VIOLATION);
    SAYS("one index");
    cr_assert_eq(judge_stale("1 1 2 set k a - ok - 5\n"
                             "2 5 6 get k - - ok a 5 stale 4 -\n"),
                 LINEAR_VIOLATION);
    SAYS("X-Consul-Index");
}

/* --- the file -------------------------------------------------------------------------------- */

/* What is written is what is read. */
Test(linear, a_history_survives_its_file)
{
    struct history h;
    history_init(&h);
    uint32_t set = history_begin(&h, &(struct history_call){.client = 3,
                                                            .start = 10,
                                                            .kind = HISTORY_CAS,
                                                            .key = BYTES("a b/-"),
                                                            .value = BYTES("")});
    uint32_t get = history_begin(&h, &(struct history_call){.client = 4,
                                                            .start = 11,
                                                            .kind = HISTORY_GET,
                                                            .mode = HISTORY_STALE,
                                                            .key = BYTES("-"),
                                                            .sent = 7});
    history_begin(&h, &(struct history_call){
                          .client = 5, .start = 12, .kind = HISTORY_DELETE, .key = BYTES("%")});
    history_end(&h, set, &(struct history_answer){.end = 13, .outcome = HISTORY_OK, .index = 9});
    history_end(&h, get,
                &(struct history_answer){.end = 14,
                                         .outcome = HISTORY_OK,
                                         .found = true,
                                         .value = BYTES("x\ny"),
                                         .index = 8,
                                         .view = 8});
    char text[512] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");
    cr_assert_eq(history_write(&h, f), OK);
    fclose(f);
    cr_assert_str_eq(text, "3 10 13 cas a%20b/- \"\" 0 ok - 9\n"
                           "4 11 14 get %2D - - ok x%0Ay 8 stale 8 7\n"
                           "5 12 - delete %25 - - unknown - -\n");
    struct history again;
    read_text(&again, text);
    cr_assert_eq(again.count, h.count);
    for (size_t i = 0; i < h.count; i++) {
        struct buf a;
        struct buf b;
        buf_init(&a, 1024);
        buf_init(&b, 1024);
        history_line(&h, &h.ops[i], &a);
        history_line(&again, &again.ops[i], &b);
        cr_assert(bytes_equal(buf_view(&a), buf_view(&b)));
        buf_close(&a);
        buf_close(&b);
    }
    history_close(&again);
    history_close(&h);
}

/* A line that is not of the form is named, not skipped. */
Test(linear, a_wrong_line_is_refused)
{
    static const char *const wrong[] = {
        "1 1 2 put k a - ok - -\n",
        "1 1 2 set k a - ok -\n",
        "1 1 2 set k a - ok - - stale\n",
        "1 2 1 set k a - ok - -\n",
        "1 1 2 set k - - ok - -\n",
        "1 1 2 get k a - ok - -\n",
        "1 1 2 cas k a - ok - -\n",
        "1 1 2 set k a 3 ok - -\n",
        "1 1 2 set k a - failed - -\n",
        "1 1 - set k a - ok - -\n",
        "1 1 2 get k - - ok - 5\n",
        "1 1 2 get k - - unknown a 5\n",
        "x 1 2 get k - - ok - -\n",
        "1 1 2 get k%2 - - ok - -\n",
        "1 1 2 cas k a 18446744073709551615 ok - -\n",
        "1 1 2 set - a - ok - -\n",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct history h;
        struct reason why = {0};
        char text[128];
        snprintf(text, sizeof(text), "# first\n%s", wrong[i]);
        history_init(&h);
        FILE *f = fmemopen(text, strlen(text), "r");
        cr_assert_eq(history_read(&h, f, &why), ERR_INVALID, "%s", wrong[i]);
        cr_assert_not_null(strstr(why.text, "line 2"), "%s", why.text);
        fclose(f);
        history_close(&h);
    }
}
