/* A backup is put in the place of the state, through commands, the same on every server. */
#include "store/restore.h"

#include "fleet_lib.h"
#include "store/backup.h"
#include "store/digest.h"

#define PIECES_MAX 32
#define ID         4711U

static struct bench b;

TestSuite(restore, .timeout = 60);

/* --- a backup to restore --------------------------------------------------------------------- */

static struct buf pieces[PIECES_MAX];
static uint64_t count;

static void take_backup(struct bench *from)
{
    struct view *v = bench_view(from);
    struct backup *backup = backup_open(v);
    struct reason why = {0};
    view_unref(v);
    enum err e = OK;
    for (count = 0; e == OK; count++) {
        cr_assert_lt(count, PIECES_MAX);
        buf_init(&pieces[count], RESTORE_CHUNK_MAX);
        e = backup_next(backup, &pieces[count], &why);
        cr_assert(e == OK || e == ERR_NOT_FOUND, "%s", why.text);
        uint64_t rows = 0;
        if (e == OK) {
            cr_assert_eq(backup_check(buf_view(&pieces[count]), &rows), OK);
            cr_assert_gt(rows, 0);
        }
    }
    count--;
    buf_close(&pieces[count]);
    backup_close(backup);
}

static void drop_backup(void)
{
    for (size_t i = 0; i < count; i++) {
        buf_close(&pieces[i]);
    }
}

/* Keys with flags and values up to the largest there are, some of them deleted. */
static void fill(struct bench *to, const char *name, size_t keys)
{
    static char value[KV_VALUE_MAX];
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < keys; i++) {
        char key[64];
        struct bytes k = {key, (size_t)snprintf(key, sizeof(key), "%s/%zu", name, i)};
        size_t len = i % 50 == 7 ? sizeof(value) : i * 37 % 3000;
        cr_assert_eq(bench_set_flags(to, k, (struct bytes){value, len}, i), OK);
        if (i % 5 == 0) {
            cr_assert_eq(bench_delete(to, k), OK);
        }
    }
}

static enum err begin(uint64_t id)
{
    return bench_do(&b, (struct command){.type = COMMAND_RESTORE_BEGIN, .restore = {.id = id}});
}

static enum err chunk(uint64_t id, uint64_t number, struct bytes rows)
{
    return bench_do(&b, (struct command){.type = COMMAND_RESTORE_CHUNK,
                                         .restore = {.id = id, .number = number, .rows = rows}});
}

static enum err commit(uint64_t id, uint64_t chunks)
{
    return bench_do(&b, (struct command){.type = COMMAND_RESTORE_COMMIT,
                                         .restore = {.id = id, .number = chunks}});
}

static enum err abort_restore(uint64_t id)
{
    return bench_do(&b, (struct command){.type = COMMAND_RESTORE_ABORT, .restore = {.id = id}});
}

static void restore_all(void)
{
    cr_assert_eq(begin(ID), OK);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(chunk(ID, i + 1, buf_view(&pieces[i])), OK);
    }
    cr_assert_eq(commit(ID, count), OK);
}

static struct state_digest digest(struct state *s)
{
    struct state_digest d = {0};
    struct reason why = {0};
    cr_assert_eq(state_digest(s, &d, &why), OK, "%s", why.text);
    return d;
}

static bool has(struct view *v, struct bytes key)
{
    struct view_pin pin = {0};
    struct kv_row row;
    enum err e = view_kv_get(v, key, &pin, &row);
    view_pin_close(&pin);
    cr_assert(e == OK || e == ERR_NOT_FOUND);
    return e == OK && !row.dead;
}

/* --- what it does ---------------------------------------------------------------------------- */

