/* Snapshots: pieces of one state make an equal one, and nothing else does. */
#include "store/snapshot.h"

#include "fleet_lib.h"
#include "store/datadir.h"
#include "store/digest.h"

#include <sys/stat.h>
#include <unistd.h>

#define PIECES_MAX 64

static struct bench b;
static uint64_t dice;

TestSuite(snapshot, .timeout = 60);

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

/* History, tombstones, deleted prefixes, values of all lengths up to some 20 KiB. */
static void fill(uint64_t seed, size_t commands)
{
    static char value[20000];
    dice = seed | 1;
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < commands; i++) {
        char key[32];
        struct bytes k = {key, (size_t)snprintf(key, sizeof(key), "%lu/%lu", (unsigned long)roll(9),
                                                (unsigned long)roll(60))};
        uint64_t kind = roll(100);
        if (kind < 80) {
            size_t len = roll(8) == 0 ? roll(sizeof(value)) : roll(100);
            (void)bench_set_flags(&b, k, (struct bytes){value, len}, roll(3));
        } else if (kind < 96) {
            (void)bench_delete(&b, k);
        } else if (kind < 98) {
            (void)bench_delete_prefix(&b, bytes_slice(k, 0, 3));
        } else {
            (void)bench_reap(&b, roll(b.index + 1));
        }
    }
    (void)wish(&b, (struct wish){.node = "n1",
                                 .node_id = "id",
                                 .service = "web",
                                 .check = "c",
                                 .check_service = "web",
                                 .status = CHECK_WARNING});
}

struct pieces {
    struct buf piece[PIECES_MAX];
    size_t count;
};

static struct pieces pieces;

static void take_pieces(struct state *s)
{
    struct snapshot_reader *r = snapshot_reader_new(s);
    bool last = false;
    cr_assert_eq(snapshot_reader_index(r), state_applied(s));
    pieces.count = 0;
    while (!last) {
        struct reason why = {0};
        cr_assert_lt(pieces.count, PIECES_MAX);
        struct buf *piece = &pieces.piece[pieces.count++];
        buf_init(piece, MIB(1));
        cr_assert_eq(snapshot_read(r, pieces.count, piece, &last, &why), OK, "%s", why.text);
        cr_assert_leq(piece->len, SNAPSHOT_CHUNK_BYTES + 100);
    }
    snapshot_reader_free(r);
}

static void drop_pieces(void)
{
    for (size_t i = 0; i < pieces.count; i++) {
        buf_close(&pieces.piece[i]);
    }
}

static struct snapshot_writer *writer(const char *path)
{
    struct snapshot_writer *w = NULL;
    struct reason why = {0};
    cr_assert_eq(snapshot_writer_open(path, &w, &why), OK, "%s", why.text);
    return w;
}

static struct state *made_of_pieces(const char *path, uint64_t index)
{
    struct snapshot_writer *w = writer(path);
    struct state *s = NULL;
    struct reason why = {0};
    for (size_t i = 0; i < pieces.count; i++) {
        cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[i]), &why), OK, "%s", why.text);
    }
    cr_assert_eq(snapshot_writer_finish(w, index, &s, &why), OK, "%s", why.text);
    return s;
}

static struct state_digest digest(struct state *s)
{
    struct state_digest d = {0};
    struct reason why = {0};
    cr_assert_eq(state_digest(s, &d, &why), OK, "%s", why.text);
    return d;
}

static void check_equal(struct state *left, struct state *right)
{
    struct state_digest l = digest(left);
    struct state_digest r = digest(right);
    cr_assert_eq(l.index, r.index);
    cr_assert_eq(l.live, r.live);
    cr_assert_eq(l.all, r.all);
    cr_assert_eq(l.rows, r.rows);
}

