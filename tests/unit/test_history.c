/* The kept changes: resuming from an index, the history of a key, trimming. */
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

TestSuite(history, .init = setup, .fini = teardown, .timeout = 20);

static void describe(struct change_scan *scan, char *text, size_t size)
{
    static const char *const marks[] = {"?", "=", "-", "*"};
    struct change c;
    enum err e;
    text[0] = '\0';
    while ((e = change_scan_next(scan, &c)) == OK) {
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%lu%s%.*s%.*s", len > 0 ? " " : "",
                 (unsigned long)c.index, marks[c.op], BYTES_FORMAT(c.key), BYTES_FORMAT(c.value));
    }
    cr_assert_eq(e, ERR_NOT_FOUND);
    change_scan_close(scan);
}

/* "1=a1 2-a": index, what (= set, - delete, * delete by prefix), key, value. */
static void check_after(uint64_t after, const char *want)
{
    char text[512];
    struct view *v = bench_view(&b);
    struct change_scan *scan = NULL;
    cr_assert_eq(change_scan_open(v, after, &scan), OK);
    describe(scan, text, sizeof(text));
    cr_assert_str_eq(text, want);
    view_unref(v);
}

static void check_key(struct bytes key, const char *want)
{
    char text[512];
    struct view *v = bench_view(&b);
    describe(change_scan_open_key(v, key), text, sizeof(text));
    cr_assert_str_eq(text, want);
    view_unref(v);
}

static void check_compacted(uint64_t after)
{
    struct view *v = bench_view(&b);
    struct change_scan *scan = NULL;
    cr_assert_eq(change_scan_open(v, after, &scan), ERR_COMPACTED);
    cr_assert_null(scan);
    view_unref(v);
}

static uint64_t oldest(void)
{
    struct view *v = bench_view(&b);
    uint64_t index = view_history_oldest(v);
    cr_assert_eq(index, state_history_oldest(b.state));
    view_unref(v);
    return index;
}

/* 1..6, stamped 1000, 2000, ...; 3 changes nothing. */
static void fill(void)
{
    b.time_ms = 1000;
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    b.time_ms = 2000;
    cr_assert_eq(bench_set(&b, S("b"), S("2")), OK);
    b.time_ms = 3000;
    cr_assert_eq(bench_set(&b, S("b"), S("2")), OK);
    b.time_ms = 4000;
    cr_assert_eq(bench_set(&b, S("a"), S("4")), OK);
    b.time_ms = 5000;
    cr_assert_eq(bench_delete(&b, S("b")), OK);
    b.time_ms = 6000;
    cr_assert_eq(bench_set(&b, S("b"), S("6")), OK);
}

Test(history, changes_come_from_any_index_on)
{
    fill();
    check_after(0, "1=a1 2=b2 4=a4 5-b 6=b6");
    check_after(1, "2=b2 4=a4 5-b 6=b6");
    check_after(2, "4=a4 5-b 6=b6");
    check_after(3, "4=a4 5-b 6=b6");
    check_after(5, "6=b6");
    check_after(6, "");
    check_after(7, "");
    check_after(UINT64_MAX, "");
    cr_assert_eq(oldest(), 0);
}

Test(history, what_a_change_says_is_what_was_written)
{
    cr_assert_eq(bench_set_flags(&b, S("a"), S("1"), 42), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("2")), OK);
    struct view *v = bench_view(&b);
    struct change_scan *scan = NULL;
    struct change c;
    cr_assert_eq(change_scan_open(v, 0, &scan), OK);
    cr_assert_eq(change_scan_next(scan, &c), OK);
    cr_assert_eq(c.flags, 42);
    cr_assert_eq(c.create_index, 1);
    cr_assert_eq(c.time_ms, 1000);
    cr_assert_eq(c.topic, CHANGE_KV);
    cr_assert_eq(change_scan_next(scan, &c), OK);
    cr_assert_eq(c.flags, 0);
    cr_assert_eq(c.create_index, 1);
    cr_assert_eq(c.index, 2);
    change_scan_close(scan);
    view_unref(v);
}

Test(history, a_view_without_changes_gives_none)
{
    check_after(0, "");
    check_key(S("a"), "");
    bench_trim(&b, (struct history_limits){.before_ms = UINT64_MAX});
    cr_assert_eq(oldest(), 0);
}

/* --- of one key ------------------------------------------------------------------------------ */

Test(history, a_key_has_its_changes_newest_first)
{
    fill();
    check_key(S("a"), "4=a4 1=a1");
    check_key(S("b"), "6=b6 5-b 2=b2");
    check_key(S("c"), "");
    check_key(S(""), "");
}

