#include "store/replica/wal.h"

#include "core/base/check.h"
#include "core/base/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAL_BLOCK  32768U
#define WAL_HEADER 7U

enum wal_type {
    WAL_TYPE_WHOLE = 1,
    WAL_TYPE_FIRST = 2,
    WAL_TYPE_MIDDLE = 3,
    WAL_TYPE_LAST = 4,
};

/* --- CRC-32C, eight bytes a step ------------------------------------------------------------- */

static uint32_t wal_crc_table[8][256];
static pthread_once_t wal_crc_once = PTHREAD_ONCE_INIT;

static void wal_crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
        }
        wal_crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            uint32_t before = wal_crc_table[k - 1][i];
            wal_crc_table[k][i] = (before >> 8) ^ wal_crc_table[0][before & 0xff];
        }
    }
}

static uint32_t wal_u32(const char *p)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        value |= (uint32_t)(unsigned char)p[i] << (8 * i);
    }
    return value;
}

uint32_t wal_crc32c(struct bytes data)
{
    (void)pthread_once(&wal_crc_once, wal_crc_init);
    uint32_t crc = 0xffffffffU;
    const char *p = data.ptr;
    size_t left = data.len;
    for (; left >= 8; left -= 8, p += 8) {
        uint32_t low = crc ^ wal_u32(p);
        uint32_t high = wal_u32(p + 4);
        crc = wal_crc_table[7][low & 0xff] ^ wal_crc_table[6][(low >> 8) & 0xff] ^
              wal_crc_table[5][(low >> 16) & 0xff] ^ wal_crc_table[4][low >> 24] ^
              wal_crc_table[3][high & 0xff] ^ wal_crc_table[2][(high >> 8) & 0xff] ^
              wal_crc_table[1][(high >> 16) & 0xff] ^ wal_crc_table[0][high >> 24];
    }
    for (; left > 0; left--, p++) {
        crc = (crc >> 8) ^ wal_crc_table[0][(crc ^ (unsigned char)*p) & 0xff];
    }
    return crc ^ 0xffffffffU;
}

/* --- records --------------------------------------------------------------------------------- */

struct wal_part {
    unsigned type;
    struct bytes data;
    size_t end;
};

/* The part of a record that starts at `at`; false if there is no good one. */
static bool wal_part(struct bytes file, size_t at, struct wal_part *ret_part)
{
    size_t block_end = (at / WAL_BLOCK + 1) * WAL_BLOCK;
    size_t limit = block_end < file.len ? block_end : file.len;
    if (at + WAL_HEADER > limit) {
        return false;
    }
    const char *head = file.ptr + at;
    size_t len = (size_t)(unsigned char)head[4] | (size_t)(unsigned char)head[5] << 8;
    unsigned type = (unsigned char)head[6];
    if (type < WAL_TYPE_WHOLE || type > WAL_TYPE_LAST || at + WAL_HEADER + len > limit) {
        return false;
    }
    uint32_t masked = wal_u32(head) - 0xa282ead8U;
    uint32_t crc = (masked >> 17) | (masked << 15);
    if (wal_crc32c((struct bytes){.ptr = head + 6, .len = len + 1}) != crc) {
        return false;
    }
    *ret_part = (struct wal_part){
        .type = type,
        .data = {.ptr = head + WAL_HEADER, .len = len},
        .end = at + WAL_HEADER + len,
    };
    return true;
}

static bool wal_starts(struct bytes file, size_t at)
{
    struct wal_part part;
    return wal_part(file, at, &part) &&
           (part.type == WAL_TYPE_WHOLE || part.type == WAL_TYPE_FIRST);
}

/* Whether a record starts somewhere behind the bad one at `from`. While its header can be believed,
 * its data is skipped: a value may hold anything, also what looks like a record. */
static bool wal_more(struct bytes file, size_t from)
{
    size_t block_end = (from / WAL_BLOCK + 1) * WAL_BLOCK;
    size_t limit = block_end < file.len ? block_end : file.len;
    size_t next = from + 1;
    if (from + WAL_HEADER <= limit) {
        const char *head = file.ptr + from;
        size_t len = (size_t)(unsigned char)head[4] | (size_t)(unsigned char)head[5] << 8;
        next = from + WAL_HEADER + len <= limit ? from + WAL_HEADER + len : next;
    }
    for (size_t at = next; at + WAL_HEADER <= limit; at++) {
        if (wal_starts(file, at)) {
            return true;
        }
    }
    for (size_t block = block_end; block < file.len; block += WAL_BLOCK) {
        struct wal_part part = {.end = block};
        while (part.end < block + WAL_BLOCK && wal_part(file, part.end, &part)) {
            if (part.type == WAL_TYPE_WHOLE || part.type == WAL_TYPE_FIRST) {
                return true;
            }
        }
    }
    return false;
}

/* Where the next part begins: behind a block's zero rest, if it is one. */
static size_t wal_skip_rest(struct bytes file, size_t at)
{
    size_t left = WAL_BLOCK - at % WAL_BLOCK;
    if (left >= WAL_HEADER || at + left > file.len) {
        return at;
    }
    for (size_t i = 0; i < left; i++) {
        if (file.ptr[at + i] != 0) {
            return at;
        }
    }
    return at + left;
}

static bool wal_follows(unsigned type, bool inside)
{
    bool starts = type == WAL_TYPE_WHOLE || type == WAL_TYPE_FIRST;
    return starts != inside;
}

struct wal_report wal_examine(struct bytes file, wal_record_fn record, void *ctx)
{
    struct wal_report report = {.verdict = WAL_WHOLE, .size = file.len};
    struct buf joined;
    buf_init(&joined, MIB(1024));
    bool inside = false;
    size_t at = 0;
    while (at < file.len) {
        struct wal_part part;
        at = wal_skip_rest(file, at);
        if (at >= file.len) {
            break;
        }
        if (!wal_part(file, at, &part) || !wal_follows(part.type, inside)) {
            report.verdict = wal_more(file, at) ? WAL_DAMAGED : WAL_TORN;
            report.offset = at;
            buf_close(&joined);
            return report;
        }
        inside = part.type == WAL_TYPE_FIRST || part.type == WAL_TYPE_MIDDLE;
        if (record != NULL && part.type == WAL_TYPE_WHOLE) {
            record(ctx, part.data);
        } else if (record != NULL && buf_append(&joined, part.data) == OK && !inside) {
            record(ctx, buf_view(&joined));
        }
        at = part.end;
        if (!inside) {
            report.end = at;
            buf_clear(&joined);
        }
    }
    buf_close(&joined);
    if (inside) {
        report.verdict = WAL_TORN;
        report.offset = report.end;
    }
    return report;
}

enum err wal_examine_file(const char *path,
                          wal_record_fn record,
                          void *ctx,
                          struct wal_report *ret_report,
                          struct reason *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        reason_set(why, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return ERR_IO;
    }
    if (st.st_size == 0) {
        (void)close(fd);
        *ret_report = (struct wal_report){.verdict = WAL_WHOLE};
        return OK;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED) {
        reason_set(why, "%s: %s", path, strerror(errno));
        return ERR_IO;
    }
    struct bytes file = {.ptr = map, .len = (size_t)st.st_size};
    *ret_report = wal_examine(file, record, ctx);
    (void)munmap(map, (size_t)st.st_size);
    return OK;
}
