/* The log on a real disk: what was acknowledged is there after every open, or the open fails and
 * says which file and where. */
#include "core/base/mem.h"
#include "store/replica/journal.h"
#include "store/replica/wal.h"
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <string.h>

#define ENTRIES 40U

TestSuite(journal, .init = scratch_make, .fini = scratch_drop, .timeout = 120);

static char log_dir[256];
static char log_mark[256];

static struct journal_paths paths_in(const char *dir)
{
    (void)snprintf(log_dir, sizeof log_dir, "%s/log", dir);
    (void)snprintf(log_mark, sizeof log_mark, "%s/log.mark", dir);
    return (struct journal_paths){.directory = log_dir, .mark = log_mark};
}

static struct journal *opened(const char *dir)
{
    struct journal_paths paths = paths_in(dir);
    struct reason why = {0};
    struct journal *j = NULL;
    enum err e = journal_open(&paths, &j, &why);
    cr_assert_eq(e, OK, "%s: %s", err_name(e), why.text);
    return j;
}

static void boot(struct journal *j)
{
    struct reason why;
    cr_assert(journal_facts(j)->fresh);
    cr_assert_eq(journal_bootstrap(j, 7, BYTES("configuration"), &why), OK);
    cr_assert_eq(journal_save_vote(j, 2, 99, &why), OK);
}

static size_t payload_of(uint64_t index, char ret_text[512])
{
    return (size_t)snprintf(ret_text, 512, "payload %llu %0*d", (unsigned long long)index,
                            (int)(index * 11 % 400) + 1, 0);
}

/* One synced write for each `group` entries, up to `last`. */
static void fill(struct journal *j, uint64_t last, size_t group)
{
    struct reason why = {0};
    while (journal_last(j) < last) {
        struct journal_entry entries[8];
        char text[8][512];
        for (size_t i = 0; i < group; i++) {
            size_t len = payload_of(journal_last(j) + 1 + i, text[i]);
            entries[i] = (struct journal_entry){
                .term = 2, .type = JOURNAL_COMMAND, .data = {.ptr = text[i], .len = len}};
        }
        cr_assert_eq(journal_append(j, journal_last(j) + 1, entries, group, &why), OK, "%s",
                     why.text);
    }
}

static void check_contents(struct journal *j, uint64_t first, uint64_t last)
{
    struct rocks_slice slice = {0};
    struct reason why;
    cr_assert_eq(journal_first(j), first);
    cr_assert_eq(journal_last(j), last);
    for (uint64_t i = first > 2 ? first : 2; i <= last; i++) {
        struct journal_entry entry;
        char text[512];
        size_t len = payload_of(i, text);
        cr_assert_eq(journal_read(j, i, &slice, &entry, &why), OK);
        cr_assert(bytes_equal(entry.data, (struct bytes){.ptr = text, .len = len}));
    }
    rocks_slice_close(&slice);
}

/* The write-ahead log that holds the newest records. */
static void newest_wal(const char *dir, char *ret_path, size_t len)
{
    char newest[256] = "";
    DIR *d = opendir(dir);
    for (struct dirent *at = readdir(d); at != NULL; at = readdir(d)) {
        char path[512];
        size_t n = strlen(at->d_name);
        (void)snprintf(path, sizeof path, "%s/%s", dir, at->d_name);
        if (n > 4 && strcmp(at->d_name + n - 4, ".log") == 0 && file_size(path) > 0 &&
            strcmp(at->d_name, newest) > 0) {
            (void)snprintf(newest, sizeof newest, "%s", at->d_name);
        }
    }
    (void)closedir(d);
    cr_assert_neq(newest[0], '\0');
    (void)snprintf(ret_path, len, "%s/%s", dir, newest);
}

Test(journal, what_was_written_is_there_after_opening_again)
{
    struct journal *j = opened(scratch);
    boot(j);
    fill(j, ENTRIES, 3);
    uint64_t last = journal_last(j);
    journal_close(j);
    j = opened(scratch);
    const struct journal_facts *facts = journal_facts(j);
    cr_assert_not(facts->fresh);
    cr_assert_eq(facts->epoch, 7);
    cr_assert_eq(facts->term, 2);
    cr_assert_eq(facts->vote, 99);
    cr_assert_eq(facts->entries[0].type, JOURNAL_CONFIGURATION);
    cr_assert(bytes_equal(facts->entries[0].data, BYTES("configuration")));
    check_contents(j, 1, last);
    journal_close(j);
}

