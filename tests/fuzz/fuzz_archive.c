/* Any bytes as an archive: refused, or whole down to its last row. The first byte says whether they
 * are the file, or the tar inside it, which random bytes would never come to. */
#include "core/api/archive.h"
#include "core/base/check.h"
#include "store/backup.h"

static void fuzz_walk(const struct archive *a)
{
    struct bytes piece;
    size_t at = 0;
    uint64_t rows = 0;
    while (archive_piece(a, &at, &piece)) {
        while (piece.len > 0) {
            struct backup_row row;
            CHECK(backup_row_next(&piece, &row) == OK);
            rows++;
        }
    }
    CHECK(rows == a->rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct bytes input = {(const char *)data + 1, size - 1};
    struct archive a;
    struct reason why = {0};
    enum err e =
        data[0] % 2 == 0 ? archive_open(input, &a, &why) : archive_open_tar(input, &a, &why);
    CHECK(e == OK || e == ERR_INVALID || e == ERR_TOO_BIG);
    if (e == OK) {
        fuzz_walk(&a);
        archive_close(&a);
    } else {
        CHECK(why.text[0] != '\0');
    }
    return 0;
}