static void check_same_history(struct state *left, struct state *right)
{
    struct view *views[2] = {state_view(left), state_view(right)};
    struct change_scan *scans[2];
    struct change c[2];
    enum err e[2];
    cr_assert_eq(view_history_oldest(views[0]), view_history_oldest(views[1]));
    cr_assert_eq(state_history_bytes(left), state_history_bytes(right));
    uint64_t from = view_history_oldest(views[0]);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(change_scan_open(views[i], from, &scans[i]), OK);
    }
    do {
        for (int i = 0; i < 2; i++) {
            e[i] = change_scan_next(scans[i], &c[i]);
        }
        cr_assert_eq(e[0], e[1]);
        if (e[0] == OK) {
            cr_assert_eq(c[0].index, c[1].index);
            cr_assert_bytes(c[0].key, c[1].key);
            cr_assert_bytes(c[0].value, c[1].value);
        }
    } while (e[0] == OK);
    for (int i = 0; i < 2; i++) {
        change_scan_close(scans[i]);
        view_unref(views[i]);
    }
}

/* 20 random states, in memory and on the disk by turns; the copy goes on as the original would. */
Test(snapshot, of_a_random_state_it_makes_an_equal_one)
{
    char *dir = bench_dir();
    char path[128];
    snprintf(path, sizeof(path), "%s/state.1", dir);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool on_disk = seed % 2 == 0;
        bench_open(&b, NULL);
        cr_assert_eq(state_set_cluster(b.state, 77, NULL), OK);
        fill(seed * 7919, roll(1500));
        bench_trim(&b, (struct history_limits){.bytes_max = roll(300000)});
        take_pieces(b.state);
        struct state *copy = made_of_pieces(on_disk ? path : NULL, b.index);
        check_equal(b.state, copy);
        check_same_history(b.state, copy);
        struct view *v = state_view(copy);
        cr_assert_eq(view_epoch(v), 77);
        view_unref(v);
        if (on_disk) {
            state_close(copy);
            cr_assert_eq(state_open(path, &copy, NULL), OK);
            check_equal(b.state, copy);
        }
        struct bench other = {.state = copy, .index = b.index, .time_ms = 1000};
        collect_init(&other.collect);
        struct bench original = b;
        b = other;
        fill(seed, 50);
        other = b;
        b = original;
        fill(seed, 50);
        check_equal(b.state, other.state);
        bench_close(&other);
        bench_close(&b);
        drop_pieces();
    }
    bench_dir_free(dir);
}

/* What is written after the reader was made does not show. */
Test(snapshot, a_reader_stays_at_its_index_and_a_cut_piece_is_read_again)
{
    bench_open(&b, NULL);
    fill(3, 1500);
    take_pieces(b.state);
    cr_assert_gt(pieces.count, 4);
    struct snapshot_reader *r = snapshot_reader_new(b.state);
    struct buf piece;
    bool last = true;
    buf_init(&piece, MIB(1));
    cr_assert_eq(snapshot_read(r, 0, &piece, &last, NULL), ERR_INVALID);
    cr_assert_eq(snapshot_read(r, 2, &piece, &last, NULL), ERR_INVALID);
    fill(4, 100);
    for (size_t i = 0; i < pieces.count; i++) {
        for (int again = 0; again < 3; again++) {
            buf_clear(&piece);
            cr_assert_eq(snapshot_read(r, i + 1, &piece, &last, NULL), OK);
            cr_assert_bytes(buf_view(&piece), buf_view(&pieces.piece[i]));
            cr_assert_eq(last, i + 1 == pieces.count);
        }
        if (i > 0) {
            cr_assert_eq(snapshot_read(r, i, &piece, &last, NULL), ERR_INVALID);
        }
    }
    cr_assert_eq(snapshot_reader_index(r) + 101, state_applied(b.state));
    buf_close(&piece);
    snapshot_reader_free(r);
    drop_pieces();
    bench_close(&b);
}

/* A piece that does not fit is read again when there is room. */
Test(snapshot, a_piece_without_room_is_not_lost)
{
    bench_open(&b, NULL);
    fill(5, 200);
    take_pieces(b.state);
    struct snapshot_reader *r = snapshot_reader_new(b.state);
    struct buf small;
    struct buf piece;
    bool last = false;
    buf_init(&small, 1000);
    buf_init(&piece, MIB(1));
    cr_assert_eq(snapshot_read(r, 1, &small, &last, NULL), ERR_TOO_BIG);
    cr_assert_eq(small.len, 0);
    cr_assert_eq(snapshot_read(r, 1, &piece, &last, NULL), OK);
    cr_assert_bytes(buf_view(&piece), buf_view(&pieces.piece[0]));
    buf_close(&small);
    buf_close(&piece);
    snapshot_reader_free(r);
    drop_pieces();
    bench_close(&b);
}

