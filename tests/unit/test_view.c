/* Views stay as they are; scans go in byte order and never leave their prefix. */
#include "store_lib.h"

#include <pthread.h>

static struct bench b;

static void setup(void)
{
    bench_open(&b, NULL);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(view, .init = setup, .fini = teardown, .timeout = 20);

/* Joins what the scan still gives: "a b !c", a tombstone with `!`. */
static const char *rest_of(struct kv_scan *scan)
{
    static char text[512];
    text[0] = '\0';
    struct kv_row row;
    enum err e;
    while ((e = kv_scan_next(scan, &row)) == OK) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%s%.*s", len > 0 ? " " : "",
                 row.dead ? "!" : "", BYTES_FORMAT(row.key));
    }
    cr_assert_eq(e, ERR_NOT_FOUND);
    /* It stays at its end. */
    cr_assert_eq(kv_scan_next(scan, &row), ERR_NOT_FOUND);
    return text;
}

static void check_scan(struct bytes prefix, const char *want)
{
    struct view *v = bench_view(&b);
    struct kv_scan *scan = kv_scan_open(v, prefix);
    cr_assert_str_eq(rest_of(scan), want);
    kv_scan_close(scan);
    view_unref(v);
}

static void set_all(const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(bench_set(&b, bytes_of(keys[i]), S("v")), OK);
    }
}

#define SET_ALL(...)                                                                               \
    set_all((const char *const[]){__VA_ARGS__},                                                    \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

Test(view, an_old_view_does_not_change)
{
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("b"), S("1")), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(bench_set(&b, S("a"), S("2")), OK);
    cr_assert_eq(bench_delete(&b, S("b")), OK);
    cr_assert_eq(bench_set(&b, S("c"), S("1")), OK);
    cr_assert_eq(state_flush(b.state, NULL), OK);
    cr_assert_eq(view_index(v), 2);
    cr_assert_eq(view_kv_index(v), 2);
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_bytes(row.value, S("1"));
    cr_assert_eq(row.modify_index, 1);
    cr_assert_eq(view_kv_get(v, S("c"), &pin, &row), ERR_NOT_FOUND);
    struct kv_scan *scan = kv_scan_open(v, S(""));
    cr_assert_str_eq(rest_of(scan), "a b");
    kv_scan_close(scan);
    /* Its history, too, survives a trim. */
    bench_trim(&b, (struct history_limits){.before_ms = UINT64_MAX});
    struct change_scan *changes = NULL;
    struct change c;
    cr_assert_eq(change_scan_open(v, 0, &changes), OK);
    cr_assert_eq(change_scan_next(changes, &c), OK);
    cr_assert_eq(c.index, 1);
    cr_assert_eq(change_scan_next(changes, &c), OK);
    cr_assert_eq(change_scan_next(changes, &c), ERR_NOT_FOUND);
    change_scan_close(changes);
    view_pin_close(&pin);
    view_unref(v);
}

Test(view, the_last_reference_ends_it)
{
    struct view *v = bench_view(&b);
    struct view *same = view_ref(v);
    cr_assert_eq(v, same);
    view_unref(v);
    cr_assert_eq(view_index(same), 0);
    view_unref(same);
    view_unref(NULL);
}

Test(view, a_pin_keeps_its_row_while_the_state_moves_on)
{
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(bench_set(&b, S("a"), S("first")), OK);
    cr_assert_eq(state_flush(b.state, NULL), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("other")), OK);
    cr_assert_eq(state_flush(b.state, NULL), OK);
    cr_assert_bytes(row.value, S("first"));
    view_pin_close(&pin);
    view_pin_close(&pin);
    view_unref(v);
}

Test(view, scans_go_in_byte_order_with_tombstones)
{
    SET_ALL("b", "a/z", "a", "a/b", "\xc3\xa4", "B", "a0");
    cr_assert_eq(bench_delete(&b, S("a/b")), OK);
    check_scan(S(""), "B a !a/b a/z a0 b \xc3\xa4");
    check_scan(S("a"), "a !a/b a/z a0");
    check_scan(S("a/"), "!a/b a/z");
    check_scan(S("a/zz"), "");
    check_scan(S("zzz"), "");
}

Test(view, prefixes_of_0xff_and_empty_ones_have_an_end)
{
    SET_ALL("\xfe", "\xff", "\xff\xff", "\xff\xff\xff");
    check_scan(S("\xff\xff"), "\xff\xff \xff\xff\xff");
    check_scan(S("\xff"), "\xff \xff\xff \xff\xff\xff");
    check_scan(S(""), "\xfe \xff \xff\xff \xff\xff\xff");
}