Test(journal, in_memory_it_works_the_same)
{
    struct journal_paths paths = {0};
    struct reason why;
    struct journal *j = NULL;
    cr_assert_eq(journal_open(&paths, &j, &why), OK);
    boot(j);
    fill(j, 9, 1);
    check_contents(j, 1, 9);
    journal_close(j);
}

Test(journal, a_cut_tail_stays_cut_and_lowers_the_mark)
{
    struct reason why;
    struct journal *j = opened(scratch);
    boot(j);
    fill(j, 20, 1);
    cr_assert_eq(journal_cut_tail(j, 11, &why), OK);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 1, 10);
    fill(j, 12, 1);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 1, 12);
    journal_close(j);
}

static void install(struct journal *j, uint64_t index, uint64_t generation)
{
    struct reason why = {0};
    struct journal_snapshot snapshot = {
        .index = index, .term = 2, .configuration_index = 1, .configuration = BYTES("other")};
    cr_assert_eq(journal_install(j, &snapshot, generation, &why), OK, "%s", why.text);
    check_contents(j, index + 1, index);
}

static void check_installed(const struct journal *j, uint64_t index, uint64_t generation)
{
    const struct journal_snapshot *snapshot = &journal_facts(j)->snapshot;
    cr_assert_eq(snapshot->index, index);
    cr_assert_eq(snapshot->term, 2);
    cr_assert_eq(snapshot->generation, generation);
    cr_assert(bytes_equal(snapshot->configuration, BYTES("other")));
}

/* The snapshot may be ahead of the log, and the log ahead of the snapshot. */
Test(journal, an_installed_snapshot_takes_the_place_of_all_entries)
{
    struct journal *j = opened(scratch);
    boot(j);
    fill(j, 20, 1);
    cr_assert_eq(journal_facts(j)->snapshot.generation, 0);
    install(j, 1000, 1);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 1001, 1000);
    check_installed(j, 1000, 1);
    fill(j, 1020, 1);
    install(j, 1010, 2);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 1011, 1010);
    check_installed(j, 1010, 2);
    fill(j, 1015, 1);
    /* The generation stays what it is when the log's head is cut. */
    struct reason why;
    struct journal_snapshot cut = {.index = 1012, .term = 2, .configuration = BYTES("other")};
    cr_assert_eq(journal_cut_head(j, &cut, 1012, &why), OK);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 1012, 1015);
    check_installed(j, 1012, 2);
    journal_close(j);
}

/* The last synced write is not torn: any end of the file is either before or after it. */
Test(journal, an_install_happens_whole_or_not_at_all)
{
    char wal[512];
    char copy[128];
    struct journal *j = opened(scratch);
    boot(j);
    fill(j, 20, 1);
    newest_wal(log_dir, wal, sizeof wal);
    off_t before = file_size(wal);
    install(j, 15, 1);
    (void)snprintf(copy, sizeof copy, "%s.copy", scratch);
    for (off_t end = before; end <= file_size(wal); end++) {
        char torn[512];
        file_copy(scratch, copy);
        (void)snprintf(torn, sizeof torn, "%s%s", copy, wal + strlen(scratch));
        cr_assert_eq(truncate(torn, end), 0);
        struct journal *other = opened(copy);
        bool whole = end == file_size(wal);
        check_contents(other, whole ? 16 : 1, whole ? 15 : 20);
        cr_assert_eq(journal_facts(other)->snapshot.generation, whole ? 1 : 0);
        journal_close(other);
    }
    journal_close(j);
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", copy);
    cr_assert_eq(system(command), 0);
}