Test(snapshot, of_nothing_it_is_one_piece)
{
    bench_open(&b, NULL);
    take_pieces(b.state);
    cr_assert_eq(pieces.count, 1);
    struct state *copy = made_of_pieces(NULL, 0);
    check_equal(b.state, copy);
    state_close(copy);
    drop_pieces();
    bench_close(&b);
}

static enum err finish(struct snapshot_writer *w, uint64_t index)
{
    struct state *s = NULL;
    struct reason why = {0};
    enum err e = snapshot_writer_finish(w, index, &s, &why);
    cr_assert_eq(s, NULL);
    cr_assert_neq(why.text[0], '\0');
    return e;
}

Test(snapshot, pieces_that_are_missing_swapped_or_twice_are_refused)
{
    struct reason why = {0};
    bench_open(&b, NULL);
    fill(6, 1500);
    take_pieces(b.state);
    cr_assert_gt(pieces.count, 3);
    /* The last one is missing; the index is another. */
    struct snapshot_writer *w = writer(NULL);
    for (size_t i = 0; i + 1 < pieces.count; i++) {
        cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[i]), &why), OK);
    }
    cr_assert_eq(finish(w, b.index), ERR_CORRUPT);
    w = writer(NULL);
    for (size_t i = 0; i < pieces.count; i++) {
        cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[i]), &why), OK);
    }
    cr_assert_eq(finish(w, b.index + 1), ERR_CORRUPT);
    /* Swapped, and what comes behind a bad one. */
    w = writer(NULL);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[1]), &why), OK);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[0]), &why), ERR_CORRUPT);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[2]), &why), ERR_CORRUPT);
    cr_assert_eq(finish(w, b.index), ERR_CORRUPT);
    /* Twice; behind the end; nothing at all. */
    w = writer(NULL);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[0]), &why), OK);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[0]), &why), ERR_CORRUPT);
    snapshot_writer_free(w);
    w = writer(NULL);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[pieces.count - 1]), &why), OK);
    cr_assert_eq(snapshot_write(w, buf_view(&pieces.piece[0]), &why), ERR_CORRUPT);
    snapshot_writer_free(w);
    w = writer(NULL);
    cr_assert_eq(snapshot_write(w, S(""), &why), ERR_CORRUPT);
    cr_assert_eq(finish(w, 0), ERR_CORRUPT);
    drop_pieces();
    bench_close(&b);
}

/* Cut anywhere it is refused, or it is the beginning up to a whole row, and then not the whole. */
Test(snapshot, a_truncated_piece_never_makes_a_state)
{
    bench_open(&b, NULL);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    cr_assert_eq(bench_set(&b, S("b"), S("2")), OK);
    cr_assert_eq(bench_delete(&b, S("a")), OK);
    take_pieces(b.state);
    struct bytes whole = buf_view(&pieces.piece[0]);
    size_t taken = 0;
    for (size_t len = 0; len < whole.len; len++) {
        struct snapshot_writer *w = writer(NULL);
        taken += snapshot_write(w, bytes_slice(whole, 0, len), NULL) == OK;
        cr_assert_eq(finish(w, 3), ERR_CORRUPT);
    }
    /* Rows: three changes with their links, two keys, a deletion, and the meta row, the last. */
    cr_assert_eq(taken, 9);
    drop_pieces();
    bench_close(&b);
}

