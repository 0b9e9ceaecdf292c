/* The data directory: how far a repair is, and what is put aside for it. */
#include "store/datadir.h"
#include "tests/unit/scratch.h"

#include <string.h>

static struct datadir dir;

static void before(void)
{
    struct reason why;
    scratch_make();
    cr_assert_eq(datadir_open(scratch, &dir, &why), OK, "%s", why.text);
}

static void after(void)
{
    datadir_close(&dir);
    scratch_drop();
}

TestSuite(datadir, .init = before, .fini = after);

static const char *in_dir(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    return path;
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    cr_assert(f != NULL);
    fputs(text, f);
    fclose(f);
}

static bool there(const char *name)
{
    struct stat st;
    return stat(in_dir(name), &st) == 0;
}

/* What was written is read back, by another start too; none is none. */
Test(datadir, a_repair_is_remembered)
{
    struct reason why;
    struct datadir_repair got = {.phase = REPAIR_BACK};
    cr_assert_eq(datadir_get_repair(&dir, &got, &why), OK);
    cr_assert_eq(got.phase, REPAIR_NONE);
    for (enum repair_phase p = REPAIR_ASIDE; p <= REPAIR_BACK; p++) {
        struct datadir_repair want = {.phase = p, .floor_index = UINT64_MAX, .floor_term = 7};
        cr_assert_eq(datadir_set_repair(&dir, &want, &why), OK, "%s", why.text);
        cr_assert_eq(datadir_get_repair(&dir, &got, &why), OK);
        cr_assert_eq(got.phase, p);
        cr_assert_eq(got.floor_index, UINT64_MAX);
        cr_assert_eq(got.floor_term, 7);
    }
    cr_assert_eq(datadir_set_repair(&dir, &(struct datadir_repair){0}, &why), OK);
    cr_assert_eq(datadir_set_repair(&dir, &(struct datadir_repair){0}, &why), OK, "twice");
    cr_assert_not(there("repair"));
}

/* A server must not take part because the file that forbids it cannot be read. */
Test(datadir, a_damaged_repair_file_is_refused)
{
    static const char *const BAD[] = {"",
                                      "herald repair 1 back 5 6",
                                      "herald repair 2 back 5 6\n",
                                      "herald repair 1 none 0 0\n",
                                      "herald repair 1 bacl 5 6\n",
                                      "herald repair 1 back 5 x\n",
                                      "herald repair 1 back 5\n"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct reason why = {{0}};
        struct datadir_repair got;
        put_file("repair", BAD[i]);
        cr_assert_eq(datadir_get_repair(&dir, &got, &why), ERR_CORRUPT, "%s", BAD[i]);
        cr_assert(strstr(why.text, "repair") != NULL, "%s", why.text);
    }
}

/* Log, mark and every state go aside, what an earlier repair put there goes; nothing else moves. */
Test(datadir, data_is_put_aside)
{
    struct reason why;
    put_file("node-id", "x");
    for (int round = 0; round < 2; round++) {
        mkdir(in_dir("log"), 0755);
        mkdir(in_dir("state.3"), 0755);
        put_file("log.mark", "m");
        put_file("log/000001.log", "l");
        cr_assert_eq(datadir_set_aside(&dir, &why), OK, "%s", why.text);
        cr_assert_not(there("log"));
        cr_assert_not(there("log.mark"));
        cr_assert_not(there("state.3"));
        cr_assert(there("damaged/log/000001.log"));
        cr_assert(there("damaged/log.mark"));
        cr_assert(there("damaged/state.3"));
        cr_assert(there("node-id"));
    }
    cr_assert_eq(datadir_set_aside(&dir, &why), OK, "nothing is left to move");
    datadir_drop_damaged(&dir);
    cr_assert_not(there("damaged"));
    cr_assert(there("node-id"));
}