Test(journal, a_cut_head_leaves_the_snapshot_and_what_follows)
{
    struct reason why;
    struct journal_snapshot snapshot = {
        .index = 15, .term = 2, .configuration_index = 1, .configuration = BYTES("conf")};
    struct journal *j = opened(scratch);
    boot(j);
    fill(j, 20, 1);
    cr_assert_eq(journal_cut_head(j, &snapshot, 12, &why), OK);
    check_contents(j, 12, 20);
    cr_assert_eq(journal_compact(j, &why), OK);
    journal_close(j);
    j = opened(scratch);
    check_contents(j, 12, 20);
    cr_assert_eq(journal_facts(j)->snapshot.index, 15);
    cr_assert_eq(journal_facts(j)->snapshot.configuration_index, 1);
    cr_assert(bytes_equal(journal_facts(j)->snapshot.configuration, BYTES("conf")));
    /* All of it. */
    snapshot.index = 20;
    cr_assert_eq(journal_cut_head(j, &snapshot, 21, &why), OK);
    journal_close(j);
    j = opened(scratch);
    cr_assert_eq(journal_facts(j)->first, 21);
    cr_assert_eq(journal_facts(j)->last, 20);
    journal_close(j);
}

/* --- a crash in the middle of a write ----------------------------------------------------------
 */

/* A directory as a killed process leaves it: with a write-ahead log, and a copy of the mark as it
 * was at entry 10. Returns its last index. */
static uint64_t make_crashed(const char *dir)
{
    char copy[192];
    char old_mark[300];
    (void)mkdir(dir, 0755);
    struct journal *j = opened(dir);
    (void)snprintf(old_mark, sizeof old_mark, "%s.old", log_mark);
    boot(j);
    fill(j, 10, 1);
    file_copy(log_mark, old_mark);
    fill(j, ENTRIES, 3);
    uint64_t last = journal_last(j);
    /* Copied while it is open: closing would tidy up. */
    (void)snprintf(copy, sizeof copy, "%s.copy", dir);
    file_copy(dir, copy);
    journal_close(j);
    file_copy(copy, dir);
    return last;
}

static enum err try_open(const char *dir, struct journal **ret_journal, struct reason *why)
{
    struct journal_paths paths = paths_in(dir);
    *ret_journal = NULL;
    *why = (struct reason){0};
    return journal_open(&paths, ret_journal, why);
}

/* Cuts the log at many lengths. Shorter than the mark says is damage. With a mark from before those
 * writes they were never acknowledged: the torn one is cut off, all before it is there, and writing
 * goes on. */
Test(journal, a_torn_end_is_cut_unless_it_was_durable)
{
    char base[128];
    char work[128];
    char old_mark[300];
    char wal[512];
    struct reason why;
    struct journal *j = NULL;
    (void)snprintf(base, sizeof base, "%s/base", scratch);
    (void)snprintf(work, sizeof work, "%s/work", scratch);
    uint64_t last = make_crashed(base);
    (void)paths_in(base);
    newest_wal(log_dir, wal, sizeof wal);
    off_t size = file_size(wal);
    for (off_t at = size - 1; at > size - 3000; at -= 61) {
        file_copy(base, work);
        (void)paths_in(work);
        (void)snprintf(old_mark, sizeof old_mark, "%s.old", log_mark);
        newest_wal(log_dir, wal, sizeof wal);
        cr_assert_eq(truncate(wal, at), 0);
        cr_assert_eq(try_open(work, &j, &why), ERR_CORRUPT, "at %ld", (long)at);

        file_copy(base, work);
        file_copy(old_mark, log_mark);
        cr_assert_eq(truncate(wal, at), 0);
        cr_assert_eq(try_open(work, &j, &why), OK, "at %ld: %s", (long)at, why.text);
        uint64_t kept = journal_last(j);
        cr_assert_lt(kept, last);
        cr_assert_geq(kept, 10);
        check_contents(j, 1, kept);
        fill(j, kept + 2, 2);
        journal_close(j);
        j = opened(work);
        check_contents(j, 1, kept + 2);
        journal_close(j);
    }
}

/* Flips bits in every file. Either nothing that matters was hit, and all is there, or opening says
 * which file. */