/* Rows that no state of ours holds. */
Test(snapshot, rows_of_another_form_are_refused)
{
    const struct {
        struct bytes key;
        struct bytes value;
        enum err err;
    } bad[] = {
        {S("Z"), S(""), ERR_CORRUPT},
        {S("K"), S(""), ERR_CORRUPT},
        {S("Ka"), S("junk"), ERR_CORRUPT},
        {S("M"), S("M\x63"), ERR_VERSION},
        {S("Mx"), S("M"), ERR_CORRUPT},
        {S("C12345678"), S(""), ERR_CORRUPT},
        {S("D12345678k"), S("x"), ERR_CORRUPT},
        {S("P"), S("12345678"), ERR_CORRUPT},
        {S("H12345678123456781234"), S("x"), ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct snapshot_writer *w = writer(NULL);
        struct buf piece;
        buf_init(&piece, KIB(1));
        for (int len = 0; len < 2; len++) {
            char le[4] = {(char)(len == 0 ? bad[i].key.len : bad[i].value.len)};
            buf_put(&piece, (struct bytes){le, 4});
        }
        buf_put(&piece, bad[i].key);
        buf_put(&piece, bad[i].value);
        cr_assert_eq(snapshot_write(w, buf_view(&piece), NULL), bad[i].err, "row %zu", i);
        buf_close(&piece);
        snapshot_writer_free(w);
    }
}

/* --- replacing a state ----------------------------------------------------------------------- */

static size_t buried;

static void bury(struct state_remains *r, void *ctx)
{
    cr_assert_eq(ctx, &buried);
    buried++;
    state_remains_free(r);
}

Test(snapshot, a_replaced_state_lives_until_its_last_view_is_gone)
{
    char *dir = bench_dir();
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/state", dir);
    bench_open(&b, path);
    cr_assert_eq(bench_set(&b, S("a"), S("old")), OK);
    struct view *v = bench_view(&b);
    struct snapshot_reader *r = snapshot_reader_new(b.state);
    collect_close(&b.collect);
    state_retire(b.state, bury, &buried);
    struct view_pin pin = {0};
    struct kv_row row;
    cr_assert_eq(view_kv_get(v, S("a"), &pin, &row), OK);
    cr_assert_bytes(row.value, S("old"));
    view_pin_close(&pin);
    view_unref(v);
    cr_assert_eq(buried, 0);
    cr_assert_eq(stat(path, &st), 0);
    snapshot_reader_free(r);
    cr_assert_eq(buried, 1);
    cr_assert_neq(stat(path, &st), 0);
    bench_dir_free(dir);
}

Test(snapshot, only_the_current_state_stays_in_the_directory)
{
    static const char *const gone[] = {"state", "state.1", "state.18"};
    static const char *const kept[] = {"state.2", "log", "state.x", "state.", "statement"};
    char *path = bench_dir();
    struct datadir dir;
    char name[256];
    cr_assert_eq(datadir_open(path, &dir, NULL), OK);
    char *zero = datadir_state(&dir, 0);
    char *two = datadir_state(&dir, 2);
    cr_assert_str_eq(zero, dir.state_path);
    for (size_t i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, i < 3 ? gone[i] : kept[i - 3]);
        cr_assert_eq(mkdir(name, 0755), 0);
        bench_shell("touch '%s/file'%s", name, "");
    }
    datadir_drop_states(&dir, 2);
    for (size_t i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "%s/%s", path, i < 3 ? gone[i] : kept[i - 3]);
        cr_assert_eq(access(name, F_OK) == 0, i >= 3, "%s", name);
    }
    cr_assert_eq(access(two, F_OK), 0);
    free(zero);
    free(two);
    datadir_close(&dir);
    bench_dir_free(path);
}

/* --- cluster and epoch ----------------------------------------------------------------------- */

Test(snapshot, the_epoch_is_the_clusters_and_survives_a_restart)
{
    char *dir = bench_dir();
    struct reason why = {0};
    bench_open(&b, dir);
    cr_assert_eq(state_set_cluster(b.state, 7, &why), OK);
    cr_assert_eq(bench_set(&b, S("a"), S("1")), OK);
    bench_close(&b);
    bench_open(&b, dir);
    struct view *v = bench_view(&b);
    cr_assert_eq(view_epoch(v), 7);
    view_unref(v);
    cr_assert_eq(state_set_cluster(b.state, 7, &why), OK);
    cr_assert_eq(state_set_cluster(b.state, 8, &why), ERR_CORRUPT);
    cr_assert_not_null(strstr(why.text, "another cluster"));
    bench_close(&b);
    bench_dir_free(dir);
}