/* Into the state it came from, which went on meanwhile; twice, as the tables take turns. */
Test(restore, the_live_rows_are_those_of_the_backup)
{
    bench_open(&b, NULL);
    fill(&b, "kept", 200);
    take_backup(&b);
    cr_assert_gt(count, 4);
    uint64_t want = digest(b.state).live;
    for (uint64_t turn = 1; turn <= 3; turn++) {
        fill(&b, turn % 2 == 0 ? "other" : "kept", 30);
        cr_assert_eq(bench_delete(&b, S("kept/77")), OK);
        cr_assert_neq(digest(b.state).live, want);
        struct view *before = bench_view(&b);
        restore_all();
        struct view *after = bench_view(&b);
        cr_assert_eq(digest(b.state).live, want);
        cr_assert_eq(digest(b.state).rows, 160);
        /* Who reads the old state goes on reading it. */
        cr_assert(!has(before, S("kept/77")) && has(after, S("kept/77")));
        cr_assert_neq(view_epoch(before), view_epoch(after));
        cr_assert_eq(view_kv_index(after), b.index);
        cr_assert_eq(view_kv_reaped(after), b.index);
        cr_assert_eq(view_kv_restored(after), b.index);
        cr_assert_eq(view_history_oldest(after), b.index);
        cr_assert_eq(state_history_bytes(b.state), 0);
        struct change_scan *scan = NULL;
        cr_assert_eq(change_scan_open(after, b.index - 1, &scan), ERR_COMPACTED);
        cr_assert_eq(change_scan_open(before, view_history_oldest(before), &scan), OK);
        struct change c;
        cr_assert_eq(change_scan_next(scan, &c), OK);
        change_scan_close(scan);
        view_unref(before);
        view_unref(after);
    }
    /* And it goes on as any other state: history, deletions, trimming. */
    uint64_t restored = b.index;
    cr_assert_eq(bench_set(&b, S("new"), S("1")), OK);
    cr_assert_eq(bench_delete(&b, S("new")), OK);
    cr_assert_eq(bench_reap(&b, b.index), OK);
    struct view *v = bench_view(&b);
    struct change_scan *scan = NULL;
    struct change c;
    cr_assert_eq(change_scan_open(v, restored, &scan), OK);
    cr_assert_eq(change_scan_next(scan, &c), OK);
    cr_assert_eq(c.index, restored + 1);
    change_scan_close(scan);
    view_unref(v);
    bench_trim(&b, (struct history_limits){.bytes_max = 0});
    cr_assert_eq(state_history_bytes(b.state), 0);
    cr_assert_eq(digest(b.state).live, want);
    drop_backup();
    bench_close(&b);
}

/* Nobody can know what changed: the batch of the commit says so, and has no changes. */
Test(restore, the_batch_of_the_commit_is_replaced)
{
    bench_open(&b, NULL);
    fill(&b, "a", 10);
    take_backup(&b);
    change_batch_unref(bench_finish(&b, 0));
    uint64_t after = b.index;
    cr_assert_eq(bench_set(&b, S("x"), S("1")), OK);
    restore_all();
    cr_assert_eq(bench_set(&b, S("y"), S("1")), OK);
    struct change_batch *batch = bench_finish(&b, after);
    cr_assert(batch->replaced);
    cr_assert_eq(batch->count, 0);
    cr_assert_eq(batch->through, b.index);
    change_batch_unref(batch);
    after = b.index;
    cr_assert_eq(bench_set(&b, S("z"), S("1")), OK);
    batch = bench_finish(&b, after);
    cr_assert(!batch->replaced);
    cr_assert_eq(batch->count, 1);
    change_batch_unref(batch);
    drop_backup();
    bench_close(&b);
}

/* The fleet comes back with its links, its locks' holders and its indexes; each turn in the other
 * half. */
