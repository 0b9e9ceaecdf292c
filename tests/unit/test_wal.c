/* Telling a torn end from damage, byte by byte, on files made here in the library's format. */
#include "core/base/mem.h"
#include "store/replica/wal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32768U

static void put_int(char *at, uint32_t value, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        at[i] = (char)(value >> (8 * i));
    }
}

static void put_part(struct buf *out, int type, const char *data, size_t len)
{
    char head[7];
    char *sum = mem_alloc(len + 1);
    sum[0] = (char)type;
    memcpy(sum + 1, data, len);
    uint32_t crc = wal_crc32c((struct bytes){.ptr = sum, .len = len + 1});
    free(sum);
    put_int(head, ((crc >> 15) | (crc << 17)) + 0xa282ead8U, 4);
    put_int(head + 4, (uint32_t)len, 2);
    head[6] = (char)type;
    buf_put(out, (struct bytes){.ptr = head, .len = 7});
    buf_put(out, (struct bytes){.ptr = data, .len = len});
}

static void put_record(struct buf *out, const char *data, size_t len)
{
    bool begin = true;
    do {
        static const char zero[8];
        size_t left = BLOCK - out->len % BLOCK;
        if (left < 7) {
            buf_put(out, (struct bytes){.ptr = zero, .len = left});
            left = BLOCK;
        }
        size_t part = len < left - 7 ? len : left - 7;
        bool end = part == len;
        put_part(out, begin ? (end ? 1 : 2) : (end ? 4 : 3), data, part);
        data += part;
        len -= part;
        begin = false;
    } while (len > 0);
}

struct seen {
    size_t count;
    size_t bytes;
};

static void see(void *ctx, struct bytes record)
{
    struct seen *seen = ctx;
    seen->count++;
    seen->bytes += record.len;
}

/* Three records; the second spans blocks. Returns where each ends. */
static void make(struct buf *file, size_t ret_ends[3])
{
    static char data[100000];
    memset(data, 'x', sizeof data);
    buf_init(file, 1 << 20);
    put_record(file, data, 500);
    ret_ends[0] = file->len;
    put_record(file, data, 70000);
    ret_ends[1] = file->len;
    put_record(file, data, 40);
    ret_ends[2] = file->len;
}

Test(wal, the_checksum_is_castagnolis)
{
    cr_assert_eq(wal_crc32c(BYTES("123456789")), 0xe3069283U);
    cr_assert_eq(wal_crc32c(BYTES("")), 0);
}

Test(wal, a_whole_file_gives_its_records)
{
    struct buf file;
    size_t ends[3];
    struct seen seen = {0};
    make(&file, ends);
    struct wal_report report = wal_examine(buf_view(&file), see, &seen);
    cr_assert_eq(report.verdict, WAL_WHOLE);
    cr_assert_eq(report.end, ends[2]);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.bytes, 70540);
    buf_close(&file);
}

Test(wal, cut_anywhere_it_is_torn_behind_the_last_whole_record)
{
    struct buf file;
    size_t ends[3];
    make(&file, ends);
    for (size_t len = 1; len<file.len; len += len> 600 && len < 70000 ? 997 : 1) {
        struct seen seen = {0};
        struct bytes cut = bytes_slice(buf_view(&file), 0, len);
        struct wal_report report = wal_examine(cut, see, &seen);
        size_t whole = (len >= ends[0]) + (size_t)(len >= ends[1]);
        bool exact = len == ends[0] || len == ends[1];
        cr_assert_eq(report.verdict, exact ? WAL_WHOLE : WAL_TORN, "at %zu", len);
        cr_assert_eq(report.end, whole == 0 ? 0 : ends[whole - 1], "at %zu", len);
        cr_assert_eq(seen.count, whole, "at %zu", len);
    }
    buf_close(&file);
}

Test(wal, a_flip_is_damage_when_a_record_follows_and_torn_when_none_does)
{
    struct buf file;
    size_t ends[3];
    make(&file, ends);
    for (size_t at = 0; at<file.len; at += at> 600 && at < ends[1] - 20 ? 499 : 1) {
        file.ptr[at] ^= 0x20;
        struct wal_report report = wal_examine(buf_view(&file), NULL, NULL);
        bool last = at >= ends[1];
        bool length = at == 4 || at == 5 || at % BLOCK == 4 || at % BLOCK == 5;
        if (last) {
            cr_assert_eq(report.verdict, WAL_TORN, "at %zu", at);
            cr_assert_eq(report.end, ends[1]);
        } else if (!length) {
            cr_assert_eq(report.verdict, WAL_DAMAGED, "at %zu", at);
            cr_assert_leq(report.offset, at);
            cr_assert_gt(report.offset + BLOCK, at);
        } else {
            cr_assert_neq(report.verdict, WAL_WHOLE, "at %zu", at);
        }
        file.ptr[at] ^= 0x20;
    }
    buf_close(&file);
}

/* A write torn in the middle while its end reached the disk is still a torn write. */
Test(wal, a_hole_in_the_last_record_is_a_torn_write)
{
    struct buf file;
    size_t ends[3];
    make(&file, ends);
    buf_truncate(&file, ends[1]);
    memset(file.ptr + 4096, 0, 8192);
    struct wal_report report = wal_examine(buf_view(&file), NULL, NULL);
    cr_assert_eq(report.verdict, WAL_TORN);
    cr_assert_eq(report.end, ends[0]);
    buf_close(&file);
}

/* A value may hold what looks like a record: it must not turn a torn write into damage. */
Test(wal, a_record_inside_a_value_is_no_record)
{
    struct buf file;
    struct buf inner;
    buf_init(&file, 1 << 16);
    buf_init(&inner, 1 << 16);
    put_record(&inner, "inner", 5);
    put_record(&file, "first", 5);
    size_t first = file.len;
    put_record(&file, inner.ptr, inner.len);
    file.ptr[first] ^= 1;
    struct wal_report report = wal_examine(buf_view(&file), NULL, NULL);
    cr_assert_eq(report.verdict, WAL_TORN);
    cr_assert_eq(report.end, first);
    buf_close(&file);
    buf_close(&inner);
}

Test(wal, any_bytes_are_survived)
{
    unsigned state = 7;
    char *data = mem_alloc(100000);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 100000; i++) {
            state = state * 1103515245U + 12345U;
            data[i] = (char)(state >> 16);
        }
        struct bytes file = {.ptr = data, .len = 1 + state % 99999};
        cr_assert_neq(wal_examine(file, NULL, NULL).verdict, WAL_WHOLE);
    }
    free(data);
}