Test(history, a_key_remembers_that_its_prefix_was_deleted)
{
    cr_assert_eq(bench_set(&b, S("app/a"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("app/b"), S("2")), OK);
    cr_assert_eq(bench_set(&b, S("other"), S("3")), OK);
    cr_assert_eq(bench_delete_prefix(&b, S("app/")), OK);
    cr_assert_eq(bench_set(&b, S("app/b"), S("5")), OK);
    check_key(S("app/a"), "4*app/ 1=app/a1");
    check_key(S("app/b"), "5=app/b5 4*app/ 2=app/b2");
    check_key(S("other"), "3=other3");
    /* Under the prefix, but it did not live then. */
    check_key(S("app/c"), "");
    check_after(3, "4*app/ 5=app/b5");
}

/* --- trimming -------------------------------------------------------------------------------- */

Test(history, trimming_by_age_takes_the_oldest)
{
    fill();
    bench_trim(&b, (struct history_limits){.before_ms = 4000, .bytes_max = UINT64_MAX});
    cr_assert_eq(oldest(), 2);
    check_compacted(0);
    check_compacted(1);
    check_after(2, "4=a4 5-b 6=b6");
    check_after(3, "4=a4 5-b 6=b6");
    check_after(6, "");
    check_after(100, "");
    check_key(S("a"), "4=a4");
    check_key(S("b"), "6=b6 5-b");
}

Test(history, trimming_by_bytes_stops_at_the_limit)
{
    fill();
    uint64_t all = state_history_bytes(b.state);
    cr_assert_gt(all, 5 * 20);
    bench_trim(&b, (struct history_limits){.bytes_max = all});
    cr_assert_eq(oldest(), 0);
    bench_trim(&b, (struct history_limits){.bytes_max = all - 1});
    cr_assert_eq(oldest(), 1);
    check_after(1, "2=b2 4=a4 5-b 6=b6");
    bench_trim(&b, (struct history_limits){.bytes_max = 0});
    cr_assert_eq(oldest(), 6);
    cr_assert_eq(state_history_bytes(b.state), 0);
    check_compacted(5);
    check_after(6, "");
    check_key(S("a"), "");
    /* And it goes on from there. */
    cr_assert_eq(bench_set(&b, S("a"), S("7")), OK);
    check_after(6, "7=a7");
    check_key(S("a"), "7=a7");
}

Test(history, trimming_a_delete_prefix_takes_the_links_of_all_its_keys)
{
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "app/%d", i);
        cr_assert_eq(bench_set(&b, bytes_of(key), S("v")), OK);
    }
    bench_trim(&b, (struct history_limits){.bytes_max = 0});
    cr_assert_eq(state_history_bytes(b.state), 0);
    cr_assert_eq(bench_delete_prefix(&b, S("app/")), OK);
    check_key(S("app/4999"), "5001*app/");
    /* A link and a hash for each key. */
    cr_assert_gt(state_history_bytes(b.state), 5000 * 29);
    bench_trim(&b, (struct history_limits){.bytes_max = 0});
    cr_assert_eq(state_history_bytes(b.state), 0);
    cr_assert_eq(oldest(), 5001);
    check_key(S("app/4999"), "");
}

/* A step is bounded, and a trim of everything takes several. */
Test(history, trimming_goes_in_steps)
{
    for (int i = 0; i < 10000; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        cr_assert_eq(bench_set(&b, S("a"), bytes_of(value)), OK);
    }
    struct history_limits none = {0};
    bool more = false;
    cr_assert_eq(state_trim(b.state, &none, &more, NULL), OK);
    cr_assert(more);
    cr_assert_gt(oldest(), 0);
    cr_assert_leq(oldest(), HISTORY_TRIM_STEP);
    cr_assert_gt(state_history_bytes(b.state), 0);
    int steps = 1;
    while (more && steps < 100) {
        cr_assert_eq(state_trim(b.state, &none, &more, NULL), OK);
        steps++;
    }
    cr_assert_eq(oldest(), 10000);
    cr_assert_eq(state_history_bytes(b.state), 0);
    cr_assert_gt(steps, 2);
}

Test(history_on_disk, totals_and_edges_survive_a_restart)
{
    char *dir = bench_dir();
    bench_open(&b, dir);
    fill();
    bench_trim(&b, (struct history_limits){.before_ms = 2000, .bytes_max = UINT64_MAX});
    uint64_t bytes = state_history_bytes(b.state);
    bench_close(&b);
    bench_open(&b, dir);
    cr_assert_eq(state_history_bytes(b.state), bytes);
    cr_assert_eq(oldest(), 1);
    check_compacted(0);
    check_after(1, "2=b2 4=a4 5-b 6=b6");
    check_key(S("b"), "6=b6 5-b 2=b2");
    bench_trim(&b, (struct history_limits){0});
    cr_assert_eq(state_history_bytes(b.state), 0);
    bench_close(&b);
    bench_dir_free(dir);
}