Test(restore, the_fleet_is_that_of_the_backup)
{
    bench_open(&b, NULL);
    struct wish w = {.node = "n1",
                     .node_id = "id1",
                     .service = "web",
                     .port = 80,
                     .check = "c",
                     .check_service = "web",
                     .status = CHECK_WARNING};
    cr_assert_eq(wish(&b, w), OK);
    cr_assert_eq(wish(&b, (struct wish){.node = "n2", .check = "up", .status = CHECK_PASSING}), OK);
    cr_assert_eq(bench_set(&b, S("key"), S("1")), OK);
    take_backup(&b);
    uint64_t want = digest(b.state).live;
    for (uint64_t turn = 1; turn <= 3; turn++) {
        cr_assert_eq(unwish(&b, "n1", NULL, NULL), OK);
        cr_assert_eq(wish(&b, (struct wish){.node = "n3", .service = "other"}), OK);
        cr_assert_neq(digest(b.state).live, want);
        restore_all();
        cr_assert_eq(digest(b.state).live, want);
        struct view *v = bench_view(&b);
        struct view_pin pin = {0};
        struct node_row node;
        struct service_row service;
        struct check_row check;
        cr_assert_eq(view_node_by_id(v, S("id1"), &pin, &node), OK);
        cr_assert_eq(view_node(v, S("n3"), &pin, &node), ERR_NOT_FOUND);
        struct fleet_scan *scan = fleet_instances(v, S("web"));
        cr_assert_eq(fleet_next_service(scan, &service), OK);
        cr_assert_eq(service.port, 80);
        cr_assert_eq(service.modify_index, 1);
        cr_assert_eq(fleet_next_service(scan, &service), ERR_NOT_FOUND);
        fleet_scan_close(scan);
        scan = fleet_service_checks(v, S("n1"), S("web"));
        cr_assert_eq(fleet_next_check(scan, &check), OK);
        cr_assert_eq(check.status, CHECK_WARNING);
        fleet_scan_close(scan);
        /* Whoever waits for anything looks again. */
        cr_assert_eq(view_fleet_index(v, S("service.web")), b.index);
        cr_assert_eq(view_fleet_index(v, S("node.n2")), b.index);
        cr_assert_eq(view_fleet_index(v, S("nodes")), b.index);
        cr_assert_eq(view_fleet_index(v, S("sessions")), b.index);
        cr_assert_eq(view_fleet_index(v, S("service.other")), 0);
        cr_assert_eq(view_gone_index(v), b.index);
        view_pin_close(&pin);
        view_unref(v);
    }
    drop_backup();
    bench_close(&b);
}

/* It empties the fleet, which comes anew. */
Test(restore, a_backup_from_before_the_fleet_has_none)
{
    struct bench old;
    bench_open(&old, NULL);
    cr_assert_eq(bench_set(&old, S("a"), S("1")), OK);
    take_backup(&old);
    bench_open(&b, NULL);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "web"}), OK);
    restore_all();
    cr_assert_eq(digest(b.state).rows, 1);
    cr_assert_eq(wish(&b, (struct wish){.node = "n1", .service = "web"}), OK);
    cr_assert_eq(fleet_index(&b, "service.web"), b.index);
    drop_backup();
    bench_close(&old);
    bench_close(&b);
}

/* A new cluster has not come as far as the old one: its next write must still be newer than what
 * it restored. */
Test(restore, no_row_is_newer_than_the_log)
{
    struct bench old;
    bench_open(&old, NULL);
    fill(&old, "a", 100);
    take_backup(&old);
    bench_open(&b, NULL);
    restore_all();
    struct view *v = bench_view(&b);
    struct kv_scan *scan = kv_scan_open(v, S(""));
    struct kv_row row;
    size_t rows = 0;
    while (kv_scan_next(scan, &row) == OK) {
        cr_assert_lt(row.modify_index, b.index);
        cr_assert_leq(row.create_index, row.modify_index);
        rows++;
    }
    cr_assert_eq(rows, 80);
    kv_scan_close(scan);
    view_unref(v);
    drop_backup();
    bench_close(&old);
    bench_close(&b);
}

Test(restore, an_empty_backup_empties_the_state)
{
    struct bench empty;
    bench_open(&empty, NULL);
    take_backup(&empty);
    cr_assert_eq(count, 0);
    bench_open(&b, NULL);
    fill(&b, "a", 10);
    restore_all();
    cr_assert_eq(digest(b.state).rows, 0);
    bench_close(&b);
    bench_close(&empty);
}

/* --- what it refuses ------------------------------------------------------------------------- */

Test(restore, steps_out_of_order_change_nothing)
{
    bench_open(&b, NULL);
    fill(&b, "a", 100);
    take_backup(&b);
    cr_assert_gt(count, 1);
    fill(&b, "b", 10);
    uint64_t live = digest(b.state).live;
    struct bytes first = buf_view(&pieces[0]);
    cr_assert_eq(chunk(ID, 1, first), ERR_CONFLICT);
    cr_assert_eq(commit(ID, 0), ERR_CONFLICT);
    cr_assert_eq(abort_restore(ID), ERR_CONFLICT);
    uint64_t all = digest(b.state).all;
    cr_assert_eq(begin(ID), OK);
    cr_assert_neq(digest(b.state).all, all);
    cr_assert_eq(chunk(ID + 1, 1, first), ERR_CONFLICT);
    cr_assert_eq(chunk(ID, 2, first), ERR_CONFLICT);
    cr_assert_eq(chunk(ID, 1, S("junk")), ERR_INVALID);
    cr_assert_eq(chunk(ID, 1, first), OK);
    uint64_t once = digest(b.state).all;
    /* Twice is as good as once. */
    cr_assert_eq(chunk(ID, 1, first), OK);
    cr_assert_eq(digest(b.state).all, once);
    cr_assert_eq(commit(ID, 2), ERR_CONFLICT);
    cr_assert_eq(commit(ID + 1, 1), ERR_CONFLICT);
    cr_assert_eq(digest(b.state).live, live);
    /* Another one takes over; the first is given up. */
    cr_assert_eq(begin(ID + 1), OK);
    cr_assert_eq(commit(ID, 1), ERR_CONFLICT);
    cr_assert_eq(abort_restore(ID), ERR_CONFLICT);
    cr_assert_eq(abort_restore(ID + 1), OK);
    cr_assert_eq(digest(b.state).all, all);
    cr_assert_eq(commit(ID + 1, 0), ERR_CONFLICT);
    cr_assert_eq(digest(b.state).live, live);
    drop_backup();
    bench_close(&b);
}