Test(view, a_nul_in_a_key_is_a_byte_like_any_other)
{
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("a\0"), S("2")), OK);
    cr_assert_eq(bench_set(&b, S("a\0b"), S("3")), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_kv_get(v, S("a\0"), &pin, &row), OK);
    cr_assert_bytes(row.value, S("2"));
    struct kv_scan *scan = kv_scan_open(v, S("a\0"));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    cr_assert_bytes(row.key, S("a\0"));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    cr_assert_bytes(row.key, S("a\0b"));
    cr_assert_eq(kv_scan_next(scan, &row), ERR_NOT_FOUND);
    kv_scan_close(scan);
    view_pin_close(&pin);
    view_unref(v);
}

Test(view, a_seek_skips_to_the_first_key_not_below)
{
    SET_ALL("a/1", "a/2", "b/1", "b/2", "c");
    struct view *v = bench_view(&b);
    struct kv_row row;
    struct kv_scan *scan = kv_scan_open(v, S(""));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    kv_scan_seek(scan, S("a0"));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    cr_assert_bytes(row.key, S("b/1"));
    kv_scan_seek(scan, S("b/2"));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    cr_assert_bytes(row.key, S("b/2"));
    cr_assert_eq(kv_scan_next(scan, &row), OK);
    cr_assert_bytes(row.key, S("c"));
    kv_scan_seek(scan, S("d"));
    cr_assert_eq(kv_scan_next(scan, &row), ERR_NOT_FOUND);
    kv_scan_close(scan);
    view_unref(v);
}

Test(view, a_seek_never_leaves_the_prefix)
{
    SET_ALL("a", "b/1", "b/2", "c");
    struct view *v = bench_view(&b);
    struct kv_scan *scan = kv_scan_open(v, S("b/"));
    kv_scan_seek(scan, S("a"));
    cr_assert_str_eq(rest_of(scan), "b/1 b/2");
    kv_scan_seek(scan, S("c"));
    cr_assert_str_eq(rest_of(scan), "");
    kv_scan_close(scan);
    view_unref(v);
}

Test(view, keys_longer_than_any_are_not_there)
{
    static char longest[KV_KEY_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    struct bytes key = {longest, KV_KEY_MAX};
    struct bytes too_long = {longest, KV_KEY_MAX + 1};
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(bench_set(&b, key, S("v")), OK);
    cr_assert_eq(bench_set(&b, S("y"), S("v")), OK);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_kv_get(v, key, &pin, &row), OK);
    cr_assert_eq(view_kv_get(v, too_long, &pin, &row), ERR_NOT_FOUND);
    struct kv_scan *scan = kv_scan_open(v, too_long);
    cr_assert_str_eq(rest_of(scan), "");
    kv_scan_seek(scan, key);
    cr_assert_str_eq(rest_of(scan), "");
    kv_scan_close(scan);
    scan = kv_scan_open(v, S(""));
    kv_scan_seek(scan, too_long);
    cr_assert_str_eq(rest_of(scan), "y");
    kv_scan_close(scan);
    view_pin_close(&pin);
    view_unref(v);
}

/* --- threads --------------------------------------------------------------------------------- */

struct reading {
    _Atomic(struct view *) published; /* one reference, taken by whoever swaps it out */
    atomic_bool end;
    size_t reads;
};

/* Both keys are always written one after the other with the same value, so every view between two
 * rounds shows the same in both. */
static void *read_views(void *ctx)
{
    struct reading *r = ctx;
    while (!atomic_load(&r->end)) {
        struct view *v = atomic_exchange(&r->published, NULL);
        if (v == NULL) {
            continue;
        }
        struct view_pin pins[2] = {0};
        struct kv_row rows[2];
        cr_assert_eq(view_kv_get(v, S("a"), &pins[0], &rows[0]), OK);
        cr_assert_eq(view_kv_get(v, S("b"), &pins[1], &rows[1]), OK);
        cr_assert_bytes(rows[0].value, rows[1].value);
        cr_assert_eq(rows[1].modify_index, view_index(v));
        struct kv_scan *scan = kv_scan_open(v, S(""));
        cr_assert_eq(kv_scan_next(scan, &rows[0]), OK);
        kv_scan_close(scan);
        view_pin_close(&pins[0]);
        view_pin_close(&pins[1]);
        view_unref(v);
        r->reads++;
    }
    return NULL;
}

Test(view, other_threads_read_while_the_state_is_written)
{
    struct reading readers[2] = {0};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, read_views, &readers[i]), 0);
    }
    for (int i = 0; i < 2000; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        cr_assert_eq(bench_set(&b, S("a"), bytes_of(value)), OK);
        cr_assert_eq(bench_set(&b, S("b"), bytes_of(value)), OK);
        struct change_batch *batch = bench_finish(&b, b.index - 2);
        view_unref(atomic_exchange(&readers[i % 2].published, view_ref(batch->view)));
        change_batch_unref(batch);
    }
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&readers[i].end, true);
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        view_unref(atomic_exchange(&readers[i].published, NULL));
        cr_assert_gt(readers[i].reads, 0);
    }
}
