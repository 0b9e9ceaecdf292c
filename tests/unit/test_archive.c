/* A backup as a file: what goes in comes out, any tar reader takes it, and whatever is damaged is
 * refused. */
#include "core/api/archive.h"
#include "store/backup.h"
#include "store_lib.h"

#include <unistd.h>

static struct bench b;
static uint64_t dice = 20261122;

TestSuite(archive, .timeout = 60);

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

static void fill(size_t keys)
{
    static char value[5000];
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (char)roll(256);
    }
    bench_open(&b, NULL);
    for (size_t i = 0; i < keys; i++) {
        char key[32];
        struct bytes k = {key, (size_t)snprintf(key, sizeof(key), "key/%zu", i)};
        cr_assert_eq(bench_set_flags(&b, k, (struct bytes){value, roll(sizeof(value))}, i), OK);
    }
}

static uint64_t state_size(struct view *v)
{
    struct backup *backup = backup_open(v);
    struct buf piece;
    uint64_t size = ARCHIVE_HEAD_LEN;
    buf_init(&piece, RESTORE_CHUNK_MAX);
    while (backup_next(backup, &piece, NULL) == OK) {
        size += ARCHIVE_PIECE_LEN(piece);
    }
    buf_close(&piece);
    backup_close(backup);
    return size;
}

/* The archive of the state at hand, at once. */
static void make(struct buf *out)
{
    struct view *v = bench_view(&b);
    struct archive_meta meta = {
        .index = 77,
        .term = 3,
        .wall_ms = 1795367150964,
        .size = state_size(v),
        .server = "2bbca727-8124-8ebe-ef86-6c09c6b3f9e0",
        .address = "127.0.0.1:8300",
    };
    struct backup *backup = backup_open(v);
    struct buf piece;
    buf_init(out, MIB(16));
    buf_init(&piece, RESTORE_CHUNK_MAX);
    struct archive_writer *w = archive_writer_new(&meta, out);
    while (backup_next(backup, &piece, NULL) == OK) {
        cr_assert_eq(archive_write(w, buf_view(&piece)), OK);
    }
    cr_assert_eq(archive_finish(w), OK);
    archive_writer_free(w);
    buf_close(&piece);
    backup_close(backup);
    view_unref(v);
}

static void check_same_rows(const struct archive *a)
{
    struct view *v = bench_view(&b);
    struct kv_scan *scan = kv_scan_open(v, S(""));
    struct bytes piece;
    size_t at = 0;
    uint64_t rows = 0;
    while (archive_piece(a, &at, &piece)) {
        while (piece.len > 0) {
            struct kv_row want;
            struct backup_row row_have;
            cr_assert_eq(backup_row_next(&piece, &row_have), OK);
            struct kv_row have = row_have.kv;
            cr_assert_eq(kv_scan_next(scan, &want), OK);
            cr_assert_bytes(have.key, want.key);
            cr_assert_bytes(have.value, want.value);
            cr_assert_eq(have.flags, want.flags);
            cr_assert_eq(have.modify_index, want.modify_index);
            rows++;
        }
    }
    cr_assert_eq(rows, a->rows);
    struct kv_row row;
    cr_assert_eq(kv_scan_next(scan, &row), ERR_NOT_FOUND);
    kv_scan_close(scan);
    view_unref(v);
}

Test(archive, what_goes_in_comes_out)
{
    static const size_t sizes[] = {0, 1, 400};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buf file;
        struct archive a;
        struct reason why = {0};
        fill(sizes[i]);
        make(&file);
        cr_assert_eq(archive_open(buf_view(&file), &a, &why), OK, "%s", why.text);
        cr_assert_eq(a.rows, sizes[i]);
        cr_assert_eq(a.meta.index, 77);
        cr_assert_eq(a.meta.term, 3);
        cr_assert_eq(a.meta.version, 1);
        cr_assert_str_eq(a.meta.id, "3-77-1795367150964");
        cr_assert_str_eq(a.meta.server, "2bbca727-8124-8ebe-ef86-6c09c6b3f9e0");
        cr_assert_str_eq(a.meta.address, "127.0.0.1:8300");
        check_same_rows(&a);
        archive_close(&a);
        buf_close(&file);
        bench_close(&b);
    }
}