/* Any flipped byte is refused or makes rows that are of our form; never a state that cannot be
 * read. */
Test(restore, a_damaged_chunk_never_harms_the_state)
{
    struct bench old;
    bench_open(&old, NULL);
    cr_assert_eq(bench_set(&old, S("a"), S("1")), OK);
    cr_assert_eq(wish(&old, (struct wish){.node = "n1", .service = "web"}), OK);
    take_backup(&old);
    size_t refused = 0;
    bench_open(&b, NULL);
    /* Of all bits would take long: each bit of the eight, some byte after the other. */
    for (size_t i = 0; i < pieces[0].len * 8; i += 7) {
        pieces[0].ptr[i / 8] ^= (char)(1 << i % 8);
        cr_assert_eq(begin(ID), OK);
        enum err e = chunk(ID, 1, buf_view(&pieces[0]));
        cr_assert(e == OK || e == ERR_INVALID);
        refused += e != OK;
        cr_assert_eq(commit(ID, e == OK ? 1 : 0), OK);
        cr_assert_leq(digest(b.state).rows, 3);
        pieces[0].ptr[i / 8] ^= (char)(1 << i % 8);
    }
    cr_assert_gt(refused, pieces[0].len / 7);
    drop_backup();
    bench_close(&old);
    bench_close(&b);
}

/* --- crashes --------------------------------------------------------------------------------- */

static enum err step(uint64_t at)
{
    if (at == 0) {
        return begin(ID);
    }
    return at <= count ? chunk(ID, at, buf_view(&pieces[at - 1])) : commit(ID, count);
}

/* A crash after any of the steps, before the next one is durable: the log is applied again. */
Test(restore, after_a_crash_at_any_step_the_state_is_the_same)
{
    struct bench old;
    bench_open(&old, NULL);
    fill(&old, "new", 120);
    take_backup(&old);
    bench_close(&old);
    uint64_t steps = count + 2;
    char *dir = bench_dir();
    char *crashed = bench_dir();
    bench_open(&b, dir);
    fill(&b, "old", 20);
    uint64_t start = b.index;
    struct state_digest want[PIECES_MAX + 2];
    for (uint64_t at = 0; at < steps; at++) {
        cr_assert_eq(step(at), OK);
        want[at] = digest(b.state);
    }
    bench_close(&b);
    for (uint64_t crash = 0; crash <= steps; crash++) {
        bench_shell("rm -rf '%s'/*%s", dir, "");
        bench_shell("rm -rf '%s'/*%s", crashed, "");
        bench_open(&b, dir);
        fill(&b, "old", 20);
        for (uint64_t at = 0; at < crash; at++) {
            cr_assert_eq(step(at), OK);
        }
        cr_assert_eq(state_flush(b.state, NULL), OK);
        if (crash < steps) {
            cr_assert_eq(step(crash), OK);
        }
        bench_shell("cp -r '%s/.' '%s'", dir, crashed);
        bench_close(&b);
        bench_open(&b, crashed);
        cr_assert_eq(b.index, start + crash);
        for (uint64_t at = crash; at < steps; at++) {
            cr_assert_eq(step(at), OK);
            struct state_digest have = digest(b.state);
            cr_assert_eq(have.all, want[at].all);
            cr_assert_eq(have.live, want[at].live);
        }
        bench_close(&b);
    }
    drop_backup();
    bench_dir_free(dir);
    bench_dir_free(crashed);
}
