/* Any bytes as the pieces of a snapshot: refused, or a state that can be read from end to end and
 * whose own snapshot is of the same rows. The first byte says how many bytes the first piece has,
 * the second at which index the state is. */
#include "core/base/check.h"
#include "core/base/limit.h"
#include "store/digest.h"
#include "store/snapshot.h"

static struct state *fuzz_make(struct bytes input)
{
    struct snapshot_writer *w = NULL;
    struct state *s = NULL;
    struct reason why = {0};
    CHECK(snapshot_writer_open(NULL, &w, &why) == OK);
    size_t first = (size_t)16 * (unsigned char)input.ptr[0];
    uint64_t index = (unsigned char)input.ptr[1];
    struct bytes rest = bytes_slice(input, 2, input.len);
    first = first < rest.len ? first : rest.len;
    enum err e = snapshot_write(w, bytes_slice(rest, 0, first), &why);
    CHECK(e == OK || e == ERR_CORRUPT || e == ERR_VERSION);
    if (first < rest.len) {
        e = snapshot_write(w, bytes_slice(rest, first, rest.len), &why);
        CHECK(e == OK || e == ERR_CORRUPT || e == ERR_VERSION);
    }
    e = snapshot_writer_finish(w, index, &s, &why);
    CHECK(e == OK || e == ERR_CORRUPT);
    return e == OK ? s : NULL;
}

static struct state *fuzz_copy(struct state *s)
{
    struct snapshot_reader *r = snapshot_reader_new(s);
    struct snapshot_writer *w = NULL;
    struct state *copy = NULL;
    struct reason why = {0};
    struct buf piece;
    bool last = false;
    buf_init(&piece, MIB(2));
    CHECK(snapshot_writer_open(NULL, &w, &why) == OK);
    for (uint64_t number = 1; !last; number++) {
        buf_clear(&piece);
        CHECK(snapshot_read(r, number, &piece, &last, &why) == OK);
        CHECK(snapshot_write(w, buf_view(&piece), &why) == OK);
    }
    CHECK(snapshot_writer_finish(w, state_applied(s), &copy, &why) == OK);
    buf_close(&piece);
    snapshot_reader_free(r);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct state *s = fuzz_make((struct bytes){(const char *)data, size});
    if (s != NULL) {
        struct state_digest mine = {0};
        struct state_digest its = {0};
        struct state *copy = fuzz_copy(s);
        CHECK(state_digest(s, &mine, NULL) == OK);
        CHECK(state_digest(copy, &its, NULL) == OK);
        CHECK(mine.all == its.all && mine.live == its.live && mine.rows == its.rows);
        state_close(copy);
        state_close(s);
    }
    return 0;
}