/* Other programs see three files, and sums that are right. */
Test(archive, tar_and_sha256sum_take_it)
{
    char *dir = bench_dir();
    char path[128];
    struct buf file;
    fill(50);
    make(&file);
    snprintf(path, sizeof(path), "%s/s.snap", dir);
    FILE *out = fopen(path, "wb");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(file.ptr, 1, file.len, out), file.len);
    cr_assert_eq(fclose(out), 0);
    bench_shell("cd '%s' && tar xzf s.snap && sha256sum --quiet -c SHA256SUMS%s", dir, "");
    bench_shell("cd '%s' && gzip -t < s.snap && test \"$(tar tzf s.snap | tr '\\n' ' ')\" = "
                "'meta.json state.bin SHA256SUMS '%s",
                dir, "");
    bench_shell("cd '%s' && test $(stat -c %%s state.bin) = "
                "$(grep -o '\"Size\":[0-9]*' meta.json | cut -d: -f2)%s",
                dir, "");
    buf_close(&file);
    bench_close(&b);
    bench_dir_free(dir);
}

static void check_refused(struct bytes file, const char *what, size_t at)
{
    struct archive a = {0};
    struct reason why = {0};
    enum err e = archive_open(file, &a, &why);
    cr_assert_eq(e, ERR_INVALID, "%s at %zu gives %s", what, at, err_name(e));
    cr_assert_eq(strstr(why.text, "failed to read snapshot file: "), why.text, "%s", why.text);
    cr_assert_null(a.tar.ptr);
}

Test(archive, every_flipped_bit_is_refused)
{
    struct buf file;
    fill(60);
    make(&file);
    for (int i = 0; i < 1000; i++) {
        size_t at = roll(file.len);
        char bit = (char)(1 << roll(8));
        file.ptr[at] ^= bit;
        check_refused(buf_view(&file), "a flip", at);
        file.ptr[at] ^= bit;
    }
    /* Its head and its end hold what gzip itself does not look at: each bit of them. */
    for (size_t i = 0; i < 400 * 8; i++) {
        size_t at = i / 8 < 200 ? i / 8 : file.len - 400 + i / 8;
        file.ptr[at] ^= (char)(1 << i % 8);
        check_refused(buf_view(&file), "a flip", at);
        file.ptr[at] ^= (char)(1 << i % 8);
    }
    buf_close(&file);
    bench_close(&b);
}

Test(archive, cut_anywhere_or_with_more_behind_it_is_refused)
{
    struct buf file;
    fill(10);
    make(&file);
    size_t len = file.len;
    for (size_t cut = 0; cut < len; cut++) {
        check_refused(bytes_slice(buf_view(&file), 0, cut), "a cut", cut);
    }
    buf_put_char(&file, '\0');
    check_refused(buf_view(&file), "a byte more", len);
    check_refused(S("not an archive"), "text", 0);
    buf_close(&file);
    bench_close(&b);
}

/* What is well sealed may still be wrong inside: a foreign tar, sums that are not those. */
Test(archive, a_wrong_tar_is_refused)
{
    struct buf file;
    struct archive a;
    struct archive again;
    struct reason why = {0};
    fill(20);
    make(&file);
    cr_assert_eq(archive_open(buf_view(&file), &a, &why), OK);
    struct buf tar;
    buf_init(&tar, MIB(16));
    buf_put(&tar, buf_view(&a.tar));
    cr_assert_eq(archive_open_tar(buf_view(&tar), &again, &why), OK);
    archive_close(&again);
    size_t state = (size_t)(a.state.ptr - a.tar.ptr);
    for (size_t i = 0; i < 1000; i++) {
        size_t at = roll(state + a.state.len);
        bool padding = tar.ptr[at] == '\0' && at > 512 && at < 1024;
        tar.ptr[at] ^= 1;
        enum err e = archive_open_tar(buf_view(&tar), &again, &why);
        cr_assert_eq(e, padding ? OK : ERR_INVALID, "at %zu", at);
        if (e == OK) {
            archive_close(&again);
        }
        tar.ptr[at] ^= 1;
    }
    archive_close(&a);
    buf_close(&tar);
    buf_close(&file);
    bench_close(&b);
}

Test(archive, a_writer_without_room_says_so)
{
    struct archive_meta meta = {.size = ARCHIVE_HEAD_LEN};
    struct buf out;
    buf_init(&out, 100);
    struct archive_writer *w = archive_writer_new(&meta, &out);
    cr_assert_eq(archive_finish(w), ERR_TOO_BIG);
    archive_writer_free(w);
    buf_clear(&out);
    meta.size++;
    w = archive_writer_new(&meta, &out);
    cr_assert_eq(archive_finish(w), ERR_INVALID);
    archive_writer_free(w);
    buf_close(&out);
}
