/* RocksDB as we use it: batches, bounds, snapshots, and what it says when something is wrong. */
#include "store_lib.h"

#include <sys/stat.h>
#include <unistd.h>

TestSuite(rocks, .timeout = 30);

static struct rocks *open_at(const char *path, enum rocks_kind kind)
{
    struct rocks *db = NULL;
    struct reason why = {0};
    cr_assert_eq(rocks_open(path, kind, &db, &why), OK, "%s", why.text);
    return db;
}

static void put(struct rocks *db, struct bytes key, struct bytes value, bool sync)
{
    struct rocks_batch *batch = rocks_batch_new();
    struct reason why = {0};
    rocks_batch_put(batch, key, value);
    cr_assert_eq(rocks_write(db, batch, sync, &why), OK, "%s", why.text);
    rocks_batch_free(batch);
}

static bool has(struct rocks *db, struct bytes key)
{
    struct rocks_slice slice = {0};
    enum err e = rocks_get(db, NULL, key, &slice, NULL);
    rocks_slice_close(&slice);
    cr_assert(e == OK || e == ERR_NOT_FOUND);
    return e == OK;
}

static void check_keys(struct rocks *db, struct bytes from, struct bytes to, const char *want)
{
    char text[256] = "";
    struct rocks_iter *it = rocks_iter_new(db, NULL, from, to);
    for (rocks_iter_first(it); rocks_iter_valid(it); rocks_iter_next(it)) {
        strncat(text, rocks_iter_key(it).ptr, rocks_iter_key(it).len);
    }
    cr_assert_eq(rocks_iter_error(it, NULL), OK);
    rocks_iter_free(it);
    cr_assert_str_eq(text, want);
}

Test(rocks, a_batch_happens_in_order_and_can_be_used_again)
{
    struct rocks *db = open_at(NULL, ROCKS_LOG);
    struct rocks_batch *batch = rocks_batch_new();
    rocks_batch_put(batch, S("a"), S("1"));
    rocks_batch_put(batch, S("b"), S("2"));
    rocks_batch_delete(batch, S("a"));
    cr_assert_eq(rocks_batch_count(batch), 3);
    cr_assert_eq(rocks_write(db, batch, true, NULL), OK);
    rocks_batch_clear(batch);
    cr_assert_eq(rocks_batch_count(batch), 0);
    rocks_batch_put(batch, S("c"), S(""));
    cr_assert_eq(rocks_write(db, batch, true, NULL), OK);
    rocks_batch_free(batch);
    cr_assert(!has(db, S("a")));
    cr_assert(has(db, S("b")));
    cr_assert(has(db, S("c")));
    rocks_close(db);
}

Test(rocks, bounds_and_ranges_are_half_open)
{
    struct rocks *db = open_at(NULL, ROCKS_STATE);
    const char *keys = "abcdef";
    for (size_t i = 0; i < 6; i++) {
        put(db, (struct bytes){keys + i, 1}, S("v"), false);
    }
    check_keys(db, S(""), S(""), "abcdef");
    check_keys(db, S("b"), S("e"), "bcd");
    check_keys(db, S("e"), S(""), "ef");
    check_keys(db, S("x"), S(""), "");
    struct rocks_batch *batch = rocks_batch_new();
    rocks_batch_delete_range(batch, S("b"), S("d"));
    cr_assert_eq(rocks_write(db, batch, false, NULL), OK);
    rocks_batch_free(batch);
    check_keys(db, S(""), S(""), "adef");
    struct rocks_iter *it = rocks_iter_new(db, NULL, S("a"), S("f"));
    rocks_iter_last(it);
    cr_assert_bytes(rocks_iter_key(it), S("e"));
    rocks_iter_prev(it);
    cr_assert_bytes(rocks_iter_key(it), S("d"));
    rocks_iter_seek(it, S("b"));
    cr_assert_bytes(rocks_iter_key(it), S("d"));
    rocks_iter_free(it);
    rocks_close(db);
}

Test(rocks, a_snapshot_stays_and_a_slice_survives_the_write)
{
    struct rocks *db = open_at(NULL, ROCKS_STATE);
    put(db, S("a"), S("old"), false);
    struct rocks_snapshot *s = rocks_snapshot_new(db);
    put(db, S("a"), S("new"), false);
    cr_assert_eq(rocks_flush(db, NULL), OK);
    struct rocks_slice slice = {0};
    cr_assert_eq(rocks_get(db, s, S("a"), &slice, NULL), OK);
    cr_assert_bytes(slice.value, S("old"));
    cr_assert_eq(rocks_get(db, NULL, S("a"), &slice, NULL), OK);
    cr_assert_bytes(slice.value, S("new"));
    put(db, S("a"), S("newest"), false);
    cr_assert_bytes(slice.value, S("new"));
    rocks_slice_close(&slice);
    rocks_slice_close(&slice);
    rocks_snapshot_free(s);
    cr_assert_gt(rocks_memory(db), 0);
    rocks_close(db);
}

Test(rocks, a_synced_write_survives_a_crash)
{
    char *dir = bench_dir();
    char *crashed = bench_dir();
    struct rocks *db = open_at(dir, ROCKS_LOG);
    put(db, S("a"), S("1"), true);
    bench_shell("cp -r '%s/.' '%s'", dir, crashed);
    rocks_close(db);
    db = open_at(crashed, ROCKS_LOG);
    cr_assert(has(db, S("a")));
    rocks_close(db);
    bench_dir_free(dir);
    bench_dir_free(crashed);
}

/* --- what can be wrong ----------------------------------------------------------------------- */

Test(rocks, a_file_in_place_of_the_directory_is_said)
{
    char *dir = bench_dir();
    char path[128];
    snprintf(path, sizeof(path), "%s/file", dir);
    bench_shell("echo > '%s'%s", path, "");
    struct rocks *db = NULL;
    struct reason why = {0};
    cr_assert_neq(rocks_open(path, ROCKS_LOG, &db, &why), OK);
    cr_assert_not_null(strstr(why.text, path));
    bench_dir_free(dir);
}

Test(rocks, a_damaged_table_is_corrupt)
{
    char *dir = bench_dir();
    struct rocks *db = open_at(dir, ROCKS_STATE);
    put(db, S("a"), S("some value that is long enough to be found in the file"), false);
    rocks_close(db);
    /* In the middle of the first data block. */
    bench_shell("printf XXXX | dd of=\"$(ls '%s'/*.sst)\" bs=1 seek=20 conv=notrunc status=none%s",
                dir, "");
    db = open_at(dir, ROCKS_STATE);
    struct rocks_slice slice = {0};
    struct reason why = {0};
    cr_assert_eq(rocks_get(db, NULL, S("a"), &slice, &why), ERR_CORRUPT);
    cr_assert_not_null(strstr(why.text, ".sst"));
    rocks_close(db);
    bench_dir_free(dir);
}