static unsigned flip_file(const char *base, const char *work, const char *name, off_t step)
{
    char path[512];
    struct reason why;
    struct journal *j = NULL;
    unsigned refused = 0;
    (void)snprintf(path, sizeof path, "%s/%s", base, name);
    off_t size = file_size(path);
    (void)snprintf(path, sizeof path, "%s/%s", work, name);
    for (off_t at = 0; at < size; at += step) {
        file_copy(base, work);
        file_flip(path, at);
        enum err e = try_open(work, &j, &why);
        if (e == OK) {
            check_contents(j, 1, ENTRIES);
            journal_close(j);
            continue;
        }
        cr_assert_eq(e, ERR_CORRUPT, "%s at %ld: %s: %s", name, (long)at, err_name(e), why.text);
        cr_assert_not_null(strstr(why.text, work), "%s at %ld: %s", name, (long)at, why.text);
        refused++;
    }
    return refused;
}

static unsigned flip_all(const char *base, const char *work, const char *suffix, off_t step)
{
    char dir[192];
    unsigned refused = 0;
    (void)snprintf(dir, sizeof dir, "%s/log", base);
    DIR *d = opendir(dir);
    for (struct dirent *at = readdir(d); at != NULL; at = readdir(d)) {
        char name[300];
        (void)snprintf(name, sizeof name, "log/%s", at->d_name);
        if (at->d_name[0] != '.' && strstr(at->d_name, suffix) != NULL) {
            refused += flip_file(base, work, name, step);
        }
    }
    (void)closedir(d);
    return refused;
}

Test(journal, a_flipped_bit_in_the_write_ahead_log_is_never_served)
{
    char base[128];
    char work[128];
    char wal[512];
    char expected[600];
    struct reason why;
    struct journal *j = NULL;
    (void)snprintf(base, sizeof base, "%s/base", scratch);
    (void)snprintf(work, sizeof work, "%s/work", scratch);
    cr_assert_eq(make_crashed(base), ENTRIES);
    cr_assert_gt(flip_all(base, work, ".log", 211), 20);
    /* With file and offset: the first record begins at 0. */
    file_copy(base, work);
    (void)paths_in(work);
    newest_wal(log_dir, wal, sizeof wal);
    file_flip(wal, 9);
    cr_assert_eq(try_open(work, &j, &why), ERR_CORRUPT);
    (void)snprintf(expected, sizeof expected, "%s: offset 0: ", wal);
    cr_assert_not_null(strstr(why.text, expected), "%s", why.text);
}

Test(journal, a_flipped_bit_in_any_other_file_is_never_served)
{
    char base[128];
    char work[128];
    (void)snprintf(base, sizeof base, "%s/base", scratch);
    (void)snprintf(work, sizeof work, "%s/work", scratch);
    (void)mkdir(base, 0755);
    struct journal *j = opened(base);
    struct reason why;
    boot(j);
    fill(j, ENTRIES, 3);
    cr_assert_eq(journal_last(j), ENTRIES);
    cr_assert_eq(journal_compact(j, &why), OK);
    journal_close(j);
    (void)flip_all(base, work, "MANIFEST", 17);
    (void)flip_all(base, work, "CURRENT", 1);
    (void)flip_all(base, work, "IDENTITY", 19);
    (void)flip_all(base, work, "OPTIONS", 997);
    (void)flip_all(base, work, ".sst", 151);
    /* One slot of the mark may go, it is the other one's time. */
    (void)flip_file(base, work, "log.mark", 3);
}

Test(journal, a_lost_mark_or_a_lost_log_is_noticed)
{
    char base[128];
    struct reason why;
    struct journal *j = NULL;
    (void)snprintf(base, sizeof base, "%s/base", scratch);
    (void)make_crashed(base);
    (void)paths_in(base);
    cr_assert_eq(unlink(log_mark), 0);
    cr_assert_eq(try_open(base, &j, &why), ERR_CORRUPT);
}

Test(journal, a_log_that_went_missing_is_noticed)
{
    char base[128];
    char command[512];
    struct reason why;
    struct journal *j = NULL;
    (void)snprintf(base, sizeof base, "%s/base", scratch);
    (void)make_crashed(base);
    (void)snprintf(command, sizeof command, "rm -rf '%s/log'", base);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(try_open(base, &j, &why), ERR_CORRUPT);
    cr_assert_not_null(strstr(why.text, "ends at entry 0"), "%s", why.text);
}
